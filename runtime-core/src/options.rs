//! Arguments and results of the verbs.

mod exec;

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll},
    io::Errno,
};

use crate::{Error, Result};

pub use exec::ExecOptions;
pub(crate) use exec::{Changes, Program};

/// When a verb gives up: at a time, or when a [`CancelToken`] says so. Either undoes what was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline<'a> {
    at: Option<Instant>,
    cancel: Option<&'a CancelToken>,
}

impl<'a> Deadline<'a> {
    /// Waits as long as it takes.
    #[must_use]
    pub const fn never() -> Self {
        Self { at: None, cancel: None }
    }

    /// Gives up after `duration` from now.
    #[must_use]
    pub fn after(duration: Duration) -> Self {
        Self { at: Instant::now().checked_add(duration), cancel: None }
    }

    /// Gives up also when the token is cancelled, by any thread.
    #[must_use]
    pub const fn with_cancel(self, token: &'a CancelToken) -> Self {
        Self { cancel: Some(token), ..self }
    }

    /// What is left; none without a limit.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.at.map(|at| at.saturating_duration_since(Instant::now()))
    }

    pub(crate) const fn instant(self) -> Option<Instant> {
        self.at
    }

    pub(crate) const fn token(self) -> Option<&'a CancelToken> {
        self.cancel
    }

    /// The same, but at the latest then.
    pub(crate) fn no_later_than(self, at: Instant) -> Self {
        Self { at: Some(self.at.map_or(at, |own| own.min(at))), ..self }
    }
}

/// Ends the waits of verbs from another thread: a create, start, exec or wait that was given it by
/// [`Deadline::with_cancel`] fails with [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled) and undoes what it made.
/// Clones are the same token; it stays cancelled.
///
/// ```
/// # fn main() -> Result<(), orlop::Error> {
/// let token = orlop::CancelToken::new()?;
/// let deadline = orlop::Deadline::never().with_cancel(&token);
/// let for_another_thread = token.clone();
/// for_another_thread.cancel();
/// assert!(token.is_cancelled());
/// # let _ = deadline; Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct CancelToken(Arc<OwnedFd>);

impl CancelToken {
    /// Makes one: an eventfd.
    ///
    /// # Errors
    /// When the process may open no more files.
    pub fn new() -> Result<Self> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let made = eventfd(0, flags).map(Arc::new).map(Self);
        made.map_err(|errno| Error::from_errno("cannot make an eventfd", errno.raw_os_error()))
    }

    /// Ends all waits that have it, now and later.
    pub fn cancel(&self) {
        loop {
            match rustix::io::write(&*self.0, &1u64.to_ne_bytes()) {
                Err(Errno::INTR) => {}
                // AGAIN: it was cancelled so often that the counter is full. Nothing else fails on an eventfd.
                Ok(_) | Err(_) => return,
            }
        }
    }

    /// Whether it was cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::new(&*self.0, PollFlags::IN)], Some(&now)).is_ok_and(|ready| ready > 0)
    }
}

impl PartialEq for CancelToken {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for CancelToken {}

impl AsFd for CancelToken {
    /// Readable when it was cancelled.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Standard input, output and error of the container's process.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Stdio {
    /// stdin, stdout, stderr; none: the caller's own.
    pub fds: [Option<OwnedFd>; 3],
    /// Passed at 3 and up.
    pub preserved: Vec<OwnedFd>,
}

impl Stdio {
    /// The caller's own.
    #[must_use]
    pub fn inherit() -> Self {
        Self::default()
    }

    /// New pipes, and the caller's ends of them: what the process reads, and what it writes.
    ///
    /// # Errors
    /// When the process may open no more files.
    pub fn pipes() -> Result<(Self, Pipes)> {
        let pipe = || {
            rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
                .map_err(|errno| Error::from_errno("cannot make a pipe", errno.raw_os_error()))
        };
        let ((theirs_in, stdin), (stdout, theirs_out), (stderr, theirs_err)) = (pipe()?, pipe()?, pipe()?);
        Ok((Self::fds(theirs_in, theirs_out, theirs_err), Pipes { stdin, stdout, stderr }))
    }

    /// These fds.
    #[must_use]
    pub fn fds(stdin: OwnedFd, stdout: OwnedFd, stderr: OwnedFd) -> Self {
        Self { fds: [Some(stdin), Some(stdout), Some(stderr)], preserved: Vec::new() }
    }

    /// Also passes fds at 3, 4, …
    #[must_use]
    pub fn preserve(mut self, fds: impl IntoIterator<Item = OwnedFd>) -> Self {
        self.preserved.extend(fds);
        self
    }
}

/// The caller's ends of [`Stdio::pipes`]. What the process writes ends when it and all that inherited its ends have ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct Pipes {
    /// Written to the process's standard input; drop it to end that.
    pub stdin: OwnedFd,
    /// What it prints.
    pub stdout: OwnedFd,
    /// What it prints to standard error.
    pub stderr: OwnedFd,
}

/// Who gives the start signal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum StartBy {
    /// Any later command, through a FIFO in the state folder.
    #[default]
    AnyCommand,
    /// Only this handle, on the channel (`run`): no FIFO is made.
    ThisHandle,
}

/// Options of a create beside the configuration. All have runc's defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CreateOptions {
    /// `MS_MOVE` and `chroot` instead of `pivot_root`.
    pub no_pivot: bool,
    /// Keep the caller's session keyring.
    pub no_new_keyring: bool,
    /// Number of fds from 3 on that the program inherits.
    pub preserved_fds: u32,
    /// Environment entries the runtime adds (`LISTEN_FDS=…`, `NOTIFY_SOCKET=…`); they replace those of the same name.
    pub extra_env: Vec<String>,
    /// A read-only bind mount the runtime adds: source on the host, target in the container.
    pub extra_bind: Option<(PathBuf, PathBuf)>,
    /// `--rootless`: none is auto.
    pub rootless: Option<bool>,
    /// No cgroup where nobody asks for one by a path or by limits, though it could be made.
    pub cgroup_for_limits_only: bool,
    /// No cgroup at all: the container stays in the caller's.
    pub without_cgroup: bool,
    /// Who starts.
    pub(crate) start_by: StartBy,
}

impl CreateOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self {
            no_pivot: false,
            no_new_keyring: false,
            preserved_fds: 0,
            extra_env: Vec::new(),
            extra_bind: None,
            rootless: None,
            cgroup_for_limits_only: false,
            without_cgroup: false,
            start_by: StartBy::AnyCommand,
        }
    }

    /// `--no-pivot`.
    #[must_use]
    pub fn no_pivot(mut self, on: bool) -> Self {
        self.no_pivot = on;
        self
    }

    /// `--no-new-keyring`.
    #[must_use]
    pub fn no_new_keyring(mut self, on: bool) -> Self {
        self.no_new_keyring = on;
        self
    }

    /// Number of fds from 3 on that the program inherits.
    #[must_use]
    pub fn preserved_fds(mut self, count: u32) -> Self {
        self.preserved_fds = count;
        self
    }

    /// Adds an environment entry `NAME=value`.
    #[must_use]
    pub fn env(mut self, entry: impl Into<String>) -> Self {
        self.extra_env.push(entry.into());
        self
    }

    /// Adds a read-only bind mount.
    #[must_use]
    pub fn bind(mut self, source: impl Into<PathBuf>, target: impl Into<PathBuf>) -> Self {
        self.extra_bind = Some((source.into(), target.into()));
        self
    }

    /// `--rootless`; none: auto.
    #[must_use]
    pub fn rootless(mut self, rootless: Option<bool>) -> Self {
        self.rootless = rootless;
        self
    }

    /// Makes a cgroup only where the configuration has a path or limits, and only with `rootless`: for a short-lived
    /// sandbox whose pid namespace ends all that is in it.
    #[must_use]
    pub fn cgroup_for_limits_only(mut self) -> Self {
        self.cgroup_for_limits_only = true;
        self
    }

    /// `--cgroup-manager disabled`: the container stays in the caller's cgroup. Limits in the configuration are refused then,
    /// device rules have no effect.
    #[must_use]
    pub fn without_cgroup(mut self, on: bool) -> Self {
        self.without_cgroup = on;
        self
    }

    /// Only the handle that creates the container can start it: no FIFO is made (`run`).
    #[must_use]
    pub fn started_by_this_handle(mut self) -> Self {
        self.start_by = StartBy::ThisHandle;
        self
    }
}

impl Default for CreateOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// Whom `kill` signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KillScope {
    /// Init; SIGKILL without an own pid namespace: all of the cgroup.
    Init,
    /// `--all`: every process in the cgroup; success when init is gone (what is left of the cgroup is signalled).
    All,
}

/// What `delete` may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Delete {
    /// Only a stopped container, or one that waits for its start.
    WhenStopped,
    /// Kill first; a missing container is no error.
    Force,
}

/// How the container's init ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExitStatus {
    /// `exit` with this status.
    Exited(i32),
    /// Ended by this signal.
    Signaled(i32),
    /// It ended, but somebody else took its status and the kernel does not keep it (before 6.15).
    Unknown,
}

impl ExitStatus {
    /// The status as shells and runc give it: 128 and the signal; 255 when unknown.
    #[must_use]
    pub const fn code(self) -> i32 {
        match self {
            Self::Exited(code) => code,
            Self::Signaled(signal) => 128 + signal,
            Self::Unknown => 255,
        }
    }
}
