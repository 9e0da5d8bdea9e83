//! Which namespaces are made and which are joined, in which order and by whom.
//!
//! `setns(2)` asks for CAP_SYS_ADMIN in the user namespace that owns the target and in the caller's own. So a namespace
//! owned by the caller's user namespace is joined before another user namespace is entered, one owned by the container's
//! user namespace after it. `CLONE_NEWCGROUP` and `CLONE_NEWTIME` are never part of the clone: the first would take the
//! launcher's cgroup as its root, the second must be set before somebody is in it.

use std::path::PathBuf;

use oci_spec::runtime::LinuxNamespace;
use orlop_init::wire::Slot;

use crate::{Problem, inspect::JoinedNamespace};

/// `CLONE_NEW*` flags (sched.h).
pub(super) mod flags {
    pub(in crate::plan) const TIME: u32 = 0x80;
    pub(in crate::plan) const MOUNT: u32 = 0x2_0000;
    pub(in crate::plan) const CGROUP: u32 = 0x200_0000;
    pub(in crate::plan) const UTS: u32 = 0x400_0000;
    pub(in crate::plan) const IPC: u32 = 0x800_0000;
    pub(in crate::plan) const USER: u32 = 0x1000_0000;
    pub(in crate::plan) const PID: u32 = 0x2000_0000;
    pub(in crate::plan) const NETWORK: u32 = 0x4000_0000;
}

/// The word of config.json for a flag.
pub(super) fn kind_name(kind: u32) -> &'static str {
    match kind {
        flags::TIME => "time",
        flags::MOUNT => "mount",
        flags::CGROUP => "cgroup",
        flags::UTS => "uts",
        flags::IPC => "ipc",
        flags::USER => "user",
        flags::PID => "pid",
        flags::NETWORK => "network",
        _ => "unknown",
    }
}

/// A namespace to join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Join {
    /// Index in `linux.namespaces`.
    pub(super) index: usize,
    /// Its `CLONE_NEW*` flag.
    pub(super) kind: u32,
    /// Where the host puts its fd.
    pub(super) slot: Slot,
    /// Its path.
    pub(super) path: PathBuf,
    owned_by_callers_user_namespace: bool,
}

impl Join {
    /// What an exec joins: one namespace of the container, or several with one call.
    pub(super) fn of_container(index: usize, kind: u32, slot: Slot, path: PathBuf) -> Self {
        Self { index, kind, slot, path, owned_by_callers_user_namespace: false }
    }
}

/// What is decided about all namespaces of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Namespaces {
    /// Made for this container: flags.
    pub(super) new: u32,
    /// Joined by path, in the order of joining; a late joined pid namespace is not among them.
    pub(super) joins: Vec<Join>,
    /// A pid namespace that is entered last, by a process that has nothing of the host any more.
    pub(super) late_pid: Option<Join>,
    /// The mount namespace of a member of that one, whose procfs is taken where the kernel makes none for others.
    pub(super) members_mounts: Option<Join>,
}

impl Namespaces {
    /// Whether this kind is made for the container.
    pub(super) fn is_new(&self, kind: u32) -> bool {
        self.new & kind != 0
    }

    /// The existing one of this kind that the container joins.
    pub(super) fn joined(&self, kind: u32) -> Option<&Join> {
        self.joins.iter().chain(&self.late_pid).find(|join| join.kind == kind)
    }

    /// Whether this kind is another one than the caller's.
    pub(super) fn is_private(&self, kind: u32) -> bool {
        self.is_new(kind) || self.joined(kind).is_some()
    }

    /// Whether a namespace of this kind belongs to the container's user namespace, when that is not the caller's.
    pub(super) fn is_owned_by_container(&self, kind: u32) -> bool {
        self.is_new(kind) || self.joined(kind).is_some_and(|join| !join.owned_by_callers_user_namespace)
    }

    /// Everything that the host opens into slots.
    pub(super) fn opened(&self) -> impl Iterator<Item = &Join> {
        self.joins.iter().chain(&self.late_pid).chain(&self.members_mounts)
    }

    /// Has the mount namespace of a member opened too, if the host knows one.
    pub(super) fn look_at_members(&mut self, found: &[JoinedNamespace]) {
        let Some(late) = &self.late_pid else { return };
        let count = u32::try_from(self.opened().count()).unwrap_or(u32::MAX);
        self.members_mounts = found.iter().find(|found| found.index == late.index).map(|found| Join {
            index: found.index,
            kind: found.kind,
            slot: Slot(count),
            path: found.path.clone(),
            owned_by_callers_user_namespace: found.owned_by_callers_user_namespace,
        });
    }
}

/// Sorts `linux.namespaces` into made, joined and inherited.
pub(super) fn plan_namespaces(
    listed: &[LinuxNamespace],
    found: &[JoinedNamespace],
    is_privileged: bool,
) -> Result<Namespaces, Vec<Problem>> {
    let mut plan = Namespaces::default();
    let mut problems = Vec::new();
    for (index, namespace) in listed.iter().enumerate() {
        let kind = namespace.typ() as u32;
        if namespace.path().as_ref().is_none_or(|path| path.as_os_str().is_empty()) {
            plan.new |= kind;
            continue;
        }
        match found.iter().find(|found| found.index == index) {
            Some(found) if found.is_own => {}
            Some(found) => plan.joins.push(Join {
                index,
                kind,
                slot: Slot::NONE,
                path: found.path.clone(),
                owned_by_callers_user_namespace: found.owned_by_callers_user_namespace,
            }),
            None => {
                problems.push(Problem::new(format!("linux.namespaces[{index}].path"), "was not looked at"))
            }
        }
    }
    problems.extend(impossible(&plan, is_privileged));
    if !problems.is_empty() {
        return Err(problems);
    }
    order(&mut plan);
    Ok(plan)
}

/// Combinations that the kernel or our guarantees do not allow.
fn impossible(plan: &Namespaces, is_privileged: bool) -> Vec<Problem> {
    let mut problems = Vec::new();
    let at = |join: &Join| format!("linux.namespaces[{}].path", join.index);
    if !plan.is_private(flags::MOUNT) {
        problems.push(Problem::new(
            "linux.namespaces",
            "a container without a mount namespace would change the mounts of this host; add {\"type\": \"mount\"}",
        ));
    }
    if !is_privileged && !plan.is_private(flags::USER) {
        problems.push(Problem::new("linux.namespaces", "rootless container requires user namespaces"));
    }
    if plan.is_new(flags::USER) {
        for join in &plan.joins {
            if !join.owned_by_callers_user_namespace {
                problems.push(Problem::new(
                    at(join),
                    format!(
                        "the {} namespace belongs to another user namespace and cannot be joined together with a new user namespace",
                        kind_name(join.kind)
                    ),
                ));
            } else if join.kind == flags::PID {
                problems.push(Problem::new(
                    at(join),
                    "joining a pid namespace together with a new user namespace is not supported",
                ));
            }
        }
    }
    problems
}

/// Puts the joins into the order in which the kernel allows them and gives them slots.
fn order(plan: &mut Namespaces) {
    let joins_user = plan.joined(flags::USER).is_some();
    // Where the members belong to the container's own user namespace it suffices that init is not dumpable. Elsewhere
    // one with CAP_SYS_PTRACE could open the memory, the root and the fds of an init that still has the host's.
    let is_late =
        |join: &Join| join.kind == flags::PID && (join.owned_by_callers_user_namespace || !joins_user);
    plan.late_pid = plan.joins.iter().position(is_late).map(|at| plan.joins.remove(at));
    plan.joins.sort_by_key(|join| match (join.kind, join.owned_by_callers_user_namespace) {
        (flags::USER, _) => 1,
        (_, true) => 0,
        (_, false) => 2,
    });
    for (number, join) in plan.joins.iter_mut().chain(plan.late_pid.as_mut()).enumerate() {
        join.slot = Slot(u32::try_from(number).unwrap_or(u32::MAX));
    }
}

#[cfg(test)]
mod tests {
    use orlop_init::wire::Slot;

    use super::{Namespaces, flags, plan_namespaces};
    use crate::inspect::JoinedNamespace;

    /// Each word: `kind` is new, `kind+` joined and owned by our user namespace, `kind-` joined and not, `kind=` our own.
    fn planned(words: &str, is_privileged: bool) -> Result<Namespaces, Vec<String>> {
        let mut listed = Vec::new();
        let mut found = Vec::new();
        for (index, word) in words.split(' ').enumerate() {
            let kind = word.trim_end_matches(['+', '-', '=']);
            let mut json = serde_json::json!({"type": kind});
            if kind != word {
                json["path"] = "/proc/7/ns/x".into();
            }
            let namespace: oci_spec::runtime::LinuxNamespace = serde_json::from_value(json).unwrap();
            if kind != word {
                found.push(JoinedNamespace {
                    index,
                    kind: namespace.typ() as u32,
                    path: "/proc/7/ns/x".into(),
                    fd: None,
                    is_own: word.ends_with('='),
                    owned_by_callers_user_namespace: word.ends_with('+'),
                });
            }
            listed.push(namespace);
        }
        plan_namespaces(&listed, &found, is_privileged)
            .map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn joins_have_the_order_that_the_kernel_allows() {
        for (words, order, late) in [
            ("mount network+ ipc+", "network ipc", false),
            ("mount ipc- user- network+", "network user ipc", false),
            ("mount pid- user- network-", "user pid network", false),
            ("mount pid+ user- network-", "user network", true),
            ("mount pid+ network+", "network", true),
            ("mount pid-", "", true),
            ("mount pid= network=", "", false),
        ] {
            let plan = planned(words, true).unwrap();
            let seen: Vec<&str> = plan.joins.iter().map(|join| super::kind_name(join.kind)).collect();
            let mut expected: Vec<&str> = order.split(' ').collect();
            expected.retain(|word| !word.is_empty());
            assert_eq!(seen, expected, "{words}");
            assert_eq!(plan.late_pid.is_some(), late, "{words}");
            let slots: Vec<u32> = plan.opened().map(|join| join.slot.0).collect();
            assert!(
                slots.iter().enumerate().all(|(number, slot)| number as u32 == *slot),
                "{words}: {slots:?}"
            );
            assert!(plan.opened().all(|join| join.slot != Slot::NONE));
        }
    }

    #[test]
    fn an_empty_path_makes_a_new_namespace() {
        let json = serde_json::json!([{"type": "mount"}, {"type": "uts", "path": ""}]);
        let listed: Vec<oci_spec::runtime::LinuxNamespace> = serde_json::from_value(json).unwrap();
        assert_eq!(plan_namespaces(&listed, &[], true).unwrap().new, flags::MOUNT | flags::UTS);
    }

    #[test]
    fn impossible_combinations_are_refused() {
        for (words, is_privileged, expected) in [
            ("pid", true, "without a mount namespace"),
            ("mount", false, "requires user namespaces"),
            ("mount user network-", true, "belongs to another user namespace"),
            ("mount user pid+", true, "together with a new user namespace"),
        ] {
            let problems = planned(words, is_privileged).unwrap_err();
            assert!(problems[0].contains(expected), "{words}: {problems:?}");
        }
        for words in ["mount user network+", "mount user= network+", "mount+ user-"] {
            assert!(planned(words, true).is_ok(), "{words}");
        }
    }
}
