//! Reading config.json.

use std::path::Path;

use super::Bundle;
use crate::{Error, ErrorKind, Result};

impl Bundle {
    /// Reads `config.json` of the bundle at `dir`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] with all problems of form at once; [`ErrorKind::NotFound`] when there is no
    /// config.json.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        Err(Error::new(ErrorKind::Unsupported, format!("opening {}", dir.as_ref().display())))
    }

    /// Takes a configuration from memory; relative paths in it are below `dir`.
    ///
    /// # Errors
    /// As [`Bundle::open`].
    pub fn from_json(json: &[u8], dir: impl AsRef<Path>) -> Result<Self> {
        Err(Error::new(ErrorKind::Unsupported, format!("{} {}", json.len(), dir.as_ref().display())))
    }
}
