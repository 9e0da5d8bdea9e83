//! What `exec` does with its options: the process, its terminal, and what its caller is handed.

use std::{
    ffi::OsStr,
    fs::File,
    io::Read,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use orlop::{Container, Deadline, ExecOptions, ExecProcess, Stdio};

use super::{
    FdSocket, InheritedFds, Mode, PidFile, check_terminal,
    flags::{self, exec as options},
};
use crate::{
    args::Parsed,
    failure::{Failure, Result},
    log::Log,
};

/// A process object is read whole; those of engines have a few KiB.
const PROCESS_MAX: u64 = 16 << 20;

/// An exec about to be made.
#[derive(Debug)]
pub struct ExecLaunch {
    options: ExecOptions,
    console_socket: Option<FdSocket>,
    pidfd_socket: Option<FdSocket>,
    pid_file: Option<PidFile>,
    inherited: InheritedFds,
}

/// A process that runs, with what its caller is still to be handed.
#[derive(Debug)]
pub struct ExecLaunched {
    /// The process.
    pub process: ExecProcess,
    console: Option<OwnedFd>,
    console_socket: Option<FdSocket>,
    pidfd_socket: Option<FdSocket>,
    pid_file: Option<PidFile>,
}

impl ExecLaunch {
    /// Understands the options and opens what they name.
    pub fn from_args(args: &Parsed, mode: Mode) -> Result<Self> {
        let path = |flag| args.value(flag).filter(|path| !path.is_empty());
        let (program, terminal) = match path(&options::PROCESS) {
            Some(file) => process_of_file(Path::new(file))?,
            None => (command(args)?, args.is_set(&options::TTY)),
        };
        check_terminal(mode, terminal, path(&flags::CONSOLE_SOCKET).is_some())?;
        let inherited = InheritedFds::preserved(args.value(&flags::PRESERVE_FDS))?;
        let cgroups = args.values(&options::CGROUP);
        let program = cgroups.fold(program, |program, cgroup| program.cgroup(cgroup.to_string_lossy()));
        let socket = |flag, what| {
            let path = path(flag).map(Path::new);
            path.map(|path| FdSocket::connect(what, path)).transpose()
        };
        Ok(Self {
            options: program
                .ignore_paused(args.is_set(&options::IGNORE_PAUSED))
                .preserved_fds(inherited.count()),
            console_socket: socket(&flags::CONSOLE_SOCKET, "console socket")?,
            pidfd_socket: socket(&flags::PIDFD_SOCKET, "pidfd socket")?,
            pid_file: path(&flags::PID_FILE).map(PidFile::new).transpose()?,
            inherited,
        })
    }

    /// Runs the process; it was executed when this returns.
    pub fn exec(self, container: &Container, log: &Log) -> Result<ExecLaunched> {
        let stdio = Stdio::inherit().preserve(self.inherited.into_fds()?);
        let executed = container.exec(&self.options, stdio, Deadline::never())?;
        for warning in &executed.warnings {
            log.debug(|| warning.to_string());
        }
        Ok(ExecLaunched {
            process: executed.process,
            console: executed.console,
            console_socket: self.console_socket,
            pidfd_socket: self.pidfd_socket,
            pid_file: self.pid_file,
        })
    }
}

impl ExecLaunched {
    /// The terminal, for a command that stays in the foreground.
    pub fn take_console(&mut self) -> Option<OwnedFd> {
        self.console.take()
    }

    /// Goes on with the process, and ends it when that fails.
    pub fn or_undo<T>(mut self, then: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let outcome = then(&mut self);
        if outcome.is_err() {
            // It may have ended; as our child it leaves no zombie once we end.
            match self.process.kill(9) {
                Ok(()) | Err(_) => {}
            }
        }
        outcome
    }

    /// Sends the terminal and the pidfd and writes the pid file: the last thing, since engines take the file for the
    /// sign that the program runs.
    pub fn hand_over(&mut self) -> Result<()> {
        if let (Some(socket), Some(console)) = (self.console_socket.take(), self.console.take()) {
            socket.send(b"/dev/ptmx", console.as_fd())?;
        }
        if let Some(socket) = self.pidfd_socket.take() {
            socket.send(b"setns", self.process.as_fd())?;
        }
        match &self.pid_file {
            Some(pid_file) => pid_file.write(self.process.pid()),
            None => Ok(()),
        }
    }
}

/// `--process`: the object, and whether it asks for a terminal. All that is wrong with it is told by the library.
fn process_of_file(path: &Path) -> Result<(ExecOptions, bool)> {
    let failed = |error| Failure::io(format_args!("open {}", path.display()), error);
    let mut json = Vec::new();
    File::open(path).and_then(|file| file.take(PROCESS_MAX).read_to_end(&mut json)).map_err(failed)?;
    let terminal = serde_json::from_slice(&json)
        .is_ok_and(|process: serde_json::Value| process["terminal"] == serde_json::Value::Bool(true));
    Ok((ExecOptions::from_process(json), terminal))
}

/// The container's process with another command and what the options change.
fn command(args: &Parsed) -> Result<ExecOptions> {
    let words = args.operands.iter().skip(1).map(|word| text(word, "argument"));
    let mut process = ExecOptions::command(words.collect::<Result<Vec<_>>>()?);
    for entry in args.values(&options::ENV) {
        process = process.env(text(entry, "environment entry")?);
    }
    if let Some(cwd) = args.value(&options::CWD).filter(|cwd| !cwd.is_empty()) {
        process = process.cwd(cwd);
    }
    if let Some(user) = args.value(&options::USER).filter(|user| !user.is_empty()) {
        let user = user.to_string_lossy();
        let (uid, gid) = user.split_once(':').map_or((&*user, None), |(uid, gid)| (uid, Some(gid)));
        // As they are looked at by runc: the group first.
        let gid = gid.map(|gid| id(gid, "bad gid")).transpose()?;
        process = process.user(id(uid, "bad uid")?, gid);
    }
    for gid in args.values(&options::ADDITIONAL_GIDS) {
        let gid = gid.to_string_lossy();
        process = process.additional_gid(id(&gid, "additional-gids must be positive numbers")?);
    }
    for capability in args.values(&options::CAP) {
        process = process.capability(capability.to_string_lossy());
    }
    if let Some(on) = args.value(&options::NO_NEW_PRIVS) {
        process = process.no_new_privileges(on == "true");
    }
    if let Some(profile) = args.value(&options::APPARMOR) {
        process = process.apparmor_profile(profile.to_string_lossy());
    }
    if let Some(label) = args.value(&options::PROCESS_LABEL) {
        process = process.selinux_label(label.to_string_lossy());
    }
    Ok(process.terminal(args.is_set(&options::TTY)))
}

/// JSON, and so a configuration, has no other texts.
fn text(word: &OsStr, what: &str) -> Result<String> {
    word.to_str()
        .map(str::to_owned)
        .ok_or_else(|| Failure::new(format!("{what} {:?} is not UTF-8", word.to_string_lossy())))
}

/// Digits and nothing else: what merely begins with digits must not become another user (CVE-2026-30892).
fn id(word: &str, complaint: &str) -> Result<u32> {
    let digits = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    // The largest number means "none" to the kernel.
    let number = word.parse().ok().filter(|&number| digits && number != u32::MAX);
    number.ok_or_else(|| Failure::new(format!("{complaint}: {word:?} is no number from 0 to 4294967294")))
}

#[cfg(test)]
mod tests {
    use super::id;

    #[test]
    fn ids_are_digits_and_nothing_else() {
        for (word, number) in [("0", Some(0)), ("1000", Some(1000)), ("4294967294", Some(4_294_967_294))] {
            assert_eq!(id(word, "").ok(), number, "{word}");
        }
        for word in ["", "-1", "+1", "1x", "0x1", " 1", "root", "4294967295", "99999999999"] {
            assert!(id(word, "bad uid").is_err(), "{word}");
        }
    }
}
