//! Trees of the host as bind mounts need them: opened, and with their id map.

use core::ffi::CStr;

use super::{At, Failure, Init};
use crate::{
    sys::{
        Errno, Fd, RawFd,
        file::{self, AT_FDCWD},
        mount::{self, Attributes, MOUNT_ATTR_IDMAP},
    },
    wire::{
        Slot, links,
        message::{Detail, Kind, Message},
    },
};

/// What is opened.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) path: &'a CStr,
    pub(super) recursive: bool,
    pub(super) links: u32,
    pub(super) idmap: Slot,
    pub(super) idmap_recursive: bool,
}

/// Opens a tree, by this process's own rights and in its own mount namespace. There the flags of mounts that came from
/// outside of its user namespace are locked, which a tree that was opened elsewhere would lose.
pub(super) fn open(init: &Init, source: &Source<'_>) -> Result<Fd, Failure> {
    let is_itself = source.links & (links::COPY | links::SOURCE) != 0;
    let open = if is_itself { mount::clone_tree_of_link } else { mount::clone_tree };
    let tree = open(AT_FDCWD, source.path, source.recursive).at(Detail::SOURCE)?;
    if let Some(namespace) = init.slot(source.idmap)? {
        set_idmap(tree.raw(), namespace, source.idmap_recursive)?;
    }
    Ok(tree)
}

/// Gives a detached mount its id map. Links have owners too, though nobody asks for them.
pub(super) fn set_idmap(tree: RawFd, namespace: RawFd, recursive: bool) -> Result<(), Failure> {
    let change = Attributes {
        set: MOUNT_ATTR_IDMAP,
        user_namespace: u64::from(namespace.unsigned_abs()),
        ..Attributes::default()
    };
    mount::mount_setattr(tree, recursive, change).at(Detail::IDMAP)
}

/// Opens a tree, or gets it from the host: where the path cannot be searched, where the mount is locked together with
/// those below it, and where an id map needs the rights of the file system's owner.
pub(super) fn open_or_ask(init: &Init, source: &Source<'_>, from_host: bool) -> Result<Fd, Failure> {
    if from_host && source.idmap != Slot::NONE {
        return init.conversation.want_tree();
    }
    match open(init, source) {
        Err(Failure { errno: Errno::EACCES | Errno::EINVAL, detail: Detail::SOURCE }) if from_host => {
            init.conversation.want_tree()
        }
        answer => answer,
    }
}

/// The step *EnterRoot*.
pub(super) fn enter_root(root: RawFd) -> Result<(), Failure> {
    file::fchdir(root)?;
    mount::chroot(c".")?;
    Ok(())
}

/// The step *SendTree*.
pub(super) fn send_tree(init: &Init, source: &Source<'_>) -> Result<(), Failure> {
    let (proceed, _) = init.conversation.receive(Kind::Proceed)?;
    if proceed.value == 0 {
        return Ok(());
    }
    match open(init, source) {
        Ok(tree) => init.conversation.send(Message::new(Kind::Tree), Some(tree.raw())),
        Err(Failure { errno, detail }) => {
            init.conversation.send(Message { errno: errno.0, detail, ..Message::new(Kind::Tree) }, None)
        }
    }
}
