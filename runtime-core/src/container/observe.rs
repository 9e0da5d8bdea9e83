//! The status of a container: derived from the process, the freezer and the start FIFO, never believed from disk alone.

use std::os::fd::OwnedFd;

use crate::{
    ContainerState, Result, Status,
    cgroup::Cgroup,
    state::{Entry, Phase, Record, START_FIFO, open_recorded},
};

/// The status, and a pidfd of init while it lives.
pub(super) fn observe(entry: &Entry, record: &Record) -> Result<(Status, Option<OwnedFd>)> {
    let init = open_recorded(record.pid, record.start_time);
    let status = match (&init, record.phase) {
        // The creating command holds the lock; without it, it was killed.
        (None, Phase::Creating) if record.pid == 0 && is_being_created(entry)? => Status::Creating,
        (None, _) => Status::Stopped,
        (Some(_), Phase::Creating) => Status::Creating,
        (Some(_), _) if is_frozen(record) => Status::Paused,
        // Init holds the FIFO until it executes the program, whoever wrote the start signal and whatever became of it.
        (Some(_), Phase::Created) if entry.open_fifo(START_FIFO, true).is_ok() => Status::Created,
        (Some(_), _) => Status::Running,
    };
    Ok((status, init))
}

fn is_being_created(entry: &Entry) -> Result<bool> {
    entry.is_locked_by_another()
}

/// Whether its cgroup was told to freeze.
pub(super) fn is_frozen(record: &Record) -> bool {
    // A cgroup that is gone is not frozen.
    record.cgroup.clone().is_some_and(|dirs| Cgroup::new(dirs).is_frozen().unwrap_or(false))
}

/// The state as others see it.
pub(super) fn public_state(record: &Record, status: Status) -> ContainerState {
    ContainerState {
        oci_version: record.oci_version.clone(),
        id: record.id.clone(),
        pid: if status == Status::Stopped { 0 } else { record.pid },
        status,
        bundle: record.bundle.clone(),
        rootfs: record.rootfs.clone(),
        created: record.created.clone(),
        annotations: record.annotations.clone(),
        owner_uid: record.owner_uid,
    }
}
