//! Where cgroup file systems are and where the caller is in them.

use std::path::PathBuf;

/// The cgroup layout of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CgroupHost {
    /// cgroup v2 at `/sys/fs/cgroup` (found by statfs, no mountinfo is read).
    Unified {
        /// Mount point.
        mount: PathBuf,
        /// The caller's cgroup, absolute within the hierarchy.
        own: PathBuf,
    },
    /// cgroup v1 controllers, with or without a v2 hierarchy beside them.
    Legacy {
        /// v1 hierarchies, named ones included.
        hierarchies: Vec<Hierarchy>,
        /// The v2 hierarchy of a hybrid host.
        unified: Option<Hierarchy>,
    },
}

/// One mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hierarchy {
    /// Controllers (`cpu`, `cpuacct`) or `name=systemd`; empty for v2.
    pub(crate) controllers: Vec<String>,
    /// Mount point.
    pub(crate) mount: PathBuf,
    /// The root of the mount within the hierarchy (not `/` in a container without cgroup namespace).
    pub(crate) root: PathBuf,
    /// The caller's cgroup, absolute within the hierarchy.
    pub(crate) own: PathBuf,
}

impl CgroupHost {
    /// Looks for `/sys/fs/cgroup`.
    pub(crate) fn find() -> crate::Result<Option<Self>> {
        Ok(None)
    }
}
