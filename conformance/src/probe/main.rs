//! The probe: a static program that runs inside a container and tells what it sees, or does one small thing there.
//!
//! It is entered at the C `main`, not through Rust's start code, which would ignore SIGPIPE, open missing standard fds
//! and install an alternative stack: the probe must see the process as the runtime made it.
#![no_main]
#![allow(
    unknown_lints,
    missing_docs,
    reason = "a program; build.rs compiles it without cargo's lint settings"
)]

mod facts;
mod json;
mod racer;
mod surroundings;
mod sys;
mod verbs;

use std::ffi::{CStr, c_char, c_int};

/// # Safety
/// Called by the C library once, with the kernel's `argv` of `argc` strings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn main(argc: c_int, argv: *const *const c_char) -> c_int {
    let count = usize::try_from(argc).unwrap_or(0);
    let args: Vec<String> = (0..count)
        // SAFETY: the kernel gives `argc` pointers to strings that end with NUL and live as long as the process.
        .map(|index| unsafe { CStr::from_ptr(*argv.add(index)) }.to_string_lossy().into_owned())
        .collect();
    verbs::run(&args)
}
