//! Waiting for what happens to a cgroup: the OOM killer, and its end. By events of the kernel only.

use std::{
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::{Path, PathBuf},
    time::Instant,
};

use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, eventfd},
    fs::{CWD, Mode, OFlags},
    io::Errno,
};

use super::{Cgroup, CgroupDirs, files, processes::has_event};
use crate::{Error, ErrorKind, Result};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Happening {
    /// The OOM killer struck, or memory is short and it was turned off.
    OutOfMemory,
    /// No process is left, or init has ended where the kernel does not tell of the others.
    Ended,
}

/// Open fds that tell.
#[derive(Debug)]
pub(crate) struct Watch {
    oom: Option<Oom>,
    /// `cgroup.events` of v2, also of a hybrid host.
    population: Option<OwnedFd>,
}

#[derive(Debug)]
enum Oom {
    /// `memory.events` and the count of kills that was told of.
    V2 { events: OwnedFd, told: u64 },
    /// An eventfd that was registered, and the folder whose end signals it too.
    V1 { event: OwnedFd, dir: PathBuf },
}

impl Cgroup {
    /// Begins to watch. Without a memory controller nothing is told of memory.
    ///
    /// # Errors
    /// When an event cannot be registered.
    pub(crate) fn watch(&self) -> Result<Watch> {
        let oom = match (&self.dirs, self.dirs.v1("memory")) {
            (CgroupDirs::Unified { .. }, _) => watch_v2(&self.name())?,
            (CgroupDirs::Legacy { .. }, Some(dir)) => watch_v1(dir)?,
            (CgroupDirs::Legacy { .. }, None) => None,
        };
        Ok(Watch { oom, population: self.open_events()? })
    }
}

fn open(path: &Path) -> Result<Option<OwnedFd>> {
    match rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(fd) => Ok(Some(fd)),
        Err(errno) if files::is_gone(errno) => Ok(None),
        Err(errno) => Err(files::cannot_read(path, errno)),
    }
}

fn watch_v2(dir: &Path) -> Result<Option<Oom>> {
    let Some(events) = open(&dir.join("memory.events"))? else { return Ok(None) };
    let told = kills(&events)?.unwrap_or(0);
    Ok(Some(Oom::V2 { events, told }))
}

/// None: the cgroup is gone.
fn kills(events: &OwnedFd) -> Result<Option<u64>> {
    match files::read_fd(events.as_fd()) {
        Ok(text) => {
            let count = text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok());
            Ok(Some(count.unwrap_or(0)))
        }
        Err(errno) if files::is_gone(errno) => Ok(None),
        Err(errno) => Err(files::cannot_read(Path::new("memory.events"), errno)),
    }
}

fn watch_v1(dir: &Path) -> Result<Option<Oom>> {
    let Some(control) = open(&dir.join("memory.oom_control"))? else { return Ok(None) };
    let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
        .map_err(|errno| Error::from_errno("cannot make an eventfd", errno.raw_os_error()))?;
    let numbers = format!("{} {}", event.as_raw_fd(), control.as_raw_fd());
    files::write(&dir.join("cgroup.event_control"), &numbers)?;
    Ok(Some(Oom::V1 { event, dir: dir.to_owned() }))
}

impl Watch {
    /// Waits for the next happening. `end` becomes readable when init has ended; it decides where the kernel has no
    /// event for the whole cgroup. None: the deadline passed.
    ///
    /// # Errors
    /// When waiting or reading fails.
    pub(crate) fn wait(&mut self, end: &impl AsFd, deadline: Option<Instant>) -> Result<Option<Happening>> {
        loop {
            // Read before each wait: an event counts from the last read on. OOM first, since it may be the reason of
            // the end.
            let is_over = self.is_over()?;
            match self.new_oom()? {
                Some(true) => return Ok(Some(Happening::OutOfMemory)),
                Some(false) if !is_over => {}
                _ => return Ok(Some(Happening::Ended)),
            }
            let mut fds = Vec::new();
            match &self.population {
                Some(events) => fds.push(PollFd::new(events, PollFlags::PRI)),
                None => fds.push(PollFd::new(end, PollFlags::IN)),
            }
            match &self.oom {
                Some(Oom::V2 { events, .. }) => fds.push(PollFd::new(events, PollFlags::PRI)),
                Some(Oom::V1 { event, .. }) => fds.push(PollFd::new(event, PollFlags::IN)),
                None => {}
            }
            match files::poll(&mut fds, deadline) {
                Err(error) if error.kind() == ErrorKind::Timeout => return Ok(None),
                result => result?,
            }
            if self.population.is_none() && fds[0].revents().contains(PollFlags::IN) {
                return Ok(Some(Happening::Ended));
            }
        }
    }

    fn is_over(&self) -> Result<bool> {
        let Some(events) = &self.population else { return Ok(false) };
        match files::read_fd(events.as_fd()) {
            Ok(text) => Ok(!has_event(&text, "populated")),
            Err(errno) if files::is_gone(errno) => Ok(true),
            Err(errno) => Err(files::cannot_read(Path::new("cgroup.events"), errno)),
        }
    }

    /// Whether memory ran out since it was asked last. None: the cgroup is gone.
    fn new_oom(&mut self) -> Result<Option<bool>> {
        match &mut self.oom {
            None => Ok(Some(false)),
            Some(Oom::V2 { events, told }) => {
                let Some(count) = kills(events)? else { return Ok(None) };
                Ok(Some(std::mem::replace(told, count) < count))
            }
            Some(Oom::V1 { event, dir }) => match rustix::io::read(&*event, &mut [0; 8]) {
                // The end of a cgroup signals the event as well.
                Ok(_) => Ok(dir.is_dir().then_some(true)),
                Err(Errno::AGAIN | Errno::INTR) => Ok(Some(false)),
                Err(errno) => Err(Error::from_errno("cannot read an eventfd", errno.raw_os_error())),
            },
        }
    }
}
