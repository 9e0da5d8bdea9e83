//! Copies a directory of the image into a tmpfs that will lie over it (`tmpcopyup`).

use core::ffi::CStr;

use crate::sys::{
    Errno, RawFd,
    file::{
        self, AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW, O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_RDONLY,
        O_WRONLY, S_IFDIR, S_IFLNK, S_IFREG, Status,
    },
};

/// Directories below each other; each costs a stack frame with its buffers.
const DEPTH_MAX: u32 = 64;

/// Copies what is in `from` to `to`, with owners, modes and times.
pub(super) fn copy_directory(from: RawFd, to: RawFd) -> Result<(), Errno> {
    copy_entries(from, to, DEPTH_MAX)?;
    let status = file::fstat(from)?;
    file::fchownat(to, c"", status.uid, status.gid, AT_EMPTY_PATH)
}

fn copy_entries(from: RawFd, to: RawFd, depth: u32) -> Result<(), Errno> {
    if depth == 0 {
        return Err(Errno::ELOOP);
    }
    let from = file::openat(from, c".", O_RDONLY | O_DIRECTORY, 0)?;
    let mut buffer = [0; 2048];
    loop {
        let len = file::getdents(from.raw(), &mut buffer)?;
        if len == 0 {
            return Ok(());
        }
        for name in file::entries(&buffer[..len]) {
            copy_entry(from.raw(), to, name, depth)?;
        }
    }
}

fn copy_entry(from: RawFd, to: RawFd, name: &CStr, depth: u32) -> Result<(), Errno> {
    let status = file::statx(from, name, AT_SYMLINK_NOFOLLOW)?;
    match status.kind() {
        S_IFDIR => {
            file::mkdirat(to, name, 0o700)?;
            let open = |dir| file::openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
            copy_entries(open(from)?.raw(), open(to)?.raw(), depth - 1)?;
        }
        S_IFREG => copy_file(from, to, name)?,
        S_IFLNK => copy_link(from, to, name)?,
        _ => {
            let (major, minor) = status.rdev;
            file::mknodat(to, name, status.mode, file::device_number(major, minor))?;
        }
    }
    copy_attributes(to, name, &status)
}

fn copy_file(from: RawFd, to: RawFd, name: &CStr) -> Result<(), Errno> {
    let from = file::openat(from, name, O_RDONLY | O_NOFOLLOW, 0)?;
    let to = file::openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600)?;
    let mut buffer = [0; 4096];
    loop {
        let len = file::read(from.raw(), &mut buffer)?;
        if len == 0 {
            return Ok(());
        }
        let mut rest = &buffer[..len];
        while !rest.is_empty() {
            rest = &rest[file::write(to.raw(), rest)?..];
        }
    }
}

fn copy_link(from: RawFd, to: RawFd, name: &CStr) -> Result<(), Errno> {
    let mut buffer = [0; 4096];
    // The last byte stays NUL.
    let end = buffer.len() - 1;
    file::readlinkat(from, name, &mut buffer[..end])?;
    let points_to = CStr::from_bytes_until_nul(&buffer).map_err(|_| Errno::ENAMETOOLONG)?;
    file::symlinkat(points_to, to, name)
}

fn copy_attributes(to: RawFd, name: &CStr, status: &Status) -> Result<(), Errno> {
    file::fchownat(to, name, status.uid, status.gid, AT_SYMLINK_NOFOLLOW)?;
    if status.kind() != S_IFLNK {
        // After the owner, whose change takes setuid away.
        file::fchmodat(to, name, status.mode & 0o7777)?;
    }
    file::utimensat(to, name, [status.accessed, status.modified])
}
