//! Which user and group of the host the sandbox's only id is.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use rustix::process::{getegid, geteuid};

use crate::failure::{Failure, Result};

/// The kernel's overflow id, which distributions call nobody.
const NOBODY: u32 = 65_534;

/// Host ids that the container's 0 stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

impl Identity {
    /// Chooses them; see the module above for the reasons.
    pub fn choose(first_writable: Option<&Path>) -> Result<Self> {
        let caller = Self { uid: geteuid().as_raw(), gid: getegid().as_raw() };
        let owner = match first_writable {
            Some(path) => {
                let owner = fs::metadata(path)
                    .map_err(|error| Failure::io(format_args!("stat {}", path.display()), error))?;
                Some(Self { uid: owner.uid(), gid: owner.gid() })
            }
            None => None,
        };
        Ok(Self::of(caller, owner))
    }

    fn of(caller: Self, owner: Option<Self>) -> Self {
        if caller.uid != 0 { caller } else { owner.unwrap_or(Self { uid: NOBODY, gid: NOBODY }) }
    }

    /// Whether root's own files are open to the sandbox.
    pub fn is_root(self) -> bool {
        self.uid == 0
    }
}

#[cfg(test)]
mod tests {
    use super::Identity;

    #[test]
    fn root_is_somebody_else_inside_unless_it_owns_what_is_written() {
        let id = |uid| Identity { uid, gid: uid };
        for (caller, owner, chosen) in [
            (id(1000), None, id(1000)),
            (id(1000), Some(id(0)), id(1000)),
            (id(0), None, id(65_534)),
            (id(0), Some(id(1000)), id(1000)),
            (id(0), Some(id(0)), id(0)),
        ] {
            assert_eq!(Identity::of(caller, owner), chosen);
        }
    }
}
