//! CPUs, scheduler, i/o priority, memory policy, personality: what of the caller's is kept and what the configuration
//! sets.
//!
//! Policy, nice value, i/o priority, memory policy, personality and timer slack that the configuration does not name
//! stay the caller's (runtime-spec, `scheduler`: unset means unchanged), so that `nice` or `numactl` around the runtime
//! reach the container. The CPUs do not: a runtime started by a service that is pinned would pin the container for ever,
//! whatever its cpuset says.

use orlop_init::wire::{OwnedOp, message::Barrier};

use super::{
    Decisions,
    draft::Draft,
    step::{HostOp, When, Why},
};
use crate::bundle::{
    CpuAffinity, IO_CLASSES, IoPriority, MEMORY_POLICY_MODES, SCHED_POLICIES, Scheduler, mask,
};

/// Capability that `sched_setattr(2)` of another user's process asks for, in the initial user namespace.
const CAP_SYS_NICE: u64 = 1 << 23;

/// All CPUs that the cgroup has, now and later. Needs no right.
pub(super) fn reset_cpus(_: &Decisions<'_>, draft: &mut Draft) {
    draft.init(OwnedOp::ResetCpus {}, Why::Always("the caller's CPU affinity is not the container's"));
}

/// What `process.execCPUAffinity` asks of a process that joins a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ExecCpus {
    /// Before it enters the container's cgroup.
    pub(super) initial: Option<OwnedOp>,
    /// Afterwards. Without any wish its CPUs are reset; with an initial one alone the kernel decides.
    pub(super) r#final: Option<OwnedOp>,
}

/// The steps for exec, each at its side of the move into the cgroup.
pub(super) fn exec_cpus(affinity: &CpuAffinity) -> ExecCpus {
    // Validated; an empty list makes an empty mask.
    let op = |list: &str| {
        let mask = mask(list, usize::MAX).unwrap_or_default();
        (!mask.is_empty()).then_some(OwnedOp::Cpus { mask })
    };
    let initial = op(&affinity.initial);
    let reset = initial.is_none().then_some(OwnedOp::ResetCpus {});
    ExecCpus { r#final: op(&affinity.r#final).or(reset), initial }
}

/// While no filter of system calls is there, which may know neither call.
pub(super) fn set_memory_and_personality(decisions: &Decisions<'_>, draft: &mut Draft) {
    let fields = decisions.bundle.fields();
    if let Some(policy) = &fields.memory_policy {
        // Validated.
        let nodes = mask(&policy.nodes, usize::MAX).unwrap_or_default();
        let op = OwnedOp::MemoryPolicy { mode: policy.mode | policy.flags, nodes };
        draft.init(op, Why::config("linux.memoryPolicy"));
    }
    if let Some(personality) = fields.personality {
        let op = OwnedOp::Personality { persona: personality.domain };
        draft.init(op, Why::config("linux.personality"));
    }
}

/// By the host where it has the right: real-time policies and lower nice values are for CAP_SYS_NICE of the initial user
/// namespace, which the container's root may not have. Late, since a process under SCHED_DEADLINE cannot fork.
pub(super) fn set_scheduler(decisions: &Decisions<'_>, draft: &mut Draft) {
    let attributes = &decisions.bundle.fields().attributes;
    let by_host = decisions.host.credentials.effective & CAP_SYS_NICE != 0;
    if let Some(scheduler) = attributes.scheduler {
        let why = Why::config("process.scheduler");
        match by_host {
            true => draft.host(When::At(Barrier::Ready), HostOp::Scheduler { scheduler }, why),
            false => draft.init(scheduler_op(scheduler), why),
        }
    }
    if let Some(priority) = attributes.io_priority {
        let (value, why) = (io_priority_value(priority), Why::config("process.ioPriority"));
        match by_host {
            true => draft.host(When::At(Barrier::Ready), HostOp::IoPriority { value }, why),
            false => draft.init(OwnedOp::IoPriority { value }, why),
        }
    }
}

/// The step with which a process sets its own.
pub(super) fn scheduler_op(scheduler: Scheduler) -> OwnedOp {
    let Scheduler { policy, nice, priority, flags, runtime, deadline, period } = scheduler;
    OwnedOp::Scheduler {
        policy,
        nice,
        priority: u32::try_from(priority).unwrap_or_default(),
        flags,
        runtime,
        deadline,
        period,
    }
}

/// As `ioprio_set(2)` takes it (ioprio.h).
pub(super) fn io_priority_value(priority: IoPriority) -> u32 {
    priority.class << 13 | u32::try_from(priority.priority).unwrap_or_default()
}

/// The name of a policy's number.
pub(super) fn policy_name(policy: u32) -> &'static str {
    usize::try_from(policy).ok().and_then(|at| SCHED_POLICIES.get(at)).copied().unwrap_or("an unknown policy")
}

/// The name of the class in an i/o priority.
pub(super) fn io_class_name(value: u32) -> &'static str {
    let at = usize::try_from(value >> 13).ok().and_then(|class| class.checked_sub(1));
    at.and_then(|at| IO_CLASSES.get(at)).copied().unwrap_or("an unknown class")
}

/// The name of a memory policy's mode.
pub(super) fn memory_mode_name(mode: u32) -> &'static str {
    let at = usize::try_from(mode & 0xff).ok();
    at.and_then(|at| MEMORY_POLICY_MODES.get(at)).copied().unwrap_or("an unknown mode")
}

/// The numbers of a mask as a list: `0-3,7`.
pub(super) fn numbers(mask: &[u8]) -> String {
    let is_set = |at: usize| mask.get(at / 8).is_some_and(|byte| byte >> (at % 8) & 1 != 0);
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for at in (0..mask.len() * 8).filter(|&at| is_set(at)) {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == at => *last = at,
            _ => ranges.push((at, at)),
        }
    }
    let range = |(first, last)| if first == last { format!("{first}") } else { format!("{first}-{last}") };
    ranges.into_iter().map(range).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use orlop_init::wire::OwnedOp;

    use super::{CpuAffinity, ExecCpus, exec_cpus, mask, numbers};

    #[test]
    fn exec_sets_cpus_on_both_sides_of_the_move() {
        let cpus = |list: &str| Some(OwnedOp::Cpus { mask: mask(list, 64).unwrap() });
        let reset = Some(OwnedOp::ResetCpus {});
        for (initial, r#final, expected) in [
            ("", "", ExecCpus { initial: None, r#final: reset }),
            ("0", "", ExecCpus { initial: cpus("0"), r#final: None }),
            ("", "1", ExecCpus { initial: None, r#final: cpus("1") }),
            ("0-1", "1", ExecCpus { initial: cpus("0-1"), r#final: cpus("1") }),
        ] {
            let affinity = CpuAffinity { initial: initial.to_owned(), r#final: r#final.to_owned() };
            assert_eq!(exec_cpus(&affinity), expected);
        }
    }

    #[test]
    fn masks_are_told_as_lists() {
        for (list, told) in [("", ""), ("0", "0"), ("7,0-2,64,65", "0-2,7,64-65")] {
            assert_eq!(numbers(&mask(list, 100).unwrap()), told);
        }
    }
}
