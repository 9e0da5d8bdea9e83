//! CPUs and scheduler.

use super::Failure;
use crate::{
    sys::attributes::{self, SchedAttr},
    wire::{Malformed, Op},
};

/// The step *ResetCpus*. More CPUs than any kernel has: it takes those that exist and that the cgroup has.
pub(super) fn reset_cpus() -> Result<(), Failure> {
    match attributes::set_cpus(&[0xff; 1024]) {
        // A profile around the runtime, or a cpuset without a CPU.
        Err(errno) if errno.is_absent() || errno == crate::sys::Errno::EINVAL => Ok(()),
        answer => Ok(answer?),
    }
}

/// The step *Scheduler*.
pub(super) fn set_scheduler(op: &Op<'static>) -> Result<(), Failure> {
    let Op::Scheduler { policy, nice, priority, flags, runtime, deadline, period } = *op else {
        return Err(Malformed.into());
    };
    let attributes =
        SchedAttr { policy, flags, nice, priority, runtime, deadline, period, ..SchedAttr::new() };
    Ok(attributes::set_scheduler(&attributes)?)
}
