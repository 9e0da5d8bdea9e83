//! What is kept of a container between commands: `ROOT/ID/state.json`.

mod id;
mod record;
mod store;

pub use id::ContainerId;
pub use record::{ContainerState, HookRecord, Status};
pub(crate) use record::{Phase, Record, RECORD_VERSION};
pub(crate) use store::{Entry, Store};
