//! Signals as sets of bits (bit 0 is signal 1), signalfd, poll and the clock.

use super::{Errno, Fd, RawFd, arg, check, done, new_fd, syscall2, syscall4, syscall5};
use crate::arch::nr;

pub(crate) const SIGHUP: u32 = 1;
pub(crate) const SIGINT: u32 = 2;
pub(crate) const SIGQUIT: u32 = 3;
pub(crate) const SIGKILL: u32 = 9;
pub(crate) const SIGPIPE: u32 = 13;
pub(crate) const SIGTERM: u32 = 15;
pub(crate) const SIGCHLD: u32 = 17;
pub(crate) const SIGSTOP: u32 = 19;
const SIGNALS: u32 = 64;
/// Bytes of the kernel's `sigset_t`.
const SET_SIZE: usize = 8;

/// The bit of a signal.
pub(crate) const fn bit(signal: u32) -> u64 {
    1 << (signal - 1)
}

/// Sets the dispositions of the signals in `ignored` to ignore, of all others to default: an exec keeps ignored ones,
/// and `CLONE_CLEAR_SIGHAND` too.
pub(crate) fn set_dispositions(ignored: u64) {
    for signal in (1..=SIGNALS).filter(|signal| ![SIGKILL, SIGSTOP].contains(signal)) {
        let handler = u64::from(ignored & bit(signal) != 0);
        // `struct sigaction` of the kernel: handler, flags, (restorer,) mask; all zero but the handler. x86_64 has a
        // restorer, aarch64 reads one word less.
        let action = [handler, 0, 0, 0];
        // SAFETY: the structure lives during the call; SIG_DFL and SIG_IGN are no code addresses.
        unsafe { syscall4(nr::RT_SIGACTION, signal as usize, action.as_ptr() as usize, 0, SET_SIZE) };
    }
}

/// Sets the signal mask.
pub(crate) fn set_mask(blocked: u64) {
    const SIG_SETMASK: usize = 2;
    let set = &raw const blocked;
    // SAFETY: the set lives during the call.
    unsafe { syscall4(nr::RT_SIGPROCMASK, SIG_SETMASK, set as usize, 0, SET_SIZE) };
}

/// Takes a pending signal of the set away, without waiting. Whether there was one.
pub(crate) fn take_pending(set: u64) -> bool {
    let no_time = [0u64; 2];
    let set = &raw const set;
    // SAFETY: set and `struct timespec` live during the call. EAGAIN means that none was pending.
    let taken =
        unsafe { syscall4(nr::RT_SIGTIMEDWAIT, set as usize, 0, no_time.as_ptr() as usize, SET_SIZE) };
    check(taken).is_ok()
}

/// `signalfd4(2)` for signals that are blocked.
pub(crate) fn signalfd(set: u64) -> Result<Fd, Errno> {
    const SFD_CLOEXEC: usize = 0o2_000_000;
    let set = &raw const set;
    // SAFETY: the set lives during the call.
    new_fd(unsafe { syscall4(nr::SIGNALFD4, usize::MAX, set as usize, SET_SIZE, SFD_CLOEXEC) })
}

/// The signal that a signalfd holds.
pub(crate) fn read_signalfd(fd: RawFd) -> Result<u32, Errno> {
    let mut info = [0u8; 128];
    super::file::read(fd, &mut info)?;
    Ok(u32::from_le_bytes([info[0], info[1], info[2], info[3]]))
}

pub(crate) const POLLIN: i16 = 1;
pub(crate) const POLLOUT: i16 = 4;

/// `struct pollfd`; a negative fd is not looked at.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct PollFd {
    fd: RawFd,
    events: i16,
    happened: i16,
}

impl PollFd {
    pub(crate) const fn new(fd: RawFd, events: i16) -> Self {
        Self { fd, events, happened: 0 }
    }

    /// Whether something happened, an error or the other end's closing included.
    pub(crate) const fn is_ready(self) -> bool {
        self.happened != 0
    }
}

/// `ppoll(2)` for at most `timeout` nanoseconds: the number of ready fds, 0 when the time is over.
pub(crate) fn poll(fds: &mut [PollFd], timeout: Option<u64>) -> Result<usize, Errno> {
    let time = timeout.map(|nanos| [nanos / 1_000_000_000, nanos % 1_000_000_000]);
    let time = time.as_ref().map_or(0, |time| time.as_ptr() as usize);
    // SAFETY: the array of `struct pollfd` and the time live during the call.
    match check(unsafe { syscall5(nr::PPOLL, fds.as_mut_ptr() as usize, fds.len(), time, 0, SET_SIZE) }) {
        Err(Errno::EINTR) => Ok(0),
        answer => answer,
    }
}

/// Nanoseconds of the monotonic clock.
pub(crate) fn monotonic() -> u64 {
    const CLOCK_MONOTONIC: usize = 1;
    let mut time = [0u64; 2];
    // SAFETY: the kernel writes a `struct timespec`.
    unsafe { syscall2(nr::CLOCK_GETTIME, CLOCK_MONOTONIC, time.as_mut_ptr() as usize) };
    time[0].saturating_mul(1_000_000_000).saturating_add(time[1])
}

/// `kill(2)`.
pub(crate) fn kill(pid: i32, signal: u32) -> Result<(), Errno> {
    // SAFETY: numbers only.
    done(unsafe { syscall2(nr::KILL, arg(pid), signal as usize) })
}
