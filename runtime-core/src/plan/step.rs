//! The vocabulary of plans: what will be done, by whom, and which part of the configuration asked for it.
//!
//! Plain data. A plan is compared, printed and tested without touching the host.

use std::path::PathBuf;

use orlop_init::wire::{OwnedOp, Slot, message::Barrier};

use crate::{
    bundle::Scheduler,
    cgroup::{CgroupPlan, DeviceRule, Limits},
    resctrl::RdtGroup,
    state::HookRecord,
};

/// Which part of the configuration asked for a step: its JSON path, or a rule of the runtime that always holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// A JSON path of config.json.
    Config(String),
    /// What every container gets, with a word on the reason.
    Always(&'static str),
    /// An option of the call (`--console-socket`).
    Option(&'static str),
}

impl Why {
    /// A JSON path.
    pub fn config(path: impl Into<String>) -> Self {
        Self::Config(path.into())
    }
}

/// How much a step matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Need {
    /// Its failure ends the create.
    #[default]
    Required,
    /// Its failure is reported as a warning and the create goes on.
    BestEffort,
}

/// A step of launcher or init.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitStep {
    /// What is done.
    pub op: OwnedOp,
    /// Who asked.
    pub why: Why,
}

/// When the host performs a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Before the launcher exists.
    BeforeLaunch,
    /// While init waits at the barrier.
    At(Barrier),
    /// After the user's program runs (`start`, `run`).
    AfterStart,
}

/// A step of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostStep {
    /// When.
    pub when: When,
    /// What is done.
    pub op: HostOp,
    /// Who asked.
    pub why: Why,
    /// How much it matters.
    pub need: Need,
}

/// What the host can do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "a plan has a dozen of them, one with limits")]
pub enum HostOp {
    /// Makes the container's cgroup with its parents (v2: enables controllers on the way).
    MakeCgroup,
    /// Opens a namespace into a slot and checks its type.
    OpenNamespace {
        /// Where the fd goes.
        slot: Slot,
        /// Its path, checked by `inspect`.
        path: PathBuf,
        /// Its `CLONE_NEW*` flag.
        kind: u32,
    },
    /// Makes a user namespace with these maps for the id map of mounts; nobody is left in it.
    MakeUserNamespace {
        /// Where the fd goes.
        slot: Slot,
        /// Lines of uid_map.
        uids: Vec<IdMap>,
        /// Lines of gid_map.
        gids: Vec<IdMap>,
    },
    /// Opens the cgroup directory into a slot, for `CLONE_INTO_CGROUP`.
    OpenCgroup {
        /// Where the fd goes.
        slot: Slot,
    },
    /// Makes and opens the FIFOs for the start signal and its answer.
    MakeStartFifos {
        /// Start signal.
        start: Slot,
        /// Answer.
        answer: Slot,
    },
    /// Executes the launcher.
    Launch,
    /// Writes `/proc/PID/{setgroups,uid_map,gid_map}`.
    WriteIdMaps {
        /// Lines of uid_map.
        uids: Vec<IdMap>,
        /// Lines of gid_map.
        gids: Vec<IdMap>,
        /// Write `deny` to setgroups first (a plain user's single id).
        deny_setgroups: bool,
        /// Who writes uid_map.
        uids_by: MapWriter,
        /// Who writes gid_map.
        gids_by: MapWriter,
    },
    /// Makes the resctrl group, or checks the one that is there.
    MakeRdtGroup {
        /// What it is.
        group: RdtGroup,
    },
    /// Writes the process to the `tasks` of the resctrl group.
    JoinRdtGroup,
    /// Moves init into the cgroup (`cgroup.procs` of each hierarchy).
    MoveToCgroup,
    /// Writes limits to the cgroup's files.
    ApplyLimits {
        /// What to write.
        limits: Limits,
    },
    /// Installs the device filter (v1 files, v2 program).
    ApplyDeviceRules {
        /// In listed order, the last match decides.
        rules: Vec<DeviceRule>,
    },
    /// Gives the cgroup to the container's root, for a cgroup namespace with a writable cgroup mount.
    DelegateCgroup {
        /// Host uid of the container's root.
        uid: u32,
    },
    /// Writes `/proc/PID/oom_score_adj`.
    OomScoreAdj {
        /// −1000 to 1000.
        value: i32,
    },
    /// `prlimit(2)` on init.
    Rlimit {
        /// `RLIMIT_*` number.
        resource: u32,
        /// Its name in the configuration.
        name: &'static str,
        /// Soft limit.
        soft: u64,
        /// Hard limit.
        hard: u64,
    },
    /// Looks for an AppArmor profile among those that are loaded.
    CheckProfile {
        /// Its name.
        name: String,
    },
    /// `sched_setattr(2)` on init.
    Scheduler {
        /// What is set.
        scheduler: Scheduler,
    },
    /// `ioprio_set(2)` on init.
    IoPriority {
        /// Class and level (ioprio.h).
        value: u32,
    },
    /// Moves a network device of the host into the container's network namespace.
    MoveNetDevice {
        /// Its name on the host.
        name: String,
        /// Its name inside; `%d` in it stands for a number that the kernel chooses.
        name_inside: String,
    },
    /// Takes the listener of the filter from init and sends it to the agent.
    SendListener {
        /// `linux.seccomp.listenerPath`.
        path: PathBuf,
        /// `linux.seccomp.listenerMetadata`.
        metadata: Option<String>,
    },
    /// Runs hooks in the runtime's namespaces.
    RunHooks {
        /// `prestart`, `createRuntime`, `poststart`.
        kind: HookKind,
        /// In order.
        hooks: Vec<HookRecord>,
    },
    /// Saves `created` (create) or `running` (run) with all that later commands need.
    SaveState,
}

/// Who writes an id map: the kernel lets a plain user map nothing but the own id (user_namespaces(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapWriter {
    /// The runtime itself.
    Host,
    /// `newuidmap` or `newgidmap`, which have the rights, and know by /etc/subuid and /etc/subgid what is whose.
    Tool,
}

/// One line of an id map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct IdMap {
    /// First id inside.
    pub container_id: u32,
    /// First id outside.
    pub host_id: u32,
    /// How many.
    pub size: u32,
}

/// The kinds of hooks (config.md, POSIX-platform Hooks).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookKind {
    /// Deprecated: before `createRuntime`, in the runtime's namespaces.
    Prestart,
    /// After namespaces and mounts are made, before the pivot, in the runtime's namespaces.
    CreateRuntime,
    /// The same time, in the container's namespaces.
    CreateContainer,
    /// In `start`, in the container, before the program.
    StartContainer,
    /// In `start`, after the program was executed, in the runtime's namespaces.
    Poststart,
    /// In `delete`, in the runtime's namespaces.
    Poststop,
}

impl HookKind {
    /// Its name in config.json.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Prestart => "prestart",
            Self::CreateRuntime => "createRuntime",
            Self::CreateContainer => "createContainer",
            Self::StartContainer => "startContainer",
            Self::Poststart => "poststart",
            Self::Poststop => "poststop",
        }
    }
}

/// All that will be done to turn a bundle into a process on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What the host does, in order.
    pub host: Vec<HostStep>,
    /// What launcher and init do, in order; the launcher's part ends with `Clone`.
    pub init: Vec<InitStep>,
    /// Number of slots used.
    pub slots: u32,
    /// Where the container's cgroup is and how init gets into it; none: it stays in the caller's.
    pub cgroup: Option<CgroupPlan>,
    /// Whether init sends a console.
    pub terminal: bool,
    /// What to tell the user though nothing fails.
    pub warnings: Vec<crate::Problem>,
}
