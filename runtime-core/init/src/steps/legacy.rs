//! What `mount(2)` must do where newer calls are absent: attributes and propagation before 5.12 (`mount_setattr`), and
//! file systems with options longer than `fsconfig` takes.
//!
//! `mount(2)` works on paths. A mount that is known by an fd is named through a procfs of our own, never through the
//! container's: `self/fd/N` there is the file itself.

use core::ffi::CStr;

use super::sysctl::private_proc;
use crate::sys::{
    Errno, RawFd,
    file::{self, AT_FDCWD, O_DIRECTORY, O_PATH},
    mount::{self, Attributes, MOUNT_ATTR_ATIME, MS_BIND, MS_REMOUNT},
};

/// Flags that `MOUNT_ATTR_*`, `MS_*` and `ST_*` have in common: read-only, nosuid, nodev, noexec.
const COMMON: u64 = 0xf;
const ATTR_NOATIME: u64 = 0x10;
const ATTR_STRICTATIME: u64 = 0x20;
const ATTR_NODIRATIME: u64 = 0x80;
const MS_NOATIME: u64 = 1 << 10;
const MS_NODIRATIME: u64 = 1 << 11;
const MS_RELATIME: u64 = 1 << 21;
const MS_STRICTATIME: u64 = 1 << 24;
const ST_RELATIME: u64 = 1 << 12;
const ST_KEPT: u64 = COMMON | MS_NOATIME | MS_NODIRATIME;

/// `MS_*` for `MOUNT_ATTR_*`. None for those that only mount_setattr knows.
pub(super) fn mount_flags(attributes: u64) -> Option<u64> {
    let known = COMMON | MOUNT_ATTR_ATIME | ATTR_NODIRATIME;
    if attributes & !known != 0 {
        return None;
    }
    let atime = match attributes & MOUNT_ATTR_ATIME {
        0 => MS_RELATIME,
        ATTR_NOATIME => MS_NOATIME,
        ATTR_STRICTATIME => MS_STRICTATIME,
        _ => return None,
    };
    let nodiratime = if attributes & ATTR_NODIRATIME == 0 { 0 } else { MS_NODIRATIME };
    Some(attributes & COMMON | atime | nodiratime)
}

/// `MOUNT_ATTR_*` of a mount, from what statfs(2) says.
fn attributes_of(statfs_flags: u64) -> u64 {
    let flags = statfs_flags & ST_KEPT;
    let atime = match (flags & MS_NOATIME, statfs_flags & ST_RELATIME) {
        (0, 0) => ATTR_STRICTATIME,
        (0, _) => 0,
        _ => ATTR_NOATIME,
    };
    let nodiratime = if flags & MS_NODIRATIME == 0 { 0 } else { ATTR_NODIRATIME };
    flags & COMMON | atime | nodiratime
}

/// Changes attributes of one attached mount.
pub(super) fn remount(mount: RawFd, change: Attributes) -> Result<(), Errno> {
    let (_, flags) = file::fstatfs(mount)?;
    let wanted = attributes_of(flags) & !change.clear | change.set;
    let flags = mount_flags(wanted).ok_or(Errno::ENOSYS)?;
    mount_by_fd(mount, MS_REMOUNT | MS_BIND | flags)
}

/// Changes the propagation of an attached mount.
pub(super) fn set_propagation(mount: RawFd, flags: u64) -> Result<(), Errno> {
    mount_by_fd(mount, flags)
}

fn mount_by_fd(fd: RawFd, flags: u64) -> Result<(), Errno> {
    let proc = private_proc()?;
    let mut name = *b"self/fd/\0\0\0\0\0\0\0\0\0\0\0\0";
    let mut digits = [0; 10];
    let mut at = digits.len();
    let mut rest = fd.unsigned_abs();
    while at == digits.len() || rest != 0 {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    name[8..8 + digits.len() - at].copy_from_slice(&digits[at..]);
    let name = CStr::from_bytes_until_nul(&name).map_err(|_| Errno::EINVAL)?;
    within(proc.raw(), || mount::mount(None, name, None, flags, None))
}

/// Mounts a new file system over a directory by `mount(2)`.
pub(super) fn mount_over(
    target: RawFd,
    source: &CStr,
    fs_type: &CStr,
    flags: u64,
    data: &CStr,
) -> Result<(), Errno> {
    within(target, || mount::mount(Some(source), c".", Some(fs_type), flags, Some(data)))
}

/// Does something with `dir` as the working directory.
fn within(dir: RawFd, act: impl FnOnce() -> Result<(), Errno>) -> Result<(), Errno> {
    let before = file::openat(AT_FDCWD, c".", O_PATH | O_DIRECTORY, 0)?;
    file::fchdir(dir)?;
    let done = act();
    file::fchdir(before.raw())?;
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_survive_the_way_through_statfs() {
        for (attributes, mount, statfs) in [
            (0, MS_RELATIME, ST_RELATIME),
            (0xf, 0xf | MS_RELATIME, 0xf | ST_RELATIME),
            (ATTR_NOATIME | 1, MS_NOATIME | 1, MS_NOATIME | 1),
            (ATTR_STRICTATIME, MS_STRICTATIME, 0),
            (ATTR_NODIRATIME | 6, MS_NODIRATIME | MS_RELATIME | 6, MS_NODIRATIME | ST_RELATIME | 6),
        ] {
            assert_eq!(mount_flags(attributes), Some(mount), "{attributes:#x}");
            assert_eq!(attributes_of(statfs | 0x20), attributes, "{statfs:#x}");
        }
        assert_eq!(mount_flags(0x0020_0000), None, "nosymfollow");
    }
}
