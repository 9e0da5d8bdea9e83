//! An engine, set up for one runtime, in which scenarios run one after the other.

use std::{
    fs::{self, File},
    io,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use oci_conformance::host::TempDir;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, kill_process, kill_process_group, pidfd_open},
};

use crate::{
    image::{self, Image},
    machine::{Snapshot, pause_for},
    outcome::{self, Outcome},
    scenario::Scenario,
};

/// A runtime under an engine.
#[derive(Clone, Debug)]
pub struct Runtime {
    /// As the table names it.
    pub name: String,
    /// Absolute.
    pub program: PathBuf,
}

/// See the module.
pub struct Session {
    runtime: Runtime,
    prelude: String,
    cleanup: String,
    state: Vec<PathBuf>,
    daemons: Vec<Child>,
    work: TempDir,
    count: u32,
}

/// What engines need of a session while they set themselves up.
pub struct Setup<'a> {
    /// The runtime to be used for everything.
    pub runtime: &'a Runtime,
    /// The session's folder.
    pub work: &'a Path,
    /// What containers are made of.
    pub image: &'a Image,
    /// Shell commands before each script.
    pub prelude: String,
    /// Shell commands after each script, which remove every container and volume.
    pub cleanup: &'static str,
    /// Shell commands before the first script.
    pub prepare: String,
    /// Folders in which the runtime keeps a folder for each container.
    pub state: Vec<PathBuf>,
    /// Programs that live as long as the session.
    pub daemons: Vec<Child>,
}

/// How long a scenario may take.
const LIMIT: Duration = Duration::from_secs(90);
/// How long an engine may take to clean up in the background.
const PATIENCE: Duration = Duration::from_secs(8);

impl Session {
    /// Sets an engine up.
    ///
    /// # Errors
    /// What failed; nothing is left then.
    pub fn start(runtime: &Runtime, engine: fn(&mut Setup<'_>) -> io::Result<()>) -> io::Result<Self> {
        let work = TempDir::new("oci-engines");
        let image = image::make(work.path())?;
        let mut setup = Setup {
            runtime,
            work: work.path(),
            image: &image,
            prelude: String::new(),
            cleanup: "",
            prepare: String::new(),
            state: Vec::new(),
            daemons: Vec::new(),
        };
        let is_ready = engine(&mut setup);
        let Setup { prelude, cleanup, prepare, state, daemons, .. } = setup;
        let session = Self {
            runtime: runtime.clone(),
            prelude,
            cleanup: cleanup.to_owned(),
            state,
            daemons,
            work,
            count: 0,
        };
        is_ready?;
        let (code, output, errors) = session.shell("prepare", &prepare)?;
        if code != Some(0) {
            return Err(io::Error::other(format!("the engine cannot be prepared: {output}{errors}")));
        }
        Ok(session)
    }

    /// Runs a scenario and cleans up after it.
    ///
    /// # Errors
    /// When the shell cannot be run.
    pub fn run(&mut self, scenario: &Scenario) -> io::Result<Outcome> {
        self.count += 1;
        let name = format!("s{}x{}", std::process::id(), self.count);
        let before = Snapshot::take(&self.state, &name);
        let (code, output, errors) = self.shell(&name, scenario.script)?;
        // Its result is judged by what is left.
        self.shell(&name, &self.cleanup.clone())?;
        let leftovers = before.leftovers(&self.state, &name, PATIENCE);
        let program = self.runtime.program.to_string_lossy();
        let output = outcome::normalize(&output, &name, &self.runtime.name, &program);
        Ok(Outcome { code, output, errors, leftovers })
    }

    /// Runs the prelude and a script with a time limit. Output goes to files: what stays in the background may keep it
    /// open.
    fn shell(&self, name: &str, script: &str) -> io::Result<(Option<i32>, String, String)> {
        let file = |suffix: &str| self.work.path().join(format!("script.{suffix}"));
        fs::write(file("sh"), format!("{}\n{script}\n", self.prelude))?;
        let mut child = Command::new("sh")
            .arg(file("sh"))
            .env("N", name)
            .env("WORK", self.work.path())
            .env("RUNTIME", &self.runtime.program)
            .current_dir(self.work.path())
            .stdin(Stdio::null())
            .stdout(File::create(file("out"))?)
            .stderr(File::create(file("err"))?)
            .process_group(0)
            .spawn()?;
        let code = wait(&mut child, LIMIT)?;
        let read = |suffix| fs::read(file(suffix)).map(|text| String::from_utf8_lossy(&text).into_owned());
        Ok((code, read("out")?, read("err")?))
    }
}

impl Drop for Session {
    /// Daemons end in the reverse order of their start.
    fn drop(&mut self) {
        for daemon in self.daemons.iter_mut().rev() {
            // One that ended by itself has been told by its scenarios.
            kill_process(Pid::from_child(daemon), Signal::TERM).ok();
            if let Ok(None) = wait(daemon, Duration::from_secs(20)) {
                drop(daemon.kill());
            }
        }
    }
}

/// The exit code, 128+n for a signal; none, and the process group killed, at the limit.
fn wait(child: &mut Child, limit: Duration) -> io::Result<Option<i32>> {
    use std::os::unix::process::ExitStatusExt;
    let pid = Pid::from_child(child);
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    let limit = Timespec { tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX), tv_nsec: 0 };
    let is_over = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&limit))? == 0;
    if is_over {
        kill_process_group(pid, Signal::KILL)?;
    }
    let status = child.wait()?;
    Ok((!is_over).then(|| status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))))
}

/// Writes a program that calls another one with more words in front of its arguments.
///
/// # Errors
/// When it cannot be written.
pub fn write_wrapper(path: &Path, line: &str) -> io::Result<()> {
    fs::write(path, format!("#!/bin/sh\nexec {line} \"$@\"\n"))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

/// Starts a daemon and waits until its socket answers.
///
/// # Errors
/// When it ends, or does not answer in time; its log is in the message.
pub fn start_daemon(mut command: Command, log: &Path, socket: &Path) -> io::Result<Child> {
    let file = File::create(log)?;
    let mut child =
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).process_group(0).spawn()?;
    let began = Instant::now();
    while std::os::unix::net::UnixStream::connect(socket).is_err() {
        let has_ended = child.try_wait()?.is_some();
        if has_ended || began.elapsed() > Duration::from_secs(60) {
            // It may have ended just now.
            drop(child.kill());
            return Err(io::Error::other(format!("no answer: {}", fs::read_to_string(log)?)));
        }
        // Nothing tells when a program begins to listen.
        pause_for(Duration::from_millis(20));
    }
    Ok(child)
}
