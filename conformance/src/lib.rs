//! Conformance of OCI runtimes, judged from inside the container.
//!
//! A static program, the *probe*, is the only thing in the rootfs of a [`Bundle`]. A [`Runtime`] (any command that
//! speaks like runc) runs it, and what it saw comes back as [`Facts`]. This crate shares no code with the runtime that it
//! judges.
//!
//! ```no_run
//! use oci_conformance::{Bundle, Runtime};
//!
//! let runtime = Runtime::new("runc");
//! let bundle = Bundle::builder().args(["/bin/probe", "facts"]).set("/hostname", "cargo").build();
//! let facts = runtime.container(&bundle).run_facts();
//! assert_eq!(facts.at("/hostname"), "cargo");
//! ```

pub mod agent;
pub mod bundle;
pub mod console;
pub mod facts;
pub mod host;
pub mod leftovers;
pub mod runtime;
pub mod spec;

pub use bundle::{Bundle, BundleBuilder};
pub use console::ConsoleSocket;
pub use facts::Facts;
pub use runtime::{Container, Output, Runtime};

/// The probe's program: a static executable of this target.
pub static PROBE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/probe"));

/// Where a bundle has the probe.
pub const PROBE_PATH: &str = "/bin/probe";
