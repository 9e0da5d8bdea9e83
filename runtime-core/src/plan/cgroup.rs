//! The container's cgroup: where it is, how init gets into it, when limits and device rules begin to hold.
//!
//! Limits and rules come after the mounts, which a device filter would break (a loop device, a node that the container
//! may have but not use), and before the first hook. Where there is no hook they come with *ready*, which saves a round
//! trip.

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType, LinuxResources};
use orlop_init::wire::{Slot, message::Barrier};

use super::{
    Decisions,
    draft::Draft,
    namespaces::{Namespaces, flags},
    step::{HookKind, HostOp, When, Why},
};
use crate::{
    Bundle, ContainerId, CreateOptions, Problem, Result,
    cgroup::{CgroupPlan, DeviceAccess, DeviceKind, DeviceRule, Limits, Placement, cgroup_dirs},
    host::{CgroupHost, CgroupRights, Credentials, HostFacts},
};

/// Whether cgroups are a convenience and no duty: what `--rootless` says, by default for a plain user and in any user
/// namespace but the initial one.
pub(super) fn is_rootless(options: &CreateOptions, caller: &Credentials) -> bool {
    options.rootless.unwrap_or(caller.euid != 0 || caller.in_user_namespace())
}

fn path(bundle: &Bundle) -> Option<String> {
    let path = bundle.spec().linux().as_ref().and_then(|linux| linux.cgroups_path().as_ref());
    path.map(|path| path.to_string_lossy().into_owned()).filter(|path| !path.is_empty())
}

/// Whether the configuration says where the cgroup is or what it limits.
pub(super) fn is_asked_for(bundle: &Bundle) -> bool {
    path(bundle).is_some() || !limits(bundle).is_empty()
}

/// Whether there is to be one. Of a caller without root's rights it is made where that can be; where it cannot, nobody
/// must have asked for limits.
pub(super) fn is_wanted(
    bundle: &Bundle,
    host: &HostFacts,
    options: &CreateOptions,
    draft: &mut Draft,
) -> bool {
    if options.without_cgroup {
        if !limits(bundle).is_empty() {
            draft
                .problem("linux.resources", "cannot be kept to without a cgroup (--cgroup-manager disabled)");
        }
        if path(bundle).is_some() {
            draft.warning("linux.cgroupsPath", "has no effect without a cgroup (--cgroup-manager disabled)");
        }
        return false;
    }
    if !is_rootless(options, &host.credentials) {
        return true;
    }
    let can_be_made = host.cgroup_rights != CgroupRights::None;
    if path(bundle).is_none() && !limits(bundle).is_empty() && !can_be_made {
        draft.problem(
            "linux.resources",
            format!(
                "rootless needs no limits + no cgrouppath when no permission is granted for cgroups: none is delegated \
                 to uid {} (systemd: Delegate=yes)",
                host.credentials.euid
            ),
        );
        return false;
    }
    is_asked_for(bundle) || (can_be_made && !options.cgroup_for_limits_only)
}

/// Decides on the cgroup. None: init stays in the caller's.
pub(super) fn plan_cgroup(
    id: &ContainerId,
    bundle: &Bundle,
    host: &HostFacts,
    namespaces: &Namespaces,
    draft: &mut Draft,
) -> Result<Option<CgroupPlan>> {
    let path = path(bundle);
    let Some(layout) = &host.cgroups else {
        let message = "no cgroup file system is mounted on this host";
        if is_asked_for(bundle) {
            draft.problem(if path.is_some() { "linux.cgroupsPath" } else { "linux.resources" }, message);
        } else {
            draft.warning("", format!("{message}; the container gets no cgroup"));
        }
        return Ok(None);
    };
    let dirs = cgroup_dirs(layout, host.cgroup_rights, path.as_deref(), id.as_str())?;
    let limits = limits(bundle);
    for problem in limits.problems(&dirs) {
        draft.problem(problem.config_path, problem.message);
    }
    for warning in limits.warnings(&dirs) {
        draft.warning(warning.config_path, warning.message);
    }
    Ok(Some(CgroupPlan { dirs, placement: placement(layout, namespaces) }))
}

/// Born in the cgroup on a unified host. Not with a joined user, pid or cgroup namespace: the kernel judges the birth by
/// the credentials and the cgroup namespace of the launcher at that moment, and with a joined pid namespace the launcher
/// itself does what belongs into the container's cgroup.
fn placement(layout: &CgroupHost, namespaces: &Namespaces) -> Placement {
    let joins = |kind| namespaces.joined(kind).is_some();
    match layout {
        CgroupHost::Unified { .. } if ![flags::USER, flags::PID, flags::CGROUP].into_iter().any(joins) => {
            Placement::BornIn
        }
        _ => Placement::Moved,
    }
}

/// `linux.resources` without devices; fields that the parse tree has wrong come from beside it.
pub(crate) fn limits(bundle: &Bundle) -> Limits {
    let fields = bundle.fields();
    let resources = bundle.spec().linux().as_ref().and_then(|linux| linux.resources().as_ref());
    let typed = resources.map(|resources| {
        let mut resources = resources.clone();
        resources.set_devices(None).set_pids(None).set_hugepage_limits(None).set_unified(None);
        resources
    });
    Limits {
        resources: typed.filter(|resources| *resources != LinuxResources::default()),
        pids: fields.pids_limit,
        hugepages: fields
            .hugepage_limits
            .iter()
            .map(|limit| (limit.page_size.clone(), limit.limit))
            .collect(),
        unified: fields.unified.clone(),
    }
}

/// Before the launcher: the cgroup exists, and its directory is open for the birth in it.
pub(super) fn make(decisions: &Decisions<'_>, draft: &mut Draft) {
    let Some(cgroup) = &decisions.cgroup else { return };
    let has_path = decisions.linux().is_some_and(|linux| linux.cgroups_path().is_some());
    let why = match has_path {
        true => Why::config("linux.cgroupsPath"),
        false => Why::Always("every container has a cgroup"),
    };
    draft.host(When::BeforeLaunch, HostOp::MakeCgroup, why.clone());
    if let Some(uid) = delegated_to(decisions) {
        draft.host(When::BeforeLaunch, HostOp::DelegateCgroup { uid }, Why::config("mounts"));
    }
    if cgroup.placement == Placement::BornIn {
        draft.host(When::BeforeLaunch, HostOp::OpenCgroup { slot: decisions.slots.cgroup }, why);
    }
}

/// Container root owns its cgroup where it sees it as the root of a writable mount (config-linux.md, Cgroup ownership).
fn delegated_to(decisions: &Decisions<'_>) -> Option<u32> {
    let is_unified = matches!(decisions.host.cgroups, Some(CgroupHost::Unified { .. }));
    let is_writable = decisions.mounts().iter().any(|mount| {
        let is_cgroup = matches!(mount.typ().as_deref(), Some("cgroup" | "cgroup2"));
        is_cgroup && !super::mounts::is_readonly(mount)
    });
    let has_own_view = decisions.namespaces.is_new(flags::CGROUP);
    let root = decisions.users.host_root().filter(|&root| root != decisions.host.credentials.euid);
    root.filter(|_| is_unified && is_writable && has_own_view)
}

/// While init, or the launcher of a joined pid namespace, waits at its first barrier.
pub(super) fn place(decisions: &Decisions<'_>, draft: &mut Draft) {
    if decisions.cgroup.as_ref().is_some_and(|cgroup| cgroup.placement == Placement::Moved) {
        draft.host(
            When::At(Barrier::Placed),
            HostOp::MoveToCgroup,
            Why::Always("init joins the container's cgroup"),
        );
    }
}

/// The slot of the birth, or none.
pub(super) fn birth_slot(decisions: &Decisions<'_>) -> Slot {
    match &decisions.cgroup {
        Some(CgroupPlan { placement: Placement::BornIn, .. }) => decisions.slots.cgroup,
        _ => Slot::NONE,
    }
}

/// Where limits and rules begin: before the first hook, with network devices where there are any, else at the end.
pub(super) fn limits_at(bundle: &Bundle) -> Barrier {
    let hooks = [HookKind::Prestart, HookKind::CreateRuntime, HookKind::CreateContainer];
    let has_hooks = hooks.into_iter().any(|kind| !super::hooks::hook_records(bundle, kind).is_empty());
    match has_hooks || super::net_devices::are_listed(bundle) {
        true => Barrier::Mounted,
        false => Barrier::Ready,
    }
}

/// Limits and device rules, at their barrier.
pub(super) fn limit(decisions: &Decisions<'_>, at: Barrier, draft: &mut Draft) {
    if decisions.cgroup.is_none() || limits_at(decisions.bundle) != at {
        return;
    }
    let limits = limits(decisions.bundle);
    if !limits.is_empty() {
        draft.host(When::At(at), HostOp::ApplyLimits { limits }, Why::config("linux.resources"));
    }
    // The kernel lets nobody in another user namespace than the initial one load a device program.
    if !decisions.is_rootless && !decisions.host.credentials.in_user_namespace() {
        let rules = device_rules(decisions.bundle, &mut draft.problems);
        draft.host(When::At(at), HostOp::ApplyDeviceRules { rules }, Why::config("linux.resources.devices"));
    }
}

/// `linux.resources.devices`; no list is an empty one, and the default devices are the cgroup module's to add.
pub(crate) fn device_rules(bundle: &Bundle, problems: &mut Vec<Problem>) -> Vec<DeviceRule> {
    let resources = bundle.spec().linux().as_ref().and_then(|linux| linux.resources().as_ref());
    let listed = resources.and_then(|resources| resources.devices().as_deref()).unwrap_or_default();
    listed.iter().enumerate().map(|(index, rule)| device_rule(index, rule, problems)).collect()
}

fn device_rule(index: usize, rule: &LinuxDeviceCgroup, problems: &mut Vec<Problem>) -> DeviceRule {
    let at = format!("linux.resources.devices[{index}]");
    let mut problem = |at: String, message: String| problems.push(Problem::new(at, message));
    let kind = match rule.typ() {
        None | Some(LinuxDeviceType::A) => DeviceKind::All,
        Some(LinuxDeviceType::C) => DeviceKind::Char,
        Some(LinuxDeviceType::B) => DeviceKind::Block,
        Some(other) => {
            problem(format!("{at}.type"), format!("{:?} is none of a, b, c", other.as_str()));
            DeviceKind::All
        }
    };
    // Engines write −1 for any.
    let mut number = |name: &str, value: Option<i64>| {
        let number = value.filter(|value| *value != -1)?;
        u32::try_from(number).map_or_else(
            |_| {
                problem(format!("{at}.{name}"), format!("{number} is no device number, and -1 is any"));
                None
            },
            Some,
        )
    };
    let (major, minor) = (number("major", rule.major()), number("minor", rule.minor()));
    let access = rule.access().as_deref().unwrap_or_default();
    if let Some(wrong) = access.chars().find(|letter| !"rwm".contains(*letter)) {
        problem(format!("{at}.access"), format!("{wrong:?} is none of r, w, m"));
    }
    if access.is_empty() && rule.allow() {
        problem(format!("{at}.access"), "is missing: a rule that allows must say what".to_owned());
    }
    let has = |letter: char| access.is_empty() || access.contains(letter);
    DeviceRule {
        allow: rule.allow(),
        kind,
        major,
        minor,
        access: DeviceAccess { read: has('r'), write: has('w'), mknod: has('m') },
    }
}
