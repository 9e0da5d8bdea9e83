//! Staying with a container until it ends: one poll loop over signals, its pidfd, its terminal and its notify socket.
//!
//! All signals are blocked and read from a signalfd from before the container exists, so none is lost and none ends
//! this program while the terminal is in raw mode. Nothing here waits for time to pass.

mod signals;
mod terminal;

use std::{
    os::fd::{AsFd, OwnedFd},
    time::Instant,
};

use orlop::{Container, Deadline, ExecProcess, ExitStatus, KillScope};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, WaitOptions, getpid, set_child_subreaper, waitpid},
};

use self::{signals::Signals, terminal::Terminal};
use crate::{
    failure::{Failure, Result},
    launch::notify,
};

const SIGKILL: i32 = 9;

/// A command that waits for a container.
#[derive(Debug)]
pub struct Foreground {
    signals: Signals,
    terminal: Option<Terminal>,
    notify: Option<notify::Bound>,
    limit: Option<Instant>,
}

/// How the waiting ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// Of the container's process.
    pub status: ExitStatus,
    /// The time limit ended it.
    pub timed_out: bool,
}

/// What a command can stay with. Its fd is readable when the process has ended.
pub trait Watched: AsFd {
    /// Pid of the process.
    fn pid(&self) -> i32;
    /// Passes a signal on, to the process alone.
    fn signal(&self, signal: i32) -> orlop::Result<()>;
    /// Ends the process and all that depends on it.
    fn end(&self) -> orlop::Result<()>;
    /// The status of the ended process.
    fn status(&self) -> orlop::Result<ExitStatus>;
}

impl Watched for Container {
    fn pid(&self) -> i32 {
        self.pid()
    }

    fn signal(&self, signal: i32) -> orlop::Result<()> {
        self.kill(signal, KillScope::Init)
    }

    fn end(&self) -> orlop::Result<()> {
        self.kill(SIGKILL, KillScope::All)
    }

    fn status(&self) -> orlop::Result<ExitStatus> {
        self.wait(Deadline::never())
    }
}

impl Watched for ExecProcess {
    fn pid(&self) -> i32 {
        self.pid()
    }

    fn signal(&self, signal: i32) -> orlop::Result<()> {
        self.kill(signal)
    }

    fn end(&self) -> orlop::Result<()> {
        self.kill(SIGKILL)
    }

    fn status(&self) -> orlop::Result<ExitStatus> {
        self.wait(Deadline::never())
    }
}

/// Adopts orphans of the container, which are reaped in the loop.
pub fn become_subreaper() -> Result<()> {
    set_child_subreaper(Some(getpid())).map_err(|errno| Failure::io("become a child subreaper", errno))
}

impl Foreground {
    /// Blocks signals. To be called before the container is made.
    pub fn begin() -> Result<Self> {
        Ok(Self { signals: Signals::block_all()?, terminal: None, notify: None, limit: None })
    }

    /// Connects the container's terminal with ours.
    pub fn use_terminal(&mut self, console: Option<OwnedFd>) -> Result<()> {
        self.terminal = console.map(Terminal::connect).transpose()?;
        Ok(())
    }

    /// Whether our terminal is in raw mode.
    pub fn has_terminal(&self) -> bool {
        self.terminal.is_some()
    }

    /// Passes readiness on to the service manager.
    pub fn announce_through(&mut self, notify: Option<notify::Bound>) {
        self.notify = notify;
    }

    /// Kills the container at this time.
    pub fn end_at(&mut self, limit: Option<Instant>) {
        self.limit = limit;
    }

    /// Waits until the container's process has ended, and until what it wrote to its terminal is out.
    pub fn wait_for(&mut self, process: &impl Watched) -> Result<Ended> {
        let mut reaped = None;
        let mut timed_out = false;
        loop {
            let ready = self.poll(process)?;
            if ready.signal {
                self.handle_signals(process, &mut reaped)?;
            }
            if ready.notify && self.pass_readiness_on()? {
                self.notify = None;
            }
            if let Some(terminal) = &mut self.terminal {
                terminal.copy(ready.terminal)?;
            }
            if ready.ended {
                break;
            }
            if self.limit.is_some_and(|limit| Instant::now() >= limit) {
                timed_out = true;
                self.limit = None;
                process.end()?;
            }
        }
        if let Some(terminal) = &mut self.terminal {
            terminal.drain()?;
        }
        let status = match reaped {
            Some(status) => status,
            None => process.status()?,
        };
        Ok(Ended { status, timed_out })
    }

    fn poll(&self, process: &impl Watched) -> Result<Ready> {
        let mut fds = vec![PollFd::new(&self.signals, PollFlags::IN), PollFd::new(process, PollFlags::IN)];
        if let Some(notify) = &self.notify {
            fds.push(PollFd::new(notify, PollFlags::IN));
        }
        let before_terminal = fds.len();
        if let Some(terminal) = &self.terminal {
            terminal.add_to(&mut fds);
        }
        let left = |limit: Instant| Timespec::try_from(limit.saturating_duration_since(Instant::now())).ok();
        let timeout = self.limit.and_then(left);
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(Failure::io("wait for the container", errno)),
        }
        let is_ready = |fd: &PollFd<'_>| !fd.revents().is_empty();
        Ok(Ready {
            signal: is_ready(&fds[0]),
            ended: is_ready(&fds[1]),
            notify: self.notify.is_some() && is_ready(&fds[2]),
            terminal: self
                .terminal
                .as_ref()
                .map_or_else(Default::default, |terminal| terminal.readiness(&fds[before_terminal..])),
        })
    }

    fn handle_signals(&mut self, process: &impl Watched, reaped: &mut Option<ExitStatus>) -> Result<()> {
        while let Some(signal) = self.signals.next()? {
            match signals::action_of(signal) {
                signals::Action::Reap => reap(process.pid(), reaped),
                signals::Action::Resize => {
                    if let Some(terminal) = &self.terminal {
                        terminal.resize();
                    }
                }
                signals::Action::Ignore => {}
                // It may have ended meanwhile, or be root's after a set-user-id program: the signal is lost then, as
                // it would be for any process.
                signals::Action::Forward => match process.signal(signal) {
                    Ok(()) | Err(_) => {}
                },
            }
        }
        Ok(())
    }

    fn pass_readiness_on(&self) -> Result<bool> {
        // systemd started us: we are the main process of its unit.
        let main_pid = getpid().as_raw_nonzero().get();
        self.notify.as_ref().map_or(Ok(false), |notify| notify.pass_on(main_pid))
    }
}

/// What the poll found.
#[derive(Clone, Copy, Debug)]
struct Ready {
    signal: bool,
    ended: bool,
    notify: bool,
    terminal: terminal::Readiness,
}

/// Reaps all children that have ended; the status of the container's own process is kept.
fn reap(init: i32, status_of_init: &mut Option<ExitStatus>) {
    // An error means that there are no children left.
    while let Ok(Some((pid, status))) = waitpid(None::<Pid>, WaitOptions::NOHANG) {
        if pid.as_raw_nonzero().get() == init {
            *status_of_init = status
                .exit_status()
                .map(ExitStatus::Exited)
                .or_else(|| status.terminating_signal().map(ExitStatus::Signaled));
        }
    }
}
