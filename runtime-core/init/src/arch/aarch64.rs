//! aarch64: `svc 0` with the number in x8 and arguments in x0 to x5; only x0 changes (syscall(2)).

use core::arch::asm;

/// The system call `number` with six arguments; what the call ignores may be anything.
///
/// # Safety
/// The arguments must be what the call expects: pointers it reads or writes must be valid for that, and the call must
/// not change memory or fds that others own.
#[expect(clippy::too_many_arguments, reason = "the kernel's calling convention")]
#[inline(always)]
pub unsafe fn syscall(number: usize, a: usize, b: usize, c: usize, d: usize, e: usize, f: usize) -> isize {
    let result;
    // SAFETY: the registers are those of the convention above; the effects are what the caller vouches for.
    unsafe {
        asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") a => result,
            in("x1") b,
            in("x2") c,
            in("x3") d,
            in("x4") e,
            in("x5") f,
            options(nostack),
        );
    }
    result
}

/// Copies upwards, as `memcpy` must; written in instructions, so that no optimizer turns it into a call of itself.
///
/// # Safety
/// `source` must be readable and `target` writable for `len` bytes.
#[cfg(orlop_freestanding)]
#[inline(always)]
pub unsafe fn copy_up(target: *mut u8, source: *const u8, len: usize) {
    // SAFETY: the caller vouches for both ranges.
    unsafe {
        asm!(
            "cbz {len}, 3f",
            "2:",
            "ldrb {byte:w}, [{source}], #1",
            "strb {byte:w}, [{target}], #1",
            "subs {len}, {len}, #1",
            "b.ne 2b",
            "3:",
            len = inout(reg) len => _,
            source = inout(reg) source => _,
            target = inout(reg) target => _,
            byte = out(reg) _,
            options(nostack),
        );
    }
}

/// Fills memory with a byte.
///
/// # Safety
/// `target` must be writable for `len` bytes.
#[cfg(orlop_freestanding)]
#[inline(always)]
pub unsafe fn fill(target: *mut u8, byte: u8, len: usize) {
    // SAFETY: the caller vouches for the range.
    unsafe {
        asm!(
            "cbz {len}, 3f",
            "2:",
            "strb {byte:w}, [{target}], #1",
            "subs {len}, {len}, #1",
            "b.ne 2b",
            "3:",
            len = inout(reg) len => _,
            target = inout(reg) target => _,
            byte = in(reg) u32::from(byte),
            options(nostack),
        );
    }
}

// The kernel enters with argc, argv, envp on the stack and sp aligned to 16.
#[cfg(orlop_freestanding)]
core::arch::global_asm!(
    ".globl _start",
    ".type _start, %function",
    "_start:",
    "mov x29, #0",
    "mov x30, #0",
    "mov x0, sp",
    "and sp, x0, #-16",
    "bl {entry}",
    "brk #1",
    entry = sym crate::start::entry,
);

/// Fail unless the file is a directory (open(2)); the value differs between architectures.
pub const O_DIRECTORY: u32 = 0o40000;
/// Do not follow a symbolic link in the last component (open(2)); the value differs between architectures.
pub const O_NOFOLLOW: u32 = 0o100000;

/// System call numbers (`include/uapi/asm-generic/unistd.h` of Linux).
pub mod nr {
    #![expect(missing_docs, reason = "the names are the kernel's; section 2 of the manual describes each")]
    pub const CAPGET: usize = 90;
    pub const CAPSET: usize = 91;
    pub const CHDIR: usize = 49;
    pub const CHROOT: usize = 51;
    pub const CLOCK_GETTIME: usize = 113;
    pub const CLONE3: usize = 435;
    pub const CLONE: usize = 220;
    pub const CLOSE_RANGE: usize = 436;
    pub const CLOSE: usize = 57;
    pub const DUP3: usize = 24;
    pub const EXECVE: usize = 221;
    pub const EXECVEAT: usize = 281;
    pub const EXIT_GROUP: usize = 94;
    pub const EXIT: usize = 93;
    pub const FACCESSAT2: usize = 439;
    pub const FACCESSAT: usize = 48;
    pub const FCHDIR: usize = 50;
    pub const FCHMOD: usize = 52;
    pub const FCHMODAT: usize = 53;
    pub const FCHOWN: usize = 55;
    pub const FCHOWNAT: usize = 54;
    pub const FCNTL: usize = 25;
    pub const FSCONFIG: usize = 431;
    pub const FSMOUNT: usize = 432;
    pub const FSPICK: usize = 433;
    pub const FSOPEN: usize = 430;
    pub const FSTATFS: usize = 44;
    pub const GETCWD: usize = 17;
    pub const GETDENTS64: usize = 61;
    pub const GETGROUPS: usize = 158;
    pub const GETPID: usize = 172;
    pub const GETPPID: usize = 173;
    pub const GETSID: usize = 156;
    pub const IOCTL: usize = 29;
    pub const IOPRIO_SET: usize = 30;
    pub const KEYCTL: usize = 219;
    pub const KILL: usize = 129;
    pub const MEMFD_CREATE: usize = 279;
    pub const MKDIRAT: usize = 34;
    pub const MKNODAT: usize = 33;
    pub const MMAP: usize = 222;
    pub const MOUNT_SETATTR: usize = 442;
    pub const MOUNT: usize = 40;
    pub const MOVE_MOUNT: usize = 429;
    pub const MUNMAP: usize = 215;
    pub const OPEN_TREE: usize = 428;
    pub const OPENAT2: usize = 437;
    pub const OPENAT: usize = 56;
    pub const PERSONALITY: usize = 92;
    pub const PIDFD_OPEN: usize = 434;
    pub const PIPE2: usize = 59;
    pub const PIVOT_ROOT: usize = 41;
    pub const PPOLL: usize = 73;
    pub const PRCTL: usize = 167;
    pub const PRLIMIT64: usize = 261;
    pub const READ: usize = 63;
    pub const READLINKAT: usize = 78;
    pub const RECVMSG: usize = 212;
    pub const RT_SIGACTION: usize = 134;
    pub const RT_SIGPROCMASK: usize = 135;
    pub const RT_SIGTIMEDWAIT: usize = 137;
    pub const SCHED_SETAFFINITY: usize = 122;
    pub const SCHED_SETATTR: usize = 274;
    pub const SECCOMP: usize = 277;
    pub const SENDMSG: usize = 211;
    pub const SET_MEMPOLICY: usize = 237;
    pub const SETDOMAINNAME: usize = 162;
    pub const SETFSGID: usize = 152;
    pub const SETFSUID: usize = 151;
    pub const SETGROUPS: usize = 159;
    pub const SETHOSTNAME: usize = 161;
    pub const SETNS: usize = 268;
    pub const SETPGID: usize = 154;
    pub const SETRESGID: usize = 149;
    pub const SETRESUID: usize = 147;
    pub const SETSID: usize = 157;
    pub const SIGNALFD4: usize = 74;
    pub const SOCKET: usize = 198;
    pub const SOCKETPAIR: usize = 199;
    pub const STATX: usize = 291;
    pub const SYMLINKAT: usize = 36;
    pub const UMASK: usize = 166;
    pub const UMOUNT2: usize = 39;
    pub const UNLINKAT: usize = 35;
    pub const UNSHARE: usize = 97;
    pub const UTIMENSAT: usize = 88;
    pub const WAITID: usize = 95;
    pub const WRITE: usize = 64;
}
