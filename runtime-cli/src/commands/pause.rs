//! `pause`.

use orlop::Deadline;

use super::{Command, Group, PATIENCE};
use crate::{
    args::{Arity, Order, Parsed},
    failure::{Result, exit},
    global::Globals,
};

/// Definition.
pub const COMMAND: Command = Command {
    name: "pause",
    group: Group::Lifecycle,
    about: "Freeze all processes of a container",
    usage: "pause ID",
    details: "",
    flags: &[],
    order: Order::Mixed,
    arity: Arity::Exactly(1),
    run,
};

fn run(globals: &Globals, args: &Parsed) -> Result<u8> {
    globals.runtime()?.container(&args.operand(0))?.pause(Deadline::after(PATIENCE))?;
    Ok(exit::SUCCESS)
}
