//! The listener of a filter (seccomp_unotify(2)): fetched from init, sent to the agent of the configuration.

use std::{
    io::IoSlice,
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags,
        SocketType, sockopt,
    },
};
use serde::Serialize;

use orlop_init::wire::message::Barrier;

use super::{Creation, HookState, Process};
use crate::{Error, ErrorKind, Result, Status, plan::step::When, state::Record, sys::pidfd::Ended};

/// How long an agent may take to accept.
const AGENT_WAIT: Duration = Duration::from_secs(10);

/// What the kernel calls such an fd in /proc.
const LISTENER: &str = "anon_inode:seccomp notify";

/// The container process state of config-linux.md.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProcessState<'a> {
    oci_version: &'a str,
    fds: [&'static str; 1],
    pid: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a str>,
    state: HookState<'a>,
}

/// Who is told of which process.
struct Agent<'a> {
    path: &'a Path,
    metadata: Option<&'a str>,
    record: &'a Record,
    /// Of the container, and its first process.
    container: (Status, i32),
    /// The process under the filter: the first one, or one of exec.
    pid: i32,
    deadline: Option<Instant>,
}

impl Creation<'_> {
    /// Init goes on at once: it waits for the agent where it makes a call that is notified. The agent is told of the
    /// process that will execute the program, so after the last clone.
    pub(super) fn take_listener(&mut self, fd: Option<OwnedFd>, number: i32) -> Result<()> {
        let Some(process) = self.conversation()?.speaker() else {
            return Err(Error::new(ErrorKind::Kernel, "init is gone"));
        };
        let listener = take(process, fd, number).map_err(|error| match self.end_of_init() {
            Ended::Unknown => error,
            // The filter may have killed it for the very next call.
            ended => self.died(ended),
        })?;
        self.made.listener = Some(listener);
        let (deadline, clones) = (self.deadline, self.plan.clones_before(u32::MAX));
        self.conversation()?.proceed(Barrier::Listener)?;
        if self.conversation()?.await_clones(clones, deadline)? {
            self.record_speaker()?;
            self.run_steps(When::At(Barrier::Listener))?;
        }
        // Else it failed, which is told next.
        Ok(())
    }

    /// Sends what was taken to the agent.
    pub(super) fn send_listener(&mut self, path: &Path, metadata: Option<&str>) -> Result<()> {
        let Some(listener) = self.made.listener.take() else {
            return Err(Error::new(ErrorKind::Kernel, "init sent no seccomp listener"));
        };
        let pid = self.conversation()?.speaker().map_or(0, |process| process.pid);
        let container = match self.exec() {
            Some(exec) => (Status::Running, exec.init),
            None => (Status::Creating, pid),
        };
        let (record, deadline) = (&self.record, self.deadline.instant());
        send(&listener, &Agent { path, metadata, record, container, pid, deadline })
    }
}

/// The listener, if it is one: what joined an existing pid namespace may be steered by its members.
fn take(process: &Process, fd: Option<OwnedFd>, number: i32) -> Result<OwnedFd> {
    let flags = rustix::process::PidfdGetfdFlags::empty();
    let fd = fd.map_or_else(|| rustix::process::pidfd_getfd(&process.pidfd, number, flags), Ok);
    let fd = fd.map_err(|errno| {
        let error = Error::from_errno("cannot fetch the seccomp listener from init", errno.raw_os_error());
        error.with_config_path("linux.seccomp")
    })?;
    let link = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&fd));
    match rustix::fs::readlink(link, Vec::new()) {
        Ok(target) if target.as_bytes() == LISTENER.as_bytes() => Ok(fd),
        // Without /proc nothing else of a create works either.
        _ => Err(Error::new(ErrorKind::Kernel, "init sent something that is no seccomp listener")),
    }
}

/// Connects, sends one message with the listener, closes.
fn send(listener: &OwnedFd, agent: &Agent<'_>) -> Result<()> {
    let Agent { path, record, container: (status, init), .. } = *agent;
    let state = ProcessState {
        oci_version: &record.oci_version,
        fds: ["seccompFd"],
        pid: agent.pid,
        metadata: agent.metadata,
        state: HookState::new(record, status, Some(init)),
    };
    let state = serde_json::to_vec(&state).map_err(|source| {
        Error::new(ErrorKind::StateCorrupt, "the state cannot be written as JSON").with_source(source)
    })?;
    let failed = |attempted: String| {
        move |errno: Errno| {
            let errno = match errno {
                Errno::AGAIN => Errno::TIMEDOUT,
                errno => errno,
            };
            let error = Error::from_errno(attempted, errno.raw_os_error());
            error.with_path(path).with_config_path("linux.seccomp.listenerPath")
        }
    };
    let connected = connect(path, agent.deadline);
    let socket = connected.map_err(failed(format!(
        "failed to connect with seccomp agent specified in the seccomp profile: dial unix {}",
        path.display()
    )))?;
    let sent = send_with_fd(&socket, &state, listener.as_fd());
    sent.map_err(failed(format!("cannot send seccomp fd to {}", path.display())))
}

/// Both connect and send wait for at most the socket's timeout (socket(7), SO_SNDTIMEO), told as EAGAIN.
fn connect(path: &Path, deadline: Option<Instant>) -> Result<OwnedFd, Errno> {
    let address = SocketAddrUnix::new(path)?;
    let socket =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    // 0 would be no limit.
    let wait = left.into_iter().chain([AGENT_WAIT]).min().unwrap_or(AGENT_WAIT).max(Duration::from_millis(1));
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(wait))?;
    loop {
        match rustix::net::connect(&socket, &address) {
            Err(Errno::INTR) => {}
            answer => return answer.map(|()| socket),
        }
    }
}

fn send_with_fd(socket: &OwnedFd, bytes: &[u8], fd: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let fds = [fd];
    ancillary.push(SendAncillaryMessage::ScmRights(&fds));
    let mut rest = bytes;
    while !rest.is_empty() {
        match rustix::net::sendmsg(socket, &[IoSlice::new(rest)], &mut ancillary, SendFlags::NOSIGNAL) {
            Ok(sent) => {
                rest = rest.get(sent..).unwrap_or_default();
                ancillary.clear();
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
