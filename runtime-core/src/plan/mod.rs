//! From a bundle and facts to a plan: every decision is taken here, without any effect.
//!
//! `CHAPTERS` is the order of a create, each place with its reason. What several chapters depend on is decided before
//! the first of them ([`Decisions`]); a chapter only appends steps. The same input always gives the same plan.

mod attributes;
mod bind_mounts;
mod capabilities;
mod cgroup;
mod cgroup_mount;
mod console;
mod devices;
mod draft;
mod errors;
mod exec;
mod explain;
mod facts;
mod filter;
mod hooks;
mod id_maps;
mod intel_rdt;
mod idmapped;
mod kernel_settings;
mod label;
mod mount_options;
mod mounts;
mod namespaces;
mod net_devices;
mod paths;
mod process;
mod rootfs;
mod start;
pub(crate) mod step;
#[cfg(test)]
mod tests;

use oci_spec::runtime::{Linux, Mount, Process};
use orlop_init::wire::{Slot, message::Barrier};

pub(crate) use capabilities::NAMES as CAPABILITY_NAMES;
pub(crate) use cgroup::{device_rules, limits};
pub(crate) use errors::{FailureReport, failure, filter_error};
pub(crate) use exec::{ExecInput, plan_exec};
pub(crate) use explain::{describe, describe_host, explain_json, explain_text};
pub(crate) use hooks::hook_records;
pub(crate) use step::Plan;

use crate::{
    Bundle, ContainerId, CreateOptions, Error, Result, bundle::ignored_annotations, cgroup::CgroupPlan,
    host::HostFacts, inspect::BundleFacts, options::StartBy,
};
use capabilities::Sets;
use draft::Draft;
use id_maps::Users;
use idmapped::MountMaps;
use namespaces::Namespaces;
use process::Environment;
use step::HookKind;

/// A part of a create: who does what, why it is where it is, and what appends its steps. The book lists the first two.
struct Chapter {
    name: &'static str,
    place: &'static str,
    write: fn(&Decisions<'_>, &mut Draft),
}

const fn chapter(name: &'static str, place: &'static str, write: fn(&Decisions<'_>, &mut Draft)) -> Chapter {
    Chapter { name, place, write }
}

/// The order of everything.
const CHAPTERS: &[Chapter] = &[
    chapter(
        "host: cgroup, resctrl group, namespaces to join, FIFOs, launcher",
        "what can fail on the host fails before a process exists",
        start::launch,
    ),
    chapter("host: AppArmor profile", "one that is not loaded is an error of create", label::check_profile),
    chapter(
        "launcher: not dumpable (of a privileged caller)",
        "nobody in a joined namespace may look into the launcher",
        start::close_launcher,
    ),
    chapter(
        "launcher: time namespace with its offsets (of a privileged caller)",
        "the offsets are root's to write, and children get the namespace",
        |d, draft| {
            if d.host.credentials.is_privileged() {
                kernel_settings::make_time_namespace(d, draft);
            }
        },
    ),
    chapter(
        "launcher: existing namespaces, but for a pid namespace that is entered last",
        "what our user namespace owns is joined before another one is entered",
        start::join_namespaces,
    ),
    chapter(
        "launcher: new namespaces, by the clone of init",
        "init is the first process in all that is new",
        start::make_namespaces,
    ),
    chapter(
        "host, at *placed*: pid saved, resctrl group, id maps, cgroup, `oom_score_adj`",
        "id maps and cgroup are given from outside, before anything depends on them",
        start::place,
    ),
    chapter(
        "init: time namespace with its offsets (of a plain user)",
        "a plain user may write offsets once the maps are there",
        |d, draft| {
            if !d.host.credentials.is_privileged() {
                kernel_settings::make_time_namespace(d, draft);
            }
        },
    ),
    chapter(
        "init: root of its user namespace, not dumpable, cgroup namespace",
        "files that init makes belong to the container's root",
        start::become_root,
    ),
    chapter("init: CPUs", "in its cgroup, whose CPUs are all it shall have", attributes::reset_cpus),
    chapter("init: session", "before a terminal exists that it could control", start::early_session),
    chapter("init: session keyring", "before anything looks for keys", start::keyring),
    chapter(
        "init: loopback, host name, domain name",
        "as root of the namespaces, before hooks look at them",
        start::name_host,
    ),
    chapter(
        "init: propagation, the rootfs as a mount of its own",
        "propagation first, so that no mount leaks to the host",
        rootfs::attach,
    ),
    chapter(
        "init: `mounts`",
        "on the rootfs, while the old /proc is visible: it is the licence for a new one",
        |d, draft| {
            mounts::mount_all(d, draft);
        },
    ),
    chapter("init: devices and links", "after the mounts, for a tmpfs at /dev", devices::make_devices),
    chapter(
        "host, at *mounted*: limits and device filter, network devices, `prestart`, `createRuntime` hooks",
        "what moved would be lost if a mount failed; host hooks want all made and the old root there",
        |d, draft| {
            cgroup::limit(d, Barrier::Mounted, draft);
            net_devices::move_in(d, draft);
            hooks::run_before_pivot(d, draft);
            if cgroup::limits_at(d.bundle) == Barrier::Mounted
                && (d.cgroup.is_some()
                    || hooks::has_host_hooks(d.bundle)
                    || net_devices::are_listed(d.bundle))
            {
                draft
                    .barrier(Barrier::Mounted, "limits and hooks of the host come before the change of root");
            }
        },
    ),
    chapter(
        "init: `createContainer` hooks",
        "in the container's namespaces, with programs of the host",
        |d, draft| {
            hooks::run_in_container(d, HookKind::CreateContainer, draft);
        },
    ),
    chapter(
        "init: `linux.sysctl`",
        "after hooks that make network devices, with an unmasked /proc",
        kernel_settings::write_sysctls,
    ),
    chapter(
        "launcher: joined pid namespace, for its children",
        "after the last fork in the old one, before capabilities go",
        start::choose_pid_namespace,
    ),
    chapter(
        "init: the host's /dev/null",
        "the host's /dev/null is only here before the change of root",
        paths::open_mask,
    ),
    chapter(
        "init: change of root, propagation of the root mount",
        "nothing of the host is needed any more",
        rootfs::enter,
    ),
    chapter("init: terminal", "in the container's own devpts, before paths close", console::open),
    chapter("init: `process.cwd` made", "made before the root becomes read-only", process::make_cwd),
    chapter(
        "init: read-only and masked paths",
        "after everything that is written below them",
        paths::close_paths,
    ),
    chapter("init: read-only root", "after everything that is written to it", rootfs::make_readonly),
    chapter("init: owner of stdin, stdout, stderr", "still root, who may give them away", console::own_stdio),
    chapter(
        "init: `linux.memoryPolicy`, `linux.personality`",
        "for all that the program does, and before a filter might know neither call",
        attributes::set_memory_and_personality,
    ),
    chapter(
        "init: file of the security label, where init is the process already",
        "while it may mount a procfs of its own",
        label::open_privileged,
    ),
    chapter("init: bounding set", "CAP_SETPCAP is still there", |d, draft| {
        capabilities::bounding_set(d.sets, draft)
    }),
    chapter(
        "init: groups, ids, umask",
        "groups before gid before uid, each with the rights to change the next",
        process::set_user,
    ),
    chapter(
        "init: working directory",
        "as the user, with root's capabilities still effective",
        process::change_dir,
    ),
    chapter(
        "init: filter of system calls, where it cannot be the last call",
        "while CAP_SYS_ADMIN is there, which loading it needs without `no_new_privs`",
        filter::load_before_capabilities,
    ),
    chapter("init: the other capability sets", "the last use of the others is done", |d, draft| {
        let kept = d.filter.as_ref().map_or(0, filter::Filter::kept_capabilities);
        capabilities::final_sets(d.sets, kept, draft);
    }),
    chapter(
        "launcher: clone into the joined pid namespace",
        "a joined pid namespace sees a process that has only the container's",
        start::enter_pid_namespace,
    ),
    chapter(
        "init: file of the security label, where init was just cloned",
        "a process may open its own only",
        label::open_late,
    ),
    chapter(
        "init: look-up of `args[0]`",
        "with the user's own rights, while create still listens",
        process::find_executable,
    ),
    chapter("init: `noNewPrivileges`", "before hooks run in the container", process::no_new_privileges),
    chapter(
        "init: filter of system calls with a listener",
        "a missing agent is an error of create",
        filter::load_before_ready,
    ),
    chapter(
        "host, at *ready*: limits and device filter without earlier hooks, scheduler, rlimits, state `created`",
        "limits last: none may hit the setting up",
        |d, draft| {
            cgroup::limit(d, Barrier::Ready, draft);
            attributes::set_scheduler(d, draft);
            process::set_rlimits(d, draft);
            draft.host(
                step::When::At(Barrier::Ready),
                step::HostOp::SaveState,
                step::Why::Always("create is done when the state says so"),
            );
            draft.barrier(Barrier::Ready, "init outlives the host from here on");
        },
    ),
    chapter("init: start signal", "the user decides when", start::await_start),
    chapter("init: `startContainer` hooks", "in the container, directly before the program", |d, draft| {
        hooks::run_in_container(d, HookKind::StartContainer, draft);
    }),
    chapter("init: security label", "hooks would inherit it", label::write),
    chapter(
        "init: filter of system calls, kept for the exec",
        "neither waiting nor hooks are under it",
        filter::load_at_exec,
    ),
    chapter("init: `execve`", "the end of init", process::execute),
    chapter("host: `poststart` hooks", "after the program was executed", hooks::run_after_start),
];

/// Slots that are no namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slots {
    cgroup: Slot,
    start: Slot,
    answer: Slot,
    count: u32,
}

/// What is decided before the first step: chapters read it, none changes it.
struct Decisions<'a> {
    id: &'a ContainerId,
    bundle: &'a Bundle,
    facts: &'a BundleFacts,
    host: &'a HostFacts,
    options: &'a CreateOptions,
    namespaces: Namespaces,
    users: Users,
    mount_maps: MountMaps,
    is_rootless: bool,
    cgroup: Option<CgroupPlan>,
    environment: Environment,
    sets: Sets,
    filter: Option<filter::Filter>,
    slots: Slots,
    /// The process joins a container that exists.
    is_exec: bool,
}

impl<'a> Decisions<'a> {
    fn linux(&self) -> Option<&'a Linux> {
        self.bundle.spec().linux().as_ref()
    }

    fn process(&self) -> Option<&'a Process> {
        self.bundle.spec().process().as_ref()
    }

    fn args(&self) -> &'a [String] {
        self.process().and_then(|process| process.args().as_deref()).unwrap_or_default()
    }

    fn mounts(&self) -> &'a [Mount] {
        self.bundle.spec().mounts().as_deref().unwrap_or_default()
    }

    /// Mapped root may not search what the caller may, so the host opens what init cannot. A plain user's init has the
    /// same rights to files as its host.
    fn host_opens_trees(&self) -> bool {
        self.users.is_private() && self.host.credentials.is_privileged()
    }

    /// mknod(2) of devices is for the initial user namespace.
    fn binds_devices(&self) -> bool {
        self.users.is_private() || self.host.credentials.in_user_namespace()
    }
}

/// Decides everything.
///
/// # Errors
/// `InvalidConfig` or `Unsupported` for what cannot be done on this host, all at once.
pub(crate) fn plan(
    id: &ContainerId,
    bundle: &Bundle,
    facts: &BundleFacts,
    host: &HostFacts,
    options: &CreateOptions,
) -> Result<Plan> {
    let mut draft = Draft::default();
    check_supported(bundle, &mut draft);
    draft.warnings.extend(ignored_annotations(bundle.annotations()));
    let decisions = decide((id, bundle, facts, host, options), &mut draft)?;
    id_maps::check_maps(&decisions, &mut draft);
    id_maps::check_joined(bundle, facts.joined_maps.as_ref(), &mut draft);
    process::check_user(&decisions, &mut draft);
    write(CHAPTERS, decisions, draft)
}

/// Writes the chapters in their order.
fn write(chapters: &[Chapter], decisions: Decisions<'_>, mut draft: Draft) -> Result<Plan> {
    for chapter in chapters {
        tracing::trace!(chapter = chapter.name, place = chapter.place, "planning");
        (chapter.write)(&decisions, &mut draft);
    }
    if !draft.problems.is_empty() {
        draft.problems.dedup();
        return Err(Error::invalid_config(draft.problems));
    }
    Ok(Plan {
        host: draft.host,
        init: draft.init,
        slots: decisions.slots.count,
        cgroup: decisions.cgroup,
        terminal: decisions.bundle.terminal(),
        warnings: draft.warnings,
    })
}

/// What this version cannot do is refused by name.
fn check_supported(bundle: &Bundle, draft: &mut Draft) {
    if bundle.spec().process().is_none() {
        draft.problem("process", "is missing: there is nothing to run");
    }
    if bundle.spec().root().is_none() {
        draft.problem("root", "is missing: there is nothing to run in");
    }
}

type Input<'a> = (&'a ContainerId, &'a Bundle, &'a BundleFacts, &'a HostFacts, &'a CreateOptions);

fn decide<'a>((id, bundle, facts, host, options): Input<'a>, draft: &mut Draft) -> Result<Decisions<'a>> {
    let linux = bundle.spec().linux().as_ref();
    let listed = linux.and_then(|linux| linux.namespaces().as_deref()).unwrap_or_default();
    let caller = &host.credentials;
    let namespaces = namespaces::plan_namespaces(listed, &facts.namespaces, caller.is_privileged());
    let mut namespaces = namespaces.map_err(|problems| {
        // What follows depends on them and would only complain about consequences.
        draft.problems.extend(problems);
        Error::invalid_config(std::mem::take(&mut draft.problems))
    })?;
    if host.kernel.version < mounts::PROC_PIDNS {
        namespaces.look_at_members(&facts.members_mounts);
    }
    let uids = linux.and_then(|linux| linux.uid_mappings().as_deref()).unwrap_or_default();
    let gids = linux.and_then(|linux| linux.gid_mappings().as_deref()).unwrap_or_default();
    let users = id_maps::plan_users(&namespaces, uids, gids, facts.joined_maps.as_ref(), caller);
    let is_rootless = cgroup::is_rootless(options, caller);
    let cgroup = match cgroup::is_wanted(bundle, host, options, draft) {
        true => cgroup::plan_cgroup(id, bundle, host, &namespaces, draft)?,
        false => None,
    };
    let process = bundle.spec().process().as_ref();
    let env = process.and_then(|process| process.env().as_deref()).unwrap_or_default();
    let environment = process::plan_environment(env, &options.extra_env);
    let mounts = bundle.spec().mounts().as_deref().unwrap_or_default();
    let mut mount_maps = idmapped::plan_maps(mounts, &users, caller, draft);
    let slots = assign_slots(&namespaces, cgroup.as_ref(), options, &mut mount_maps);
    let sets = capabilities::decide(bundle, host, &users, draft);
    label::check(bundle.fields(), host, draft);
    let company = namespaces.late_pid.as_ref().map_or(filter::Company::None, |_| filter::Company::Foreign);
    let filter = filter::decide(bundle, host, (sets, company), draft);
    Ok(Decisions {
        id,
        bundle,
        facts,
        host,
        options,
        namespaces,
        users,
        mount_maps,
        is_rootless,
        cgroup,
        environment,
        sets,
        filter,
        slots,
        is_exec: false,
    })
}

/// Namespaces have the first slots, those of mounts the last.
fn assign_slots(
    namespaces: &Namespaces,
    cgroup: Option<&CgroupPlan>,
    options: &CreateOptions,
    mount_maps: &mut MountMaps,
) -> Slots {
    let mut count = u32::try_from(namespaces.opened().count()).unwrap_or(u32::MAX);
    let mut next = |is_needed: bool| {
        if !is_needed {
            return Slot::NONE;
        }
        count += 1;
        Slot(count - 1)
    };
    let is_born = cgroup.is_some_and(|cgroup| cgroup.placement == crate::cgroup::Placement::BornIn);
    let cgroup = next(is_born);
    let has_fifos = options.start_by == StartBy::AnyCommand;
    let (start, answer) = (next(has_fifos), next(has_fifos));
    count += mount_maps.take_slots(count);
    Slots { cgroup, start, answer, count }
}
