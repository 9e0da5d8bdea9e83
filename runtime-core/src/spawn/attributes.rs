//! Scheduler and i/o priority of init, set from outside.

use rustix::io::Errno;

use crate::{
    Error, Result,
    bundle::Scheduler,
    sys::attributes::{self, SchedAttr},
};

/// Whether AppArmor has the profile. Names of other namespaces and stacks of profiles, and a list that we may not read,
/// are left to the kernel.
pub(super) fn check_profile(name: &str) -> Result<()> {
    let loaded = std::fs::read_to_string("/sys/kernel/security/apparmor/profiles").unwrap_or_default();
    let is_listed = loaded.lines().any(|line| line.rsplit_once(" (").is_some_and(|(known, _)| known == name));
    if is_listed || loaded.is_empty() || name.contains("//") || name.starts_with(':') {
        return Ok(());
    }
    let message = "unable to apply apparmor profile: apparmor failed to apply profile: write \
                   /proc/thread-self/attr/apparmor/exec";
    Err(Error::from_errno(message, Errno::NOENT.raw_os_error())
        .with_config_path("process.apparmorProfile")
        .with_hint(format!(
            "the profile {name} is not loaded (apparmor_parser loads one, aa-status lists them)"
        )))
}

/// Sets policy and parameters.
pub(super) fn set_scheduler(pid: i32, scheduler: Scheduler) -> Result<()> {
    let Scheduler { policy, nice, priority, flags, runtime, deadline, period } = scheduler;
    let priority = u32::try_from(priority).unwrap_or_default();
    let attributes =
        SchedAttr { policy, flags, nice, priority, runtime, deadline, period, ..SchedAttr::default() };
    attributes::set_scheduler(pid, attributes).map_err(|errno| {
        let error = Error::from_errno("error setting scheduler", errno.raw_os_error());
        let error = error.with_config_path("process.scheduler");
        match scheduler_hint(errno) {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    })
}

/// Sets class and level.
pub(super) fn set_io_priority(pid: i32, value: u32) -> Result<()> {
    attributes::set_io_priority(pid, value).map_err(|errno| {
        let error = Error::from_errno("failed to set io priority", errno.raw_os_error());
        error.with_config_path("process.ioPriority")
    })
}

fn scheduler_hint(errno: Errno) -> Option<&'static str> {
    Some(match errno {
        Errno::PERM => {
            "real-time policies need CAP_SYS_NICE, real-time runtime in the cgroup \
             (linux.resources.cpu.realtimeRuntime), and SCHED_DEADLINE a cpuset of all CPUs"
        }
        Errno::BUSY => "SCHED_DEADLINE: the CPUs have no such share left, or the cpuset is not exclusive",
        Errno::INVAL => "this kernel does not have the policy or flag, or takes no such values",
        _ => return None,
    })
}
