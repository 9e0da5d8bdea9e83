//! `delete`.

use std::time::Duration;

use orlop::{Deadline, Delete};

use super::{Command, Group};
use crate::{
    args::{Arity, Flag, Order, Parsed},
    failure::{Result, exit},
    global::Globals,
    launch::notify,
};

const FORCE: Flag =
    Flag::switch("force", "kill it first if it runs; a container that does not exist is no error").short('f');

/// How long a delete waits for processes to end (as runc).
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Definition.
pub const COMMAND: Command = Command {
    name: "delete",
    group: Group::Lifecycle,
    about: "Remove what is left of a container",
    usage: "delete [--force] ID",
    details: "",
    flags: &[&FORCE],
    order: Order::Mixed,
    arity: Arity::Exactly(1),
    run,
};

fn run(globals: &Globals, args: &Parsed) -> Result<u8> {
    let runtime = globals.runtime()?;
    let id = args.operand(0);
    let how = if args.is_set(&FORCE) { Delete::Force } else { Delete::WhenStopped };
    runtime.delete(&id, how, Deadline::after(PATIENCE))?;
    notify::remove(&runtime, &id);
    Ok(exit::SUCCESS)
}
