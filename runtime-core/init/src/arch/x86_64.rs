//! x86_64: `syscall` with the number in rax and arguments in rdi, rsi, rdx, r10, r8, r9; the kernel clobbers rcx and
//! r11 (syscall(2)).

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
            "syscall",
            inlateout("rax") number => result,
            in("rdi") a,
            in("rsi") b,
            in("rdx") c,
            in("r10") d,
            in("r8") e,
            in("r9") f,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result
}

/// Copies upwards, as `memcpy` must; an instruction of its own, so that no optimizer turns it into a call of itself.
///
/// # Safety
/// `source` must be readable and `target` writable for `len` bytes.
#[cfg(orlop_freestanding)]
#[inline(always)]
pub unsafe fn copy_up(target: *mut u8, source: *const u8, len: usize) {
    // SAFETY: the caller vouches for both ranges; the direction flag is clear by the ABI.
    unsafe {
        asm!("rep movsb", inout("rcx") len => _, inout("rdi") target => _, inout("rsi") source => _,
            options(nostack, preserves_flags));
    }
}

/// Fills memory with a byte.
///
/// # Safety
/// `target` must be writable for `len` bytes.
#[cfg(orlop_freestanding)]
#[inline(always)]
pub unsafe fn fill(target: *mut u8, byte: u8, len: usize) {
    // SAFETY: the caller vouches for the range; the direction flag is clear by the ABI.
    unsafe {
        asm!("rep stosb", inout("rcx") len => _, inout("rdi") target => _, in("al") byte,
            options(nostack, preserves_flags));
    }
}

// The kernel enters with argc, argv, envp on the stack and rsp aligned to 16.
#[cfg(orlop_freestanding)]
core::arch::global_asm!(
    ".globl _start",
    ".type _start, @function",
    "_start:",
    "xor ebp, ebp",
    "mov rdi, rsp",
    "and rsp, -16",
    "call {entry}",
    "ud2",
    entry = sym crate::start::entry,
);

/// Fail unless the file is a directory (open(2)); the value differs between architectures.
pub const O_DIRECTORY: u32 = 0o200000;
/// Do not follow a symbolic link in the last component (open(2)); the value differs between architectures.
pub const O_NOFOLLOW: u32 = 0o400000;

/// System call numbers (`arch/x86/entry/syscalls/syscall_64.tbl` of Linux).
pub mod nr {
    #![expect(missing_docs, reason = "the names are the kernel's; section 2 of the manual describes each")]
    pub const CAPGET: usize = 125;
    pub const CAPSET: usize = 126;
    pub const CHDIR: usize = 80;
    pub const CHROOT: usize = 161;
    pub const CLOCK_GETTIME: usize = 228;
    pub const CLONE3: usize = 435;
    pub const CLONE: usize = 56;
    pub const CLOSE_RANGE: usize = 436;
    pub const CLOSE: usize = 3;
    pub const DUP3: usize = 292;
    pub const EXECVE: usize = 59;
    pub const EXECVEAT: usize = 322;
    pub const EXIT_GROUP: usize = 231;
    pub const EXIT: usize = 60;
    pub const FACCESSAT2: usize = 439;
    pub const FACCESSAT: usize = 269;
    pub const FCHDIR: usize = 81;
    pub const FCHMOD: usize = 91;
    pub const FCHMODAT: usize = 268;
    pub const FCHOWN: usize = 93;
    pub const FCHOWNAT: usize = 260;
    pub const FCNTL: usize = 72;
    pub const FSCONFIG: usize = 431;
    pub const FSMOUNT: usize = 432;
    pub const FSPICK: usize = 433;
    pub const FSOPEN: usize = 430;
    pub const FSTATFS: usize = 138;
    pub const GETCWD: usize = 79;
    pub const GETDENTS64: usize = 217;
    pub const GETGROUPS: usize = 115;
    pub const GETPID: usize = 39;
    pub const GETPPID: usize = 110;
    pub const GETSID: usize = 124;
    pub const IOCTL: usize = 16;
    pub const IOPRIO_SET: usize = 251;
    pub const KEYCTL: usize = 250;
    pub const KILL: usize = 62;
    pub const MEMFD_CREATE: usize = 319;
    pub const MKDIRAT: usize = 258;
    pub const MKNODAT: usize = 259;
    pub const MMAP: usize = 9;
    pub const MOUNT_SETATTR: usize = 442;
    pub const MOUNT: usize = 165;
    pub const MOVE_MOUNT: usize = 429;
    pub const MUNMAP: usize = 11;
    pub const OPEN_TREE: usize = 428;
    pub const OPENAT2: usize = 437;
    pub const OPENAT: usize = 257;
    pub const PERSONALITY: usize = 135;
    pub const PIDFD_OPEN: usize = 434;
    pub const PIPE2: usize = 293;
    pub const PIVOT_ROOT: usize = 155;
    pub const PPOLL: usize = 271;
    pub const PRCTL: usize = 157;
    pub const PRLIMIT64: usize = 302;
    pub const READ: usize = 0;
    pub const READLINKAT: usize = 267;
    pub const RECVMSG: usize = 47;
    pub const RT_SIGACTION: usize = 13;
    pub const RT_SIGPROCMASK: usize = 14;
    pub const RT_SIGTIMEDWAIT: usize = 128;
    pub const SCHED_SETAFFINITY: usize = 203;
    pub const SCHED_SETATTR: usize = 314;
    pub const SECCOMP: usize = 317;
    pub const SENDMSG: usize = 46;
    pub const SET_MEMPOLICY: usize = 238;
    pub const SETDOMAINNAME: usize = 171;
    pub const SETFSGID: usize = 123;
    pub const SETFSUID: usize = 122;
    pub const SETGROUPS: usize = 116;
    pub const SETHOSTNAME: usize = 170;
    pub const SETNS: usize = 308;
    pub const SETPGID: usize = 109;
    pub const SETRESGID: usize = 119;
    pub const SETRESUID: usize = 117;
    pub const SETSID: usize = 112;
    pub const SIGNALFD4: usize = 289;
    pub const SOCKET: usize = 41;
    pub const SOCKETPAIR: usize = 53;
    pub const STATX: usize = 332;
    pub const SYMLINKAT: usize = 266;
    pub const UMASK: usize = 95;
    pub const UMOUNT2: usize = 166;
    pub const UNLINKAT: usize = 263;
    pub const UNSHARE: usize = 272;
    pub const UTIMENSAT: usize = 280;
    pub const WAITID: usize = 247;
    pub const WRITE: usize = 1;
}
