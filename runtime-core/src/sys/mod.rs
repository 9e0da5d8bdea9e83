//! Host-side system calls that rustix and nix lack, and thin owners of fds. The only place of the library with `unsafe`.

mod arch;
pub(crate) mod fresh_program;
pub(crate) mod attributes;
pub(crate) mod bpf;
pub(crate) mod channel;
pub(crate) mod image;
pub(crate) mod launch;
pub(crate) mod nsfs;
pub(crate) mod pidfd;
pub(crate) mod rlimit;
pub(crate) mod sigpipe;

use std::{
    fs::File,
    io::{self, Read},
    time::Instant,
};

use rustix::event::Timespec;

/// Reads a file of /proc or /sys, whose size nobody knows beforehand: with room for nearly all of them at once, where
/// `std::fs::read_to_string` begins with 32 bytes and doubles them.
pub(crate) fn read_proc(path: &str) -> io::Result<String> {
    let mut text = String::with_capacity(4096);
    File::open(path)?.take(u64::MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// What is left until `deadline`, never negative.
pub(crate) fn timespec_until(deadline: Instant) -> Timespec {
    let left = deadline.saturating_duration_since(Instant::now());
    Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(left.subsec_nanos()),
    }
}
