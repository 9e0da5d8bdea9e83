//! Fds from 3 on that the container's process inherits: those of socket activation first, then `--preserve-fds`.

use std::{
    env,
    ffi::OsStr,
    io,
    os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

use rustix::io::{Errno, FdFlags, fcntl_getfd, fcntl_setfd};

use crate::failure::{Failure, Result};

const FIRST: RawFd = 3;
/// More than any limit on open files allows on a sane host, and far from the end of the numbers.
const MOST: u32 = 1 << 20;

/// How many fds are passed, and what tells the process of them.
#[derive(Debug)]
pub struct InheritedFds {
    listen: u32,
    preserve: u32,
    listen_names: Option<String>,
}

impl InheritedFds {
    /// None.
    pub fn none() -> Self {
        Self { listen: 0, preserve: 0, listen_names: None }
    }

    /// From `--preserve-fds` alone (`exec`: the sockets are the container's, not those of a process that is added).
    pub fn preserved(preserve: Option<&OsStr>) -> Result<Self> {
        Self::check(preserve, 0)
    }

    /// From `--preserve-fds` and the environment; all of them have to be open.
    pub fn find(preserve: Option<&OsStr>) -> Result<Self> {
        Self::check(preserve, listen_fds(std::process::id(), |name| env::var(name).ok()))
    }

    fn check(preserve: Option<&OsStr>, listen: u32) -> Result<Self> {
        let preserve = match preserve {
            None => 0,
            Some(word) => {
                word.to_str().and_then(|word| word.parse().ok()).filter(|count| *count <= MOST).ok_or_else(
                    || {
                        Failure::new(format!(
                            "invalid value {word:?} for flag -preserve-fds: not a number from 0 on"
                        ))
                    },
                )?
            }
        };
        let found = Self {
            listen,
            preserve,
            listen_names: (listen > 0).then(|| env::var("LISTEN_FDNAMES").ok()).flatten(),
        };
        found.numbers_from(found.listen).enumerate().try_for_each(|(index, fd)| {
            let what = format_args!("unable to stat preserved-fd {index} (of {preserve})").to_string();
            check_inherited(fd).map_err(|error| Failure::io(what, error))
        })?;
        Ok(found)
    }

    /// How many.
    pub fn count(&self) -> u32 {
        self.listen + self.preserve
    }

    /// What the process is told.
    pub fn environment(&self) -> Vec<String> {
        if self.listen == 0 {
            return Vec::new();
        }
        let names = self.listen_names.as_ref().map(|names| format!("LISTEN_FDNAMES={names}"));
        // The process is pid 1 as it sees itself.
        let fixed = [format!("LISTEN_FDS={}", self.listen), "LISTEN_PID=1".to_owned()];
        fixed.into_iter().chain(names).collect()
    }

    /// Takes the fds.
    pub fn into_fds(self) -> Result<Vec<OwnedFd>> {
        self.numbers_from(0)
            .map(|number| take(number).map_err(|error| Failure::io(format_args!("take fd {number}"), error)))
            .collect()
    }

    fn numbers_from(&self, index: u32) -> impl Iterator<Item = RawFd> + use<> {
        // Both counts are at most MOST.
        let number = |index: u32| FIRST.saturating_add_unsigned(index);
        number(index)..number(self.count())
    }
}

/// Whether the fd came from our caller: open, and not close-on-exec as all are that this program opens itself. Without
/// that, a hole in the caller's fds would be filled by our log file, and the container would inherit it.
fn check_inherited(number: RawFd) -> io::Result<()> {
    // SAFETY: the number is used for one fcntl(2) only, which answers EBADF when it is not open.
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    if fcntl_getfd(fd)?.contains(FdFlags::CLOEXEC) { Err(Errno::BADF.into()) } else { Ok(()) }
}

fn take(number: RawFd) -> io::Result<OwnedFd> {
    check_inherited(number)?;
    // SAFETY: an open fd that is not close-on-exec was inherited from our caller (see above), so no value of this
    // program owns it; `into_fds` takes each number once and consumes the only value that leads here.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    fcntl_setfd(&fd, FdFlags::CLOEXEC)?;
    Ok(fd)
}

/// The number of activation sockets; they are ours only when `LISTEN_PID` is our pid (sd_listen_fds(3)).
fn listen_fds(own_pid: u32, variable: impl Fn(&str) -> Option<String>) -> u32 {
    let number = |name| variable(name).and_then(|value| value.parse::<u32>().ok());
    if number("LISTEN_PID") == Some(own_pid) { number("LISTEN_FDS").unwrap_or(0).min(MOST) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::{InheritedFds, listen_fds};

    #[test]
    fn activation_sockets_count_only_for_the_pid_they_are_meant_for() {
        for (pid, fds, count) in [
            (Some("7"), Some("2"), 2),
            (Some("8"), Some("2"), 0),
            (None, Some("2"), 0),
            (Some("7"), Some("x"), 0),
        ] {
            let variable = |name: &str| match name {
                "LISTEN_PID" => pid.map(str::to_owned),
                _ => fds.map(str::to_owned),
            };
            assert_eq!(listen_fds(7, variable), count, "{pid:?} {fds:?}");
        }
    }

    #[test]
    fn the_process_sees_its_own_pid() {
        let fds = InheritedFds { listen: 2, preserve: 1, listen_names: Some("a:b".into()) };
        assert_eq!(fds.count(), 3);
        assert_eq!(fds.environment(), ["LISTEN_FDS=2", "LISTEN_PID=1", "LISTEN_FDNAMES=a:b"]);
        assert!(InheritedFds::none().environment().is_empty());
    }

    #[test]
    fn a_closed_fd_is_named() {
        let failure = InheritedFds::find(Some("60000".as_ref())).expect_err("not all open");
        assert!(failure.line().starts_with("unable to stat preserved-fd "), "{}", failure.line());
        assert!(failure.line().ends_with("(of 60000): bad file descriptor"), "{}", failure.line());
        assert!(InheritedFds::find(Some("-1".as_ref())).is_err());
    }
}
