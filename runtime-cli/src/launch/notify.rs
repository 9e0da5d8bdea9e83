//! `NOTIFY_SOCKET` (sd_notify(3)): the container gets a socket of its own below the state root, and what it says there
//! is passed to the service manager that started this command.
//!
//! `create` makes the directory and has it mounted; whoever starts the program (`run`, `start`) binds the socket in it
//! and waits for `READY=1`. The directory's name holds a colon, so it is no container's.

use std::{
    env,
    ffi::OsString,
    fs::{self, DirBuilder, Permissions},
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            fs::{DirBuilderExt, PermissionsExt},
            net::{SocketAddr, UnixDatagram},
        },
    },
    path::{Path, PathBuf},
};

use orlop::{Container, Runtime};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    pipe::PipeFlags,
};

use super::socket::send_fd;
use crate::failure::{Failure, Result};

/// Where the container sees the directory.
pub const TARGET: &str = "/run/notify";
/// What its process is told.
pub const ENVIRONMENT: &str = "NOTIFY_SOCKET=/run/notify/notify.sock";
const SOCKET: &str = "notify.sock";
/// How long the service manager may take to answer the barrier (as runc).
const BARRIER_SECS: i64 = 30;

/// The directory, and where the service manager listens.
#[derive(Debug)]
pub struct Proxy {
    dir: PathBuf,
    manager: SocketAddr,
}

/// The socket, bound.
#[derive(Debug)]
pub struct Bound {
    socket: UnixDatagram,
    manager: SocketAddr,
}

impl Proxy {
    /// Makes the directory of a container that is about to be made, if a service manager asked for it.
    pub fn prepare(runtime: &Runtime, id: &str) -> Result<Option<Self>> {
        let Some(manager) = manager()? else { return Ok(None) };
        // The id becomes part of a path before the library has seen it.
        let id: orlop::ContainerId = id.parse()?;
        let dir = dir_of(runtime, id.as_str());
        let made = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(runtime.root())
            .and_then(|()| fs::create_dir(&dir).or_else(accept_existing))
            // Whatever the umask: the process may run as any user.
            .and_then(|()| fs::set_permissions(&dir, Permissions::from_mode(0o755)));
        made.map_err(|error| {
            Failure::io(format_args!("make the directory of the notify socket {}", dir.display()), error)
        })?;
        Ok(Some(Self { dir, manager }))
    }

    /// Binds for `start`, where create made the directory and a service manager asks now.
    pub fn bind_for_start(runtime: &Runtime, id: &str) -> Result<Option<Bound>> {
        let dir = dir_of(runtime, id);
        match manager()? {
            Some(manager) if dir.is_dir() => Self { dir, manager }.bind().map(Some),
            _ => Ok(None),
        }
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Binds the socket.
    pub fn bind(self) -> Result<Bound> {
        let path = self.dir.join(SOCKET);
        let bound = remove_file(&path)
            .and_then(|()| bind_at(&self.dir))
            .and_then(|socket| fs::set_permissions(&path, Permissions::from_mode(0o777)).map(|()| socket));
        let socket = bound
            .map_err(|error| Failure::io(format_args!("bind the notify socket {}", path.display()), error))?;
        Ok(Bound { socket, manager: self.manager })
    }
}

impl Bound {
    /// Waits until the program is ready, and tells the service manager; returns too when the program has ended.
    pub fn wait_until_ready(self, container: &Container) -> Result<()> {
        loop {
            let mut fds = [PollFd::new(&self.socket, PollFlags::IN), PollFd::new(container, PollFlags::IN)];
            match poll(&mut fds, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(Failure::io("wait for the notify socket", errno)),
            }
            let ended = !fds[1].revents().is_empty();
            if self.pass_on(container.pid())? || ended {
                return Ok(());
            }
        }
    }

    /// Reads what is there; true once `READY=` was passed on.
    pub fn pass_on(&self, main_pid: i32) -> Result<bool> {
        let mut datagram = [0; 4096];
        loop {
            let length = match self.socket.recv(&mut datagram) {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(Failure::io("read from the notify socket", error)),
            };
            if let Some(line) =
                datagram[..length].split(|byte| *byte == b'\n').find(|line| line.starts_with(b"READY="))
            {
                self.tell_manager(line, main_pid)
                    .map_err(|error| Failure::io("tell the service manager of $NOTIFY_SOCKET", error))?;
                return Ok(true);
            }
        }
    }

    fn tell_manager(&self, ready: &[u8], main_pid: i32) -> io::Result<()> {
        let manager = UnixDatagram::unbound()?;
        manager.connect_addr(&self.manager)?;
        manager.send(ready)?;
        manager.send(format!("MAINPID={main_pid}").as_bytes())?;
        barrier(&manager.into())
    }
}

impl AsFd for Bound {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Waits until the manager has read what was sent: it closes the pipe then. One that does not know barriers drops the
/// message and so closes the pipe too.
fn barrier(manager: &OwnedFd) -> io::Result<()> {
    let (read_end, write_end) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    send_fd(manager, b"BARRIER=1", write_end.as_fd())?;
    drop(write_end);
    let timeout = Timespec { tv_sec: BARRIER_SECS, tv_nsec: 0 };
    let mut fds = [PollFd::new(&read_end, PollFlags::IN)];
    rustix::io::retry_on_intr(|| poll(&mut fds, Some(&timeout)))?;
    if !fds[0].revents().is_empty() {
        // Only the end can come.
        rustix::io::read(&read_end, &mut [0_u8; 1])?;
    }
    Ok(())
}

/// Removes the directory after the container. It is normally not there, and if it stays the next create reuses it.
pub fn remove(runtime: &Runtime, id: &str) {
    if id.contains('/') {
        return;
    }
    let dir = dir_of(runtime, id);
    match remove_file(&dir.join(SOCKET)).and_then(|()| fs::remove_dir(&dir)) {
        Ok(()) | Err(_) => {}
    }
}

fn dir_of(runtime: &Runtime, id: &str) -> PathBuf {
    runtime.root().join(format!("{id}:notify"))
}

fn accept_existing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) }
}

fn remove_file(path: &Path) -> io::Result<()> {
    fs::remove_file(path)
        .or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// Binds by way of the directory's fd: a socket address has room for 107 bytes only, and ids may be longer.
fn bind_at(dir: &Path) -> io::Result<UnixDatagram> {
    use std::os::fd::AsRawFd;
    let dir = fs::File::open(dir)?;
    let socket = UnixDatagram::bind(format!("/proc/self/fd/{}/{SOCKET}", dir.as_raw_fd()))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// The address in `NOTIFY_SOCKET`: a path, or a name of the abstract namespace after `@`.
fn manager() -> Result<Option<SocketAddr>> {
    address_of(env::var_os("NOTIFY_SOCKET"))
}

fn address_of(variable: Option<OsString>) -> Result<Option<SocketAddr>> {
    let Some(name) = variable.filter(|name| !name.is_empty()) else { return Ok(None) };
    let address = match name.as_bytes() {
        [b'/', ..] => SocketAddr::from_pathname(&name),
        [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest),
        _ => {
            return Err(Failure::new(format!(
                "NOTIFY_SOCKET={} is not a unix socket",
                name.to_string_lossy()
            )));
        }
    };
    address
        .map(Some)
        .map_err(|error| Failure::io(format_args!("NOTIFY_SOCKET={}", name.to_string_lossy()), error))
}

#[cfg(test)]
mod tests {
    use super::address_of;

    #[test]
    fn only_unix_sockets_are_notified() {
        assert!(address_of(None).expect("unset").is_none());
        assert!(address_of(Some("".into())).expect("empty").is_none());
        assert!(address_of(Some("/run/systemd/notify".into())).expect("path").is_some());
        assert!(address_of(Some("@abstract".into())).expect("abstract").is_some());
        assert!(address_of(Some("vsock:2:1234".into())).is_err());
    }
}
