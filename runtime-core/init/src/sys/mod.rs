//! Raw system calls: for launcher and init, and for the few instructions that the host runs between clone and exec.
//!
//! The numbered functions and [`check`] are public for the host. The typed functions below are for this program
//! alone: one call each, close-on-exec always, and safe, since their parameters are numbers or live references.
//! Nothing here allocates, locks or touches errno. With `arch` and `start` the only place with `unsafe`.

pub(crate) mod attributes;
pub(crate) mod channel;
pub(crate) mod file;
pub(crate) mod filter;
pub(crate) mod memory;
pub(crate) mod mount;
pub(crate) mod process;
pub(crate) mod signal;

use crate::arch;

/// An fd as the kernel numbers it.
pub type RawFd = i32;

/// What the kernel answered to a failed call (errno(3)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub i32);

#[expect(missing_docs, reason = "the names are the kernel's; errno(3) describes each")]
impl Errno {
    pub const EPERM: Self = Self(1);
    pub const ENOENT: Self = Self(2);
    pub const ESRCH: Self = Self(3);
    pub const EINTR: Self = Self(4);
    pub const E2BIG: Self = Self(7);
    pub const ECHILD: Self = Self(10);
    pub const EAGAIN: Self = Self(11);
    pub const ENOMEM: Self = Self(12);
    pub const EBADF: Self = Self(9);
    pub const EACCES: Self = Self(13);
    pub const EEXIST: Self = Self(17);
    pub const EXDEV: Self = Self(18);
    pub const ENODEV: Self = Self(19);
    pub const ENOTDIR: Self = Self(20);
    pub const EISDIR: Self = Self(21);
    pub const EINVAL: Self = Self(22);
    pub const EROFS: Self = Self(30);
    pub const EPIPE: Self = Self(32);
    pub const ENAMETOOLONG: Self = Self(36);
    pub const ENOSYS: Self = Self(38);
    pub const ELOOP: Self = Self(40);
    pub const EPROTO: Self = Self(71);
    pub const EOPNOTSUPP: Self = Self(95);
    pub const ETIMEDOUT: Self = Self(110);

    /// Whether the call is absent: too old a kernel, or an outer seccomp profile that hides it.
    pub const fn is_absent(self) -> bool {
        matches!(self, Self::ENOSYS | Self::EPERM)
    }
}

/// Splits the kernel's answer into value and errno.
///
/// # Errors
/// The errno of a failed call.
pub const fn check(answer: isize) -> Result<usize, Errno> {
    // The kernel keeps the last page of the address space free of addresses: −4095 to −1 are errnos.
    if answer < 0 && answer >= -4095 { Err(Errno(-answer as i32)) } else { Ok(answer as usize) }
}

macro_rules! numbered {
    ($($name:ident($($arg:ident),*) $($zero:literal)*;)*) => { $(
        /// A system call by its number.
        ///
        /// # Safety
        /// As [`arch::syscall`].
        #[expect(clippy::allow_attributes, reason = "only those of five and six arguments have too many")]
        #[allow(clippy::too_many_arguments, reason = "the kernel's calling convention")]
        #[inline(always)]
        pub unsafe fn $name(number: usize, $($arg: usize),*) -> isize {
            // SAFETY: the caller vouches for the arguments; the zeros are ignored by the call.
            unsafe { arch::syscall(number, $($arg,)* $($zero),*) }
        }
    )* };
}

numbered! {
    syscall0() 0 0 0 0 0 0;
    syscall1(a) 0 0 0 0 0;
    syscall2(a, b) 0 0 0 0;
    syscall3(a, b, c) 0 0 0;
    syscall4(a, b, c, d) 0 0;
    syscall5(a, b, c, d, e) 0;
    syscall6(a, b, c, d, e, f);
}

/// An fd that is closed when it goes out of scope.
#[derive(Debug)]
pub(crate) struct Fd(RawFd);

impl Fd {
    /// Takes over an fd that nobody else closes.
    pub(crate) const fn own(fd: RawFd) -> Self {
        Self(fd)
    }

    pub(crate) const fn raw(&self) -> RawFd {
        self.0
    }
}

impl Drop for Fd {
    fn drop(&mut self) {
        close(self.0);
    }
}

/// Closes an fd. The kernel frees the number whatever it answers (close(2)).
pub(crate) fn close(fd: RawFd) {
    // SAFETY: a number. Its owner ([`Fd`], or the table the host passed) gives it up by this call.
    unsafe { syscall1(arch::nr::CLOSE, arg(fd)) };
}

/// A C `int` as it lies in a register: sign-extended.
const fn arg(number: i32) -> usize {
    number as isize as usize
}

/// Owns the fd that a call answered with.
const fn new_fd(answer: isize) -> Result<Fd, Errno> {
    match check(answer) {
        Ok(fd) => Ok(Fd::own(fd as RawFd)),
        Err(errno) => Err(errno),
    }
}

/// For calls that answer nothing.
const fn done(answer: isize) -> Result<(), Errno> {
    match check(answer) {
        Ok(_) => Ok(()),
        Err(errno) => Err(errno),
    }
}
