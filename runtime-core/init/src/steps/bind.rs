//! Bind mounts: a copy of a tree of the host, attached beneath the rootfs.

use super::{
    At, Failure, Init, mount as mounts,
    mount::Change,
    node,
    path::{self, Last, Missing},
    tree::{self, Source},
};
use crate::{
    sys::{
        file::{self, S_IFLNK},
        mount::{MS_REC, MS_SHARED, MS_SLAVE},
    },
    wire::{Malformed, Op, links, message::Detail},
};

/// The step *BindMount*.
pub(super) fn mount_bind(init: &mut Init, op: &Op<'static>) -> Result<(), Failure> {
    let Op::BindMount {
        source,
        target,
        recursive,
        from_host,
        links: follow,
        idmap,
        idmap_recursive,
        set,
        clear,
        keep,
        set_recursive,
        clear_recursive,
        propagation,
    } = *op
    else {
        return Err(Malformed.into());
    };
    let root = init.root()?;
    let source = Source { path: source, recursive, links: follow, idmap, idmap_recursive };
    let tree = tree::open_or_ask(init, &source, from_host)?;
    let status = file::fstat(tree.raw()).at(Detail::SOURCE)?;
    if follow & links::COPY != 0 && status.kind() == S_IFLNK {
        return node::copy_symlink(root, tree.raw(), target);
    }
    let (last, missing) = match status.is_dir() {
        _ if follow & links::TARGET != 0 => (Last::Itself, Missing::Fails),
        true => (Last::Followed, Missing::Directory),
        false => (Last::Followed, Missing::File),
    };
    let place = path::resolve(root, target, last, missing).at(Detail::TARGET)?;
    let top = Change { set, clear, keep };
    let all = Change { set: set_recursive, clear: clear_recursive, keep: 0 };
    mounts::attach_with(tree.raw(), place.raw(), top, all)?;
    if init.may_be_shared && u64::from(propagation) & MS_SHARED == 0 {
        // Only what is asked to be shared stays a peer of the host's mount.
        mounts::set_mount_propagation(tree.raw(), MS_SLAVE | MS_REC).at(Detail::PROPAGATION)?;
    }
    // After the attaching, which makes it shared where the place is.
    mounts::set_mount_propagation(tree.raw(), u64::from(propagation)).at(Detail::PROPAGATION)?;
    if target.to_bytes().iter().all(|&byte| byte == b'/') {
        init.rootfs = Some(tree);
    }
    Ok(())
}
