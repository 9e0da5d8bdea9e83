//! Putting a process into the cgroup, and giving the cgroup to the container's root.

use std::{os::fd::OwnedFd, path::Path};

use rustix::{
    fs::{AtFlags, CWD, Uid},
    io::Errno,
};

use super::{Cgroup, CgroupDirs, files};
use crate::{Error, ErrorKind, Result};

/// What may be given away where the kernel does not say (before 4.15), as the specification lists it.
const DELEGATED_FILES: &str = "cgroup.procs cgroup.subtree_control cgroup.threads";

impl Cgroup {
    /// Moves a process, by writing `cgroup.procs` of every hierarchy.
    ///
    /// # Errors
    /// Of the first write that failed, with file and pid.
    pub(crate) fn place(&self, pid: i32) -> Result<()> {
        let pid = pid.to_string();
        self.dirs.all().iter().try_for_each(|dir| {
            let file = dir.join("cgroup.procs");
            files::write(&file, &pid).map_err(|error| match error.errno().map(Errno::from_raw_os_error) {
                Some(Errno::OPNOTSUPP) => error.with_hint(format!(
                    "{} is below a threaded cgroup, where whole processes cannot be placed",
                    dir.display()
                )),
                Some(Errno::BUSY) => {
                    error.with_hint("controllers are enabled for its children, so it takes no process")
                }
                Some(Errno::NOSPC) => error.with_hint("its cpuset has no cpus or memory nodes"),
                Some(Errno::AGAIN) => error.with_hint("the pids limit of a cgroup above is reached"),
                _ => error,
            })
        })
    }

    /// Opens the directory for `CLONE_INTO_CGROUP`. None on v1 and hybrid hosts, where a process is moved.
    ///
    /// # Errors
    /// When the cgroup does not exist.
    pub(crate) fn open_dir(&self) -> Result<Option<OwnedFd>> {
        let CgroupDirs::Unified { .. } = self.dirs else { return Ok(None) };
        let dir = self.name();
        match files::open_dir(&dir)? {
            Some(fd) => Ok(Some(fd)),
            None => {
                let attempted = format!("cgroup {} does not exist", dir.display());
                Err(Error::from_errno(attempted, Errno::NOENT.raw_os_error())
                    .with_kind(ErrorKind::NotFound)
                    .with_path(dir))
            }
        }
    }

    /// Gives the directory and the files that the kernel lists as delegatable to a user. Nothing happens on v1 and
    /// hybrid hosts: v1 hierarchies cannot be delegated safely (config-linux.md, Cgroup ownership).
    ///
    /// # Errors
    /// When an owner cannot be changed; a listed file that is not there is none.
    pub(crate) fn delegate(&self, uid: u32) -> Result<()> {
        let CgroupDirs::Unified { .. } = self.dirs else { return Ok(()) };
        let dir = self.name();
        let listed = files::read(Path::new("/sys/kernel/cgroup/delegate"))?;
        let listed = listed.as_deref().unwrap_or(DELEGATED_FILES);
        chown(&dir, uid)?;
        listed
            .split_ascii_whitespace()
            .filter(|file| !file.contains('/'))
            .try_for_each(|file| chown(&dir.join(file), uid))
    }
}

/// Moves a process to the cgroup of one directory.
pub(crate) fn move_to(dir: &Path, pid: i32) -> Result<(), Errno> {
    files::write_raw(CWD, &dir.join("cgroup.procs"), &pid.to_string())
}

fn chown(path: &Path, uid: u32) -> Result<()> {
    match rustix::fs::chownat(CWD, path, Some(Uid::from_raw(uid)), None, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => {
            let attempted = format!("cannot give {} to uid {uid}", path.display());
            Err(Error::from_errno(attempted, errno.raw_os_error()).with_path(path))
        }
    }
}
