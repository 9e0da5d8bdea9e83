//! The freestanding program of orlop: *launcher* and *init*, and the bytes they share with the host.
#![cfg_attr(not(test), no_std)]
#![cfg_attr(orlop_freestanding, no_main)]
#[cfg(not(orlop_freestanding))]
extern crate alloc;
pub mod wire;
