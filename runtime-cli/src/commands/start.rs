//! `start`.

use orlop::Deadline;

use super::{Command, Group};
use crate::{
    args::{Arity, Order, Parsed},
    failure::{Result, exit},
    global::Globals,
    launch::notify,
};

/// Definition.
pub const COMMAND: Command = Command {
    name: "start",
    group: Group::Lifecycle,
    about: "Start the program of a created container",
    usage: "start ID",
    details: "",
    flags: &[],
    order: Order::Mixed,
    arity: Arity::Exactly(1),
    run,
};

fn run(globals: &Globals, args: &Parsed) -> Result<u8> {
    let runtime = globals.runtime()?;
    let container = runtime.container(&args.operand(0))?;
    // Bound before the program can send its datagram.
    let notify = notify::Proxy::bind_for_start(&runtime, container.id().as_str())?;
    container.start(Deadline::never())?;
    if let Some(notify) = notify {
        notify.wait_until_ready(&container)?;
    }
    Ok(exit::SUCCESS)
}
