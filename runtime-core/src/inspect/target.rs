//! A container that a process joins: which of its namespaces are others than the caller's, and its id maps. Everything
//! is asked of one process, held by its pidfd.

use std::{
    fs, io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use oci_spec::runtime::LinuxNamespaceType::{self, Cgroup, Ipc, Mount, Network, Pid, Time, User, Uts};
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};

use super::{BundleFacts, JoinedNamespace, namespaces};
use crate::{Error, ErrorKind, Result, host::KernelVersion, sys::pidfd};

/// The first kernel with `setns(2)` of a pidfd.
const JOINS_BY_PIDFD: KernelVersion = KernelVersion(5, 8);

/// What is known of the container.
#[derive(Debug)]
pub(crate) struct Target {
    /// What is joined, in the order of joining: all at once by the pidfd, or one namespace after the other.
    pub(crate) facts: BundleFacts,
    /// `CLONE_NEW*` flags of the namespaces that are others than the caller's.
    pub(crate) kinds: u32,
    /// None: the user namespace is the caller's.
    pub(crate) maps: Option<IdMaps>,
    /// The v2 cgroup that the container's init is in now, as the caller's cgroup namespace shows it.
    pub(crate) cgroup_of_init: Option<PathBuf>,
}

/// Id maps of a user namespace: first id inside, first id outside, how many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct IdMaps {
    pub(crate) uids: Vec<[u32; 3]>,
    pub(crate) gids: Vec<[u32; 3]>,
    pub(crate) deny_setgroups: bool,
}

impl Target {
    /// Looks at the container's init. `is_privileged`: the caller has CAP_SYS_ADMIN in its own user namespace.
    ///
    /// # Errors
    /// `WrongStatus` when it has ended; `PermissionDenied` when it is another user's.
    pub(crate) fn gather(
        pid: i32,
        init: &OwnedFd,
        is_privileged: bool,
        kernel: KernelVersion,
    ) -> Result<Self> {
        let proc = PathBuf::from(format!("/proc/{pid}"));
        let failed = |what: &str, errno: Errno| {
            Error::from_errno(
                format!("cannot look at {what} of the container's process"),
                errno.raw_os_error(),
            )
        };
        // The user namespace is the first for a plain user, who has rights over the others only in it, and the last for
        // a privileged caller, whose own user namespace may own some of them.
        let mut order = vec![Cgroup, Ipc, Uts, Network, Time, Mount, Pid];
        order.insert(if is_privileged { order.len() } else { 0 }, User);
        let mut differing = Vec::new();
        for kind in order {
            let path = proc.join("ns").join(entry(kind));
            match rustix::fs::stat(&path) {
                Ok(found) => {
                    let is_own =
                        namespaces::is_own(&found, kind).map_err(|errno| failed("namespaces", errno))?;
                    if !is_own {
                        differing.push((kind, path));
                    }
                }
                // A kernel without this kind.
                Err(Errno::NOENT) if proc.join("ns/mnt").symlink_metadata().is_ok() => {}
                Err(errno) => return Err(failed("namespaces", errno)),
            }
        }
        let kinds = differing.iter().fold(0, |kinds, (kind, _)| kinds | *kind as u32);
        let maps = match kinds & User as u32 {
            0 => None,
            _ => Some(
                read_maps(&proc)
                    .map_err(|source| Error::from_io("cannot read the id maps of the container", source))?,
            ),
        };
        let cgroup_of_init = fs::read_to_string(proc.join("cgroup"))
            .ok()
            .and_then(|text| text.lines().find_map(|line| line.strip_prefix("0::")).map(PathBuf::from));
        let joined = if kernel >= JOINS_BY_PIDFD {
            by_pidfd(kinds, &proc, init)?
        } else {
            differing.iter().enumerate().map(by_path).collect::<Result<_>>()?
        };
        // What was looked at was of this process, unless it has ended meanwhile.
        if pidfd::has_ended(init) {
            return Err(Error::new(ErrorKind::WrongStatus, "cannot exec in a stopped container")
                .with_status(crate::Status::Stopped));
        }
        Ok(Self {
            facts: BundleFacts {
                rootfs: PathBuf::new(),
                namespaces: joined,
                members_mounts: Vec::new(),
                joined_maps: None,
            },
            kinds,
            maps,
            cgroup_of_init,
        })
    }
}

/// All at once: the kernel checks the whole before it changes anything.
fn by_pidfd(kinds: u32, proc: &Path, init: &OwnedFd) -> Result<Vec<JoinedNamespace>> {
    if kinds == 0 {
        return Ok(Vec::new());
    }
    let fd = init.try_clone().map_err(|source| Error::from_io("cannot duplicate a pidfd", source))?;
    Ok(vec![joined(0, kinds, proc, fd)])
}

fn by_path((index, (kind, path)): (usize, &(LinuxNamespaceType, PathBuf))) -> Result<JoinedNamespace> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| {
        Error::from_errno(format!("cannot open {}", path.display()), errno.raw_os_error())
    })?;
    Ok(joined(index, *kind as u32, path, fd))
}

fn joined(index: usize, kind: u32, path: &Path, fd: OwnedFd) -> JoinedNamespace {
    JoinedNamespace {
        index,
        kind,
        path: path.to_owned(),
        fd: Some(fd),
        is_own: false,
        owned_by_callers_user_namespace: false,
    }
}

/// The name in /proc/PID/ns.
fn entry(kind: LinuxNamespaceType) -> &'static str {
    match kind {
        Mount => "mnt",
        Cgroup => "cgroup",
        Uts => "uts",
        Ipc => "ipc",
        User => "user",
        Pid => "pid",
        Network => "net",
        Time => "time",
    }
}

/// Maps of a user namespace that is joined by `/proc/PID/ns/user`. None for another path: nobody may be in there to ask.
pub(super) fn maps_of_joined(namespaces: &[JoinedNamespace]) -> Option<IdMaps> {
    let joined = namespaces.iter().find(|joined| joined.kind == User as u32)?;
    let proc = joined.path.parent().filter(|_| joined.path.ends_with("ns/user"))?.parent()?;
    let maps = read_maps(proc).ok()?;
    // The process that was asked is still in the namespace that was opened.
    let (opened, asked) =
        (rustix::fs::fstat(joined.fd.as_ref()?).ok()?, rustix::fs::stat(&joined.path).ok()?);
    ((opened.st_dev, opened.st_ino) == (asked.st_dev, asked.st_ino)).then_some(maps)
}

fn read_maps(proc: &Path) -> io::Result<IdMaps> {
    let map = |name: &str| fs::read_to_string(proc.join(name)).map(|text| parse_map(&text));
    let setgroups = fs::read_to_string(proc.join("setgroups"))?;
    Ok(IdMaps { uids: map("uid_map")?, gids: map("gid_map")?, deny_setgroups: setgroups.trim() == "deny" })
}

/// user_namespaces(7): three numbers a line.
fn parse_map(text: &str) -> Vec<[u32; 3]> {
    let number = |word: Option<&str>| word?.parse().ok();
    let line = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        Some([number(words.next())?, number(words.next())?, number(words.next())?])
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::{Target, parse_map};
    use crate::host::KernelVersion;

    #[test]
    fn maps_are_three_numbers_a_line() {
        let text = "         0     100000      65536\n      65536       1000          1\n";
        assert_eq!(parse_map(text), [[0, 100_000, 65536], [65536, 1000, 1]]);
        assert_eq!(parse_map(""), [[0u32; 3]; 0]);
    }

    #[test]
    fn nothing_of_the_own_namespaces_is_joined() {
        let pid = std::process::id().try_into().unwrap();
        let own = rustix::process::pidfd_open(
            rustix::process::Pid::from_raw(pid).unwrap(),
            rustix::process::PidfdFlags::empty(),
        )
        .unwrap();
        for kernel in [KernelVersion(5, 4), KernelVersion(6, 1)] {
            let target = Target::gather(pid, &own, true, kernel).unwrap();
            assert_eq!((target.kinds, target.facts.namespaces.len()), (0, 0));
            assert_eq!(target.maps, None);
        }
    }
}
