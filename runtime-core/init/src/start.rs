//! What a program without libc must bring along: its entry, its end, and the functions compilers take for granted.

use core::{ffi::CStr, panic::PanicInfo};

use crate::{arch, launcher, sys::process};

/// Exit status for a call with wrong arguments: nobody but the library calls this program.
const MISUSED: i32 = 64;
/// Exit status of a failure of the program itself. The host sees the channel end without a record.
const BROKEN: i32 = 70;

/// Called by `_start` with the stack as the kernel left it: argc, then argv (`elf(5)`, process start).
pub(crate) extern "C" fn entry(stack: *const usize) -> ! {
    // SAFETY: the kernel puts argc at the stack's start.
    let argc = unsafe { stack.read() };
    if argc == 2 {
        // SAFETY: argv follows argc and holds `argc` pointers to NUL-terminated strings that live as long as this
        // process.
        let base = unsafe { CStr::from_ptr(stack.add(2).read() as *const core::ffi::c_char) };
        if let Some(base) = launcher::decimal(base.to_bytes()) {
            launcher::run(base);
        }
    }
    process::exit(MISUSED)
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    process::exit(BROKEN)
}

/// memcpy(3).
///
/// # Safety
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(target: *mut u8, source: *const u8, len: usize) -> *mut u8 {
    // SAFETY: the caller vouches for both ranges.
    unsafe { arch::copy_up(target, source, len) };
    target
}

/// memmove(3).
///
/// # Safety
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(target: *mut u8, source: *const u8, len: usize) -> *mut u8 {
    if (target as usize).wrapping_sub(source as usize) >= len {
        // SAFETY: the caller vouches for both ranges; what is overwritten was read before.
        unsafe { arch::copy_up(target, source, len) };
    } else {
        for at in (0..len).rev() {
            // SAFETY: within the ranges that the caller vouches for. Volatile, or this would become a call of itself.
            unsafe { target.add(at).write_volatile(source.add(at).read_volatile()) };
        }
    }
    target
}

/// memset(3).
///
/// # Safety
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(target: *mut u8, byte: i32, len: usize) -> *mut u8 {
    // SAFETY: the caller vouches for the range.
    unsafe { arch::fill(target, byte as u8, len) };
    target
}

/// memcmp(3).
///
/// # Safety
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, len: usize) -> i32 {
    for at in 0..len {
        // SAFETY: within the ranges that the caller vouches for. Volatile, or this would become a call of itself.
        let (left, right) = unsafe { (left.add(at).read_volatile(), right.add(at).read_volatile()) };
        if left != right {
            return i32::from(left) - i32::from(right);
        }
    }
    0
}

/// bcmp(3).
///
/// # Safety
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(left: *const u8, right: *const u8, len: usize) -> i32 {
    // SAFETY: as the caller vouches.
    unsafe { memcmp(left, right, len) }
}

/// strlen(3).
///
/// # Safety
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(string: *const u8) -> usize {
    let mut len = 0;
    // SAFETY: up to the NUL that the caller vouches for. Volatile, or this would become a call of itself.
    while unsafe { string.add(len).read_volatile() } != 0 {
        len += 1;
    }
    len
}
