//! What an errno most likely means in a step, and what helps.

use orlop_init::wire::{OwnedOp, message::Detail};

use super::{EACCES, ENOENT, FailureReport, option_of, text};
use crate::plan::{namespaces::flags, step::InitStep};

const EPERM: i32 = 1;
const ENOEXEC: i32 = 8;
const EAGAIN: i32 = 11;
const ENOMEM: i32 = 12;
const EBUSY: i32 = 16;
const EEXIST: i32 = 17;
const ENODEV: i32 = 19;
const EINVAL: i32 = 22;
const ENOSPC: i32 = 28;
const EROFS: i32 = 30;
const ENOSYS: i32 = 38;
const ELOOP: i32 = 40;

/// Options of file systems that containers use, for typing errors.
const OPTIONS: [(&str, &[&str]); 4] = [
    ("tmpfs", &["size", "mode", "uid", "gid", "nr_blocks", "nr_inodes", "huge", "mpol"]),
    ("devpts", &["newinstance", "ptmxmode", "mode", "uid", "gid", "max"]),
    ("proc", &["hidepid", "gid", "subset"]),
    (
        "overlay",
        &[
            "lowerdir",
            "upperdir",
            "workdir",
            "volatile",
            "userxattr",
            "index",
            "metacopy",
            "xino",
            "nfs_export",
        ],
    ),
];

/// The hint for a failure, where the cause is known.
pub(super) fn hint(step: &InitStep, report: &FailureReport<'_>) -> Option<String> {
    let by_step = match &step.op {
        OwnedOp::Clone { namespaces, .. } | OwnedOp::Unshare { flags: namespaces } => {
            clone(*namespaces, report.errno)
        }
        OwnedOp::NewMount { fs_type, options, .. } => {
            return new_mount(&text(fs_type), options, report).or_else(|| general(report.errno));
        }
        OwnedOp::BindMount { .. } => bind_mount(report),
        OwnedOp::FindExecutable { .. } | OwnedOp::Exec { .. } => program(&step.op, report.errno),
        op => other(op, report),
    };
    by_step.map(str::to_owned).or_else(|| general(report.errno))
}

fn general(errno: i32) -> Option<String> {
    let hint = "this kernel, or a seccomp profile around the runtime, does not have the call";
    (errno == ENOSYS).then(|| hint.to_owned())
}

fn clone(namespaces: u32, errno: i32) -> Option<&'static str> {
    Some(match errno {
        EPERM | EACCES if namespaces & flags::USER != 0 => {
            "user namespaces are forbidden here: see the sysctls kernel.unprivileged_userns_clone and \
             kernel.apparmor_restrict_unprivileged_userns, or the seccomp profile around the runtime"
        }
        EPERM => "new namespaces need CAP_SYS_ADMIN, or a user namespace in linux.namespaces",
        ENOSPC => {
            "a limit on namespaces is reached: see the sysctls user.max_*_namespaces, or 32 levels of nesting"
        }
        EAGAIN => "a limit on processes is reached: pids.max of the cgroup, or RLIMIT_NPROC of the user",
        ENOMEM => "the init of the joined pid namespace has ended, or memory is short",
        EINVAL => "this kernel was built without one of the namespaces",
        EBUSY => "the cgroup has controllers enabled for its children, so it takes no processes",
        _ => return None,
    })
}

fn new_mount(kind: &str, options: &[std::ffi::CString], report: &FailureReport<'_>) -> Option<String> {
    let fixed = match (kind, report.detail.what(), report.errno) {
        (_, Detail::FS_TYPE, ENODEV) => {
            return Some(format!("this kernel has no file system {kind:?}; is a module missing?"));
        }
        (_, Detail::OPTION, EINVAL) => {
            let option = text(option_of(options, report.detail)?);
            let key = option.split('=').next().unwrap_or_default();
            return suggestion(kind, key).map(|known| match option.split_once('=') {
                Some((_, value)) => format!("did you mean {:?}?", format!("{known}={value}")),
                None => format!("did you mean {known:?}?"),
            });
        }
        ("proc", _, EPERM) => "unmask /proc of the container that the runtime is in, or bind /proc instead",
        ("sysfs", _, EPERM) => {
            "sysfs belongs to the owner of the network namespace: make one, or bind /sys instead"
        }
        (_, Detail::IDMAP, errno) => return id_map(errno).map(str::to_owned),
        (_, Detail::TARGET | Detail::MISMATCH, ELOOP) => {
            "the target is a symbolic link in the image; the mount would not be where it says"
        }
        (_, Detail::TARGET, EROFS) => "the mount point is missing, and what is mounted above it is read-only",
        (_, Detail::SUPERBLOCK | Detail::FS_TYPE, EPERM) => {
            "this file system may only be mounted by root of the initial user namespace"
        }
        _ => return None,
    };
    Some(fixed.to_owned())
}

/// A known option at a distance of at most two letters.
fn suggestion(kind: &str, key: &str) -> Option<&'static str> {
    let (_, known) = OPTIONS.iter().find(|(name, _)| *name == kind)?;
    known
        .iter()
        .copied()
        .map(|known| (distance(key, known), known))
        .filter(|(far, _)| (1..=2).contains(far))
        .min()
        .map(|(_, known)| known)
}

/// Letters to insert, delete or replace (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

fn id_map(errno: i32) -> Option<&'static str> {
    Some(match errno {
        EINVAL => "this file system does not support id-mapped mounts on this kernel",
        EPERM => "an id map of a mount needs CAP_SYS_ADMIN in the user namespace that owns the file system",
        _ => return None,
    })
}

fn bind_mount(report: &FailureReport<'_>) -> Option<&'static str> {
    Some(match (report.detail.what(), report.errno) {
        (Detail::IDMAP, errno) => return id_map(errno),
        (Detail::LINK, EEXIST) => "something else is there in the image",
        (Detail::SOURCE, ENOENT) => "the source does not exist on the host",
        (Detail::SOURCE, EACCES) => "the runtime's user may not search a parent of the source",
        (Detail::SOURCE, EINVAL) => {
            "the source lies on an unbindable mount, or mounts below it are locked: use rbind"
        }
        (Detail::TARGET, EROFS) => "the mount point is missing, and what is mounted above it is read-only",
        (Detail::ATTRIBUTES, EPERM) => {
            "the source's mount has flags (nosuid, nodev, noexec, ro) that may not be cleared here"
        }
        _ => return None,
    })
}

fn program(op: &OwnedOp, errno: i32) -> Option<&'static str> {
    Some(match (op, errno) {
        (_, EACCES) => "it lacks the x permission for this user, or lies on a noexec mount",
        (_, ENOEXEC) => "it was built for another architecture, or is a script without a #! line",
        (OwnedOp::Exec { .. }, ENOENT) => {
            "the program is there, but its interpreter or dynamic loader is missing in the image"
        }
        _ => return None,
    })
}

/// seccomp(2).
pub(super) fn filter(errno: i32) -> Option<&'static str> {
    Some(match errno {
        EACCES | EPERM => "loading a filter needs CAP_SYS_ADMIN or process.noNewPrivileges",
        EBUSY => "the runtime is under a filter with a listener itself, and a process can have only one",
        EINVAL => "the kernel takes no such filter or flag",
        _ => return None,
    })
}

fn other(op: &OwnedOp, report: &FailureReport<'_>) -> Option<&'static str> {
    Some(match (op, report.errno) {
        (OwnedOp::OpenLabel { .. }, ENOENT) => "the container has no /proc, or the kernel no such file",
        (OwnedOp::WriteLabel { .. }, ENOENT) => "the profile is not loaded",
        (OwnedOp::WriteLabel { .. }, EACCES | EPERM) => "the policy does not let the runtime give this label",
        (OwnedOp::Filter { .. }, errno) => return filter(errno),
        (OwnedOp::JoinNamespace { .. }, EPERM) => {
            "joining needs CAP_SYS_ADMIN in the user namespace that owns the namespace, and in one's own"
        }
        (OwnedOp::BecomeRoot { .. }, EINVAL) => "id 0 is not mapped in the user namespace",
        (OwnedOp::AttachRootfs { .. }, ENOENT) => "the root file system does not exist",
        (OwnedOp::AttachRootfs { .. }, EACCES) => {
            "the container's root may not search a parent of the root file system"
        }
        (OwnedOp::PivotRoot {}, EINVAL) => "a root on an initramfs cannot be pivoted: use --no-pivot",
        (OwnedOp::DeviceNode { .. }, EPERM) => {
            "mknod needs CAP_MKNOD in the initial user namespace, and the device cgroup's leave"
        }
        (OwnedOp::Sysctl { .. }, ENOENT) => "this kernel has no such sysctl, or not in this namespace",
        (OwnedOp::Sysctl { .. }, EPERM | EACCES | EROFS) => {
            "the sysctl may not be written in the container's namespaces"
        }
        (OwnedOp::Console { .. }, ENOENT | ENODEV) => "a terminal needs a devpts mounted at /dev/pts",
        (OwnedOp::SetUser { .. }, EPERM) if report.detail.what() == Detail::GROUPS => {
            "setgroups is denied in this user namespace"
        }
        (OwnedOp::SetUser { .. }, EINVAL) => "the id is not mapped in the user namespace",
        (OwnedOp::SetUser { .. }, EAGAIN) => "the user has as many processes as its RLIMIT_NPROC allows",
        (OwnedOp::Rlimit { .. }, EPERM) => {
            "raising a hard limit needs CAP_SYS_RESOURCE, which the runtime does not have here"
        }
        (OwnedOp::BoundingSet { .. }, EPERM) => {
            "dropping capabilities needs CAP_SETPCAP, which the runtime does not have"
        }
        (OwnedOp::Remount { .. }, EPERM) => {
            "flags that were set outside of this user namespace may not be cleared"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::suggestion;

    #[test]
    fn typing_errors_get_a_suggestion() {
        for (kind, key, expected) in [
            ("tmpfs", "sized", Some("size")),
            ("tmpfs", "moode", Some("mode")),
            ("tmpfs", "size", None),
            ("tmpfs", "whatever", None),
            ("devpts", "ptmxmod", Some("ptmxmode")),
            ("ext4", "sized", None),
        ] {
            assert_eq!(suggestion(kind, key), expected, "{kind} {key}");
        }
    }
}
