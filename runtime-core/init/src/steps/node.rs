//! Device nodes, links and directories in the container.

use core::ffi::CStr;

use super::{
    At, Failure,
    path::{self, Last, Missing},
};
use crate::{
    sys::{
        Errno, RawFd,
        file::{self, AT_SYMLINK_NOFOLLOW, S_IFIFO, S_IFMT},
    },
    wire::message::Detail,
};

/// The step *Symlink*. What is there already is left alone.
pub(super) fn make_symlink(root: RawFd, points_to: &CStr, path: &CStr) -> Result<(), Failure> {
    let (parent, name) = path::resolve_parent(root, path, Missing::Directory).at(Detail::TARGET)?;
    match file::symlinkat(points_to, parent.raw(), name.as_c_str()) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// A link as the host has it (`copy-symlink`). One that is there must be the same.
pub(super) fn copy_symlink(root: RawFd, link: RawFd, path: &CStr) -> Result<(), Failure> {
    let mut buffer = [0; 4096];
    // The last byte stays NUL.
    let end = buffer.len() - 1;
    file::readlinkat(link, c"", &mut buffer[..end]).at(Detail::LINK)?;
    let points_to = CStr::from_bytes_until_nul(&buffer).map_err(|_| Errno::ENAMETOOLONG)?;
    let (parent, name) = path::resolve_parent(root, path, Missing::Directory).at(Detail::TARGET)?;
    match file::symlinkat(points_to, parent.raw(), name.as_c_str()) {
        Err(Errno::EEXIST) => {}
        answer => return answer.at(Detail::LINK),
    }
    let mut there = [0; 4096];
    match file::readlinkat(parent.raw(), name.as_c_str(), &mut there) {
        Ok(found) if found == points_to.to_bytes() => Ok(()),
        _ => Err(Failure::new(Errno::EEXIST, Detail::LINK)),
    }
}

/// The step *Remove*. A directory stays, as does what is not there.
pub(super) fn remove(root: RawFd, path: &CStr) -> Result<(), Failure> {
    let (parent, name) = match path::resolve_parent(root, path, Missing::Fails) {
        Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(()),
        answer => answer.at(Detail::TARGET)?,
    };
    match file::unlinkat(parent.raw(), name.as_c_str()) {
        Ok(()) | Err(Errno::ENOENT | Errno::EISDIR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// A node to make.
pub(super) struct Device {
    pub(super) mode: u32,
    pub(super) major: u32,
    pub(super) minor: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// The step *DeviceNode*. The mode is exact, since init's umask is 0.
pub(super) fn make_device(root: RawFd, path: &CStr, device: &Device) -> Result<(), Failure> {
    let (parent, name) = path::resolve_parent(root, path, Missing::Directory).at(Detail::TARGET)?;
    let (parent, name) = (parent.raw(), name.as_c_str());
    match file::mknodat(parent, name, device.mode, file::device_number(device.major, device.minor)) {
        Ok(()) => {
            if (device.uid, device.gid) == (0, 0) {
                // The maker owns it: init is root of the container here.
                return Ok(());
            }
            file::fchownat(parent, name, device.uid, device.gid, AT_SYMLINK_NOFOLLOW).at(Detail::OWNER)
        }
        Err(Errno::EEXIST) => {
            let found = file::statx(parent, name, AT_SYMLINK_NOFOLLOW).at(Detail::TARGET)?;
            let wanted = device.mode & S_IFMT;
            let is_same =
                found.kind() == wanted && (wanted == S_IFIFO || found.rdev == (device.major, device.minor));
            if is_same { Ok(()) } else { Err(Failure::new(Errno::EEXIST, Detail::MISMATCH)) }
        }
        Err(errno) => Err(errno.into()),
    }
}

/// The step *MakeCwd*. Nothing is done where something is there: `Chdir` says what.
pub(super) fn make_directory(root: RawFd, path: &CStr) -> Result<(), Failure> {
    path::resolve(root, path, Last::Followed, Missing::Directory).map(drop).at(Detail::TARGET)
}
