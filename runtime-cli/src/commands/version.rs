//! `--version`.

use crate::{
    failure::{Result, exit},
    output,
};

/// The newest version of the specification that is implemented.
pub const SPEC: &str = "1.3.0";

/// Of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What it was built from; set by whoever builds it.
pub const COMMIT: &str = match option_env!("ORLOP_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// Prints what engines parse: the first line ends in the version, the others are `key: value`.
pub fn print() -> Result<u8> {
    output::print(format!("orlop version {VERSION}\ncommit: {COMMIT}\nspec: {SPEC}\n"))?;
    Ok(exit::SUCCESS)
}
