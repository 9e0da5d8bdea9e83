//! The `orlop` command: arguments in, library calls, runc's output out. No container logic lives here.

mod args;
mod commands;
mod config_file;
mod failure;
mod foreground;
mod global;
mod launch;
mod library_log;
mod log;
mod output;
mod sandbox;
mod state_root;

use std::{env, process::ExitCode};

use crate::{failure::Result, log::Log};

fn main() -> ExitCode {
    let mut args = env::args_os();
    let program = args.next().unwrap_or_else(|| "orlop".into()).to_string_lossy().into_owned();
    let (early_log, globals) = global::read(program, args);
    let (globals, operands) = match globals {
        Ok((globals, parsed)) => (globals, parsed.operands),
        Err(early) => return ExitCode::from(finish(&early_log, commands::stopped_early(early))),
    };
    library_log::listen(globals.log.clone());
    let outcome = match operands.split_first() {
        _ if globals.version => commands::version::print(),
        None => commands::help(&[]),
        Some((verb, rest)) => commands::dispatch(&globals, &verb.to_string_lossy(), rest),
    };
    ExitCode::from(finish(&globals.log, outcome))
}

/// The one place where a failure becomes a message and an exit code.
fn finish(log: &Log, outcome: Result<u8>) -> u8 {
    outcome.unwrap_or_else(|failure| {
        log.error(&failure);
        failure.code()
    })
}
