//! `kill`: signals to init, or to all of a container.

use std::{os::fd::AsFd, time::Instant};

use rustix::io::Errno;

use super::{Container, observe::observe};
use crate::{
    Error, ErrorKind, KillScope, Result, Status, cgroup::Cgroup, spawn::KILL_WAIT, state::Record, sys::pidfd,
};

const SIGKILL: i32 = 9;
/// SIGRTMAX.
const LAST_SIGNAL: i32 = 64;

impl Container {
    /// Sends a signal (a number; 0 probes).
    ///
    /// # Errors
    /// [`ErrorKind::WrongStatus`] "container not running" when it has stopped, unless for [`KillScope::All`];
    /// [`ErrorKind::InvalidArgument`] for a number that is no signal.
    pub fn kill(&self, signal: i32, scope: KillScope) -> Result<()> {
        if !(0..=LAST_SIGNAL).contains(&signal) {
            return Err(Error::new(ErrorKind::InvalidArgument, format!("unknown signal \"{signal}\"")));
        }
        let (entry, record) = self.load()?;
        let (status, init) = observe(&entry, &record)?;
        if let Some(cgroup) = whole_cgroup(&record, signal, scope, init.is_some()) {
            return signal_all(&cgroup, signal);
        }
        let Some(init) = init else {
            return match scope {
                KillScope::All => Ok(()),
                KillScope::Init => {
                    Err(Error::new(ErrorKind::WrongStatus, "container not running").with_status(status))
                }
            };
        };
        match pidfd::send_signal(init.as_fd(), signal) {
            Ok(()) => {}
            Err(Errno::SRCH) if scope == KillScope::All => {}
            Err(Errno::SRCH) => {
                return Err(
                    Error::new(ErrorKind::WrongStatus, "container not running").with_status(Status::Stopped)
                );
            }
            Err(errno) => {
                return Err(Error::from_errno(
                    format!("unable to signal init with signal {signal}"),
                    errno.raw_os_error(),
                ));
            }
        }
        match record.cgroup.clone() {
            // A frozen v1 task acts on SIGKILL only once thawed; on v2 it does at once, and thawing is harmless.
            Some(dirs) if signal == SIGKILL && status == Status::Paused => Cgroup::new(dirs).thaw(limit()),
            _ => Ok(()),
        }
    }
}

/// The cgroup whose processes all get the signal; none: init alone, since all others end with it or are not meant.
fn whole_cgroup(record: &Record, signal: i32, scope: KillScope, has_init: bool) -> Option<Cgroup> {
    let dirs = record.cgroup.clone()?;
    // The end of a pid namespace's first process is the end of all in it.
    let ends_with_init = record.own_pid_namespace && signal == SIGKILL && has_init;
    let is_all = match scope {
        KillScope::All => true,
        // A container that shares a pid namespace would leave the others running.
        KillScope::Init => signal == SIGKILL && has_init,
    };
    (is_all && !ends_with_init).then(|| Cgroup::new(dirs))
}

fn signal_all(cgroup: &Cgroup, signal: i32) -> Result<()> {
    let sent = match signal {
        SIGKILL => cgroup.kill_all(limit()),
        _ => cgroup.signal_all(signal),
    };
    sent.map_err(|error| error.context("unable to signal all processes"))
}

fn limit() -> Option<Instant> {
    Some(Instant::now() + KILL_WAIT)
}
