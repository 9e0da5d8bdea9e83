//! The plan of an exec: a process joins a container that exists.
//!
//! What holds fds or rights of the host is never a member of the container's pid namespace: the launcher, or the process
//! that it makes in the container's cgroup, joins all namespaces (`setns(2)` of a pid namespace concerns children only),
//! becomes in ids, capabilities and root what the container's process is, and only then clones the member. From that on
//! every message is hostile input.

use std::path::PathBuf;

use orlop_init::wire::{OwnedOp, Slot, message::Barrier};

use super::{
    Chapter, Decisions, Plan, Slots, attributes, capabilities, cgroup, chapter, check_supported, console,
    draft::Draft,
    filter,
    id_maps::Users,
    label,
    namespaces::{Join, Namespaces, flags},
    process, start,
    step::{HostOp, HostStep, Need, When, Why},
};
use crate::{
    Bundle, ContainerId, CreateOptions, Result,
    cgroup::{CgroupDirs, CgroupPlan, Placement},
    host::HostFacts,
    inspect::Target,
};

/// The order of an exec.
pub(super) const CHAPTERS: &[Chapter] = &[
    chapter(
        "host: namespaces and cgroup of the container, launcher",
        "what can fail on the host fails before a process exists",
        launch,
    ),
    chapter(
        "launcher: not dumpable (of a privileged caller)",
        "nobody in the container may look into the launcher",
        start::close_launcher,
    ),
    chapter("launcher: `execCPUAffinity.initial`", "before it is in the container's cgroup", |d, draft| {
        set_cpus(attributes::exec_cpus(&d.bundle.fields().attributes.exec_cpus).initial, draft);
    }),
    chapter(
        "launcher: clone into the container's cgroup",
        "the kernel judges the birth by the host's rights, which go next",
        be_born,
    ),
    chapter(
        "host, at *placed*: cgroup (v1), `oom_score_adj`",
        "from outside, before anything depends on them",
        place,
    ),
    chapter(
        "launcher: `execCPUAffinity.final`, else all CPUs of its cgroup",
        "the caller's CPU affinity is not the container's",
        |d, draft| set_cpus(attributes::exec_cpus(&d.bundle.fields().attributes.exec_cpus).r#final, draft),
    ),
    chapter(
        "launcher: all namespaces of the container, the pid namespace for its children",
        "one call, which the kernel checks as a whole",
        join_namespaces,
    ),
    chapter(
        "launcher: root of the user namespace, not dumpable (of a plain user)",
        "what it makes belongs to the container's root",
        start::become_root,
    ),
    chapter(
        "launcher: session, where it is the process itself",
        "before a terminal exists that it could control",
        start::early_session,
    ),
    chapter("launcher: the container's session keyring", "as root of the namespace", start::keyring),
    chapter("launcher: terminal", "in the container's devpts, still root", console::open),
    chapter(
        "launcher: owner of stdin, stdout, stderr",
        "still root, who may give them away",
        console::own_stdio,
    ),
    chapter(
        "launcher: `linux.memoryPolicy`, `linux.personality`",
        "for all that the program does, and before a filter might know neither call",
        attributes::set_memory_and_personality,
    ),
    chapter(
        "launcher: file of the security label",
        "while it may mount a procfs of its own",
        label::open_privileged,
    ),
    chapter("launcher: bounding set", "CAP_SETPCAP is still there", |d, draft| {
        capabilities::bounding_set(d.sets, draft)
    }),
    chapter(
        "launcher: groups, ids, umask",
        "groups before gid before uid, each with the rights to change the next",
        process::set_user,
    ),
    chapter(
        "launcher: working directory",
        "as the user, with root's capabilities still effective",
        process::change_dir,
    ),
    chapter(
        "launcher: filter of system calls, where it cannot be the last call",
        "while CAP_SYS_ADMIN is there, which loading it needs without `no_new_privs`",
        filter::load_before_capabilities,
    ),
    chapter("launcher: the other capability sets", "the last use of the others is done", |d, draft| {
        let kept = d.filter.as_ref().map_or(0, filter::Filter::kept_capabilities);
        capabilities::final_sets(d.sets, kept, draft);
    }),
    chapter(
        "launcher: clone into the pid namespace; session, controlling terminal",
        "the container sees a process that has only the container's",
        become_member,
    ),
    chapter("process: file of the security label", "a process may open its own only", label::open_late),
    chapter(
        "process: look-up of `args[0]`",
        "with the user's own rights, while the exec still listens",
        process::find_executable,
    ),
    chapter("process: `noNewPrivileges`", "before the filter", process::no_new_privileges),
    chapter(
        "process: filter of system calls with a listener",
        "while the exec still listens",
        filter::load_before_ready,
    ),
    chapter(
        "host, at *ready*: scheduler, rlimits",
        "limits last: none may hit the setting up",
        |d, draft| {
            attributes::set_scheduler(d, draft);
            process::set_rlimits(d, draft);
            wait_for_host(Barrier::Ready, "limits are set from outside", draft);
        },
    ),
    chapter("process: security label", "the last use of a file", label::write),
    chapter(
        "process: filter of system calls, kept for the exec",
        "the last call before it",
        filter::load_at_exec,
    ),
    chapter("process: `execve`", "the end of init", process::execute),
];

/// What an exec is planned from.
pub(crate) struct ExecInput<'a> {
    pub(crate) id: &'a ContainerId,
    /// The process (`Bundle::for_exec`).
    pub(crate) bundle: &'a Bundle,
    pub(crate) target: &'a Target,
    pub(crate) host: &'a HostFacts,
    pub(crate) options: &'a CreateOptions,
    /// None: the container has no cgroup of its own.
    pub(crate) cgroup: Option<CgroupDirs>,
    /// The container is in a resctrl group.
    pub(crate) has_rdt_group: bool,
}

/// Decides everything.
///
/// # Errors
/// `InvalidConfig` or `Unsupported` for what cannot be done, all at once.
pub(crate) fn plan_exec(input: ExecInput<'_>) -> Result<Plan> {
    let mut draft = Draft::default();
    check_supported(input.bundle, &mut draft);
    if input.has_rdt_group {
        draft.host(When::At(Barrier::Ready), HostOp::JoinRdtGroup, Why::config("linux.intelRdt"));
    }
    let decisions = decide(input, &mut draft);
    process::check_user(&decisions, &mut draft);
    super::write(CHAPTERS, decisions, draft)
}

fn decide<'a>(input: ExecInput<'a>, draft: &mut Draft) -> Decisions<'a> {
    let ExecInput { id, bundle, target, host, options, cgroup, .. } = input;
    let namespaces = namespaces(target);
    let users = match &target.maps {
        Some(maps) => Users::known(maps),
        None => Users::Callers(host.credentials.user_namespace.clone()),
    };
    let cgroup = cgroup.map(|dirs| {
        let placement = match dirs {
            CgroupDirs::Unified { .. } => Placement::BornIn,
            CgroupDirs::Legacy { .. } => Placement::Moved,
        };
        CgroupPlan { dirs, placement }
    });
    let joins = u32::try_from(namespaces.joins.len()).unwrap_or(u32::MAX);
    let is_born = cgroup.as_ref().is_some_and(|cgroup| cgroup.placement == Placement::BornIn);
    let slots = Slots {
        cgroup: if is_born { Slot(joins) } else { Slot::NONE },
        start: Slot::NONE,
        answer: Slot::NONE,
        count: joins + u32::from(is_born),
    };
    let sets = capabilities::decide(bundle, host, &users, draft);
    // The container's members may have more capabilities than this process.
    label::check(bundle.fields(), host, draft);
    let filter = filter::decide(bundle, host, (sets, filter::Company::Own), draft);
    let env = bundle.spec().process().as_ref().and_then(|process| process.env().as_deref());
    Decisions {
        id,
        bundle,
        facts: &target.facts,
        host,
        options,
        is_rootless: cgroup::is_rootless(options, &host.credentials),
        environment: process::plan_environment(env.unwrap_or_default(), &options.extra_env),
        sets,
        filter,
        is_exec: true,
        mount_maps: super::idmapped::MountMaps::default(),
        namespaces,
        users,
        cgroup,
        slots,
    }
}

/// All are joined. The pid namespace, if it is another one, is entered last.
fn namespaces(target: &Target) -> Namespaces {
    let joins = target.facts.namespaces.iter().zip(0..);
    let joins = joins
        .map(|(found, slot)| Join::of_container(found.index, found.kind, Slot(slot), found.path.clone()));
    let has_pid = target.kinds & flags::PID != 0;
    Namespaces {
        new: 0,
        joins: joins.collect(),
        members_mounts: None,
        late_pid: has_pid.then(|| Join::of_container(0, flags::PID, Slot::NONE, PathBuf::new())),
    }
}

const IN_CONTAINER: Why = Why::Always("the process is in the namespaces and the cgroup of the container");

/// A plain user's container often is in a cgroup that the user may not write to.
fn need(decisions: &Decisions<'_>) -> Need {
    if decisions.is_rootless { Need::BestEffort } else { Need::Required }
}

fn launch(decisions: &Decisions<'_>, draft: &mut Draft) {
    for join in &decisions.namespaces.joins {
        let op = HostOp::OpenNamespace { slot: join.slot, path: join.path.clone(), kind: join.kind };
        draft.host(When::BeforeLaunch, op, IN_CONTAINER);
    }
    if decisions.slots.cgroup != Slot::NONE {
        let op = HostOp::OpenCgroup { slot: decisions.slots.cgroup };
        draft.host.push(HostStep { when: When::BeforeLaunch, op, why: IN_CONTAINER, need: need(decisions) });
    }
    let why = Why::Always("what shares the caller's memory enters nothing");
    draft.host(When::BeforeLaunch, HostOp::Launch, why);
}

fn set_cpus(op: Option<OwnedOp>, draft: &mut Draft) {
    if let Some(op) = op {
        let why = match op {
            OwnedOp::ResetCpus {} => Why::Always("the caller's CPU affinity is not the container's"),
            _ => Why::config("process.execCPUAffinity"),
        };
        draft.init(op, why);
    }
}

/// Without a pid namespace to enter this clone makes the process itself.
fn be_born(decisions: &Decisions<'_>, draft: &mut Draft) {
    let cgroup = cgroup::birth_slot(decisions);
    if cgroup != Slot::NONE || decisions.namespaces.late_pid.is_none() {
        draft.init(OwnedOp::Clone { namespaces: 0, cgroup }, IN_CONTAINER);
    }
}

fn place(decisions: &Decisions<'_>, draft: &mut Draft) {
    if decisions.cgroup.as_ref().is_some_and(|cgroup| cgroup.placement == Placement::Moved) {
        let (when, op) = (When::At(Barrier::Placed), HostOp::MoveToCgroup);
        draft.host.push(HostStep { when, op, why: IN_CONTAINER, need: need(decisions) });
    }
    process::set_oom_score(decisions, draft);
    wait_for_host(Barrier::Placed, "the host places the process before it joins", draft);
}

/// A wait, where the host has something to do.
fn wait_for_host(barrier: Barrier, why: &'static str, draft: &mut Draft) {
    if draft.host.iter().any(|step| step.when == When::At(barrier)) {
        draft.barrier(barrier, why);
    }
}

fn join_namespaces(decisions: &Decisions<'_>, draft: &mut Draft) {
    for join in &decisions.namespaces.joins {
        draft.init(OwnedOp::JoinNamespace { namespace: join.slot, kind: join.kind }, IN_CONTAINER);
    }
}

fn become_member(decisions: &Decisions<'_>, draft: &mut Draft) {
    if decisions.namespaces.late_pid.is_none() {
        return;
    }
    draft.init(OwnedOp::Clone { namespaces: 0, cgroup: Slot::NONE }, IN_CONTAINER);
    draft.init(OwnedOp::NewSession {}, Why::Always("the caller's terminal stays out of reach"));
    if decisions.bundle.terminal() {
        draft.init(OwnedOp::ControllingTerminal {}, Why::config("process.terminal"));
    }
}
