//! Waiting for the start signal.

use super::{At, Failure};
use crate::{
    conversation::Conversation,
    sys::{
        Errno, Fd, RawFd, file, process,
        signal::{self, POLLIN, PollFd, SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM},
    },
    wire::message::{Barrier, Detail, Kind, StartRecord},
};

/// Signals that end a created container: a PID 1 with default dispositions would not see them.
const ENDING: u64 = signal::bit(SIGTERM) | signal::bit(SIGINT) | signal::bit(SIGHUP) | signal::bit(SIGQUIT);

/// The signals that a waiting init looks for.
pub(super) fn open_ending() -> Result<Fd, Errno> {
    signal::signalfd(ENDING | signal::bit(SIGCHLD))
}

/// The step *AwaitStart*.
pub(super) fn await_start(
    conversation: &mut Conversation,
    ending: &Fd,
    fifo: Option<RawFd>,
    answer: Option<RawFd>,
) -> Result<(), Failure> {
    let start = fifo.unwrap_or_else(|| conversation.channel());
    loop {
        let mut fds = [PollFd::new(start, POLLIN), PollFd::new(ending.raw(), POLLIN)];
        signal::poll(&mut fds, None)?;
        if fds[1].is_ready() {
            match signal::read_signalfd(ending.raw())? {
                // What hooks left behind became a child of PID 1.
                SIGCHLD => process::reap_ended(),
                signal => end_by(signal, conversation, fifo.is_some()),
            }
        }
        if fds[0].is_ready() && is_started(conversation, fifo)? {
            break;
        }
    }
    if let Some(answer) = answer {
        conversation.turn_to(answer);
    }
    Ok(())
}

/// Takes the start signal, if it has come.
fn is_started(conversation: &Conversation, fifo: Option<RawFd>) -> Result<bool, Failure> {
    let Some(fifo) = fifo else {
        let (proceed, _) = conversation.receive(Kind::Proceed)?;
        return Ok(proceed.value == Barrier::Start as u32);
    };
    let mut record = [0; StartRecord::SIZE];
    match file::read(fifo, &mut record) {
        // A record is written at once (shorter than PIPE_BUF).
        Ok(StartRecord::SIZE) => {}
        Ok(0) | Err(Errno::EAGAIN | Errno::EINTR) => return Ok(false),
        Ok(_) => return Err(Failure::new(Errno::EPROTO, Detail::CHANNEL)),
        Err(errno) => return Err(Failure::new(errno, Detail::CHANNEL)),
    }
    match StartRecord::from_bytes(&record) {
        Some(StartRecord { version: StartRecord::VERSION, length: 0 }) => Ok(true),
        // Late values of a newer release, which this program cannot honour.
        _ => Err(Failure::new(Errno::EPROTO, Detail::CHANNEL)),
    }
}

/// Dies of the signal where the kernel lets it, else with the status that says so.
fn end_by(signal: u32, conversation: &Conversation, is_created: bool) -> ! {
    if !is_created {
        // The host waits at the channel's other end. A created container has nobody there.
        conversation.send_failure(Failure::new(Errno::EINTR, Detail::SIGNALLED.with(signal)));
    }
    signal::set_mask(!signal::bit(signal));
    let killed = process::getpid().and_then(|pid| signal::kill(pid as i32, signal)).at(Detail::SIGNALLED);
    // As PID 1 of its namespace init outlives even its own signals.
    process::exit(if killed.is_ok() { 128 + signal as i32 } else { 1 })
}
