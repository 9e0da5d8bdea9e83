//! orlop turns an OCI bundle into an isolated process.
//!
//! ```no_run
//! use orlop::{Bundle, CreateOptions, Deadline, Delete, Runtime, Stdio};
//!
//! # fn main() -> Result<(), orlop::Error> {
//! let runtime = Runtime::builder().root("/run/example").build()?;
//! let bundle = Bundle::open("/var/lib/example/bundle")?;
//! let prepared = runtime.prepare("web1", bundle, CreateOptions::new())?;
//! print!("{}", prepared.explain());          // nothing has happened yet
//! let created = runtime.create(prepared, Stdio::inherit(), Deadline::never())?;
//! created.container.start(Deadline::never())?;
//! let status = created.container.wait(Deadline::never())?;
//! created.container.delete(Delete::WhenStopped, Deadline::never())?;
//! # let _ = status; Ok(())
//! # }
//! ```
//!
//! The way of the data: `bundle` → `validate` → `inspect`, with `host` facts → `plan` (pure) → `spawn` → `container`.
//! Below this file a module uses what stands above it in the list, never what stands below; `tests/tidy.rs` checks it.

mod error;
mod options;
mod sys;
mod seccomp;
mod bundle;
mod host;
mod cgroup;
mod resctrl;
mod state;
mod validate;
mod inspect;
mod plan;
mod spawn;
mod container;

pub use bundle::{Bundle, default_spec};
pub use cgroup::stats::{
    BlockIoEntry, BlockIoStats, CpuStats, CpuUsage, CpusetStats, HugetlbStats, MemoryStats, MemoryUsage,
    PidsStats, Pressure, PressureData, Stats, Throttling,
};
pub use container::{
    Container, Created, Event, Events, ExecProcess, Executed, Prepared, Runtime, RuntimeBuilder, Update,
};
pub use error::{Error, ErrorKind, Problem, Result};
pub use options::{
    CancelToken, CreateOptions, Deadline, Delete, ExecOptions, ExitStatus, KillScope, Pipes, Stdio,
};
pub use seccomp::SeccompWords;
pub use state::{ContainerId, ContainerState, Status};

/// Names of all capabilities that this build knows, by number (capabilities(7)).
#[must_use]
pub const fn capability_names() -> &'static [&'static str] {
    &plan::CAPABILITY_NAMES
}

/// Modes and flags of `linux.memoryPolicy` that this build knows (set_mempolicy(2)).
#[must_use]
pub const fn memory_policy_names() -> (&'static [&'static str], &'static [&'static str]) {
    (bundle::MEMORY_POLICY_MODES, bundle::MEMORY_POLICY_FLAGS)
}

/// What a profile of system calls may say in this build and, of flags, on this kernel.
#[must_use]
pub fn seccomp_words() -> SeccompWords {
    seccomp::words(sys::seccomp::known_flags())
}

/// Kinds of hooks that this build runs, in the order of a container's life.
#[must_use]
pub const fn hook_names() -> &'static [&'static str] {
    &bundle::HOOK_KINDS
}

/// Types of `linux.namespaces` that this build knows, sorted.
#[must_use]
pub const fn namespace_names() -> &'static [&'static str] {
    &bundle::NAMESPACES
}

/// Annotations that change what a container is, sorted: whoever lets others write annotations has to know them.
#[must_use]
pub const fn effective_annotations() -> &'static [&'static str] {
    &bundle::ANNOTATIONS_WITH_EFFECT
}
