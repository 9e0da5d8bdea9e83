//! `features` (runtime-spec features.md): what this build does. Engines read it at their start and believe it.

use serde::Serialize;
use serde_json::json;

use super::{
    Command, Group,
    version::{COMMIT, SPEC, VERSION},
};
use crate::{
    args::{Arity, Order, Parsed},
    failure::{Failure, Result, exit},
    global::Globals,
    output,
};

/// Definition.
pub const COMMAND: Command = Command {
    name: "features",
    group: Group::Bundle,
    about: "Print what this build supports, as JSON",
    usage: "features",
    details: "",
    flags: &[],
    order: Order::Mixed,
    arity: Arity::Exactly(0),
    run,
};

/// Sorted; a test asks `validate` about each of them.
const MOUNT_OPTIONS: &[&str] = &[
    "async",
    "atime",
    "bind",
    "copy-symlink",
    "defaults",
    "dest-nofollow",
    "dev",
    "diratime",
    "dirsync",
    "exec",
    "idmap",
    "iversion",
    "lazytime",
    "loud",
    "mand",
    "noatime",
    "nodev",
    "nodiratime",
    "noexec",
    "noiversion",
    "nolazytime",
    "nomand",
    "norelatime",
    "nostrictatime",
    "nosuid",
    "nosymfollow",
    "private",
    "ratime",
    "rbind",
    "rdev",
    "rdiratime",
    "relatime",
    "remount",
    "rexec",
    "ridmap",
    "rnoatime",
    "rnodev",
    "rnodiratime",
    "rnoexec",
    "rnorelatime",
    "rnostrictatime",
    "rnosuid",
    "rnosymfollow",
    "ro",
    "rprivate",
    "rrelatime",
    "rro",
    "rrw",
    "rshared",
    "rslave",
    "rstrictatime",
    "rsuid",
    "rsymfollow",
    "runbindable",
    "rw",
    "shared",
    "silent",
    "slave",
    "src-nofollow",
    "strictatime",
    "suid",
    "symfollow",
    "sync",
    "tmpcopyup",
    "unbindable",
];

fn run(_globals: &Globals, _args: &Parsed) -> Result<u8> {
    let mut text = Vec::new();
    let indent = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    document()
        .serialize(&mut serde_json::Serializer::with_formatter(&mut text, indent))
        .map_err(|error| Failure::io("write the features as JSON", error))?;
    text.push(b'\n');
    output::print(text)?;
    Ok(exit::SUCCESS)
}

fn document() -> serde_json::Value {
    let seccomp = orlop::seccomp_words();
    let (modes, flags) = orlop::memory_policy_names();
    json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": SPEC,
        "hooks": orlop::hook_names(),
        "mountOptions": MOUNT_OPTIONS,
        "linux": {
            "namespaces": orlop::namespace_names(),
            "capabilities": orlop::capability_names(),
            "cgroup": { "v1": true, "v2": true, "systemd": false, "systemdUser": false, "rdma": true },
            "seccomp": {
                "enabled": true,
                "actions": seccomp.actions,
                "operators": seccomp.operators,
                "archs": seccomp.architectures,
                "knownFlags": seccomp.known_flags,
                "supportedFlags": seccomp.supported_flags,
            },
            "apparmor": { "enabled": true },
            "selinux": { "enabled": true },
            "intelRdt": { "enabled": true, "schemata": true, "monitoring": true },
            "memoryPolicy": { "modes": modes, "flags": flags },
            "mountExtensions": { "idmap": { "enabled": true } },
            "netDevices": { "enabled": true },
        },
        "annotations": {
            "io.github.orlop.version": VERSION,
            "io.github.orlop.commit": COMMIT,
            "org.opencontainers.runc.checkpoint.enabled": "false",
        },
        "potentiallyUnsafeConfigAnnotations": orlop::effective_annotations(),
    })
}

#[cfg(test)]
mod tests {
    use super::MOUNT_OPTIONS;

    #[test]
    fn mount_options_are_sorted_and_capabilities_complete() {
        assert!(MOUNT_OPTIONS.is_sorted());
        assert_eq!(orlop::capability_names().len(), 41);
    }
}
