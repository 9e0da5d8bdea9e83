//! `try`: a sandbox for one command out of what this machine has, written as an OCI configuration that goes the same way
//! as any other.
//!
//! What the command sees is an allow-list. The root is a tmpfs that only holds mount points and links; nothing of the
//! host's `/` is bound as a whole, since even a read-only mount lets a program connect to the sockets in it.
//!
//! Who the command is: always root of a new user namespace that maps one id and has no capability. A plain user is
//! mapped to itself. Root is mapped to `nobody`, so files that only root may read stay closed even under /usr and /opt;
//! with `--rw` it is the owner of the first writable path, since nobody could not write there. When that owner is root
//! itself, the container's root has root's rights on files, and everything below /etc that is not world-readable is
//! masked one by one.

mod config;
mod environment;
mod filter;
mod identity;
mod options;
mod place;
mod view;

pub use config::config_of;
pub use identity::Identity;
pub use options::{FLAGS, Network, Options};
pub use place::Place;
pub use view::View;
