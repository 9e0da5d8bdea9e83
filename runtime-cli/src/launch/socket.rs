//! Sending one fd over a unix socket that a caller listens on (`--console-socket`, `--pidfd-socket`).

use std::{
    io::IoSlice,
    mem::MaybeUninit,
    os::fd::{BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags,
        SocketType, connect, sendmsg, socket_with,
    },
};

use crate::failure::{Failure, Result};

/// A connected socket. Connected before the container exists, so that a wrong path is an early error.
#[derive(Debug)]
pub struct FdSocket {
    what: &'static str,
    path: PathBuf,
    socket: OwnedFd,
}

impl FdSocket {
    /// Connects.
    pub fn connect(what: &'static str, path: &Path) -> Result<Self> {
        let failure = |errno: Errno| Failure::io(format_args!("connect to {what} {}", path.display()), errno);
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .map_err(failure)?;
        let address = SocketAddrUnix::new(path).map_err(failure)?;
        connect(&socket, &address).map_err(failure)?;
        Ok(Self { what, path: path.to_owned(), socket })
    }

    /// Sends exactly one message with exactly one fd, as receivers demand. Does not wait for an answer: the receiver
    /// may accept only after this program has ended.
    pub fn send(self, payload: &[u8], fd: BorrowedFd<'_>) -> Result<()> {
        send_fd(&self.socket, payload, fd).map_err(|errno| {
            Failure::io(format_args!("send to {} {}", self.what, self.path.display()), errno)
        })
    }
}

/// One `sendmsg` with one fd.
pub fn send_fd(socket: &OwnedFd, payload: &[u8], fd: BorrowedFd<'_>) -> Result<(), Errno> {
    let fds = [fd];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    // The space is for one fd.
    control.push(SendAncillaryMessage::ScmRights(&fds));
    let sent = rustix::io::retry_on_intr(|| {
        sendmsg(socket, &[IoSlice::new(payload)], &mut control, SendFlags::NOSIGNAL)
    })?;
    if sent == payload.len() { Ok(()) } else { Err(Errno::MSGSIZE) }
}
