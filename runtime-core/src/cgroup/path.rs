//! `linux.cgroupsPath` to directories, by the rules of the cgroupfs driver. Pure.
//!
//! Absolute: from the mount point. Relative, or absent and then the id: on v2 beside the caller's own cgroup (the
//! caller is in it, so no controller can be enabled below it), on v1 below the caller's own cgroup in each hierarchy. A
//! plain user's own cgroup may be the root of what was delegated on v2: then it is below that one too.
//! `..` is cleaned away lexically and cannot climb out.

use std::path::{Component, Path, PathBuf};

use super::CgroupDirs;
use crate::{
    Error, ErrorKind, Problem, Result,
    host::{CgroupHost, CgroupRights, Hierarchy},
};

/// The directories of the container's cgroup.
///
/// A path with two colons, the form for systemd, is a relative path like any other here, as under runc.
///
/// # Errors
/// `InvalidConfig` for a path that names the root of the hierarchy or the caller's own cgroup.
pub(crate) fn cgroup_dirs(
    host: &CgroupHost,
    rights: CgroupRights,
    cgroups_path: Option<&str>,
    id: &str,
) -> Result<CgroupDirs> {
    let written = cgroups_path.filter(|path| !path.is_empty());
    let path = written.unwrap_or(id);
    if path.contains('\0') {
        return Err(refuse("must not hold a null byte"));
    }
    let is_absolute = path.starts_with('/');
    let inner = cleaned(path);
    if inner.as_os_str().is_empty() {
        return Err(refuse(&format!("{path:?} names no cgroup of the container's own")));
    }
    let below = |own: PathBuf| if is_absolute { inner.clone() } else { strip_root(&own).join(&inner) };
    match host {
        CgroupHost::Unified { mount, own } => {
            let parent = match rights {
                CgroupRights::BelowOwn => own.clone(),
                _ => own.parent().unwrap_or(Path::new("/")).to_owned(),
            };
            Ok(CgroupDirs::Unified { mount: mount.clone(), path: Path::new("/").join(below(parent)) })
        }
        CgroupHost::Legacy { hierarchies, unified } => {
            let dir = |hierarchy: &Hierarchy| {
                let key = hierarchy.controllers.join(",");
                (key, hierarchy.mount.join(below(hierarchy.own_below_mount())))
            };
            Ok(CgroupDirs::Legacy { dirs: hierarchies.iter().chain(unified).map(dir).collect() })
        }
    }
}

fn refuse(message: &str) -> Error {
    Error::invalid_config(vec![Problem::new("linux.cgroupsPath", message)])
        .with_kind(ErrorKind::InvalidConfig)
}

/// Relative, without `.` and `..`; what would climb out ends at the top.
fn cleaned(path: &str) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    clean
}

/// A path below the container's cgroup, by its parts: one that climbs out and comes back in is refused too.
fn path_below(path: &str) -> Result<PathBuf> {
    if path.contains('\0') || Path::new(path).components().any(|part| part == Component::ParentDir) {
        return Err(Error::new(ErrorKind::InvalidArgument, format!("bad sub cgroup path: {path}")));
    }
    Ok(cleaned(path))
}

fn strip_root(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}

impl CgroupDirs {
    /// The cgroups below this one that an exec asks for: one `PATH` for all, or `CONTROLLER[,CONTROLLER]:PATH` for some
    /// hierarchies of v1.
    ///
    /// # Errors
    /// `InvalidArgument` for a path that leads out of the container's cgroup, and for an unknown controller.
    pub(crate) fn below(&self, asked: &[String]) -> Result<Self> {
        let wrong = |words: String| Error::new(ErrorKind::InvalidArgument, words);
        let mut below = self.clone();
        let mut named = Vec::new();
        for argument in asked {
            let Some((controllers, path)) = argument.split_once(':') else {
                if asked.len() > 1 {
                    let words =
                        format!("invalid --cgroup argument: {argument} (missing <controller>: prefix)");
                    return Err(wrong(words));
                }
                return self.all_below(argument);
            };
            for controller in controllers.split(',') {
                if controller.is_empty() {
                    let words = format!("invalid --cgroup argument: {argument} (empty <controller> prefix)");
                    return Err(wrong(words));
                }
                if named.contains(&controller) {
                    let words = format!("controller {controller} specified multiple times");
                    return Err(wrong(format!("invalid --cgroup argument(s): {words}")));
                }
                named.push(controller);
                let Self::Legacy { dirs } = &mut below else {
                    return Err(wrong(format!("unknown controller {controller}: this host has cgroup v2")));
                };
                let of_controller = |controllers: &str| controllers.split(',').any(|name| name == controller);
                let own = dirs.iter_mut().find(|(controllers, _)| of_controller(controllers));
                let Some((_, dir)) = own else {
                    return Err(wrong(format!("unknown controller {controller}")));
                };
                // Several controllers of one hierarchy name one place.
                *dir = self.v1(controller).unwrap_or(dir).join(path_below(path)?);
            }
        }
        Ok(below)
    }

    fn all_below(&self, path: &str) -> Result<Self> {
        let below = path_below(path)?;
        Ok(match self {
            Self::Unified { mount, path } => Self::Unified { mount: mount.clone(), path: path.join(below) },
            Self::Legacy { dirs } => {
                Self::Legacy { dirs: dirs.iter().map(|(key, dir)| (key.clone(), dir.join(&below))).collect() }
            }
        })
    }

    /// The directory of the v2 hierarchy: the cgroup itself on a unified host, its companion on a hybrid one.
    pub(crate) fn v2(&self) -> Option<PathBuf> {
        match self {
            Self::Unified { mount, path } => Some(mount.join(strip_root(path))),
            Self::Legacy { dirs } => dirs.get("").cloned(),
        }
    }

    /// The directory of the v1 hierarchy that has this controller.
    pub(crate) fn v1(&self, controller: &str) -> Option<&Path> {
        match self {
            Self::Unified { .. } => None,
            Self::Legacy { dirs } => dirs
                .iter()
                .find(|(controllers, _)| controllers.split(',').any(|name| name == controller))
                .map(|(_, dir)| dir.as_path()),
        }
    }

    /// All directories, the v2 one last: its events tell when the others can be removed.
    pub(crate) fn all(&self) -> Vec<PathBuf> {
        match self {
            Self::Unified { .. } => self.v2().into_iter().collect(),
            Self::Legacy { dirs } => {
                let v1 = dirs.iter().filter(|(controllers, _)| !controllers.is_empty());
                v1.map(|(_, dir)| dir.clone()).chain(self.v2()).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unified(own: &str) -> CgroupHost {
        CgroupHost::Unified { mount: "/sys/fs/cgroup".into(), own: own.into() }
    }

    fn legacy() -> CgroupHost {
        let hierarchy = |controllers: &[&str], mount: &str, root: &str, own: &str| Hierarchy {
            controllers: controllers.iter().map(ToString::to_string).collect(),
            mount: mount.into(),
            root: root.into(),
            own: own.into(),
        };
        CgroupHost::Legacy {
            hierarchies: vec![
                hierarchy(&["cpu", "cpuacct"], "/c/cpu,cpuacct", "/", "/api/7e"),
                hierarchy(&["memory"], "/c/memory", "/docker/x", "/docker/x/in"),
                hierarchy(&["name=systemd"], "/c/systemd", "/docker/x", "/other"),
            ],
            unified: Some(hierarchy(&[], "/c/unified", "/", "/user.slice")),
        }
    }

    // spec: linux.cgroupspath.form linux.cgroupspath.absolute linux.cgroupspath.consistent
    #[test]
    fn unified_paths_follow_the_cgroupfs_rules() {
        let rows = [
            ("/", Some("/a/b"), "/a/b"),
            ("/user.slice/s", Some("/a/b"), "/a/b"),
            ("/", Some("a/b"), "/a/b"),
            ("/user.slice/s", Some("a/b"), "/user.slice/a/b"),
            ("/user.slice/s", None, "/user.slice/web1"),
            ("/user.slice/s", Some(""), "/user.slice/web1"),
            ("/", None, "/web1"),
            ("/x", Some("/a/../../../b"), "/b"),
            ("/x/y", Some("../../b"), "/x/b"),
            ("/x/y", Some("./a//b/."), "/x/a/b"),
            ("/x/y", Some("system.slice:docker:c1"), "/x/system.slice:docker:c1"),
        ];
        for (own, path, expected) in rows {
            let dirs = cgroup_dirs(&unified(own), CgroupRights::Full, path, "web1").unwrap();
            let expected = CgroupDirs::Unified { mount: "/sys/fs/cgroup".into(), path: expected.into() };
            assert_eq!(dirs, expected, "own {own}, cgroupsPath {path:?}");
        }
    }

    #[test]
    fn below_the_root_of_a_delegation_stays_what_is_relative() {
        for (path, expected) in [(None, "/system.slice/run-1.scope/web1"), (Some("/a"), "/a")] {
            let own = unified("/system.slice/run-1.scope");
            let dirs = cgroup_dirs(&own, CgroupRights::BelowOwn, path, "web1").unwrap();
            let expected = CgroupDirs::Unified { mount: "/sys/fs/cgroup".into(), path: expected.into() };
            assert_eq!(dirs, expected, "{path:?}");
        }
    }

    #[test]
    fn legacy_paths_are_in_every_hierarchy() {
        let rows = [
            (Some("/a"), ["/c/unified/a", "/c/cpu,cpuacct/a", "/c/memory/a", "/c/systemd/a"]),
            (
                Some("a/../b"),
                ["/c/unified/user.slice/b", "/c/cpu,cpuacct/api/7e/b", "/c/memory/in/b", "/c/systemd/b"],
            ),
            (
                None,
                [
                    "/c/unified/user.slice/web1",
                    "/c/cpu,cpuacct/api/7e/web1",
                    "/c/memory/in/web1",
                    "/c/systemd/web1",
                ],
            ),
        ];
        for (path, expected) in rows {
            let CgroupDirs::Legacy { dirs } =
                cgroup_dirs(&legacy(), CgroupRights::Full, path, "web1").unwrap()
            else {
                panic!()
            };
            let found: Vec<_> = dirs.iter().map(|(key, dir)| (key.as_str(), dir.to_str().unwrap())).collect();
            let keys = ["", "cpu,cpuacct", "memory", "name=systemd"];
            assert_eq!(found, std::iter::zip(keys, expected).collect::<Vec<_>>(), "{path:?}");
        }
    }

    #[test]
    fn controllers_are_found_in_joint_hierarchies_and_v2_comes_last() {
        let dirs = cgroup_dirs(&legacy(), CgroupRights::Full, Some("/a"), "web1").unwrap();
        assert_eq!(dirs.v1("cpuacct"), Some(Path::new("/c/cpu,cpuacct/a")));
        assert_eq!(dirs.v1("pids"), None);
        assert_eq!(dirs.v2(), Some("/c/unified/a".into()));
        assert_eq!(dirs.all().last(), dirs.v2().as_ref());
        assert_eq!(dirs.all().len(), 4);
    }

    #[test]
    fn cgroups_of_an_exec_are_below_the_containers() {
        let unified = cgroup_dirs(&unified("/"), CgroupRights::Full, Some("/a"), "web1").unwrap();
        let legacy = cgroup_dirs(&legacy(), CgroupRights::Full, Some("/a"), "web1").unwrap();
        let below = |dirs: &CgroupDirs, asked: &[&str]| {
            let asked: Vec<String> = asked.iter().map(ToString::to_string).collect();
            dirs.below(&asked).map_err(|error| error.to_string())
        };
        assert_eq!(below(&unified, &[]), Ok(unified.clone()));
        assert_eq!(below(&unified, &["/x//y/."]).unwrap().v2(), Some("/sys/fs/cgroup/a/x/y".into()));
        let found = below(&legacy, &["memory:m", "cpu,cpuacct:c"]).unwrap();
        assert_eq!(found.v1("memory"), Some(Path::new("/c/memory/a/m")));
        assert_eq!(found.v1("cpuacct"), Some(Path::new("/c/cpu,cpuacct/a/c")));
        assert_eq!(found.v2(), legacy.v2());
        assert_eq!(below(&legacy, &["s"]).unwrap().v2(), Some("/c/unified/a/s".into()));
        for (dirs, asked, words) in [
            (&unified, &[".."][..], "bad sub cgroup path: .."),
            (&unified, &["../a-suffix"], "bad sub cgroup path"),
            (&unified, &["x/../../a"], "bad sub cgroup path"),
            (&unified, &["memory:x"], "unknown controller memory"),
            (&legacy, &["memory:.."], "bad sub cgroup path"),
            (&legacy, &["whaaat:/"], "unknown controller whaaat"),
            (&legacy, &["a", "b"], "missing <controller>: prefix"),
            (&legacy, &[":a"], "empty <controller> prefix"),
            (&legacy, &["memory:a", "memory:b"], "specified multiple times"),
        ] {
            let error = below(dirs, asked).unwrap_err();
            assert!(error.contains(words), "{asked:?}: {error}");
        }
    }

    // spec: linux.cgroupspath.invalid-error
    #[test]
    fn paths_that_name_no_own_cgroup_are_refused() {
        for path in ["/", "/..", ".", "..", "a/..", "/a/../..", "a\0b"] {
            for host in [unified("/x/y"), legacy()] {
                let error = cgroup_dirs(&host, CgroupRights::Full, Some(path), "web1").unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{path:?}");
                assert_eq!(error.config_path(), Some("linux.cgroupsPath"), "{path:?}");
            }
        }
    }
}
