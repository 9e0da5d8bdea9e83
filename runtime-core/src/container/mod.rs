//! The public handles: `Runtime`, `Prepared`, `Container`, and what they take and give.

mod options;
mod runtime;
mod handle;

pub use handle::{Container, Created};
pub use options::{CreateOptions, Deadline, Delete, ExitStatus, KillScope, Stdio};
pub use runtime::{Prepared, Runtime, RuntimeBuilder};
