//! The processes of the cgroup: listing, killing, waiting until there are none.
//!
//! v2 tells by an event of `cgroup.events` when the last process has left. A hybrid host has that event too, for a
//! process leaves all hierarchies at the same moment; on a pure v1 host pidfds of what is listed are waited for.

use std::{
    collections::BTreeSet,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags},
    fs::{CWD, Mode, OFlags},
    io::Errno,
    process::{Pid, PidfdFlags},
};

use super::{Cgroup, CgroupDirs, files};
use crate::{Error, ErrorKind, Result, sys::pidfd};

const SIGKILL: i32 = 9;

/// Fds opened at a time for waiting; the others are waited for afterwards.
const PIDFDS_AT_ONCE: usize = 32;

/// Rounds of killing before giving up on a cgroup that forks faster than it can be killed.
const KILL_ROUNDS: usize = 1000;

impl Cgroup {
    /// Pids of all processes, those of nested cgroups included, in the caller's pid namespace; ones that are not
    /// visible there are left out. A missing cgroup has none.
    ///
    /// # Errors
    /// When a list cannot be read.
    pub(crate) fn pids(&self) -> Result<Vec<i32>> {
        let mut pids = BTreeSet::new();
        for dir in self.dirs.all() {
            let Some(fd) = files::open_dir(&dir)? else { continue };
            let list = files::walk(fd, |dir| {
                match files::read_raw(dir, Path::new("cgroup.procs")) {
                    Ok(text) => pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok())),
                    // A threaded cgroup: its processes are listed by the domain above it.
                    Err(Errno::OPNOTSUPP) => {}
                    Err(errno) => return Err(errno),
                }
                Ok(())
            });
            list.map_err(|errno| files::cannot_read(&dir.join("cgroup.procs"), errno))?;
        }
        pids.remove(&0);
        Ok(pids.into_iter().collect())
    }

    /// Whether any process is in it or below. A missing cgroup is not populated.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn is_populated(&self) -> Result<bool> {
        if let Some(dir) = self.dirs.v2() {
            let events = files::read(&dir.join("cgroup.events"))?;
            if events.is_some_and(|events| has_event(&events, "populated")) {
                return Ok(true);
            }
        }
        match self.dirs {
            CgroupDirs::Unified { .. } => Ok(false),
            CgroupDirs::Legacy { .. } => Ok(!self.pids()?.is_empty()),
        }
    }

    /// Waits until no process is left in it or below. A missing cgroup is empty.
    ///
    /// # Errors
    /// `Timeout` at the deadline.
    pub(crate) fn wait_empty(&self, deadline: Option<Instant>) -> Result<()> {
        let events = self.open_events()?;
        loop {
            let is_populated = match &events {
                Some(events) => populated(events)?,
                None => false,
            };
            let pidfds = match self.dirs {
                CgroupDirs::Unified { .. } => Vec::new(),
                CgroupDirs::Legacy { .. } => self.open_members(&self.pids()?)?,
            };
            if !is_populated && pidfds.is_empty() {
                return Ok(());
            }
            let mut fds: Vec<PollFd<'_>> = pidfds.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
            fds.extend(events.iter().filter(|_| is_populated).map(|fd| PollFd::new(fd, PollFlags::PRI)));
            files::poll(&mut fds, deadline).map_err(|error| {
                let count = self.pids().map_or(0, |pids| pids.len());
                error.context(format!("cgroup {} still has {count} process(es)", self.name().display()))
            })?;
        }
    }

    pub(super) fn open_events(&self) -> Result<Option<OwnedFd>> {
        let Some(dir) = self.dirs.v2() else { return Ok(None) };
        let path = dir.join("cgroup.events");
        match rustix::fs::openat(CWD, &path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(fd) => Ok(Some(fd)),
            Err(errno) if files::is_gone(errno) => Ok(None),
            Err(errno) => Err(files::cannot_read(&path, errno)),
        }
    }

    /// Kills every process in it and below with SIGKILL and waits until none is left.
    ///
    /// # Errors
    /// `Timeout` at the deadline; `PermissionDenied`.
    pub(crate) fn kill_all(&self, deadline: Option<Instant>) -> Result<()> {
        if !self.is_populated()? {
            // And leaves no mark: on some kernels (6.18) an old cgroup.kill still hits what CLONE_INTO_CGROUP makes.
            return Ok(());
        }
        if let CgroupDirs::Unified { .. } = self.dirs {
            let file = self.name().join("cgroup.kill");
            match files::write_raw(CWD, &file, "1") {
                Ok(()) => return self.wait_empty(deadline),
                // No such file before 5.14; OPNOTSUPP: a threaded cgroup cannot be killed as one.
                Err(Errno::NOENT | Errno::NODEV | Errno::OPNOTSUPP) => {}
                Err(errno) => return Err(files::cannot_write(&file, "1", errno)),
            }
        }
        self.kill_by_lists(deadline)
    }

    /// Sends a signal to every process in it and below, to each once: also to those that were forked meanwhile.
    ///
    /// # Errors
    /// `PermissionDenied`; `Busy` when it forks faster than it can be signalled.
    pub(crate) fn signal_all(&self, signal: i32) -> Result<()> {
        let mut reached = BTreeSet::new();
        for _ in 0..KILL_ROUNDS {
            let pids: Vec<i32> = self.pids()?.into_iter().filter(|pid| !reached.contains(pid)).collect();
            if pids.is_empty() {
                return Ok(());
            }
            for pids in pids.chunks(PIDFDS_AT_ONCE) {
                for pidfd in self.open_members(pids)? {
                    self.send(&pidfd, signal)?;
                }
            }
            reached.extend(pids);
        }
        Err(self.forks_too_fast())
    }

    fn send(&self, pidfd: &OwnedFd, signal: i32) -> Result<()> {
        match pidfd::send_signal(pidfd.as_fd(), signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(errno) => {
                let attempted = format!("cannot signal a process of cgroup {}", self.name().display());
                Err(Error::from_errno(attempted, errno.raw_os_error()))
            }
        }
    }

    fn forks_too_fast(&self) -> Error {
        let message = format!("cgroup {} forks faster than it can be signalled", self.name().display());
        Error::new(ErrorKind::Busy, message).with_path(self.name())
    }

    fn kill_by_lists(&self, deadline: Option<Instant>) -> Result<()> {
        for _ in 0..KILL_ROUNDS {
            let dying = self.kill_members()?;
            if dying.is_empty() {
                // Nothing is listed; what is left is on its way out, or was forked just now.
                self.wait_empty(deadline)?;
                return Ok(());
            }
            for pidfd in &dying {
                files::poll(&mut [PollFd::new(pidfd, PollFlags::IN)], deadline).map_err(|error| {
                    error.context(format!("processes of {} do not end", self.name().display()))
                })?;
            }
        }
        Err(self.forks_too_fast())
    }

    /// Kills what is listed, held still by the freezer where there is one, so that nothing escapes by forking. Gives
    /// the last of those that were killed, to wait for.
    fn kill_members(&self) -> Result<Vec<OwnedFd>> {
        let is_held = self.start_freeze().is_ok();
        let killed = self.kill_listed();
        // A frozen v1 process dies only when thawed.
        let thawed = if is_held { self.start_thaw() } else { Ok(()) };
        let killed = killed?;
        thawed.map(|()| killed)
    }

    fn kill_listed(&self) -> Result<Vec<OwnedFd>> {
        let mut killed = Vec::new();
        for pids in self.pids()?.chunks(PIDFDS_AT_ONCE) {
            killed = self.open_members(pids)?;
            killed.iter().try_for_each(|pidfd| self.send(pidfd, SIGKILL))?;
        }
        Ok(killed)
    }

    /// Pidfds of the first of these processes. Each is listed again after it was opened: a pid that ended in between
    /// may be a stranger's by then.
    fn open_members(&self, pids: &[i32]) -> Result<Vec<OwnedFd>> {
        let mut opened = Vec::new();
        for pid in pids.iter().take(PIDFDS_AT_ONCE).filter_map(|pid| Pid::from_raw(*pid)) {
            match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
                Ok(fd) => opened.push((pid.as_raw_nonzero().get(), fd)),
                Err(Errno::SRCH) => {}
                // A process whose first thread is gone is listed for a moment, but has no pidfd any more.
                Err(Errno::INVAL | Errno::NOENT) => {}
                Err(errno) => {
                    let attempted = format!("cannot open a pidfd of process {}", pid.as_raw_nonzero());
                    return Err(Error::from_errno(attempted, errno.raw_os_error()));
                }
            }
        }
        if opened.is_empty() {
            return Ok(Vec::new());
        }
        let members = self.pids()?;
        Ok(opened
            .into_iter()
            .filter(|(pid, _)| members.binary_search(pid).is_ok())
            .map(|(_, fd)| fd)
            .collect())
    }

    /// How often the OOM killer struck in it or below (v1: in it). None where the memory controller is missing.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn oom_kill_count(&self) -> Result<Option<u64>> {
        let file = match (&self.dirs, self.dirs.v1("memory")) {
            (CgroupDirs::Unified { .. }, _) => self.name().join("memory.events"),
            (CgroupDirs::Legacy { .. }, Some(dir)) => dir.join("memory.oom_control"),
            (CgroupDirs::Legacy { .. }, None) => return Ok(None),
        };
        let text = files::read(&file)?.unwrap_or_default();
        Ok(text
            .lines()
            .find_map(|line| line.strip_prefix("oom_kill "))
            .and_then(|count| count.trim().parse().ok()))
    }
}

/// Whether an event of `cgroup.events` is 1.
pub(super) fn has_event(events: &str, name: &str) -> bool {
    events.lines().any(|line| line.strip_prefix(name).is_some_and(|value| value == " 1"))
}

fn populated(events: &OwnedFd) -> Result<bool> {
    match files::read_fd(events.as_fd()) {
        Ok(text) => Ok(has_event(&text, "populated")),
        Err(errno) if files::is_gone(errno) => Ok(false),
        Err(errno) => Err(files::cannot_read(Path::new("cgroup.events"), errno)),
    }
}

/// Lets other processes run for a moment, a little longer each time. Only where cgroup v1 has no event to wait for:
/// its freezer, and its directories that stay busy until a dying process, which no list shows any more, is gone.
///
/// # Errors
/// `Timeout` at the deadline.
pub(super) fn pause(rounds: &mut u32, deadline: Option<Instant>) -> Result<()> {
    const LONGEST: Duration = Duration::from_millis(20);
    let end = Instant::now() + LONGEST.min(Duration::from_micros(100) * (1 << (*rounds).min(8)));
    *rounds += 1;
    match files::poll(&mut [], Some(deadline.map_or(end, |deadline| deadline.min(end)))) {
        Err(error) if error.kind() == ErrorKind::Timeout && deadline.is_none_or(|at| Instant::now() < at) => {
            Ok(())
        }
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        NeededControllers,
        tests::{Process, cgroups, soon},
    };

    #[test]
    fn what_keeps_forking_is_killed_with_and_without_cgroup_kill() {
        for cgroup in cgroups("forks") {
            let _created = cgroup.create(&NeededControllers::new()).unwrap();
            for by_lists in [true, false] {
                let mut process = Process::start("read go; echo; while :; do sleep 1000 & sleep 0.005; done");
                cgroup.place(process.pid()).unwrap();
                drop(process.0.stdin.take());
                let mut byte = [0];
                std::io::Read::read_exact(process.0.stdout.as_mut().unwrap(), &mut byte).unwrap();
                match by_lists {
                    true => cgroup.kill_by_lists(soon()).unwrap(),
                    false => cgroup.kill_all(soon()).unwrap(),
                }
                assert!(cgroup.pids().unwrap().is_empty());
                assert!(!process.0.wait().unwrap().success());
            }
        }
    }
}
