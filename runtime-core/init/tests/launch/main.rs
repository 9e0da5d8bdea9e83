//! The real program on the real kernel, with plans made by hand. Each test says what it needs and skips aloud.

#![allow(clippy::unwrap_used, missing_docs, reason = "tests fail by panicking; nothing here is an interface")]

mod hooks;
mod host;
mod kernels;
mod mounts;
mod namespaces;
mod plans;
mod programs;
mod waiting;
