//! Masked and read-only paths.
//!
//! Each kind of mask is one mount, attached at its first path and copied for the others: kernels before 6.15 copy
//! no mount that was never attached.

use core::ffi::CStr;

use super::{
    At, Failure, mount as mounts,
    mount::Change,
    path::{self, Last, Missing},
};
use crate::{
    sys::{
        Errno, Fd, RawFd,
        file::{self, AT_FDCWD, S_IFCHR},
        mount::{self, Attributes, MOUNT_ATTR_RDONLY, Parameter},
    },
    wire::message::Detail,
};

/// A mount that hides a path.
struct Mask {
    tree: Fd,
    is_attached: bool,
}

impl Mask {
    const fn new(tree: Fd) -> Self {
        Self { tree, is_attached: false }
    }

    fn attach(&mut self, target: RawFd) -> Result<(), Errno> {
        if self.is_attached {
            return mount::attach(mount::clone_tree(self.tree.raw(), c"", false)?.raw(), target);
        }
        mount::attach(self.tree.raw(), target)?;
        self.is_attached = true;
        Ok(())
    }
}

/// The mask for files and the mask for directories, once they exist.
#[derive(Default)]
pub(super) struct Masks {
    file: Option<Mask>,
    directory: Option<Mask>,
}

impl Masks {
    /// Takes the host's /dev/null, while the host's /dev is what `/dev` says. An image's own could be anything.
    pub(super) fn open_null(&mut self) -> Result<(), Failure> {
        let null = mount::clone_tree(AT_FDCWD, c"/dev/null", false).at(Detail::SOURCE)?;
        let status = file::fstat(null.raw()).at(Detail::SOURCE)?;
        if status.kind() != S_IFCHR || status.rdev != (1, 3) {
            return Err(Failure::new(Errno::ENODEV, Detail::MISMATCH));
        }
        self.file = Some(Mask::new(null));
        Ok(())
    }

    /// Hides a path.
    pub(super) fn mask(&mut self, root: RawFd, path: &CStr) -> Result<(), Failure> {
        let Some(target) = resolve_if_there(root, path)? else { return Ok(()) };
        let mask = if file::fstat(target.raw()).at(Detail::TARGET)?.is_dir() {
            match &mut self.directory {
                Some(mask) => mask,
                none => none.insert(Mask::new(empty_directory()?)),
            }
        } else {
            self.file.as_mut().ok_or(Failure::new(Errno::ENODEV, Detail::SOURCE))?
        };
        mask.attach(target.raw()).at(Detail::ATTACH)
    }
}

/// An empty tmpfs, read-only as mount and as superblock.
fn empty_directory() -> Result<Fd, Failure> {
    let context = mount::fsopen(c"tmpfs").at(Detail::FS_TYPE)?;
    mount::fsconfig(context.raw(), Parameter::String(c"source", c"tmpfs")).at(Detail::SOURCE)?;
    mount::fsconfig(context.raw(), Parameter::Flag(c"ro")).at(Detail::SUPERBLOCK)?;
    mount::fsconfig(context.raw(), Parameter::Create).at(Detail::SUPERBLOCK)?;
    mount::fsmount(context.raw(), MOUNT_ATTR_RDONLY).at(Detail::ATTRIBUTES)
}

/// Makes a path and what is mounted below it read-only.
pub(super) fn make_readonly(root: RawFd, path: &CStr) -> Result<(), Failure> {
    let Some(target) = resolve_if_there(root, path)? else { return Ok(()) };
    let tree = mount::clone_tree(target.raw(), c"", true).at(Detail::SOURCE)?;
    let readonly = Attributes { set: MOUNT_ATTR_RDONLY, ..Attributes::default() };
    match mount::mount_setattr(tree.raw(), true, readonly) {
        // Before 5.12 only the top can be made so, as other runtimes do.
        Err(errno) if errno.is_absent() => {
            let readonly = Change { set: MOUNT_ATTR_RDONLY, ..Change::default() };
            mounts::attach_with(tree.raw(), target.raw(), readonly, Change::default())
        }
        answer => {
            answer.at(Detail::ATTRIBUTES)?;
            mount::attach(tree.raw(), target.raw()).at(Detail::ATTACH)
        }
    }
}

/// None where there is nothing to hide: other kernels have other files in /proc and /sys.
fn resolve_if_there(root: RawFd, path: &CStr) -> Result<Option<Fd>, Failure> {
    match path::resolve(root, path, Last::Followed, Missing::Fails) {
        Ok(target) => Ok(Some(target)),
        Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
        Err(errno) => Err(Failure::new(errno, Detail::TARGET)),
    }
}
