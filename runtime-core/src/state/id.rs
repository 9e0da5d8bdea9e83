//! Container ids.

use std::{fmt, str::FromStr};

use crate::{Error, ErrorKind};

/// The longest id: the longest name of a directory.
const MAX_LEN: usize = 255;

/// A container id: letters, digits and `_+-.`, not `.` or `..`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContainerId(String);

impl ContainerId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ContainerId {
    type Err = Error;

    fn from_str(id: &str) -> Result<Self, Error> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_+-.".contains(c);
        if id.is_empty() {
            return Err(Error::new(ErrorKind::InvalidArgument, "container id cannot be empty"));
        }
        if id == "." || id == ".." || id.len() > MAX_LEN || !id.chars().all(allowed) {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("invalid container ID format: {id:?} is not 1 to {MAX_LEN} of A-Z a-z 0-9 _ + - ."),
            ));
        }
        Ok(Self(id.to_owned()))
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::ContainerId;

    #[test]
    fn ids_are_what_runc_allows() {
        for id in ["a", "web1", "A_b+c-d.e", "...", &"f".repeat(64), &"x".repeat(255)] {
            assert!(id.parse::<ContainerId>().is_ok(), "{id}");
        }
        for id in ["", ".", "..", "a/b", "../x", "a b", "ä", "a:b", &"x".repeat(256)] {
            assert!(id.parse::<ContainerId>().is_err(), "{id}");
        }
    }
}
