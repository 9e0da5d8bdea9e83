//! The container's cgroup: path rules, limits and device rules (pure), and making, placing, freezing, removing
//! (effects). The only module that names libcgroups.

mod apply_limits;
mod create;
mod device_bpf;
mod device_rules;
mod devices;
mod files;
mod freeze;
mod limits;
mod limits_v1;
mod limits_v2;
mod path;
mod place;
mod processes;
mod remove;
pub(crate) mod stats;
mod stats_v1;
mod stats_v2;
mod update;
mod watch;

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

pub(crate) use create::{CreatedCgroup, NeededControllers};
pub(crate) use path::cgroup_dirs;
pub(crate) use place::move_to;
pub(crate) use watch::{Happening, Watch};

/// Where the container's cgroup is and how init gets into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CgroupPlan {
    /// Directories of the cgroup, one per hierarchy.
    pub dirs: CgroupDirs,
    /// How init gets in.
    pub placement: Placement,
}

/// The directories of one cgroup; kept in the state, since later commands are told nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CgroupDirs {
    /// cgroup v2: mount point, and the path below it (absolute, as in /proc/PID/cgroup).
    Unified {
        /// Mount point.
        mount: PathBuf,
        /// `/a/b`.
        path: PathBuf,
    },
    /// cgroup v1 and hybrid: a directory for each hierarchy, with its controllers joined by commas (`cpu,cpuacct`,
    /// `name=systemd`, empty for v2).
    Legacy {
        /// Hierarchies.
        dirs: BTreeMap<String, PathBuf>,
    },
}

/// How init gets into its cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// `CLONE_INTO_CGROUP`.
    BornIn,
    /// The host writes `cgroup.procs`.
    Moved,
}

/// One entry of `linux.resources.devices`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRule {
    /// Allow or deny.
    pub allow: bool,
    /// What kind of device.
    pub kind: DeviceKind,
    /// None: all.
    pub major: Option<u32>,
    /// None: all.
    pub minor: Option<u32>,
    /// Of `rwm`.
    pub access: DeviceAccess,
}

/// What kind of device a rule speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeviceKind {
    /// `a`.
    All,
    /// `c`.
    Char,
    /// `b`.
    Block,
}

/// Read, write, mknod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceAccess {
    /// `r`.
    pub read: bool,
    /// `w`.
    pub write: bool,
    /// `m`.
    pub mknod: bool,
}

/// `linux.resources` without devices, as written; conversions to files happen in this module. None: leave alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// The crate's parse tree for what it types rightly.
    pub resources: Option<oci_spec::runtime::LinuxResources>,
    /// `pids.limit`: −1 unlimited.
    pub pids: Option<i64>,
    /// Page size and bytes.
    pub hugepages: Vec<(String, u64)>,
    /// File → value, written last.
    pub unified: BTreeMap<String, String>,
}

impl Limits {
    /// Whether nothing is limited.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.resources.is_none()
            && self.pids.is_none()
            && self.hugepages.is_empty()
            && self.unified.is_empty()
    }
}

/// A cgroup on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cgroup {
    dirs: CgroupDirs,
}

impl Cgroup {
    /// The cgroup of these directories, whether they exist or not.
    pub(crate) fn new(dirs: CgroupDirs) -> Self {
        Self { dirs }
    }
}

#[cfg(test)]
mod tests;
