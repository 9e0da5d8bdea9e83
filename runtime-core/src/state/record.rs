//! The record of a container and what others are told of it.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::{cgroup::CgroupDirs, resctrl::RdtRecord};

/// Version of the record's form. A newer one can still be listed, killed and deleted: those fields never change.
pub(crate) const RECORD_VERSION: u32 = 1;

/// Status of a container (runtime.md, State; `paused` is an addition of all runtimes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Status {
    /// Being created.
    Creating,
    /// Waits for `start`.
    Created,
    /// The program runs.
    Running,
    /// Frozen.
    Paused,
    /// Its init has ended.
    Stopped,
}

impl Status {
    /// The word in the state.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How far the creating command came; the status follows from it and from the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Phase {
    /// Not finished; its command may have been killed.
    Creating,
    /// Finished; the start FIFO is there until started.
    Created,
    /// Started.
    Started,
}

/// The state of a container as `state` and `list` print it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ContainerState {
    /// `ociVersion` of the configuration.
    pub oci_version: String,
    /// The id.
    pub id: String,
    /// Pid of init in the caller's pid namespace, 0 when stopped.
    pub pid: i32,
    /// Status.
    pub status: Status,
    /// Absolute path of the bundle.
    pub bundle: PathBuf,
    /// Absolute path of the rootfs.
    pub rootfs: PathBuf,
    /// When it was created: RFC 3339, UTC, nanoseconds.
    pub created: String,
    /// Annotations of the configuration.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Uid that created it.
    #[serde(skip)]
    pub owner_uid: u32,
}

/// A hook as kept in plans and states.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookRecord {
    /// Executable, absolute.
    pub path: PathBuf,
    /// Arguments with `argv[0]`; empty: the path.
    #[serde(default)]
    pub args: Vec<String>,
    /// Environment; none: the runtime's own.
    #[serde(default)]
    pub env: Option<Vec<String>>,
    /// Seconds, none: no limit.
    #[serde(default)]
    pub timeout_secs: Option<u64>,
}

/// All that later commands need, written before the first effect and replaced by rename.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) version: u32,
    pub(crate) id: String,
    pub(crate) oci_version: String,
    pub(crate) phase: Phase,
    /// Init's pid in the creator's pid namespace, 0: none yet.
    pub(crate) pid: i32,
    /// Field 22 of /proc/PID/stat: tells a reused pid.
    pub(crate) start_time: u64,
    pub(crate) bundle: PathBuf,
    pub(crate) rootfs: PathBuf,
    pub(crate) created: String,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) owner_uid: u32,
    /// None: no cgroup of its own.
    pub(crate) cgroup: Option<CgroupDirs>,
    /// What was made of `linux.intelRdt`.
    #[serde(default)]
    pub(crate) rdt: Option<RdtRecord>,
    /// Memory limits as they were asked for last.
    #[serde(default)]
    pub(crate) memory: AskedMemory,
    /// Init is pid 1 of its own pid namespace: its end ends all others.
    pub(crate) own_pid_namespace: bool,
    /// Processes keep the session keyring of whoever starts them.
    #[serde(default)]
    pub(crate) no_new_keyring: bool,
    /// Steps of init after the start signal, so that `start` can name the one that fails.
    pub(crate) start_steps: Vec<StartStep>,
    pub(crate) poststart: Vec<HookRecord>,
    pub(crate) poststop: Vec<HookRecord>,
}

/// `limit` and `swap` of `linux.resources.memory`. cgroup v2 holds their difference, so that an update of one needs the
/// other as it was meant: a swap limit that an engine set by itself (`memory.swap.max`) says nothing of their sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AskedMemory {
    pub(crate) limit: Option<i64>,
    pub(crate) swap: Option<i64>,
}

/// What is kept of a step after the start signal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum StartStep {
    /// A `startContainer` hook.
    Hook {
        /// Index in init's steps.
        index: u32,
        /// Index in `hooks.startContainer`.
        number: u32,
        path: String,
    },
    /// The program.
    Exec { index: u32, program: String },
    /// Anything else, in words that follow "cannot".
    Other { index: u32, what: String, config_path: String },
}

impl StartStep {
    /// Index in init's steps.
    pub(crate) const fn index(&self) -> u32 {
        match self {
            Self::Hook { index, .. } | Self::Exec { index, .. } | Self::Other { index, .. } => *index,
        }
    }
}
