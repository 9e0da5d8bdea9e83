//! What an exec does otherwise than a create: the cgroup exists, nothing is saved, and the container may be paused.

use std::{
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use rustix::io::Errno;

use super::{Creation, Event, Made};
use crate::{Error, ErrorKind, Result, Status, cgroup::Cgroup, host::CgroupHost};

/// How long a silence lasts until we look whether the container was paused meanwhile. A v1 freezer gives no event.
const SILENCE: Duration = Duration::from_secs(1);

/// The container's side of an exec.
#[derive(Debug)]
pub(crate) struct Exec {
    /// The container's first process.
    pub(crate) init: i32,
    /// None: the container has no cgroup of its own.
    pub(crate) cgroup: Option<ExecCgroup>,
    /// The program may wait for the container's resume.
    pub(crate) ignore_paused: bool,
}

/// Where the process goes.
#[derive(Debug)]
pub(crate) struct ExecCgroup {
    /// The container's, or one below it that was asked for.
    pub(crate) wanted: Cgroup,
    /// The one whose freezer stops the container.
    pub(crate) container: Cgroup,
    /// Where the container's init is now (v2), for a container that enabled controllers in its own cgroup or moved away
    /// from it. None when a cgroup was asked for.
    pub(crate) fallback: Option<Cgroup>,
}

impl Exec {
    fn cgroup(&self) -> Result<&ExecCgroup> {
        self.cgroup.as_ref().ok_or_else(|| Error::new(ErrorKind::Kernel, "the container has no cgroup"))
    }

    /// The directory to be born in.
    pub(super) fn open_cgroup(&self) -> Result<Option<OwnedFd>> {
        let cgroup = self.cgroup()?;
        match (cgroup.wanted.open_dir(), &cgroup.fallback) {
            (Err(_), Some(fallback)) => fallback.open_dir(),
            (opened, _) => opened,
        }
        .map_err(|error| error.context("can't open cgroup"))
    }

    /// Moves a process in.
    pub(super) fn place(&self, pid: i32) -> Result<()> {
        let cgroup = self.cgroup()?;
        match (cgroup.wanted.place(pid), &cgroup.fallback) {
            (Err(_), Some(fallback)) => fallback.place(pid),
            (placed, _) => placed,
        }
        .map_err(|error| error.context(format_args!("error adding pid {pid} to cgroups")))
    }

    fn is_paused(&self) -> bool {
        // A cgroup that is gone is not frozen.
        self.cgroup.as_ref().is_some_and(|cgroup| cgroup.container.is_frozen().unwrap_or(false))
    }

    /// Waits for the next event. A container that is paused while the process is on its way in would hold it for ever.
    pub(super) fn next_event(&self, creation: &mut Creation<'_>) -> Result<Event> {
        let deadline = creation.deadline;
        loop {
            let silence = Instant::now() + SILENCE;
            match creation.conversation()?.next(deadline.no_later_than(silence)) {
                Err(error)
                    if error.kind() == ErrorKind::Timeout
                        && deadline.instant().is_none_or(|deadline| Instant::now() < deadline) =>
                {
                    if !self.ignore_paused && self.is_paused() {
                        return Err(paused());
                    }
                }
                event => return event,
            }
        }
    }

    /// Ends what was started.
    pub(super) fn undo(&self, made: &mut Made) {
        let Some(mut conversation) = made.conversation.take() else { return };
        let is_paused = self.is_paused();
        conversation.kill_and(&|pid| {
            if is_paused {
                release(pid);
            }
        });
    }
}

/// The refusal of an exec in a paused container.
pub(crate) fn paused() -> Error {
    let words = "cannot exec in a paused container (use --ignore-paused to override)";
    Error::new(ErrorKind::WrongStatus, words).with_status(Status::Paused)
}

/// A frozen process of cgroup v1 acts on SIGKILL when it runs again: it goes to our own cgroup, which is not frozen.
fn release(pid: i32) {
    let Ok(Some(CgroupHost::Legacy { hierarchies, .. })) = CgroupHost::find() else { return };
    let freezer = hierarchies.iter().find(|one| one.controllers.iter().any(|name| name == "freezer"));
    let Some(freezer) = freezer else { return };
    let own = freezer.own_below_mount();
    let dir = freezer.mount.join(own.strip_prefix("/").unwrap_or(&own));
    match crate::cgroup::move_to(&dir, pid) {
        // It ended before, or it stays until the container is resumed: the signal waits for it.
        Ok(()) | Err(Errno::SRCH) => {}
        Err(errno) => tracing::debug!(%errno, pid, "cannot release a frozen process"),
    }
}
