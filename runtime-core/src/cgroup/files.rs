//! Control files: read in full, written in one call as the kernel demands, every failure with file and data.

use std::{
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    time::Instant,
};

use rustix::{
    event::{PollFd, Timespec},
    fs::{AtFlags, CWD, Mode, OFlags},
    io::Errno,
};

use crate::{Error, ErrorKind, Result};

/// Writes one value in one `write(2)`: a control file takes each call as a whole command.
pub(super) fn write_raw(dir: BorrowedFd<'_>, file: &Path, value: &str) -> Result<(), Errno> {
    let fd =
        rustix::fs::openat(dir, file, OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())?;
    rustix::io::write(fd, value.as_bytes()).map(drop)
}

/// As `write_raw`, by path, with the error for people.
pub(super) fn write(path: &Path, value: &str) -> Result<()> {
    write_raw(CWD, path, value).map_err(|errno| cannot_write(path, value, errno))
}

/// The error of a failed write.
pub(super) fn cannot_write(path: &Path, value: &str, errno: Errno) -> Error {
    let attempted = format!("cannot write {:?} to {}", value.trim_end(), path.display());
    Error::from_errno(attempted, errno.raw_os_error()).with_path(path)
}

/// Reads a control file.
pub(super) fn read_raw(dir: BorrowedFd<'_>, file: &Path) -> Result<String, Errno> {
    let fd =
        rustix::fs::openat(dir, file, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())?;
    read_fd(fd.as_fd())
}

/// Reads an open control file from its beginning.
pub(super) fn read_fd(fd: BorrowedFd<'_>) -> Result<String, Errno> {
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = match rustix::io::pread(fd, &mut buffer, text.len() as u64) {
            Err(Errno::INTR) => continue,
            read => read?,
        };
        text.extend_from_slice(&buffer[..read]);
        if read == 0 {
            return String::from_utf8(text).map_err(|_| Errno::ILSEQ);
        }
    }
}

/// As `read_raw`, by path, with the error for people. None: the file or its cgroup does not exist.
pub(super) fn read(path: &Path) -> Result<Option<String>> {
    match read_raw(CWD, path) {
        Ok(text) => Ok(Some(text)),
        Err(errno) if is_gone(errno) => Ok(None),
        Err(errno) => Err(cannot_read(path, errno)),
    }
}

/// The error of a failed read.
pub(super) fn cannot_read(path: &Path, errno: Errno) -> Error {
    Error::from_errno(format!("cannot read {}", path.display()), errno.raw_os_error()).with_path(path)
}

/// ENODEV is what an open file of a removed cgroup answers.
pub(super) fn is_gone(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::NODEV)
}

/// Opens a cgroup's directory. None: there is none.
pub(super) fn open_dir(path: &Path) -> Result<Option<OwnedFd>> {
    match open_dir_at(CWD, path) {
        Ok(fd) => Ok(Some(fd)),
        Err(errno) if is_gone(errno) => Ok(None),
        Err(errno) => {
            let attempted = format!("cannot open cgroup {}", path.display());
            Err(Error::from_errno(attempted, errno.raw_os_error()).with_path(path))
        }
    }
}

/// Opens a directory below another.
pub(super) fn open_dir_at(dir: BorrowedFd<'_>, name: impl rustix::path::Arg) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::openat(dir, name, flags, Mode::empty())
}

/// Names of the cgroups directly below a directory.
pub(super) fn children(dir: BorrowedFd<'_>) -> Result<Vec<std::ffi::CString>, Errno> {
    let mut buffer = [MaybeUninit::uninit(); 8192];
    // The fd's position may stand anywhere; a directory read twice starts over only when told to.
    rustix::fs::seek(dir, rustix::fs::SeekFrom::Start(0))?;
    let mut entries = rustix::fs::RawDir::new(dir, &mut buffer);
    let mut names = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        if entry.file_type() == rustix::fs::FileType::Directory && name != c"." && name != c".." {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// Removes an empty cgroup.
pub(super) fn rmdir_at(dir: BorrowedFd<'_>, name: impl rustix::path::Arg) -> Result<(), Errno> {
    rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR)
}

/// Calls `visit` for a cgroup and all below it, parents first. However deep a container nests its cgroups, two fds
/// are open and no path grows long. A cgroup that goes away meanwhile is passed over.
pub(super) fn walk(
    top: OwnedFd,
    mut visit: impl FnMut(BorrowedFd<'_>) -> Result<(), Errno>,
) -> Result<(), Errno> {
    let mut enter = |dir: BorrowedFd<'_>| {
        visit(dir)?;
        children(dir)
    };
    let mut pending = vec![unless_gone(enter(top.as_fd()))?.unwrap_or_default()];
    let mut current = top;
    while let Some(names) = pending.last_mut() {
        if let Some(name) = names.pop() {
            let Some(child) = unless_gone(open_dir_at(current.as_fd(), name.as_c_str()))? else { continue };
            pending.push(unless_gone(enter(child.as_fd()))?.unwrap_or_default());
            current = child;
        } else {
            pending.pop();
            if !pending.is_empty() {
                // Also leads out of a directory that was removed.
                current = open_dir_at(current.as_fd(), c"..")?;
            }
        }
    }
    Ok(())
}

fn unless_gone<T>(result: Result<T, Errno>) -> Result<Option<T>, Errno> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(errno) if is_gone(errno) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Waits until one of the fds has an event.
///
/// # Errors
/// `Timeout` at the deadline.
pub(super) fn poll(fds: &mut [PollFd<'_>], deadline: Option<Instant>) -> Result<()> {
    loop {
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        // A wait that does not fit is as good as none.
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        match rustix::event::poll(fds, timeout.as_ref()) {
            Ok(0) => return Err(Error::new(ErrorKind::Timeout, "the deadline passed")),
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::from_errno("cannot wait for events", errno.raw_os_error())),
        }
    }
}
