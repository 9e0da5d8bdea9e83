//! The commands, one file each: definition, one or a few library calls, output.

mod create;
mod delete;
mod events;
mod exec;
mod explain;
mod features;
mod kill;
mod list;
mod not_yet;
mod pause;
mod ps;
mod resume;
mod run;
mod signal;
mod spec;
mod start;
mod state;
mod try_command;
mod update;
mod validate;
pub mod version;

use std::ffi::OsString;

pub use delete::PATIENCE;
pub use version::SPEC as SPEC_VERSION;

use crate::{
    args::{Arity, Flag, Order, Parsed, Stopped, command_help, parse, program_help},
    failure::{Failure, Result, exit},
    global::{self, Early, Globals},
    output,
};

/// A command.
#[derive(Debug)]
pub struct Command {
    /// The verb.
    pub name: &'static str,
    /// Where it stands in the help.
    pub group: Group,
    /// One sentence.
    pub about: &'static str,
    /// What follows `orlop`.
    pub usage: &'static str,
    /// More for its own help.
    pub details: &'static str,
    /// Its options.
    pub flags: &'static [&'static Flag],
    /// Where options may stand.
    pub order: Order,
    /// How many operands it takes.
    pub arity: Arity,
    /// Does it, and gives the exit code.
    pub run: fn(&Globals, &Parsed) -> Result<u8>,
}

/// How users think of commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// A sandbox for one command.
    Sandbox,
    /// The life of a container.
    Lifecycle,
    /// Looking at containers.
    Inspect,
    /// Bundles and the runtime itself.
    Bundle,
}

/// The groups in the order of the help.
pub const GROUPS: &[(Group, &str)] = &[
    (Group::Sandbox, "Without a bundle"),
    (Group::Lifecycle, "The life of a container"),
    (Group::Inspect, "Looking at containers"),
    (Group::Bundle, "Bundles and the runtime itself"),
];

/// All commands.
pub const ALL: &[&Command] = &[
    &try_command::COMMAND,
    &create::COMMAND,
    &start::COMMAND,
    &run::COMMAND,
    &exec::COMMAND,
    &kill::COMMAND,
    &delete::COMMAND,
    &pause::COMMAND,
    &resume::COMMAND,
    &update::COMMAND,
    &state::COMMAND,
    &list::COMMAND,
    &ps::COMMAND,
    &events::COMMAND,
    &spec::COMMAND,
    &validate::COMMAND,
    &explain::COMMAND,
    &features::COMMAND,
];

/// Carries out the command line `verb rest`.
pub fn dispatch(globals: &Globals, verb: &str, rest: &[OsString]) -> Result<u8> {
    if verb == "help" || verb == "h" {
        return help(rest);
    }
    not_yet::check(verb)?;
    let command = find(verb)?;
    let parsed = match parse(command.flags, command.order, rest.iter().cloned()) {
        Ok(parsed) => parsed,
        Err(Stopped::Help) => return print_help(command),
        Err(Stopped::Wrong(words)) => {
            return usage_error(command, &format!("Incorrect Usage: {words}\n\n"), words);
        }
    };
    if let Err(words) = command.arity.check(&globals.program, command.name, parsed.operands.len()) {
        return usage_error(command, "Incorrect Usage.\n", words);
    }
    globals.log.debug(|| format!("{} {:?}", command.name, parsed.operands));
    (command.run)(globals, &parsed)
}

fn find(verb: &str) -> Result<&'static Command> {
    ALL.iter().copied().find(|command| command.name == verb).ok_or_else(|| {
        Failure::new(format!("No help topic for '{verb}'"))
            .with_code(exit::UNKNOWN_COMMAND)
            .with_hint("`orlop --help` lists the commands")
    })
}

/// Help of the program or of a command.
pub fn help(topics: &[OsString]) -> Result<u8> {
    match topics.first() {
        None => output::print(program_help(global::FLAGS, ALL))?,
        Some(verb) => output::print(command_help(find(&verb.to_string_lossy())?))?,
    }
    Ok(exit::SUCCESS)
}

/// Help, or a wrong global option: the help goes to stdout as callers know it from runc, the error to the printer.
pub fn stopped_early(early: Early) -> Result<u8> {
    match early {
        Early::Usage(Stopped::Help) => help(&[]),
        Early::Usage(Stopped::Wrong(words)) => {
            output::print(format!("Incorrect Usage: {words}\n\n"))?;
            help(&[])?;
            Err(Failure::new(words))
        }
        Early::Failed(failure) => Err(failure),
    }
}

fn print_help(command: &Command) -> Result<u8> {
    output::print(command_help(command))?;
    Ok(exit::SUCCESS)
}

/// As runc: the help goes to stdout, the error to the printer.
fn usage_error(command: &Command, heading: &str, words: String) -> Result<u8> {
    output::print(format!("{heading}{}", command_help(command)))?;
    Err(Failure::new(words))
}
