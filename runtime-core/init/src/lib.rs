//! The freestanding program of orlop: *launcher* and *init*, and the bytes they share with the host.
//!
//! This file is the root of two builds. As a library of the host it gives the wire form ([`wire`]), the raw system
//! calls ([`sys`]) and the program itself ([`IMAGE`]). With `cfg(orlop_freestanding)` it is that program: `build.rs`
//! compiles it without heap, libc or threads (see `start`), and the library embeds the result.

#![no_std]
#![cfg_attr(orlop_freestanding, no_main)]

#[cfg(not(orlop_freestanding))]
extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod arch;
mod conversation;
#[doc(hidden)]
pub mod launcher;
#[cfg(orlop_freestanding)]
mod start;
mod steps;
pub mod sys;
pub mod wire;

/// The program, a static ELF executable. The host puts it into a sealed memfd and executes it.
#[cfg(not(orlop_freestanding))]
pub static IMAGE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/orlop-init"));
