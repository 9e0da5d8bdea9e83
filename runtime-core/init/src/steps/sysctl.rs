//! Sysctls, written through a procfs that nothing of the container's can be mounted over.

use core::ffi::CStr;

use super::{At, Failure};
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
    file::openat2(tree.raw(), key, O_WRONLY | O_NOFOLLOW, resolve)
}

/// A procfs of our own, attached nowhere. A user namespace whose /proc has masks may not mount one: there the present
/// /proc serves, since no path in it crosses to another mount (`RESOLVE_NO_XDEV`).
fn private_proc() -> Result<Fd, Errno> {
    let context = mount::fsopen(c"proc")?;
    let made =
        mount::fsconfig(context.raw(), Parameter::Create).and_then(|()| mount::fsmount(context.raw(), 0));
    match made {
        Err(Errno::EPERM) => present_proc(),
        answer => answer,
    }
}

fn present_proc() -> Result<Fd, Errno> {
    const PROC_SUPER_MAGIC: u64 = 0x9fa0;
    const PROC_ROOT_INODE: u64 = 1;
    let proc = file::openat(AT_FDCWD, c"/proc", O_PATH | O_DIRECTORY | O_NOFOLLOW, 0)?;
    let is_root_of_proc = file::fstatfs_type(proc.raw())? == PROC_SUPER_MAGIC
        && file::fstat(proc.raw())?.inode == PROC_ROOT_INODE;
    if is_root_of_proc { Ok(proc) } else { Err(Errno::EPERM) }
}
