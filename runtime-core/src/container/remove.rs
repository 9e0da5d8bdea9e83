//! `delete`: of a container in any state, and of what a broken or cut-short create left behind. May be repeated and may
//! run beside itself, beside `start` and beside a create at work.

use std::{
    os::fd::AsFd,
    time::{Duration, Instant},
};

use super::{Runtime, observe::observe};
use crate::{
    ContainerId, Deadline, Delete, Error, ErrorKind, Result, Status,
    cgroup::Cgroup,
    spawn::{KILL_WAIT, run_poststop},
    state::{Entry, Loaded, Record, open_recorded},
    sys::pidfd,
};

pub(super) fn delete(runtime: &Runtime, id: &ContainerId, how: Delete, deadline: Deadline) -> Result<()> {
    match try_delete(runtime, id, how, deadline) {
        Err(error) if error.kind() == ErrorKind::NotFound && how == Delete::Force => Ok(()),
        result => result,
    }
}

fn not_found() -> Error {
    Error::new(ErrorKind::NotFound, "container does not exist")
}

fn try_delete(runtime: &Runtime, id: &ContainerId, how: Delete, deadline: Deadline) -> Result<()> {
    let entry = runtime.shared.store.open(id)?;
    let limit = deadline.instant().unwrap_or_else(|| Instant::now() + KILL_WAIT);
    if how == Delete::Force {
        // A create or start at work holds the lock; with init's end it fails, cleans up and lets go.
        kill_init_of(&entry);
    }
    lock(&entry, limit)?;
    if !entry.is_current() {
        return Err(not_found());
    }
    let record = match entry.load() {
        Ok(Loaded::Record(record)) => *record,
        Ok(Loaded::Empty) => {
            entry.remove()?;
            return Err(not_found());
        }
        Err(error) if error.kind() == ErrorKind::StateCorrupt && how == Delete::Force => {
            return remove_unreadable(&entry, limit);
        }
        Err(error) => return Err(error),
    };
    let (status, init) = observe(&entry, &record)?;
    if how == Delete::WhenStopped && matches!(status, Status::Running | Status::Paused) {
        return Err(Error::new(
            ErrorKind::WrongStatus,
            format!("cannot delete container {id} that is not stopped: {status}"),
        )
        .with_status(status));
    }
    if let Some(init) = init {
        // ESRCH: it has just ended.
        let _gone = pidfd::send_signal(init.as_fd(), 9);
        thaw_if_frozen(&record, limit)?;
        await_end(init.as_fd(), limit)?;
    }
    if let Some(dirs) = record.cgroup.clone() {
        let cgroup = Cgroup::new(dirs);
        if how == Delete::Force || is_more_than_init(&record) {
            cgroup.kill_all(Some(limit)).map_err(|error| error.context("unable to destroy container"))?;
        }
        remove_cgroup(&cgroup, limit)?;
    }
    if let Some(rdt) = &record.rdt {
        rdt.remove().map_err(|error| error.context("unable to destroy container"))?;
    }
    run_poststop(&runtime.shared.launcher, &record, deadline);
    // Last, so that a delete that is cut short can be repeated.
    entry.remove()
}

/// Its folder must not block the id for ever. Its cgroup goes too where the state still tells of it.
fn remove_unreadable(entry: &Entry, limit: Instant) -> Result<()> {
    match entry.salvage_cgroup()?.map(Cgroup::new) {
        Some(cgroup) => {
            cgroup.kill_all(Some(limit)).map_err(|error| error.context("unable to destroy container"))?;
            remove_cgroup(&cgroup, limit)?;
        }
        None => tracing::warn!(
            path = %entry.path().display(),
            "removing a state that tells of no cgroup; processes of the container may be left"
        ),
    }
    entry.remove()
}

/// Whether processes may outlive init: in a pid namespace of others, or of a create that was killed before it knew init.
fn is_more_than_init(record: &Record) -> bool {
    !record.own_pid_namespace || record.pid == 0
}

fn remove_cgroup(cgroup: &Cgroup, limit: Instant) -> Result<()> {
    cgroup
        .remove(Some(limit))
        .map_err(|error| error.context("unable to destroy container: unable to remove container's cgroup"))
}

/// On v1 a frozen process does not act on SIGKILL.
fn thaw_if_frozen(record: &Record, limit: Instant) -> Result<()> {
    match record.cgroup.clone().map(Cgroup::new) {
        Some(cgroup) if cgroup.is_frozen().unwrap_or(false) => cgroup.thaw(Some(limit)),
        _ => Ok(()),
    }
}

/// Waits for init's end; takes its status if it is our child, so that no zombie is left.
fn await_end(init: std::os::fd::BorrowedFd<'_>, limit: Instant) -> Result<()> {
    match pidfd::wait_readable(init, Some(limit)) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Error::new(ErrorKind::Timeout, "container init still running")),
        Err(errno) => Err(Error::from_errno("cannot wait for init's end", errno.raw_os_error())),
    }
}

fn kill_init_of(entry: &Entry) {
    let Ok(Loaded::Record(record)) = entry.load() else { return };
    if let Some(init) = open_recorded(record.pid, record.start_time) {
        // ESRCH: it has just ended.
        let _gone = pidfd::send_signal(init.as_fd(), 9);
    }
}

/// Takes the lock, but waits no longer than `limit` for a command that holds it.
pub(super) fn lock(entry: &Entry, limit: Instant) -> Result<()> {
    if entry.try_lock()? {
        return Ok(());
    }
    let waiter = entry.duplicate()?;
    let (sender, receiver) = std::sync::mpsc::channel();
    // flock(2) has no deadline and gives no event: the wait for it is a thread's, on a description that shares the lock.
    let wait = move || {
        let result = waiter.lock();
        // Nobody listens after the deadline.
        let _late = sender.send(result);
    };
    std::thread::Builder::new()
        .spawn(wait)
        .map_err(|source| Error::from_io("cannot make a thread to wait for the container's lock", source))?;
    let left = limit.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    receiver.recv_timeout(left).map_err(|_| {
        Error::new(ErrorKind::Busy, "another command still works on the container").with_path(entry.path())
    })?
}
