//! `kill`: signals to init, or to all of a container that has no pid namespace of its own.

use std::os::fd::AsFd;

use rustix::io::Errno;

use super::{Container, observe::observe};
use crate::{Error, ErrorKind, KillScope, Result, Status, cgroup::Cgroup, state::Record, sys::pidfd};

const SIGKILL: i32 = 9;
/// SIGRTMAX.
const LAST_SIGNAL: i32 = 64;

impl Container {
    /// Sends a signal (a number; 0 probes).
    ///
    /// # Errors
    /// [`ErrorKind::WrongStatus`] "container not running" when it has stopped; [`ErrorKind::InvalidArgument`] for a
    /// number that is no signal.
    pub fn kill(&self, signal: i32, scope: KillScope) -> Result<()> {
        if !(0..=LAST_SIGNAL).contains(&signal) {
            return Err(Error::new(ErrorKind::InvalidArgument, format!("unknown signal \"{signal}\"")));
        }
        let (entry, record) = self.load()?;
        let (status, init) = observe(&entry, &record)?;
        let Some(init) = init else {
            // Init is gone, but others of a shared pid namespace may live.
            return match scope {
                KillScope::All => {
                    if signal == SIGKILL {
                        kill_cgroup(&record)
                    } else {
                        Ok(())
                    }
                }
                KillScope::Init => {
                    Err(Error::new(ErrorKind::WrongStatus, "container not running").with_status(status))
                }
            };
        };
        if signal == SIGKILL && !record.own_pid_namespace && record.cgroup.is_some() {
            return kill_cgroup(&record);
        }
        match pidfd::send_signal(init.as_fd(), signal) {
            Ok(()) => {}
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
        if signal == SIGKILL && status == Status::Paused {
            thaw_for_kill(&record)?;
        }
        Ok(())
    }
}

fn kill_cgroup(record: &Record) -> Result<()> {
    match record.cgroup.clone() {
        Some(dirs) => Cgroup::new(dirs).kill_all(Some(std::time::Instant::now() + crate::spawn::KILL_WAIT)),
        None => Ok(()),
    }
}

/// A frozen v1 task acts on SIGKILL only once thawed; on v2 it does at once, and thawing is harmless.
fn thaw_for_kill(record: &Record) -> Result<()> {
    match record.cgroup.clone() {
        Some(dirs) => Cgroup::new(dirs).thaw(Some(std::time::Instant::now() + crate::spawn::KILL_WAIT)),
        None => Ok(()),
    }
}
