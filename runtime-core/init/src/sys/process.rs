//! Processes, namespaces, ids, capabilities.

use core::ffi::CStr;

use super::{
    Errno, Fd, RawFd, arg, check, done, memory::Strings, syscall0, syscall1, syscall2, syscall3, syscall4,
    syscall5,
};
use crate::arch::nr;

pub(crate) const CLONE_PARENT: u64 = 0x8000;
const CLONE_PIDFD: u64 = 0x1000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
const SIGCHLD: u64 = 17;

/// Who a process is after a clone.
pub(crate) enum Cloned {
    Child,
    /// The child's pid and pidfd.
    Parent(i32, Fd),
}

/// Makes a child with a copy of this memory (`clone3(2)`, or `clone(2)` where that is hidden).
///
/// With `CLONE_PARENT` in `flags` it becomes a sibling, which demands exit signal 0; else its end is told by SIGCHLD.
/// With a cgroup it is born in it.
pub(crate) fn clone(flags: u64, cgroup: Option<RawFd>) -> Result<Cloned, Errno> {
    let exit_signal = if flags & CLONE_PARENT == 0 { SIGCHLD } else { 0 };
    let mut pidfd: RawFd = -1;
    let to = &raw mut pidfd;
    // `struct clone_args`: flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
    // set_tid_size, cgroup. The first 64 bytes are version 0; a longer form is used only where it is needed.
    let mut args = [flags | CLONE_PIDFD, to as u64, 0, 0, exit_signal, 0, 0, 0, 0, 0, 0];
    let mut size = 64;
    if let Some(cgroup) = cgroup {
        args[0] |= CLONE_INTO_CGROUP;
        args[10] = cgroup as u64;
        size = 88;
    }
    // SAFETY: without CLONE_VM the child runs on a copy of this stack; the structure and the pidfd's place live here.
    let mut answer = check(unsafe { syscall2(nr::CLONE3, args.as_ptr() as usize, size) });
    if cgroup.is_none() && answer.is_err_and(Errno::is_absent) {
        // The pidfd goes where the parent's tid would (clone(2), since 5.2).
        let flags = flags | CLONE_PIDFD | exit_signal;
        // SAFETY: as above; a null stack is this one's copy.
        answer = check(unsafe { syscall5(nr::CLONE, flags as usize, 0, to as usize, 0, 0) });
    }
    Ok(match answer? {
        0 => Cloned::Child,
        pid => Cloned::Parent(pid as i32, Fd::own(pidfd)),
    })
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Exited(u32),
    Signalled(u32),
}

const WNOHANG: usize = 1;
const WEXITED: usize = 4;
/// Children with another exit signal too.
const WALL: usize = 0x4000_0000;

/// Reaps the child of a pidfd, waiting for its end.
pub(crate) fn wait_pidfd(pidfd: RawFd) -> Result<Ended, Errno> {
    const P_PIDFD: usize = 3;
    const CLD_EXITED: i32 = 1;
    let mut info = [0i32; 32];
    loop {
        // SAFETY: the kernel writes a `siginfo_t` of 128 bytes.
        let answer = done(unsafe {
            syscall5(nr::WAITID, P_PIDFD, arg(pidfd), info.as_mut_ptr() as usize, WEXITED | WALL, 0)
        });
        match answer {
            // si_code is the third word; si_status follows pid and uid, which begin at the fifth (64-bit).
            Ok(()) if info[2] == CLD_EXITED => return Ok(Ended::Exited(info[6] as u32)),
            Ok(()) => return Ok(Ended::Signalled(info[6] as u32)),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Reaps every child that has ended.
pub(crate) fn reap_ended() {
    loop {
        let mut info = [0i32; 32];
        // SAFETY: the kernel writes a `siginfo_t` of 128 bytes.
        let answer = done(unsafe {
            syscall5(nr::WAITID, 0, 0, info.as_mut_ptr() as usize, WEXITED | WNOHANG | WALL, 0)
        });
        // ECHILD: there is none. Success without a pid: none has ended.
        if answer.is_err() || info[4] == 0 {
            return;
        }
    }
}

/// Ends this process.
pub(crate) fn exit(status: i32) -> ! {
    loop {
        // SAFETY: does not return.
        unsafe { syscall1(nr::EXIT_GROUP, arg(status)) };
    }
}

/// `execve(2)`; returns only on failure.
pub(crate) fn execve(path: &CStr, args: &Strings, env: &Strings) -> Errno {
    // SAFETY: path and vectors are null-terminated and live.
    match check(unsafe { syscall3(nr::EXECVE, path.as_ptr() as usize, args.address(), env.address()) }) {
        Err(errno) => errno,
        Ok(_) => Errno::EINVAL,
    }
}

macro_rules! numeric {
    ($($(#[$doc:meta])* $name:ident($($arg:ident),*) = $call:ident, $number:ident;)*) => { $(
        $(#[$doc])*
        pub(crate) fn $name($($arg: i32),*) -> Result<usize, Errno> {
            // SAFETY: numbers only; the call changes this process's own attributes.
            check(unsafe { $call(nr::$number $(, arg($arg))*) })
        }
    )* };
}

numeric! {
    /// `getpid(2)`.
    getpid() = syscall0, GETPID;
    /// `setsid(2)`.
    setsid() = syscall0, SETSID;
    /// `getsid(2)`.
    getsid(pid) = syscall1, GETSID;
    /// `setpgid(2)`.
    setpgid(pid, group) = syscall2, SETPGID;
    /// `setns(2)`.
    setns(namespace, kind) = syscall2, SETNS;
    /// `unshare(2)`.
    unshare(flags) = syscall1, UNSHARE;
    /// `setfsuid(2)`: answers the id before.
    setfsuid(uid) = syscall1, SETFSUID;
    /// `setfsgid(2)`: answers the id before.
    setfsgid(gid) = syscall1, SETFSGID;
}

/// `socket(2)`.
pub(crate) fn unix_datagram_socket() -> Result<Fd, Errno> {
    const AF_UNIX: usize = 1;
    const SOCK_DGRAM_CLOEXEC: usize = 0o2_000_002;
    // SAFETY: numbers only.
    super::new_fd(unsafe { syscall3(nr::SOCKET, AF_UNIX, SOCK_DGRAM_CLOEXEC, 0) })
}

/// `socket(2)`: rtnetlink(7).
pub(crate) fn route_socket() -> Result<Fd, Errno> {
    const AF_NETLINK: usize = 16;
    const SOCK_RAW_CLOEXEC: usize = 0o2_000_003;
    const NETLINK_ROUTE: usize = 0;
    // SAFETY: numbers only.
    super::new_fd(unsafe { syscall3(nr::SOCKET, AF_NETLINK, SOCK_RAW_CLOEXEC, NETLINK_ROUTE) })
}

/// Sets real, effective and saved uid (`setresuid(2)`).
pub(crate) fn set_uid(uid: u32) -> Result<(), Errno> {
    let uid = uid as usize;
    // SAFETY: numbers only.
    done(unsafe { syscall3(nr::SETRESUID, uid, uid, uid) })
}

/// Sets real, effective and saved gid (`setresgid(2)`).
pub(crate) fn set_gid(gid: u32) -> Result<(), Errno> {
    let gid = gid as usize;
    // SAFETY: numbers only.
    done(unsafe { syscall3(nr::SETRESGID, gid, gid, gid) })
}

/// `setgroups(2)`.
pub(crate) fn set_groups(groups: &[u32]) -> Result<(), Errno> {
    // SAFETY: the kernel reads the slice.
    done(unsafe { syscall2(nr::SETGROUPS, groups.len(), groups.as_ptr() as usize) })
}

/// `getgroups(2)`; EINVAL when the buffer is too small.
pub(crate) fn get_groups(buffer: &mut [u32]) -> Result<&[u32], Errno> {
    // SAFETY: the kernel writes at most the slice.
    let len = check(unsafe { syscall2(nr::GETGROUPS, buffer.len(), buffer.as_mut_ptr() as usize) })?;
    buffer.get(..len).ok_or(Errno::EINVAL)
}

/// `prctl(2)` with numbers.
pub(crate) fn prctl(option: i32, a: usize, b: usize) -> Result<usize, Errno> {
    // SAFETY: used for options whose arguments are numbers only.
    check(unsafe { syscall5(nr::PRCTL, arg(option), a, b, 0, 0) })
}

/// `prlimit64(2)` of this process; `u64::MAX` is no limit.
pub(crate) fn set_rlimit(resource: u32, soft: u64, hard: u64) -> Result<(), Errno> {
    let limit = [soft, hard];
    // SAFETY: the kernel reads a `struct rlimit64`; the old limits are not asked for.
    done(unsafe { syscall4(nr::PRLIMIT64, 0, resource as usize, limit.as_ptr() as usize, 0) })
}

/// The sets of `capget(2)` and `capset(2)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Capabilities {
    pub(crate) effective: u64,
    pub(crate) permitted: u64,
    pub(crate) inheritable: u64,
}

/// `struct __user_cap_header_struct` of version 3 for this process.
const CAPABILITIES_OF_SELF: [u32; 2] = [0x2008_0522, 0];

/// `capset(2)`.
pub(crate) fn capset(sets: Capabilities) -> Result<(), Errno> {
    let Capabilities { effective, permitted, inheritable } = sets;
    let low = |set: u64| set as u32;
    let high = |set: u64| (set >> 32) as u32;
    let data = [
        low(effective),
        low(permitted),
        low(inheritable),
        high(effective),
        high(permitted),
        high(inheritable),
    ];
    let header = CAPABILITIES_OF_SELF;
    // SAFETY: header and data have the layout of version 3 and live during the call.
    done(unsafe { syscall2(nr::CAPSET, header.as_ptr() as usize, data.as_ptr() as usize) })
}

/// `capget(2)`.
pub(crate) fn capget() -> Result<Capabilities, Errno> {
    let mut header = CAPABILITIES_OF_SELF;
    let mut data = [0u32; 6];
    // SAFETY: the kernel reads the header, which it may correct, and writes data of version 3's layout.
    done(unsafe { syscall2(nr::CAPGET, header.as_mut_ptr() as usize, data.as_mut_ptr() as usize) })?;
    let join = |at: usize| u64::from(data[at]) | u64::from(data[at + 3]) << 32;
    Ok(Capabilities { effective: join(0), permitted: join(1), inheritable: join(2) })
}

/// `sethostname(2)`.
pub(crate) fn sethostname(name: &CStr) -> Result<(), Errno> {
    // SAFETY: the kernel reads the string's bytes.
    done(unsafe { syscall2(nr::SETHOSTNAME, name.as_ptr() as usize, name.count_bytes()) })
}

/// `setdomainname(2)`.
pub(crate) fn setdomainname(name: &CStr) -> Result<(), Errno> {
    // SAFETY: the kernel reads the string's bytes.
    done(unsafe { syscall2(nr::SETDOMAINNAME, name.as_ptr() as usize, name.count_bytes()) })
}

/// `keyctl(KEYCTL_JOIN_SESSION_KEYRING)`: the keyring's number.
pub(crate) fn join_session_keyring(name: &CStr) -> Result<usize, Errno> {
    // SAFETY: a live string.
    check(unsafe { syscall2(nr::KEYCTL, 1, name.as_ptr() as usize) })
}

/// `keyctl(KEYCTL_SETPERM)`.
pub(crate) fn set_key_permissions(key: usize, permissions: u32) -> Result<(), Errno> {
    // SAFETY: numbers only.
    done(unsafe { syscall3(nr::KEYCTL, 5, key, permissions as usize) })
}
