//! Memory without a heap: the mapped plan, and zeroed pages for what has no fixed size.

use core::ffi::CStr;

use super::{Errno, RawFd, check, syscall6};
use crate::{arch::nr, wire::codec::List};

const PROT_READ: usize = 1;
const PROT_WRITE: usize = 2;
const MAP_PRIVATE: usize = 2;
const MAP_ANONYMOUS: usize = 0x20;

/// Maps a file read-only for the rest of this process's life.
pub(crate) fn map_file(fd: RawFd, len: usize) -> Result<&'static [u8], Errno> {
    if len == 0 {
        return Ok(&[]);
    }
    // SAFETY: a new mapping at an address of the kernel's choice touches no memory that is in use.
    let at = check(unsafe { syscall6(nr::MMAP, 0, len, PROT_READ, MAP_PRIVATE, super::arg(fd), 0) })?;
    // SAFETY: the mapping is `len` bytes long, never unmapped and not writable through it; the plan's memfd is sealed
    // against writing and shrinking by the host before the launcher is started.
    Ok(unsafe { core::slice::from_raw_parts(at as *const u8, len) })
}

/// Zeroed memory, never given back: init is replaced by exec, which frees all of it.
pub(crate) fn zeroed(len: usize) -> Result<&'static mut [u8], Errno> {
    let len = len.max(1);
    let how = MAP_PRIVATE | MAP_ANONYMOUS;
    // SAFETY: a new mapping at an address of the kernel's choice touches no memory that is in use.
    let at = check(unsafe { syscall6(nr::MMAP, 0, len, PROT_READ | PROT_WRITE, how, usize::MAX, 0) })?;
    // SAFETY: the mapping is fresh, zeroed, `len` bytes long, never unmapped, and this is the only reference to it.
    Ok(unsafe { core::slice::from_raw_parts_mut(at as *mut u8, len) })
}

/// Zeroed numbers, never given back.
pub(crate) fn zeroed_numbers(count: usize) -> Result<&'static mut [u32], Errno> {
    let bytes = zeroed(count.checked_mul(4).ok_or(Errno::ENOMEM)?)?;
    // SAFETY: pages are aligned for u32, all bit patterns are numbers, and `bytes` gives its memory up.
    Ok(unsafe { core::slice::from_raw_parts_mut(bytes.as_mut_ptr().cast(), count) })
}

/// A vector of strings as `execve` wants it: pointers with a null at the end.
pub(crate) struct Strings(&'static mut [usize]);

impl Strings {
    /// Points at the strings where they lie in the plan, and at one more if given.
    pub(crate) fn new(
        list: &List<'static, &'static CStr>,
        more: Option<&'static CStr>,
    ) -> Result<Self, Errno> {
        let count = list.len().checked_add(2).ok_or(Errno::E2BIG)?;
        let bytes = zeroed(count.checked_mul(size_of::<usize>()).ok_or(Errno::E2BIG)?)?;
        // SAFETY: pages are aligned for usize, all bit patterns are numbers, and `bytes` gives its memory up.
        let pointers = unsafe { core::slice::from_raw_parts_mut(bytes.as_mut_ptr().cast::<usize>(), count) };
        for (pointer, string) in pointers.iter_mut().zip(list.iter().chain(more)) {
            *pointer = string.as_ptr() as usize;
        }
        Ok(Self(pointers))
    }

    /// The address of the vector.
    pub(super) fn address(&self) -> usize {
        self.0.as_ptr() as usize
    }
}
