//! `create`.

use orlop::CreateOptions;

use super::{Command, Group};
use crate::{
    args::{Arity, Order, Parsed},
    failure::{Result, exit},
    global::Globals,
    launch::{Launch, Launched, Mode, flags},
};

/// Definition.
pub const COMMAND: Command = Command {
    name: "create",
    group: Group::Lifecycle,
    about: "Make a container that waits for its start",
    usage: "create [OPTIONS] ID",
    details: "The container's process has the stdin, stdout and stderr of this command, unless process.terminal is set\n\
              in config.json: then --console-socket says where the terminal is sent.",
    flags: flags::CREATE,
    order: Order::Mixed,
    arity: Arity::Exactly(1),
    run,
};

fn run(globals: &Globals, args: &Parsed) -> Result<u8> {
    create(globals, args).map_err(|failure| failure.context("orlop create failed"))?;
    Ok(exit::SUCCESS)
}

fn create(globals: &Globals, args: &Parsed) -> Result<()> {
    let launch = Launch::from_args(globals, args, Mode::Detached)?;
    let launched = launch.create(CreateOptions::new())?;
    launched.or_undo(Launched::hand_over)?;
    Ok(())
}
