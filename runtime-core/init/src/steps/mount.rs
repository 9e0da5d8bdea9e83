//! New file systems, attached beneath the rootfs, and changes of mounts that exist.

use core::ffi::CStr;

use super::{
    At, Failure, Init, legacy,
    path::{self, Last, Missing},
};
use crate::{
    sys::{
        Errno, Fd, RawFd, file,
        file::S_IFLNK,
        mount::{self, Attributes, MOUNT_ATTR_ATIME, MS_REC, Parameter},
    },
    wire::{Malformed, Op, codec::List, message::Detail},
};

/// What is changed of a mount, as `MOUNT_ATTR_*`.
#[derive(Clone, Copy, Default)]
pub(super) struct Change {
    pub(super) set: u64,
    pub(super) clear: u64,
    /// Bits of `clear` that stay where they are locked.
    pub(super) keep: u64,
}

impl Change {
    fn is_nothing(self) -> bool {
        (self.set, self.clear) == (0, 0)
    }

    /// As the kernel wants it: the access time modes are one field, cleared as one.
    const fn attributes(self) -> Attributes {
        let atime = if (self.set | self.clear) & MOUNT_ATTR_ATIME == 0 { 0 } else { MOUNT_ATTR_ATIME };
        Attributes { set: self.set, clear: self.clear | atime, propagation: 0, user_namespace: 0 }
    }

    /// Does it by `act`; where the kernel has locked what is to be cleared, again without what may stay.
    fn apply(self, act: impl Fn(Attributes) -> Result<(), Errno>) -> Result<(), Errno> {
        match act(self.attributes()) {
            Err(Errno::EPERM) if self.keep != 0 => {
                act(Self { clear: self.clear & !self.keep, ..self }.attributes())
            }
            answer => answer,
        }
    }
}

/// Changes an attached mount; nothing to change is no call.
pub(super) fn change(mount: RawFd, change: Change) -> Result<(), Errno> {
    if change.is_nothing() {
        return Ok(());
    }
    change.apply(|attributes| match mount::mount_setattr(mount, false, attributes) {
        Err(errno) if errno.is_absent() => legacy::remount(mount, attributes),
        answer => answer,
    })
}

/// Attaches a tree with attributes for its top and then for all of it, set before, so that there is no moment at which
/// it is attached without them. Where only mount(2) is there, which changes nothing detached, they follow at once.
pub(super) fn attach_with(tree: RawFd, target: RawFd, top: Change, all: Change) -> Result<(), Failure> {
    for (change, recursive) in
        [(top, false), (all, true)].into_iter().filter(|(change, _)| !change.is_nothing())
    {
        match change.apply(|attributes| mount::mount_setattr(tree, recursive, attributes)) {
            Err(errno) if errno.is_absent() && all.is_nothing() => {
                attach(tree, target).at(Detail::ATTACH)?;
                return change.apply(|attributes| legacy::remount(tree, attributes)).at(Detail::ATTRIBUTES);
            }
            answer => answer.at(Detail::ATTRIBUTES)?,
        }
    }
    attach(tree, target).at(Detail::ATTACH)
}

/// Sets propagation of an attached mount, of the mounts below too with `MS_REC`; 0 is no call.
pub(super) fn set_mount_propagation(mount: RawFd, flags: u64) -> Result<(), Errno> {
    if flags == 0 {
        return Ok(());
    }
    let propagation = flags & !MS_REC;
    let change = Attributes { propagation, ..Attributes::default() };
    match mount::mount_setattr(mount, flags & MS_REC != 0, change) {
        Err(errno) if errno.is_absent() => legacy::set_propagation(mount, flags),
        answer => answer,
    }
}

/// Attaches a tree to the file that `target` refers to.
pub(super) fn attach(tree: RawFd, target: RawFd) -> Result<(), Errno> {
    match mount::attach(tree, target) {
        // move_mount(2) does not say that one is a directory and the other is not; mount(2) does, and users know it.
        Err(Errno::EINVAL) if file::fstat(tree)?.is_dir() != file::fstat(target)?.is_dir() => {
            Err(Errno::ENOTDIR)
        }
        answer => answer,
    }
}

/// The step *NewMount*.
pub(super) fn mount_new(init: &mut Init, op: &Op<'static>) -> Result<(), Failure> {
    let Op::NewMount {
        fs_type,
        source,
        target,
        options,
        attributes,
        propagation,
        no_symlink,
        pid_namespace,
        is_devpts,
        copy_up,
        inherit_mode,
        idmap,
        or_bind,
    } = *op
    else {
        return Err(Malformed.into());
    };
    let root = init.root()?;
    let place = find_place(root, target, no_symlink)?;
    if options.iter().any(|option| option.count_bytes() > FSCONFIG_MAX) {
        mount_with_long_options(&place, fs_type, source, &options, attributes)?;
        let mounted = path::resolve(root, target, Last::Followed, Missing::Fails).at(Detail::TARGET)?;
        return set_mount_propagation(mounted.raw(), u64::from(propagation)).at(Detail::PROPAGATION);
    }
    let fresh =
        NewFileSystem { fs_type, source, options, attributes, pid_namespace: init.slot(pid_namespace)? };
    let mounted = match fresh.make((inherit_mode && place.existed).then_some(&place.target)) {
        Err(Failure { errno: Errno::EPERM, .. }) if !or_bind.is_empty() => bind_instead(or_bind, attributes)?,
        answer => answer?,
    };
    if let Some(namespace) = init.slot(idmap)? {
        super::tree::set_idmap(mounted.raw(), namespace, false)?;
    }
    if copy_up && place.existed {
        super::copy::copy_directory(place.target.raw(), mounted.raw()).at(Detail::WRITE)?;
    }
    attach(mounted.raw(), place.target.raw()).at(Detail::ATTACH)?;
    set_mount_propagation(mounted.raw(), u64::from(propagation)).at(Detail::PROPAGATION)?;
    if target.to_bytes().iter().all(|&byte| byte == b'/') {
        init.rootfs = Some(mounted);
    } else if is_devpts {
        init.devpts = Some(mounted);
    }
    Ok(())
}

/// A file system that is mounted nowhere yet.
struct NewFileSystem {
    fs_type: &'static CStr,
    source: &'static CStr,
    options: List<'static, &'static CStr>,
    attributes: u64,
    pid_namespace: Option<RawFd>,
}

impl NewFileSystem {
    fn make(&self, mode_of: Option<&Fd>) -> Result<Fd, Failure> {
        let context = mount::fsopen(self.fs_type).at(Detail::FS_TYPE)?;
        if !self.source.is_empty() {
            mount::fsconfig(context.raw(), Parameter::String(c"source", self.source)).at(Detail::SOURCE)?;
        }
        if let Some(namespace) = self.pid_namespace {
            mount::fsconfig(context.raw(), Parameter::Fd(c"pidns", namespace)).at(Detail::SUPERBLOCK)?;
        }
        if let Some(target) = mode_of {
            set_mode_of(context.raw(), target).at(Detail::SUPERBLOCK)?;
        }
        for (index, option) in self.options.iter().enumerate() {
            set_option(context.raw(), option).at(Detail::OPTION.with(index as u32))?;
        }
        mount::fsconfig(context.raw(), Parameter::Create).at(Detail::SUPERBLOCK)?;
        mount::fsmount(context.raw(), self.attributes).at(Detail::COVERED)
    }
}

/// What is there already, with the attributes asked for on all of it.
fn bind_instead(path: &CStr, attributes: u64) -> Result<Fd, Failure> {
    let tree = mount::clone_tree(file::AT_FDCWD, path, true).at(Detail::SOURCE)?;
    let set = Change { set: attributes & !MOUNT_ATTR_ATIME, ..Change::default() }.attributes();
    mount::mount_setattr(tree.raw(), true, set).at(Detail::ATTRIBUTES)?;
    Ok(tree)
}

/// The longest value that `fsconfig(2)` takes, 255 bytes. With its key an option may be longer, but not so that it
/// would matter: what is refused here is what mount(2) takes as well.
const FSCONFIG_MAX: usize = 255;

/// Mounts by mount(2), whose options are one string of at most a page: overlay's may name many directories.
fn mount_with_long_options(
    place: &Place,
    fs_type: &CStr,
    source: &CStr,
    options: &List<'static, &'static CStr>,
    attributes: u64,
) -> Result<(), Failure> {
    let flags = legacy::mount_flags(attributes).ok_or(Failure::new(Errno::EINVAL, Detail::ATTRIBUTES))?;
    let mut data = [0; 4096];
    let mut at = 0;
    for (index, option) in options.iter().enumerate() {
        let option = option.to_bytes();
        let option = option.strip_prefix(b"=").unwrap_or(option);
        let end = at + option.len();
        if end >= data.len() {
            return Err(Failure::new(Errno::E2BIG, Detail::OPTION.with(index as u32)));
        }
        data[at..end].copy_from_slice(option);
        data[end] = b',';
        at = end + 1;
    }
    data[at.saturating_sub(1)] = 0;
    let data = CStr::from_bytes_until_nul(&data).map_err(|_| Errno::E2BIG)?;
    legacy::mount_over(place.target.raw(), source, fs_type, flags, data).at(Detail::SUPERBLOCK)
}

pub(super) struct Place {
    pub(super) target: Fd,
    existed: bool,
}

/// Resolves where a file system is mounted; makes a directory where nothing is.
pub(super) fn find_place(root: RawFd, target: &CStr, no_symlink: bool) -> Result<Place, Failure> {
    let last = if no_symlink { Last::Itself } else { Last::Followed };
    let place = match path::resolve(root, target, last, Missing::Fails) {
        Err(Errno::ENOENT) => {
            let target = path::make(root, target, last, Missing::Directory).at(Detail::TARGET)?;
            Place { target, existed: false }
        }
        answer => Place { target: answer.at(Detail::TARGET)?, existed: true },
    };
    match no_symlink.then(|| file::fstat(place.target.raw())).transpose().at(Detail::TARGET)? {
        Some(there) if there.kind() == S_IFLNK => Err(Failure::new(Errno::ELOOP, Detail::MISMATCH)),
        Some(there) if !there.is_dir() => Err(Failure::new(Errno::ENOTDIR, Detail::MISMATCH)),
        _ => Ok(place),
    }
}

/// A tmpfs over a directory looks like it: `/tmp` stays sticky, as in other runtimes.
fn set_mode_of(context: RawFd, target: &Fd) -> Result<(), Errno> {
    let mode = file::fstat(target.raw())?.mode & 0o7777;
    let digits: [u8; 6] = core::array::from_fn(|at| match at {
        5 => 0,
        at => b'0' + (mode >> (3 * (4 - at)) & 7) as u8,
    });
    let text = CStr::from_bytes_with_nul(&digits).map_err(|_| Errno::EINVAL)?;
    mount::fsconfig(context, Parameter::String(c"mode", text))
}

fn set_option(context: RawFd, option: &'static CStr) -> Result<(), Errno> {
    let bytes = option.to_bytes_with_nul();
    match bytes.iter().position(|&byte| byte == b'=') {
        None => mount::fsconfig(context, Parameter::Flag(option)),
        // One whole legacy option: such file systems put it into their option string as it is.
        Some(0) => {
            let option = CStr::from_bytes_with_nul(&bytes[1..]).map_err(|_| Errno::EINVAL)?;
            mount::fsconfig(context, Parameter::Flag(option))
        }
        Some(equals) => {
            // No parameter of the kernel has a longer name.
            let mut key = [0; 64];
            key[..63].get_mut(..equals).ok_or(Errno::EINVAL)?.copy_from_slice(&bytes[..equals]);
            let key = CStr::from_bytes_until_nul(&key).map_err(|_| Errno::EINVAL)?;
            let value = CStr::from_bytes_with_nul(&bytes[equals + 1..]).map_err(|_| Errno::EINVAL)?;
            mount::fsconfig(context, Parameter::String(key, value))
        }
    }
}

/// The step *Remount*.
pub(super) fn remount(
    root: RawFd,
    target: &CStr,
    options: &List<'static, &'static CStr>,
    flags: Change,
    propagation: u32,
) -> Result<(), Failure> {
    let mount = path::resolve(root, target, Last::Followed, Missing::Fails).at(Detail::TARGET)?;
    if !options.is_empty() {
        let context = mount::fspick(mount.raw()).at(Detail::SUPERBLOCK)?;
        for (index, option) in options.iter().enumerate() {
            set_option(context.raw(), option).at(Detail::OPTION.with(index as u32))?;
        }
        mount::fsconfig(context.raw(), Parameter::Reconfigure).at(Detail::SUPERBLOCK)?;
    }
    change(mount.raw(), flags).at(Detail::ATTRIBUTES)?;
    set_mount_propagation(mount.raw(), u64::from(propagation)).at(Detail::PROPAGATION)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{cell::RefCell, vec::Vec};

    #[test]
    fn access_time_modes_are_cleared_as_one() {
        for (set, clear, expected) in
            [(0x1, 0x2, 0x2), (0x10, 0, 0x70), (0x20, 0x1, 0x71), (0, 0x70, 0x70), (0x80, 0, 0)]
        {
            let attributes = Change { set, clear, keep: 0 }.attributes();
            assert_eq!(attributes.clear, expected, "set {set:#x} clear {clear:#x}");
        }
    }

    #[test]
    fn what_may_stay_is_left_where_it_is_locked() {
        for (locked, keep, tried, answer) in [
            (0x0, 0x6, &[0xe][..], Ok(())),
            (0x2, 0x6, &[0xe, 0x8], Ok(())),
            (0x8, 0x6, &[0xe, 0x8], Err(Errno::EPERM)),
            (0x2, 0x0, &[0xe], Err(Errno::EPERM)),
        ] {
            let seen = RefCell::new(Vec::new());
            let done = Change { set: 1, clear: 0xe, keep }.apply(|attributes| {
                seen.borrow_mut().push(attributes.clear);
                if attributes.clear & locked == 0 { Ok(()) } else { Err(Errno::EPERM) }
            });
            assert_eq!((done, &*seen.into_inner()), (answer, tried), "locked {locked:#x} keep {keep:#x}");
        }
    }
}
