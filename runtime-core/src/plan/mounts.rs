//! `mounts` of the configuration: each becomes a new file system, a bind mount, or a change of one that is there, in
//! the order of the list.

use std::{ffi::CString, path::Path};

use oci_spec::runtime::Mount;
use orlop_init::wire::{OwnedOp, Slot};

use super::{
    Decisions,
    bind_mounts::{bind, bind_host_tree, bind_of, remount},
    cgroup_mount,
    draft::Draft,
    idmapped::{self, MountMap},
    label,
    mount_options::{Bind, MountOptions, attr},
    namespaces::flags,
    step::Why,
};
use crate::host::KernelVersion;

/// The first kernel whose procfs takes the pid namespace as an option (`pidns`).
pub(super) const PROC_PIDNS: KernelVersion = KernelVersion(6, 18);

/// Where an option is longer than `fsconfig(2)` takes (255 bytes), mount(2) is called, which takes a page with them all.
const MAX_OPTION: usize = 255;
const MAX_OPTIONS: usize = 4095;

/// A destination as one absolute path without empty and `.` parts. `..` is left to the kernel, which resolves it
/// beneath the root. A relative one is taken from `/` (config.md, mounts).
pub(super) fn container_path(path: &Path) -> String {
    let path = path.to_string_lossy();
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    format!("/{}", parts.join("/"))
}

/// One entry of the list while it is planned.
pub(super) struct Entry {
    /// Its JSON path.
    pub(super) at: String,
    pub(super) target: String,
    pub(super) source: Option<String>,
    pub(super) options: MountOptions,
    pub(super) map: MountMap,
}

impl Entry {
    fn new(decisions: &Decisions<'_>, index: usize, mount: &Mount) -> Self {
        Self {
            map: decisions.mount_maps.of_mount(index),
            at: format!("mounts[{index}]"),
            target: container_path(mount.destination()),
            source: mount.source().as_ref().map(|source| source.to_string_lossy().into_owned()),
            options: options(mount),
        }
    }

    pub(super) fn why(&self) -> Why {
        Why::config(&self.at)
    }

    pub(super) fn option(&self, index: usize) -> String {
        format!("{}.options[{index}]", self.at)
    }

    /// Propagation that the mount step itself sets, and what must follow.
    pub(super) fn propagation(&self) -> (u32, &[u32]) {
        self.options.propagation.split_first().map_or((0, &[]), |(first, rest)| (*first, rest))
    }

    /// Steps for the rest of several propagation words.
    pub(super) fn more_propagation(&self, draft: &mut Draft) {
        for &propagation in self.propagation().1 {
            let op = OwnedOp::Remount {
                target: draft.text(&self.at, &*self.target),
                options: Vec::new(),
                set: 0,
                clear: 0,
                keep: 0,
                propagation,
            };
            draft.init(op, self.why());
        }
    }
}

fn options(mount: &Mount) -> MountOptions {
    MountOptions::parse(mount.options().as_deref().unwrap_or_default())
}

pub(super) fn kind(mount: &Mount) -> &str {
    mount.typ().as_deref().unwrap_or_default()
}

/// Whether the configuration brings a whole /dev from the host.
pub(super) fn is_bind_of_dev(mount: &Mount) -> bool {
    container_path(mount.destination()) == "/dev" && bind_of(mount, &options(mount)).is_some()
}

/// Whether its options say `ro`.
pub(super) fn is_readonly(mount: &Mount) -> bool {
    options(mount).is_readonly()
}

/// The read-only tmpfs mounts: mount points may have to be made in them first, as in an empty /dev.
pub(super) fn readonly_at_the_end(mounts: &[Mount]) -> impl Iterator<Item = (String, String)> {
    mounts.iter().enumerate().filter_map(|(index, mount)| {
        let options = options(mount);
        let target = container_path(mount.destination());
        let is_tmpfs = kind(mount) == "tmpfs" && bind_of(mount, &options).is_none() && !options.remount;
        let is_covered =
            mounts[index + 1..].iter().any(|later| container_path(later.destination()) == target);
        (is_tmpfs && options.is_readonly() && !is_covered).then(|| (format!("mounts[{index}]"), target))
    })
}

/// All mounts of the configuration, then what the caller adds.
pub(super) fn mount_all(decisions: &Decisions<'_>, draft: &mut Draft) {
    for (index, mount) in decisions.mounts().iter().enumerate() {
        let entry = Entry::new(decisions, index, mount);
        // One that covers root.path is the container's root from there on, `root.readonly` included.
        if entry.target == "/" && (index > 0 || entry.options.remount) {
            let message = "is the container's root: only the first mount may lie over root.path, a later one would hide \
                           those before it";
            draft.problem(format!("{}.destination", entry.at), message);
            continue;
        }
        mount_one(decisions, entry, mount, draft);
    }
    if let Some((source, target)) = &decisions.options.extra_bind {
        let entry = Entry {
            at: "--notify-socket".to_owned(),
            target: container_path(target),
            source: Some(source.to_string_lossy().into_owned()),
            options: MountOptions::parse(&["bind", "ro", "nosuid", "nodev"]),
            map: MountMap::NONE,
        };
        bind(decisions, &entry, Bind::Single, draft);
        if let Some(step) = draft.init.last_mut() {
            step.why = Why::Option("NOTIFY_SOCKET");
        }
    }
    if let Some(members) = &decisions.namespaces.members_mounts {
        let why = Why::Always("the mounts of others are needed no more");
        draft.init(OwnedOp::CloseSlot { slot: members.slot }, why);
    }
    idmapped::close_namespaces(decisions, draft);
}

fn mount_one(decisions: &Decisions<'_>, entry: Entry, mount: &Mount, draft: &mut Draft) {
    let is_mapped = entry.map != MountMap::NONE;
    if is_mapped
        && (entry.options.remount
            || matches!(kind(mount), "cgroup" | "cgroup2") && entry.options.bind.is_none())
    {
        return draft
            .problem(&entry.at, "an id map is for a bind mount or a new file system other than cgroup");
    }
    if entry.options.remount {
        return remount(&entry, entry.options.bind.is_some(), draft);
    }
    if let Some(how) = bind_of(mount, &entry.options) {
        if entry.options.bind.is_none() {
            draft.warning(
                format!("{}.type", entry.at),
                "type \"bind\" without the option bind or rbind: bind is meant",
            );
        }
        return bind(decisions, &entry, how, draft);
    }
    match kind(mount) {
        "" => draft
            .problem(format!("{}.type", entry.at), "is missing, and the options have neither bind nor rbind"),
        "proc" => mount_proc(decisions, &entry, draft),
        "sysfs"
            if decisions.users.is_private()
                && !decisions.namespaces.is_owned_by_container(flags::NETWORK) =>
        {
            // The kernel gives a sysfs only to the owner of the network namespace.
            bind_host_tree(decisions, &entry, "/sys", attr::RDONLY, draft);
        }
        "cgroup" => cgroup_mount::mount(decisions, &entry, draft),
        "cgroup2" => cgroup_mount::mount_v2(decisions, &entry, draft),
        kind => new_mount(decisions, &entry, kind, Slot::NONE, draft),
    }
}

/// procfs shows the pid namespace of whoever mounts it; only the owner of that namespace may.
fn mount_proc(decisions: &Decisions<'_>, entry: &Entry, draft: &mut Draft) {
    let namespaces = &decisions.namespaces;
    let Some(late) = &namespaces.late_pid else {
        let is_foreign = decisions.users.is_private() && !namespaces.is_owned_by_container(flags::PID);
        return match is_foreign {
            // The caller's pid namespace is kept, and its procfs is the right one.
            true => bind_host_tree(decisions, entry, "/proc", 0, draft),
            false => new_mount(decisions, entry, "proc", Slot::NONE, draft),
        };
    };
    if decisions.users.is_private() {
        let message =
            "proc of a joined pid namespace that belongs to another user namespace cannot be mounted";
        draft.problem(&entry.at, message);
    } else if decisions.host.kernel.version >= PROC_PIDNS {
        new_mount(decisions, entry, "proc", late.slot, draft);
    } else if let Some(members) = &namespaces.members_mounts {
        bind_members_proc(entry, (members.slot, late.slot), draft);
    } else {
        draft.problem(
            &entry.at,
            format!(
                "proc of the joined pid namespace cannot be mounted: linux.namespaces[{}] is entered last, so that \
                 nobody in it can reach the host through a container in the making, and before Linux {}.{} procfs \
                 shows no other pid namespace than one's own; the one that a process there has mounted can be used \
                 if the namespace's path is /proc/PID/ns/pid",
                late.index, PROC_PIDNS.0, PROC_PIDNS.1
            ),
        );
    }
}

/// The procfs that members of the pid namespace have. Its own options are theirs to choose.
fn bind_members_proc(entry: &Entry, (mount_namespace, pid_namespace): (Slot, Slot), draft: &mut Draft) {
    if let Some((index, word)) = data_words("proc", entry).first() {
        let message =
            format!("{word:?} cannot be set: procfs of a joined pid namespace is shared with its members");
        draft.problem(entry.option(*index), message);
    }
    let options = &entry.options;
    let op = OwnedOp::BindProc {
        mount_namespace,
        pid_namespace,
        target: draft.text(&entry.at, &*entry.target),
        attributes: options.attributes.set | options.recursive.set,
        propagation: entry.propagation().0,
    };
    draft.init(op, entry.why());
    entry.more_propagation(draft);
}

/// A new file system.
pub(super) fn new_mount(
    decisions: &Decisions<'_>,
    entry: &Entry,
    kind: &str,
    pidns: Slot,
    draft: &mut Draft,
) {
    let options = &entry.options;
    let mut attributes = options.attributes.set | options.recursive.set;
    let mut parameters: Vec<CString> = Vec::new();
    let is_tmpfs = kind == "tmpfs";
    if is_tmpfs {
        // Made read-only at the end, see `readonly_at_the_end`.
        attributes &= !attr::RDONLY;
    }
    for &flag in options.superblock.iter().filter(|&&flag| !(is_tmpfs && flag == "ro")) {
        parameters.push(draft.text(&entry.at, flag));
    }
    if options.tmpcopyup && !is_tmpfs {
        draft.problem(
            format!("{}.options", entry.at),
            format!("tmpcopyup works with tmpfs only, not with {kind}"),
        );
    }
    let words = data_words(kind, entry);
    for (index, word) in &words {
        check_word(decisions, entry, (*index, word), draft);
        parameters.push(draft.text(&entry.option(*index), word.as_str()));
    }
    if let Some(option) = label::mount_option(decisions.bundle.fields(), kind, &words) {
        parameters.push(draft.text("linux.mountLabel", option));
    }
    check_length(entry, &parameters, draft);
    let source = entry.source.as_deref().filter(|source| !source.is_empty()).unwrap_or("none");
    let op = OwnedOp::NewMount {
        fs_type: draft.text(&entry.at, kind),
        source: draft.text(&entry.at, source),
        target: draft.text(&entry.at, &*entry.target),
        options: parameters,
        attributes,
        propagation: entry.propagation().0,
        no_symlink: matches!(kind, "proc" | "sysfs"),
        pid_namespace: pidns,
        is_devpts: kind == "devpts" && entry.target == "/dev/pts",
        copy_up: options.tmpcopyup && is_tmpfs,
        inherit_mode: is_tmpfs && !words.iter().any(|(_, word)| word.starts_with("mode=")),
        idmap: entry.map.slot,
        // The kernel gives a sysfs only to the owner of the network namespace, and none while the caller's is covered
        // in parts, as in a container.
        or_bind: if kind == "sysfs" && decisions.binds_devices() {
            c"/sys".to_owned()
        } else {
            CString::default()
        },
    };
    draft.init(op, entry.why());
    entry.more_propagation(draft);
}

/// Words of the file system, one parameter each: `fsconfig(2)` wants them apart, without the quotes that keep commas
/// together in the string of mount(2). overlay alone knows an escaped comma.
pub(super) fn data_words(kind: &str, entry: &Entry) -> Vec<(usize, String)> {
    let mut words = Vec::new();
    for (index, word) in &entry.options.data {
        let (mut current, mut quoted, mut escaped) = (String::new(), false, false);
        for c in word.chars() {
            match c {
                '"' if !escaped => quoted = !quoted,
                ',' if escaped => {
                    current.pop();
                    current.push(c);
                }
                ',' if !quoted => words.push((*index, std::mem::take(&mut current))),
                c => current.push(c),
            }
            escaped = c == '\\' && !escaped && kind == "overlay";
        }
        words.push((*index, current));
    }
    words.retain(|(_, word)| !word.is_empty());
    words
}

/// Long options go through mount(2): together a page, and for a mount that is not prepared before it is attached.
fn check_length(entry: &Entry, parameters: &[CString], draft: &mut Draft) {
    if parameters.iter().all(|parameter| parameter.count_bytes() <= MAX_OPTION) {
        return;
    }
    let at = format!("{}.options", entry.at);
    let total: usize = parameters.iter().map(|parameter| parameter.count_bytes() + 1).sum();
    if total > MAX_OPTIONS + 1 {
        draft.problem(&at, format!("are {} bytes long, at most {MAX_OPTIONS} can be passed", total - 1));
    }
    if entry.options.tmpcopyup || entry.map != MountMap::NONE || entry.target == "/" {
        let message = format!(
            "one of more than {MAX_OPTION} bytes excludes tmpcopyup, an id map of the mount, and a mount over the root"
        );
        draft.problem(at, message);
    }
}

/// Owners that do not exist in the user namespace are known to fail.
fn check_word(decisions: &Decisions<'_>, entry: &Entry, (index, word): (usize, &str), draft: &mut Draft) {
    let (key, value) = word.split_once('=').unwrap_or((word, ""));
    let Ok(id) = value.parse() else { return };
    let (exists, maps) = match key {
        "uid" => (decisions.users.maps_uid(id), decisions.users.uids_are_in()),
        "gid" => (decisions.users.maps_gid(id), decisions.users.gids_are_in()),
        _ => return,
    };
    if !exists {
        draft.problem(
            entry.option(index),
            format!("cannot specify {word} mount option: {id} is not in {maps}"),
        );
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Entry, MountMap, container_path, data_words};
    use crate::plan::mount_options::MountOptions;

    #[test]
    fn destinations_are_taken_from_the_root() {
        for (written, path) in [
            ("/proc", "/proc"),
            ("proc", "/proc"),
            ("//dev/./pts/", "/dev/pts"),
            ("/", "/"),
            ("", "/"),
            ("/a/../b", "/a/../b"),
        ] {
            assert_eq!(container_path(Path::new(written)), path, "{written:?}");
        }
    }

    #[test]
    fn words_of_a_file_system_are_passed_one_by_one() {
        for (kind, word, expected) in [
            ("tmpfs", "size=64k", &["size=64k"][..]),
            ("tmpfs", "size=64k,,mode=755", &["size=64k", "mode=755"]),
            ("tmpfs", "context=\"u:r:t:s0:c1,c2\",size=1", &["context=u:r:t:s0:c1,c2", "size=1"]),
            ("overlay", "lowerdir=/a\\,b:/c,upperdir=/u", &["lowerdir=/a,b:/c", "upperdir=/u"]),
            ("overlay", "lowerdir=/a\\:b", &["lowerdir=/a\\:b"]),
            ("9p", "trans=a\\,b", &["trans=a\\", "b"]),
        ] {
            let options = MountOptions::parse(&[word]);
            let entry = Entry {
                at: String::new(),
                target: String::new(),
                source: None,
                options,
                map: MountMap::NONE,
            };
            let words: Vec<String> = data_words(kind, &entry).into_iter().map(|(_, word)| word).collect();
            assert_eq!(words, expected, "{kind} {word}");
        }
    }
}
