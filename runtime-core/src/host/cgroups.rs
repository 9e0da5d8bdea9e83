//! Where cgroup file systems are and where the caller is in them.
//!
//! A unified host is recognized by one `statfs(2)`, without reading mountinfo: that file grows with every container.
//! A v1 or hybrid host needs it once. All parsing is pure; `find` alone touches the host.

use std::path::{Component, Path, PathBuf};

use rustix::{fs::CWD, io::Errno};

use crate::{Error, Result, sys};

/// `CGROUP2_SUPER_MAGIC` of linux/magic.h.
const CGROUP2_SUPER_MAGIC: u32 = 0x6367_7270;

/// Where every distribution mounts cgroups; mounts elsewhere are somebody's own business.
const MOUNT: &str = "/sys/fs/cgroup";

/// The cgroup layout of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CgroupHost {
    /// cgroup v2 at `/sys/fs/cgroup` (found by statfs, no mountinfo is read).
    Unified {
        /// Mount point.
        mount: PathBuf,
        /// The caller's cgroup, absolute, as seen below the mount point.
        own: PathBuf,
    },
    /// cgroup v1 controllers, with or without a v2 hierarchy beside them.
    Legacy {
        /// v1 hierarchies, named ones included.
        hierarchies: Vec<Hierarchy>,
        /// The v2 hierarchy of a hybrid host.
        unified: Option<Hierarchy>,
    },
}

/// Where a caller without root's rights may make cgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CgroupRights {
    /// Where the rules put the container's: beside the caller's own cgroup (v2), below it in each hierarchy (v1).
    Full,
    /// Only below its own: that one is the root of what was delegated (v2).
    BelowOwn,
    /// Nowhere.
    None,
}

impl CgroupRights {
    /// Asks the kernel, with the effective ids.
    pub(crate) fn of_caller(host: &CgroupHost) -> Self {
        let below = |mount: &Path, path: &Path| mount.join(path.strip_prefix("/").unwrap_or(path));
        let (full, own) = match host {
            CgroupHost::Unified { mount, own } => {
                let parent = own.parent().unwrap_or(Path::new("/"));
                (takes_cgroups(&below(mount, parent)), takes_cgroups(&below(mount, own)))
            }
            CgroupHost::Legacy { hierarchies, unified } => {
                let mut all = hierarchies.iter().chain(unified);
                (
                    all.all(|hierarchy| {
                        takes_cgroups(&below(&hierarchy.mount, &hierarchy.own_below_mount()))
                    }),
                    false,
                )
            }
        };
        match (full, own) {
            (true, _) => Self::Full,
            (false, true) => Self::BelowOwn,
            (false, false) => Self::None,
        }
    }
}

/// Whether a cgroup can be made in it and a process be moved there: for the move the kernel asks for a writable
/// `cgroup.procs` of the nearest common ancestor too (cgroups(7)).
fn takes_cgroups(dir: &Path) -> bool {
    let may =
        |path: &Path, access| rustix::fs::accessat(CWD, path, access, rustix::fs::AtFlags::EACCESS).is_ok();
    let write = rustix::fs::Access::WRITE_OK;
    may(dir, write | rustix::fs::Access::EXEC_OK) && may(&dir.join("cgroup.procs"), write)
}

/// One mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hierarchy {
    /// Controllers (`cpu`, `cpuacct`) or `name=systemd`; empty for v2.
    pub(crate) controllers: Vec<String>,
    /// Mount point.
    pub(crate) mount: PathBuf,
    /// The root of the mount within the hierarchy (not `/` in a container without cgroup namespace).
    pub(crate) root: PathBuf,
    /// The caller's cgroup, absolute within the hierarchy.
    pub(crate) own: PathBuf,
}

impl Hierarchy {
    /// The caller's cgroup as seen below the mount point. `/` when it lies outside of what is mounted.
    pub(crate) fn own_below_mount(&self) -> PathBuf {
        own_below_root(&self.root, &self.own)
    }
}

impl CgroupHost {
    /// Looks for `/sys/fs/cgroup`. None: no cgroup file system is mounted there.
    ///
    /// # Errors
    /// When /proc/self cannot be read.
    pub(crate) fn find() -> Result<Option<Self>> {
        let magic = match rustix::fs::statfs(MOUNT) {
            // The kernel's magic numbers have 32 bits; f_type is wider on some architectures and signed on others.
            Ok(stat) => stat.f_type as u32,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(errno) => {
                return Err(Error::from_errno(format!("cannot look at {MOUNT}"), errno.raw_os_error())
                    .with_path(MOUNT));
            }
        };
        let own = read_proc("/proc/self/cgroup")?;
        if magic != CGROUP2_SUPER_MAGIC {
            return Ok(parse_layout(&read_proc("/proc/self/mountinfo")?, &own));
        }
        let own = parse_own_unified(&own);
        // Without a cgroup namespace but with a part of the hierarchy mounted, the path names nothing here.
        if own == Path::new("/")
            || is_directory(&Path::new(MOUNT).join(own.strip_prefix("/").unwrap_or(&own)))
        {
            return Ok(Some(Self::Unified { mount: MOUNT.into(), own }));
        }
        let root = parse_mountinfo(&read_proc("/proc/self/mountinfo")?)
            .into_iter()
            .rfind(|mount| mount.point == Path::new(MOUNT))
            .map_or_else(|| PathBuf::from("/"), |mount| mount.root);
        Ok(Some(Self::Unified { mount: MOUNT.into(), own: own_below_root(&root, &own) }))
    }
}

fn read_proc(path: &str) -> Result<String> {
    sys::read_proc(path).map_err(|error| {
        Error::from_io(format!("cannot read {path}"), error).with_path(path).with_hint("is /proc mounted?")
    })
}

fn is_directory(path: &Path) -> bool {
    rustix::fs::statat(CWD, path, rustix::fs::AtFlags::empty())
        .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir())
}

/// The path of the v2 line (`0::/a/b`) of /proc/PID/cgroup.
fn parse_own_unified(own: &str) -> PathBuf {
    own.lines().find_map(|line| line.strip_prefix("0::")).map_or_else(|| PathBuf::from("/"), absolute)
}

/// Absolute and without `..`: a process outside of its cgroup namespace's root is shown as `/../name`.
fn absolute(path: &str) -> PathBuf {
    let mut clean = PathBuf::from("/");
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            _ => {}
        }
    }
    clean
}

fn own_below_root(root: &Path, own: &Path) -> PathBuf {
    Path::new("/").join(own.strip_prefix(root).unwrap_or(Path::new("")))
}

/// The layout from /proc/self/mountinfo and /proc/self/cgroup. None: nothing is mounted.
fn parse_layout(mountinfo: &str, own: &str) -> Option<CgroupHost> {
    let mounts = parse_mountinfo(mountinfo);
    let mut hierarchies = Vec::new();
    let mut unified = None;
    for line in own.lines() {
        // "4:cpu,cpuacct:/path"; the path may hold colons.
        let mut parts = line.splitn(3, ':');
        let (Some(id), Some(names), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let controllers: Vec<String> =
            names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        let is_unified = id == "0" && controllers.is_empty();
        let is_it = |mount: &&Mount<'_>| match is_unified {
            true => mount.kind == "cgroup2",
            false => {
                mount.kind == "cgroup"
                    && controllers.iter().all(|name| mount.options.contains(&name.as_str()))
            }
        };
        // Not mounted, or hidden: nothing can be made there.
        let Some(mount) = mounts.iter().find(is_it) else { continue };
        let hierarchy = Hierarchy {
            controllers,
            mount: mount.point.clone(),
            root: mount.root.clone(),
            own: absolute(path),
        };
        match is_unified {
            true => unified = Some(hierarchy),
            false => hierarchies.push(hierarchy),
        }
    }
    match (hierarchies.is_empty(), unified) {
        (true, None) => None,
        (true, Some(unified)) => {
            Some(CgroupHost::Unified { own: unified.own_below_mount(), mount: unified.mount })
        }
        (false, unified) => Some(CgroupHost::Legacy { hierarchies, unified }),
    }
}

/// A cgroup mount below `/sys/fs/cgroup`.
struct Mount<'a> {
    kind: &'a str,
    root: PathBuf,
    point: PathBuf,
    options: Vec<&'a str>,
}

fn parse_mountinfo(text: &str) -> Vec<Mount<'_>> {
    text.lines().filter_map(parse_mountinfo_line).collect()
}

/// `36 31 0:33 / /sys/fs/cgroup/devices rw,relatime shared:9 - cgroup cgroup rw,devices` (proc_pid_mountinfo(5)).
fn parse_mountinfo_line(line: &str) -> Option<Mount<'_>> {
    let (left, right) = line.split_once(" - ")?;
    let mut right = right.split(' ');
    let kind = right.next().filter(|kind| matches!(*kind, "cgroup" | "cgroup2"))?;
    let options = right.nth(1).unwrap_or_default().split(',').collect();
    let mut left = left.split(' ').skip(3);
    let root = PathBuf::from(unescape(left.next()?));
    let point = PathBuf::from(unescape(left.next()?));
    point.starts_with(MOUNT).then_some(Mount { kind, root, point, options })
}

/// mountinfo writes space, tab, newline and backslash as `\ooo`.
pub(super) fn unescape(text: &str) -> std::ffi::OsString {
    use std::os::unix::ffi::OsStringExt;
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let octal = (byte == b'\\')
            .then(|| text.get(at + 1..at + 4))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        plain.push(octal.unwrap_or(byte));
        at += if octal.is_some() { 4 } else { 1 };
    }
    std::ffi::OsString::from_vec(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID_MOUNTS: &str = "\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime shared:9 - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
50 22 0:38 / /mnt/elsewhere rw - cgroup cgroup rw,pids
";
    const HYBRID_OWN: &str = "9:name=systemd:/\n8:pids:/\n4:memory:/api/7ed8\n1:cpu:/\n0::/\n";

    fn hierarchy(controllers: &[&str], mount: &str, root: &str, own: &str) -> Hierarchy {
        Hierarchy {
            controllers: controllers.iter().map(ToString::to_string).collect(),
            mount: mount.into(),
            root: root.into(),
            own: own.into(),
        }
    }

    #[test]
    fn hybrid_host_has_every_mounted_hierarchy_and_the_v2_one() {
        let expected = CgroupHost::Legacy {
            hierarchies: vec![
                hierarchy(&["name=systemd"], "/sys/fs/cgroup/systemd", "/", "/"),
                hierarchy(&["memory"], "/sys/fs/cgroup/memory", "/", "/api/7ed8"),
                hierarchy(&["cpu"], "/sys/fs/cgroup/cpu", "/", "/"),
            ],
            unified: Some(hierarchy(&[], "/sys/fs/cgroup/unified", "/", "/")),
        };
        assert_eq!(parse_layout(HYBRID_MOUNTS, HYBRID_OWN), Some(expected));
    }

    #[test]
    fn co_mounted_controllers_are_one_hierarchy_whatever_their_order() {
        let mounts = "33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpuacct,cpu\n";
        let found = parse_layout(mounts, "2:cpu,cpuacct:/a:b\n");
        let expected = hierarchy(&["cpu", "cpuacct"], "/sys/fs/cgroup/cpu,cpuacct", "/", "/a:b");
        assert_eq!(found, Some(CgroupHost::Legacy { hierarchies: vec![expected], unified: None }));
    }

    #[test]
    fn container_without_cgroup_namespace_sees_its_cgroup_below_the_mount_root() {
        let mounts = "33 31 0:30 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
        let rows =
            [("/docker/abc", "/"), ("/docker/abc/in", "/in"), ("/docker/abcd", "/"), ("/elsewhere", "/")];
        for (own, expected) in rows {
            let Some(CgroupHost::Legacy { hierarchies, .. }) =
                parse_layout(mounts, &format!("3:memory:{own}\n"))
            else {
                panic!("{own}")
            };
            assert_eq!(hierarchies[0].own_below_mount(), Path::new(expected), "{own}");
        }
    }

    #[test]
    fn v2_alone_below_a_tmpfs_is_unified() {
        let mounts = "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let expected = CgroupHost::Unified { mount: "/sys/fs/cgroup/unified".into(), own: "/a".into() };
        assert_eq!(parse_layout(mounts, "0::/a\n"), Some(expected));
    }

    #[test]
    fn nothing_mounted_is_none() {
        assert_eq!(parse_layout("22 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n", HYBRID_OWN), None);
        assert_eq!(parse_layout("", ""), None);
    }

    #[test]
    fn own_unified_path_is_cleaned() {
        let rows = [
            ("0::/\n", "/"),
            ("4:memory:/x\n0::/user.slice/a\n", "/user.slice/a"),
            ("0::/../outside/b\n", "/outside/b"),
            ("4:memory:/x\n", "/"),
            ("0::/a (deleted)\n", "/a (deleted)"),
        ];
        for (text, expected) in rows {
            assert_eq!(parse_own_unified(text), Path::new(expected), "{text:?}");
        }
    }

    #[test]
    fn octal_escapes_of_mountinfo_are_undone() {
        let rows = [("a\\040b", "a b"), ("\\134", "\\"), ("a\\9", "a\\9"), ("\\", "\\"), ("é\\011", "é\t")];
        for (escaped, plain) in rows {
            assert_eq!(unescape(escaped), plain, "{escaped}");
        }
    }

    #[test]
    fn find_agrees_with_this_machine() {
        let Some(host) = CgroupHost::find().unwrap() else { return };
        match host {
            CgroupHost::Unified { mount, own } => {
                assert!(is_directory(&mount.join(own.strip_prefix("/").unwrap())));
            }
            CgroupHost::Legacy { hierarchies, unified } => {
                for hierarchy in hierarchies.iter().chain(&unified) {
                    let own = hierarchy.own_below_mount();
                    assert!(
                        is_directory(&hierarchy.mount.join(own.strip_prefix("/").unwrap())),
                        "{hierarchy:?}"
                    );
                }
            }
        }
    }
}
