//! `list`.

use std::fs;

use orlop::ContainerState;

use super::{Command, Group, state::StateOfOwner};
use crate::{
    args::{Arity, Flag, Order, Parsed},
    failure::{Failure, Result, exit},
    global::Globals,
    output,
};

const FORMAT: Flag = Flag::value("format", "FORMAT", "table (default) or json").short('f');
const QUIET: Flag = Flag::switch("quiet", "print ids only").short('q');

/// Definition.
pub const COMMAND: Command = Command {
    name: "list",
    group: Group::Inspect,
    about: "List the containers of the state root",
    usage: "list [OPTIONS]",
    details: "",
    flags: &[&FORMAT, &QUIET],
    order: Order::Mixed,
    arity: Arity::Exactly(0),
    run,
};

fn run(globals: &Globals, args: &Parsed) -> Result<u8> {
    let json = match args.value(&FORMAT).and_then(std::ffi::OsStr::to_str) {
        None if args.value(&FORMAT).is_none() => false,
        Some("" | "table") => false,
        Some("json") => true,
        _ => return Err(Failure::new("invalid format option")),
    };
    let mut states = Vec::new();
    for state in globals.runtime()?.containers()? {
        match state {
            Ok(state) => states.push(state),
            Err(error) => output::complain(format!("{error}\n")),
        }
    }
    let text = if args.is_set(&QUIET) {
        states.iter().map(|state| format!("{}\n", state.id)).collect()
    } else {
        let users = Users::read();
        let rows: Vec<_> = states.into_iter().map(|state| (users.name_of(state.owner_uid), state)).collect();
        if json { as_json(&rows)? } else { as_table(rows) }
    };
    output::print(text)?;
    Ok(exit::SUCCESS)
}

fn as_json(rows: &[(String, ContainerState)]) -> Result<String> {
    if rows.is_empty() {
        // What Go prints for an empty list; readers accept it.
        return Ok("null".into());
    }
    let rows: Vec<_> = rows.iter().map(|(owner, state)| StateOfOwner { state, owner }).collect();
    serde_json::to_string(&rows).map_err(|error| Failure::io("write the states as JSON", error))
}

const COLUMNS: [&str; 6] = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"];
/// Widths as runc's table has them.
const MIN_WIDTH: usize = 12;
const PADDING: usize = 3;

fn as_table(rows: Vec<(String, ContainerState)>) -> String {
    let mut table = vec![COLUMNS.map(str::to_owned)];
    table.extend(rows.into_iter().map(|(owner, state)| {
        let bundle = state.bundle.to_string_lossy().into_owned();
        [state.id, state.pid.to_string(), state.status.to_string(), bundle, state.created, owner]
    }));
    let width = |column: usize| {
        let longest = table.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        (longest + PADDING).max(MIN_WIDTH)
    };
    let widths: Vec<usize> = (0..COLUMNS.len() - 1).map(width).collect();
    let mut text = String::new();
    for [id, pid, status, bundle, created, owner] in &table {
        for (cell, width) in [id, pid, status, bundle, created].into_iter().zip(&widths) {
            text.push_str(&format!("{cell:<width$}"));
        }
        text.push_str(owner);
        text.push('\n');
    }
    text
}

/// User names as /etc/passwd has them; no look-up service is asked.
struct Users(String);

impl Users {
    fn read() -> Self {
        // Without the file there are numbers.
        Self(fs::read_to_string("/etc/passwd").unwrap_or_default())
    }

    fn name_of(&self, uid: u32) -> String {
        let uid = uid.to_string();
        let named = |line: &str| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)? == uid).then(|| name.to_owned())
        };
        self.0.lines().find_map(named).unwrap_or_else(|| format!("#{uid}"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Users, as_json, as_table};

    #[test]
    fn an_empty_list_is_null_or_a_bare_heading() {
        assert_eq!(as_json(&[]).ok().as_deref(), Some("null"));
        assert_eq!(
            as_table(Vec::new()),
            "ID          PID         STATUS      BUNDLE      CREATED     OWNER\n"
        );
    }

    #[test]
    fn owners_are_names_or_numbers() {
        let users = Users("root:x:0:0:root:/root:/bin/sh\nbroken\nanna:x:1000:1000::/home/anna:\n".into());
        assert_eq!(users.name_of(0), "root");
        assert_eq!(users.name_of(1000), "anna");
        assert_eq!(users.name_of(100), "#100");
    }
}
