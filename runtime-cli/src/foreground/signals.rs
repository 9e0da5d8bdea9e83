//! Signals as events.

use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::{
    signal::{SigSet, Signal},
    signalfd::{SfdFlags, SignalFd},
};

use crate::failure::{Failure, Result};

/// What is done about a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A child has ended.
    Reap,
    /// Our terminal has another size.
    Resize,
    /// Nothing: the container's process did not cause it and cannot use it.
    Ignore,
    /// The container's process is meant.
    Forward,
}

/// What is done about a signal.
pub fn action_of(signal: i32) -> Action {
    match signal {
        signal if signal == Signal::SIGCHLD as i32 => Action::Reap,
        signal if signal == Signal::SIGWINCH as i32 => Action::Resize,
        signal if signal == Signal::SIGURG as i32 => Action::Ignore,
        _ => Action::Forward,
    }
}

/// All signals, blocked, and readable as events.
#[derive(Debug)]
pub struct Signals(SignalFd);

impl Signals {
    /// Blocks them. They stay blocked until this program ends, so that none ends it before the terminal is restored.
    pub fn block_all() -> Result<Self> {
        let all = SigSet::all();
        all.thread_block()
            .and_then(|()| SignalFd::with_flags(&all, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK))
            .map(Self)
            .map_err(|errno| Failure::io("block signals", errno))
    }

    /// The next one that is pending.
    pub fn next(&self) -> Result<Option<i32>> {
        let next = self.0.read_signal().map_err(|errno| Failure::io("read a signal", errno))?;
        // A signal's number is at most 64.
        Ok(next.and_then(|info| info.ssi_signo.try_into().ok()))
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::{Action, action_of};

    #[test]
    fn all_but_three_signals_are_forwarded() {
        let not_forwarded: Vec<i32> =
            (1..=64).filter(|signal| action_of(*signal) != Action::Forward).collect();
        assert_eq!(not_forwarded, [17, 23, 28]);
    }
}
