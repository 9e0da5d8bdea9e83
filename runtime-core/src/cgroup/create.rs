//! Making the container's cgroup: directories with their parents, controllers enabled on the way (v2), cpusets
//! filled (v1), and the check that a cgroup which was there already is fit for a container.
//!
//! On a unified host, with no controller needed, this is one `mkdir` and one read.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Instant,
};

use rustix::{
    fs::{CWD, Mode},
    io::Errno,
};

use super::{Cgroup, CgroupDirs, files};
use crate::{Error, ErrorKind, Result};

/// v2 controllers that a container's limits need, each with the JSON path that asks for it.
pub(crate) type NeededControllers = BTreeMap<String, String>;

/// Directories that `create` made, parents first.
#[derive(Debug, Default)]
#[must_use = "what was made has to be kept or undone"]
pub(crate) struct CreatedCgroup {
    made: Vec<PathBuf>,
}

/// Others remove empty parents while we make a child in them; each round made progress, so few suffice.
const MKDIR_ATTEMPTS: usize = 16;

impl Cgroup {
    /// Makes the cgroup. An existing one is used when it is empty and not frozen.
    ///
    /// # Errors
    /// `PermissionDenied` where the caller may not; `Busy` for a cgroup with processes or a frozen one; `Unsupported`
    /// for a controller that cannot be had. What was made until then is removed.
    pub(crate) fn create(&self, needed: &NeededControllers) -> Result<CreatedCgroup> {
        let mut created = CreatedCgroup::default();
        match self.create_into(needed, &mut created) {
            Ok(()) => Ok(created),
            Err(mut error) => {
                if let Err(failure) = created.remove_made() {
                    error.attach_cleanup(failure);
                }
                Err(error)
            }
        }
    }

    fn create_into(&self, needed: &NeededControllers, created: &mut CreatedCgroup) -> Result<()> {
        let mut existed = false;
        for dir in self.dirs.all() {
            existed |= !created.make_dir(&dir)?;
        }
        if existed {
            self.check_empty()?;
        }
        // Also a new one: below a frozen parent it is born frozen, and init would sleep before its first step.
        if self.is_effectively_frozen()? {
            return Err(
                Error::new(ErrorKind::Busy, "container's cgroup unexpectedly frozen").with_path(self.name())
            );
        }
        if let Some(cpuset) = self.dirs.v1("cpuset") {
            fill_cpuset(cpuset)?;
        }
        self.enable(needed)
    }

    /// Makes v2 controllers available in the cgroup.
    ///
    /// # Errors
    /// `Unsupported` for one that cannot be had.
    pub(super) fn enable(&self, needed: &NeededControllers) -> Result<()> {
        if needed.is_empty() {
            return Ok(());
        }
        match self.dirs.v2() {
            Some(dir) => enable_controllers(&dir, needed),
            None => Err(unavailable(&self.name(), needed, "")),
        }
    }

    fn check_empty(&self) -> Result<()> {
        if !self.is_populated()? {
            return Ok(());
        }
        match self.pids()?.len() {
            0 => Ok(()),
            count => {
                let message = format!("container's cgroup is not empty: {count} process(es) found");
                Err(Error::new(ErrorKind::Busy, message).with_path(self.name()))
            }
        }
    }

    /// The directory that stands for the cgroup in messages.
    pub(super) fn name(&self) -> PathBuf {
        match &self.dirs {
            CgroupDirs::Unified { .. } => self.dirs.v2().unwrap_or_default(),
            CgroupDirs::Legacy { dirs } => ["freezer", "memory"]
                .iter()
                .find_map(|name| self.dirs.v1(name))
                .map_or_else(|| dirs.values().next().cloned().unwrap_or_default(), Path::to_owned),
        }
    }
}

impl CreatedCgroup {
    /// Undoes a create: removes what was made, cgroups that appeared below it included, once it is empty. Parents
    /// that are in use by others stay.
    ///
    /// # Errors
    /// `Timeout` when processes stay to the deadline.
    pub(crate) fn undo(self, cgroup: &Cgroup, deadline: Option<Instant>) -> Result<()> {
        if self.made.is_empty() {
            return Ok(());
        }
        cgroup.remove(deadline)?;
        self.remove_made()
    }

    /// The directories that were made, parents first.
    #[cfg(test)]
    pub(crate) fn made(&self) -> &[PathBuf] {
        &self.made
    }

    fn remove_made(&self) -> Result<()> {
        for dir in self.made.iter().rev() {
            match files::rmdir_at(CWD, dir) {
                // BUSY, NOTEMPTY: another container was made below a parent of ours meanwhile.
                Ok(()) | Err(Errno::NOENT | Errno::BUSY | Errno::NOTEMPTY) => {}
                Err(errno) => {
                    let attempted = format!("cannot remove cgroup {}", dir.display());
                    return Err(Error::from_errno(attempted, errno.raw_os_error()).with_path(dir));
                }
            }
        }
        Ok(())
    }

    /// Makes a directory and the missing ones above it; false: it was there.
    fn make_dir(&mut self, dir: &Path) -> Result<bool> {
        for _ in 0..MKDIR_ATTEMPTS {
            match rustix::fs::mkdir(dir, Mode::from_raw_mode(0o755)) {
                Ok(()) => {
                    self.made.push(dir.to_owned());
                    // Engines and agents look at cgroups as other users; the caller's umask must not hide them.
                    return rustix::fs::chmod(dir, Mode::from_raw_mode(0o755))
                        .map(|()| true)
                        .map_err(|errno| cannot_make(dir, errno));
                }
                Err(Errno::EXIST) => return Ok(false),
                Err(Errno::NOENT) => {
                    let Some(parent) = dir.parent() else { return Err(cannot_make(dir, Errno::NOENT)) };
                    self.make_dir(parent)?;
                }
                Err(errno) => return Err(cannot_make(dir, errno)),
            }
        }
        Err(cannot_make(dir, Errno::NOENT))
    }
}

fn cannot_make(dir: &Path, errno: Errno) -> Error {
    let attempted = format!("cannot create cgroup {}", dir.display());
    let error = Error::from_errno(attempted, errno.raw_os_error()).with_path(dir);
    match errno {
        Errno::ROFS => error
            .with_kind(ErrorKind::PermissionDenied)
            .with_hint("the cgroup file system is mounted read-only here, as in most containers"),
        Errno::AGAIN => {
            error.with_hint("a cgroup above it has reached cgroup.max.depth or cgroup.max.descendants")
        }
        Errno::ACCESS | Errno::PERM => error
            .with_hint("a plain user needs a delegated cgroup (systemd: Delegate=yes) to make one below it"),
        _ => error,
    }
}

/// Makes controllers available in a v2 cgroup. Reads upwards as far as they are missing, then enables them top-down.
fn enable_controllers(dir: &Path, needed: &NeededControllers) -> Result<()> {
    let file = dir.join("cgroup.controllers");
    let Some(text) = files::read(&file)? else {
        // Above the mount point.
        return Err(unavailable(dir, needed, ""));
    };
    let available: BTreeSet<&str> = text.split_ascii_whitespace().collect();
    let missing: NeededControllers = needed
        .iter()
        .filter(|(name, _)| !available.contains(name.as_str()))
        .map(|(name, asked)| (name.clone(), asked.clone()))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let parent =
        dir.parent().filter(|parent| matches!(files::read(&parent.join("cgroup.controllers")), Ok(Some(_))));
    let Some(parent) = parent else { return Err(unavailable(dir, &missing, &text)) };
    enable_controllers(parent, &missing)?;
    let value: Vec<String> = missing.keys().map(|name| format!("+{name}")).collect();
    let file = parent.join("cgroup.subtree_control");
    files::write(&file, &value.join(" ")).map_err(|error| {
        let error = match missing.values().next() {
            Some(asked) => error.with_config_path(asked),
            None => error,
        };
        match error.errno().map(Errno::from_raw_os_error) {
            Some(Errno::BUSY) => error.with_hint(format!(
                "processes are in {} itself, and cgroup v2 enables controllers only below cgroups without any",
                parent.display()
            )),
            Some(Errno::OPNOTSUPP) => error.with_hint("threaded cgroups have no such controller"),
            _ => error,
        }
    })
}

fn unavailable(dir: &Path, missing: &NeededControllers, available: &str) -> Error {
    let names: Vec<&str> = missing.keys().map(String::as_str).collect();
    let message = match available.trim() {
        "" => format!("cgroup controller {} is not available in {}", names.join(", "), dir.display()),
        available => format!(
            "cgroup controller {} is not available in {} (available: {available})",
            names.join(", "),
            dir.display()
        ),
    };
    let mut error = Error::new(ErrorKind::Unsupported, message).with_path(dir);
    if let Some(asked) = missing.values().next() {
        error = error.with_config_path(asked).context(asked);
    }
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let is_v1 = |line: &str| {
        let controllers = line.split(':').nth(1).unwrap_or_default();
        controllers.split(',').any(|name| names.contains(&name) || (name == "blkio" && names.contains(&"io")))
    };
    if own.lines().any(is_v1) {
        return error.with_hint(
            "a cgroup v1 hierarchy of this host holds it; boot with cgroup_no_v1=all to have it in cgroup v2",
        );
    }
    error
}

/// A v1 cpuset without cpus or memory nodes takes no process: copies them from above, top-down, where empty.
fn fill_cpuset(dir: &Path) -> Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        cpuset_value(dir, file)?;
    }
    Ok(())
}

/// The value of a cpuset file, taken from the parent and written when it is empty.
fn cpuset_value(dir: &Path, file: &str) -> Result<Option<String>> {
    let path = dir.join(file);
    match files::read(&path)? {
        Some(value) if value.trim().is_empty() => {
            let Some(parent) = dir.parent() else { return Ok(None) };
            let inherited = cpuset_value(parent, file)?;
            if let Some(value) = &inherited {
                files::write(&path, value.trim())?;
            }
            Ok(inherited)
        }
        value => Ok(value),
    }
}
