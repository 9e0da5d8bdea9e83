//! A plan in words: what `explain` prints, and what failures name. Values of the environment are never printed.

mod mounts;

use std::{ffi::CStr, fmt::Write, path::Path};

use orlop_init::wire::{OwnedOp, message::Barrier};
use serde_json::{Value, json};

use super::{
    Plan, attributes, capabilities,
    mount_options::propagation_name,
    process,
    start::kinds,
    step::{HostOp, HostStep, IdMap, InitStep, MapWriter, Need, When, Why},
};
use crate::cgroup::CgroupDirs;

/// The widest column of what is done; longer lines stand alone.
const COLUMN: usize = 72;

/// A line of the explanation.
struct Row {
    by: &'static str,
    when: &'static str,
    what: String,
    why: String,
    op: &'static str,
}

/// The steps of host, launcher and init as they follow each other.
fn rows(plan: &Plan) -> Vec<Row> {
    let mut rows: Vec<Row> = host_rows(plan, When::BeforeLaunch).collect();
    let (mut by, mut when) = ("launcher", "create");
    for step in &plan.init {
        rows.push(Row { by, when, what: describe(step), why: reason(&step.why), op: step.op.name() });
        match step.op {
            OwnedOp::Clone { .. } => by = "init",
            OwnedOp::AwaitStart { .. } => when = "start",
            OwnedOp::Filter { .. } => rows.extend(host_rows(plan, When::At(Barrier::Listener))),
            OwnedOp::Barrier { barrier } => {
                let barriers = [Barrier::Placed, Barrier::Mounted, Barrier::Ready];
                if let Some(barrier) = barriers.into_iter().find(|known| *known as u32 == barrier) {
                    rows.extend(host_rows(plan, When::At(barrier)));
                }
            }
            _ => {}
        }
    }
    rows.extend(host_rows(plan, When::AfterStart));
    rows
}

fn host_rows(plan: &Plan, when: When) -> impl Iterator<Item = Row> {
    plan.host.iter().filter(move |step| step.when == when).map(move |step| {
        let place = match (&step.op, &plan.cgroup) {
            (HostOp::MakeCgroup, Some(cgroup)) => format!(" {}", describe_dirs(&cgroup.dirs)),
            _ => String::new(),
        };
        let may_fail = if step.need == Need::BestEffort { ", if possible" } else { "" };
        Row {
            by: "host",
            when: when_name(when),
            what: format!("{}{place}{may_fail}", describe_host(step)),
            why: reason(&step.why),
            op: host_op_name(&step.op),
        }
    })
}

fn describe_dirs(dirs: &CgroupDirs) -> String {
    match dirs {
        CgroupDirs::Unified { mount, path } => {
            mount.join(path.strip_prefix("/").unwrap_or(path)).display().to_string()
        }
        CgroupDirs::Legacy { dirs } => {
            let mut paths = dirs.values();
            let first = paths.next().map(|path| path.display().to_string()).unwrap_or_default();
            format!("{first} and in {} more hierarchies", paths.len())
        }
    }
}

fn when_name(when: When) -> &'static str {
    match when {
        When::BeforeLaunch => "before launch",
        When::At(Barrier::Placed) => "placed",
        When::At(Barrier::Mounted) => "mounted",
        When::At(Barrier::Ready) => "ready",
        When::At(Barrier::Start) => "start",
        When::At(Barrier::Listener) => "filter loaded",
        When::AfterStart => "after start",
    }
}

fn reason(why: &Why) -> String {
    match why {
        Why::Config(path) => path.clone(),
        Why::Always(reason) => format!("always: {reason}"),
        Why::Option(option) => format!("option {option}"),
    }
}

/// The plan as text, a line for each step.
pub(crate) fn explain_text(plan: &Plan) -> String {
    let rows = rows(plan);
    let width =
        rows.iter().map(|row| row.what.chars().count()).filter(|&width| width <= COLUMN).max().unwrap_or(0);
    let mut text = String::new();
    for (number, Row { by, what, why, .. }) in rows.iter().enumerate() {
        // Writing to a String cannot fail.
        if writeln!(text, "{:>3}  {by:<8}  {what:<width$}  ({why})", number + 1).is_err() {
            break;
        }
    }
    for warning in &plan.warnings {
        text.push_str(&format!("warning: {warning}\n"));
    }
    text
}

/// The plan as JSON: an object for each step.
pub(crate) fn explain_json(plan: &Plan) -> Value {
    let step =
        |Row { by, when, what, why, op }| json!({"by": by, "when": when, "what": what, "why": why, "op": op});
    Value::Array(rows(plan).into_iter().map(step).collect())
}

fn text(text: &CStr) -> String {
    text.to_string_lossy().into_owned()
}

/// Arguments as one would type them, near enough.
fn words<'a>(words: impl IntoIterator<Item = &'a std::ffi::CString>) -> String {
    let quoted = |word: &std::ffi::CString| {
        let word = word.to_string_lossy();
        let is_plain =
            !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || "/._-+=:,@%".contains(c));
        if is_plain { word.into_owned() } else { format!("{word:?}") }
    };
    words.into_iter().map(quoted).collect::<Vec<_>>().join(" ")
}

fn with_options(what: String, options: &str) -> String {
    if options.is_empty() { what } else { format!("{what} with {options}") }
}

/// What a step of launcher or init does, in words that follow "cannot".
pub(crate) fn describe(step: &InitStep) -> String {
    use OwnedOp as Op;
    match &step.op {
        Op::JoinNamespace { kind, .. } => format!("join the {}", namespace_words(*kind)),
        Op::Unshare { flags } => format!("make new namespaces: {}", kinds(*flags)),
        Op::Clone { namespaces, cgroup } => {
            let cgroup = if *cgroup == orlop_init::wire::Slot::NONE { "" } else { ", born in its cgroup" };
            format!("clone init with {} namespaces of its own{cgroup}", kinds(*namespaces))
        }
        Op::Barrier { barrier } => format!("wait for the host: {}", barrier_name(*barrier)),
        Op::SetDumpable { value: 0 } => "become unreadable to other processes".to_owned(),
        Op::SetDumpable { .. } => "become readable to other processes".to_owned(),
        Op::BecomeRoot { .. } => "become root of the user namespace".to_owned(),
        Op::TimeOffsets { offsets } => {
            format!("set clock offsets {:?} and enter the time namespace", text(offsets))
        }
        Op::NewSession {} => "lead a new session".to_owned(),
        Op::SessionKeyring { name } => format!("make the session keyring {}", text(name)),
        Op::RouteSocket {} => "open an rtnetlink socket for the host".to_owned(),
        Op::LoopbackUp {} => "bring the loopback device up".to_owned(),
        Op::Hostname { name } => format!("set the host name to {}", text(name)),
        Op::Domainname { name } => format!("set the domain name to {}", text(name)),
        Op::RootPropagation { flags } => format!("make all mounts {}", propagation_name(*flags)),
        Op::AttachRootfs { path, from_host } => {
            format!("make {} a mount of its own{}", text(path), mounts::opened_by(*from_host))
        }
        Op::NewMount { .. } | Op::BindProc { .. } | Op::BindMount { .. } | Op::Remount { .. } => {
            mounts::describe(&step.op)
        }
        Op::Symlink { points_to, path } => format!("link {} to {}", text(path), text(points_to)),
        Op::Remove { path } => format!("remove {} of the image", text(path)),
        Op::DeviceNode { path, mode, major, minor, uid, gid } => {
            let letter = match mode & 0o170_000 {
                0o020_000 => format!("char device {major}:{minor}"),
                0o060_000 => format!("block device {major}:{minor}"),
                _ => "FIFO".to_owned(),
            };
            format!("make {} as {letter}, mode {:04o}, owner {uid}:{gid}", text(path), mode & 0o7777)
        }
        Op::CloseSlot { .. } => "close a namespace that mounts needed".to_owned(),
        Op::PivotRoot {} => "enter the rootfs by pivot_root and detach the old root".to_owned(),
        Op::MoveRoot {} => "enter the rootfs by moving it onto / and chroot".to_owned(),
        Op::RootfsPropagation { flags } => format!("make the root mount {}", propagation_name(*flags)),
        Op::ReadonlyRootfs {} => "make the root mount read-only".to_owned(),
        Op::OpenMask {} => "open the host's /dev/null as mask".to_owned(),
        Op::MaskPath { path } => format!("mask {}, if it is there", text(path)),
        Op::ReadonlyPath { path } => format!("make {} read-only, if it is there", text(path)),
        Op::Sysctl { key, value } => format!("write {:?} to /proc/sys/{}", text(value), text(key)),
        _ => describe_process(&step.op),
    }
}

/// One kind, or several that are joined by one call.
fn namespace_words(flags: u32) -> String {
    let plural = if flags.count_ones() > 1 { "s" } else { "" };
    format!("{} namespace{plural}", kinds(flags))
}

fn describe_process(op: &OwnedOp) -> String {
    use OwnedOp as Op;
    match op {
        Op::Console { bind_console, .. } => {
            let bound = if *bind_console { ", bound on /dev/console" } else { "" };
            format!("open a terminal{bound}")
        }
        Op::ControllingTerminal {} => "take the terminal as controlling terminal".to_owned(),
        Op::OwnStdio { uid } => format!("give stdin, stdout and stderr to uid {uid}"),
        Op::Hook { path, args, timeout_ms, .. } => {
            let limit = match timeout_ms {
                0 => String::new(),
                ms => format!(", at most {} s", ms / 1000),
            };
            format!("run the hook {}{limit}", words(std::iter::once(path).chain(args.iter().skip(1))))
        }
        Op::BoundingSet { capabilities } => {
            format!("limit capabilities to {}", capabilities::list(*capabilities))
        }
        Op::SetUser { uid, gid, groups, umask, .. } => {
            let more: String = groups.iter().map(|group| format!(",{group}")).collect();
            format!("become uid {uid}, gid {gid}{more}, umask {umask:04o}")
        }
        Op::Capabilities { effective, ambient, .. } => {
            let ambient = match ambient {
                0 => String::new(),
                bits => format!(", ambient {}", capabilities::list(*bits)),
            };
            format!("keep capabilities {}{ambient}", capabilities::list(*effective))
        }
        Op::Chdir { path } => format!("change to the working directory {}", text(path)),
        Op::MakeCwd { path } => format!("make the working directory {}, if it is missing", text(path)),
        Op::FindExecutable { name, search } if !name.as_bytes().contains(&b'/') => {
            format!("look up {} in {}", words([name]), text(search))
        }
        Op::FindExecutable { name, .. } => format!("look up {}", words([name])),
        Op::AwaitStart { .. } => "wait for start".to_owned(),
        Op::Rlimit { resource, soft, hard } => {
            format!("set {} to {} of {}", process::rlimit_name(*resource), limit(*soft), limit(*hard))
        }
        Op::ResetCpus {} => "run on all CPUs of the cgroup".to_owned(),
        Op::Cpus { mask } => format!("run on the CPUs {}", attributes::numbers(mask)),
        Op::Scheduler { policy, .. } => describe_scheduler(*policy),
        Op::IoPriority { value } => describe_io_priority(*value),
        Op::MemoryPolicy { mode, nodes } => {
            let mode = attributes::memory_mode_name(*mode);
            with_options(format!("set the memory policy {mode}"), &attributes::numbers(nodes))
        }
        Op::Personality { persona: 0 } => "set the personality LINUX".to_owned(),
        Op::Personality { .. } => "set the personality LINUX32".to_owned(),
        Op::Filter { program, .. } => {
            format!("load the filter of system calls ({} instructions)", program.len() / 8)
        }
        Op::FilterAtExec { program, .. } => {
            format!(
                "load the filter of system calls ({} instructions) right before execve",
                program.len() / 8
            )
        }
        Op::OpenLabel { names } => {
            let first = names.first().map(|name| text(name)).unwrap_or_default();
            format!("open /proc/thread-self/{first}")
        }
        Op::WriteLabel { value } => format!("set the label of the program: {}", text(value)),
        Op::NoNewPrivileges {} => "give up gaining privileges".to_owned(),
        Op::Exec { args, home_of: u32::MAX, .. } => format!("execute {}", words(args)),
        Op::Exec { args, home_of, .. } => format!("execute {}, with the HOME of uid {home_of}", words(args)),
        other => other.name().to_owned(),
    }
}

fn describe_scheduler(policy: u32) -> String {
    format!("set the scheduling policy {}", attributes::policy_name(policy))
}

fn describe_io_priority(value: u32) -> String {
    format!("set the i/o priority {}, level {}", attributes::io_class_name(value), value & 7)
}

fn barrier_name(barrier: u32) -> &'static str {
    let named = [
        (Barrier::Placed, "placed"),
        (Barrier::Mounted, "mounted"),
        (Barrier::Ready, "ready"),
        (Barrier::Start, "start"),
        (Barrier::Listener, "listener"),
    ];
    named.into_iter().find(|(known, _)| *known as u32 == barrier).map_or("unknown", |(_, name)| name)
}

fn id_lines(maps: &[IdMap]) -> String {
    let map = |map: &IdMap| format!("{}={}+{}", map.container_id, map.host_id, map.size);
    maps.iter().map(map).collect::<Vec<_>>().join(",")
}

fn id_map(maps: &[IdMap], by: MapWriter, tool: &str) -> String {
    let maps = id_lines(maps);
    match by {
        MapWriter::Host => maps,
        MapWriter::Tool => format!("{maps} by {tool}"),
    }
}

/// What a step of the host does, in words that follow "cannot".
pub(crate) fn describe_host(step: &HostStep) -> String {
    let show = |path: &Path| path.display().to_string();
    match &step.op {
        HostOp::MakeCgroup => "make the cgroup".to_owned(),
        HostOp::OpenNamespace { path, kind, .. } => {
            format!("pass the {} {}", namespace_words(*kind), show(path))
        }
        HostOp::OpenCgroup { .. } => "open the cgroup".to_owned(),
        HostOp::MakeStartFifos { .. } => "make the FIFOs for start and its answer".to_owned(),
        HostOp::Launch => "execute the launcher".to_owned(),
        HostOp::WriteIdMaps { uids, gids, deny_setgroups, uids_by, gids_by } => {
            let (uids, gids) = (id_map(uids, *uids_by, "newuidmap"), id_map(gids, *gids_by, "newgidmap"));
            let groups = if *deny_setgroups { ", without setgroups" } else { "" };
            format!("write id maps: uids {uids}, gids {gids}{groups}")
        }
        HostOp::MakeUserNamespace { uids, gids, .. } => {
            format!(
                "make the user namespace for mounts with uids {}, gids {}",
                id_lines(uids),
                id_lines(gids)
            )
        }
        HostOp::MakeRdtGroup { group } => format!("make the resctrl group {}", group.dir.display()),
        HostOp::JoinRdtGroup => "move the process into the resctrl group".to_owned(),
        HostOp::MoveToCgroup => "move the process into the cgroup".to_owned(),
        HostOp::ApplyLimits { .. } => "apply resource limits".to_owned(),
        HostOp::ApplyDeviceRules { rules } => {
            format!("install the device filter: the default devices and {} of the configuration", rules.len())
        }
        HostOp::DelegateCgroup { uid } => format!("give the cgroup to uid {uid}"),
        HostOp::OomScoreAdj { value } => format!("set oom_score_adj to {value}"),
        HostOp::Rlimit { name, soft, hard, .. } => {
            format!("set {name} to {} of {}", limit(*soft), limit(*hard))
        }
        HostOp::CheckProfile { name } => format!("look for the AppArmor profile {name}"),
        HostOp::Scheduler { scheduler } => describe_scheduler(scheduler.policy),
        HostOp::IoPriority { value } => describe_io_priority(*value),
        HostOp::MoveNetDevice { name, name_inside } if name == name_inside => {
            format!("move network device {name} into the container")
        }
        HostOp::MoveNetDevice { name, name_inside } => {
            format!("move network device {name} into the container as {name_inside}")
        }
        HostOp::SendListener { path, .. } => format!("send the filter's listener to {}", show(path)),
        HostOp::RunHooks { kind, hooks } => {
            let paths: Vec<String> = hooks.iter().map(|hook| show(&hook.path)).collect();
            format!("run {} hooks: {}", kind.name(), paths.join(", "))
        }
        HostOp::SaveState => "save the state".to_owned(),
    }
}

fn limit(value: u64) -> String {
    if value == u64::MAX { "unlimited".to_owned() } else { value.to_string() }
}

fn host_op_name(op: &HostOp) -> &'static str {
    match op {
        HostOp::MakeCgroup => "MakeCgroup",
        HostOp::OpenNamespace { .. } => "OpenNamespace",
        HostOp::MakeUserNamespace { .. } => "MakeUserNamespace",
        HostOp::OpenCgroup { .. } => "OpenCgroup",
        HostOp::MakeStartFifos { .. } => "MakeStartFifos",
        HostOp::Launch => "Launch",
        HostOp::WriteIdMaps { .. } => "WriteIdMaps",
        HostOp::MakeRdtGroup { .. } => "MakeRdtGroup",
        HostOp::JoinRdtGroup => "JoinRdtGroup",
        HostOp::MoveToCgroup => "MoveToCgroup",
        HostOp::ApplyLimits { .. } => "ApplyLimits",
        HostOp::ApplyDeviceRules { .. } => "ApplyDeviceRules",
        HostOp::DelegateCgroup { .. } => "DelegateCgroup",
        HostOp::OomScoreAdj { .. } => "OomScoreAdj",
        HostOp::Rlimit { .. } => "Rlimit",
        HostOp::CheckProfile { .. } => "CheckProfile",
        HostOp::Scheduler { .. } => "Scheduler",
        HostOp::IoPriority { .. } => "IoPriority",
        HostOp::MoveNetDevice { .. } => "MoveNetDevice",
        HostOp::SendListener { .. } => "SendListener",
        HostOp::RunHooks { .. } => "RunHooks",
        HostOp::SaveState => "SaveState",
    }
}
