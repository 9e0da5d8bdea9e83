//! Scheduler and i/o priority of another process.

use nix::libc;
use rustix::io::Errno;

/// What `sched_setattr(2)` sets: `struct sched_attr` with the clamps of Linux 5.3 (`SCHED_ATTR_SIZE_VER1`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SchedAttr {
    pub(crate) size: u32,
    pub(crate) policy: u32,
    pub(crate) flags: u64,
    pub(crate) nice: i32,
    pub(crate) priority: u32,
    pub(crate) runtime: u64,
    pub(crate) deadline: u64,
    pub(crate) period: u64,
    pub(crate) clamps: [u32; 2],
}

/// `sched_setattr(2)`.
///
/// # Errors
/// EPERM without CAP_SYS_NICE; EBUSY when a deadline cannot be kept with what others have; EINVAL.
pub(crate) fn set_scheduler(pid: i32, attributes: SchedAttr) -> Result<(), Errno> {
    let attributes =
        SchedAttr { size: u32::try_from(size_of::<SchedAttr>()).unwrap_or_default(), ..attributes };
    // SAFETY: the structure lives during the call and says its size; no flags are defined.
    answer(unsafe { libc::syscall(libc::SYS_sched_setattr, pid, &raw const attributes, 0) })
}

/// `ioprio_set(2)` of one process.
///
/// # Errors
/// EPERM without CAP_SYS_NICE, and for the real-time class without CAP_SYS_ADMIN too.
pub(crate) fn set_io_priority(pid: i32, value: u32) -> Result<(), Errno> {
    const IOPRIO_WHO_PROCESS: i32 = 1;
    // SAFETY: numbers only.
    answer(unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, pid, value) })
}

fn answer(result: libc::c_long) -> Result<(), Errno> {
    match result {
        -1 => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL)),
        _ => Ok(()),
    }
}
