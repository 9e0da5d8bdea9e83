//! Raw system calls of the host side, for code that must touch no libc state: no errno, no TLS, no locks.
//!
//! All of the library that depends on the processor is here.

use std::arch::asm;

/// Numbers that are used raw.
#[cfg(target_arch = "x86_64")]
pub(super) mod nr {
    pub(in crate::sys) const RT_SIGPROCMASK: usize = 14;
    pub(in crate::sys) const RT_SIGPENDING: usize = 127;
    pub(in crate::sys) const RT_SIGTIMEDWAIT: usize = 128;
    pub(in crate::sys) const IOCTL: usize = 16;
    pub(in crate::sys) const CLONE: usize = 56;
    pub(in crate::sys) const FCNTL: usize = 72;
    pub(in crate::sys) const EXIT: usize = 60;
    pub(in crate::sys) const DUP3: usize = 292;
    pub(in crate::sys) const EXECVEAT: usize = 322;
    pub(in crate::sys) const PIDFD_SEND_SIGNAL: usize = 424;
    pub(in crate::sys) const CLONE3: usize = 435;
    pub(in crate::sys) const MOUNT_SETATTR: usize = 442;
}

/// Numbers that are used raw.
#[cfg(target_arch = "aarch64")]
pub(super) mod nr {
    pub(in crate::sys) const RT_SIGPROCMASK: usize = 135;
    pub(in crate::sys) const RT_SIGPENDING: usize = 136;
    pub(in crate::sys) const RT_SIGTIMEDWAIT: usize = 137;
    pub(in crate::sys) const IOCTL: usize = 29;
    pub(in crate::sys) const CLONE: usize = 220;
    pub(in crate::sys) const FCNTL: usize = 25;
    pub(in crate::sys) const EXIT: usize = 93;
    pub(in crate::sys) const DUP3: usize = 24;
    pub(in crate::sys) const EXECVEAT: usize = 281;
    pub(in crate::sys) const PIDFD_SEND_SIGNAL: usize = 424;
    pub(in crate::sys) const CLONE3: usize = 435;
    pub(in crate::sys) const MOUNT_SETATTR: usize = 442;
}

/// `syscall(2)` without libc: the result as the kernel returns it, negative errno on failure.
///
/// # Safety
/// As the system call demands of its arguments.
#[cfg(target_arch = "x86_64")]
pub(super) unsafe fn syscall6(number: usize, args: [usize; 6]) -> isize {
    let result: isize;
    // SAFETY: the kernel's calling convention of x86_64; rcx and r11 are clobbered by the instruction.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") args[0], in("rsi") args[1], in("rdx") args[2],
            in("r10") args[3], in("r8") args[4], in("r9") args[5],
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    result
}

/// `syscall(2)` without libc: the result as the kernel returns it, negative errno on failure.
///
/// # Safety
/// As the system call demands of its arguments.
#[cfg(target_arch = "aarch64")]
pub(super) unsafe fn syscall6(number: usize, args: [usize; 6]) -> isize {
    let result: isize;
    // SAFETY: the kernel's calling convention of aarch64.
    unsafe {
        asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") args[0] as isize => result,
            in("x1") args[1], in("x2") args[2], in("x3") args[3], in("x4") args[4], in("x5") args[5],
            options(nostack),
        );
    }
    result
}

/// Makes a child on a stack of its own by `clone3` or `clone` with the given arguments; the child calls `entry(data)`,
/// which must not return. Gives the child's pid or a negative errno.
///
/// # Safety
/// The arguments must name a stack that nobody else uses until the child has executed or ended, and `entry` may only do
/// what is allowed in a process that shares memory and thread-local storage with its suspended parent.
#[cfg(target_arch = "x86_64")]
pub(super) unsafe fn clone_onto_stack(
    number: usize,
    args: [usize; 5],
    entry: unsafe extern "C" fn(*mut u8) -> !,
    data: *mut u8,
) -> isize {
    let result: isize;
    // SAFETY: in the parent this is a plain system call. In the child rsp is the top of the new stack, 16-byte aligned
    // as the caller made it; `call` pushes a return address that is never used.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r13",
            "call r12",
            "ud2",
            "2:",
            inlateout("rax") number as isize => result,
            in("rdi") args[0], in("rsi") args[1], in("rdx") args[2], in("r10") args[3], in("r8") args[4],
            in("r12") entry, in("r13") data,
            lateout("rcx") _, lateout("r11") _,
        );
    }
    result
}

/// Makes a child on a stack of its own by `clone3` or `clone` with the given arguments; the child calls `entry(data)`,
/// which must not return. Gives the child's pid or a negative errno.
///
/// # Safety
/// The arguments must name a stack that nobody else uses until the child has executed or ended, and `entry` may only do
/// what is allowed in a process that shares memory and thread-local storage with its suspended parent.
#[cfg(target_arch = "aarch64")]
pub(super) unsafe fn clone_onto_stack(
    number: usize,
    args: [usize; 5],
    entry: unsafe extern "C" fn(*mut u8) -> !,
    data: *mut u8,
) -> isize {
    let result: isize;
    // SAFETY: in the parent this is a plain system call. In the child sp is the top of the new stack, 16-byte aligned.
    unsafe {
        asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x0, x10",
            "blr x9",
            "brk #1",
            "2:",
            in("x8") number,
            inlateout("x0") args[0] as isize => result,
            in("x1") args[1], in("x2") args[2], in("x3") args[3], in("x4") args[4],
            in("x9") entry, in("x10") data,
            lateout("x30") _,
        );
    }
    result
}
