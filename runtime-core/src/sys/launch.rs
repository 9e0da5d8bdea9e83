//! Starts the launcher from inside somebody else's program.
//!
//! The child shares the caller's memory (`CLONE_VM | CLONE_VFORK`) only until it executes the sealed program: it is in
//! the caller's namespaces and cgroup, has all signals blocked, and runs nothing but the raw calls of [`child`]. So the
//! cost does not depend on the caller's memory, and no code of the caller's program, its signal handlers included, runs
//! in between.

use std::{
    ffi::CStr,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

use super::arch::{clone_onto_stack, nr, syscall6};

const CLONE_VM: u64 = 0x100;
const CLONE_PIDFD: u64 = 0x1000;
const CLONE_VFORK: u64 = 0x4000;
/// Linux 5.5. Keeps ignored signals ignored; the launcher sets all to default.
const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
const SIGCHLD: u64 = 17;
const SIG_SETMASK: usize = 2;
const F_DUPFD_CLOEXEC: usize = 1030;
const AT_EMPTY_PATH: usize = 0x1000;
const ENOSYS: i32 = 38;
const EPERM: i32 = 1;
const EINVAL: i32 = 22;
/// The child's frames are a few hundred bytes.
const STACK_SIZE: usize = 16 * 1024;

/// Argument of clone3(2), the form of Linux 5.3 (`CLONE_ARGS_SIZE_VER0`).
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
}

/// What the child needs, on the parent's side of the shared memory.
struct ChildData {
    program: RawFd,
    /// Duplicates are made from this number on, above all targets.
    above: usize,
    /// Source (replaced by its duplicate) and target of each fd.
    fds: *mut (RawFd, RawFd),
    fd_count: usize,
    argv: *const *const i8,
    envp: *const *const i8,
    /// Written by the child when it fails.
    errno: i32,
    /// Index in `fds` of the failure, or `fd_count` for the exec.
    failed_at: usize,
}

/// A launcher that was executed.
#[derive(Debug)]
pub(crate) struct Launched {
    pub(crate) pid: i32,
    pub(crate) pidfd: OwnedFd,
}

/// Why it was not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LaunchFailure {
    /// `clone3` or `clone`.
    Clone(i32),
    /// The fd of this index could not be passed.
    Fd(usize, i32),
    /// `execveat` of the program.
    Exec(i32),
}

/// Executes `program` with `fds[i]` at the fd numbers 0, 1, 2…, and only those passed on without close-on-exec by us.
///
/// Blocks until the program was executed. The launcher is a child of the caller; its pidfd is close-on-exec.
pub(crate) fn launch(
    program: BorrowedFd<'_>,
    argv: &[&CStr],
    fds: &[BorrowedFd<'_>],
) -> Result<Launched, LaunchFailure> {
    let argv: Vec<*const i8> =
        argv.iter().map(|arg| arg.as_ptr().cast()).chain(std::iter::once(std::ptr::null())).collect();
    let envp: [*const i8; 1] = [std::ptr::null()];
    let mut targets: Vec<(RawFd, RawFd)> = fds.iter().map(|fd| fd.as_raw_fd()).zip(0..).collect();
    let mut data = ChildData {
        program: program.as_raw_fd(),
        above: targets.len() + 1,
        fds: targets.as_mut_ptr(),
        fd_count: targets.len(),
        argv: argv.as_ptr(),
        envp: envp.as_ptr(),
        errno: 0,
        failed_at: 0,
    };
    let mut stack = vec![0u8; STACK_SIZE];
    let mut pidfd: RawFd = -1;

    let all_signals = u64::MAX;
    let mut previous = 0u64;
    set_signal_mask(&all_signals, Some(&mut previous));
    let result = clone_child(&mut stack, &mut pidfd, &mut data);
    set_signal_mask(&previous, None);

    if result < 0 {
        return Err(LaunchFailure::Clone(i32::try_from(-result).unwrap_or(EINVAL)));
    }
    // SAFETY: CLONE_PIDFD stored a new fd that nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    let pid = i32::try_from(result).unwrap_or(0);
    if data.errno != 0 {
        super::pidfd::reap(&pidfd);
        return Err(match data.failed_at {
            at if at < data.fd_count => LaunchFailure::Fd(at, data.errno),
            _ => LaunchFailure::Exec(data.errno),
        });
    }
    Ok(Launched { pid, pidfd })
}

fn clone_child(stack: &mut [u8], pidfd: &mut RawFd, data: &mut ChildData) -> isize {
    let base = stack.as_mut_ptr() as usize;
    let top = (base + stack.len()) & !15;
    let data = std::ptr::from_mut(data).cast();
    let flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD;
    let mut args = CloneArgs {
        flags: flags | CLONE_CLEAR_SIGHAND,
        pidfd: std::ptr::from_mut(pidfd) as u64,
        exit_signal: SIGCHLD,
        stack: base as u64,
        stack_size: (top - base) as u64,
        ..CloneArgs::default()
    };
    let args_at = std::ptr::from_mut(&mut args) as usize;
    // SAFETY: the stack is ours until this function returns, which CLONE_VFORK delays until the child has executed or
    // ended; `child` makes raw system calls only.
    let mut result =
        unsafe { clone_onto_stack(nr::CLONE3, [args_at, size_of::<CloneArgs>(), 0, 0, 0], child, data) };
    if [-(ENOSYS as isize), -(EPERM as isize), -(EINVAL as isize)].contains(&result) {
        // Before 5.5, or hidden by an outer seccomp profile. With all signals blocked no handler runs in the child, and
        // its exec resets them, so nothing is lost without CLONE_CLEAR_SIGHAND.
        let pidfd_at = std::ptr::from_mut(pidfd) as usize;
        // SAFETY: as above. With CLONE_PIDFD the third argument is where the pidfd goes.
        result = unsafe {
            clone_onto_stack(nr::CLONE, [(flags | SIGCHLD) as usize, top, pidfd_at, 0, 0], child, data)
        };
    }
    result
}

/// The raw call: glibc's functions refuse to block its two internal signals.
fn set_signal_mask(mask: &u64, previous: Option<&mut u64>) {
    let previous = previous.map_or(0, |previous| std::ptr::from_mut(previous) as usize);
    // SAFETY: both point to 8 bytes, the size of the kernel's set. With valid pointers the call cannot fail.
    unsafe {
        syscall6(
            nr::RT_SIGPROCMASK,
            [SIG_SETMASK, std::ptr::from_ref(mask) as usize, previous, size_of::<u64>(), 0, 0],
        );
    }
}

/// The child: places the fds in its own table and executes the program.
///
/// # Safety
/// `data` points to the parent's [`ChildData`], which lives until the child has executed or ended.
unsafe extern "C" fn child(data: *mut u8) -> ! {
    // SAFETY: see the function; the parent's thread is suspended, so this is the only access.
    let data = unsafe { &mut *data.cast::<ChildData>() };
    // SAFETY: `fds` and `fd_count` describe the parent's vector.
    let fds = unsafe { std::slice::from_raw_parts_mut(data.fds, data.fd_count) };
    // SAFETY: fcntl, dup3, execveat and exit with valid arguments; the pointers live in the parent's frames.
    unsafe {
        let program = duplicate(data.program, data.above);
        let mut failure = None;
        for (index, (source, _)) in fds.iter_mut().enumerate() {
            match duplicate(*source, data.above) {
                copy if copy < 0 => {
                    failure = Some((index, copy));
                    break;
                }
                copy => *source = copy as RawFd,
            }
        }
        if failure.is_none() {
            for (index, (source, target)) in fds.iter().enumerate() {
                let result = syscall6(nr::DUP3, [*source as usize, *target as usize, 0, 0, 0, 0]);
                if result < 0 {
                    failure = Some((index, result));
                    break;
                }
            }
        }
        let (index, result) = match failure {
            Some(failure) => failure,
            None if program < 0 => (data.fd_count, program),
            None => (
                data.fd_count,
                syscall6(
                    nr::EXECVEAT,
                    [
                        program as usize,
                        c"".as_ptr() as usize,
                        data.argv as usize,
                        data.envp as usize,
                        AT_EMPTY_PATH,
                        0,
                    ],
                ),
            ),
        };
        data.failed_at = index;
        data.errno = -result as i32;
        loop {
            syscall6(nr::EXIT, [127, 0, 0, 0, 0, 0]);
        }
    }
}

/// A close-on-exec duplicate with a number of at least `above`.
///
/// # Safety
/// None beyond that of a raw call: runs in the child.
unsafe fn duplicate(fd: RawFd, above: usize) -> isize {
    // SAFETY: F_DUPFD_CLOEXEC takes numbers only.
    unsafe { syscall6(nr::FCNTL, [fd as usize, F_DUPFD_CLOEXEC, above, 0, 0, 0]) }
}
