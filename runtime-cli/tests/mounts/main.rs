//! `mounts` as a process sees them: each option of the table, bind mounts with their flags and locks, id maps, places.
//!
//! Every configuration runs under orlop, and under runc and crun where they are installed: what they know must look the
//! same, but for what a case says.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod binds;
mod idmap;
mod nested;
mod options;
mod places;
mod support;
