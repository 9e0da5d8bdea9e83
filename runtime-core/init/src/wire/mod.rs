//! What the host says to launcher and init, and what they answer: the plan and the messages as bytes.
//!
//! One definition for both ends. The host encodes an owned form ([`OwnedOp`]); init reads a borrowed form ([`Op`])
//! out of the mapped plan. Both ends are of one build, since the program is embedded in the library; only the record
//! of the start FIFO ([`message::StartRecord`]) can meet another version, and carries its own.

pub mod codec;
pub mod message;
#[macro_use]
mod op_macros;
mod op;
mod plan;
mod value;

pub use codec::{Malformed, Reader};
pub use op::Op;
#[cfg(not(orlop_freestanding))]
pub use op::OwnedOp;
#[cfg(not(orlop_freestanding))]
pub use plan::encode_plan;
pub use plan::{Header, PlanReader};
pub use value::{Slot, links};
