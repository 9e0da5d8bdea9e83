//! The folder of a container below the root: lock, atomic replace, list.

use std::path::PathBuf;

/// All containers of one root.
#[derive(Debug)]
pub(crate) struct Store {
    _root: PathBuf,
}

/// One container's folder.
#[derive(Debug)]
pub(crate) struct Entry {
    _dir: PathBuf,
}
