//! `ps`.

use std::{ffi::OsStr, ffi::OsString, process::Command as Program};

use super::{Command, Group};
use crate::{
    args::{Arity, Flag, Order, Parsed},
    failure::{Failure, Result, exit},
    global::Globals,
    output,
};

const FORMAT: Flag = Flag::value("format", "FORMAT", "table (default) or json, a list of pids").short('f');

/// Definition.
pub const COMMAND: Command = Command {
    name: "ps",
    group: Group::Inspect,
    about: "List the processes of a container",
    usage: "ps [--format FORMAT] ID [PS OPTIONS]",
    details: "The table is made by the ps of the host, with the options given (default -ef), which have to make it\n\
              print a column PID. Pids are those of the host.",
    flags: &[&FORMAT],
    order: Order::OperandsLast,
    arity: Arity::AtLeast(1),
    run,
};

fn run(globals: &Globals, args: &Parsed) -> Result<u8> {
    let pids = globals.runtime()?.container(&args.operand(0))?.processes()?;
    let format = args.value(&FORMAT).unwrap_or(OsStr::new("table"));
    let text = match format.to_str() {
        Some("table") => table(&pids, args.operands.get(1..).unwrap_or_default())?,
        Some("json") => json(&pids),
        _ => return Err(Failure::new("invalid format option")),
    };
    output::print(text)?;
    Ok(exit::SUCCESS)
}

/// No process is `null`, as Go prints an empty list; readers accept it.
fn json(pids: &[i32]) -> String {
    if pids.is_empty() {
        return "null\n".to_owned();
    }
    let pids: Vec<String> = pids.iter().map(ToString::to_string).collect();
    format!("[{}]\n", pids.join(","))
}

fn table(pids: &[i32], options: &[OsString]) -> Result<String> {
    let mut ps = Program::new("ps");
    if options.is_empty() {
        ps.arg("-ef");
    }
    let ps = ps.args(options).output().map_err(|error| Failure::io("run ps", error))?;
    if !ps.status.success() {
        let said = [ps.stdout, ps.stderr].concat();
        return Err(Failure::new(format!(
            "ps: {}: {}",
            ps.status,
            String::from_utf8_lossy(&said).trim_end()
        )));
    }
    rows(&String::from_utf8_lossy(&ps.stdout), pids)
}

/// The heading and the rows of these processes.
fn rows(text: &str, pids: &[i32]) -> Result<String> {
    let mut lines = text.lines();
    let heading = lines.next().unwrap_or_default();
    let column = heading
        .split_whitespace()
        .position(|title| title == "PID")
        .ok_or_else(|| Failure::new("couldn't find PID field in ps output"))?;
    let mut text = format!("{heading}\n");
    for line in lines.filter(|line| !line.trim().is_empty()) {
        let cell = line.split_whitespace().nth(column).unwrap_or_default();
        // A column with blanks in it that stands before PID.
        let unclear = |_| Failure::new(format!("unable to parse pid: {cell:?} in {line:?} is no number"));
        if pids.contains(&cell.parse().map_err(unclear)?) {
            text.push_str(line);
            text.push('\n');
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::{json, rows};

    #[test]
    fn rows_of_others_go_and_the_heading_stays() {
        let text = "UID          PID CMD\nroot          17 sh -c 18\nroot          18 ps\n\n";
        assert_eq!(
            rows(text, &[17]).ok().as_deref(),
            Some("UID          PID CMD\nroot          17 sh -c 18\n")
        );
        assert_eq!(rows(text, &[]).ok().as_deref(), Some("UID          PID CMD\n"));
        let failure = rows("USER COMMAND\nroot sh\n", &[1]).expect_err("no PID column");
        assert_eq!(failure.line(), "couldn't find PID field in ps output");
        let failure = rows("COMMAND PID\nsh -c x 17\n", &[17]).expect_err("blanks before the pid");
        assert_eq!(failure.line(), "unable to parse pid: \"-c\" in \"sh -c x 17\" is no number");
    }

    #[test]
    fn pids_are_a_compact_list() {
        assert_eq!(json(&[1, 22]), "[1,22]\n");
        assert_eq!(json(&[]), "null\n");
    }
}
