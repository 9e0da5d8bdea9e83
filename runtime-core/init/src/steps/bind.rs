//! Bind mounts: a copy of a tree of the host, attached beneath the rootfs.

use super::{
    At, Failure, Init, mount as mounts,
    path::{self, Last, Missing},
};
use crate::{
    sys::{
        file::{self, AT_FDCWD},
        mount,
    },
    wire::{Malformed, Op, message::Detail},
};

/// The step *BindMount*.
pub(super) fn mount_bind(init: &mut Init, op: &Op<'static>) -> Result<(), Failure> {
    let Op::BindMount {
        source,
        target,
        recursive,
        from_host,
        set,
        clear,
        set_recursive,
        clear_recursive,
        propagation,
    } = *op
    else {
        return Err(Malformed.into());
    };
    let root = init.root()?;
    let tree = if from_host {
        init.conversation.want_tree()?
    } else {
        mount::clone_tree(AT_FDCWD, source, recursive).at(Detail::SOURCE)?
    };
    let missing =
        if file::fstat(tree.raw()).at(Detail::SOURCE)?.is_dir() { Missing::Directory } else { Missing::File };
    let target_fd = path::resolve(root, target, Last::Followed, missing).at(Detail::TARGET)?;
    let (top, all) = (mounts::attributes(set, clear), mounts::attributes(set_recursive, clear_recursive));
    mounts::attach_with(tree.raw(), target_fd.raw(), top, all)?;
    // After the attaching, which makes it shared where the place is.
    mounts::set_mount_propagation(tree.raw(), u64::from(propagation)).at(Detail::PROPAGATION)?;
    if target.to_bytes().iter().all(|&byte| byte == b'/') {
        init.rootfs = Some(tree);
    }
    Ok(())
}
