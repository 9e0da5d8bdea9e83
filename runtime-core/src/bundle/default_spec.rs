//! The configuration that `spec` writes: a shell in a read-only rootfs, isolated by default.

use serde_json::{Value, json};

/// The version of the specification that this library implements.
const OCI_VERSION: &str = "1.3.0";

/// Gives the configuration of a shell in `rootfs`, as a starting point. With `rootless` it is one that a plain user can
/// run: a user namespace in which the caller's ids are 0, the host's network, and what needs privileges left out.
///
/// ```
/// let mut config = orlop::default_spec(false);
/// config["process"]["args"] = serde_json::json!(["true"]);
/// let bundle = orlop::Bundle::from_json(config.to_string().as_bytes(), "/var/lib/example/bundle")?;
/// assert!(bundle.terminal());
/// # Ok::<(), orlop::Error>(())
/// ```
#[must_use]
pub fn default_spec(rootless: bool) -> Value {
    let mut config = json!({
        "ociVersion": OCI_VERSION,
        "process": process(),
        "root": { "path": "rootfs", "readonly": true },
        // The name that scripts which edit a default configuration look for.
        "hostname": "runc",
        "mounts": mounts(),
        "linux": {
            "resources": { "devices": [{ "allow": false, "access": "rwm" }] },
            "namespaces": [
                { "type": "pid" },
                { "type": "network" },
                { "type": "ipc" },
                { "type": "uts" },
                { "type": "mount" },
            ],
            "maskedPaths": [
                "/proc/acpi",
                "/proc/asound",
                "/proc/kcore",
                "/proc/keys",
                "/proc/latency_stats",
                "/proc/timer_list",
                "/proc/timer_stats",
                "/proc/sched_debug",
                "/sys/firmware",
                "/proc/scsi",
            ],
            "readonlyPaths": [
                "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
            ],
        },
    });
    if rootless {
        make_rootless(&mut config);
    }
    config
}

fn process() -> Value {
    let capabilities = json!(["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    json!({
        "terminal": true,
        "user": { "uid": 0, "gid": 0 },
        "args": ["sh"],
        "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
        "cwd": "/",
        "capabilities": {
            "bounding": capabilities,
            "effective": capabilities,
            "permitted": capabilities,
            "ambient": capabilities,
        },
        "rlimits": [{ "type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024 }],
        "noNewPrivileges": true,
    })
}

fn mounts() -> Value {
    json!([
        { "destination": "/proc", "type": "proc", "source": "proc" },
        {
            "destination": "/dev",
            "type": "tmpfs",
            "source": "tmpfs",
            "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
        },
        {
            "destination": "/dev/pts",
            "type": "devpts",
            "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        },
        {
            "destination": "/dev/shm",
            "type": "tmpfs",
            "source": "shm",
            "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
        },
        {
            "destination": "/dev/mqueue",
            "type": "mqueue",
            "source": "mqueue",
            "options": ["nosuid", "noexec", "nodev"],
        },
        {
            "destination": "/sys",
            "type": "sysfs",
            "source": "sysfs",
            "options": ["nosuid", "noexec", "nodev", "ro"],
        },
        {
            "destination": "/sys/fs/cgroup",
            "type": "cgroup",
            "source": "cgroup",
            "options": ["nosuid", "noexec", "nodev", "relatime", "ro"],
        },
    ])
}

/// Without a network namespace of its own, a container may not mount sysfs; without a mapping of the group `tty`,
/// `gid=5` is refused by devpts; limits need a delegated cgroup.
fn make_rootless(config: &mut Value) {
    for mount in config["mounts"].as_array_mut().into_iter().flatten() {
        if mount["destination"] == "/dev/pts" {
            mount["options"] = json!(["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]);
        }
        if mount["destination"] == "/sys" {
            mount["type"] = json!("none");
            mount["source"] = json!("/sys");
            mount["options"] = json!(["rbind", "nosuid", "noexec", "nodev", "ro"]);
        }
    }
    let linux = &mut config["linux"];
    if let Some(linux) = linux.as_object_mut() {
        linux.remove("resources");
    }
    let uid = rustix::process::geteuid().as_raw();
    let gid = rustix::process::getegid().as_raw();
    linux["uidMappings"] = json!([{ "containerID": 0, "hostID": uid, "size": 1 }]);
    linux["gidMappings"] = json!([{ "containerID": 0, "hostID": gid, "size": 1 }]);
    linux["namespaces"] = json!([
        { "type": "pid" },
        { "type": "ipc" },
        { "type": "uts" },
        { "type": "mount" },
        { "type": "user" },
    ]);
}

#[cfg(test)]
mod tests {
    use super::default_spec;
    use crate::{Bundle, validate::validate};

    #[test]
    fn default_configurations_are_valid() {
        for rootless in [false, true] {
            let config = default_spec(rootless);
            let bundle = Bundle::from_json(config.to_string().as_bytes(), "/bundle").unwrap();
            assert_eq!(validate(&bundle), [], "rootless: {rootless}");
            assert_eq!(bundle.warnings(), []);
        }
    }
}
