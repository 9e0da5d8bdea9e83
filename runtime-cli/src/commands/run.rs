//! `run`: create, start, wait, delete.

use orlop::{CreateOptions, Deadline, Delete};

use super::{Command, Group, delete::PATIENCE};
use crate::{
    args::{Arity, Order, Parsed},
    failure::{Failure, Result, exit},
    foreground::{Foreground, become_subreaper},
    global::Globals,
    launch::{Launch, Launched, Mode, flags, notify},
};

/// Definition.
pub const COMMAND: Command = Command {
    name: "run",
    group: Group::Lifecycle,
    about: "Create, start, wait for and delete a container",
    usage: "run [OPTIONS] ID",
    details: "Without --detach it waits in the foreground: signals are passed on, the exit status is that of the\n\
              container's process (128+N when signal N ended it). Without a terminal the process uses the stdin,\n\
              stdout and stderr of this command directly.",
    flags: flags::RUN,
    order: Order::Mixed,
    arity: Arity::Exactly(1),
    run,
};

fn run(globals: &Globals, args: &Parsed) -> Result<u8> {
    let outcome =
        if args.is_set(&flags::DETACH) { detached(globals, args) } else { foreground(globals, args) };
    outcome.map_err(|failure| failure.context("orlop run failed"))
}

fn detached(globals: &Globals, args: &Parsed) -> Result<u8> {
    let launch = Launch::from_args(globals, args, Mode::Detached)?;
    let launched = launch.create(CreateOptions::new().started_by_this_handle())?;
    launched.or_undo(|launched| {
        launched.hand_over()?;
        let notify = launched.bind_notify_socket()?;
        launched.container.start(Deadline::never())?;
        match notify {
            Some(notify) => notify.wait_until_ready(&launched.container),
            None => Ok(()),
        }
    })?;
    Ok(exit::SUCCESS)
}

fn foreground(globals: &Globals, args: &Parsed) -> Result<u8> {
    let launch = Launch::from_args(globals, args, Mode::Foreground)?;
    // Before the container exists: a process that ends at once must not be missed.
    let mut foreground = Foreground::begin()?;
    if !args.is_set(&flags::NO_SUBREAPER) {
        become_subreaper()?;
    }
    let launched = launch.create(CreateOptions::new().started_by_this_handle())?;
    let (launched, status) = launched.or_undo(|launched| {
        foreground.use_terminal(launched.take_console())?;
        launched.hand_over()?;
        foreground.announce_through(launched.bind_notify_socket()?);
        launched.container.start(Deadline::never())?;
        foreground.wait_for(&launched.container).map(|ended| ended.status)
    })?;
    // The terminal is as it was before anything else is said.
    drop(foreground);
    if !args.is_set(&flags::KEEP) {
        remove(&launched)?;
    }
    // The kernel gives 8 bits of status, and a signal is at most 64.
    u8::try_from(status.code())
        .map_err(|_| Failure::new(format!("exit status {} out of range", status.code())))
}

fn remove(launched: &Launched) -> Result<()> {
    launched.container.delete(Delete::WhenStopped, Deadline::after(PATIENCE))?;
    notify::remove(&launched.runtime, launched.container.id().as_str());
    Ok(())
}
