//! `explain`: the plan of a bundle, without doing anything.

use orlop::{Bundle, CreateOptions};

use super::{Command, Group};
use crate::{
    args::{Arity, Flag, Order, Parsed},
    failure::{Result, exit},
    global::{CgroupManager, Globals},
    launch::flags,
    output,
};

const JSON: Flag = Flag::switch("json", "print the plan as JSON");
/// Any valid id does: nothing is made.
const ID: &str = "explained";

/// Definition.
pub const COMMAND: Command = Command {
    name: "explain",
    group: Group::Bundle,
    about: "Print what a create of this bundle would do on this host, step by step",
    usage: "explain [OPTIONS] BUNDLE",
    details: "Nothing is done. Each step stands with the part of config.json that asked for it.",
    flags: &[&JSON, &flags::NO_PIVOT, &flags::NO_NEW_KEYRING],
    order: Order::Mixed,
    arity: Arity::Exactly(1),
    run,
};

fn run(globals: &Globals, args: &Parsed) -> Result<u8> {
    globals.check_cgroup_manager()?;
    let options = CreateOptions::new()
        .no_pivot(args.is_set(&flags::NO_PIVOT))
        .no_new_keyring(args.is_set(&flags::NO_NEW_KEYRING))
        .rootless(globals.rootless)
        .without_cgroup(globals.cgroup_manager == CgroupManager::Disabled);
    let prepared = globals.runtime()?.prepare(ID, Bundle::open(&args.operands[0])?, options)?;
    for warning in prepared.warnings() {
        globals.log.warn(&warning.to_string());
    }
    if args.is_set(&JSON) {
        output::print(format!("{:#}\n", prepared.explain_json()))?;
    } else {
        output::print(prepared.explain())?;
    }
    Ok(exit::SUCCESS)
}
