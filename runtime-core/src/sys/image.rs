//! The freestanding program in a sealed memfd.

use std::{
    ffi::CStr,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    fs::{MemfdFlags, SealFlags},
    io::Errno,
};

/// What makes a memfd unchangeable for everybody, its owner included.
const SEALS: SealFlags =
    SealFlags::SEAL.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::WRITE);

/// A sealed memfd with these bytes. `executable` asks for MFD_EXEC (6.3; before, all memfds are).
pub(crate) fn sealed_memfd(name: &CStr, bytes: &[u8], executable: bool) -> Result<OwnedFd, Errno> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let kind = if executable { MemfdFlags::EXEC } else { MemfdFlags::NOEXEC_SEAL };
    let memfd = match rustix::fs::memfd_create(name, flags | kind) {
        Err(Errno::INVAL) => rustix::fs::memfd_create(name, flags)?,
        result => result?,
    };
    write_all(&memfd, bytes)?;
    rustix::fs::fcntl_add_seals(&memfd, SEALS)?;
    Ok(memfd)
}

/// Writes all of it.
pub(super) fn write_all(file: impl AsFd, bytes: &[u8]) -> Result<(), Errno> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let written = rustix::io::write(&file, rest)?;
        rest = rest.get(written..).unwrap_or_default();
    }
    Ok(())
}

/// The program, kept by a `Runtime` and checked before each use: a host that closes fds it does not know must not make
/// us execute what took their number.
#[derive(Debug)]
pub(crate) struct Image {
    fd: OwnedFd,
    inode: (u64, u64),
}

impl Image {
    /// Makes the memfd.
    pub(crate) fn new() -> Result<Self, Errno> {
        let fd = sealed_memfd(c"orlop-init", orlop_init::IMAGE, true)?;
        let stat = rustix::fs::fstat(&fd)?;
        Ok(Self { fd, inode: (stat.st_dev, stat.st_ino) })
    }

    /// Whether the number still is the memfd that was made.
    pub(crate) fn is_intact(&self) -> bool {
        let same = rustix::fs::fstat(&self.fd).is_ok_and(|stat| (stat.st_dev, stat.st_ino) == self.inode);
        same && rustix::fs::fcntl_get_seals(&self.fd).is_ok_and(|seals| seals.contains(SEALS))
    }

    /// Gives up a number that belongs to somebody else now, without closing it.
    pub(crate) fn forget(self) {
        std::mem::forget(self.fd);
    }
}

impl AsFd for Image {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
