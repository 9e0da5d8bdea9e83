//! A seccomp agent: the other end of `linux.seccomp.listenerPath` (config-linux.md, containerprocessstate;
//! seccomp_unotify(2)).

use std::{fs::File, os::fd::AsFd, path::PathBuf, time::Duration};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    ioctl::{Opcode, Updater, ioctl, opcode},
};
use serde_json::Value;

use crate::ConsoleSocket;

const MAGIC: u8 = b'!';
const NOTIF_RECV: Opcode = opcode::read_write::<Notification>(MAGIC, 0);
const NOTIF_SEND: Opcode = opcode::read_write::<Response>(MAGIC, 1);
const FLAG_CONTINUE: u32 = 1;

/// `struct seccomp_notif`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Notification {
    id: u64,
    pid: u32,
    flags: u32,
    number: i32,
    arch: u32,
    instruction: u64,
    args: [u64; 6],
}

/// `struct seccomp_notif_resp`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Response {
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
}

/// A listening agent.
#[derive(Debug, Default)]
pub struct Agent {
    // A runtime sends a terminal's master in the same way.
    socket: ConsoleSocket,
}

/// What an agent answers to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is carried out.
    Continue,
    /// It fails so.
    Errno(Errno),
}

impl Agent {
    /// Listens.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What `listenerPath` is given.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.socket.path()
    }

    /// The listener that a runtime sends, and the state that comes with it.
    ///
    /// # Panics
    /// When nobody sends one in time, or no JSON with it.
    #[must_use]
    pub fn receive(&self, deadline: Duration) -> (File, Value) {
        let (listener, text) = self.socket.receive(deadline);
        let state = serde_json::from_str(&text);
        (listener, state.unwrap_or_else(|error| panic!("the state is no JSON ({error}): {text}")))
    }
}

/// Answers for all calls until every process under the filter has ended; how often it was asked for each number.
///
/// # Panics
/// When nothing happens for as long as the deadline.
pub fn answer_all(listener: &File, deadline: Duration, answer: impl Fn(i32) -> Answer) -> Vec<i32> {
    let mut asked = Vec::new();
    loop {
        let timeout = Timespec::try_from(deadline).ok();
        let mut fds = [PollFd::new(listener, PollFlags::IN)];
        match poll(&mut fds, timeout.as_ref()) {
            Err(Errno::INTR) => continue,
            Ok(1..) => {}
            other => panic!("the listener is silent: {other:?}, after {asked:?}"),
        }
        if fds[0].revents().contains(PollFlags::HUP) {
            return asked;
        }
        let mut notification = Notification::default();
        match update::<NOTIF_RECV, _>(listener, &mut notification) {
            // The caller was interrupted or killed meanwhile.
            Err(Errno::NOENT | Errno::INTR) => continue,
            result => result.unwrap_or_else(|error| panic!("SECCOMP_IOCTL_NOTIF_RECV: {error}")),
        }
        asked.push(notification.number);
        let (error, flags) = match answer(notification.number) {
            Answer::Continue => (0, FLAG_CONTINUE),
            Answer::Errno(errno) => (-errno.raw_os_error(), 0),
        };
        let mut response = Response { id: notification.id, value: 0, error, flags };
        match update::<NOTIF_SEND, _>(listener, &mut response) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => panic!("SECCOMP_IOCTL_NOTIF_SEND: {error}"),
        }
    }
}

fn update<const REQUEST: Opcode, T>(fd: impl AsFd, value: &mut T) -> Result<(), Errno> {
    // SAFETY: both requests read and write the structure that they are defined with, which `T` is.
    unsafe { ioctl(fd, Updater::<REQUEST, T>::new(value)) }
}
