//! `kill`.

use orlop::KillScope;

use super::{Command, Group, signal};
use crate::{
    args::{Arity, Flag, Order, Parsed},
    failure::{Failure, Result, exit},
    global::Globals,
};

const ALL: Flag =
    Flag::switch("all", "no error when the container has stopped; what is left of it is killed").short('a');

/// Definition.
pub const COMMAND: Command = Command {
    name: "kill",
    group: Group::Lifecycle,
    about: "Send a signal to the first process of a container",
    usage: "kill [--all] ID [SIGNAL]",
    details: "SIGNAL is a number or a name with or without SIG in any case; RTMIN+N and RTMAX-N too; default TERM.\n\
              0 sends nothing and tells whether the container runs.",
    flags: &[&ALL],
    order: Order::Mixed,
    arity: Arity::Between(1, 2),
    run,
};

fn run(globals: &Globals, args: &Parsed) -> Result<u8> {
    let word = args.operands.get(1).map_or("SIGTERM".into(), |word| word.to_string_lossy());
    let signal =
        signal::number_of(&word).ok_or_else(|| Failure::new(format!("unknown signal \"{word}\"")))?;
    let scope = if args.is_set(&ALL) { KillScope::All } else { KillScope::Init };
    globals.runtime()?.container(&args.operand(0))?.kill(signal, scope)?;
    Ok(exit::SUCCESS)
}
