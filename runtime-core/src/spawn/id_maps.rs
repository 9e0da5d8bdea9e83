//! Writing the id maps of a new user namespace from outside: by ourselves, or for a plain user with ranges by
//! `newuidmap` and `newgidmap`.

use std::{fmt::Write as _, os::fd::OwnedFd, path::Path};

use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};

use super::{
    launcher::Launcher,
    program::{self, Program},
    subids,
};
use crate::{
    Deadline, Error, ErrorKind, Result,
    plan::step::{IdMap, MapWriter},
    sys::pidfd::Ended,
};

/// The process whose maps are written.
pub(super) struct Target<'a> {
    /// `/proc/PID`, opened while it was known to live.
    pub(super) proc: &'a OwnedFd,
    /// Its number, for tools. It waits for us, so nobody else gets the number meanwhile.
    pub(super) pid: i32,
}

/// Of users or groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MapKind {
    Uid,
    Gid,
}

impl MapKind {
    const fn file(self) -> &'static str {
        match self {
            Self::Uid => "uid_map",
            Self::Gid => "gid_map",
        }
    }

    const fn tool(self) -> &'static str {
        match self {
            Self::Uid => "newuidmap",
            Self::Gid => "newgidmap",
        }
    }

    const fn config_path(self) -> &'static str {
        match self {
            Self::Uid => "linux.uidMappings",
            Self::Gid => "linux.gidMappings",
        }
    }
}

/// Who writes maps, or has them written.
pub(super) struct MapCaller<'a> {
    pub(super) launcher: &'a Launcher,
    pub(super) deadline: Deadline<'a>,
}

impl MapCaller<'_> {
    /// Writes one map of a new user namespace.
    ///
    /// # Errors
    /// `NotFound` without the tool; `PermissionDenied` with what the kernel or the tool said.
    pub(super) fn write_map(
        &self,
        process: &Target<'_>,
        kind: MapKind,
        maps: &[IdMap],
        by: MapWriter,
    ) -> Result<()> {
        let written = match by {
            MapWriter::Host => write_at(process.proc, kind.file(), &lines(maps)),
            MapWriter::Tool => self.run_tool(process.pid, kind, maps),
        };
        written.map_err(|error| error.with_config_path(kind.config_path()))
    }

    fn run_tool(&self, pid: i32, kind: MapKind, maps: &[IdMap]) -> Result<()> {
        let tool = kind.tool();
        let numbers = maps.iter().flat_map(|map| [map.container_id, map.host_id, map.size]);
        let words = numbers.map(|number| number.to_string());
        let args = program::texts([tool.to_owned(), pid.to_string()].into_iter().chain(words))?;
        let search = search_path(&std::env::var("PATH").unwrap_or_default());
        let program = Program {
            name: Path::new(tool),
            search: &search,
            args,
            env: Vec::new(),
            cwd: Path::new("/"),
            outputs: [None; 2],
        };
        let finished = program::run(self.launcher, &program, &[], self.deadline);
        let finished = finished.map_err(|error| match error.kind() {
            ErrorKind::NotFound => missing(kind),
            _ => error.context(format_args!("cannot run {tool}")),
        })?;
        let outcome = match finished.ended {
            Ended::Exited(0) => return Ok(()),
            Ended::Exited(code) => format!("exit status {code}"),
            Ended::Signaled(signal) => format!("signal {signal}"),
            // Whether it wrote the map shows in the map: init could not become root without it.
            Ended::Unknown => return Ok(()),
        };
        let said = match finished.stderr.as_str() {
            "" => outcome,
            said => format!("{said} ({outcome})"),
        };
        let error = Error::new(ErrorKind::PermissionDenied, format!("{tool} failed: {said}"));
        Err(match subids::hint(kind, maps) {
            Some(hint) => error.with_hint(hint),
            None => error,
        })
    }
}

/// Absolute directories of PATH, then the usual ones: callers often have no PATH.
fn search_path(path: &str) -> String {
    let absolute = path.split(':').filter(|dir| dir.starts_with('/'));
    absolute.chain(["/usr/local/bin", "/usr/bin", "/bin"]).collect::<Vec<_>>().join(":")
}

fn missing(kind: MapKind) -> Error {
    let tool = kind.tool();
    let message =
        format!("{tool} is not installed, and a plain user can map ranges of ids only with its help");
    Error::new(ErrorKind::NotFound, message).with_hint(format!(
        "install the package uidmap (Debian, Ubuntu) or shadow-utils (Fedora, RHEL), or map the own id alone, once, in {}",
        kind.config_path()
    ))
}

pub(super) fn lines(maps: &[IdMap]) -> String {
    maps.iter().fold(String::new(), |mut lines, map| {
        // Writing to a String cannot fail.
        let _ok = writeln!(lines, "{} {} {}", map.container_id, map.host_id, map.size);
        lines
    })
}

/// Writes a file of /proc/PID in one call, as these files demand.
pub(super) fn write_at(process: &OwnedFd, name: &str, data: &str) -> Result<()> {
    let write = || -> Result<(), Errno> {
        let file = rustix::fs::openat(process, name, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        match rustix::io::write(&file, data.as_bytes())? {
            written if written == data.len() => Ok(()),
            _ => Err(Errno::IO),
        }
    };
    write().map_err(|errno| {
        let data = data.trim_end().replace('\n', ", ");
        Error::from_errno(format!("cannot write {data:?} to /proc/PID/{name} of init"), errno.raw_os_error())
            .with_path(format!("/proc/PID/{name}"))
    })
}

#[cfg(test)]
mod tests {
    use super::{lines, search_path};
    use crate::plan::step::IdMap;

    #[test]
    fn each_range_is_a_line() {
        let maps = [
            IdMap { container_id: 0, host_id: 1000, size: 1 },
            IdMap { container_id: 1, host_id: 100_000, size: 65_536 },
        ];
        assert_eq!(lines(&maps), "0 1000 1\n1 100000 65536\n");
    }

    #[test]
    fn tools_are_searched_in_absolute_directories_only() {
        for (path, search) in
            [("", "/usr/local/bin:/usr/bin:/bin"), (".:bin:/opt/x:", "/opt/x:/usr/local/bin:/usr/bin:/bin")]
        {
            assert_eq!(search_path(path), search, "{path:?}");
        }
    }
}
