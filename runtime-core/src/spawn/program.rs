//! A program of the host that the runtime needs run: a hook, or a tool that writes id maps.
//!
//! It is started like a container's program, through the launcher: it leads a session of its own, gets no fd but 0, 1, 2,
//! and its start costs nothing of the caller's memory.

use std::{
    ffi::CString,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

use orlop_init::wire::{
    OwnedOp,
    message::{Detail, HOOK_OUTPUT_MAX},
};
use rustix::{
    event::{PollFd, PollFlags},
    fs::{Mode, OFlags},
    io::Errno,
    pipe::PipeFlags,
};

use super::{Conversation, conversation::Event, launcher::Launcher};
use crate::{
    Deadline, Error, ErrorKind, Result, Stdio,
    sys::pidfd::{self, Ended},
};

/// What is run.
#[derive(Debug)]
pub(super) struct Program<'a> {
    /// A path, or a name that is looked for in `search`.
    pub(super) name: &'a Path,
    /// Directories with colons between them.
    pub(super) search: &'a str,
    /// With `argv[0]`.
    pub(super) args: Vec<CString>,
    pub(super) env: Vec<CString>,
    pub(super) cwd: &'a Path,
    /// Files that its stdout and stderr are appended to instead of being told.
    pub(super) outputs: [Option<&'a Path>; 2],
}

/// How it ended and what it printed.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) ended: Ended,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// Runs it to its end, with `input` on its stdin.
///
/// # Errors
/// `NotFound` when no directory of `search` has it; of the exec; `Timeout` at the limit, when it is killed with all that
/// is in its process group.
pub(super) fn run(
    launcher: &Launcher,
    program: &Program<'_>,
    input: &[u8],
    limit: Deadline<'_>,
) -> Result<Finished> {
    Running::start(launcher, program, limit)?.finish(input, limit)
}

/// A string for the kernel.
pub(super) fn text(string: impl AsRef<[u8]>) -> Result<CString> {
    CString::new(string.as_ref()).map_err(|source| {
        Error::new(ErrorKind::InvalidConfig, "a NUL byte in a string for the kernel").with_source(source)
    })
}

/// Strings for the kernel.
pub(super) fn texts<S: AsRef<[u8]>>(strings: impl IntoIterator<Item = S>) -> Result<Vec<CString>> {
    strings.into_iter().map(text).collect()
}

impl Program<'_> {
    fn ops(&self) -> Result<Vec<OwnedOp>> {
        Ok(vec![
            OwnedOp::NewSession {},
            OwnedOp::Chdir { path: text(self.cwd.as_os_str().as_bytes())? },
            OwnedOp::FindExecutable {
                name: text(self.name.as_os_str().as_bytes())?,
                search: text(self.search)?,
            },
            OwnedOp::Exec {
                args: self.args.clone(),
                env: self.env.clone(),
                home_of: u32::MAX,
                preserved_fds: 0,
                ignored_signals: 0,
            },
        ])
    }
}

/// Its process with our ends of its pipes.
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
    /// Our end, and what the program gets: a file, where its path is given.
    fn open(path: Option<&Path>) -> Result<(Self, OwnedFd)> {
        let Some(path) = path else {
            let (ours, theirs) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(pipe_error)?;
            rustix::fs::fcntl_setfl(&ours, OFlags::NONBLOCK).map_err(pipe_error)?;
            return Ok((Self { pipe: Some(ours), kept: Vec::new() }, theirs));
        };
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND | OFlags::CLOEXEC | OFlags::NOCTTY;
        let file = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR).map_err(|errno| {
            let words = format!("cannot open {} for its output", path.display());
            Error::from_errno(words, errno.raw_os_error()).with_path(path)
        })?;
        Ok((Self { pipe: None, kept: Vec::new() }, file))
    }

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

fn pipe_error(errno: Errno) -> Error {
    Error::from_errno("cannot make a pipe", errno.raw_os_error())
}

impl Running {
    fn start(launcher: &Launcher, program: &Program<'_>, limit: Deadline<'_>) -> Result<Self> {
        let pipe = || rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(pipe_error);
        let (stdin, our_stdin) = pipe()?;
        rustix::fs::fcntl_setfl(&our_stdin, OFlags::NONBLOCK).map_err(pipe_error)?;
        let [stdout, stderr] = program.outputs.map(Output::open);
        let ((our_stdout, stdout), (our_stderr, stderr)) = (stdout?, stderr?);
        let ops = program.ops()?;
        let (launched, channel) = launcher.launch(ops.iter(), &Stdio::fds(stdin, stdout, stderr), &[])?;
        let mut conversation = Conversation::new(launched, channel, 0);
        let event = conversation.await_exec(limit);
        match event {
            Ok(Event::Executing) => {}
            Ok(Event::Failed(failure)) => {
                conversation.kill();
                let error = Error::from_errno(format!("fork/exec {}", program.name.display()), failure.errno);
                return Err(match failure.detail.what() {
                    Detail::NOT_IN_PATH => error.with_kind(ErrorKind::NotFound),
                    _ => error,
                });
            }
            Ok(_) => {
                conversation.kill();
                return Err(Error::new(ErrorKind::Kernel, "its process ended before it was executed"));
            }
            Err(error) => {
                conversation.kill();
                return Err(error);
            }
        }
        let Some(process) = conversation.into_launched() else {
            return Err(Error::new(ErrorKind::Kernel, "its process is gone"));
        };
        Ok(Self {
            pid: process.pid,
            pidfd: process.pidfd,
            stdin: Some(our_stdin),
            stdout: our_stdout,
            stderr: our_stderr,
        })
    }

    /// Feeds the input, collects output, waits for the end. Pipe ends that a background child has inherited are not
    /// waited for.
    fn finish(mut self, input: &[u8], limit: Deadline<'_>) -> Result<Finished> {
        let mut rest = input;
        loop {
            match self.poll(limit)? {
                Wake::Ended => break,
                Wake::Stopped(error) => {
                    self.kill_group();
                    return Err(error);
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
        Ok(Finished {
            ended: pidfd::status(self.pidfd.as_fd()),
            stdout: self.stdout.text(),
            stderr: self.stderr.text(),
        })
    }

    fn poll(&self, limit: Deadline<'_>) -> Result<Wake> {
        let mut fds = vec![PollFd::new(&self.pidfd, PollFlags::IN)];
        if let Some(stdin) = &self.stdin {
            fds.push(PollFd::new(stdin, PollFlags::OUT));
        }
        for pipe in [&self.stdout.pipe, &self.stderr.pipe].into_iter().flatten() {
            fds.push(PollFd::new(pipe, PollFlags::IN));
        }
        let woken = crate::sys::poll_until(&mut fds, limit);
        let woken = woken.map_err(|errno| Error::from_errno("cannot wait for it", errno.raw_os_error()))?;
        Ok(match woken.or_fail("it did not end in time") {
            Err(error) => Wake::Stopped(error),
            Ok(()) if !fds[0].revents().is_empty() => Wake::Ended,
            Ok(()) => Wake::Pipes,
        })
    }

    /// Writes what the pipe takes. One that does not read its stdin is fine: EPIPE only closes it.
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

    /// It leads a group of its own; what it started goes with it.
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
    /// Too late, or cancelled.
    Stopped(Error),
}

/// A pipe's reader may be gone, and the caller's program may have SIGPIPE at its default, which would end it: the
/// signal is blocked for this thread during the write and taken back if it came.
fn write_without_sigpipe(pipe: &OwnedFd, bytes: &[u8]) -> Result<usize, Errno> {
    crate::sys::sigpipe::without(|| rustix::io::write(pipe, bytes))
}
