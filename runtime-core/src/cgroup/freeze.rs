//! Freezing and thawing: `cgroup.freeze` with its event on v2, the freezer hierarchy on v1.

use std::{os::fd::AsFd, path::PathBuf, time::Instant};

use rustix::{
    event::{PollFd, PollFlags},
    fs::CWD,
    io::Errno,
};

use super::{
    Cgroup, CgroupDirs, files,
    processes::{has_event, pause},
};
use crate::{Error, ErrorKind, Result};

impl Cgroup {
    /// Freezes all processes and waits until all are.
    ///
    /// # Errors
    /// `Timeout`: some process does not freeze (it sits in the kernel); the cgroup is thawed again.
    pub(crate) fn freeze(&self, deadline: Option<Instant>) -> Result<()> {
        self.set_frozen(true, deadline).inspect_err(|_| {
            // The first failure is the result; that thawing fails as well would say nothing new.
            if let Err(error) = self.start_thaw() {
                tracing::debug!(%error, "cannot thaw after a failed freeze");
            }
        })
    }

    /// Thaws all processes and waits until all are.
    ///
    /// # Errors
    /// `Timeout`; `Unsupported` without a freezer.
    pub(crate) fn thaw(&self, deadline: Option<Instant>) -> Result<()> {
        self.set_frozen(false, deadline)
    }

    /// Whether the cgroup itself was told to freeze. A missing one is not frozen.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn is_frozen(&self) -> Result<bool> {
        let Some(file) = self.freezer_file() else { return Ok(false) };
        let state = files::read(&file)?;
        Ok(state.is_some_and(|state| matches!(state.trim(), "1" | "FROZEN" | "FREEZING")))
    }

    /// Whether processes in it would not run, also because a cgroup above is frozen.
    pub(super) fn is_effectively_frozen(&self) -> Result<bool> {
        match self.dirs {
            CgroupDirs::Unified { .. } => Ok(files::read(&self.name().join("cgroup.events"))?
                .is_some_and(|events| has_event(&events, "frozen"))),
            CgroupDirs::Legacy { .. } => self.is_frozen(),
        }
    }

    /// Tells processes to freeze or to run, without waiting.
    pub(super) fn start_freeze(&self) -> Result<()> {
        self.write_freezer(true)
    }

    pub(super) fn start_thaw(&self) -> Result<()> {
        self.write_freezer(false)
    }

    fn freezer_file(&self) -> Option<PathBuf> {
        match self.dirs {
            CgroupDirs::Unified { .. } => Some(self.name().join("cgroup.freeze")),
            CgroupDirs::Legacy { .. } => self.dirs.v1("freezer").map(|dir| dir.join("freezer.state")),
        }
    }

    fn write_freezer(&self, frozen: bool) -> Result<()> {
        let Some(file) = self.freezer_file() else {
            return Err(Error::new(ErrorKind::Unsupported, "no cgroup freezer is mounted"));
        };
        let value = match (&self.dirs, frozen) {
            (CgroupDirs::Unified { .. }, true) => "1",
            (CgroupDirs::Unified { .. }, false) => "0",
            (CgroupDirs::Legacy { .. }, true) => "FROZEN",
            (CgroupDirs::Legacy { .. }, false) => "THAWED",
        };
        files::write(&file, value)
    }

    fn set_frozen(&self, frozen: bool, deadline: Option<Instant>) -> Result<()> {
        match self.dirs {
            CgroupDirs::Unified { .. } => self.set_frozen_v2(frozen, deadline),
            CgroupDirs::Legacy { .. } => self.set_frozen_v1(frozen, deadline),
        }
    }

    fn set_frozen_v2(&self, frozen: bool, deadline: Option<Instant>) -> Result<()> {
        let path = self.name().join("cgroup.events");
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
        let failed = |errno: Errno| files::cannot_read(&path, errno);
        let events = rustix::fs::openat(CWD, &path, flags, rustix::fs::Mode::empty()).map_err(failed)?;
        self.write_freezer(frozen)?;
        loop {
            // Read before each wait: the event counts from the last read on.
            if has_event(&files::read_fd(events.as_fd()).map_err(failed)?, "frozen") == frozen {
                return Ok(());
            }
            let wait = files::poll(&mut [PollFd::new(&events, PollFlags::PRI)], deadline);
            wait.map_err(|error| error.context(self.freeze_words(frozen)))?;
        }
    }

    fn set_frozen_v1(&self, frozen: bool, deadline: Option<Instant>) -> Result<()> {
        let mut rounds = 0;
        loop {
            // Written again each time: a process that was forked or moved in meanwhile is caught by the next write.
            self.write_freezer(frozen)?;
            let Some(file) = self.freezer_file() else { return Ok(()) };
            let state = files::read(&file)?.unwrap_or_default();
            // The state after a thaw is that of the cgroups above.
            if state.trim() == if frozen { "FROZEN" } else { "THAWED" }
                || (!frozen && state.trim() == "FROZEN")
            {
                return Ok(());
            }
            // The v1 freezer has no event; reading its state is what moves it on.
            pause(&mut rounds, deadline).map_err(|error| error.context(self.freeze_words(frozen)))?;
        }
    }

    fn freeze_words(&self, frozen: bool) -> String {
        format!("cannot {} cgroup {}", if frozen { "freeze" } else { "thaw" }, self.name().display())
    }
}
