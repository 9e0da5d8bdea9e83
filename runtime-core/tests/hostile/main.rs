//! Attacks on the host, and hosts that make it hard: each ends in an error or in a container that reaches nothing.
//!
//! As root. `ORLOP_TEST_LONG=1` repeats the races as often as the promises say.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod created;
mod exec;
mod fds;
mod host;
mod oom;
mod racer;
mod rootfs;
mod support;
