//! What else a process is: namespaces, session, names, directory.

use core::ffi::CStr;

use super::{At, Failure};
use crate::{
    conversation::Conversation,
    sys::{
        Errno, RawFd,
        file::{self, AT_FDCWD, O_RDONLY, O_WRONLY},
        process, signal,
    },
    wire::message::{Detail, Kind, Message},
};

const CLONE_NEWTIME: i32 = 0x80;
const PR_SET_DUMPABLE: i32 = 4;
const PR_SET_NO_NEW_PRIVS: i32 = 38;

/// The step *JoinNamespace*. The fd is closed: a member of the namespace could ask for it.
pub(super) fn join_namespace(namespace: RawFd, kind: u32) -> Result<(), Failure> {
    process::setns(namespace, kind as i32)?;
    crate::sys::close(namespace);
    Ok(())
}

/// The step *Unshare*.
pub(super) fn unshare(flags: u32) -> Result<(), Failure> {
    process::unshare(flags as i32)?;
    Ok(())
}

/// The step *SetDumpable*.
pub(super) fn set_dumpable(value: u32) -> Result<(), Failure> {
    process::prctl(PR_SET_DUMPABLE, value as usize, 0)?;
    Ok(())
}

/// The step *NoNewPrivileges*.
pub(super) fn set_no_new_privileges() -> Result<(), Failure> {
    process::prctl(PR_SET_NO_NEW_PRIVS, 1, 0)?;
    Ok(())
}

/// The step *TimeOffsets*.
pub(super) fn write_time_offsets(offsets: &CStr) -> Result<(), Failure> {
    if !offsets.is_empty() {
        let to = file::openat(AT_FDCWD, c"/proc/self/timens_offsets", O_WRONLY, 0).at(Detail::OPEN)?;
        file::write(to.raw(), offsets.to_bytes()).at(Detail::WRITE)?;
    }
    let namespace =
        file::openat(AT_FDCWD, c"/proc/self/ns/time_for_children", O_RDONLY, 0).at(Detail::OPEN)?;
    process::setns(namespace.raw(), CLONE_NEWTIME)?;
    Ok(())
}

/// The step *NewSession*. Whoever leads one already has what is wanted.
pub(super) fn new_session() -> Result<(), Failure> {
    match process::setsid() {
        Ok(_) => {}
        Err(Errno::EPERM) if process::getsid(0)? == process::getpid()? => {}
        Err(errno) => return Err(errno.into()),
    }
    // What the caller's process group was sent while we were in it would hit the program, which unblocks signals.
    while signal::take_pending(u64::MAX) {}
    Ok(())
}

/// The step *SessionKeyring*.
pub(super) fn join_session_keyring(name: &CStr) -> Result<(), Failure> {
    // What a new keyring allows (possessor: all; user: view, read, link), and the user's search: after the change of
    // ids the container's user must find keys in it.
    const PERMISSIONS: u32 = 0x3f1b_0000;
    let keyring = match process::join_session_keyring(name) {
        // A kernel without keys, or a profile that hides keyctl from the container too.
        Err(errno) if errno.is_absent() => return Ok(()),
        answer => answer?,
    };
    process::set_key_permissions(keyring, PERMISSIONS).at(Detail::OWNER)
}

/// The step *LoopbackUp*.
pub(super) fn bring_loopback_up() -> Result<(), Failure> {
    const SIOCGIFFLAGS: u32 = 0x8913;
    const SIOCSIFFLAGS: u32 = 0x8914;
    const IFF_UP: u16 = 1;
    /// `struct ifreq`: a name, and flags in a union of 24 bytes.
    #[repr(C)]
    struct Interface {
        name: [u8; 16],
        flags: u16,
        rest: [u8; 22],
    }
    let mut lo = Interface { name: *b"lo\0\0\0\0\0\0\0\0\0\0\0\0\0\0", flags: 0, rest: [0; 22] };
    // Interfaces are configured through a socket of any family.
    let socket = process::unix_datagram_socket()?;
    // SAFETY: the request reads and writes a `struct ifreq`.
    unsafe { file::ioctl_buffer(socket.raw(), SIOCGIFFLAGS, &mut lo) }?;
    lo.flags |= IFF_UP;
    // SAFETY: as above.
    unsafe { file::ioctl_buffer(socket.raw(), SIOCSIFFLAGS, &mut lo) }?;
    Ok(())
}

/// The step *RouteSocket*. A socket stays in the namespace that it was made in, whoever holds it.
pub(super) fn send_route_socket(conversation: &Conversation) -> Result<(), Failure> {
    let socket = process::route_socket()?;
    conversation.send(Message::new(Kind::RouteSocket), Some(socket.raw()))
}

/// The step *Chdir*.
pub(super) fn change_directory(path: &CStr) -> Result<(), Failure> {
    file::chdir(path)?;
    let mut buffer = [0; 4096];
    match file::getcwd(&mut buffer) {
        Ok(path) if path.starts_with(b"/") => Ok(()),
        // The kernel says "(unreachable)" of a directory that an fd of another tree led to.
        Ok(_) => Err(Failure::new(Errno::EACCES, Detail::OUTSIDE_ROOT)),
        Err(errno) => Err(errno.into()),
    }
}
