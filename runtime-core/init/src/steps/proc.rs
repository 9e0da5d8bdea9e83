//! The procfs of a pid namespace that others live in already, before Linux 6.18.
//!
//! procfs shows the pid namespace of whoever mounts it, and whoever is a member of the pid namespace can be traced by
//! others there: so nobody becomes one just to mount it. The members have a procfs mounted already. It is cloned where
//! they have it, by a process that is no member, and checked to be what it should be: what lies at /proc there may be
//! anything.

use core::ffi::CStr;

use super::{
    At, Failure, Init,
    mount::{Change, attach_with, find_place, set_mount_propagation},
    sysctl,
};
use crate::{
    sys::{
        Errno, Fd, RawFd,
        file::{self, AT_FDCWD, O_DIRECTORY, O_PATH},
        mount, process,
    },
    wire::message::Detail,
};

const CLONE_NEWNS: i32 = 0x0002_0000;

/// What of the clone's mount is set anew: `ro`, `nosuid`, `nodev`, `noexec`.
const ALL_FLAGS: u64 = 0xf;

/// The step *BindProc*.
pub(super) fn bind(
    init: &mut Init,
    (mount_namespace, pid_namespace): (RawFd, RawFd),
    target: &CStr,
    attributes: u64,
    propagation: u32,
) -> Result<(), Failure> {
    let tree = clone_in(mount_namespace).at(Detail::SOURCE)?;
    check(&tree, pid_namespace).at(Detail::SOURCE)?;
    let place = find_place(init.root()?, target, true)?;
    let flags = Change { set: attributes, clear: ALL_FLAGS & !attributes, keep: 0 };
    attach_with(tree.raw(), place.target.raw(), flags, Change::default())?;
    set_mount_propagation(tree.raw(), u64::from(propagation)).at(Detail::PROPAGATION)
}

/// A clone of the mount at /proc of another mount namespace, attached nowhere. Root and working directory are those of
/// before afterwards.
fn clone_in(namespace: RawFd) -> Result<Fd, Errno> {
    let here = file::openat(AT_FDCWD, c".", O_PATH | O_DIRECTORY, 0)?;
    let root = file::openat(AT_FDCWD, c"/", O_PATH | O_DIRECTORY, 0)?;
    let own = file::openat(AT_FDCWD, c"/proc/self/ns/mnt", 0, 0)?;
    process::setns(namespace, CLONE_NEWNS)?;
    let tree = mount::clone_tree(AT_FDCWD, c"/proc", false);
    process::setns(own.raw(), CLONE_NEWNS)?;
    file::fchdir(root.raw())?;
    mount::chroot(c".")?;
    file::fchdir(here.raw())?;
    tree
}

/// Whether it is the root of a procfs of that very pid namespace: `ESRCH` if not.
fn check(tree: &Fd, pid_namespace: RawFd) -> Result<(), Errno> {
    if !sysctl::is_root_of_proc(tree)? {
        return Err(Errno::ESRCH);
    }
    let first = file::openat(tree.raw(), c"1/ns/pid", O_PATH, 0)?;
    let (shown, expected) = (file::fstat(first.raw())?, file::fstat(pid_namespace)?);
    if (shown.inode, shown.device) == (expected.inode, expected.device) { Ok(()) } else { Err(Errno::ESRCH) }
}
