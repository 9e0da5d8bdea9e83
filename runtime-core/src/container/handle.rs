//! `Container`: a handle on one container; dropping it neither kills nor waits.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Mutex,
};

use super::{
    Runtime,
    observe::{observe, public_state},
    remove,
};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd};

use crate::{
    ContainerId, ContainerState, Deadline, Delete, Error, ErrorKind, ExitStatus, Result,
    spawn::Process,
    state::{Entry, Loaded, Record, open_recorded},
    sys::{
        self,
        channel::Channel,
        pidfd::{self, Ended},
    },
};

/// What a create gives.
#[derive(Debug)]
#[non_exhaustive]
pub struct Created {
    /// The container, waiting for its start.
    pub container: Container,
    /// The master of its terminal, where `process.terminal` asked for one.
    pub console: Option<OwnedFd>,
}

/// A container. `Send` and `Sync`; any number of handles may exist.
#[derive(Debug)]
pub struct Container {
    pub(super) runtime: Runtime,
    pub(super) id: ContainerId,
    pub(super) pid: i32,
    pub(super) end: End,
    /// The start signal of a container that only this handle can start.
    pub(super) channel: Mutex<Option<Channel>>,
    status: Mutex<Option<ExitStatus>>,
}

/// Tells of init's end: readable when it has ended.
#[derive(Debug)]
pub(super) enum End {
    /// Init's pidfd.
    Ahead(OwnedFd),
    /// It had ended when the handle was opened; an eventfd that is readable for ever.
    Past(OwnedFd),
}

impl Container {
    pub(super) fn created(
        runtime: Runtime,
        id: ContainerId,
        record: &Record,
        init: Process,
        channel: Option<Channel>,
    ) -> Self {
        Self {
            runtime,
            id,
            pid: record.pid,
            end: End::Ahead(init.pidfd),
            channel: Mutex::new(channel),
            status: Mutex::new(None),
        }
    }

    pub(super) fn reopened(runtime: Runtime, id: ContainerId, record: &Record) -> Result<Self> {
        let end = match open_recorded(record.pid, record.start_time) {
            Some(pidfd) => End::Ahead(pidfd),
            None => End::Past(
                eventfd(1, EventfdFlags::CLOEXEC)
                    .map_err(|errno| Error::from_errno("cannot make an eventfd", errno.raw_os_error()))?,
            ),
        };
        Ok(Self { runtime, id, pid: record.pid, end, channel: Mutex::new(None), status: Mutex::new(None) })
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &ContainerId {
        &self.id
    }

    /// Pid of init in the caller's pid namespace; it may have ended.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The folder and the present record.
    pub(super) fn load(&self) -> Result<(Entry, Record)> {
        let entry = self.runtime.shared.store.open(&self.id)?;
        match entry.load()? {
            Loaded::Record(record) => Ok((entry, *record)),
            Loaded::Empty => Err(Error::new(ErrorKind::NotFound, "container does not exist")),
        }
    }

    /// Its present state.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when it was deleted meanwhile.
    pub fn state(&self) -> Result<ContainerState> {
        let (entry, record) = self.load()?;
        Ok(public_state(&record, observe(&entry, &record)?.0))
    }

    /// Waits until init has ended. Idempotent; any number of threads may wait.
    ///
    /// The status is known to the process that created the container, or from Linux 6.15 on to any that held a handle
    /// before the end; else it is [`ExitStatus::Unknown`], never a false one.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`]; [`ErrorKind::Cancelled`].
    pub fn wait(&self, deadline: Deadline) -> Result<ExitStatus> {
        match &self.end {
            End::Ahead(pidfd) => wait_for(pidfd, &self.status, deadline),
            End::Past(_) => Ok(ExitStatus::Unknown),
        }
    }

    /// How init ended, or none while it runs.
    ///
    /// # Errors
    /// As [`Container::wait`].
    pub fn try_wait(&self) -> Result<Option<ExitStatus>> {
        match &self.end {
            End::Ahead(pidfd) if !pidfd::has_ended(pidfd.as_fd()) => Ok(None),
            _ => self.wait(Deadline::never()).map(Some),
        }
    }

    /// Removes cgroup and state and runs `poststop` hooks (failures of those are warnings).
    ///
    /// # Errors
    /// [`ErrorKind::WrongStatus`] for a running container without [`Delete::Force`].
    pub fn delete(&self, how: Delete, deadline: Deadline) -> Result<()> {
        if how == Delete::Force {
            // A waiting init must see the end of its channel, whatever else holds.
            drop(self.channel.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take());
        }
        remove::delete(&self.runtime, &self.id, how, deadline)?;
        // Takes the status of a child nobody waited for: as a zombie it would keep a pid namespace that it joined from
        // ending, and its pid.
        self.try_wait().map(drop)
    }
}

/// Waits for the end of a process whose status several may ask for.
pub(super) fn wait_for(
    pidfd: &OwnedFd,
    status: &Mutex<Option<ExitStatus>>,
    deadline: Deadline,
) -> Result<ExitStatus> {
    let woken = sys::poll_until(&mut vec![PollFd::new(pidfd, PollFlags::IN)], deadline);
    let woken =
        woken.map_err(|errno| Error::from_errno("cannot wait for the process", errno.raw_os_error()))?;
    woken.or_fail("the process did not end in time")?;
    // Under the lock, so that of several waiters one takes the status and all give it.
    let mut known = status.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    Ok(*known.get_or_insert_with(|| match pidfd::status(pidfd.as_fd()) {
        Ended::Exited(code) => ExitStatus::Exited(code),
        Ended::Signaled(signal) => ExitStatus::Signaled(signal),
        Ended::Unknown => ExitStatus::Unknown,
    }))
}

impl AsFd for Container {
    /// Readable when init has ended, for any event loop. While init lives this is its pidfd.
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.end {
            End::Ahead(fd) | End::Past(fd) => fd.as_fd(),
        }
    }
}
