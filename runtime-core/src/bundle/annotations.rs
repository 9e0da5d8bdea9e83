//! Annotations of crun that mean something to this runtime, since engines and their users count on them. All others are
//! for whoever reads the state (config.md, Annotations).

use std::{collections::BTreeMap, path::Path};

use super::Bundle;
use crate::Problem;

/// Keep the caller's supplementary groups (`podman run --group-add keep-groups`).
const KEEP_ORIGINAL_GROUPS: &str = "run.oci.keep_original_groups";
/// Where hooks of the runtime's namespaces print.
const HOOKS_STDOUT: &str = "run.oci.hooks.stdout";
const HOOKS_STDERR: &str = "run.oci.hooks.stderr";
/// A socket that takes a pidfd of the container's process, for the command.
const PIDFD_RECEIVER: &str = "run.oci.pidfd_receiver";

/// A call that no table knows is an error instead of a rule that is skipped.
const FAIL_UNKNOWN_SYSCALL: &str = "run.oci.seccomp_fail_unknown_syscall";

/// Those that change what a container is: whoever lets others write annotations has to know them.
pub(crate) const WITH_EFFECT: [&str; 5] =
    [HOOKS_STDERR, HOOKS_STDOUT, KEEP_ORIGINAL_GROUPS, PIDFD_RECEIVER, FAIL_UNKNOWN_SYSCALL];

/// A container without what these ask for would be another one.
const REFUSED: [(&str, &str); 5] = [
    ("run.oci.handler", "asks for a handler such as krun or wasm, and there is none"),
    ("run.oci.seccomp_bpf_data", "asks for a filter that is not supported: use linux.seccomp"),
    ("run.oci.seccomp.plugins", "asks for plugins, which are not supported: use linux.seccomp.listenerPath"),
    ("run.oci.seccomp.receiver", "is not supported: use linux.seccomp.listenerPath"),
    ("run.oci.systemd.force_cgroup_v1", "asks for a cgroup v1 mount, which is not supported: use mounts"),
];

/// Without what these ask for a container works, though not in the same way.
const IGNORED: [(&str, &str); 3] = [
    ("run.oci.delegate-cgroup", "has no effect: the process stays in the container's cgroup"),
    ("run.oci.systemd.subgroup", "has no effect: the process is in the container's cgroup itself"),
    ("run.oci.timens_offset", "has no effect: use linux.timeOffsets"),
];

impl Bundle {
    /// `annotations` of the configuration.
    #[must_use]
    pub fn annotations(&self) -> &BTreeMap<String, String> {
        &self.fields.annotations
    }

    /// A unix socket that is to be sent a pidfd of the container's process, as annotation `run.oci.pidfd_receiver` says.
    #[must_use]
    pub fn pidfd_receiver(&self) -> Option<&Path> {
        self.annotation(PIDFD_RECEIVER).map(Path::new).filter(|path| path.is_absolute())
    }

    /// Whether the process keeps the supplementary groups of whoever starts it.
    pub(crate) fn keeps_original_groups(&self) -> bool {
        self.annotation(KEEP_ORIGINAL_GROUPS).is_some_and(|value| value != "0")
    }

    /// Whether a system call that is not known makes its profile an error.
    pub(crate) fn fails_on_unknown_calls(&self) -> bool {
        self.annotation(FAIL_UNKNOWN_SYSCALL).is_some_and(|value| value != "0")
    }

    fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations().get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

/// The files for stdout and stderr of hooks in the runtime's namespaces.
pub(crate) fn hook_outputs(annotations: &BTreeMap<String, String>) -> [Option<&Path>; 2] {
    let path = |name| annotations.get(name).map(Path::new).filter(|path| !path.as_os_str().is_empty());
    [path(HOOKS_STDOUT), path(HOOKS_STDERR)]
}

/// Those that cannot be followed, and so the container cannot be made.
pub(crate) fn refused(annotations: &BTreeMap<String, String>) -> Vec<Problem> {
    let mut problems = told(annotations, &REFUSED);
    for name in [HOOKS_STDOUT, HOOKS_STDERR, PIDFD_RECEIVER] {
        let path = annotations.get(name).filter(|path| !path.is_empty() && !path.starts_with('/'));
        if let Some(path) = path {
            problems.push(problem(name, format!("{path:?} is not an absolute path")));
        }
    }
    problems
}

/// Those that are known and have no effect here.
pub(crate) fn ignored(annotations: &BTreeMap<String, String>) -> Vec<Problem> {
    told(annotations, &IGNORED)
}

fn told(annotations: &BTreeMap<String, String>, table: &[(&str, &str)]) -> Vec<Problem> {
    let asks = |name: &str| annotations.get(name).is_some_and(|value| !matches!(value.as_str(), "" | "0"));
    table.iter().filter(|(name, _)| asks(name)).map(|(name, words)| problem(name, *words)).collect()
}

fn problem(name: &str, words: impl Into<String>) -> Problem {
    Problem::new(format!("annotations[{name:?}]"), words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, value: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn what_cannot_be_followed_is_told_by_name() {
        for (name, value, is_refused, is_ignored) in [
            ("run.oci.handler", "krun", true, false),
            ("run.oci.handler", "", false, false),
            ("run.oci.systemd.subgroup", "container", false, true),
            ("run.oci.systemd.subgroup", "", false, false),
            ("run.oci.hooks.stdout", "hooks.log", true, false),
            ("run.oci.hooks.stdout", "/hooks.log", false, false),
            ("run.oci.unheard.of", "1", false, false),
            ("com.example.handler", "krun", false, false),
        ] {
            let annotations = named(name, value);
            assert_eq!(!refused(&annotations).is_empty(), is_refused, "{name}={value}");
            assert_eq!(!ignored(&annotations).is_empty(), is_ignored, "{name}={value}");
        }
    }
}
