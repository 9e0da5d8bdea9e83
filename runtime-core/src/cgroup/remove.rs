//! Removing the cgroup with all that the container made below it, bottom-up, once it is empty.
//!
//! Nothing is killed here. One `rmdir` is all that a container without nested cgroups needs.

use std::{
    os::fd::{AsFd, OwnedFd},
    path::Path,
    time::Instant,
};

use rustix::{fs::CWD, io::Errno};

use super::{Cgroup, files, processes::pause};
use crate::{Error, ErrorKind, Result};

/// A v1 directory stays busy for moments after the last process is listed; somebody who keeps making cgroups below
/// an empty one does for ever.
const ROUNDS_WITHOUT_PROCESSES: u32 = 200;

impl Cgroup {
    /// Removes every directory of the cgroup, nested ones first. Waits for processes that are still dying. Missing
    /// directories are no error.
    ///
    /// # Errors
    /// `Timeout` when processes stay to the deadline; `Busy` when it cannot be emptied of nested cgroups.
    pub(crate) fn remove(&self, deadline: Option<Instant>) -> Result<()> {
        self.dirs.all().iter().try_for_each(|dir| self.remove_dir(dir, deadline))
    }

    fn remove_dir(&self, dir: &Path, deadline: Option<Instant>) -> Result<()> {
        let failed = |errno: Errno| {
            let attempted = format!("cannot remove cgroup {}", dir.display());
            Error::from_errno(attempted, errno.raw_os_error()).with_path(dir)
        };
        let mut rounds = 0;
        loop {
            match files::rmdir_at(CWD, dir) {
                Ok(()) | Err(Errno::NOENT) => return Ok(()),
                Err(Errno::BUSY | Errno::NOTEMPTY) => {}
                Err(errno) => return Err(failed(errno)),
            }
            self.wait_empty(deadline)?;
            let Some(fd) = files::open_dir(dir)? else { return Ok(()) };
            remove_nested(fd).map_err(failed)?;
            match files::rmdir_at(CWD, dir) {
                Ok(()) | Err(Errno::NOENT) => return Ok(()),
                Err(Errno::BUSY | Errno::NOTEMPTY) if rounds < ROUNDS_WITHOUT_PROCESSES => {}
                Err(errno) => return Err(failed(errno).with_kind(ErrorKind::Busy)),
            }
            pause(&mut rounds, deadline).map_err(|error| {
                error.context(format!("cgroup {} stays busy", dir.display())).with_path(dir)
            })?;
        }
    }
}

/// Removes all cgroups below a directory that can be. Two fds are open however deep they are.
fn remove_nested(top: OwnedFd) -> Result<(), Errno> {
    let mut current = top;
    // Names from the top down to where we stand, each with the siblings that remain.
    let mut above: Vec<(std::ffi::CString, Vec<std::ffi::CString>)> = Vec::new();
    let mut names = files::children(current.as_fd())?;
    loop {
        if let Some(name) = names.pop() {
            match files::rmdir_at(current.as_fd(), name.as_c_str()) {
                Ok(()) | Err(Errno::NOENT) => continue,
                Err(Errno::BUSY | Errno::NOTEMPTY) => {}
                Err(errno) => return Err(errno),
            }
            let child = match files::open_dir_at(current.as_fd(), name.as_c_str()) {
                Err(Errno::NOENT) => continue,
                child => child?,
            };
            let below = match files::children(child.as_fd()) {
                Err(errno) if files::is_gone(errno) => continue,
                below => below?,
            };
            above.push((name, std::mem::replace(&mut names, below)));
            current = child;
        } else {
            let Some((name, siblings)) = above.pop() else { return Ok(()) };
            current = files::open_dir_at(current.as_fd(), c"..")?;
            names = siblings;
            match files::rmdir_at(current.as_fd(), name.as_c_str()) {
                // Busy: the caller looks again after waiting for its processes.
                Ok(()) | Err(Errno::NOENT | Errno::BUSY | Errno::NOTEMPTY) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
}
