//! `state`.

use orlop::ContainerState;
use serde::Serialize;

use super::{Command, Group};
use crate::{
    args::{Arity, Order, Parsed},
    failure::{Failure, Result, exit},
    global::Globals,
    output,
};

/// Definition.
pub const COMMAND: Command = Command {
    name: "state",
    group: Group::Inspect,
    about: "Print the state of a container as JSON",
    usage: "state ID",
    details: "",
    flags: &[],
    order: Order::Mixed,
    arity: Arity::Exactly(1),
    run,
};

/// A state as it is printed.
#[derive(Serialize)]
pub struct StateOfOwner<'a> {
    /// The state.
    #[serde(flatten)]
    pub state: &'a ContainerState,
    /// User name or `#uid`.
    pub owner: &'a str,
}

fn run(globals: &Globals, args: &Parsed) -> Result<u8> {
    let state = globals.runtime()?.container(&args.operand(0))?.state()?;
    // runc has the owner here too, always empty, and ends without a newline.
    let text = serde_json::to_string_pretty(&StateOfOwner { state: &state, owner: "" })
        .map_err(|error| Failure::io("write the state as JSON", error))?;
    output::print(text)?;
    Ok(exit::SUCCESS)
}
