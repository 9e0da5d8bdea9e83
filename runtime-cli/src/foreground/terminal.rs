//! Our terminal in raw mode, connected with the container's: what is typed goes in, what it writes comes out.
//!
//! Ours translates nothing in either direction; line ends and echo are the container's terminal's, which stays as the
//! kernel made it. At most one chunk is under way in each direction, so a slow side slows the other down and nothing is lost. The mode
//! is restored when the value is dropped, whatever the way out.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::{Mode, OFlags, fcntl_getfl, fcntl_setfl, open},
    io::Errno,
    stdio::{stderr, stdin, stdout},
    termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize},
};

use crate::failure::{Failure, Result};

/// A write of at most a page to a pipe that poll(2) calls writable does not block.
const CHUNK: usize = 4096;

/// Our terminal and the container's.
#[derive(Debug)]
pub struct Terminal {
    /// Ours.
    host: OwnedFd,
    mode_before: Termios,
    /// The container's other end.
    master: OwnedFd,
    typed: Chunk,
    stdin_open: bool,
    written: Chunk,
    master_open: bool,
    stdout_open: bool,
}

/// What poll found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Readiness {
    stdin: bool,
    stdout: bool,
    master_read: bool,
    master_write: bool,
}

impl Terminal {
    /// Finds our terminal, gives the container's its size and goes to raw mode.
    pub fn connect(master: OwnedFd) -> Result<Self> {
        let host = find_terminal().map_err(|error| Failure::io("open the terminal /dev/tty", error))?;
        let mode_before = tcgetattr(&host).map_err(|errno| Failure::io("read the terminal's mode", errno))?;
        // Our file description alone: the container has the other end.
        fcntl_getfl(&master)
            .and_then(|flags| fcntl_setfl(&master, flags | OFlags::NONBLOCK))
            .map_err(|errno| Failure::io("set up the container's terminal", errno))?;
        let mut raw = mode_before.clone();
        raw.make_raw();
        tcsetattr(&host, OptionalActions::Now, &raw)
            .map_err(|errno| Failure::io("put the terminal into raw mode", errno))?;
        let terminal = Self {
            host,
            mode_before,
            master,
            typed: Chunk::default(),
            stdin_open: true,
            written: Chunk::default(),
            master_open: true,
            stdout_open: true,
        };
        terminal.resize();
        Ok(terminal)
    }

    /// Gives the container's terminal the size of ours. Neither side can do anything about a failure.
    pub fn resize(&self) {
        match tcgetwinsize(&self.host).and_then(|size| tcsetwinsize(&self.master, size)) {
            Ok(()) | Err(_) => {}
        }
    }

    /// Adds what is waited for: only what could be handled at once, else poll would not wait.
    pub fn add_to<'a>(&'a self, fds: &mut Vec<PollFd<'a>>) {
        if self.wants_stdin() {
            fds.push(PollFd::from_borrowed_fd(stdin(), PollFlags::IN));
        }
        if self.wants_stdout() {
            fds.push(PollFd::from_borrowed_fd(stdout(), PollFlags::OUT));
        }
        let events = self.master_events();
        if !events.is_empty() {
            fds.push(PollFd::new(&self.master, events));
        }
    }

    /// Reads what poll found, in the order of `add_to`.
    pub fn readiness(&self, fds: &[PollFd<'_>]) -> Readiness {
        let mut fds = fds.iter().map(PollFd::revents);
        let mut take =
            |wanted: bool| if wanted { fds.next().unwrap_or(PollFlags::empty()) } else { PollFlags::empty() };
        let (input, output) = (take(self.wants_stdin()), take(self.wants_stdout()));
        let master = take(!self.master_events().is_empty());
        let gone = master.intersects(PollFlags::HUP | PollFlags::ERR);
        Readiness {
            stdin: !input.is_empty(),
            stdout: !output.is_empty(),
            master_read: gone || master.contains(PollFlags::IN),
            master_write: gone || master.contains(PollFlags::OUT),
        }
    }

    /// Copies what is ready.
    pub fn copy(&mut self, ready: Readiness) -> Result<()> {
        if ready.stdin && self.wants_stdin() {
            // Without input, or in the background (EIO), there is nothing more to be typed.
            self.stdin_open = self.typed.fill(stdin()).unwrap_or(0) > 0;
        }
        if ready.master_write && !self.typed.is_empty() {
            match self.typed.empty_into(&self.master) {
                Ok(()) | Err(Errno::AGAIN) => {}
                // The other side is gone; reading tells for good.
                Err(_) => self.typed.clear(),
            }
        }
        if ready.master_read && self.master_open && self.written.is_empty() {
            self.read_master();
        }
        if ready.stdout && !self.written.is_empty() {
            self.write_stdout()?;
        }
        Ok(())
    }

    /// Copies what is left when the container's process has ended.
    pub fn drain(&mut self) -> Result<()> {
        loop {
            while !self.written.is_empty() {
                wait_for_stdout()?;
                self.write_stdout()?;
            }
            if !self.master_open || !self.read_master() {
                return Ok(());
            }
        }
    }

    /// True when something was read. EIO is how a terminal whose other end is closed says so.
    fn read_master(&mut self) -> bool {
        match self.written.fill(self.master.as_fd()) {
            Ok(length) if length > 0 => true,
            Err(Errno::AGAIN | Errno::INTR) => false,
            Ok(_) | Err(_) => {
                self.master_open = false;
                false
            }
        }
    }

    fn write_stdout(&mut self) -> Result<()> {
        if !self.stdout_open {
            self.written.clear();
            return Ok(());
        }
        match self.written.empty_into(stdout()) {
            Ok(()) | Err(Errno::INTR | Errno::AGAIN) => Ok(()),
            Err(Errno::PIPE | Errno::IO) => {
                // Nobody sees it any more; the container goes on.
                self.stdout_open = false;
                self.written.clear();
                Ok(())
            }
            Err(errno) => Err(Failure::io("write to stdout", errno)),
        }
    }

    fn wants_stdin(&self) -> bool {
        self.stdin_open && self.master_open && self.typed.is_empty()
    }

    fn wants_stdout(&self) -> bool {
        !self.written.is_empty()
    }

    fn master_events(&self) -> PollFlags {
        let mut events = PollFlags::empty();
        if self.master_open {
            events.set(PollFlags::IN, self.written.is_empty());
            events.set(PollFlags::OUT, !self.typed.is_empty());
        }
        events
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        match tcsetattr(&self.host, OptionalActions::Now, &self.mode_before) {
            // A terminal that is gone has no mode to restore.
            Ok(()) | Err(_) => {}
        }
    }
}

/// Bytes on their way.
#[derive(Debug)]
struct Chunk {
    bytes: [u8; CHUNK],
    from: usize,
    to: usize,
}

impl Default for Chunk {
    fn default() -> Self {
        Self { bytes: [0; CHUNK], from: 0, to: 0 }
    }
}

impl Chunk {
    fn is_empty(&self) -> bool {
        self.from == self.to
    }

    fn clear(&mut self) {
        (self.from, self.to) = (0, 0);
    }

    fn fill(&mut self, source: BorrowedFd<'_>) -> Result<usize, Errno> {
        self.clear();
        self.to = rustix::io::read(source, &mut self.bytes)?;
        Ok(self.to)
    }

    fn empty_into(&mut self, target: impl AsFd) -> Result<(), Errno> {
        self.from += rustix::io::write(target, &self.bytes[self.from..self.to])?;
        Ok(())
    }
}

/// The first of stderr, stdout and stdin that is a terminal, else the controlling one.
fn find_terminal() -> io::Result<OwnedFd> {
    for fd in [stderr(), stdout(), stdin()] {
        if isatty(fd) {
            return Ok(rustix::io::fcntl_dupfd_cloexec(fd, 0)?);
        }
    }
    Ok(open("/dev/tty", OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOCTTY, Mode::empty())?)
}

fn wait_for_stdout() -> Result<()> {
    let mut fds = [PollFd::from_borrowed_fd(stdout(), PollFlags::OUT)];
    match poll(&mut fds, None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(Failure::io("wait for stdout", errno)),
    }
}
