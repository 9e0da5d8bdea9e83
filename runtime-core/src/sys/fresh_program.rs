//! The freestanding program in a file, where the sysctl `vm.memfd_noexec=2` forbids executable memory files.
//!
//! Each start has a file of its own that no directory names and nobody uses again. What reaches it through /proc/PID/exe
//! holds nothing that another start executes; a privileged caller's is on a read-only mount besides.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::{
    fs::{Mode, OFlags, StatVfsMountFlags},
    io::Errno,
    mount::OpenTreeFlags,
};

use super::{
    arch::{nr, syscall6},
    image::write_all,
};

/// File systems that most hosts have in memory, then those on disk. /run is often mounted noexec.
const PLACES: [&str; 4] = ["/dev/shm", "/run", "/tmp", "/var/tmp"];

/// `struct mount_attr` of mount_setattr(2).
#[repr(C)]
#[derive(Default)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

const MOUNT_ATTR_RDONLY: u64 = 1;
const AT_EMPTY_PATH: usize = 0x1000;

/// A new file with the program, open for execution and for nothing else.
///
/// # Errors
/// Of the last place that was tried.
pub(crate) fn fresh_program() -> Result<OwnedFd, Errno> {
    let mut last = Errno::ACCESS;
    for place in PLACES {
        match file_in(place) {
            Ok(file) => return Ok(file),
            Err(errno) => last = errno,
        }
    }
    Err(last)
}

fn file_in(place: &str) -> Result<OwnedFd, Errno> {
    if rustix::fs::statvfs(place)?.f_flag.contains(StatVfsMountFlags::NOEXEC) {
        return Err(Errno::ACCESS);
    }
    let mode = Mode::RUSR | Mode::XUSR;
    let written = rustix::fs::open(place, OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC, mode)?;
    write_all(&written, orlop_init::IMAGE)?;
    // Through the fd: it has no name that somebody could put something else under.
    let itself = format!("/proc/self/fd/{}", written.as_raw_fd());
    let program = rustix::fs::open(itself, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    drop(written);
    match readonly_mount_of(program.as_fd()) {
        Ok(mounted) => Ok(mounted),
        // A plain user may not, and has no more rights to the file than its containers; before 5.12 nobody can.
        Err(Errno::PERM | Errno::NOSYS) => Ok(program),
        Err(errno) => Err(errno),
    }
}

/// A detached clone of the file's mount, read-only: not even the owner can open the file for writing through it.
fn readonly_mount_of(program: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let mounted = rustix::mount::open_tree(program, "", flags)?;
    let attributes = MountAttr { attr_set: MOUNT_ATTR_RDONLY, ..MountAttr::default() };
    let at = std::ptr::from_ref(&attributes) as usize;
    let (fd, path) = (mounted.as_raw_fd() as usize, c"".as_ptr() as usize);
    // SAFETY: path and attributes live during the call, which reads the size that is given.
    let result =
        unsafe { syscall6(nr::MOUNT_SETATTR, [fd, path, AT_EMPTY_PATH, at, size_of::<MountAttr>(), 0]) };
    match result {
        0.. => Ok(mounted),
        error => Err(Errno::from_raw_os_error(i32::try_from(-error).unwrap_or(i32::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::fresh_program;

    #[test]
    fn every_file_is_another_and_none_can_be_written() {
        let (first, second) = (fresh_program().unwrap(), fresh_program().unwrap());
        let inode =
            |file| rustix::fs::fstat(file).map(|stat| (stat.st_dev, stat.st_ino, stat.st_nlink)).unwrap();
        assert_ne!(inode(&first), inode(&second));
        assert_eq!(inode(&first).2, 0, "it has no name");
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&first));
        assert_eq!(std::fs::read(&path).unwrap(), orlop_init::IMAGE);
        if rustix::process::geteuid().is_root() {
            let opened = std::fs::OpenOptions::new().write(true).open(&path);
            assert_eq!(opened.unwrap_err().kind(), std::io::ErrorKind::ReadOnlyFilesystem);
        }
    }
}
