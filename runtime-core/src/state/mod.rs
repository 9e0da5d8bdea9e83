//! What is kept of a container between commands: `ROOT/ID/state.json`.

mod id;
mod process;
mod record;
mod store;

pub use id::ContainerId;
pub(crate) use process::{never_executed, open_recorded, start_time};
pub(crate) use record::{AskedMemory, Phase, RECORD_VERSION, Record, StartStep};
pub use record::{ContainerState, HookRecord, Status};
pub(crate) use store::{ANSWER_FIFO, Entry, Loaded, START_FIFO, Store};
