//! Questions to a namespace that is open as a file (ioctl_ns(2)); rustix has no calls for them.

use std::{
    ffi::c_void,
    os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd},
};

use rustix::io::{Errno, Result};

/// `NSFS_MAGIC` of linux/magic.h.
const NSFS_MAGIC: u32 = 0x6e73_6673;

/// `NS_GET_USERNS` and `NS_GET_NSTYPE` of linux/nsfs.h.
const NS_GET_USERNS: u32 = 0xb701;
const NS_GET_NSTYPE: u32 = 0xb703;

/// A call without argument whose answer is its return value.
struct Question<const OPCODE: u32>;

// SAFETY: the calls of ioctl_ns(2) that are asked here take no argument, so the null pointer is never followed, and
// nothing is written.
unsafe impl<const OPCODE: u32> rustix::ioctl::Ioctl for Question<OPCODE> {
    type Output = i32;

    const IS_MUTATING: bool = false;

    fn opcode(&self) -> rustix::ioctl::Opcode {
        OPCODE
    }

    fn as_ptr(&mut self) -> *mut c_void {
        std::ptr::null_mut()
    }

    unsafe fn output_from_ptr(answer: rustix::ioctl::IoctlOutput, _: *mut c_void) -> Result<i32> {
        Ok(answer)
    }
}

/// Whether an open file is a namespace. Asked before the ioctls: another file may take their numbers for something else.
pub(crate) fn is_namespace(file: BorrowedFd<'_>) -> Result<bool> {
    Ok(rustix::fs::fstatfs(file)?.f_type as u32 == NSFS_MAGIC)
}

/// The `CLONE_NEW*` flag of a namespace's type. Linux 4.11.
pub(crate) fn kind_of(namespace: BorrowedFd<'_>) -> Result<u32> {
    // SAFETY: the file is a namespace (the caller asked), for which the call has no effect but its answer.
    let answer = unsafe { rustix::ioctl::ioctl(namespace, Question::<NS_GET_NSTYPE>) }?;
    u32::try_from(answer).map_err(|_| Errno::RANGE)
}

/// The user namespace that owns a namespace; none where it is outside of what the caller can see. Linux 4.9.
pub(crate) fn owner_of(namespace: BorrowedFd<'_>) -> Result<Option<OwnedFd>> {
    // SAFETY: the file is a namespace (the caller asked), for which the call only opens a new fd.
    match unsafe { rustix::ioctl::ioctl(namespace.as_fd(), Question::<NS_GET_USERNS>) } {
        // SAFETY: the kernel has just made this fd (close-on-exec) for us, and nobody else knows it.
        Ok(fd) => Ok(Some(unsafe { OwnedFd::from_raw_fd(fd) })),
        Err(Errno::PERM) => Ok(None),
        Err(errno) => Err(errno),
    }
}
