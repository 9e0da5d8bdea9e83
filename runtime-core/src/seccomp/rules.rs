//! What a profile says about each system call of one architecture.

use super::{
    arch::Arch,
    conditions::{Condition, Level},
    profile::Profile,
    table::Row,
    words::Action,
};
use crate::Problem;

/// What happens to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Always(Action),
    /// Where no branch ends in an action, the default is meant.
    ByArguments(Level),
}

/// The verdicts on all calls of an architecture that rules speak of, by number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdicts {
    pub(super) by_number: Vec<(u32, Verdict)>,
    /// The greatest number that the profile speaks of, be it with the default action. Greater ones are newer than it.
    pub(super) last: Option<u32>,
}

/// One alternative of a rule for one number.
#[derive(Clone, Copy)]
struct Entry {
    number: u32,
    /// Which rule, which of its alternatives.
    rule: u32,
    alternative: u32,
    /// The first argument has to be this: the call goes through socketcall(2) or ipc(2).
    operation: Option<u8>,
}

/// Sorts the rules by number.
///
/// # Errors
/// Rules that contradict each other.
pub(super) fn verdicts(profile: &Profile, arch: Arch) -> Result<Verdicts, Vec<Problem>> {
    let mut entries = Vec::with_capacity(profile.rules.iter().map(|rule| rule.names.len()).sum());
    let mut last = None;
    for (rule, written) in profile.rules.iter().enumerate() {
        for row in &written.names {
            let number = row.number(arch.column).map(|number| number + arch.base);
            let multiplexed = if arch.is_multiplexed() { multiplexed(*row) } else { None };
            // libseccomp has no plain number for these, and so runc does not count them.
            if multiplexed.is_none() {
                last = last.max(number);
            }
            if written.action == profile.default {
                continue;
            }
            for alternative in 0..written.alternatives.len() as u32 {
                let entry = |number, operation| Entry { number, rule: rule as u32, alternative, operation };
                if let Some((multiplexer, operation)) = multiplexed {
                    let number = multiplexer.number(arch.column).map(|number| number + arch.base);
                    entries.extend(number.map(|number| entry(number, Some(operation))));
                }
                entries.extend(number.map(|number| entry(number, None)));
            }
        }
    }
    let entries = sorted(&entries);
    let mut problems = Vec::new();
    let mut by_number = Vec::with_capacity(entries.len());
    for chunk in entries.chunk_by(|a, b| a.number == b.number) {
        by_number.push((chunk[0].number, verdict(profile, arch, chunk, &mut problems)));
    }
    if problems.is_empty() {
        Ok(Verdicts { by_number, last: last.filter(|last| *last != 0) })
    } else {
        Err(problems)
    }
}

/// By number; of the rules of one number the order of the profile stays. Plain numbers are sorted several times faster.
fn sorted(entries: &[Entry]) -> Vec<Entry> {
    let key = |(place, entry): (usize, &Entry)| u64::from(entry.number) << 32 | place as u64;
    let mut keys: Vec<_> = entries.iter().enumerate().map(key).collect();
    keys.sort_unstable();
    keys.into_iter().map(|key| entries[(key & u64::from(u32::MAX)) as usize]).collect()
}

/// A rule without conditions wins over all with some; the first one over later ones.
fn verdict(profile: &Profile, arch: Arch, entries: &[Entry], problems: &mut Vec<Problem>) -> Verdict {
    let action = |entry: &Entry| profile.rules[entry.rule as usize].action;
    let conditions = |entry: &Entry| {
        let rule = &profile.rules[entry.rule as usize];
        conditions(entry, &rule.alternatives[entry.alternative as usize], arch)
    };
    if let Some(entry) = entries.iter().find(|entry| conditions(entry).is_empty()) {
        return Verdict::Always(action(entry));
    }
    let mut level = Level::default();
    for entry in entries {
        if level.add(&conditions(entry), action(entry)).is_err() {
            problems.push(contradiction(entry, arch));
        }
    }
    Verdict::ByArguments(level)
}

/// libseccomp refuses such rules, and so all who use it.
fn contradiction(entry: &Entry, arch: Arch) -> Problem {
    let through =
        if entry.operation.is_some() { ", which carries out others by its first argument" } else { "" };
    let message = format!(
        "contradicts an earlier rule, which has another action for the same arguments of system call {} of {}{through}",
        entry.number, arch.name
    );
    Problem::new(format!("linux.seccomp.syscalls[{}]", entry.rule), message)
}

/// In the order of the arguments. What socketcall(2) and ipc(2) do takes the place of a condition on the first one.
fn conditions(entry: &Entry, written: &[super::profile::Condition], arch: Arch) -> Vec<Condition> {
    let mut found: Vec<_> = written
        .iter()
        .filter(|condition| entry.operation.is_none() || condition.index != 0)
        .filter_map(|condition| Condition::new(condition, arch.is_64))
        .collect();
    found.extend(entry.operation.map(|operation| Condition::equal(0, operation.into(), arch.is_64)));
    found.sort_by_key(|condition| condition.index);
    found
}

/// Calls that some architectures carry out by socketcall(2) or ipc(2): the row of that, and its first argument
/// (`SYS_*` of linux/net.h, the `call` of ipc(2) of linux/ipc.h).
fn multiplexed(row: Row) -> Option<(Row, u8)> {
    let found = MULTIPLEXED.binary_search_by_key(&row.name(), |(name, _)| name).ok()?;
    let operation = MULTIPLEXED[found].1;
    let (multiplexer, operation) =
        if operation > IPC { ("ipc", operation - IPC) } else { ("socketcall", operation) };
    Some((super::table::row(multiplexer)?, operation))
}

/// Added to the operations of ipc(2).
const IPC: u8 = 100;

const MULTIPLEXED: [(&str, u8); 32] = [
    ("accept", 5),
    ("accept4", 18),
    ("bind", 2),
    ("connect", 3),
    ("getpeername", 7),
    ("getsockname", 6),
    ("getsockopt", 15),
    ("listen", 4),
    ("msgctl", IPC + 14),
    ("msgget", IPC + 13),
    ("msgrcv", IPC + 12),
    ("msgsnd", IPC + 11),
    ("recv", 10),
    ("recvfrom", 12),
    ("recvmmsg", 19),
    ("recvmsg", 17),
    ("semctl", IPC + 3),
    ("semget", IPC + 2),
    ("semop", IPC + 1),
    ("semtimedop", IPC + 4),
    ("send", 9),
    ("sendmmsg", 20),
    ("sendmsg", 16),
    ("sendto", 11),
    ("setsockopt", 14),
    ("shmat", IPC + 21),
    ("shmctl", IPC + 24),
    ("shmdt", IPC + 22),
    ("shmget", IPC + 23),
    ("shutdown", 13),
    ("socket", 1),
    ("socketpair", 8),
];
