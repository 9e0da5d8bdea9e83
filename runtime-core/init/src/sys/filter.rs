//! `seccomp(2)`.

use super::{Errno, check, syscall3};
use crate::arch::nr;

/// `SECCOMP_FILTER_FLAG_NEW_LISTENER` (Linux 5.0).
pub(crate) const NEW_LISTENER: u32 = 8;

/// `struct sock_fprog` (64-bit).
#[repr(C)]
struct Program {
    len: u16,
    padding: [u16; 3],
    instructions: *const u8,
}

/// `seccomp(SECCOMP_SET_MODE_FILTER)`: the listener's fd, close-on-exec, if the flags ask for one.
pub(crate) fn load(instructions: &[u8], flags: u32) -> Result<usize, Errno> {
    const SECCOMP_SET_MODE_FILTER: usize = 1;
    /// Bytes of a `struct sock_filter`.
    const INSTRUCTION: usize = 8;
    let len = u16::try_from(instructions.len() / INSTRUCTION).map_err(|_| Errno::EINVAL)?;
    let program = Program { len, padding: [0; 3], instructions: instructions.as_ptr() };
    let program = &raw const program;
    // SAFETY: the kernel reads the structure and so many instructions, which live during the call.
    check(unsafe { syscall3(nr::SECCOMP, SECCOMP_SET_MODE_FILTER, flags as usize, program as usize) })
}
