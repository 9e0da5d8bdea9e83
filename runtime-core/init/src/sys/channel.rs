//! Records with an fd on a `SOCK_SEQPACKET` socket.

use super::{Errno, Fd, RawFd, arg, check, syscall3};
use crate::arch::nr;

const SOL_SOCKET: i32 = 1;
const SCM_RIGHTS: i32 = 1;

// `struct cmsghdr` with one fd, padded as CMSG_SPACE wants it (64-bit).
#[repr(C)]
struct Rights {
    len: usize,
    level: i32,
    kind: i32,
    fd: RawFd,
    padding: i32,
}

#[repr(C)]
struct IoVec {
    base: usize,
    len: usize,
}

// `struct msghdr` (64-bit; the kernel's `struct user_msghdr`).
#[repr(C)]
struct Header {
    name: usize,
    name_len: u32,
    padding: u32,
    parts: *const IoVec,
    parts_len: usize,
    control: *mut Rights,
    control_len: usize,
    flags: u32,
    padding2: u32,
}

impl Header {
    fn new(part: &IoVec, control: *mut Rights) -> Self {
        let control_len = if control.is_null() { 0 } else { size_of::<Rights>() };
        Self {
            name: 0,
            name_len: 0,
            padding: 0,
            parts: part,
            parts_len: 1,
            control,
            control_len,
            flags: 0,
            padding2: 0,
        }
    }
}

/// Sends one packet.
pub(crate) fn send(channel: RawFd, bytes: &[u8], fd: Option<RawFd>) -> Result<(), Errno> {
    const MSG_NOSIGNAL: usize = 0x4000;
    let part = IoVec { base: bytes.as_ptr() as usize, len: bytes.len() };
    let mut rights =
        Rights { len: 20, level: SOL_SOCKET, kind: SCM_RIGHTS, fd: fd.unwrap_or(-1), padding: 0 };
    let control = if fd.is_some() { &raw mut rights } else { core::ptr::null_mut() };
    let header = Header::new(&part, control);
    loop {
        let header = &raw const header;
        // SAFETY: header, part, bytes and control data live during the call, which only reads them.
        match check(unsafe { syscall3(nr::SENDMSG, arg(channel), header as usize, MSG_NOSIGNAL) }) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Receives one packet, with the fd that came along; a length of 0 says that the other end is gone.
pub(crate) fn receive(channel: RawFd, buffer: &mut [u8]) -> Result<(usize, Option<Fd>), Errno> {
    const MSG_CMSG_CLOEXEC: usize = 0x4000_0000;
    let part = IoVec { base: buffer.as_mut_ptr() as usize, len: buffer.len() };
    loop {
        let mut rights = Rights { len: 0, level: 0, kind: 0, fd: -1, padding: 0 };
        let mut header = Header::new(&part, &raw mut rights);
        let at = &raw mut header;
        // SAFETY: the kernel writes at most the buffer, the header and the control data, which all live here.
        match check(unsafe { syscall3(nr::RECVMSG, arg(channel), at as usize, MSG_CMSG_CLOEXEC) }) {
            Ok(len) => {
                let came =
                    header.control_len >= 20 && rights.level == SOL_SOCKET && rights.kind == SCM_RIGHTS;
                return Ok((len.min(buffer.len()), came.then(|| Fd::own(rights.fd))));
            }
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}
