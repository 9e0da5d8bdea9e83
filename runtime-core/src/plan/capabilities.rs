//! Capability names to bits (capability.h), and what of them can be granted here.
//!
//! A name that the kernel does not know or that the caller does not have is left out with a warning: engines pass lists
//! made for other kernels (runtime-spec 1.1, process.capabilities).

use std::collections::BTreeSet;

use orlop_init::wire::OwnedOp;

use super::{draft::Draft, id_maps::Users, step::Why};
use crate::{Bundle, bundle::Capabilities, host::HostFacts};

/// By number.
pub(crate) const NAMES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// The five sets as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sets {
    pub(super) bounding: u64,
    pub(super) effective: u64,
    pub(super) permitted: u64,
    pub(super) inheritable: u64,
    pub(super) ambient: u64,
}

/// What can be granted: all that the kernel knows in a user namespace of the container's own, else what the caller has.
fn grantable(host: &HostFacts, users: &Users) -> u64 {
    let known = u64::MAX >> (63 - host.kernel.last_capability.min(63));
    match users.is_private() {
        true => known,
        false => known & host.credentials.bounding & host.credentials.effective,
    }
}

/// Converts the names and drops what cannot hold, with a warning for each. Absent: all sets are empty.
fn plan_sets(wanted: Option<&Capabilities>, grantable: u64, draft: &mut Draft) -> Sets {
    let Some(wanted) = wanted else { return Sets::default() };
    let mut refused = BTreeSet::new();
    let mut bits = |set: &str, names: &[String]| {
        names.iter().fold(0, |bits, name| match NAMES.iter().position(|known| known == name) {
            Some(number) if grantable & (1 << number) != 0 => bits | 1 << number,
            known => {
                if refused.insert(name.clone()) {
                    let why = if known.is_some() { "cannot be granted here" } else { "is unknown" };
                    draft.warning(
                        format!("process.capabilities.{set}"),
                        format!("{name} {why} and is left out"),
                    );
                }
                bits
            }
        })
    };
    let mut sets = Sets {
        bounding: bits("bounding", &wanted.bounding),
        effective: bits("effective", &wanted.effective),
        permitted: bits("permitted", &wanted.permitted),
        inheritable: bits("inheritable", &wanted.inheritable),
        ambient: bits("ambient", &wanted.ambient),
    };
    // capset(2) takes no effective bit that is not permitted, and no inheritable one outside the bounding set;
    // PR_CAP_AMBIENT_RAISE none that is not both permitted and inheritable.
    narrow(&mut sets.effective, sets.permitted, "effective", "permitted", draft);
    narrow(&mut sets.inheritable, sets.bounding, "inheritable", "bounding", draft);
    narrow(
        &mut sets.ambient,
        sets.permitted & sets.inheritable,
        "ambient",
        "permitted and inheritable",
        draft,
    );
    sets
}

fn narrow(set: &mut u64, limit: u64, name: &str, limited_by: &str, draft: &mut Draft) {
    let dropped = *set & !limit;
    *set &= limit;
    if dropped != 0 {
        let message = format!("{} not in {limited_by} and left out", list(dropped));
        draft.warning(format!("process.capabilities.{name}"), message);
    }
}

/// Names for bits, joined by commas.
pub(super) fn list(bits: u64) -> String {
    let names: Vec<&str> = NAMES
        .iter()
        .enumerate()
        .filter(|(number, _)| bits & (1 << number) != 0)
        .map(|(_, name)| *name)
        .collect();
    match names.as_slice() {
        [] => "none".to_owned(),
        names if names.len() == NAMES.len() => "all".to_owned(),
        names => names.join(","),
    }
}

/// The sets of the container's process.
pub(super) fn decide(bundle: &Bundle, host: &HostFacts, users: &Users, draft: &mut Draft) -> Sets {
    plan_sets(bundle.fields().capabilities.as_ref(), grantable(host, users), draft)
}

/// The bounding set can be lowered only while CAP_SETPCAP is there, so it goes first.
pub(super) fn bounding_set(sets: Sets, draft: &mut Draft) {
    let op = OwnedOp::BoundingSet { capabilities: sets.bounding };
    draft.init(op, Why::config("process.capabilities.bounding"));
}

/// What the program starts with, and what init keeps permitted until the exec.
pub(super) fn final_sets(sets: Sets, kept: u64, draft: &mut Draft) {
    let Sets { effective, permitted, inheritable, ambient, .. } = sets;
    draft.init(
        OwnedOp::Capabilities { effective, permitted: permitted | kept, inheritable, ambient },
        Why::config("process.capabilities"),
    );
}

#[cfg(test)]
mod tests {
    use super::{Draft, NAMES, Sets, list, plan_sets};
    use crate::bundle::Capabilities;

    const ALL: u64 = (1 << 41) - 1;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn numbers_are_those_of_the_kernel() {
        for (number, name) in
            [(0, "CAP_CHOWN"), (21, "CAP_SYS_ADMIN"), (27, "CAP_MKNOD"), (40, "CAP_CHECKPOINT_RESTORE")]
        {
            assert_eq!(NAMES[number], name);
        }
    }

    #[test]
    fn absent_capabilities_are_none_at_all() {
        let mut draft = Draft::default();
        assert_eq!(plan_sets(None, ALL, &mut draft), Sets::default());
        assert!(draft.warnings.is_empty());
    }

    #[test]
    fn what_cannot_hold_is_left_out_with_a_warning() {
        let mut draft = Draft::default();
        let wanted = Capabilities {
            bounding: names(&["CAP_CHOWN", "CAP_KILL", "CAP_SYS_TIME", "CAP_NEXT"]),
            effective: names(&["CAP_CHOWN", "CAP_KILL", "CAP_NEXT"]),
            permitted: names(&["CAP_CHOWN", "CAP_SYS_TIME"]),
            inheritable: names(&["CAP_CHOWN", "CAP_FOWNER"]),
            ambient: names(&["CAP_CHOWN", "CAP_KILL"]),
        };
        let sets = plan_sets(Some(&wanted), ALL & !(1 << 25), &mut draft);
        let expected = Sets { bounding: 0b10_0001, effective: 1, permitted: 1, inheritable: 1, ambient: 1 };
        assert_eq!(sets, expected);
        let warnings: Vec<String> = draft.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(
            warnings,
            [
                "process.capabilities.bounding: CAP_SYS_TIME cannot be granted here and is left out",
                "process.capabilities.bounding: CAP_NEXT is unknown and is left out",
                "process.capabilities.effective: CAP_KILL not in permitted and left out",
                "process.capabilities.inheritable: CAP_FOWNER not in bounding and left out",
                "process.capabilities.ambient: CAP_KILL not in permitted and inheritable and left out",
            ]
        );
    }

    #[test]
    fn sets_are_listed_by_name() {
        assert_eq!(list(0), "none");
        assert_eq!(list(0b100_0001), "CAP_CHOWN,CAP_SETGID");
        assert_eq!(list(ALL), "all");
    }
}
