//! The public handles: `Runtime`, `Prepared`, `Container`, one file per verb.

mod handle;
mod kill;
mod observe;
mod pause;
mod processes;
mod remove;
mod runtime;
mod start;

pub use handle::{Container, Created};
pub use runtime::{Prepared, Runtime, RuntimeBuilder};
