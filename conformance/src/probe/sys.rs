//! The C library's functions that the probe calls, declared by hand: the probe has no dependencies.

#![allow(clippy::missing_safety_doc, reason = "declarations of libc; each call states why it is sound")]

use std::ffi::{c_char, c_int, c_long, c_uint, c_ulong, c_void};

pub(crate) const SIG_BLOCK: c_int = 0;
pub(crate) const SIGTERM: c_int = 15;
pub(crate) const PR_GET_DUMPABLE: c_int = 3;
pub(crate) const PR_GET_SECUREBITS: c_int = 27;
pub(crate) const PR_GET_TIMERSLACK: c_int = 30;
pub(crate) const TIOCGWINSZ: c_ulong = 0x5413;
pub(crate) const TIOCGPGRP: c_ulong = 0x540f;
pub(crate) const SIOCGIFFLAGS: c_ulong = 0x8913;
pub(crate) const AF_INET: c_int = 2;
pub(crate) const SOCK_DGRAM: c_int = 2;
pub(crate) const O_CLOEXEC: c_int = 0o2_000_000;
pub(crate) const KEYCTL_GET_KEYRING_ID: c_long = 0;
pub(crate) const KEYCTL_DESCRIBE: c_long = 6;
pub(crate) const KEY_SPEC_SESSION_KEYRING: c_long = -3;
#[cfg(target_arch = "x86_64")]
pub(crate) const SYS_KEYCTL: c_long = 250;
#[cfg(target_arch = "x86_64")]
pub(crate) const SYS_IOPRIO_GET: c_long = 252;
#[cfg(target_arch = "x86_64")]
pub(crate) const SYS_SCHED_GETATTR: c_long = 315;
#[cfg(target_arch = "x86_64")]
pub(crate) const SYS_GET_MEMPOLICY: c_long = 239;
#[cfg(not(target_arch = "x86_64"))]
pub(crate) const SYS_SCHED_GETATTR: c_long = 275;
#[cfg(not(target_arch = "x86_64"))]
pub(crate) const SYS_GET_MEMPOLICY: c_long = 236;
#[cfg(not(target_arch = "x86_64"))]
pub(crate) const SYS_KEYCTL: c_long = 219;
#[cfg(not(target_arch = "x86_64"))]
pub(crate) const SYS_IOPRIO_GET: c_long = 31;
/// `_NSIG / 8` rounded up to what every libc uses for `sigset_t`.
pub(crate) type SigSet = [c_ulong; 16];

#[repr(C)]
#[derive(Default)]
pub(crate) struct Winsize {
    pub(crate) rows: u16,
    pub(crate) columns: u16,
    pub(crate) x: u16,
    pub(crate) y: u16,
}

/// `struct sched_attr` without the clamps.
#[repr(C)]
#[derive(Default)]
pub(crate) struct SchedAttr {
    pub(crate) size: u32,
    pub(crate) policy: u32,
    pub(crate) flags: u64,
    pub(crate) nice: i32,
    pub(crate) priority: u32,
    pub(crate) runtime: u64,
    pub(crate) deadline: u64,
    pub(crate) period: u64,
}

/// `struct ifreq` as far as its flags: the name, then a union of 24 bytes.
#[repr(C)]
pub(crate) struct IfReq {
    pub(crate) name: [u8; 16],
    pub(crate) flags: u16,
    pub(crate) rest: [u8; 22],
}

unsafe extern "C" {
    pub(crate) fn syscall(number: c_long, ...) -> c_long;
    pub(crate) fn prctl(option: c_int, ...) -> c_int;
    pub(crate) fn ioctl(fd: c_int, request: c_ulong, ...) -> c_int;
    pub(crate) fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int;
    pub(crate) fn close(fd: c_int) -> c_int;
    pub(crate) fn getpgid(pid: c_int) -> c_int;
    pub(crate) fn getsid(pid: c_int) -> c_int;
    pub(crate) fn gethostname(name: *mut c_char, length: usize) -> c_int;
    pub(crate) fn getdomainname(name: *mut c_char, length: usize) -> c_int;
    pub(crate) fn getppid() -> c_int;
    pub(crate) fn kill(pid: c_int, signal: c_int) -> c_int;
    pub(crate) fn fork() -> c_int;
    pub(crate) fn pause() -> c_int;
    pub(crate) fn sigemptyset(set: *mut SigSet) -> c_int;
    pub(crate) fn sigaddset(set: *mut SigSet, signal: c_int) -> c_int;
    pub(crate) fn sigprocmask(how: c_int, set: *const SigSet, old: *mut SigSet) -> c_int;
    pub(crate) fn sigwait(set: *const SigSet, signal: *mut c_int) -> c_int;
    pub(crate) fn personality(persona: c_ulong) -> c_int;
    pub(crate) fn getpriority(which: c_int, who: c_uint) -> c_int;
    pub(crate) fn sched_getscheduler(pid: c_int) -> c_int;
    pub(crate) fn access(path: *const c_char, mode: c_int) -> c_int;
    pub(crate) fn mknod(path: *const c_char, mode: c_uint, device: u64) -> c_int;
    pub(crate) fn mmap(
        at: *mut c_void,
        size: usize,
        prot: c_int,
        flags: c_int,
        fd: c_int,
        offset: c_long,
    ) -> *mut c_void;
}

/// The errno of the last failed call, or 0.
pub(crate) fn errno(result: c_long) -> i32 {
    if result < 0 { std::io::Error::last_os_error().raw_os_error().unwrap_or(0) } else { 0 }
}
