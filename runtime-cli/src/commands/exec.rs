//! `exec`.

use super::{Command, Group};
use crate::{
    args::{Arity, Order, Parsed},
    failure::{Failure, Result, exit},
    foreground::Foreground,
    global::Globals,
    launch::{ExecLaunch, ExecLaunched, Mode, flags::exec as options},
};

/// Definition.
pub const COMMAND: Command = Command {
    name: "exec",
    group: Group::Lifecycle,
    about: "Run another process in a container",
    usage: "exec [OPTIONS] ID COMMAND [ARGUMENTS]\n       orlop exec [OPTIONS] --process FILE ID",
    details: "The command has the environment, user, working directory, capabilities and limits of the container's\n\
              process where no option says otherwise. Without --detach the exit status is that of the command\n\
              (128+N when signal N ended it); 255 is a failure of exec itself.",
    flags: options::ALL,
    order: Order::OperandsLast,
    arity: Arity::Between(1, usize::MAX),
    run,
};

fn run(globals: &Globals, args: &Parsed) -> Result<u8> {
    exec(globals, args).map_err(|failure| failure.context("exec failed").with_code(exit::EXEC_FAILURE))
}

fn exec(globals: &Globals, args: &Parsed) -> Result<u8> {
    let container = globals.runtime()?.container(&args.operand(0))?;
    if args.is_set(&options::DETACH) {
        let launched = ExecLaunch::from_args(args, Mode::Detached)?.exec(&container, &globals.log)?;
        launched.or_undo(ExecLaunched::hand_over)?;
        return Ok(exit::SUCCESS);
    }
    let launch = ExecLaunch::from_args(args, Mode::Foreground)?;
    // Before the process exists: one that ends at once must not be missed.
    let mut foreground = Foreground::begin()?;
    let launched = launch.exec(&container, &globals.log)?;
    let status = launched.or_undo(|launched| {
        foreground.use_terminal(launched.take_console())?;
        launched.hand_over()?;
        foreground.wait_for(&launched.process).map(|ended| ended.status)
    })?;
    // The kernel gives 8 bits of status, and a signal is at most 64.
    u8::try_from(status.code())
        .map_err(|_| Failure::new(format!("exit status {} out of range", status.code())))
}
