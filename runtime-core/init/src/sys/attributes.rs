//! Attributes of this process: CPUs, scheduler, i/o priority, memory policy, personality.

use super::{Errno, check, done, syscall1, syscall3};
use crate::arch::nr;

/// `struct sched_attr` with the clamps of Linux 5.3 (`SCHED_ATTR_SIZE_VER1`).
#[repr(C)]
#[derive(Clone, Copy, Debug)]
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

impl SchedAttr {
    pub(crate) const fn new() -> Self {
        Self {
            size: size_of::<Self>() as u32,
            policy: 0,
            flags: 0,
            nice: 0,
            priority: 0,
            runtime: 0,
            deadline: 0,
            period: 0,
            clamps: [0; 2],
        }
    }
}

/// `sched_setattr(2)` of this thread.
pub(crate) fn set_scheduler(attributes: &SchedAttr) -> Result<(), Errno> {
    let attributes: *const SchedAttr = attributes;
    // SAFETY: the structure lives during the call and says its size.
    done(unsafe { syscall3(nr::SCHED_SETATTR, 0, attributes as usize, 0) })
}

/// `sched_setaffinity(2)` of this thread.
pub(crate) fn set_cpus(mask: &[u8]) -> Result<(), Errno> {
    // SAFETY: the kernel reads the slice.
    done(unsafe { syscall3(nr::SCHED_SETAFFINITY, 0, mask.len(), mask.as_ptr() as usize) })
}

/// `ioprio_set(2)` of this thread.
pub(crate) fn set_io_priority(value: u32) -> Result<(), Errno> {
    const IOPRIO_WHO_PROCESS: usize = 1;
    // SAFETY: numbers only.
    done(unsafe { syscall3(nr::IOPRIO_SET, IOPRIO_WHO_PROCESS, 0, value as usize) })
}

/// `set_mempolicy(2)`: the mask has one bit less than the kernel is told.
pub(crate) fn set_memory_policy(mode: u32, nodes: &[u8]) -> Result<(), Errno> {
    let (mask, bits) = if nodes.is_empty() { (0, 0) } else { (nodes.as_ptr() as usize, nodes.len() * 8 + 1) };
    // SAFETY: the kernel reads so many bits of the slice.
    done(unsafe { syscall3(nr::SET_MEMPOLICY, mode as usize, mask, bits) })
}

/// `personality(2)`.
pub(crate) fn set_personality(persona: u32) -> Result<(), Errno> {
    // SAFETY: a number.
    check(unsafe { syscall1(nr::PERSONALITY, persona as usize) }).map(drop)
}
