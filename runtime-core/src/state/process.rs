//! Whether the process of a record still is the one that was recorded.

use std::{fs::File, io::Read, os::fd::OwnedFd};

use rustix::process::{Pid, PidfdFlags};

/// Field 22 of `/proc/PID/stat` (clock ticks after boot) and field 3, the state. None: no such process.
pub(crate) fn start_time(pid: i32) -> Option<(u64, u8)> {
    read_stat(pid).map(|stat| (stat.start, stat.state))
}

/// `PF_FORKNOEXEC` of the kernel's sched.h: set by a fork, cleared by an exec before it closes what is close-on-exec.
const FORKED_WITHOUT_EXEC: u64 = 0x40;

/// Whether the process, if it is the one of that start time, is known to have executed nothing since it was cloned. Its
/// zombie tells too; once that is gone nothing is known.
pub(crate) fn never_executed(pid: i32, started: Option<u64>) -> bool {
    let is_it = |stat: &Stat| started.is_none_or(|started| stat.start == started);
    read_stat(pid).is_some_and(|stat| is_it(&stat) && stat.flags & FORKED_WITHOUT_EXEC != 0)
}

/// What is used of `/proc/PID/stat` (proc_pid_stat(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    state: u8,
    flags: u64,
    start: u64,
}

fn read_stat(pid: i32) -> Option<Stat> {
    let mut stat = Vec::with_capacity(1024);
    // With a limit, so that the size is not asked for, which /proc does not know.
    File::open(format!("/proc/{pid}/stat")).ok()?.take(u64::MAX).read_to_end(&mut stat).ok()?;
    parse_stat(&stat)
}

/// The command name, in parentheses, may hold anything; the last parenthesis ends it.
fn parse_stat(stat: &[u8]) -> Option<Stat> {
    let after_name = stat.iter().rposition(|&byte| byte == b')')? + 1;
    let mut fields = stat.get(after_name..)?.split(|&byte| byte == b' ').filter(|field| !field.is_empty());
    let state = *fields.next()?.first()?;
    let number = |field: &[u8]| std::str::from_utf8(field).ok()?.trim().parse().ok();
    let flags = number(fields.nth(5)?)?;
    Some(Stat { state, flags, start: number(fields.nth(12)?)? })
}

/// A pidfd on the recorded process, if it is alive: no zombie, and not another process with a reused pid.
pub(crate) fn open_recorded(pid: i32, started: u64) -> Option<OwnedFd> {
    let pidfd = rustix::process::pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
    // Looked at after the pidfd was opened: if it fits now, the pidfd is of that process.
    let (start, state) = start_time(pid)?;
    (start == started && state != b'Z' && state != b'X').then_some(pidfd)
}

#[cfg(test)]
mod tests {
    use super::{Stat, never_executed, open_recorded, parse_stat, start_time};

    #[test]
    fn names_with_parentheses_and_blanks_do_not_confuse() {
        let stat = b"7 (a) R 1 (b)) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 0 0\n";
        assert_eq!(parse_stat(stat), Some(Stat { state: b'S', flags: 4_194_560, start: 4711 }));
        assert_eq!(parse_stat(b"7 (a"), None);
        assert_eq!(parse_stat(b"7 (a) S 1"), None);
    }

    #[test]
    fn this_process_is_alive_and_another_start_time_is_another_process() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let (start, _) = start_time(pid).unwrap();
        assert!(open_recorded(pid, start).is_some());
        assert!(open_recorded(pid, start + 1).is_none());
        assert!(open_recorded(0, start).is_none());
        assert!(!never_executed(pid, Some(start)));
    }
}
