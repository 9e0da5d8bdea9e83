//! Where states are kept: what `--root` says, or a default that is the same for every command of one user.

use std::{
    env,
    ffi::OsStr,
    fs,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Component, Path, PathBuf},
};

use rustix::process::geteuid;

use crate::failure::{Failure, Result};

/// The default of root.
const OF_ROOT: &str = "/run/orlop";

/// A state root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateRoot {
    path: PathBuf,
    /// It is the default one in a user's folder of run-time files.
    is_in_runtime_dir: bool,
}

/// What the default depends on.
#[derive(Clone, Copy, Debug)]
struct Caller<'a> {
    is_root: bool,
    in_user_namespace: bool,
    /// `XDG_RUNTIME_DIR`.
    runtime_dir: Option<&'a OsStr>,
    /// `USER`.
    user: Option<&'a OsStr>,
}

impl StateRoot {
    /// `--root` made absolute and cleaned by its words only, as runc does. Empty means the current directory.
    pub fn given(path: &OsStr) -> Result<Self> {
        let path = if path.is_empty() { OsStr::new(".") } else { path };
        let absolute = std::path::absolute(path)
            .map_err(|error| Failure::io("find the current directory for --root", error))?;
        let mut clean = PathBuf::new();
        for component in absolute.components() {
            match component {
                Component::ParentDir => {
                    clean.pop();
                }
                other => clean.push(other),
            }
        }
        if clean == Path::new("/") {
            return Err(Failure::new("Option --root argument should not be set to /"));
        }
        Ok(Self { path: clean, is_in_runtime_dir: false })
    }

    /// The default of this caller.
    pub fn of_caller() -> Self {
        let runtime_dir = env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty());
        let user = env::var_os("USER");
        let is_root = geteuid().is_root();
        // Without /proc nothing will run anyway.
        let is_nested = || {
            let map = fs::read_to_string("/proc/self/uid_map");
            map.is_ok_and(|map| !map.split_whitespace().eq(["0", "0", "4294967295"]))
        };
        Self::default_of(Caller {
            is_root,
            in_user_namespace: is_root && runtime_dir.is_some() && is_nested(),
            runtime_dir: runtime_dir.as_deref(),
            user: user.as_deref(),
        })
    }

    /// Engines call some commands with few variables, and all of them must find the same folder: those of runc count.
    fn default_of(caller: Caller<'_>) -> Self {
        let is_of_user = match (caller.is_root, caller.in_user_namespace) {
            (false, _) => true,
            (true, true) => caller.user.is_none_or(|user| user != "root"),
            (true, false) => false,
        };
        match caller.runtime_dir.filter(|dir| is_of_user && !dir.is_empty()) {
            Some(dir) => Self { path: Path::new(dir).join("orlop"), is_in_runtime_dir: true },
            None => Self { path: OF_ROOT.into(), is_in_runtime_dir: false },
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Before something is put into it: what lies long in a user's folder of run-time files is removed by cleaners, but
    /// for what has the sticky bit (XDG Base Directory Specification).
    pub fn keep_from_cleaners(&self) -> Result<()> {
        if !self.is_in_runtime_dir {
            return Ok(());
        }
        let failed = |error| {
            Failure::io(format_args!("make the state root {}", self.path.display()), error)
                .with_hint("the folder that $XDG_RUNTIME_DIR names must be writable by the user")
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.path).map_err(failed)?;
        fs::set_permissions(&self.path, fs::Permissions::from_mode(0o1700)).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsStr, path::Path};

    use super::{Caller, StateRoot};

    #[test]
    fn the_state_root_is_cleaned_and_is_never_the_root_directory() {
        for (given, clean) in [("/a/../b/./c//", "/b/c"), ("/../x", "/x")] {
            assert_eq!(StateRoot::given(given.as_ref()).expect(given).path(), Path::new(clean));
        }
        for given in ["/", "/a/..", "//", "/."] {
            assert!(StateRoot::given(given.as_ref()).is_err(), "{given}");
        }
        assert!(StateRoot::given("".as_ref()).expect("current directory").path().is_absolute());
    }

    #[test]
    fn the_default_is_that_of_runc() {
        let (run, xdg) = ("/run/orlop", "/run/user/7/orlop");
        for (is_root, in_user_namespace, runtime_dir, user, expected) in [
            (true, false, Some("/run/user/7"), None, run),
            (true, false, Some(""), Some("root"), run),
            (false, false, Some("/run/user/7"), Some("root"), xdg),
            (false, true, Some("/run/user/7"), None, xdg),
            (false, false, Some(""), None, run),
            (false, false, None, None, run),
            (true, true, Some("/run/user/7"), Some("anna"), xdg),
            (true, true, Some("/run/user/7"), None, xdg),
            (true, true, Some("/run/user/7"), Some("root"), run),
            (true, true, None, Some("anna"), run),
        ] {
            let caller = Caller {
                is_root,
                in_user_namespace,
                runtime_dir: runtime_dir.map(OsStr::new),
                user: user.map(OsStr::new),
            };
            assert_eq!(StateRoot::default_of(caller).path(), Path::new(expected), "{caller:?}");
        }
    }
}
