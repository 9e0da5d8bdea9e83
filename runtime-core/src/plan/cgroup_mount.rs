//! A mount of type `cgroup`: what it is depends on the layout of the host and on the cgroup namespace.
//!
//! | | with a cgroup namespace | without |
//! | --- | --- | --- |
//! | v2 | a new mount, whose root is the container's cgroup | the host's mount, bound |
//! | v1 | a tmpfs with a new mount for each hierarchy | a tmpfs with the container's directory of each bound |
//!
//! Without a cgroup namespace cgroup2 is not mounted anew: in the initial namespace that would set the options of the
//! whole hierarchy (`nsdelegate`, `memory_recursiveprot`) back on the host.

use std::path::{Path, PathBuf};

use orlop_init::wire::{OwnedOp, Slot};

use super::{
    Decisions,
    bind_mounts::{self, Tree, bind_tree},
    draft::Draft,
    mount_options::{Attributes, Bind, attr},
    mounts::{Entry, new_mount},
    namespaces::flags,
};
use crate::{
    cgroup::CgroupDirs,
    host::{CgroupHost, Hierarchy},
};

/// The flags that the tmpfs and all hierarchies have beside those asked for.
const ALWAYS: u64 = attr::NOSUID | attr::NODEV | attr::NOEXEC;

/// Type `cgroup`.
pub(super) fn mount(decisions: &Decisions<'_>, entry: &Entry, draft: &mut Draft) {
    match &decisions.host.cgroups {
        None => draft.problem(&entry.at, "no cgroup file system is mounted on this host"),
        Some(CgroupHost::Unified { .. }) => mount_v2(decisions, entry, draft),
        Some(CgroupHost::Legacy { hierarchies, .. }) => mount_v1(decisions, entry, hierarchies, draft),
    }
}

/// Type `cgroup2`, or `cgroup` on a unified host.
pub(super) fn mount_v2(decisions: &Decisions<'_>, entry: &Entry, draft: &mut Draft) {
    let host_mount = match &decisions.host.cgroups {
        Some(CgroupHost::Unified { mount, .. }) => Some(mount),
        Some(CgroupHost::Legacy { unified, .. }) => unified.as_ref().map(|hierarchy| &hierarchy.mount),
        None => None,
    };
    match host_mount {
        Some(mount) if !decisions.namespaces.is_private(flags::CGROUP) => {
            let (top, all) = (entry.options.change(), entry.options.recursive);
            bind_tree(decisions, entry, &Tree { path: mount, how: Bind::Single, top, all }, draft);
        }
        _ => new_mount(decisions, entry, "cgroup2", Slot::NONE, draft),
    }
}

fn mount_v1(decisions: &Decisions<'_>, entry: &Entry, hierarchies: &[Hierarchy], draft: &mut Draft) {
    tmpfs(entry, draft);
    for hierarchy in hierarchies {
        let Some(name) = hierarchy.mount.file_name() else { continue };
        let target = format!("{}/{}", entry.target, name.to_string_lossy());
        if decisions.namespaces.is_private(flags::CGROUP) {
            hierarchy_mount(entry, &target, hierarchy, draft);
        } else {
            hierarchy_bind(decisions, entry, &target, hierarchy, draft);
        }
        // Several controllers in one hierarchy are also found by each of their names.
        for controller in
            hierarchy.controllers.iter().filter(|controller| **controller != name.to_string_lossy())
        {
            if !controller.starts_with("name=") {
                let op = OwnedOp::Symlink {
                    points_to: draft.text(&entry.at, name.to_string_lossy().as_ref()),
                    path: draft.text(&entry.at, format!("{}/{controller}", entry.target)),
                };
                draft.init(op, entry.why());
            }
        }
    }
    if entry.options.is_readonly() {
        bind_mounts::set_flags(&entry.at, &entry.target, attr::RDONLY, draft);
    }
    entry.more_propagation(draft);
}

/// The directory of hierarchies. Read-only only when they are in it.
fn tmpfs(entry: &Entry, draft: &mut Draft) {
    let op = OwnedOp::NewMount {
        fs_type: c"tmpfs".to_owned(),
        source: c"tmpfs".to_owned(),
        target: draft.text(&entry.at, &*entry.target),
        options: vec![c"mode=755".to_owned()],
        attributes: ALWAYS,
        propagation: first_propagation(entry),
        no_symlink: false,
        pid_namespace: Slot::NONE,
        is_devpts: false,
        copy_up: false,
        inherit_mode: false,
        idmap: Slot::NONE,
        or_bind: std::ffi::CString::default(),
    };
    draft.init(op, entry.why());
}

fn hierarchy_mount(entry: &Entry, target: &str, hierarchy: &Hierarchy, draft: &mut Draft) {
    let is_named = hierarchy.controllers.iter().any(|controller| controller.starts_with("name="));
    let source = match hierarchy.mount.file_name() {
        Some(name) if is_named => name.to_string_lossy().into_owned(),
        _ => "cgroup".to_owned(),
    };
    let op = OwnedOp::NewMount {
        fs_type: c"cgroup".to_owned(),
        source: draft.text(&entry.at, source),
        target: draft.text(&entry.at, target),
        options: draft.texts(&entry.at, &hierarchy.controllers),
        attributes: entry.options.attributes.set | ALWAYS,
        propagation: first_propagation(entry),
        no_symlink: false,
        pid_namespace: Slot::NONE,
        is_devpts: false,
        copy_up: false,
        inherit_mode: false,
        idmap: Slot::NONE,
        or_bind: std::ffi::CString::default(),
    };
    draft.init(op, entry.why());
}

fn hierarchy_bind(
    decisions: &Decisions<'_>,
    entry: &Entry,
    target: &str,
    hierarchy: &Hierarchy,
    draft: &mut Draft,
) {
    let source = draft.path(&entry.at, &directory(decisions, hierarchy));
    let mut op = bind_mounts::bind_op(source, draft.text(&entry.at, target));
    if let OwnedOp::BindMount { from_host, set, clear, propagation, .. } = &mut op {
        let Attributes { set: asked, clear: cleared } = entry.options.attributes;
        *from_host = decisions.host_opens_trees();
        (*set, *clear) = (asked | ALWAYS, cleared & !ALWAYS);
        *propagation = first_propagation(entry);
    }
    draft.init(op, entry.why());
}

/// The container's directory in a hierarchy, or the caller's where it has none of its own.
fn directory(decisions: &Decisions<'_>, hierarchy: &Hierarchy) -> PathBuf {
    if let Some(CgroupDirs::Legacy { dirs }) = decisions.cgroup.as_ref().map(|cgroup| &cgroup.dirs) {
        if let Some(dir) = dirs.get(&hierarchy.controllers.join(",")) {
            return dir.clone();
        }
    }
    let below = hierarchy.own.strip_prefix(&hierarchy.root).unwrap_or(Path::new(""));
    hierarchy.mount.join(below)
}

fn first_propagation(entry: &Entry) -> u32 {
    entry.options.propagation.first().copied().unwrap_or(0)
}
