//! Commands of other runtimes that this version does not have: refused by name, so that no option is taken and ignored.

use crate::failure::{Failure, Result};

const VERBS: &[&str] = &["checkpoint", "restore"];

/// Refuses them.
pub fn check(verb: &str) -> Result<()> {
    if !VERBS.contains(&verb) {
        return Ok(());
    }
    Err(Failure::new(format!("{verb} is not supported by this version of orlop yet")))
}
