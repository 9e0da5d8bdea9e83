//! Runs a runtime's command and keeps what it printed. Any command that takes runc's arguments will do.
//!
//! Output goes to memory files, not pipes: a created container inherits them, so a pipe would never come to its end.
//! Every call has a deadline; a runtime that hangs fails the test.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::Read,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{fs::FileExt, process::ExitStatusExt},
    },
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{MemfdFlags, memfd_create},
    pipe::{PipeFlags, pipe_with},
    process::{Pid, PidfdFlags, pidfd_open},
};
use serde_json::Value;

use crate::{
    Bundle, Facts,
    host::{TempDir, UNIFIED_VIEW, unique},
    leftovers::leftovers,
};

/// How long one command of a runtime may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// A runtime's command with a state root of its own.
#[derive(Debug)]
pub struct Runtime {
    words: Vec<OsString>,
    root: TempDir,
    deadline: Duration,
}

/// What a command of the runtime did.
#[derive(Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    stdout: File,
    stderr: File,
}

/// A container of a runtime. Deleted by force on drop.
#[derive(Debug)]
pub struct Container<'a> {
    runtime: &'a Runtime,
    bundle: PathBuf,
    id: String,
}

impl Runtime {
    /// A runtime by name or path.
    #[must_use]
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let words = vec![program.as_ref().to_owned()];
        Self { words, root: TempDir::new("oci-conformance-root"), deadline: DEADLINE }
    }

    /// Every command runs where cgroup2 is mounted at /sys/fs/cgroup (see [`crate::host::unified_view`]).
    #[must_use]
    pub fn in_unified_view(mut self) -> Self {
        let view = ["unshare"].into_iter().chain(UNIFIED_VIEW).map(OsString::from);
        self.words.splice(0..0, view);
        self
    }

    /// Puts words before the command (`setpriv --reuid 1000 --`).
    #[must_use]
    pub fn wrapped_in<S: Into<OsString>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.words.splice(0..0, words.into_iter().map(Into::into));
        self
    }

    /// Adds a global option.
    #[must_use]
    pub fn option(mut self, word: impl Into<OsString>) -> Self {
        self.words.push(word.into());
        self
    }

    /// How long one command may take, 60 seconds by default.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Its state root.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// The command with `--root` and these arguments, not yet run.
    pub fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).arg("--root").arg(self.root()).args(args).stdin(Stdio::null());
        command
    }

    /// Runs a command of the runtime.
    ///
    /// # Panics
    /// When it cannot be run or takes longer than the deadline.
    pub fn call<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Output {
        output(self.command(args), self.deadline)
    }

    /// A container with a new id for a bundle; nothing is done yet.
    #[must_use]
    pub fn container(&self, bundle: &Bundle) -> Container<'_> {
        Container { runtime: self, bundle: bundle.path().to_owned(), id: unique("conf") }
    }
}

impl Container<'_> {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// `VERB ID` with options between them.
    pub fn call(&self, verb: &str, options: &[&str]) -> Output {
        self.runtime.call([verb].iter().chain(options).chain(&[self.id.as_str()]))
    }

    /// `create` with options.
    pub fn create(&self, options: &[&str]) -> Output {
        self.runtime.call(self.in_bundle("create", options))
    }

    /// `run` with options: creates, starts, waits, deletes.
    pub fn run(&self, options: &[&str]) -> Output {
        self.runtime.call(self.in_bundle("run", options))
    }

    /// `run` of a bundle whose process prints facts.
    ///
    /// # Panics
    /// When the runtime or the probe fails.
    #[must_use]
    pub fn run_facts(&self) -> Facts {
        Facts::parse(&self.run(&[]).success().stdout())
    }

    /// The arguments of `create` and `run`.
    #[must_use]
    pub fn in_bundle(&self, verb: &str, options: &[&str]) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec![verb.into(), "--bundle".into(), self.bundle.clone().into()];
        words.extend(options.iter().map(OsString::from));
        words.push(self.id.clone().into());
        words
    }

    /// `create` with the container's stdout and stderr in a pipe, to wait for what it says with [`read_until`].
    ///
    /// # Panics
    /// When it cannot be run or takes longer than the deadline.
    pub fn create_piped(&self, options: &[&str]) -> (Output, File) {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap_or_else(|error| panic!("pipe: {error}"));
        let words = self.in_bundle("create", options);
        let mut command = self.runtime.command(words);
        let twin = writer.try_clone().unwrap_or_else(|error| panic!("dup: {error}"));
        command.stdout(writer).stderr(twin);
        let files = [memory("stdout"), memory("stderr")];
        (finish(command, files, self.runtime.deadline), File::from(reader))
    }

    /// `start`.
    pub fn start(&self) -> Output {
        self.call("start", &[])
    }

    /// The arguments of `exec` with options and a command.
    #[must_use]
    pub fn exec_args(&self, options: &[&str], command: &[&str]) -> Vec<OsString> {
        let id = [self.id.as_str()];
        ["exec"].iter().chain(options).chain(&id).chain(command).map(OsString::from).collect()
    }

    /// `exec` with options and a command.
    pub fn exec(&self, options: &[&str], command: &[&str]) -> Output {
        self.runtime.call(self.exec_args(options, command))
    }

    /// `kill ID SIGNAL`.
    pub fn kill(&self, signal: &str) -> Output {
        self.runtime.call(["kill", &self.id, signal])
    }

    /// `delete` with options.
    pub fn delete(&self, options: &[&str]) -> Output {
        self.call("delete", options)
    }

    /// `state`, which must succeed.
    ///
    /// # Panics
    /// When it fails or prints no JSON.
    #[must_use]
    pub fn state(&self) -> Value {
        let text = self.call("state", &[]).success().stdout();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("state is no JSON ({error}): {text}"))
    }

    /// A pidfd of the container's process; poll it to wait for its end.
    ///
    /// # Panics
    /// When the state has no living pid.
    #[must_use]
    pub fn pidfd(&self) -> OwnedFd {
        let state = self.state();
        pidfd_of(&state).unwrap_or_else(|| panic!("no living process in {state}"))
    }

    /// Waits until the container's process has ended, through its state and a pidfd.
    ///
    /// # Panics
    /// When it takes longer than the deadline.
    pub fn wait(&self) {
        let state = self.state();
        if state["status"] != "stopped" {
            // No pidfd: it ended just now.
            let in_time = pidfd_of(&state).is_none_or(|pidfd| readable(pidfd, self.runtime.deadline));
            assert!(in_time, "{} does not end", self.id);
        }
    }

    /// What is left of it; empty after a good `delete`.
    #[must_use]
    pub fn leftovers(&self) -> Vec<String> {
        leftovers(&self.id, &self.bundle, self.runtime.root())
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        let mut command = self.runtime.command(["delete", "--force", &self.id]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        if let Ok(mut child) = command.spawn() {
            // A test that fails has told more by now, one that passes has deleted it.
            drop(wait(&mut child, self.runtime.deadline));
        }
    }
}

impl Output {
    /// What is in its stdout now; a container that still runs may add to it.
    #[must_use]
    pub fn stdout(&self) -> String {
        content(&self.stdout)
    }

    /// What is in its stderr now.
    #[must_use]
    pub fn stderr(&self) -> String {
        content(&self.stderr)
    }

    /// The exit code, or 128 and the signal.
    #[must_use]
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| 128 + self.status.signal().unwrap_or(0))
    }

    /// Itself when the exit code is 0.
    ///
    /// # Panics
    /// With all output for another exit code.
    #[must_use = "or drop it: the check was made"]
    #[track_caller]
    pub fn success(self) -> Self {
        assert!(
            self.status.success(),
            "{}\nstdout: {}\nstderr: {}",
            self.status,
            self.stdout(),
            self.stderr()
        );
        self
    }

    /// Its stderr when the exit code is this one.
    ///
    /// # Panics
    /// With all output for another exit code.
    #[must_use]
    #[track_caller]
    pub fn failure(self, code: i32) -> String {
        assert_eq!(self.code(), code, "\nstdout: {}\nstderr: {}", self.stdout(), self.stderr());
        self.stderr()
    }
}

fn pidfd_of(state: &Value) -> Option<OwnedFd> {
    let pid = Pid::from_raw(i32::try_from(state["pid"].as_i64()?).ok()?)?;
    pidfd_open(pid, PidfdFlags::empty()).ok()
}

/// Runs a command with its output in memory files.
///
/// # Panics
/// When it cannot be run or takes longer than the deadline.
pub fn output(mut command: Command, deadline: Duration) -> Output {
    let files = [memory("stdout"), memory("stderr")];
    let twins = files.each_ref().map(|file| file.try_clone().unwrap_or_else(|error| panic!("dup: {error}")));
    let [stdout, stderr] = twins;
    command.stdout(stdout).stderr(stderr);
    finish(command, files, deadline)
}

fn memory(name: &str) -> File {
    memfd_create(name, MemfdFlags::CLOEXEC).map_or_else(|error| panic!("memfd: {error}"), File::from)
}

/// Runs a command whose output goes elsewhere or to these files.
fn finish(mut command: Command, [stdout, stderr]: [File; 2], deadline: Duration) -> Output {
    let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    match wait(&mut child, deadline) {
        Ok(status) => Output { status, stdout, stderr },
        Err(doing) => panic!(
            "{command:?} took longer than {deadline:?}\n{doing}{}{}",
            content(&stdout),
            content(&stderr)
        ),
    }
}

/// Reads a pipe or terminal until it gave the text; all that was read.
///
/// # Panics
/// With all that was read when the text does not come in time.
pub fn read_until(mut from: &File, text: &str, deadline: Duration) -> String {
    let mut seen = Vec::new();
    let mut byte = [0];
    while !seen.ends_with(text.as_bytes()) {
        let in_time = readable(from, deadline);
        match in_time.then(|| from.read(&mut byte)) {
            Some(Ok(1)) => seen.push(byte[0]),
            other => panic!("{other:?} instead of {text:?}, after {:?}", String::from_utf8_lossy(&seen)),
        }
    }
    String::from_utf8_lossy(&seen).into_owned()
}

/// The status of a child, or what it and its descendants were doing when it had to be killed at the deadline.
fn wait(child: &mut Child, deadline: Duration) -> Result<ExitStatus, String> {
    let pid = Pid::from_child(child);
    let in_time = pidfd_open(pid, PidfdFlags::empty()).is_ok_and(|pidfd| readable(&pidfd, deadline));
    if !in_time {
        let doing = doing(pid.as_raw_nonzero().get());
        child.kill().map_err(|error| format!("{doing}cannot be killed: {error}\n"))?;
        return child.wait().map_or_else(|error| Err(error.to_string()), |_| Err(doing));
    }
    child.wait().map_err(|error| error.to_string())
}

/// A line for each of these processes: name and state, where in the kernel it sleeps, and in which call. Tells a process
/// that waits for something from one that was never given the processor.
fn doing(pid: i32) -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut lines = format!("load {load}");
    let mut pids = vec![pid.to_string()];
    while let Some(pid) = pids.pop() {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let stat = read("stat");
        let (name, state) = stat.rsplit_once(')').unwrap_or_default();
        let state = state.trim_start().chars().next().unwrap_or('?');
        let (sleeps, call) = (read("wchan"), read("syscall"));
        lines += &format!("{name}) {state} in {sleeps}: {}\n", call.trim_end());
        let children = read(&format!("task/{pid}/children"));
        pids.extend(children.split_whitespace().map(str::to_owned));
    }
    lines
}

/// Whether an fd becomes readable in time.
pub fn readable(fd: impl AsFd, deadline: Duration) -> bool {
    let timeout = Timespec::try_from(deadline).ok();
    loop {
        match poll(&mut [PollFd::new(&fd, PollFlags::IN)], timeout.as_ref()) {
            Err(rustix::io::Errno::INTR) => {}
            result => return result.is_ok_and(|ready| ready > 0),
        }
    }
}

/// The content of a memory file, without moving its offset, which the container shares.
fn content(file: &File) -> String {
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    match file.read_exact_at(&mut bytes, 0) {
        Ok(()) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => panic!("reading output: {error}"),
    }
}
