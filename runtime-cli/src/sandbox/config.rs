//! The sandbox as an OCI configuration.

use std::path::Path;

use serde_json::{Value, json};

use super::{Identity, Network, Options, View, environment, filter, options::Limits, view::Bind};
use crate::commands::SPEC_VERSION;

/// Of the processor time limit, in microseconds.
const CPU_PERIOD: u64 = 100_000;

/// As `orlop spec` has them: what the kernel shows of the host.
const MASKED: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];
const READ_ONLY: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Writes the configuration. Pure.
pub fn config_of(
    options: &Options,
    view: &View,
    identity: Identity,
    caller_env: impl IntoIterator<Item = (String, String)>,
    terminal: bool,
) -> Value {
    let masked: Vec<Value> =
        MASKED.iter().map(|path| json!(path)).chain(view.masked.iter().map(|path| json!(path))).collect();
    let mut config = json!({
        "ociVersion": SPEC_VERSION,
        "process": {
            "terminal": terminal,
            "user": { "uid": 0, "gid": 0 },
            "args": options.command,
            "env": environment::entries(caller_env, &view.home, &options.env),
            "cwd": view.cwd,
            "capabilities":
                { "bounding": [], "effective": [], "inheritable": [], "permitted": [], "ambient": [] },
            "noNewPrivileges": true,
        },
        "root": { "path": "rootfs", "readonly": true },
        "hostname": "try",
        "mounts": mounts(view, options.bundle.is_none()),
        "linux": {
            "namespaces": namespaces(options.network),
            "uidMappings": [{ "containerID": 0, "hostID": identity.uid, "size": 1 }],
            "gidMappings": [{ "containerID": 0, "hostID": identity.gid, "size": 1 }],
            "maskedPaths": masked,
            "readonlyPaths": READ_ONLY,
            "seccomp": filter::filter(),
        },
    });
    if options.limits != Limits::default() {
        config["linux"]["resources"] = resources(options.limits);
    }
    config
}

fn namespaces(network: Network) -> Vec<Value> {
    let own_network = (network == Network::None).then_some("network");
    ["user", "pid", "ipc", "uts", "mount", "cgroup"]
        .into_iter()
        .chain(own_network)
        .map(|kind| json!({ "type": kind }))
        .collect()
}

/// With the root in memory the mount points are made and gone with the container, on the host nothing is. A bundle is for
/// any runtime, and many know no mount over the root.
fn mounts(view: &View, root_in_memory: bool) -> Vec<Value> {
    let root = mount("/", "tmpfs", "tmpfs", &["nosuid", "nodev", "mode=755", "tmpcopyup"]);
    let mut mounts: Vec<Value> = root_in_memory.then_some(root).into_iter().collect();
    mounts.extend([
        mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
        ),
        mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777"]),
        mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        mount("/run", "tmpfs", "tmpfs", &["nosuid", "nodev", "mode=755"]),
        mount("/tmp", "tmpfs", "tmpfs", &["nosuid", "nodev", "mode=1777"]),
    ]);
    if view.fresh_var {
        mounts.push(mount("/var", "tmpfs", "tmpfs", &["nosuid", "nodev", "mode=755"]));
        mounts.push(mount("/var/tmp", "tmpfs", "tmpfs", &["nosuid", "nodev", "mode=1777"]));
    }
    let home = mount(&view.home, "tmpfs", "tmpfs", &["nosuid", "nodev", "mode=700"]);
    // Home hides what another system has at its place, and is hidden in turn by a project in it.
    let depth = |path: &Path| path.components().count();
    let (above, below): (Vec<&Bind>, Vec<&Bind>) =
        view.binds.iter().partition(|bind| depth(&bind.target) < depth(&view.home));
    mounts.extend(above.into_iter().map(bind_mount));
    mounts.push(home);
    mounts.extend(below.into_iter().map(bind_mount));
    mounts
}

fn mount(destination: impl AsRef<Path>, kind: &str, source: &str, options: &[&str]) -> Value {
    json!({ "destination": destination.as_ref(), "type": kind, "source": source, "options": options })
}

/// With all that is mounted below, and the same for all of it.
fn bind_mount(bind: &Bind) -> Value {
    let access = if bind.writable { "rrw" } else { "rro" };
    json!({
        "destination": bind.target,
        "type": "bind",
        "source": bind.source,
        "options": ["rbind", access, "rnosuid", "rnodev"],
    })
}

fn resources(limits: Limits) -> Value {
    let mut resources = json!({});
    if let Some(bytes) = limits.memory {
        resources["memory"] = json!({ "limit": bytes, "swap": bytes });
    }
    if let Some(milli_cpus) = limits.milli_cpus {
        resources["cpu"] = json!({ "period": CPU_PERIOD, "quota": milli_cpus * CPU_PERIOD / 1000 });
    }
    if let Some(pids) = limits.pids {
        resources["pids"] = json!({ "limit": pids });
    }
    resources
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde_json::{Value, json};

    use super::{Identity, Limits, Network, Options, View, config_of};
    use crate::sandbox::view::Bind;

    fn options() -> Options {
        Options {
            writable: Vec::new(),
            readable: Vec::new(),
            network: Network::None,
            limits: Limits::default(),
            timeout: None,
            env: Vec::new(),
            rootfs: None,
            bundle: None,
            quiet: false,
            command: vec!["true".into()],
        }
    }

    fn config(options: &Options) -> Value {
        let bind = |path: &str, writable| Bind { source: path.into(), target: path.into(), writable };
        let view = View {
            links: Vec::new(),
            binds: vec![bind("/usr", false), bind("/home/anna/project", true)],
            home: "/home/anna".into(),
            cwd: "/home/anna/project".into(),
            fresh_var: true,
            masked: vec![PathBuf::from("/etc/shadow")],
        };
        config_of(options, &view, Identity { uid: 1000, gid: 100 }, [], false)
    }

    #[test]
    fn the_command_is_root_of_a_namespace_with_one_id_and_no_rights() {
        let config = config(&options());
        assert_eq!(config["linux"]["uidMappings"], json!([{ "containerID": 0, "hostID": 1000, "size": 1 }]));
        assert_eq!(config["linux"]["gidMappings"], json!([{ "containerID": 0, "hostID": 100, "size": 1 }]));
        assert_eq!(config["process"]["noNewPrivileges"], true);
        for set in ["bounding", "effective", "inheritable", "permitted", "ambient"] {
            assert_eq!(config["process"]["capabilities"][set], json!([]), "{set}");
        }
        assert_eq!(config["root"]["readonly"], true);
    }

    #[test]
    fn parents_are_mounted_before_what_is_in_them() {
        let config = config(&options());
        let targets: Vec<&str> = config["mounts"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|mount| mount["destination"].as_str())
            .collect();
        let at = |path| targets.iter().position(|target| *target == path).expect(path);
        assert!(at("/usr") < at("/home/anna"));
        assert!(at("/home/anna") < at("/home/anna/project"));
        assert_eq!(targets.iter().position(|target| *target == "/"), Some(0));
        assert_eq!(config["mounts"][0]["type"], "tmpfs", "the host's root is never bound");
    }

    #[test]
    fn only_what_is_asked_for_is_writable() {
        let config = config(&options());
        for mount in config["mounts"].as_array().into_iter().flatten().filter(|mount| mount["type"] == "bind")
        {
            let writable = mount["options"].as_array().is_some_and(|options| options.contains(&json!("rrw")));
            assert_eq!(writable, mount["destination"] == "/home/anna/project", "{mount}");
        }
    }

    #[test]
    fn the_hosts_network_leaves_out_one_namespace() {
        let own = config(&options());
        let hosts = config(&Options { network: Network::Host, ..options() });
        let has_network = |config: &Value| {
            config["linux"]["namespaces"]
                .as_array()
                .is_some_and(|all| all.contains(&json!({ "type": "network" })))
        };
        assert!(has_network(&own) && !has_network(&hosts));
    }

    #[test]
    fn limits_become_resources_and_none_asks_for_none() {
        assert!(config(&options())["linux"].get("resources").is_none());
        let limits = Limits { memory: Some(1 << 20), milli_cpus: Some(1500), pids: Some(10) };
        assert_eq!(
            config(&Options { limits, ..options() })["linux"]["resources"],
            json!({
                "memory": { "limit": 1 << 20, "swap": 1 << 20 },
                "cpu": { "period": 100_000, "quota": 150_000 },
                "pids": { "limit": 10 },
            })
        );
    }
}
