//! Processes by pidfd: signals, ends, exit statuses.

use std::{
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    time::Instant,
};

use rustix::{
    event::{PollFd, PollFlags},
    io::Errno,
    process::{WaitId, WaitIdOptions},
};

use super::arch::{nr, syscall6};

/// How a process ended, as far as it can be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Exited(i32),
    Signaled(i32),
    /// Somebody else took the status and the kernel does not keep it.
    Unknown,
}

/// Sends any signal number, 0 and real-time ones included (rustix knows named ones only).
pub(crate) fn send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> Result<(), Errno> {
    // SAFETY: numbers and a null pointer only.
    let result =
        unsafe { syscall6(nr::PIDFD_SEND_SIGNAL, [pidfd.as_raw_fd() as usize, signal as usize, 0, 0, 0, 0]) };
    errno_of(result).map(drop)
}

fn errno_of(result: isize) -> Result<usize, Errno> {
    match usize::try_from(result) {
        Ok(value) => Ok(value),
        Err(_) => Err(Errno::from_raw_os_error(i32::try_from(-result).unwrap_or(i32::MAX))),
    }
}

/// Whether the process has ended (it may be a zombie).
pub(crate) fn has_ended(pidfd: impl AsFd) -> bool {
    wait_readable(pidfd.as_fd(), Some(Instant::now())).unwrap_or(false)
}

/// Waits until the fd is readable (a pidfd: until the process has ended); false when the deadline passed.
pub(crate) fn wait_readable(fd: BorrowedFd<'_>, deadline: Option<Instant>) -> Result<bool, Errno> {
    loop {
        let timeout = deadline.map(super::timespec_until);
        match rustix::event::poll(&mut [PollFd::new(&fd, PollFlags::IN)], timeout.as_ref()) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Takes the status of a process that has ended, ours or not.
pub(crate) fn status(pidfd: BorrowedFd<'_>) -> Ended {
    loop {
        return match rustix::process::waitid(
            WaitId::PidFd(pidfd),
            WaitIdOptions::EXITED | WaitIdOptions::NOHANG,
        ) {
            Ok(Some(status)) => match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => Ended::Exited(code),
                (_, Some(signal)) => Ended::Signaled(signal),
                _ => Ended::Unknown,
            },
            Err(Errno::INTR) => continue,
            // Not our child, or reaped by somebody else (SIGCHLD ignored, a foreign waitpid): the kernel may still know.
            Ok(None) | Err(_) => kept_status(pidfd).unwrap_or(Ended::Unknown),
        };
    }
}

/// Takes the status of a child whose status nobody wants, waiting for its end.
pub(crate) fn reap(pidfd: impl AsFd) {
    loop {
        match rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED) {
            Err(Errno::INTR) => {}
            // ECHILD: SIGCHLD is ignored or somebody else was faster; either way there is no zombie.
            Ok(_) | Err(_) => return,
        }
    }
}

/// `struct pidfd_info` of Linux 6.15, its first version.
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroupid: u64,
    ids: [u32; 11],
    exit_code: i32,
}

/// `_IOWR(PIDFS_IOCTL_MAGIC, 11, struct pidfd_info)`.
const PIDFD_GET_INFO: usize = (3 << 30) | (size_of::<PidfdInfo>() << 16) | (0xff << 8) | 11;
const PIDFD_INFO_EXIT: u64 = 1 << 3;

/// The pid of a process that is a child of this one; none when it was reaped.
///
/// # Errors
/// `CHILD` for a process of somebody else and for what is no pidfd.
pub(crate) fn pid_of_child(pidfd: &OwnedFd) -> Result<Option<i32>, Errno> {
    let mut info = PidfdInfo::default();
    let info_at = std::ptr::from_mut(&mut info) as usize;
    // SAFETY: the kernel writes at most the size that the request number names.
    let result =
        unsafe { syscall6(nr::IOCTL, [pidfd.as_raw_fd() as usize, PIDFD_GET_INFO, info_at, 0, 0, 0]) };
    match errno_of(result) {
        Ok(_) => {
            let [pid, _, parent, ..] = info.ids;
            if parent == std::process::id() {
                i32::try_from(pid).map(Some).map_err(|_| Errno::CHILD)
            } else {
                Err(Errno::CHILD)
            }
        }
        Err(Errno::SRCH) => Ok(None),
        // Before 6.13.
        Err(_) => pid_of_child_in_proc(pidfd),
    }
}

/// /proc/self/fdinfo has the pid (proc_pid_fdinfo(5)), and waitid(2) knows children only.
fn pid_of_child_in_proc(pidfd: &OwnedFd) -> Result<Option<i32>, Errno> {
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd()))
        .map_err(|_| Errno::CHILD)?;
    let pid = text.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse::<i32>().ok());
    let pid = pid.ok_or(Errno::CHILD)?;
    if pid < 0 {
        return Ok(None);
    }
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), options).map(|_| Some(pid))
}

/// The status that the kernel keeps for holders of a pidfd after the process was reaped (6.15).
fn kept_status(pidfd: BorrowedFd<'_>) -> Option<Ended> {
    let mut info = PidfdInfo { mask: PIDFD_INFO_EXIT, ..PidfdInfo::default() };
    let info_at = std::ptr::from_mut(&mut info) as usize;
    // SAFETY: the kernel writes at most the size that the request number names.
    let result =
        unsafe { syscall6(nr::IOCTL, [pidfd.as_raw_fd() as usize, PIDFD_GET_INFO, info_at, 0, 0, 0]) };
    if result < 0 || info.mask & PIDFD_INFO_EXIT == 0 {
        return None;
    }
    Some(match info.exit_code & 0x7f {
        0 => Ended::Exited((info.exit_code >> 8) & 0xff),
        signal => Ended::Signaled(signal),
    })
}

#[cfg(test)]
mod tests {
    use rustix::{
        io::Errno,
        process::{Pid, PidfdFlags, pidfd_open},
    };

    use super::{pid_of_child, pid_of_child_in_proc};

    #[test]
    fn only_children_are_ours() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let own = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).unwrap();
        let own_pid = i32::try_from(child.id()).unwrap();
        let parent = pidfd_open(rustix::process::getppid().unwrap(), PidfdFlags::empty()).unwrap();
        let file = std::fs::File::open("/dev/null").unwrap().into();
        for ask in [pid_of_child, pid_of_child_in_proc] {
            assert_eq!(ask(&own), Ok(Some(own_pid)));
            assert_eq!(ask(&parent), Err(Errno::CHILD));
            assert_eq!(ask(&file), Err(Errno::CHILD));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        for ask in [pid_of_child, pid_of_child_in_proc] {
            assert_eq!(ask(&own), Ok(None));
        }
    }
}
