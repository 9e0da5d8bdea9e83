//! The other end of `--console-socket`: takes the terminal that a runtime sends.

use std::{
    fs::File,
    io::IoSliceMut,
    os::{
        fd::OwnedFd,
        unix::net::{UnixListener, UnixStream},
    },
    path::PathBuf,
    time::Duration,
};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use crate::{host::TempDir, runtime::readable};

/// A listening socket in a folder of its own.
#[derive(Debug)]
pub struct ConsoleSocket {
    folder: TempDir,
    listener: UnixListener,
}

impl ConsoleSocket {
    /// Listens.
    ///
    /// # Panics
    /// When the socket cannot be made.
    #[must_use]
    pub fn new() -> Self {
        let folder = TempDir::new("console");
        let listener = UnixListener::bind(folder.path().join("socket"));
        Self { listener: listener.unwrap_or_else(|error| panic!("cannot listen: {error}")), folder }
    }

    /// What `--console-socket` is given.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// The terminal's master, and the text that came with it (runc sends the slave's name).
    ///
    /// # Panics
    /// When nobody sends one in time.
    #[must_use]
    pub fn receive(&self, deadline: Duration) -> (File, String) {
        assert!(readable(&self.listener, deadline), "no terminal was sent to {}", self.path().display());
        let (stream, _) = self.listener.accept().unwrap_or_else(|error| panic!("accept: {error}"));
        assert!(readable(&stream, deadline), "somebody connected and sent no terminal");
        let (fd, text) = receive_fd(&stream);
        (File::from(fd.unwrap_or_else(|| panic!("a message without terminal: {text}"))), text)
    }
}

impl Default for ConsoleSocket {
    fn default() -> Self {
        Self::new()
    }
}

/// One message with at most one fd.
fn receive_fd(stream: &UnixStream) -> (Option<OwnedFd>, String) {
    let mut bytes = [0; 4096];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(stream, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)
        .unwrap_or_else(|error| panic!("recvmsg: {error}"));
    let mut fds = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
        _ => None,
    });
    let fd = fds.next().and_then(|mut fds| fds.next());
    (fd, String::from_utf8_lossy(&bytes[..received.bytes]).into_owned())
}
