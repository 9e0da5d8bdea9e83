//! Writing to a pipe whose reader may be gone, from inside a program whose SIGPIPE disposition is its own business.

use super::arch::{nr, syscall6};
use rustix::io::Errno;

const SIG_BLOCK: usize = 0;
const SIG_SETMASK: usize = 2;
/// Bit of SIGPIPE (13) in the kernel's set.
const SIGPIPE: u64 = 1 << 12;

/// Runs `write` with SIGPIPE blocked for this thread; one that came of it is taken, unless one was pending before.
pub(crate) fn without<R>(write: impl FnOnce() -> Result<R, Errno>) -> Result<R, Errno> {
    let mut previous = 0u64;
    let mut pending = 0u64;
    let size = size_of::<u64>();
    let at = |set: &mut u64| std::ptr::from_mut(set) as usize;
    let mut set = SIGPIPE;
    // SAFETY: pointers to 8-byte sets of this frame; these calls cannot fail with them.
    unsafe {
        syscall6(nr::RT_SIGPENDING, [at(&mut pending), size, 0, 0, 0, 0]);
        syscall6(nr::RT_SIGPROCMASK, [SIG_BLOCK, at(&mut set), at(&mut previous), size, 0, 0]);
    }
    let result = write();
    // SAFETY: as above; the wait has a zero timeout and takes at most the one signal (it is directed at this thread).
    unsafe {
        if matches!(result, Err(Errno::PIPE)) && pending & SIGPIPE == 0 {
            let now = [0u64; 2];
            syscall6(nr::RT_SIGTIMEDWAIT, [at(&mut set), 0, now.as_ptr() as usize, size, 0, 0]);
        }
        syscall6(nr::RT_SIGPROCMASK, [SIG_SETMASK, at(&mut previous), 0, size, 0, 0]);
    }
    result
}
