//! Arguments and results of the verbs.

mod exec;

use std::{
    os::fd::OwnedFd,
    path::PathBuf,
    time::{Duration, Instant},
};

pub use exec::ExecOptions;
pub(crate) use exec::{Changes, Program};

/// When a verb gives up. Expiry undoes what was made and names the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// Waits as long as it takes.
    #[must_use]
    pub const fn never() -> Self {
        Self(None)
    }

    /// Gives up after `duration` from now.
    #[must_use]
    pub fn after(duration: Duration) -> Self {
        Self(Instant::now().checked_add(duration))
    }

    /// What is left; none without a limit.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.0.map(|at| at.saturating_duration_since(Instant::now()))
    }

    pub(crate) const fn instant(self) -> Option<Instant> {
        self.0
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
