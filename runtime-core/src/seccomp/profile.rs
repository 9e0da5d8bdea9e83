//! `linux.seccomp` of the configuration, read and checked. An own form and not that of `oci-spec`, whose closed enums
//! would fail the whole configuration at the first unknown word, and which lacks the bounds of numbers.

use serde_json::Value;

use super::{
    arch::{self, Arch},
    reader::Reader,
    table::{self, Row},
    words::{self, Action, Operator},
};
use crate::Problem;

/// A profile whose every word is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Profile {
    /// What a call gets that no rule speaks of.
    pub(super) default: Action,
    /// `architectures`, each with its place in the list.
    pub(super) arches: Vec<Arch>,
    /// `SECCOMP_FILTER_FLAG_*`.
    pub(super) flags: u32,
    pub(super) rules: Vec<Rule>,
    /// `listenerPath`, where the file descriptor of notifications is sent.
    pub(crate) listener_path: Option<String>,
    /// `listenerMetadata`, sent along.
    pub(crate) listener_metadata: Option<String>,
}

/// One of `syscalls`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    /// Those of `names` that some architecture knows.
    pub(super) names: Vec<Row>,
    /// The others, skipped: profiles are written for many kernels.
    pub(super) unknown: Vec<Problem>,
    pub(super) action: Action,
    /// Which conditions have to hold: all of one list.
    pub(super) alternatives: Vec<Vec<Condition>>,
}

/// One of `args`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    /// Which argument, 0 to 5.
    pub(super) index: u8,
    pub(super) operator: Operator,
    pub(super) value: u64,
    pub(super) value_two: u64,
}

impl Profile {
    /// Reads `linux.seccomp`; None where it asks for nothing.
    ///
    /// # Errors
    /// Everything that is wrong in it, each with its JSON path.
    pub(crate) fn from_json(value: &Value) -> Result<Option<Self>, Vec<Problem>> {
        let mut problems = Vec::new();
        let profile = read(&mut Reader::new(value, &mut problems));
        if problems.is_empty() { Ok(profile) } else { Err(problems) }
    }

    /// Whether some rule has this call notified.
    pub(crate) fn notifies(&self, call: &str) -> bool {
        let mut notified = self.rules.iter().filter(|rule| rule.action.0 == words::NOTIFY);
        notified.any(|rule| rule.names.iter().any(|row| row.name() == call))
    }

    /// Some rule has the action `SCMP_ACT_NOTIFY`.
    pub(super) fn uses_notify(&self) -> bool {
        self.rules.iter().any(|rule| rule.action.0 == words::NOTIFY)
    }
}

fn read(reader: &mut Reader<'_>) -> Option<Profile> {
    let syscalls = reader.list("syscalls");
    if reader.value("defaultAction").and_then(Value::as_str) == Some("") && syscalls == 0 {
        // Producers in Go write the empty string where nothing was chosen; runc and crun load no filter then.
        return None;
    }
    let default = action(reader, "defaultAction", "defaultErrnoRet");
    if default == Some(Action(words::NOTIFY)) {
        reader.problem("defaultAction", "SCMP_ACT_NOTIFY cannot be used as default action");
    }
    let arches = (0..reader.list("architectures")).filter_map(|index| architecture(reader, index)).collect();
    let rules: Vec<_> =
        (0..syscalls).filter_map(|index| reader.element("syscalls", index, read_rule).flatten()).collect();
    let notifies = rules.iter().any(|rule| rule.action.0 == words::NOTIFY);
    let flags = flags(reader, notifies);
    let mut text = |name| reader.text(name).filter(|text| !text.is_empty()).map(str::to_owned);
    let (listener_path, listener_metadata) = (text("listenerPath"), text("listenerMetadata"));
    if notifies && listener_path.is_none() {
        reader.problem(
            "listenerPath",
            "seccomp listenerPath is not set, a rule has the action SCMP_ACT_NOTIFY",
        );
    }
    if listener_metadata.is_some() && listener_path.is_none() {
        reader.problem("listenerMetadata", "must not be set without listenerPath");
    }
    Some(Profile { default: default?, arches, flags, rules, listener_path, listener_metadata })
}

/// The filter is for this machine's kernel, which has one byte order.
fn architecture(reader: &mut Reader<'_>, index: usize) -> Option<Arch> {
    reader.word("architectures", index, "a known architecture", arch::by_name)
}

/// No list stands for the flag that runc sets then; an empty one for none.
fn flags(reader: &mut Reader<'_>, notifies: bool) -> u32 {
    if reader.value("flags").is_none() {
        return words::FLAG_SPEC_ALLOW;
    }
    let mut flags = 0;
    for index in 0..reader.list("flags") {
        let flag = reader.word("flags", index, "a known flag", words::flag).unwrap_or_default();
        if flag == words::FLAG_WAIT_KILLABLE_RECV && !notifies {
            let path = format!("flags[{index}]");
            reader
                .problem(&path, "needs a rule with the action SCMP_ACT_NOTIFY (the kernel refuses it alone)");
        }
        flags |= flag;
    }
    flags
}

/// An action with the number that goes with it.
fn action(reader: &mut Reader<'_>, name: &str, number_name: &str) -> Option<Action> {
    let number = reader.number(number_name, u32::MAX.into(), false);
    let word = reader.required_text(name)?;
    let Some((value, most)) = words::action(word) else {
        reader.problem(name, format!("expected a known action, found {word:?}"));
        return None;
    };
    let data = match number.and_then(|number| u32::try_from(number).ok()) {
        None if most == 0 => 0,
        None => words::DEFAULT_DATA,
        // Producers write 0 where there is nothing to say.
        Some(0) => 0,
        Some(_) if most == 0 => {
            reader.problem(number_name, format!("is set, but {word} returns no number"));
            return None;
        }
        Some(number) if number > most => {
            reader.problem(number_name, format!("expected at most {most}, found {number}"));
            return None;
        }
        Some(number) => number,
    };
    Some(Action(value | data))
}

fn read_rule(reader: &mut Reader<'_>) -> Option<Rule> {
    let action = action(reader, "action", "errnoRet");
    let count = reader.required_list("names");
    if count == Some(0) {
        reader.problem("names", "expected at least one name, found none");
    }
    let mut names = Vec::with_capacity(count.unwrap_or_default());
    let mut unknown = Vec::new();
    for index in 0..count.unwrap_or_default() {
        let place = || format!("names[{index}]");
        match reader.element_value("names", index) {
            Some(Value::String(name)) if name.is_empty() => {
                reader.problem(&place(), "empty string is not a valid syscall");
            }
            Some(Value::String(name)) => {
                if name == "write" && action == Some(Action(words::NOTIFY)) {
                    reader.problem(&place(), "SCMP_ACT_NOTIFY cannot be used for the write syscall");
                }
                match table::row(name) {
                    Some(row) => names.push(row),
                    None => unknown.push(Problem::new(
                        reader.path_of(&place()),
                        format!("unknown system call {name:?} is skipped"),
                    )),
                }
            }
            other => reader.mistyped(&place(), "a string", other),
        }
    }
    let args: Vec<_> = (0..reader.list("args"))
        .filter_map(|index| reader.element("args", index, condition).flatten())
        .collect();
    Some(Rule { names, unknown, action: action?, alternatives: alternatives(args) })
}

/// Conditions on different arguments have to hold together. Where two are on the same argument each stands for itself:
/// libseccomp cannot join them, and runc makes a rule of each.
fn alternatives(args: Vec<Condition>) -> Vec<Vec<Condition>> {
    let mut seen = [false; 6];
    let twice = args.iter().any(|arg| std::mem::replace(&mut seen[usize::from(arg.index)], true));
    if twice { args.into_iter().map(|arg| vec![arg]).collect() } else { vec![args] }
}

fn condition(reader: &mut Reader<'_>) -> Option<Condition> {
    let index = reader.number("index", 5, true);
    let value = reader.number("value", u64::MAX, true);
    let value_two = reader.number("valueTwo", u64::MAX, false).unwrap_or_default();
    let word = reader.required_text("op")?;
    let operator = words::operator(word);
    if operator.is_none() {
        reader.problem("op", format!("expected a known operator, found {word:?}"));
    }
    let index = u8::try_from(index?).ok()?;
    Some(Condition { index, operator: operator?, value: value?, value_two })
}
