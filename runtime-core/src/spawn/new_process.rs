//! The new process as the host sees it: what is set from outside, and how it ended when it did too early.

use std::os::fd::{AsFd, OwnedFd};

use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
    process::Pid,
};

use super::{Creation, Purpose, id_maps::write_at};
use crate::{
    Error, ErrorKind, Result,
    cgroup::Cgroup,
    sys::pidfd::{self, Ended},
};

/// What a filter of system calls kills with (seccomp(2)).
const SIGSYS: i32 = 31;

impl Creation<'_> {
    /// `/proc/PID`, opened first and then seen alive, so that it is not a successor of the same number.
    pub(super) fn open_proc(&mut self) -> Result<OwnedFd> {
        let Some(process) = self.conversation()?.speaker() else {
            return Err(Error::new(ErrorKind::Kernel, "init is gone"));
        };
        let path = format!("/proc/{}", process.pid);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(path.as_str(), flags, Mode::empty())
            .map_err(|errno| Error::from_errno(format!("cannot open {path}"), errno.raw_os_error()))?;
        match pidfd::has_ended(process.pidfd.as_fd()) {
            false => Ok(dir),
            true => Err(Error::new(ErrorKind::Kernel, "init ended early")),
        }
    }

    pub(super) fn set_oom_score_adj(&mut self, value: i32) -> Result<()> {
        let written = write_at(&self.open_proc()?, "oom_score_adj", &value.to_string());
        written.map_err(|error| match error.kind() {
            ErrorKind::PermissionDenied => error.with_hint(
                "lowering it below the caller's own value needs CAP_SYS_RESOURCE on the machine itself",
            ),
            _ => error,
        })
    }

    pub(super) fn set_rlimit(&self, resource: u32, name: &str, soft: u64, hard: u64) -> Result<()> {
        let failed = |errno: i32| {
            Error::from_errno(format!("cannot set rlimit {name} to soft {soft}, hard {hard}"), errno)
        };
        let resource =
            crate::sys::rlimit::from_number(resource).ok_or_else(|| failed(Errno::INVAL.raw_os_error()))?;
        let bound = |value: u64| (value != u64::MAX).then_some(value);
        let limit = rustix::process::Rlimit { current: bound(soft), maximum: bound(hard) };
        match rustix::process::prlimit(Pid::from_raw(self.record.pid), resource, limit) {
            Ok(_) => Ok(()),
            Err(errno @ Errno::PERM) => Err(failed(errno.raw_os_error()).with_hint(
                "raising a hard limit needs CAP_SYS_RESOURCE, which the runtime does not have here",
            )),
            Err(errno) => Err(failed(errno.raw_os_error())),
        }
    }

    /// How init, or the launcher before it, ended.
    pub(super) fn end_of_init(&mut self) -> Ended {
        match &mut self.made.conversation {
            Some(conversation) if conversation.has_ended() => conversation.kill().unwrap_or(Ended::Unknown),
            // It lives: the status would be that of our own kill.
            Some(conversation) => {
                conversation.kill();
                Ended::Unknown
            }
            None => Ended::Unknown,
        }
    }

    pub(super) fn died(&self, ended: Ended) -> Error {
        let (who, cgroup) = match self.purpose {
            Purpose::Create(_) => ("container init", self.cgroup().ok()),
            Purpose::Exec(exec) => ("the process", exec.cgroup.as_ref().map(|cgroup| &cgroup.container)),
        };
        let memory_killed =
            || matches!(cgroup.map(Cgroup::oom_kill_count), Some(Ok(Some(count))) if count > 0);
        match (ended, &self.purpose) {
            (Ended::Signaled(9), Purpose::Create(_)) if memory_killed() => {
                Error::new(ErrorKind::Kernel, "container init was OOM-killed (memory limit too low?)")
                    .with_config_path("linux.resources.memory.limit")
            }
            // Others of the container may be the ones that were killed.
            (Ended::Signaled(9), Purpose::Exec(_)) if memory_killed() => {
                Error::new(ErrorKind::Kernel, "the process was killed by signal 9 (possibly OOM-killed)")
            }
            (Ended::Signaled(SIGSYS), _) => {
                let words = "the filter of system calls kills a call that setting up needs";
                Error::new(ErrorKind::Kernel, format!("{who} was killed by SIGSYS: {words}"))
                    .with_config_path("linux.seccomp")
            }
            (Ended::Signaled(signal), _) => {
                Error::new(ErrorKind::Kernel, format!("{who} was killed by signal {signal}"))
            }
            (Ended::Exited(code), _) => {
                Error::new(ErrorKind::Kernel, format!("{who} ended with status {code} without a word"))
            }
            (Ended::Unknown, _) => Error::new(ErrorKind::Kernel, format!("{who} ended without a word")),
        }
    }
}
