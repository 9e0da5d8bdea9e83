//! `Container`: a handle on one container; dropping it neither kills nor waits.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::{Deadline, Delete, ExitStatus, KillScope};
use crate::{ContainerId, ContainerState, Error, ErrorKind, Result};

/// What a create gives.
#[derive(Debug)]
pub struct Created {
    /// The container, waiting for its start.
    pub container: Container,
    /// The master of its terminal, where `process.terminal` asked for one.
    pub console: Option<OwnedFd>,
}

/// A container. `Send` and `Sync`; any number of handles may exist.
#[derive(Debug)]
pub struct Container {
    id: ContainerId,
    pidfd: OwnedFd,
}

impl Container {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> &ContainerId {
        &self.id
    }

    /// Pid of init in the caller's pid namespace.
    #[must_use]
    pub fn pid(&self) -> i32 {
        0
    }

    /// Its present state.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when it was deleted meanwhile.
    pub fn state(&self) -> Result<ContainerState> {
        Err(Error::new(ErrorKind::Unsupported, "state"))
    }

    /// Starts the program and waits until it was executed; runs `startContainer` and `poststart` hooks.
    ///
    /// # Errors
    /// [`ErrorKind::WrongStatus`], [`ErrorKind::ExecFailed`], [`ErrorKind::HookFailed`].
    pub fn start(&self, deadline: Deadline) -> Result<()> {
        Err(Error::new(ErrorKind::Unsupported, format!("start {deadline:?}")))
    }

    /// Sends a signal (a number; 0 probes).
    ///
    /// # Errors
    /// [`ErrorKind::WrongStatus`] "container not running" when it has stopped.
    pub fn kill(&self, signal: i32, scope: KillScope) -> Result<()> {
        Err(Error::new(ErrorKind::Unsupported, format!("kill {signal} {scope:?}")))
    }

    /// Waits until init has ended. Idempotent; any number of threads may wait.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`].
    pub fn wait(&self, deadline: Deadline) -> Result<ExitStatus> {
        Err(Error::new(ErrorKind::Unsupported, format!("wait {deadline:?}")))
    }

    /// Removes cgroup and state, then runs `poststop` hooks (failures of those are warnings).
    ///
    /// # Errors
    /// [`ErrorKind::WrongStatus`] for a running container without [`Delete::Force`].
    pub fn delete(&self, how: Delete, deadline: Deadline) -> Result<()> {
        Err(Error::new(ErrorKind::Unsupported, format!("delete {how:?} {deadline:?}")))
    }
}

impl AsFd for Container {
    /// Init's pidfd: readable when it has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}
