//! What depends on the processor: the system call instruction, call numbers, and the entry of the program.
//! Nothing else of the crate asks for the architecture.

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
pub use aarch64::*;
#[cfg(target_arch = "x86_64")]
pub use x86_64::*;

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
compile_error!(
    "orlop runs on Linux on x86_64 and aarch64 only: system call numbers of others are not filled in"
);
