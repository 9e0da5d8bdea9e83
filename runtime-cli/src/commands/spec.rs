//! `spec`: writes a config.json to start from.

use std::path::Path;

use super::{Command, Group};
use crate::{
    args::{Arity, Flag, Order, Parsed},
    config_file::write_config,
    failure::{Result, exit},
    global::Globals,
};

const BUNDLE: Flag =
    Flag::value("bundle", "DIR", "where to write it (default: the current directory)").short('b');
const ROOTLESS: Flag =
    Flag::switch("rootless", "for a plain user: with a user namespace for the caller's ids");

/// Definition.
pub const COMMAND: Command = Command {
    name: "spec",
    group: Group::Bundle,
    about: "Write a config.json to start from",
    usage: "spec [OPTIONS]",
    details: "",
    flags: &[&BUNDLE, &ROOTLESS],
    order: Order::Mixed,
    arity: Arity::Exactly(0),
    run,
};

fn run(_globals: &Globals, args: &Parsed) -> Result<u8> {
    let dir = Path::new(args.value(&BUNDLE).unwrap_or(".".as_ref()));
    write_config(dir, &orlop::default_spec(args.is_set(&ROOTLESS)))?;
    Ok(exit::SUCCESS)
}
