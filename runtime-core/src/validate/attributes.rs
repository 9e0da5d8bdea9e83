//! `process.scheduler`, `process.ioPriority`, `process.execCPUAffinity`, `linux.memoryPolicy`, `linux.personality`:
//! values that do not fit together. Names were checked with the form.

use crate::{
    Bundle, Problem,
    bundle::{IoPriority, MEMORY_POLICY_MODES, MemoryPolicy, ProcessAttributes, SCHED_POLICIES, Scheduler},
};

/// `CONFIG_NR_CPUS` is at most 8192.
const LAST_CPU: usize = 8191;
/// `CONFIG_NODES_SHIFT` is at most 10.
const LAST_NODE: usize = 1023;

/// Numbers of sched.h.
const SCHED_FIFO: u32 = 1;
const SCHED_RR: u32 = 2;
const SCHED_DEADLINE: u32 = 6;

pub(super) fn check(bundle: &Bundle) -> Vec<Problem> {
    let fields = bundle.fields();
    let mut problems = check_process(&fields.attributes);
    problems.extend(fields.memory_policy.iter().flat_map(check_memory_policy));
    if fields.personality.is_some_and(|personality| personality.has_flags) {
        problems
            .push(Problem::new("linux.personality.flags", "no flag is supported by the specification yet"));
    }
    problems
}

/// Of any process, the container's or one of exec.
pub(crate) fn check_process(attributes: &ProcessAttributes) -> Vec<Problem> {
    let mut problems: Vec<Problem> = attributes.scheduler.iter().flat_map(check_scheduler).collect();
    problems.extend(attributes.io_priority.as_ref().and_then(check_io_priority));
    let affinity = &attributes.exec_cpus;
    for (name, list) in [("initial", &affinity.initial), ("final", &affinity.r#final)] {
        if let Err(words) = crate::bundle::mask(list, LAST_CPU) {
            problems
                .push(Problem::new(format!("process.execCPUAffinity.{name}"), format!("{list:?} {words}")));
        }
    }
    problems
}

/// sched(7), sched_setattr(2).
fn check_scheduler(scheduler: &Scheduler) -> Vec<Problem> {
    let Scheduler { policy, nice, priority, runtime, deadline, period, .. } = *scheduler;
    let name =
        usize::try_from(policy).ok().and_then(|at| SCHED_POLICIES.get(at)).copied().unwrap_or_default();
    let mut problems = Vec::new();
    let mut problem = |property: &str, words: String| {
        problems.push(Problem::new(format!("process.scheduler.{property}"), words));
    };
    if !(-20..=19).contains(&nice) {
        problem("nice", format!("{nice} is not between -20 and 19"));
    }
    if matches!(policy, SCHED_FIFO | SCHED_RR) {
        if !(1..=99).contains(&priority) {
            problem("priority", format!("{priority} is not between 1 and 99, as {name} needs"));
        }
    } else if priority != 0 {
        problem("priority", format!("{priority} can only be given with SCHED_FIFO or SCHED_RR, not {name}"));
    }
    if policy == SCHED_DEADLINE {
        // The kernel takes the deadline for an absent period.
        let is_ordered = runtime <= deadline && (period == 0 || deadline <= period);
        if runtime == 0 || !is_ordered {
            problem("runtime", "SCHED_DEADLINE needs 0 < runtime <= deadline <= period".to_owned());
        }
    } else {
        for (property, value) in [("runtime", runtime), ("deadline", deadline), ("period", period)] {
            if value != 0 {
                problem(property, format!("{value} can only be given with SCHED_DEADLINE, not {name}"));
            }
        }
    }
    problems
}

/// ioprio_set(2).
fn check_io_priority(io: &IoPriority) -> Option<Problem> {
    let is_level = (0..=7).contains(&io.priority);
    (!is_level).then(|| {
        Problem::new("process.ioPriority.priority", format!("{} is not between 0 and 7", io.priority))
    })
}

/// set_mempolicy(2).
fn check_memory_policy(policy: &MemoryPolicy) -> Option<Problem> {
    let at = "linux.memoryPolicy.nodes";
    let mode = usize::try_from(policy.mode).ok().and_then(|at| MEMORY_POLICY_MODES.get(at)).copied()?;
    let mask = match crate::bundle::mask(&policy.nodes, LAST_NODE) {
        Ok(mask) => mask,
        Err(words) => return Some(Problem::new(at, format!("{:?} {words}", policy.nodes))),
    };
    match (mode, mask.is_empty()) {
        ("MPOL_DEFAULT" | "MPOL_LOCAL", false) => Some(Problem::new(at, format!("{mode} takes no nodes"))),
        ("MPOL_BIND" | "MPOL_INTERLEAVE" | "MPOL_PREFERRED_MANY" | "MPOL_WEIGHTED_INTERLEAVE", true) => {
            Some(Problem::new(at, format!("{mode} needs at least one node")))
        }
        _ => None,
    }
}
