//! `pause` and `resume`: the freezer of the container's cgroup.

use std::time::Instant;

use super::{
    Container,
    observe::{is_frozen, observe},
};
use crate::{Deadline, Error, ErrorKind, Result, Status, cgroup::Cgroup, spawn::KILL_WAIT, state::Record};

impl Container {
    /// Freezes all processes and waits until none runs; without a limit given, ten seconds.
    ///
    /// # Errors
    /// [`ErrorKind::WrongStatus`] unless it is created or running; [`ErrorKind::Timeout`] when a process does not freeze
    /// (it sits in the kernel): then all run again; [`ErrorKind::Unsupported`] without a cgroup or a freezer.
    ///
    /// # Source
    /// Kernel documentation, cgroup-v2 `cgroup.freeze`, cgroup-v1 freezer-subsystem.
    pub fn pause(&self, deadline: Deadline) -> Result<()> {
        let (entry, record) = self.load()?;
        match observe(&entry, &record)?.0 {
            Status::Created | Status::Running => own_cgroup(&record, "pause")?.freeze(Some(limit(deadline))),
            status => Err(Error::new(ErrorKind::WrongStatus, "container not running").with_status(status)),
        }
    }

    /// Lets the processes of a paused container run again.
    ///
    /// # Errors
    /// [`ErrorKind::WrongStatus`] when the container is not paused; [`ErrorKind::Timeout`].
    pub fn resume(&self, deadline: Deadline) -> Result<()> {
        let (entry, record) = self.load()?;
        match observe(&entry, &record)?.0 {
            Status::Paused => own_cgroup(&record, "resume")?.thaw(Some(limit(deadline))),
            // Init can die while frozen (v2). An engine that knew the container as paused resumes it then.
            Status::Stopped if is_frozen(&record) => {
                own_cgroup(&record, "resume")?.thaw(Some(limit(deadline)))
            }
            status => Err(Error::new(ErrorKind::WrongStatus, "container not paused").with_status(status)),
        }
    }
}

fn limit(deadline: Deadline) -> Instant {
    deadline.instant().unwrap_or_else(|| Instant::now() + KILL_WAIT)
}

/// The cgroup that a verb works on.
pub(super) fn own_cgroup(record: &Record, verb: &str) -> Result<Cgroup> {
    record.cgroup.clone().map(Cgroup::new).ok_or_else(|| {
        let message = format!("cannot {verb} a container that has no cgroup of its own");
        Error::new(ErrorKind::Unsupported, message)
    })
}
