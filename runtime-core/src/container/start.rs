//! `start`: the signal, the answer, the poststart hooks.

use std::{
    os::fd::{AsFd, OwnedFd},
    time::Instant,
};

use orlop_init::wire::message::{Barrier, Detail, Kind, Message, StartRecord};
use rustix::{
    event::{PollFd, PollFlags},
    io::Errno,
};

use super::{Container, handle::End, observe::observe, remove};
use crate::{
    Deadline, Error, ErrorKind, Result, Status,
    plan::{self, step::HookKind},
    spawn::{Conversation, Event, Failure, HookCall, KILL_WAIT, Process, run_hooks},
    state::{ANSWER_FIFO, Entry, Phase, Record, START_FIFO, StartStep, never_executed},
    sys,
};

impl Container {
    /// Starts the program and waits until it was executed; runs `startContainer` and `poststart` hooks.
    ///
    /// A hook that fails ends the container and deletes it (runtime-spec 1.3, Lifecycle).
    ///
    /// # Errors
    /// [`ErrorKind::WrongStatus`], [`ErrorKind::ExecFailed`], [`ErrorKind::HookFailed`].
    pub fn start(&self, deadline: Deadline) -> Result<()> {
        let (entry, mut record) = self.start_program(deadline).map_err(|error| match error.kind() {
            ErrorKind::HookFailed => self.destroyed_for(error),
            _ => error,
        })?;
        record.phase = Phase::Started;
        entry.save(&record)?;
        let call = HookCall {
            kind: HookKind::Poststart,
            record: &record,
            status: Status::Running,
            pid: Some(record.pid),
            deadline,
        };
        let hooks = run_hooks(&self.runtime.shared.launcher, &record.poststart, call);
        hooks.map_err(|error| {
            // It holds the lock, which the delete takes.
            drop(entry);
            self.destroyed_for(error)
        })
    }

    /// Deletes the container for the failure of a hook.
    fn destroyed_for(&self, mut error: Error) -> Error {
        let deleted =
            remove::delete(&self.runtime, &self.id, crate::Delete::Force, Deadline::after(KILL_WAIT));
        if let Err(failure) = deleted {
            error.attach_cleanup(failure);
        }
        error
    }

    /// Up to the exec, `startContainer` hooks included. The entry is locked.
    fn start_program(&self, deadline: Deadline) -> Result<(Entry, Record)> {
        let channel = self.channel.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(channel) = channel {
            let (entry, record) = self.load_locked(deadline.instant())?;
            self.start_on_channel(channel, &record, deadline)?;
            return Ok((entry, record));
        }
        let (entry, record) = self.load_locked(deadline.instant())?;
        self.check_startable(&entry, &record)?;
        start_by_fifo(&entry, &record, deadline).map_err(|error| match error.kind() {
            // The signal is given and cannot be taken back: what may still come of it must not run unnoticed.
            ErrorKind::Timeout | ErrorKind::Cancelled => {
                self.kill_init();
                error
            }
            // Init let go of the FIFOs since we looked: a start that was killed half-way may have been heard.
            ErrorKind::WrongStatus => self.check_startable(&entry, &record).err().unwrap_or(error),
            _ => error,
        })?;
        entry.remove_file(START_FIFO)?;
        entry.remove_file(ANSWER_FIFO)?;
        Ok((entry, record))
    }

    /// The record as it is once we hold the lock.
    fn load_locked(&self, deadline: Option<Instant>) -> Result<(Entry, Record)> {
        let (entry, _) = self.load()?;
        match deadline {
            // Another start holds it while its hooks run.
            Some(deadline) => remove::lock(&entry, deadline)?,
            None => entry.lock()?,
        }
        if !entry.is_current() {
            return Err(Error::new(ErrorKind::NotFound, "container does not exist"));
        }
        let (_, record) = self.load()?;
        Ok((entry, record))
    }

    fn kill_init(&self) {
        if let End::Ahead(pidfd) = &self.end {
            // ESRCH: it has ended.
            let _gone = sys::pidfd::send_signal(pidfd.as_fd(), 9);
        }
    }

    fn check_startable(&self, entry: &Entry, record: &Record) -> Result<()> {
        let status = observe(entry, record)?.0;
        let refusal = match status {
            Status::Created => return Ok(()),
            Status::Running => "cannot start an already running container",
            Status::Paused => "cannot start a container in the paused state",
            Status::Stopped => "cannot start a container that has stopped",
            Status::Creating => "cannot start a container that is being created",
        };
        Err(Error::new(ErrorKind::WrongStatus, refusal).with_status(status))
    }

    fn start_on_channel(
        &self,
        channel: sys::channel::Channel,
        record: &Record,
        deadline: Deadline<'_>,
    ) -> Result<()> {
        let pidfd = match &self.end {
            End::Ahead(pidfd) => pidfd.try_clone(),
            End::Past(_) => return Err(already_dead()),
        };
        let pidfd = pidfd.map_err(|source| Error::from_io("cannot duplicate a pidfd", source))?;
        let mut conversation = Conversation::resume(Process { pid: self.pid, pidfd }, channel);
        conversation.proceed(Barrier::Start)?;
        let event = conversation.await_exec(deadline).inspect_err(|_| self.kill_init())?;
        match event {
            Event::Executing => check_executed(record),
            Event::Failed(failure) => Err(start_failure(record, &failure)),
            Event::Gone => Err(already_dead()),
            _ => Err(Error::new(ErrorKind::Kernel, "init sent an unexpected message")),
        }
    }
}

fn already_dead() -> Error {
    Error::new(ErrorKind::WrongStatus, "container process is already dead").with_status(Status::Stopped)
}

/// Writes the start record and reads the answer until all of init's ends are closed by the exec.
fn start_by_fifo(entry: &Entry, record: &Record, deadline: Deadline<'_>) -> Result<()> {
    let fifo_error = |name: &str, errno: Errno| match errno {
        // Nobody holds it: init has ended, or another start was faster.
        Errno::NXIO | Errno::NOENT => already_dead(),
        errno => Error::from_errno(
            format!("cannot open {}", entry.path().join(name).display()),
            errno.raw_os_error(),
        ),
    };
    let answer = entry.open_fifo(ANSWER_FIFO, false).map_err(|errno| fifo_error(ANSWER_FIFO, errno))?;
    // A reader that opened a FIFO without any writer sees no end until a writer has come and gone (fifo_open in the
    // kernel's fs/pipe.c). Init may have let go of this one already and still hold the other: an exec closes them one
    // after the other. So we are that writer.
    drop(entry.open_fifo(ANSWER_FIFO, true).map_err(|errno| fifo_error(ANSWER_FIFO, errno))?);
    let start = entry.open_fifo(START_FIFO, true).map_err(|errno| fifo_error(START_FIFO, errno))?;
    let bytes = StartRecord::plain().to_bytes();
    sys::sigpipe::without(|| rustix::io::write(&start, &bytes)).map_err(|errno| match errno {
        Errno::PIPE => already_dead(),
        errno => Error::from_errno("cannot write the start signal", errno.raw_os_error()),
    })?;
    drop(start);
    let answer = read_answer(&answer, deadline)?;
    judge_answer(record, &answer)?;
    check_executed(record)
}

/// What closes init's end after the record *about to exec* is the exec, or a death just before it (SIGKILL by somebody or
/// for memory, SIGSYS by a filter that forbids execve).
fn check_executed(record: &Record) -> Result<()> {
    match never_executed(record.pid, Some(record.start_time)) {
        true => Err(already_dead()),
        false => Ok(()),
    }
}

/// All that init writes until its end is closed: by the exec, or by its death.
fn read_answer(fifo: &OwnedFd, deadline: Deadline<'_>) -> Result<Vec<u8>> {
    let mut answer = Vec::new();
    let mut buffer = [0u8; 4096];
    loop {
        let woken = sys::poll_until(&mut vec![PollFd::new(fifo, PollFlags::IN)], deadline);
        let woken = woken.map_err(|errno| Error::from_errno("cannot wait for init", errno.raw_os_error()))?;
        woken.or_fail("init did not answer in time")?;
        match rustix::io::read(fifo.as_fd(), &mut buffer) {
            Ok(0) => return Ok(answer),
            Ok(length) if answer.len() < 16 * buffer.len() => answer.extend_from_slice(&buffer[..length]),
            Ok(_) => return Err(Error::new(ErrorKind::Kernel, "init answered more than it may")),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(errno) => {
                return Err(Error::from_errno("cannot read init's answer", errno.raw_os_error()));
            }
        }
    }
}

fn judge_answer(record: &Record, answer: &[u8]) -> Result<()> {
    let mut rest = answer;
    let mut output = Vec::new();
    let mut executing = false;
    while let Some(message) = rest.get(..Message::SIZE).and_then(Message::from_bytes) {
        rest = &rest[Message::SIZE..];
        match message.kind {
            Kind::HookOutput => {
                let length = (message.value as usize).min(rest.len());
                output = rest[..length].to_vec();
                rest = &rest[length..];
            }
            Kind::Failed => {
                let Message { step, errno, detail, .. } = message;
                return Err(start_failure(record, &Failure { step, errno, detail, output }));
            }
            Kind::Executing => executing = true,
            _ => {}
        }
    }
    if executing { Ok(()) } else { Err(already_dead()) }
}

/// A failed step after the start signal, from what the record keeps of these steps.
fn start_failure(record: &Record, failure: &Failure) -> Error {
    let step = record.start_steps.iter().find(|step| step.index() == failure.step);
    match step {
        Some(StartStep::Exec { .. }) if failure.detail.what() == Detail::FILTER => {
            plan::filter_error(failure.errno)
        }
        Some(StartStep::Exec { program, .. }) => Error::from_errno(format!("exec {program}"), failure.errno)
            .with_kind(ErrorKind::ExecFailed)
            .with_config_path("process.args"),
        Some(StartStep::Hook { number, path, .. }) => {
            let what = failure.detail.what();
            let number_of = failure.detail.number();
            let output = String::from_utf8_lossy(&failure.output);
            let output = output.trim_end().replace('\n', "\\n");
            let reason = if what == Detail::HOOK_STATUS {
                format!("exit status {number_of}, output: {output}")
            } else if what == Detail::HOOK_SIGNAL {
                format!("signal {number_of}, output: {output}")
            } else if what == Detail::HOOK_TIMEOUT {
                "hook ran past specified timeout".to_owned()
            } else {
                format!("fork/exec {path}: {}", crate::error::errno_text(failure.errno))
            };
            Error::new(
                ErrorKind::HookFailed,
                format!("error running startContainer hook #{number}: {reason}"),
            )
            .with_config_path(format!("hooks.startContainer[{number}]"))
        }
        Some(StartStep::Other { what, config_path, .. }) => {
            Error::from_errno(format!("cannot {what}"), failure.errno).with_config_path(config_path)
        }
        None if failure.detail.what() == Detail::SIGNALLED => already_dead(),
        None => Error::from_errno(format!("step {} of the start", failure.step), failure.errno),
    }
}
