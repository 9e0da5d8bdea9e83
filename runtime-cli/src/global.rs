//! Options that stand before the command.

use std::{
    ffi::{OsStr, OsString},
    path::Path,
    sync::Arc,
};

use orlop::Runtime;

use crate::{
    args::{Flag, Order, Parsed, Stopped, bool_word, parse},
    failure::{Failure, Result},
    log::{Format, Log},
    state_root::StateRoot,
};

const ROOT: Flag = Flag::value(
    "root",
    "DIR",
    "where states are kept (default /run/orlop; a plain user: $XDG_RUNTIME_DIR/orlop)",
);
const LOG: Flag = Flag::value("log", "FILE", "append errors to this file (default: stderr)");
const LOG_FORMAT: Flag = Flag::value("log-format", "FORMAT", "text (default) or json");
const DEBUG: Flag = Flag::switch("debug", "log what is done");
const SYSTEMD_CGROUP: Flag = Flag::switch(
    "systemd-cgroup",
    "systemd cgroup driver; not supported yet: refused where a container is made",
);
const CGROUP_MANAGER: Flag = Flag::value(
    "cgroup-manager",
    "NAME",
    "cgroupfs (default), or disabled: no cgroup; systemd is not supported yet",
);
const ROOTLESS: Flag = Flag::value(
    "rootless",
    "WHEN",
    "true, false or auto (default): go on without cgroup where permission lacks",
);
const CRIU: Flag = Flag::value("criu", "PATH", "accepted for old callers; criu is found in $PATH");
const VERSION: Flag = Flag::switch("version", "print the version").short('v');

/// All of them, for the help.
pub const FLAGS: &[&Flag] =
    &[&ROOT, &LOG, &LOG_FORMAT, &DEBUG, &SYSTEMD_CGROUP, &CGROUP_MANAGER, &ROOTLESS, &CRIU, &VERSION];

/// Who manages cgroups, as asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupManager {
    /// Directories made by us.
    Cgroupfs,
    /// systemd units.
    Systemd,
    /// No cgroup of its own.
    Disabled,
}

/// The options, understood.
#[derive(Debug)]
pub struct Globals {
    root: StateRoot,
    /// Where messages go.
    pub log: Arc<Log>,
    /// `--systemd-cgroup`, `--cgroup-manager`.
    pub cgroup_manager: CgroupManager,
    /// `--rootless`; none: auto.
    pub rootless: Option<bool>,
    /// `argv[0]`, for messages.
    pub program: String,
    /// `--version`.
    pub version: bool,
}

/// Why no command is carried out.
#[derive(Debug)]
pub enum Early {
    /// The help is wanted or needed.
    Usage(Stopped),
    /// A value is wrong, or the log cannot be opened.
    Failed(Failure),
}

/// Reads the options; what stands behind them are the operands. The log is given back even when the rest is wrong,
/// so that the error goes where it was asked to go.
pub fn read(
    program: String,
    args: impl IntoIterator<Item = OsString>,
) -> (Log, Result<(Globals, Parsed), Early>) {
    let parsed = match parse(FLAGS, Order::OperandsLast, args) {
        Ok(parsed) => parsed,
        Err(stopped) => return (Log::default(), Err(Early::Usage(stopped))),
    };
    match open_log(&parsed) {
        Err(failure) => (Log::default(), Err(Early::Failed(failure))),
        Ok(log) => match understand(program, &parsed) {
            Err(failure) => (log, Err(Early::Failed(failure))),
            Ok(globals) => (Log::default(), Ok((Globals { log: Arc::new(log), ..globals }, parsed))),
        },
    }
}

fn open_log(parsed: &Parsed) -> Result<Log> {
    let format = match parsed.value(&LOG_FORMAT).map(OsStr::to_string_lossy).as_deref() {
        None | Some("" | "text") => Format::Text,
        Some("json") => Format::Json,
        Some(other) => return Err(Failure::new(format!("invalid log-format: {other}"))),
    };
    let path = parsed.value(&LOG).filter(|path| !path.is_empty());
    Log::open(path.map(Path::new), format, parsed.is_set(&DEBUG))
}

fn understand(program: String, parsed: &Parsed) -> Result<Globals> {
    let manager = match parsed.value(&CGROUP_MANAGER).map(OsStr::to_string_lossy).as_deref() {
        _ if parsed.is_set(&SYSTEMD_CGROUP) => CgroupManager::Systemd,
        None | Some("cgroupfs") => CgroupManager::Cgroupfs,
        Some("systemd") => CgroupManager::Systemd,
        Some("disabled") => CgroupManager::Disabled,
        Some(other) => return Err(Failure::new(format!("invalid cgroup-manager: {other}"))),
    };
    let rootless = match parsed.value(&ROOTLESS).map(OsStr::to_string_lossy).as_deref() {
        None | Some("" | "auto") => None,
        Some(word) => {
            let words = || Failure::new(format!("invalid rootless: {word:?} is not true, false or auto"));
            Some(bool_word(word).ok_or_else(words)?)
        }
    };
    Ok(Globals {
        root: parsed.value(&ROOT).map_or_else(|| Ok(StateRoot::of_caller()), StateRoot::given)?,
        log: Arc::default(),
        cgroup_manager: manager,
        rootless,
        program,
        version: parsed.is_set(&VERSION),
    })
}

impl Globals {
    /// The runtime of the state root.
    pub fn runtime(&self) -> Result<Runtime> {
        Ok(Runtime::builder().root(self.root.path()).build()?)
    }

    /// The runtime of the state root, for a command that puts something into it.
    pub fn runtime_to_create(&self) -> Result<Runtime> {
        self.root.keep_from_cleaners()?;
        self.runtime()
    }

    /// Refuses what no container can be made with.
    pub fn check_cgroup_manager(&self) -> Result<()> {
        let failure = match self.cgroup_manager {
            CgroupManager::Cgroupfs | CgroupManager::Disabled => return Ok(()),
            CgroupManager::Systemd => Failure::new(
                "the systemd cgroup driver (--systemd-cgroup) is not supported by this version of orlop yet; \
                 set the engine to cgroupfs",
            )
            .with_hint(
                "containerd: SystemdCgroup = false; Docker: exec-opts native.cgroupdriver=cgroupfs; \
                 Podman: cgroup_manager = \"cgroupfs\" in containers.conf; CRI-O: cgroup_manager = \"cgroupfs\" and \
                 conmon_cgroup = \"pod\"; kubelet: cgroupDriver: cgroupfs",
            ),
        };
        Err(failure)
    }
}

#[cfg(test)]
mod tests {
    use super::{CgroupManager, Early};

    fn read(args: &[&str]) -> Result<(super::Globals, crate::args::Parsed), Early> {
        super::read("orlop".into(), args.iter().map(Into::into)).1
    }

    #[test]
    fn options_after_the_command_are_left_to_it() {
        let (_, parsed) = read(&["--root", "/a", "--root=/b", "state", "--root", "x"]).expect("reads");
        assert_eq!(parsed.operands, ["state", "--root", "x"]);
    }

    #[test]
    fn values_are_those_of_runc() {
        for (args, rootless) in [
            (&[][..], None),
            (&["--rootless=auto"], None),
            (&["--rootless", ""], None),
            (&["--rootless", "true"], Some(true)),
            (&["--rootless=F"], Some(false)),
        ] {
            assert_eq!(read(args).expect("reads").0.rootless, rootless, "{args:?}");
        }
        for (args, manager) in [
            (&["--cgroup-manager", "cgroupfs"][..], CgroupManager::Cgroupfs),
            (&["--cgroup-manager", "disabled"], CgroupManager::Disabled),
            (&["--systemd-cgroup", "--systemd-cgroup"], CgroupManager::Systemd),
            (&["--systemd-cgroup=false"], CgroupManager::Cgroupfs),
        ] {
            assert_eq!(read(args).expect("reads").0.cgroup_manager, manager, "{args:?}");
        }
        for args in
            [&["--rootless=maybe"][..], &["--log-format", "xml"], &["--cgroup-manager", "x"], &["--root=/"]]
        {
            assert!(matches!(read(args), Err(Early::Failed(_))), "{args:?}");
        }
    }
}
