//! Hooks in the runtime's namespaces: `prestart`, `createRuntime`, `poststart`, `poststop`.
//!
//! A hook is started like a container's program, through the launcher: it leads a session of its own, gets no fd but
//! 0, 1, 2, and its start costs nothing of the caller's memory.

use std::{
    ffi::CString,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    time::{Duration, Instant},
};

use orlop_init::wire::{OwnedOp, message::HOOK_OUTPUT_MAX};
use rustix::{
    event::{PollFd, PollFlags},
    io::Errno,
    pipe::PipeFlags,
};
use serde::Serialize;

use super::{Conversation, conversation::Event, launcher::Launcher};
use crate::{
    Error, ErrorKind, Result, Status, Stdio,
    plan::step::HookKind,
    state::{HookRecord, Record},
    sys::pidfd::{self, Ended},
};

/// The state as hooks read it on stdin (runtime.md, State): one compact object.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HookState<'a> {
    oci_version: &'a str,
    id: &'a str,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<i32>,
    bundle: &'a Path,
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    annotations: &'a std::collections::BTreeMap<String, String>,
}

/// Which hooks, and what they are told.
#[derive(Clone, Copy)]
pub(crate) struct HookCall<'a> {
    pub(crate) kind: HookKind,
    pub(crate) record: &'a Record,
    pub(crate) status: Status,
    pub(crate) pid: Option<i32>,
    /// Of the whole command; each hook may have a shorter one.
    pub(crate) deadline: Option<Instant>,
}

/// Runs hooks one after the other; the first failure ends it.
pub(crate) fn run_hooks(launcher: &Launcher, hooks: &[HookRecord], call: HookCall<'_>) -> Result<()> {
    if hooks.is_empty() {
        return Ok(());
    }
    let record = call.record;
    let state = HookState {
        oci_version: &record.oci_version,
        id: &record.id,
        status: call.status,
        pid: call.pid,
        bundle: &record.bundle,
        annotations: &record.annotations,
    };
    let state = serde_json::to_vec(&state).map_err(|source| {
        Error::new(ErrorKind::StateCorrupt, "the state cannot be written as JSON").with_source(source)
    })?;
    hooks.iter().enumerate().try_for_each(|(index, hook)| {
        let name = call.kind.name();
        // A time beyond what the clock can tell is no limit.
        let own = hook.timeout_secs.and_then(|secs| Instant::now().checked_add(Duration::from_secs(secs)));
        let limit = own.into_iter().chain(call.deadline).min();
        Running::start(launcher, hook, &record.bundle, limit)
            .and_then(|running| running.finish(&state, limit))
            .map_err(|error| {
                let is_over = call.deadline.is_some_and(|deadline| Instant::now() >= deadline);
                let error = match hook.timeout_secs {
                    Some(secs) if error.kind() == ErrorKind::Timeout && !is_over => Error::new(
                        ErrorKind::HookFailed,
                        format!("hook ran past specified timeout of {secs}.0s"),
                    ),
                    _ => error,
                };
                let kind = if is_over { ErrorKind::Timeout } else { ErrorKind::HookFailed };
                error
                    .context(format_args!("error running {name} hook #{index}"))
                    .with_kind(kind)
                    .with_path(&hook.path)
                    .with_config_path(format!("hooks.{name}[{index}]"))
            })
    })
}

/// A hook's process with our ends of its pipes.
struct Running {
    pid: i32,
    pidfd: OwnedFd,
    stdin: Option<OwnedFd>,
    stdout: Output,
    stderr: Output,
}

/// One of its outputs, the first bytes kept.
struct Output {
    pipe: Option<OwnedFd>,
    kept: Vec<u8>,
}

impl Output {
    /// Reads what is there; the pipe goes at its end.
    fn drain(&mut self) {
        let Some(pipe) = &self.pipe else { return };
        let mut buffer = [0u8; 4096];
        loop {
            match rustix::io::read(pipe, &mut buffer) {
                Ok(0) => break,
                Ok(length) => {
                    let room = HOOK_OUTPUT_MAX.saturating_sub(self.kept.len());
                    self.kept.extend_from_slice(&buffer[..length.min(room)]);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => break,
            }
        }
        self.pipe = None;
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.kept).trim_end().replace('\n', "\\n")
    }
}

fn text(string: impl AsRef<[u8]>) -> Result<CString> {
    CString::new(string.as_ref()).map_err(|source| {
        Error::new(ErrorKind::InvalidConfig, "a NUL byte in a string for the kernel").with_source(source)
    })
}

fn texts<S: AsRef<[u8]>>(strings: impl IntoIterator<Item = S>) -> Result<Vec<CString>> {
    strings.into_iter().map(text).collect()
}

/// The steps of a hook's process.
fn hook_ops(hook: &HookRecord, cwd: &Path) -> Result<Vec<OwnedOp>> {
    let path = text(hook.path.as_os_str().as_bytes())?;
    let args = match hook.args.as_slice() {
        [] => vec![path.clone()],
        args => texts(args)?,
    };
    let env = match &hook.env {
        Some(env) => texts(env)?,
        // The specification is silent; scripts count on PATH, and other runtimes hand on their own.
        None => std::env::vars_os()
            .map(|(name, value)| text([name.as_bytes(), b"=", value.as_bytes()].concat()))
            .collect::<Result<_>>()?,
    };
    Ok(vec![
        OwnedOp::NewSession {},
        OwnedOp::Chdir { path: text(cwd.as_os_str().as_bytes())? },
        OwnedOp::FindExecutable { name: path, search: CString::default() },
        OwnedOp::Exec { args, env, home_of: u32::MAX, preserved_fds: 0, ignored_signals: 0 },
    ])
}

fn pipe_error(errno: Errno) -> Error {
    Error::from_errno("cannot make a pipe", errno.raw_os_error())
}

impl Running {
    fn start(launcher: &Launcher, hook: &HookRecord, cwd: &Path, limit: Option<Instant>) -> Result<Self> {
        let pipe = || rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(pipe_error);
        let ((stdin, our_stdin), (our_stdout, stdout), (our_stderr, stderr)) = (pipe()?, pipe()?, pipe()?);
        for ours in [&our_stdin, &our_stdout, &our_stderr] {
            rustix::fs::fcntl_setfl(ours, rustix::fs::OFlags::NONBLOCK).map_err(pipe_error)?;
        }
        let ops = hook_ops(hook, cwd)?;
        let (launched, channel) = launcher.launch(ops.iter(), &Stdio::fds(stdin, stdout, stderr), &[], 0)?;
        let mut conversation = Conversation::new(launched, channel);
        let event = conversation.await_exec(limit);
        match event {
            Ok(Event::Executing) => {}
            Ok(Event::Failed(failure)) => {
                conversation.kill();
                return Err(Error::from_errno(format!("fork/exec {}", hook.path.display()), failure.errno));
            }
            Ok(_) => {
                conversation.kill();
                return Err(Error::new(ErrorKind::HookFailed, "its process ended before it was executed"));
            }
            Err(error) => {
                conversation.kill();
                return Err(error);
            }
        }
        let Some(process) = conversation.into_launched() else {
            return Err(Error::new(ErrorKind::HookFailed, "its process is gone"));
        };
        let output = |pipe| Output { pipe: Some(pipe), kept: Vec::new() };
        Ok(Self {
            pid: process.pid,
            pidfd: process.pidfd,
            stdin: Some(our_stdin),
            stdout: output(our_stdout),
            stderr: output(our_stderr),
        })
    }

    /// Feeds the state, collects output, waits for the end. Pipe ends that a background child has inherited are not
    /// waited for.
    fn finish(mut self, state: &[u8], limit: Option<Instant>) -> Result<()> {
        let mut rest = state;
        loop {
            match self.poll(limit)? {
                Wake::Ended => break,
                Wake::Timeout => {
                    self.kill_group();
                    return Err(Error::new(ErrorKind::Timeout, "hook did not end in time"));
                }
                Wake::Pipes => {
                    rest = self.feed(rest);
                    self.stdout.drain();
                    self.stderr.drain();
                }
            }
        }
        self.stdout.drain();
        self.stderr.drain();
        let outcome = match pidfd::status(self.pidfd.as_fd()) {
            Ended::Exited(0) => return Ok(()),
            Ended::Exited(code) => format!("exit status {code}"),
            Ended::Signaled(signal) => format!("signal {signal}"),
            Ended::Unknown => "its exit status was taken by another wait of this process".to_owned(),
        };
        Err(Error::new(
            ErrorKind::HookFailed,
            format!("{outcome}, stdout: {}, stderr: {}", self.stdout.text(), self.stderr.text()),
        ))
    }

    fn poll(&self, limit: Option<Instant>) -> Result<Wake> {
        let mut fds = vec![PollFd::new(&self.pidfd, PollFlags::IN)];
        if let Some(stdin) = &self.stdin {
            fds.push(PollFd::new(stdin, PollFlags::OUT));
        }
        for pipe in [&self.stdout.pipe, &self.stderr.pipe].into_iter().flatten() {
            fds.push(PollFd::new(pipe, PollFlags::IN));
        }
        let timeout = limit.map(crate::sys::timespec_until);
        loop {
            return match rustix::event::poll(&mut fds, timeout.as_ref()) {
                Ok(0) => Ok(Wake::Timeout),
                Ok(_) if !fds[0].revents().is_empty() => Ok(Wake::Ended),
                Ok(_) => Ok(Wake::Pipes),
                Err(Errno::INTR) => continue,
                Err(errno) => Err(Error::from_errno("cannot wait for it", errno.raw_os_error())),
            };
        }
    }

    /// Writes what the pipe takes. A hook that does not read its stdin is fine: EPIPE only closes it.
    fn feed<'a>(&mut self, rest: &'a [u8]) -> &'a [u8] {
        let Some(stdin) = &self.stdin else { return rest };
        let rest = match write_without_sigpipe(stdin, rest) {
            Ok(written) => rest.get(written..).unwrap_or_default(),
            Err(Errno::AGAIN | Errno::INTR) => return rest,
            Err(_) => &[],
        };
        if rest.is_empty() {
            self.stdin = None;
        }
        rest
    }

    /// The hook leads a group of its own; what it started goes with it.
    fn kill_group(&self) {
        if let Some(group) = rustix::process::Pid::from_raw(self.pid) {
            // ESRCH: all have ended.
            let _gone = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        pidfd::reap(&self.pidfd);
    }
}

enum Wake {
    Ended,
    Pipes,
    Timeout,
}

/// A pipe's reader may be gone, and the caller's program may have SIGPIPE at its default, which would end it: the
/// signal is blocked for this thread during the write and taken back if it came.
fn write_without_sigpipe(pipe: &OwnedFd, bytes: &[u8]) -> Result<usize, Errno> {
    crate::sys::sigpipe::without(|| rustix::io::write(pipe, bytes))
}

/// Failures of poststop hooks are warnings (runtime.md, Lifecycle, step 13): all of them run, none beyond the deadline.
pub(crate) fn run_poststop(launcher: &Launcher, record: &Record, deadline: Option<Instant>) {
    let call = HookCall { kind: HookKind::Poststop, record, status: Status::Stopped, pid: None, deadline };
    for hook in &record.poststop {
        if let Err(error) = run_hooks(launcher, std::slice::from_ref(hook), call) {
            tracing::warn!(id = record.id, %error, "poststop hook failed");
        }
    }
}
