//! The public handles: `Runtime`, `Prepared`, `Container`, one file per verb.

mod exec;
mod handle;
mod kill;
mod observe;
mod pause;
mod processes;
mod remove;
mod runtime;
mod start;
mod stats;
mod update;

pub use exec::{ExecProcess, Executed};
pub use handle::{Container, Created};
pub use runtime::{Prepared, Runtime, RuntimeBuilder};
pub use stats::{Event, Events};
pub use update::Update;
