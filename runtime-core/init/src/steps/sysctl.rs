//! Sysctls, written through a procfs that nothing of the container's can be mounted over.

use core::ffi::CStr;

use super::{At, Failure, path::Name};
use crate::{
    sys::{
        Errno, Fd, RawFd,
        file::{
            self, AT_FDCWD, O_DIRECTORY, O_NOFOLLOW, O_PATH, O_WRONLY, RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS,
            RESOLVE_NO_XDEV,
        },
        mount::{self, Parameter},
    },
    wire::message::Detail,
};

/// The step *Sysctl*. `proc` is kept for the next one.
pub(super) fn write_sysctl(proc: &mut Option<Fd>, key: &CStr, value: &CStr) -> Result<(), Failure> {
    let proc = match proc {
        Some(proc) => proc,
        none => none.insert(private_proc().at(Detail::FS_TYPE)?),
    };
    let sysctl = open_sysctl(proc.raw(), key).at(Detail::OPEN)?;
    // One write: the kernel parses each as a whole value.
    let value = value.to_bytes();
    match file::write(sysctl.raw(), value).at(Detail::WRITE)? {
        len if len == value.len() => Ok(()),
        _ => Err(Failure::new(Errno::EINVAL, Detail::WRITE)),
    }
}

fn open_sysctl(proc: RawFd, key: &CStr) -> Result<Fd, Errno> {
    let tree = file::openat(proc, c"sys", O_PATH | O_DIRECTORY | O_NOFOLLOW, 0)?;
    let resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS;
    match file::openat2(tree.raw(), key, O_WRONLY | O_NOFOLLOW, resolve) {
        Err(errno) if errno.is_absent() => walk_to(tree, key),
        answer => answer,
    }
}

/// The same below a folder that stays open.
pub(super) fn walk_from(folder: RawFd, path: &CStr) -> Result<Fd, Errno> {
    walk_to(file::openat(folder, c".", O_PATH | O_DIRECTORY, 0)?, path)
}

/// The same where openat2 is hidden: one name after the other, none a link, upwards or a mount.
fn walk_to(mut here: Fd, key: &CStr) -> Result<Fd, Errno> {
    let mut names = key.to_bytes().split(|&byte| byte == b'/').peekable();
    loop {
        let name = names.next().ok_or(Errno::EINVAL)?;
        if matches!(name, b"" | b"." | b"..") {
            return Err(Errno::EXDEV);
        }
        let name = Name::new(name)?;
        let is_last = names.peek().is_none();
        let flags = if is_last { O_WRONLY } else { O_PATH | O_DIRECTORY };
        let next = file::openat(here.raw(), name.as_c_str(), flags | O_NOFOLLOW, 0)?;
        if file::fstat(next.raw())?.is_mount_root {
            return Err(Errno::EXDEV);
        }
        if is_last {
            return Ok(next);
        }
        here = next;
    }
}

/// A procfs of our own, attached nowhere. A user namespace whose /proc has masks may not mount one, nor may a process
/// without capabilities: there the present
/// /proc serves, since no path in it crosses to another mount (`RESOLVE_NO_XDEV`).
pub(super) fn private_proc() -> Result<Fd, Errno> {
    let made = mount::fsopen(c"proc").and_then(|context| {
        mount::fsconfig(context.raw(), Parameter::Create)?;
        mount::fsmount(context.raw(), 0)
    });
    match made {
        Err(Errno::EPERM) => present_proc(),
        answer => answer,
    }
}

fn present_proc() -> Result<Fd, Errno> {
    let proc = file::openat(AT_FDCWD, c"/proc", O_PATH | O_DIRECTORY | O_NOFOLLOW, 0)?;
    if is_root_of_proc(&proc)? { Ok(proc) } else { Err(Errno::EPERM) }
}

/// Whether it is a procfs, and the top of it.
pub(super) fn is_root_of_proc(dir: &Fd) -> Result<bool, Errno> {
    const PROC_SUPER_MAGIC: u64 = 0x9fa0;
    const PROC_ROOT_INODE: u64 = 1;
    Ok(file::fstatfs(dir.raw())?.0 == PROC_SUPER_MAGIC && file::fstat(dir.raw())?.inode == PROC_ROOT_INODE)
}
