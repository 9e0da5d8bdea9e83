//! Hooks that run in the container's namespaces: a child each, with the state on stdin, watched until it ends.

use core::ffi::CStr;

use super::{At, Failure, Init};
use crate::{
    sys::{
        Errno, Fd, RawFd, file, memory,
        memory::Strings,
        process::{self, Cloned, Ended},
        signal::{self, POLLIN, POLLOUT, PollFd, SIGKILL, SIGPIPE},
    },
    wire::{
        Malformed, Op,
        message::{Detail, HOOK_OUTPUT_MAX},
    },
};

/// What a hook's child needs.
struct Program<'a> {
    path: &'static CStr,
    args: Strings,
    env: Strings,
    umask: u32,
    /// Where it starts: the rootfs before the pivot, else where init is.
    directory: Option<&'a Fd>,
}

/// Init's ends of the pipes.
struct Pipes {
    stdin: Option<Fd>,
    output: Option<Fd>,
    /// An errno, should the program not start.
    started: Fd,
}

/// The step *Hook*.
pub(super) fn run(init: &mut Init, op: &Op<'static>) -> Result<(), Failure> {
    let Op::Hook { path, args, env, state, pid_at, pid_len, timeout_ms } = *op else {
        return Err(Malformed.into());
    };
    let program = Program {
        path,
        args: Strings::new(&args, None)?,
        env: Strings::new(&env, None)?,
        umask: init.umask,
        directory: init.rootfs.as_ref().filter(|_| !init.is_inside),
    };
    let state = state_with_pid(state, pid_at as usize, pid_len as usize)?;
    let deadline =
        (timeout_ms != 0).then(|| signal::monotonic().saturating_add(timeout_ms.saturating_mul(1_000_000)));
    let (pid, pidfd, pipes) = start(&program).at(Detail::HOOK_START)?;
    let mut watch = Watch { pipes, state, output: [0; HOOK_OUTPUT_MAX], len: 0 };
    let ended = watch.wait(pid, &pidfd, deadline)?;
    // As PID 1 init inherits what the hook left behind.
    process::reap_ended();
    let failure = match ended {
        None => Failure::new(Errno::ETIMEDOUT, Detail::HOOK_TIMEOUT),
        Some(ended) => match (watch.start_failure(), ended) {
            (Some(errno), _) => Failure::new(errno, Detail::HOOK_START),
            (None, Ended::Exited(0)) => return Ok(()),
            (None, Ended::Exited(status)) => Failure::new(Errno(0), Detail::HOOK_STATUS.with(status)),
            (None, Ended::Signalled(signal)) => Failure::new(Errno(0), Detail::HOOK_SIGNAL.with(signal)),
        },
    };
    init.conversation.send_hook_output(&watch.output[..watch.len])?;
    Err(failure)
}

/// The state with init's pid, as this pid namespace shows it, in the place kept for it.
fn state_with_pid(state: &[u8], at: usize, len: usize) -> Result<&'static [u8], Failure> {
    let copy = memory::zeroed(state.len())?;
    let copy = copy.get_mut(..state.len()).ok_or(Malformed)?;
    copy.copy_from_slice(state);
    if len != 0 {
        let place = at.checked_add(len).and_then(|end| copy.get_mut(at..end)).ok_or(Malformed)?;
        write_decimal(place, process::getpid()?).ok_or(Malformed)?;
    }
    Ok(copy)
}

/// Writes a number and blanks behind it. None where it does not fit.
fn write_decimal(place: &mut [u8], number: usize) -> Option<()> {
    let digits = number.checked_ilog10().unwrap_or(0) as usize + 1;
    place.fill(b' ');
    let mut rest = number;
    for digit in place.get_mut(..digits)?.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    Some(())
}

fn start(program: &Program<'_>) -> Result<(i32, Fd, Pipes), Errno> {
    let (stdin_read, stdin) = file::pipe()?;
    let (output, output_write) = file::pipe()?;
    let (started, started_write) = file::pipe()?;
    for ours in [&stdin, &output, &started] {
        file::set_nonblocking(ours.raw())?;
    }
    match process::clone(0, None)? {
        Cloned::Child => {
            let errno = become_hook(program, stdin_read.raw(), output_write.raw());
            // If this fails too the status says that the hook failed.
            let told = file::write(started_write.raw(), &errno.0.to_le_bytes());
            process::exit(if told.is_ok() { 127 } else { 126 })
        }
        Cloned::Parent(pid, pidfd) => {
            // The child does the same; whoever is first. EACCES: it has executed its program already.
            match process::setpgid(pid, pid) {
                Ok(_) | Err(Errno::EACCES | Errno::ESRCH) => {}
                Err(errno) => {
                    // The first failure is the one to tell; a child that has ended needs no signal.
                    let _ended = signal::kill(pid, SIGKILL);
                    return Err(errno);
                }
            }
            Ok((pid, pidfd, Pipes { stdin: Some(stdin), output: Some(output), started }))
        }
    }
}

/// The child: comes back only with the reason why the program could not be executed.
fn become_hook(program: &Program<'_>, stdin: RawFd, output: RawFd) -> Errno {
    let prepared = || -> Result<(), Errno> {
        process::setpgid(0, 0)?;
        if let Some(directory) = program.directory {
            file::fchdir(directory.raw())?;
        }
        // The pipes are above 2: stdio was open before them.
        file::dup_inherited(stdin, 0)?;
        file::dup_inherited(output, 1)?;
        file::dup_inherited(output, 2)?;
        // The fds preserved for the container's program are not for hooks.
        match file::cloexec_from(3) {
            Err(errno) if errno.is_absent() || errno == Errno::EINVAL => (3..1024).for_each(|fd| {
                // EBADF: not open.
                file::set_cloexec(fd).unwrap_or(());
            }),
            answer => answer?,
        }
        file::umask(program.umask);
        signal::set_mask(0);
        Ok(())
    };
    match prepared() {
        Ok(()) => process::execve(program.path, &program.args, &program.env),
        Err(errno) => errno,
    }
}

struct Watch {
    pipes: Pipes,
    /// What of the state the hook has not read.
    state: &'static [u8],
    output: [u8; HOOK_OUTPUT_MAX],
    len: usize,
}

impl Watch {
    /// Feeds and listens until the child ends; none when it had to be killed at the deadline. Pipe ends that its own
    /// children keep are not waited for.
    fn wait(&mut self, pid: i32, pidfd: &Fd, deadline: Option<u64>) -> Result<Option<Ended>, Errno> {
        loop {
            self.feed();
            self.listen();
            let left = deadline.map(|deadline| deadline.saturating_sub(signal::monotonic()));
            if left == Some(0) {
                // The whole group; the child alone should it have left it.
                for target in [-pid, pid] {
                    match signal::kill(target, SIGKILL) {
                        Ok(()) | Err(Errno::ESRCH) => {}
                        Err(errno) => return Err(errno),
                    }
                }
                process::wait_pidfd(pidfd.raw())?;
                self.listen();
                return Ok(None);
            }
            let raw = |fd: &Option<Fd>| fd.as_ref().map_or(-1, Fd::raw);
            let mut fds = [
                PollFd::new(pidfd.raw(), POLLIN),
                PollFd::new(raw(&self.pipes.stdin), POLLOUT),
                PollFd::new(raw(&self.pipes.output), POLLIN),
            ];
            signal::poll(&mut fds, left)?;
            if fds[0].is_ready() {
                let ended = process::wait_pidfd(pidfd.raw())?;
                self.listen();
                return Ok(Some(ended));
            }
        }
    }

    /// Writes what the pipe takes; closes it after the last byte, or when nobody reads.
    fn feed(&mut self) {
        while let Some(stdin) = &self.pipes.stdin {
            match file::write(stdin.raw(), self.state) {
                _ if self.state.is_empty() => self.pipes.stdin = None,
                Ok(len) => self.state = &self.state[len..],
                Err(Errno::EAGAIN) => return,
                Err(_) => {
                    // A hook need not read its stdin. The signal is blocked and must not wait for the program.
                    signal::take_pending(signal::bit(SIGPIPE));
                    self.pipes.stdin = None;
                }
            }
        }
    }

    /// Reads what is there: keeps the first bytes and throws the others away, so that the hook never blocks.
    fn listen(&mut self) {
        /// Bounds the reading from a child that the hook left behind and that never stops to print.
        const ROUNDS_MAX: u32 = 64;
        for _ in 0..ROUNDS_MAX {
            let Some(output) = &self.pipes.output else { return };
            let mut rest = [0; 1024];
            let place =
                if self.len < self.output.len() { &mut self.output[self.len..] } else { &mut rest[..] };
            match file::read(output.raw(), place) {
                Err(Errno::EAGAIN) => return,
                Ok(0) | Err(_) => self.pipes.output = None,
                Ok(len) if self.len < self.output.len() => self.len += len,
                Ok(_) => {}
            }
        }
    }

    /// The errno with which the program could not be executed.
    fn start_failure(&self) -> Option<Errno> {
        let mut errno = [0; 4];
        match file::read(self.pipes.started.raw(), &mut errno) {
            Ok(4) => Some(Errno(i32::from_le_bytes(errno))),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_padded_with_blanks() {
        for (number, expected) in [(0, "0   "), (1, "1   "), (42, "42  "), (1000, "1000")] {
            let mut place = *b"????";
            assert_eq!(write_decimal(&mut place, number), Some(()));
            assert_eq!(core::str::from_utf8(&place).unwrap(), expected);
        }
        assert_eq!(write_decimal(&mut [0; 4], 10_000), None);
    }

    #[test]
    fn state_gets_the_pid_in_its_place() {
        let state = state_with_pid(b"{\"pid\":          }", 7, 10).unwrap();
        let expected = std::format!("{{\"pid\":{:<10}}}", std::process::id());
        assert_eq!(core::str::from_utf8(state).unwrap(), expected);
        assert_eq!(state_with_pid(b"{}", 0, 0).unwrap(), b"{}");
        assert!(state_with_pid(b"{}", 1, 10).is_err());
        assert!(state_with_pid(b"{}", usize::MAX, 2).is_err());
    }
}
