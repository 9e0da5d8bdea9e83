//! Host-side system calls that rustix and nix lack, and thin owners of fds. The only place of the library with `unsafe`.

mod arch;
pub(crate) mod fresh_program;
pub(crate) mod attributes;
pub(crate) mod bpf;
pub(crate) mod channel;
pub(crate) mod image;
pub(crate) mod launch;
pub(crate) mod nsfs;
pub(crate) mod pidfd;
pub(crate) mod rlimit;
pub(crate) mod rtnetlink;
pub(crate) mod seccomp;
pub(crate) mod sigpipe;

use std::{
    fs::File,
    io::{self, Read},
    time::Instant,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec},
    io::Errno,
};

use crate::{Deadline, Error, ErrorKind, Result};

/// Reads a file of /proc or /sys, whose size nobody knows beforehand: with room for nearly all of them at once, where
/// `std::fs::read_to_string` begins with 32 bytes and doubles them.
pub(crate) fn read_proc(path: &str) -> io::Result<String> {
    let mut text = String::with_capacity(4096);
    File::open(path)?.take(u64::MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// What is left until `deadline`, never negative.
pub(crate) fn timespec_until(deadline: Instant) -> Timespec {
    let left = deadline.saturating_duration_since(Instant::now());
    Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(left.subsec_nanos()),
    }
}

/// What ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    /// One of the fds.
    Ready,
    /// The time.
    TimedOut,
    /// The caller.
    Cancelled,
}

impl Woken {
    /// Both of the others are failures; `late` says what did not come in time.
    pub(crate) fn or_fail(self, late: &str) -> Result<()> {
        match self {
            Self::Ready => Ok(()),
            Self::TimedOut => Err(Error::new(ErrorKind::Timeout, late)),
            Self::Cancelled => Err(Error::new(ErrorKind::Cancelled, "the caller cancelled it")),
        }
    }
}

/// Waits for one of the fds. That of the token is added behind them.
pub(crate) fn poll_until<'a>(fds: &mut Vec<PollFd<'a>>, deadline: Deadline<'a>) -> Result<Woken, Errno> {
    let own = fds.len();
    fds.extend(deadline.token().map(|token| PollFd::new(token, PollFlags::IN)));
    loop {
        let timeout = deadline.instant().map(timespec_until);
        match rustix::event::poll(fds, timeout.as_ref()) {
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
            Ok(0) => return Ok(Woken::TimedOut),
            Ok(_) if fds.get(own).is_some_and(|token| !token.revents().is_empty()) => {
                return Ok(Woken::Cancelled);
            }
            Ok(_) => return Ok(Woken::Ready),
        }
    }
}
