//! Broken configurations and the problems they give, section by section.

use serde_json::{Value, json};

use super::validate;
use crate::{Bundle, default_spec};

/// The problems of the default configuration with one value put at a JSON pointer; null takes it away.
fn problems(pointer: &str, value: Value) -> Vec<String> {
    let mut config = default_spec(false);
    put(&mut config, pointer, value);
    told(&config)
}

fn put(config: &mut Value, pointer: &str, value: Value) {
    match config.pointer_mut(pointer) {
        Some(place) => *place = value,
        None => {
            let (parent, name) = pointer.rsplit_once('/').unwrap();
            config.pointer_mut(parent).unwrap()[name] = value;
        }
    }
}

fn told(config: &Value) -> Vec<String> {
    let bundle = Bundle::from_json(config.to_string().as_bytes(), "/bundle").unwrap();
    validate(&bundle).iter().map(ToString::to_string).collect()
}

// spec: config.process.cwd.absolute config.process.args.nonempty config.process.required-for-start
// spec: config.process.rlimits.type.unmappable-error config.process.rlimits.duplicate-error
// spec: config.hooks.entry.path.absolute config.hooks.entry.timeout.positive linux.namespaces.duplicate-error
// spec: linux.namespaces.path.absolute linux.maskedpaths.absolute linux.readonlypaths.absolute
#[test]
fn values_without_sense_are_refused() {
    for (pointer, value, expected) in [
        ("/ociVersion", json!("2.0.0"), "ociVersion: 2.0.0 is not supported, expected 1.x"),
        ("/ociVersion", json!("1.0"), "ociVersion: \"1.0\" is no version of the form MAJOR.MINOR.PATCH"),
        ("/root/path", json!(""), "root.path: must not be empty"),
        ("/hostname", json!("x".repeat(65)), "hostname: has 65 bytes, Linux takes 64"),
        ("/mounts/1/destination", json!(""), "mounts[1].destination: must not be empty"),
        ("/process", Value::Null, "process: process property must not be empty"),
        ("/process/args", json!([]), "process.args: args must not be empty"),
        ("/process/args", Value::Null, "process.args: args must not be empty"),
        ("/process/cwd", json!(""), "process.cwd: Cwd property must not be empty"),
        ("/process/cwd", json!("tmp"), "process.cwd: Cwd must be an absolute path, found \"tmp\""),
        ("/process/user/umask", json!(512), "process.user.umask: 512 is above 511 (octal 777)"),
        ("/process/oomScoreAdj", json!(-1001), "process.oomScoreAdj: -1001 is not between -1000 and 1000"),
        (
            "/process/consoleSize",
            json!({"height": 65536, "width": 1}),
            "process.consoleSize.height: 65536 is more than a terminal can have, which is 65535",
        ),
        (
            "/process/rlimits",
            json!([{"type": "nofile", "soft": 1, "hard": 1}]),
            "process.rlimits[0].type: unknown rlimit \"nofile\", did you mean RLIMIT_NOFILE?",
        ),
        (
            "/process/rlimits",
            json!([{"type": "RLIMIT_CPU", "soft": 1, "hard": 1}, {"type": "RLIMIT_CPU", "soft": 2, "hard": 2}]),
            "process.rlimits[1].type: duplicated rlimit \"RLIMIT_CPU\", already set by process.rlimits[0]",
        ),
        (
            "/process/rlimits",
            json!([{"type": "RLIMIT_CPU", "soft": 2, "hard": 1}]),
            "process.rlimits[0].soft: 2 is above the hard limit 1",
        ),
        ("/hooks", json!({"prestart": [{"path": "x"}]}), "hooks.prestart[0].path: x is not an absolute path"),
        (
            "/hooks",
            json!({"poststop": [{"path": "/a"}, {"path": "/b", "timeout": 0}]}),
            "hooks.poststop[1].timeout: 0 is not a positive number of seconds",
        ),
        (
            "/linux/namespaces",
            json!([{"type": "uts"}, {"type": "uts"}]),
            "linux.namespaces[1]: malformed spec file: duplicated ns \"uts\"",
        ),
        (
            "/linux/namespaces/3/path",
            json!("ns/uts"),
            "linux.namespaces[3].path: ns/uts is not an absolute path",
        ),
        (
            "/linux/timeOffsets",
            json!({"boottime": {"secs": 1}}),
            "linux.timeOffsets: needs a new time namespace in linux.namespaces",
        ),
        (
            "/linux/uidMappings",
            json!([{"containerID": 0, "hostID": 0, "size": 1}]),
            "linux.uidMappings: needs a user namespace: add {\"type\": \"user\"} to linux.namespaces",
        ),
        (
            "/linux/devices",
            json!([{"type": "c", "path": "dev/x", "major": 1, "minor": 3}]),
            "linux.devices[0].path: dev/x is not an absolute path",
        ),
        (
            "/linux/devices",
            json!([{"type": "b", "path": "/dev/x", "major": 4096, "minor": 3}]),
            "linux.devices[0].major: 4096 is not between 0 and 4095",
        ),
        (
            "/linux/resources/devices",
            json!([{"allow": true, "access": "rwx"}]),
            "linux.resources.devices[0].access: \"rwx\" has other letters than r, w and m",
        ),
        (
            "/linux/resources/devices",
            json!([{"allow": true, "major": -2}]),
            "linux.resources.devices[0].major: -2 is not between -1 and 4095",
        ),
        (
            "/linux/resources/memory",
            json!({"limit": -2}),
            "linux.resources.memory.limit: -2 is neither a number of bytes nor -1, no limit",
        ),
        (
            "/linux/resources/memory",
            json!({"limit": 10, "swap": 9}),
            "linux.resources.memory.swap: 9 counts memory and swap, so it cannot be below memory.limit, 10",
        ),
        (
            "/linux/resources/memory",
            json!({"swap": 9}),
            "linux.resources.memory.swap: 9 is a limit of memory and swap, which needs memory.limit",
        ),
        (
            "/linux/resources/memory",
            json!({"swappiness": 101}),
            "linux.resources.memory.swappiness: 101 is not between 0 and 100",
        ),
        (
            "/linux/resources/cpu",
            json!({"period": 999}),
            "linux.resources.cpu.period: 999 is not between 1000 and 1000000 microseconds",
        ),
        (
            "/linux/resources/cpu",
            json!({"quota": 5000, "burst": 5001}),
            "linux.resources.cpu.burst: 5001 is above cpu.quota, 5000",
        ),
        ("/linux/resources/cpu", json!({"idle": 2}), "linux.resources.cpu.idle: 2 is neither 0 nor 1"),
        (
            "/linux/resources/cpu",
            json!({"cpus": "x"}),
            "linux.resources.cpu.cpus: \"x\" is no list of numbers and ranges such as 0-3,7",
        ),
        (
            "/linux/resources/blockIO",
            json!({"weightDevice": [{"major": 8, "minor": 0, "weight": 9}]}),
            "linux.resources.blockIO.weightDevice[0].weight: 9 is not between 10 and 1000",
        ),
        (
            "/linux/resources/hugepageLimits",
            json!([{"pageSize": "2M", "limit": 1}]),
            "linux.resources.hugepageLimits[0].pageSize: \"2M\" is no size such as 64KB, 2MB or 1GB",
        ),
        (
            "/linux/resources/unified",
            json!({"../x": "1"}),
            "linux.resources.unified[\"../x\"]: is not the name of a file in a cgroup",
        ),
        ("/linux/maskedPaths", json!(["proc/x"]), "linux.maskedPaths[0]: proc/x is not an absolute path"),
        ("/linux/readonlyPaths", json!(["/a", ""]), "linux.readonlyPaths[1]: must not be empty"),
        (
            "/linux/rootfsPropagation",
            json!("public"),
            "linux.rootfsPropagation: unknown rootfsPropagation \"public\", expected one of shared, slave, \
             private, unbindable",
        ),
        (
            "/linux/seccomp",
            json!({"defaultAction": "SCMP_ACT_NOTIFY"}),
            "linux.seccomp.defaultAction: SCMP_ACT_NOTIFY cannot be used as default action",
        ),
        (
            "/linux/intelRdt",
            json!({"closID": "a/b"}),
            "linux.intelRdt.closID: \"a/b\" has a slash: only the root of resctrl, \"/\", may",
        ),
    ] {
        let config = value.to_string();
        assert_eq!(problems(pointer, value), [expected], "{pointer} {config}");
    }
}

#[test]
fn values_that_ask_for_nothing_are_accepted() {
    for (pointer, value) in [
        ("/hostname", json!("")),
        ("/mounts/0/destination", json!("relative")),
        ("/linux/rootfsPropagation", json!("rslave")),
        ("/linux/resources/cpu", json!({"shares": 0, "quota": 0, "period": 0, "cpus": "", "mems": ""})),
        ("/linux/resources/cpu", json!({"quota": -1, "burst": 5})),
        ("/linux/resources/memory", json!({"limit": 0, "swap": 0})),
        ("/linux/resources/memory", json!({"limit": 5, "swap": -1})),
        ("/linux/resources/blockIO", json!({"weight": 0})),
        ("/linux/devices", json!([{"type": "p", "path": "/dev/fifo", "major": -1}])),
        ("/linux/timeOffsets", json!({})),
        ("/process/user/umask", json!(0o777)),
    ] {
        assert_eq!(problems(pointer, value.clone()), [""; 0], "{pointer} {value}");
    }
    let mut config = default_spec(false);
    config["process"]["terminal"] = json!(false);
    config["process"]["consoleSize"] = json!({"height": 1_000_000, "width": 0});
    assert_eq!(told(&config), [""; 0]);
}

#[test]
fn settings_of_the_host_need_a_namespace_of_their_own() {
    let mut config = default_spec(false);
    config["linux"]["namespaces"] = json!([{"type": "mount"}]);
    config["domainname"] = json!("example");
    let words = "unable to set without a private UTS namespace: add {\"type\": \"uts\"} to linux.namespaces";
    assert_eq!(told(&config), [format!("hostname: {words}"), format!("domainname: {words}")]);
}

#[test]
fn id_maps_are_those_the_kernel_takes() {
    let map = |container: u32, host: u32, size: u32| json!({"containerID": container, "hostID": host, "size": size});
    let good = json!([map(0, 1000, 1), map(1, 100_000, 65536)]);
    for (uids, gids, expected) in [
        (good.clone(), good.clone(), vec![]),
        (
            Value::Null,
            json!([]),
            vec![
                "linux.uidMappings: a new user namespace requires at least one UID mapping",
                "linux.gidMappings: a new user namespace requires at least one GID mapping",
            ],
        ),
        (json!([map(0, 1, 0)]), good.clone(), vec!["linux.uidMappings[0].size: must be at least 1"]),
        (
            json!([map(0, 5, 1), map(1, u32::MAX, 1)]),
            good.clone(),
            vec!["linux.uidMappings[1].size: with hostID it goes beyond the last id"],
        ),
        (
            good.clone(),
            json!([map(0, 0, 10), map(9, 20, 1), map(20, 9, 1)]),
            vec![
                "linux.gidMappings[1]: the range of containerID overlaps with that of [0]",
                "linux.gidMappings[2]: the range of hostID overlaps with that of [0]",
            ],
        ),
        (
            (0..341).map(|id| map(id, id, 1)).collect(),
            good.clone(),
            vec!["linux.uidMappings: has 341 mappings, Linux takes 340"],
        ),
    ] {
        let mut config = default_spec(true);
        config["linux"]["uidMappings"] = uids;
        config["linux"]["gidMappings"] = gids;
        assert_eq!(told(&config), expected);
    }
}

#[test]
fn clock_offsets_are_checked() {
    let mut config = default_spec(false);
    config["linux"]["namespaces"] = json!([{"type": "uts"}, {"type": "time"}]);
    config["linux"]["timeOffsets"] = json!({"monotonic": {"secs": -5, "nanosecs": 999_999_999}});
    assert_eq!(told(&config), [""; 0]);
    config["linux"]["timeOffsets"] = json!({"realtime": {}, "boottime": {"nanosecs": 1_000_000_000}});
    assert_eq!(
        told(&config),
        [
            "linux.timeOffsets.boottime.nanosecs: 1000000000 is not below a second",
            "linux.timeOffsets.realtime: only monotonic and boottime have offsets",
        ]
    );
}

#[test]
fn all_problems_come_at_once() {
    let mut config = default_spec(false);
    put(&mut config, "/process/args", json!([]));
    put(&mut config, "/process/cwd", json!("x"));
    put(&mut config, "/mounts/0/destination", json!(""));
    put(&mut config, "/linux/maskedPaths", json!(["x"]));
    put(&mut config, "/linux/sysctl", json!({"vm.swappiness": "1"}));
    let paths: Vec<_> =
        told(&config).iter().map(|problem| problem.split(": ").next().unwrap().to_owned()).collect();
    assert_eq!(
        paths,
        [
            "mounts[0].destination",
            "process.args",
            "process.cwd",
            "linux.sysctl[\"vm.swappiness\"]",
            "linux.maskedPaths[0]",
        ]
    );
}

#[test]
fn configurations_of_engines_make_sense() {
    for config in [
        include_str!("../../tests/fixtures/engines/containerd-1.6-ctr.json"),
        include_str!("../../tests/fixtures/engines/docker-20.10.json"),
        include_str!("../../tests/fixtures/engines/podman-4.3.json"),
        include_str!("../../tests/fixtures/engines/podman-4.3-limits.json"),
    ] {
        let config: Value = serde_json::from_str(&config.replace("@HOOK@", "/usr/bin/true")).unwrap();
        assert_eq!(told(&config), [""; 0]);
    }
}
