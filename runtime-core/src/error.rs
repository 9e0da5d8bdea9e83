//! What callers see when something fails: one opaque type with a kind to match on, and the facts beside it.

use std::{fmt, path::PathBuf, time::Duration};

/// What class a failure is of. Callers match on this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The configuration is malformed, contradicts itself or does not fit this host; see [`Error::problems`].
    InvalidConfig,
    /// An argument of the call is wrong (an id, a path, a signal).
    InvalidArgument,
    /// No container of that id.
    NotFound,
    /// A container of that id exists.
    AlreadyExists,
    /// The container's status does not allow the verb; see [`Error::status`].
    WrongStatus,
    /// This build or this kernel cannot do what was asked.
    Unsupported,
    /// The caller may not do this.
    PermissionDenied,
    /// A hook failed or ran past its timeout.
    HookFailed,
    /// The container's program could not be found or executed.
    ExecFailed,
    /// The saved state cannot be read.
    StateCorrupt,
    /// Another command works on the container, or something of it is still in use.
    Busy,
    /// The deadline passed.
    Timeout,
    /// The call was cancelled by another thread.
    Cancelled,
    /// A system call failed in a way that no other kind describes.
    Kernel,
}

/// One thing that is wrong in a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// Where, as a JSON path: `mounts[3].options[1]`; empty for the whole document.
    pub config_path: String,
    /// What was expected and what was found, lower case, no full stop.
    pub message: String,
}

impl Problem {
    /// A problem at a JSON path.
    pub fn new(config_path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { config_path: config_path.into(), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.config_path.as_str() {
            "" => f.write_str(&self.message),
            path => write!(f, "{path}: {}", self.message),
        }
    }
}

/// Why an operation failed. One word wide; everything else is behind it.
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    errno: Option<i32>,
    config_path: Option<String>,
    path: Option<PathBuf>,
    step: Option<String>,
    status: Option<crate::Status>,
    hint: Option<String>,
    problems: Vec<Problem>,
    cleanup: Vec<Error>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What most functions of this library return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A failure described in one sentence, lower case, no full stop.
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            errno: None,
            config_path: None,
            path: None,
            step: None,
            status: None,
            hint: None,
            problems: Vec::new(),
            cleanup: Vec::new(),
            source: None,
        }))
    }

    /// A system call failed: what was attempted, and what the kernel said.
    pub(crate) fn from_errno(attempted: impl Into<String>, errno: i32) -> Self {
        let kind = match errno {
            libc_errno::EPERM | libc_errno::EACCES => ErrorKind::PermissionDenied,
            libc_errno::ENOSYS | libc_errno::EOPNOTSUPP => ErrorKind::Unsupported,
            _ => ErrorKind::Kernel,
        };
        let mut error = Self::new(kind, attempted);
        error.0.errno = Some(errno);
        error
    }

    /// An `io::Error` with what was attempted.
    pub(crate) fn from_io(attempted: impl Into<String>, source: std::io::Error) -> Self {
        match source.raw_os_error() {
            Some(errno) => Self::from_errno(attempted, errno),
            None => {
                let mut error = Self::new(ErrorKind::Kernel, attempted);
                error.0.source = Some(Box::new(source));
                error
            }
        }
    }

    /// All problems of a configuration at once.
    pub(crate) fn invalid_config(problems: Vec<Problem>) -> Self {
        let mut error = Self::new(ErrorKind::InvalidConfig, "invalid configuration");
        error.0.config_path = problems.first().map(|problem| problem.config_path.clone());
        error.0.problems = problems;
        error
    }

    pub(crate) fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    pub(crate) fn with_path(mut self, path: impl Into<PathBuf>) -> Self {
        self.0.path = Some(path.into());
        self
    }

    pub(crate) fn with_config_path(mut self, path: impl Into<String>) -> Self {
        self.0.config_path = Some(path.into());
        self
    }

    pub(crate) fn with_step(mut self, step: impl Into<String>) -> Self {
        self.0.step = Some(step.into());
        self
    }

    pub(crate) fn with_status(mut self, status: crate::Status) -> Self {
        self.0.status = Some(status);
        self
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    pub(crate) fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Puts words in front: the verb at the API, the step where steps are walked.
    pub(crate) fn context(mut self, words: impl fmt::Display) -> Self {
        self.0.message = format!("{words}: {}", self.0.message);
        self
    }

    /// Keeps a failure of the cleaning up beside the first failure.
    pub(crate) fn attach_cleanup(&mut self, failure: Self) {
        self.0.cleanup.push(failure);
    }

    /// The class of the failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Everything that is wrong in the configuration; empty for other kinds.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.0.problems
    }

    /// The status that did not allow the verb.
    #[must_use]
    pub fn status(&self) -> Option<crate::Status> {
        self.0.status
    }

    /// The step of the plan that failed, as `explain` prints it.
    #[must_use]
    pub fn step(&self) -> Option<&str> {
        self.0.step.as_deref()
    }

    /// The JSON path of the configuration that asked for the step.
    #[must_use]
    pub fn config_path(&self) -> Option<&str> {
        self.0.config_path.as_deref()
    }

    /// The file concerned.
    #[must_use]
    pub fn path(&self) -> Option<&std::path::Path> {
        self.0.path.as_deref()
    }

    /// What the kernel answered.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        self.0.errno
    }

    /// What is likely to help.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Failures while cleaning up after this one.
    #[must_use]
    pub fn cleanup_failures(&self) -> &[Self] {
        &self.0.cleanup
    }
}

/// Errno values this module classifies by (errno(3)).
mod libc_errno {
    pub(super) const EPERM: i32 = 1;
    pub(super) const EACCES: i32 = 13;
    pub(super) const ENOSYS: i32 = 38;
    pub(super) const EOPNOTSUPP: i32 = 95;
}

/// The kernel's words for an errno, as other runtimes print them: lower case, "permission denied".
pub(crate) fn errno_text(errno: i32) -> String {
    let text = std::io::Error::from_raw_os_error(errno).to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut chars = text.chars();
    match chars.next() {
        // "No such file" becomes "no such file"; "RFS error" and the like stay.
        Some(first) if chars.as_str().starts_with(|c: char| c.is_lowercase() || c == ' ') => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => text.to_owned(),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        match self.0.problems.as_slice() {
            [] => {}
            [one] => write!(f, ": {one}")?,
            [first, rest @ ..] => {
                write!(f, ": {first}")?;
                rest.iter().try_for_each(|problem| write!(f, "; {problem}"))?;
            }
        }
        if let Some(errno) = self.0.errno {
            write!(f, ": {}", errno_text(errno))?;
        } else if let Some(source) = &self.0.source {
            write!(f, ": {source}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

impl From<Timeout> for Error {
    fn from(timeout: Timeout) -> Self {
        Self::new(ErrorKind::Timeout, format!("no answer within {:?}", timeout.0))
    }
}

/// A deadline that passed, with how long was waited.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeout(pub(crate) Duration);
