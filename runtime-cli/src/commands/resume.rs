//! `resume`.

use orlop::Deadline;

use super::{Command, Group, PATIENCE};
use crate::{
    args::{Arity, Order, Parsed},
    failure::{Result, exit},
    global::Globals,
};

/// Definition.
pub const COMMAND: Command = Command {
    name: "resume",
    group: Group::Lifecycle,
    about: "Let the processes of a paused container run again",
    usage: "resume ID",
    details: "",
    flags: &[],
    order: Order::Mixed,
    arity: Arity::Exactly(1),
    run,
};

fn run(globals: &Globals, args: &Parsed) -> Result<u8> {
    globals.runtime()?.container(&args.operand(0))?.resume(Deadline::after(PATIENCE))?;
    Ok(exit::SUCCESS)
}
