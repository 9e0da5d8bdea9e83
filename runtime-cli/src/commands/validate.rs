//! `validate`: all problems of a bundle without running it.

use orlop::{Bundle, ErrorKind, Problem};
use serde_json::json;

use super::{Command, Group};
use crate::{
    args::{Arity, Flag, Order, Parsed},
    failure::{Failure, Result, exit},
    global::Globals,
    output,
};

const JSON: Flag = Flag::switch("json", "print an array of {\"configPath\", \"message\"}");

/// Definition.
pub const COMMAND: Command = Command {
    name: "validate",
    group: Group::Bundle,
    about: "Check a bundle against the specification and this host without running it",
    usage: "validate [--json] BUNDLE",
    details: "Prints every problem on a line of its own after its JSON path, and exits 1 when there are any.",
    flags: &[&JSON],
    order: Order::Mixed,
    arity: Arity::Exactly(1),
    run,
};

fn run(globals: &Globals, args: &Parsed) -> Result<u8> {
    let problems = problems(globals, args)?;
    let text = if args.is_set(&JSON) {
        let rows: Vec<_> = problems
            .iter()
            .map(|problem| json!({ "configPath": problem.config_path, "message": problem.message }))
            .collect();
        format!("{:#}\n", serde_json::Value::Array(rows))
    } else {
        problems.iter().map(|problem| format!("{problem}\n")).collect()
    };
    output::print(text)?;
    Ok(if problems.is_empty() { exit::SUCCESS } else { exit::FAILURE })
}

fn problems(globals: &Globals, args: &Parsed) -> Result<Vec<Problem>> {
    let bundle = match Bundle::open(&args.operands[0]) {
        Ok(bundle) => bundle,
        Err(error) if error.kind() == ErrorKind::InvalidConfig && !error.problems().is_empty() => {
            return Ok(error.problems().to_vec());
        }
        Err(error) => return Err(Failure::from(error)),
    };
    for warning in bundle.warnings() {
        globals.log.warn(&warning.to_string());
    }
    Ok(globals.runtime()?.validate(&bundle)?)
}
