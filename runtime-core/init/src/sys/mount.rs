//! The mount API: trees and superblocks as fds (since 5.2), attributes (since 5.12), and `mount(2)` where it is needed.

use core::ffi::CStr;

use super::{Errno, Fd, RawFd, arg, done, new_fd, syscall1, syscall2, syscall3, syscall5};
use crate::arch::nr;

pub(crate) const MS_REMOUNT: u64 = 0x20;
pub(crate) const MS_BIND: u64 = 0x1000;
pub(crate) const MS_MOVE: u64 = 0x2000;
pub(crate) const MS_REC: u64 = 0x4000;
pub(crate) const MS_PRIVATE: u64 = 1 << 18;
pub(crate) const MS_SLAVE: u64 = 1 << 19;
pub(crate) const MS_SHARED: u64 = 1 << 20;

pub(crate) const MOUNT_ATTR_RDONLY: u64 = 1;
pub(crate) const MOUNT_ATTR_IDMAP: u64 = 0x10_0000;
/// The access time modes, which are set as one.
pub(crate) const MOUNT_ATTR_ATIME: u64 = 0x70;

/// `mount(2)`.
pub(crate) fn mount(
    source: Option<&CStr>,
    target: &CStr,
    fs_type: Option<&CStr>,
    flags: u64,
    data: Option<&CStr>,
) -> Result<(), Errno> {
    // SAFETY: null or live strings.
    done(unsafe {
        syscall5(
            nr::MOUNT,
            or_null(source),
            target.as_ptr() as usize,
            or_null(fs_type),
            flags as usize,
            or_null(data),
        )
    })
}

fn or_null(string: Option<&CStr>) -> usize {
    string.map_or(0, |string| string.as_ptr() as usize)
}

/// `umount2(2)` with `MNT_DETACH`.
pub(crate) fn detach(target: &CStr) -> Result<(), Errno> {
    const MNT_DETACH: usize = 2;
    // SAFETY: the path is a live string.
    done(unsafe { syscall2(nr::UMOUNT2, target.as_ptr() as usize, MNT_DETACH) })
}

/// `pivot_root(2)`.
pub(crate) fn pivot_root(new: &CStr, old: &CStr) -> Result<(), Errno> {
    // SAFETY: live strings.
    done(unsafe { syscall2(nr::PIVOT_ROOT, new.as_ptr() as usize, old.as_ptr() as usize) })
}

/// `chroot(2)`.
pub(crate) fn chroot(path: &CStr) -> Result<(), Errno> {
    // SAFETY: a live string.
    done(unsafe { syscall1(nr::CHROOT, path.as_ptr() as usize) })
}

const EMPTY_PATH: usize = 0x1000;
const RECURSIVE: usize = 0x8000;

/// `open_tree(2)` with `OPEN_TREE_CLONE`: a detached copy of the mount at `path`, following links; of `dir` itself
/// if the path is empty.
pub(crate) fn clone_tree(dir: RawFd, path: &CStr, recursive: bool) -> Result<Fd, Errno> {
    open_tree(dir, path, if recursive { RECURSIVE } else { 0 })
}

/// The same of a symbolic link itself, if `path` is one.
pub(crate) fn clone_tree_of_link(dir: RawFd, path: &CStr, recursive: bool) -> Result<Fd, Errno> {
    open_tree(dir, path, if recursive { RECURSIVE } else { 0 } | super::file::AT_SYMLINK_NOFOLLOW as usize)
}

fn open_tree(dir: RawFd, path: &CStr, flags: usize) -> Result<Fd, Errno> {
    const OPEN_TREE_CLONE: usize = 1;
    const OPEN_TREE_CLOEXEC: usize = 0o2_000_000;
    let flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | EMPTY_PATH | flags;
    // SAFETY: the path is a live string.
    new_fd(unsafe { syscall3(nr::OPEN_TREE, arg(dir), path.as_ptr() as usize, flags) })
}

/// `move_mount(2)`: attaches a detached tree, or moves a mount, onto the file that `target` refers to.
pub(crate) fn attach(tree: RawFd, target: RawFd) -> Result<(), Errno> {
    const F_EMPTY_PATH: usize = 4;
    const T_EMPTY_PATH: usize = 0x40;
    let empty = c"".as_ptr() as usize;
    // SAFETY: static strings and numbers.
    done(unsafe {
        syscall5(nr::MOVE_MOUNT, arg(tree), empty, arg(target), empty, F_EMPTY_PATH | T_EMPTY_PATH)
    })
}

/// `fsopen(2)`.
pub(crate) fn fsopen(fs_type: &CStr) -> Result<Fd, Errno> {
    const FSOPEN_CLOEXEC: usize = 1;
    // SAFETY: a live string.
    new_fd(unsafe { syscall2(nr::FSOPEN, fs_type.as_ptr() as usize, FSOPEN_CLOEXEC) })
}

/// `fspick(2)`: the superblock of the mount that `mount` is the root of, to be reconfigured.
pub(crate) fn fspick(mount: RawFd) -> Result<Fd, Errno> {
    const FSPICK_CLOEXEC: usize = 1;
    const FSPICK_EMPTY_PATH: usize = 8;
    // SAFETY: a static string and numbers.
    new_fd(unsafe {
        syscall3(nr::FSPICK, arg(mount), c"".as_ptr() as usize, FSPICK_CLOEXEC | FSPICK_EMPTY_PATH)
    })
}

/// What `fsconfig(2)` sets.
#[derive(Clone, Copy)]
pub(crate) enum Parameter<'a> {
    Flag(&'a CStr),
    String(&'a CStr, &'a CStr),
    Fd(&'a CStr, RawFd),
    /// Makes the superblock.
    Create,
    /// Changes a superblock that exists.
    Reconfigure,
}

/// `fsconfig(2)`.
pub(crate) fn fsconfig(context: RawFd, parameter: Parameter<'_>) -> Result<(), Errno> {
    let (command, key, value, number) = match parameter {
        Parameter::Flag(key) => (0, Some(key), None, 0),
        Parameter::String(key, value) => (1, Some(key), Some(value), 0),
        Parameter::Fd(key, fd) => (5, Some(key), None, fd),
        Parameter::Create => (6, None, None, 0),
        Parameter::Reconfigure => (7, None, None, 0),
    };
    // SAFETY: null or live strings, as the command wants them.
    done(unsafe { syscall5(nr::FSCONFIG, arg(context), command, or_null(key), or_null(value), arg(number)) })
}

/// `fsmount(2)`: a detached mount of the superblock just made.
pub(crate) fn fsmount(context: RawFd, attributes: u64) -> Result<Fd, Errno> {
    const FSMOUNT_CLOEXEC: usize = 1;
    // SAFETY: numbers only.
    new_fd(unsafe { syscall3(nr::FSMOUNT, arg(context), FSMOUNT_CLOEXEC, attributes as usize) })
}

/// `struct mount_attr` of `mount_setattr(2)`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) set: u64,
    pub(crate) clear: u64,
    pub(crate) propagation: u64,
    pub(crate) user_namespace: u64,
}

/// `mount_setattr(2)` on a mount, with those below it if asked.
pub(crate) fn mount_setattr(mount: RawFd, recursive: bool, attributes: Attributes) -> Result<(), Errno> {
    let flags = EMPTY_PATH | if recursive { RECURSIVE } else { 0 };
    let at = &raw const attributes;
    // SAFETY: the structure lives during the call and has the size told.
    done(unsafe {
        let size = size_of::<Attributes>();
        syscall5(nr::MOUNT_SETATTR, arg(mount), c"".as_ptr() as usize, flags, at as usize, size)
    })
}
