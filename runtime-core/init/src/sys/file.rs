//! Files, directories, pipes.

use core::ffi::CStr;

use super::{Errno, Fd, RawFd, arg, check, done, new_fd, syscall1, syscall2, syscall3, syscall4, syscall5};
use crate::arch::{self, nr};

pub(crate) const AT_FDCWD: RawFd = -100;
pub(crate) const AT_EMPTY_PATH: u32 = 0x1000;
pub(crate) const AT_SYMLINK_NOFOLLOW: u32 = 0x100;

pub(crate) const O_RDONLY: u32 = 0;
pub(crate) const O_WRONLY: u32 = 1;
pub(crate) const O_RDWR: u32 = 2;
pub(crate) const O_CREAT: u32 = 0o100;
pub(crate) const O_EXCL: u32 = 0o200;
pub(crate) const O_NOCTTY: u32 = 0o400;
pub(crate) const O_NONBLOCK: u32 = 0o4000;
pub(crate) const O_PATH: u32 = 0o10_000_000;
pub(crate) const O_DIRECTORY: u32 = arch::O_DIRECTORY;
pub(crate) const O_NOFOLLOW: u32 = arch::O_NOFOLLOW;
const O_CLOEXEC: u32 = 0o2_000_000;

pub(crate) const S_IFMT: u32 = 0o170_000;
pub(crate) const S_IFIFO: u32 = 0o010_000;
pub(crate) const S_IFCHR: u32 = 0o020_000;
pub(crate) const S_IFDIR: u32 = 0o040_000;
pub(crate) const S_IFREG: u32 = 0o100_000;
pub(crate) const S_IFLNK: u32 = 0o120_000;

/// `openat(2)`.
pub(crate) fn openat(dir: RawFd, path: &CStr, flags: u32, mode: u32) -> Result<Fd, Errno> {
    let flags = (flags | O_CLOEXEC) as usize;
    // SAFETY: the path is a live NUL-terminated string, the rest are numbers.
    new_fd(unsafe { syscall4(nr::OPENAT, arg(dir), path.as_ptr() as usize, flags, mode as usize) })
}

pub(crate) const RESOLVE_NO_XDEV: u64 = 1;
pub(crate) const RESOLVE_NO_MAGICLINKS: u64 = 2;
pub(crate) const RESOLVE_NO_SYMLINKS: u64 = 4;
pub(crate) const RESOLVE_BENEATH: u64 = 8;
pub(crate) const RESOLVE_IN_ROOT: u64 = 16;

/// `openat2(2)`.
pub(crate) fn openat2(dir: RawFd, path: &CStr, flags: u32, resolve: u64) -> Result<Fd, Errno> {
    let how = [u64::from(flags | O_CLOEXEC), 0, resolve];
    // SAFETY: path and `open_how` (three u64, openat2(2)) live during the call.
    new_fd(unsafe {
        syscall4(nr::OPENAT2, arg(dir), path.as_ptr() as usize, how.as_ptr() as usize, size_of_val(&how))
    })
}

/// What `statx(2)` tells that is used here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) size: u64,
    pub(crate) inode: u64,
    pub(crate) device: (u32, u32),
    /// Of a device node.
    pub(crate) rdev: (u32, u32),
    pub(crate) is_mount_root: bool,
    pub(crate) accessed: [u64; 2],
    pub(crate) modified: [u64; 2],
}

impl Status {
    pub(crate) const fn kind(&self) -> u32 {
        self.mode & S_IFMT
    }

    pub(crate) const fn is_dir(&self) -> bool {
        self.kind() == S_IFDIR
    }
}

// `struct statx` (include/uapi/linux/stat.h), the same on all architectures.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Statx {
    mask: u32,
    blksize: u32,
    attributes: u64,
    nlink: u32,
    uid: u32,
    gid: u32,
    mode: u16,
    spare0: u16,
    ino: u64,
    size: u64,
    blocks: u64,
    attributes_mask: u64,
    times: [[u64; 2]; 4],
    rdev: [u32; 2],
    dev: [u32; 2],
    rest: [u64; 14],
}

const STATX_BASIC_STATS: usize = 0x7ff;
const STATX_ATTR_MOUNT_ROOT: u64 = 0x2000;

/// `statx(2)`.
pub(crate) fn statx(dir: RawFd, path: &CStr, flags: u32) -> Result<Status, Errno> {
    const { assert!(size_of::<Statx>() == 256) };
    let mut out = Statx::default();
    // SAFETY: the path is a live string; the kernel writes at most the 256 bytes of `struct statx`.
    done(unsafe {
        let out = &raw mut out;
        syscall5(nr::STATX, arg(dir), path.as_ptr() as usize, flags as usize, STATX_BASIC_STATS, out as usize)
    })?;
    Ok(Status {
        mode: u32::from(out.mode),
        uid: out.uid,
        gid: out.gid,
        size: out.size,
        inode: out.ino,
        device: (out.dev[0], out.dev[1]),
        rdev: (out.rdev[0], out.rdev[1]),
        is_mount_root: out.attributes & STATX_ATTR_MOUNT_ROOT != 0,
        accessed: out.times[0],
        modified: out.times[3],
    })
}

/// `statx(2)` of an open file.
pub(crate) fn fstat(fd: RawFd) -> Result<Status, Errno> {
    statx(fd, c"", AT_EMPTY_PATH)
}

/// `fstatfs(2)`: type of the file system (`f_type`) and flags of the mount (`ST_*`) that a file is on.
pub(crate) fn fstatfs(fd: RawFd) -> Result<(u64, u64), Errno> {
    let mut out = [0u64; 15];
    // SAFETY: `struct statfs` has 120 bytes on 64-bit architectures.
    done(unsafe { syscall2(nr::FSTATFS, arg(fd), out.as_mut_ptr() as usize) })?;
    Ok((out[0], out[10]))
}

/// `mkdirat(2)`.
pub(crate) fn mkdirat(dir: RawFd, name: &CStr, mode: u32) -> Result<(), Errno> {
    // SAFETY: the name is a live string.
    done(unsafe { syscall3(nr::MKDIRAT, arg(dir), name.as_ptr() as usize, mode as usize) })
}

/// The kernel's number of a device (`new_encode_dev`).
pub(crate) const fn device_number(major: u32, minor: u32) -> u32 {
    (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
}

/// `mknodat(2)`.
pub(crate) fn mknodat(dir: RawFd, name: &CStr, mode: u32, device: u32) -> Result<(), Errno> {
    // SAFETY: the name is a live string.
    done(unsafe { syscall4(nr::MKNODAT, arg(dir), name.as_ptr() as usize, mode as usize, device as usize) })
}

/// `symlinkat(2)`.
pub(crate) fn symlinkat(points_to: &CStr, dir: RawFd, name: &CStr) -> Result<(), Errno> {
    // SAFETY: both are live strings.
    done(unsafe { syscall3(nr::SYMLINKAT, points_to.as_ptr() as usize, arg(dir), name.as_ptr() as usize) })
}

/// `unlinkat(2)` of something that is no directory.
pub(crate) fn unlinkat(dir: RawFd, name: &CStr) -> Result<(), Errno> {
    // SAFETY: the name is a live string.
    done(unsafe { syscall3(nr::UNLINKAT, arg(dir), name.as_ptr() as usize, 0) })
}

/// `readlinkat(2)`: what the link says, or of the open link if `name` is empty.
pub(crate) fn readlinkat<'b>(dir: RawFd, name: &CStr, buffer: &'b mut [u8]) -> Result<&'b [u8], Errno> {
    // SAFETY: the name is a live string and the kernel writes at most the buffer's length.
    let len = check(unsafe {
        let to = buffer.as_mut_ptr() as usize;
        syscall4(nr::READLINKAT, arg(dir), name.as_ptr() as usize, to, buffer.len())
    })?;
    buffer.get(..len).ok_or(Errno::EINVAL)
}

/// `fchownat(2)`; `u32::MAX` leaves an id as it is.
pub(crate) fn fchownat(dir: RawFd, name: &CStr, uid: u32, gid: u32, flags: u32) -> Result<(), Errno> {
    // SAFETY: the name is a live string.
    done(unsafe {
        syscall5(nr::FCHOWNAT, arg(dir), name.as_ptr() as usize, uid as usize, gid as usize, flags as usize)
    })
}

/// `fchmodat(2)`, which follows links.
pub(crate) fn fchmodat(dir: RawFd, name: &CStr, mode: u32) -> Result<(), Errno> {
    // SAFETY: the name is a live string.
    done(unsafe { syscall3(nr::FCHMODAT, arg(dir), name.as_ptr() as usize, mode as usize) })
}

/// `utimensat(2)` without following a link: access and modification time as seconds and nanoseconds.
pub(crate) fn utimensat(dir: RawFd, name: &CStr, times: [[u64; 2]; 2]) -> Result<(), Errno> {
    let times = times.map(|[secs, nanos]| [secs, nanos & 0xffff_ffff]);
    // SAFETY: the name is a live string, the times are two `struct timespec`.
    done(unsafe {
        let times = times.as_ptr() as usize;
        syscall4(nr::UTIMENSAT, arg(dir), name.as_ptr() as usize, times, AT_SYMLINK_NOFOLLOW as usize)
    })
}

/// `faccessat2(2)` for executing with the effective ids.
pub(crate) fn may_execute(path: &CStr) -> Result<(), Errno> {
    const X_OK: usize = 1;
    const AT_EACCESS: usize = 0x200;
    let path = path.as_ptr() as usize;
    // SAFETY: the path is a live string.
    match done(unsafe { syscall4(nr::FACCESSAT2, arg(AT_FDCWD), path, X_OK, AT_EACCESS) }) {
        // Before 5.8 only real ids could be asked for: exec tells the rest.
        Err(errno) if errno.is_absent() => {
            // SAFETY: as above.
            done(unsafe { syscall3(nr::FACCESSAT, arg(AT_FDCWD), path, X_OK) })
        }
        answer => answer,
    }
}

/// `read(2)`, once; the number of bytes is 0 at the end.
pub(crate) fn read(fd: RawFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: the kernel writes at most the buffer's length.
    let len = check(unsafe { syscall3(nr::READ, arg(fd), buffer.as_mut_ptr() as usize, buffer.len()) })?;
    Ok(len.min(buffer.len()))
}

/// `write(2)`, once.
pub(crate) fn write(fd: RawFd, bytes: &[u8]) -> Result<usize, Errno> {
    // SAFETY: the kernel reads at most the slice.
    let len = check(unsafe { syscall3(nr::WRITE, arg(fd), bytes.as_ptr() as usize, bytes.len()) })?;
    Ok(len.min(bytes.len()))
}

/// Entries of a directory as `struct linux_dirent64`.
pub(crate) fn getdents(dir: RawFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: the kernel writes at most the buffer's length.
    let len =
        check(unsafe { syscall3(nr::GETDENTS64, arg(dir), buffer.as_mut_ptr() as usize, buffer.len()) })?;
    Ok(len.min(buffer.len()))
}

/// `pipe2(2)`: reading and writing end.
pub(crate) fn pipe() -> Result<(Fd, Fd), Errno> {
    let mut ends = [0 as RawFd; 2];
    // SAFETY: the kernel writes two fds.
    done(unsafe { syscall2(nr::PIPE2, ends.as_mut_ptr() as usize, O_CLOEXEC as usize) })?;
    Ok((Fd::own(ends[0]), Fd::own(ends[1])))
}

/// Makes reads and writes of this open file return at once.
pub(crate) fn set_nonblocking(fd: RawFd) -> Result<(), Errno> {
    const F_SETFL: usize = 4;
    // SAFETY: numbers only.
    done(unsafe { syscall3(nr::FCNTL, arg(fd), F_SETFL, O_NONBLOCK as usize) })
}

/// Makes `to` a copy of `from` that is inherited by exec. They must differ.
pub(crate) fn dup_inherited(from: RawFd, to: RawFd) -> Result<(), Errno> {
    // SAFETY: numbers; callers put copies on stdio only, which nothing here owns.
    done(unsafe { syscall3(nr::DUP3, arg(from), arg(to), 0) })
}

/// Closes all fds from `first` on.
pub(crate) fn close_from(first: RawFd) -> Result<(), Errno> {
    // SAFETY: numbers; called before anything of this program is open there.
    done(unsafe { syscall3(nr::CLOSE_RANGE, arg(first), u32::MAX as usize, 0) })
}

/// Marks all fds from `first` on close-on-exec.
pub(crate) fn cloexec_from(first: RawFd) -> Result<(), Errno> {
    const CLOSE_RANGE_CLOEXEC: usize = 4;
    // SAFETY: numbers only; nothing is closed now.
    done(unsafe { syscall3(nr::CLOSE_RANGE, arg(first), u32::MAX as usize, CLOSE_RANGE_CLOEXEC) })
}

/// Marks one fd close-on-exec.
pub(crate) fn set_cloexec(fd: RawFd) -> Result<(), Errno> {
    const F_SETFD: usize = 2;
    const FD_CLOEXEC: usize = 1;
    // SAFETY: numbers only.
    done(unsafe { syscall3(nr::FCNTL, arg(fd), F_SETFD, FD_CLOEXEC) })
}

/// `chdir(2)`.
pub(crate) fn chdir(path: &CStr) -> Result<(), Errno> {
    // SAFETY: the path is a live string.
    done(unsafe { syscall1(nr::CHDIR, path.as_ptr() as usize) })
}

/// `fchdir(2)`.
pub(crate) fn fchdir(dir: RawFd) -> Result<(), Errno> {
    // SAFETY: a number.
    done(unsafe { syscall1(nr::FCHDIR, arg(dir)) })
}

/// `getcwd(2)` of the kernel, which says `(unreachable)` in front of a directory outside the root.
pub(crate) fn getcwd(buffer: &mut [u8]) -> Result<&[u8], Errno> {
    // SAFETY: the kernel writes at most the buffer's length.
    let len = check(unsafe { syscall2(nr::GETCWD, buffer.as_mut_ptr() as usize, buffer.len()) })?;
    buffer.get(..len.saturating_sub(1)).ok_or(Errno::EINVAL)
}

/// `umask(2)`: the mask before.
pub(crate) fn umask(mask: u32) -> u32 {
    // SAFETY: a number.
    (unsafe { syscall1(nr::UMASK, mask as usize) }) as u32
}

/// `ioctl(2)` with a number.
pub(crate) fn ioctl_number(fd: RawFd, request: u32, number: usize) -> Result<usize, Errno> {
    // SAFETY: used for requests whose argument is a number only.
    check(unsafe { syscall3(nr::IOCTL, arg(fd), request as usize, number) })
}

/// `ioctl(2)` with a buffer that the kernel reads or writes.
///
/// # Safety
/// `buffer` must be of the type that `request` is defined with.
pub(crate) unsafe fn ioctl_buffer<T>(fd: RawFd, request: u32, buffer: &mut T) -> Result<(), Errno> {
    let buffer: *mut T = buffer;
    // SAFETY: the buffer lives during the call; the caller vouches for its type.
    done(unsafe { syscall3(nr::IOCTL, arg(fd), request as usize, buffer as usize) })
}

/// The names in what [`getdents`] read, without `.` and `..`.
pub(crate) fn entries(mut listing: &[u8]) -> impl Iterator<Item = &CStr> {
    core::iter::from_fn(move || {
        // `struct linux_dirent64`: inode and offset (8 bytes each), length of the record, type, name.
        let len = usize::from(u16::from_le_bytes([*listing.get(16)?, *listing.get(17)?]));
        let (record, rest) = listing.split_at_checked(len)?;
        listing = rest;
        CStr::from_bytes_until_nul(record.get(19..)?).ok()
    })
    .filter(|name| ![c".", c".."].contains(name))
}
