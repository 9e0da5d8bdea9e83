//! The container's root: attached in the runtime's tree, entered, sealed.

use core::ffi::CStr;

use super::{At, Failure, Init, mount::Change};
use crate::{
    sys::{
        Errno, RawFd,
        file::{self, AT_FDCWD, O_DIRECTORY, O_PATH},
        mount::{self, MOUNT_ATTR_RDONLY, MS_MOVE, MS_PRIVATE, MS_REC, MS_SHARED, MS_SLAVE},
    },
    wire::message::Detail,
};

/// Sets the propagation of everything that was mounted before the container.
pub(super) fn set_old_propagation(init: &mut Init, flags: u32) -> Result<(), Failure> {
    let flags = u64::from(flags);
    mount::mount(None, c"/", None, flags, None)?;
    init.may_be_shared = flags & MS_REC == 0 || flags & MS_SHARED != 0;
    Ok(())
}

/// Makes the rootfs a mount of its own, over itself.
pub(super) fn attach(init: &mut Init, path: &CStr, from_host: bool) -> Result<(), Failure> {
    let (here, is_out_of_reach) = match file::openat(AT_FDCWD, path, O_PATH | O_DIRECTORY, 0) {
        // Mapped root may not search a parent: what is attached over `/` is reached all the same.
        Err(Errno::EACCES) if from_host => (file::openat(AT_FDCWD, c"/", O_PATH | O_DIRECTORY, 0), true),
        answer => (answer, false),
    };
    let here = here.at(Detail::TARGET)?;
    let tree = if is_out_of_reach {
        init.conversation.want_tree()?
    } else {
        mount::clone_tree(here.raw(), c"", true).at(Detail::SOURCE)?
    };
    if init.may_be_shared {
        // pivot_root(2) wants neither the new root nor its parent shared, and the host should not see the new mount.
        make_mount_private(here.raw()).at(Detail::PROPAGATION)?;
    }
    mount::attach(tree.raw(), here.raw()).at(Detail::ATTACH)?;
    if init.may_be_shared {
        super::mount::set_mount_propagation(tree.raw(), MS_SLAVE | MS_REC).at(Detail::PROPAGATION)?;
        super::mount::set_mount_propagation(tree.raw(), MS_PRIVATE).at(Detail::PROPAGATION)?;
    }
    init.rootfs = Some(tree);
    Ok(())
}

/// Makes the mount private that a directory lies in: climbs to the mount's root, the only place that may name it.
fn make_mount_private(dir: RawFd) -> Result<(), Errno> {
    let mut here = file::openat(dir, c".", O_PATH | O_DIRECTORY, 0)?;
    loop {
        match super::mount::set_mount_propagation(here.raw(), MS_PRIVATE) {
            Err(Errno::EINVAL) => {}
            answer => return answer,
        }
        let above = file::openat(here.raw(), c"..", O_PATH | O_DIRECTORY, 0)?;
        let (status, status_above) = (file::fstat(here.raw())?, file::fstat(above.raw())?);
        if (status_above.device, status_above.inode) == (status.device, status.inode) {
            // `/` of a chroot that is no mount: nothing above it can be named.
            return Err(Errno::EINVAL);
        }
        here = above;
    }
}

/// Enters the rootfs and lets go of the old root (pivot_root(2), "pivot_root(".", ".")").
pub(super) fn pivot(init: &mut Init) -> Result<(), Failure> {
    let rootfs = init.root()?;
    let old = file::openat(AT_FDCWD, c"/", O_PATH | O_DIRECTORY, 0)?;
    file::fchdir(rootfs)?;
    mount::pivot_root(c".", c".")?;
    if init.may_be_shared {
        // The old root now lies over the new one, which `.` would name. Unmounting it must not reach the host's peers of
        // its mounts.
        super::mount::set_mount_propagation(old.raw(), MS_SLAVE | MS_REC).at(Detail::PROPAGATION)?;
    }
    mount::detach(c".")?;
    init.is_inside = true;
    verify_entered(rootfs)
}

/// Enters the rootfs by moving it over the old root, which stays below, out of reach of paths.
pub(super) fn move_over(init: &mut Init) -> Result<(), Failure> {
    let rootfs = init.root()?;
    file::fchdir(rootfs)?;
    // The kernel lets a user namespace mount proc and sysfs where an unmasked one is in its mount namespace: the old
    // root's must not be the reason.
    detach_all(c"/proc")?;
    detach_all(c"/sys")?;
    mount::mount(Some(c"."), c"/", None, MS_MOVE, None).at(Detail::ATTACH)?;
    mount::chroot(c".")?;
    init.is_inside = true;
    verify_entered(rootfs)
}

/// Unmounts whatever lies at a path, without reaching the host's peers of it.
fn detach_all(path: &CStr) -> Result<(), Errno> {
    loop {
        let detached =
            mount::mount(None, path, None, MS_SLAVE | MS_REC, None).and_then(|()| mount::detach(path));
        match detached {
            Ok(()) => {}
            // No mount is there (any more), or one that the parent user namespace locked, masks included.
            Err(Errno::EINVAL | Errno::ENOENT | Errno::EPERM) => return Ok(()),
            Err(errno) => return Err(errno),
        }
    }
}

fn verify_entered(rootfs: RawFd) -> Result<(), Failure> {
    file::chdir(c"/")?;
    let (wanted, root) = (file::fstat(rootfs)?, file::statx(AT_FDCWD, c"/", 0)?);
    if (wanted.device, wanted.inode) == (root.device, root.inode) {
        Ok(())
    } else {
        Err(Failure::new(Errno::EINVAL, Detail::MISMATCH))
    }
}

/// Propagation of the container's root mount.
pub(super) fn set_propagation(root: RawFd, flags: u32) -> Result<(), Failure> {
    super::mount::set_mount_propagation(root, u64::from(flags)).at(Detail::PROPAGATION)
}

/// Makes the container's root mount read-only, not what is mounted below.
pub(super) fn make_readonly(root: RawFd) -> Result<(), Failure> {
    let readonly = Change { set: MOUNT_ATTR_RDONLY, ..Change::default() };
    super::mount::change(root, readonly).at(Detail::ATTRIBUTES)
}
