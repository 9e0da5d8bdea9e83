//! What `create` and `run` share: everything from the arguments to a created container, and what its caller is handed
//! then: terminal, pidfd, pid file. What can be refused is refused before anything is made.

mod exec;
pub mod flags;
mod inherited_fds;
pub mod notify;
mod pid_file;
mod socket;

pub use exec::{ExecLaunch, ExecLaunched};

use std::{
    ffi::OsStr,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use orlop::{Bundle, Container, CreateOptions, Deadline, Delete, Runtime, Stdio};

use self::{inherited_fds::InheritedFds, pid_file::PidFile, socket::FdSocket};
use crate::{
    args::Parsed,
    commands::PATIENCE,
    failure::{Failure, Result},
    global::{CgroupManager, Globals},
};

/// Whether the command stays with the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It returns: a terminal needs a socket.
    Detached,
    /// It waits: a terminal is its own.
    Foreground,
}

/// A container about to be made.
#[derive(Debug)]
pub struct Launch<'a> {
    globals: &'a Globals,
    runtime: Runtime,
    id: String,
    bundle: Bundle,
    console_socket: Option<FdSocket>,
    pidfd_socket: Option<FdSocket>,
    pid_file: Option<PidFile>,
    inherited: InheritedFds,
    no_pivot: bool,
    no_new_keyring: bool,
    /// Whether a service manager that started us is to be told.
    notify: bool,
}

impl<'a> Launch<'a> {
    /// Understands the options and opens what they name.
    pub fn from_args(globals: &'a Globals, args: &Parsed, mode: Mode) -> Result<Self> {
        globals.check_cgroup_manager()?;
        let bundle = Bundle::open(args.value(&flags::BUNDLE).unwrap_or(OsStr::new(".")))?;
        let console_path = args.value(&flags::CONSOLE_SOCKET).filter(|path| !path.is_empty());
        check_terminal(mode, bundle.terminal(), console_path.is_some())?;
        let socket = |flag, what| {
            let path = args.value(flag).filter(|path| !path.is_empty()).map(Path::new);
            path.map(|path| FdSocket::connect(what, path)).transpose()
        };
        let pidfd_socket = match socket(&flags::PIDFD_SOCKET, "pidfd socket")? {
            None => {
                let receiver = bundle.pidfd_receiver();
                receiver.map(|path| FdSocket::connect("pidfd receiver", path)).transpose()?
            }
            socket => socket,
        };
        Ok(Self {
            console_socket: socket(&flags::CONSOLE_SOCKET, "console socket")?,
            pidfd_socket,
            pid_file: args
                .value(&flags::PID_FILE)
                .filter(|path| !path.is_empty())
                .map(PidFile::new)
                .transpose()?,
            inherited: InheritedFds::find(args.value(&flags::PRESERVE_FDS))?,
            no_pivot: args.is_set(&flags::NO_PIVOT),
            no_new_keyring: args.is_set(&flags::NO_NEW_KEYRING),
            notify: true,
            id: args.operand(0).into_owned(),
            runtime: globals.runtime_to_create()?,
            bundle,
            globals,
        })
    }

    /// A container of a bundle that no caller knows of (`try`).
    pub fn internal(globals: &'a Globals, runtime: Runtime, id: &str, bundle: Bundle) -> Self {
        Self {
            globals,
            runtime,
            id: id.to_owned(),
            bundle,
            console_socket: None,
            pidfd_socket: None,
            pid_file: None,
            inherited: InheritedFds::none(),
            no_pivot: false,
            no_new_keyring: false,
            notify: false,
        }
    }

    /// Makes the container.
    pub fn create(self, options: CreateOptions) -> Result<Launched> {
        let mut options = options
            .no_pivot(self.no_pivot)
            .no_new_keyring(self.no_new_keyring)
            .preserved_fds(self.inherited.count())
            .without_cgroup(self.globals.cgroup_manager == CgroupManager::Disabled);
        if self.globals.rootless.is_some() {
            options = options.rootless(self.globals.rootless);
        }
        for entry in self.inherited.environment() {
            options = options.env(entry);
        }
        let notify = if self.notify { notify::Proxy::prepare(&self.runtime, &self.id)? } else { None };
        if let Some(notify) = &notify {
            options = options.env(notify::ENVIRONMENT).bind(notify.dir(), notify::TARGET);
        }
        let prepared = self.runtime.prepare(&self.id, self.bundle, options)?;
        for warning in prepared.warnings() {
            self.globals.log.warn(&warning.to_string());
        }
        self.globals.log.debug(|| prepared.explain());
        let stdio = Stdio::inherit().preserve(self.inherited.into_fds()?);
        let created = self.runtime.create(prepared, stdio, Deadline::never())?;
        Ok(Launched {
            runtime: self.runtime,
            container: created.container,
            console: created.console,
            console_socket: self.console_socket,
            pidfd_socket: self.pidfd_socket,
            pid_file: self.pid_file,
            notify,
        })
    }
}

/// Terminals need somebody who holds the other end.
fn check_terminal(mode: Mode, terminal: bool, socket: bool) -> Result<()> {
    match (mode, terminal, socket) {
        (Mode::Detached, true, false) => {
            Err(Failure::new("cannot allocate tty if runc will detach without setting console socket")
                .with_hint("pass --console-socket, or set process.terminal to false in config.json"))
        }
        (Mode::Detached, false, true) | (Mode::Foreground, _, true) => {
            Err(Failure::new("cannot use console socket if runc will not detach or allocate tty"))
        }
        _ => Ok(()),
    }
}

/// A created container with what its caller is still to be handed.
#[derive(Debug)]
pub struct Launched {
    /// Where it is kept.
    pub runtime: Runtime,
    /// The container.
    pub container: Container,
    console: Option<OwnedFd>,
    console_socket: Option<FdSocket>,
    pidfd_socket: Option<FdSocket>,
    pid_file: Option<PidFile>,
    notify: Option<notify::Proxy>,
}

impl Launched {
    /// The terminal, for a command that stays in the foreground.
    pub fn take_console(&mut self) -> Option<OwnedFd> {
        self.console.take()
    }

    /// Sends the terminal and the pidfd and writes the pid file: the last thing, since engines take the file for the
    /// sign that all is done.
    pub fn hand_over(&mut self) -> Result<()> {
        if let (Some(socket), Some(console)) = (self.console_socket.take(), self.console.take()) {
            socket.send(b"/dev/ptmx", console.as_fd())?;
        }
        if let Some(socket) = self.pidfd_socket.take() {
            socket.send(b"standard", self.container.as_fd())?;
        }
        match &self.pid_file {
            Some(pid_file) => pid_file.write(self.container.pid()),
            None => Ok(()),
        }
    }

    /// Binds the notify socket, for a command that starts the program too.
    pub fn bind_notify_socket(&mut self) -> Result<Option<notify::Bound>> {
        self.notify.take().map(notify::Proxy::bind).transpose()
    }

    /// Goes on with the container, and removes it when that fails.
    pub fn or_undo<T>(mut self, then: impl FnOnce(&mut Self) -> Result<T>) -> Result<(Self, T)> {
        let outcome = then(&mut self);
        match outcome {
            Ok(value) => Ok((self, value)),
            Err(failure) => Err(self.undo(failure)),
        }
    }

    fn undo(self, mut failure: Failure) -> Failure {
        let deadline = Deadline::after(PATIENCE);
        let id = self.container.id().as_str();
        if let Err(error) = self.runtime.delete(id, Delete::Force, deadline) {
            failure.attach_cleanup(&Failure::from(error));
        }
        notify::remove(&self.runtime, id);
        failure
    }
}

#[cfg(test)]
mod tests {
    use super::{Mode, check_terminal};

    #[test]
    fn terminals_and_sockets_combine_as_in_runc() {
        for (mode, terminal, socket, words) in [
            (Mode::Detached, true, true, None),
            (
                Mode::Detached,
                true,
                false,
                Some("cannot allocate tty if runc will detach without setting console socket"),
            ),
            (Mode::Detached, false, false, None),
            (
                Mode::Detached,
                false,
                true,
                Some("cannot use console socket if runc will not detach or allocate tty"),
            ),
            (Mode::Foreground, true, false, None),
            (
                Mode::Foreground,
                true,
                true,
                Some("cannot use console socket if runc will not detach or allocate tty"),
            ),
            (
                Mode::Foreground,
                false,
                true,
                Some("cannot use console socket if runc will not detach or allocate tty"),
            ),
            (Mode::Foreground, false, false, None),
        ] {
            let seen = check_terminal(mode, terminal, socket).err().map(|failure| failure.line());
            assert_eq!(seen.as_deref(), words, "{mode:?} {terminal} {socket}");
        }
    }
}
