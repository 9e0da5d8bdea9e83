//! The host's end of the conversation: records with at most one fd, on a `SOCK_SEQPACKET` pair.

use std::{
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use orlop_init::wire::message::{HOOK_OUTPUT_MAX, Message};
use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
    },
};

/// The host's end.
#[derive(Debug)]
pub(crate) struct Channel(OwnedFd);

/// One record with what came along.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) message: Message,
    pub(crate) fd: Option<OwnedFd>,
    pub(crate) bytes: Vec<u8>,
}

/// What a receive gave.
#[derive(Debug)]
pub(crate) enum Receive {
    Record(Received),
    /// All other ends are closed.
    Closed,
    /// Nothing now.
    Empty,
    /// Something that is no record.
    Garbage,
}

impl Channel {
    /// A pair: the host's end, and the one to hand on.
    pub(crate) fn pair() -> Result<(Self, OwnedFd), Errno> {
        let (host, other) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok((Self(host), other))
    }

    /// Sends a record, with an fd if there is one. Never waits: a full socket is an error (the peer reads each record).
    pub(crate) fn send(&self, message: Message, fd: Option<BorrowedFd<'_>>) -> Result<(), Errno> {
        let bytes = message.to_bytes();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let fds = fd.map(|fd| [fd]);
        if let Some(fds) = &fds {
            ancillary.push(SendAncillaryMessage::ScmRights(fds));
        }
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        loop {
            match rustix::net::sendmsg(&self.0, &[IoSlice::new(&bytes)], &mut ancillary, flags) {
                Err(Errno::INTR) => {}
                result => return result.map(drop),
            }
        }
    }

    /// Takes the next record if there is one.
    pub(crate) fn receive(&self) -> Result<Receive, Errno> {
        let mut bytes = [0u8; Message::SIZE + HOOK_OUTPUT_MAX];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let length = loop {
            let buffers = &mut [IoSliceMut::new(&mut bytes)];
            match rustix::net::recvmsg(&self.0, buffers, &mut ancillary, flags) {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(Receive::Empty),
                Err(Errno::CONNRESET) => return Ok(Receive::Closed),
                Err(errno) => return Err(errno),
                Ok(received) => break received.bytes,
            }
        };
        // More fds than one are dropped, and so closed.
        let mut fd = None;
        for control in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = control {
                fd = fds.into_iter().next().or(fd);
            }
        }
        if length == 0 {
            return Ok(Receive::Closed);
        }
        let (record, rest) = bytes[..length].split_at(length.min(Message::SIZE));
        Ok(match Message::from_bytes(record) {
            Some(message) => Receive::Record(Received { message, fd, bytes: rest.to_vec() }),
            None => Receive::Garbage,
        })
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
impl From<OwnedFd> for Channel {
    /// The other end, for a test that plays init.
    fn from(end: OwnedFd) -> Self {
        Self(end)
    }
}
