//! Attributes of a process that the kernel keeps beside ids and limits: scheduler, i/o priority, CPUs, memory policy,
//! personality. Names become the kernel's numbers here; the form has been checked, so every name is known.

use serde_json::{Map, Value};

/// Scheduling policies, by number (sched.h; runtime-spec 1.3, process.scheduler).
pub(crate) const SCHED_POLICIES: &[&str] =
    &["SCHED_OTHER", "SCHED_FIFO", "SCHED_RR", "SCHED_BATCH", "SCHED_ISO", "SCHED_IDLE", "SCHED_DEADLINE"];

/// Flags of `sched_setattr(2)`, by bit.
pub(super) const SCHED_FLAGS: &[&str] = &[
    "SCHED_FLAG_RESET_ON_FORK",
    "SCHED_FLAG_RECLAIM",
    "SCHED_FLAG_DL_OVERRUN",
    "SCHED_FLAG_KEEP_POLICY",
    "SCHED_FLAG_KEEP_PARAMS",
    "SCHED_FLAG_UTIL_CLAMP_MIN",
    "SCHED_FLAG_UTIL_CLAMP_MAX",
];

/// Classes of `ioprio_set(2)`, by number from 1.
pub(crate) const IO_CLASSES: &[&str] = &["IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"];

/// Modes of `set_mempolicy(2)`, by number (mempolicy.h).
pub(crate) const MEMORY_POLICY_MODES: &[&str] = &[
    "MPOL_DEFAULT",
    "MPOL_PREFERRED",
    "MPOL_BIND",
    "MPOL_INTERLEAVE",
    "MPOL_LOCAL",
    "MPOL_PREFERRED_MANY",
    "MPOL_WEIGHTED_INTERLEAVE",
];

/// Flags of the mode, by bit from 13.
pub(crate) const MEMORY_POLICY_FLAGS: &[&str] =
    &["MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"];

/// Domains of `linux.personality`.
pub(super) const PERSONALITY_DOMAINS: &[&str] = &["LINUX", "LINUX32"];

/// `PER_LINUX32` (personality.h).
const PER_LINUX32: u32 = 8;

/// `process.scheduler` in the numbers of `sched_setattr(2)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scheduler {
    pub(crate) policy: u32,
    pub(crate) nice: i32,
    pub(crate) priority: i32,
    pub(crate) flags: u64,
    pub(crate) runtime: u64,
    pub(crate) deadline: u64,
    pub(crate) period: u64,
}

/// `process.ioPriority`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IoPriority {
    /// `IOPRIO_CLASS_*`.
    pub(crate) class: u32,
    pub(crate) priority: i64,
}

/// `process.execCPUAffinity`, as written; empty is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CpuAffinity {
    pub(crate) initial: String,
    pub(crate) r#final: String,
}

/// `linux.memoryPolicy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MemoryPolicy {
    /// `MPOL_*`.
    pub(crate) mode: u32,
    /// `MPOL_F_*`.
    pub(crate) flags: u32,
    /// As written; empty is absent.
    pub(crate) nodes: String,
}

/// `linux.personality`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Personality {
    /// `PER_*`.
    pub(crate) domain: u32,
    /// The specification knows no flag yet.
    pub(crate) has_flags: bool,
}

/// What `process` has of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProcessAttributes {
    pub(crate) scheduler: Option<Scheduler>,
    pub(crate) io_priority: Option<IoPriority>,
    /// For exec; the container's first process has none (config.md).
    pub(crate) exec_cpus: CpuAffinity,
}

type Object = Map<String, Value>;

impl ProcessAttributes {
    /// Takes them out of a well-formed `process` object.
    pub(super) fn take(process: &mut Object) -> Self {
        let mut taken = |name| match process.remove(name) {
            Some(Value::Object(object)) => Some(object),
            _ => None,
        };
        Self {
            scheduler: taken("scheduler").map(|object| Scheduler {
                policy: number_of(&object, "policy", SCHED_POLICIES),
                nice: integer(&object, "nice"),
                priority: integer(&object, "priority"),
                flags: bits(&object, SCHED_FLAGS).into(),
                runtime: unsigned(&object, "runtime"),
                deadline: unsigned(&object, "deadline"),
                period: unsigned(&object, "period"),
            }),
            io_priority: taken("ioPriority").map(|object| IoPriority {
                class: 1 + number_of(&object, "class", IO_CLASSES),
                priority: object.get("priority").and_then(Value::as_i64).unwrap_or_default(),
            }),
            exec_cpus: taken("execCPUAffinity")
                .map(|object| CpuAffinity {
                    initial: text(&object, "initial"),
                    r#final: text(&object, "final"),
                })
                .unwrap_or_default(),
        }
    }
}

impl MemoryPolicy {
    /// From a well-formed `linux.memoryPolicy`.
    pub(super) fn of(object: &Object) -> Self {
        Self {
            mode: number_of(object, "mode", MEMORY_POLICY_MODES),
            flags: bits(object, MEMORY_POLICY_FLAGS) << 13,
            nodes: text(object, "nodes"),
        }
    }
}

impl Personality {
    /// From a well-formed `linux.personality`.
    pub(super) fn of(object: &Object) -> Self {
        let is_32 = object.get("domain").and_then(Value::as_str) == Some("LINUX32");
        let flags = object.get("flags").and_then(Value::as_array);
        Self {
            domain: if is_32 { PER_LINUX32 } else { 0 },
            has_flags: flags.is_some_and(|flags| !flags.is_empty()),
        }
    }
}

fn position(name: &str, names: &[&str]) -> Option<u32> {
    names.iter().zip(0..).find(|(known, _)| **known == name).map(|(_, at)| at)
}

fn number_of(object: &Object, key: &str, names: &[&str]) -> u32 {
    object.get(key).and_then(Value::as_str).and_then(|name| position(name, names)).unwrap_or_default()
}

fn bits(object: &Object, names: &[&str]) -> u32 {
    let flags = object.get("flags").and_then(Value::as_array).into_iter().flatten();
    flags.filter_map(|flag| position(flag.as_str()?, names)).fold(0, |bits, at| bits | 1 << at)
}

fn integer(object: &Object, name: &str) -> i32 {
    let value = object.get(name).and_then(Value::as_i64).unwrap_or_default();
    i32::try_from(value).unwrap_or_default()
}

fn unsigned(object: &Object, name: &str) -> u64 {
    object.get(name).and_then(Value::as_u64).unwrap_or_default()
}

fn text(object: &Object, name: &str) -> String {
    object.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{CpuAffinity, IoPriority, MemoryPolicy, Personality, ProcessAttributes, Scheduler};

    fn object(value: Value) -> super::Object {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn names_are_the_numbers_of_the_kernel() {
        let mut process = object(json!({
            "scheduler": {
                "policy": "SCHED_DEADLINE", "nice": -1, "priority": 2,
                "flags": ["SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_UTIL_CLAMP_MAX"],
                "runtime": 3, "deadline": 4, "period": u64::MAX,
            },
            "ioPriority": {"class": "IOPRIO_CLASS_IDLE", "priority": 7},
            "execCPUAffinity": {"initial": "0"},
            "cwd": "/",
        }));
        let scheduler = Scheduler {
            policy: 6,
            nice: -1,
            priority: 2,
            flags: 0x41,
            runtime: 3,
            deadline: 4,
            period: u64::MAX,
        };
        let expected = ProcessAttributes {
            scheduler: Some(scheduler),
            io_priority: Some(IoPriority { class: 3, priority: 7 }),
            exec_cpus: CpuAffinity { initial: "0".to_owned(), r#final: String::new() },
        };
        assert_eq!(ProcessAttributes::take(&mut process), expected);
        assert_eq!(process, object(json!({"cwd": "/"})));
        let policy = MemoryPolicy::of(&object(
            json!({"mode": "MPOL_WEIGHTED_INTERLEAVE", "nodes": "0-1", "flags": ["MPOL_F_STATIC_NODES"]}),
        ));
        assert_eq!((policy.mode, policy.flags, policy.nodes.as_str()), (6, 1 << 15, "0-1"));
        let personality = |value| {
            let Personality { domain, has_flags } = Personality::of(&object(value));
            (domain, has_flags)
        };
        assert_eq!(personality(json!({"domain": "LINUX32", "flags": []})), (8, false));
        assert_eq!(personality(json!({"domain": "LINUX", "flags": ["X"]})), (0, true));
    }
}
