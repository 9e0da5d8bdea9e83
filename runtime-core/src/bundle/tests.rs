//! Whole configurations through the reading: engines' own, broken ones, and any JSON at all.

use serde_json::{Value, json};

use super::{Bundle, default_spec, fields::HugepageLimit};
use crate::ErrorKind;

const ENGINES: [(&str, &str); 4] = [
    ("containerd", include_str!("../../tests/fixtures/engines/containerd-1.6-ctr.json")),
    ("docker", include_str!("../../tests/fixtures/engines/docker-20.10.json")),
    ("podman", include_str!("../../tests/fixtures/engines/podman-4.3.json")),
    ("podman with limits", include_str!("../../tests/fixtures/engines/podman-4.3-limits.json")),
];

fn read(config: &Value) -> Bundle {
    Bundle::from_json(config.to_string().as_bytes(), "/bundle").unwrap()
}

/// The default configuration with one value replaced, at a JSON pointer.
fn with(pointer: &str, value: Value) -> Value {
    let mut config = default_spec(false);
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    config.pointer_mut(parent).unwrap()[name] = value;
    config
}

/// The problems of a configuration as `path: message`.
fn problems(json: &[u8]) -> Vec<String> {
    let error = Bundle::from_json(json, "/bundle").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    error.problems().iter().map(ToString::to_string).collect()
}

#[test]
fn configurations_of_engines_open_without_a_word() {
    for (engine, config) in ENGINES {
        let bundle =
            Bundle::from_json(config.as_bytes(), "/bundle").unwrap_or_else(|e| panic!("{engine}: {e}"));
        assert_eq!(bundle.warnings(), [], "{engine}");
        let has_seccomp = engine != "containerd";
        assert_eq!(bundle.fields().seccomp.is_some(), has_seccomp, "{engine}");
        assert_eq!(bundle.fields().seccomp_problems, [], "{engine}");
        let source: Value = serde_json::from_str(config).unwrap();
        let mounts = bundle.spec().mounts().as_ref().unwrap();
        assert_eq!(mounts.len(), source["mounts"].as_array().unwrap().len(), "{engine}");
    }
}

#[test]
fn what_the_crate_gets_wrong_is_read_beside_it() {
    let mut config = default_spec(false);
    config["process"]["capabilities"] = json!({"bounding": ["CAP_KILL", "CAP_FUTURE", "CAP_KILL"]});
    config["process"]["rlimits"] = json!([{"type": "RLIMIT_CORE", "soft": 1, "hard": u64::MAX}]);
    config["linux"]["resources"] = json!({
        "pids": {"limit": 0},
        "hugepageLimits": [{"pageSize": "2MB", "limit": u64::MAX}],
        "unified": {"memory.high": "1", "cpu.weight": "2"},
        "devices": [{"allow": true, "type": "", "access": null}],
    });
    config["linux"]["sysctl"] = json!({"net.b": "1", "net.a": "2"});
    config["linux"]["namespaces"] = json!([{"type": "mount", "path": ""}]);
    config["annotations"] = json!({"b": "", "a": "x"});
    let bundle = read(&config);
    let fields = bundle.fields();
    assert_eq!(fields.capabilities.as_ref().unwrap().bounding, ["CAP_KILL", "CAP_FUTURE", "CAP_KILL"]);
    assert_eq!(fields.rlimits, [("RLIMIT_CORE".to_owned(), 1, u64::MAX)]);
    assert_eq!(fields.pids_limit, Some(0));
    let huge = HugepageLimit { page_size: "2MB".to_owned(), limit: u64::MAX };
    assert_eq!(fields.hugepage_limits, [huge]);
    assert!(fields.unified.keys().eq(["cpu.weight", "memory.high"]));
    assert!(fields.sysctl.keys().eq(["net.a", "net.b"]));
    assert!(fields.annotations.keys().eq(["a", "b"]));
    let linux = bundle.spec().linux().as_ref().unwrap();
    assert_eq!(linux.namespaces().as_ref().unwrap()[0].path().as_ref(), None);
    let rule = &linux.resources().as_ref().unwrap().devices().as_ref().unwrap()[0];
    assert!(rule.allow() && rule.typ().is_none() && rule.access().is_none());
    assert_eq!(read(&with("/linux/resources", json!({"pids": {}}))).fields().pids_limit, None);
}

#[test]
fn null_is_absent_as_in_the_go_types() {
    let config = with("/linux", Value::Null);
    assert!(read(&config).spec().linux().is_none());
    let bundle = read(&with("/process/args", Value::Null));
    assert!(bundle.spec().process().as_ref().unwrap().args().is_none());
    assert_eq!(
        problems(with("/root/path", Value::Null).to_string().as_bytes()),
        ["root.path: expected a string, found nothing"]
    );
}

#[test]
fn wrong_forms_are_told_with_their_path() {
    for (pointer, value, expected) in [
        ("/ociVersion", Value::Null, "ociVersion: expected a string, found nothing"),
        ("/root", Value::Null, "root: root must be specified"),
        ("/root", json!([]), "root: expected an object, found an array"),
        ("/process/cwd", Value::Null, "process.cwd: Cwd property must not be empty"),
        ("/process/cwd", json!(7), "process.cwd: expected a string, found the number 7"),
        ("/process/terminal", json!("true"), "process.terminal: expected true or false, found a string"),
        ("/process/args", json!(["a", 1]), "process.args[1]: expected a string, found the number 1"),
        ("/process/env", json!("TOKEN=secret"), "process.env: expected an array, found a string"),
        (
            "/process/args",
            json!(["a\0b"]),
            "process.args[0]: contains a NUL character, which no string for the kernel can",
        ),
        (
            "/process/user/uid",
            json!(4_294_967_296_u64),
            "process.user.uid: expected an integer from 0 to 4294967295, found 4294967296",
        ),
        (
            "/process/user/uid",
            json!(-1),
            "process.user.uid: expected an integer from 0 to 4294967295, found -1",
        ),
        (
            "/process/user/gid",
            json!(1.5),
            "process.user.gid: expected an integer from 0 to 4294967295, found 1.5",
        ),
        (
            "/process/rlimits/0",
            json!({"type": "RLIMIT_CORE", "soft": 1}),
            "process.rlimits[0].hard: expected an integer from 0 to 18446744073709551615, found nothing",
        ),
        ("/mounts/2", json!({"type": "proc"}), "mounts[2].destination: expected a string, found nothing"),
        ("/mounts/2", Value::Null, "mounts[2]: expected an object, found null"),
        (
            "/linux/namespaces/0/type",
            json!("pids"),
            "linux.namespaces[0].type: namespace \"pids\" does not exist, expected one of cgroup, ipc, mount, \
             network, pid, time, user, uts",
        ),
        (
            "/linux/devices",
            json!([{"type": "a", "path": "/dev/x"}]),
            "linux.devices[0].type: unknown device type \"a\", expected one of c, u, b, p",
        ),
        (
            "/linux/devices",
            json!([{"type": "c", "path": "/dev/x", "major": 1}]),
            "linux.devices[0].minor: is required for a device of type c, u or b",
        ),
        (
            "/linux/uidMappings",
            json!([{"containerID": 0, "size": 1}]),
            "linux.uidMappings[0].hostID: expected an integer from 0 to 4294967295, found nothing",
        ),
        (
            "/linux/resources",
            json!({"devices": [{"access": "r"}]}),
            "linux.resources.devices[0].allow: expected true or false, found nothing",
        ),
        (
            "/linux/resources",
            json!({"blockIO": {"weightDevice": [{"major": 8, "minor": 0}]}}),
            "linux.resources.blockIO.weightDevice[0].weight: weight or leafWeight is required",
        ),
        (
            "/linux/sysctl",
            json!({"net.core.somaxconn": 1}),
            "linux.sysctl[\"net.core.somaxconn\"]: expected a string, found the number 1",
        ),
        ("/annotations", json!({"": "x"}), "annotations[\"\"]: a name is not empty and has no NUL character"),
        (
            "/hooks",
            json!({"poststop": [{"args": []}]}),
            "hooks.poststop[0].path: expected a string, found nothing",
        ),
    ] {
        let mut config = default_spec(false);
        *match config.pointer_mut(pointer) {
            Some(place) => place,
            None => {
                let (parent, name) = pointer.rsplit_once('/').unwrap();
                &mut config.pointer_mut(parent).unwrap()[name]
            }
        } = value;
        assert_eq!(problems(config.to_string().as_bytes()), [expected]);
    }
}

#[test]
fn all_problems_come_at_once() {
    let config =
        br#"{"root":{"path":1},"process":{"args":"sh","user":{"uid":"0"}},"linux":{"namespaces":{}}}"#;
    assert_eq!(
        problems(config),
        [
            "linux.namespaces: expected an array, found an object",
            "process.args: expected an array, found a string",
            "process.user.uid: expected an integer from 0 to 4294967295, found a string",
            "process.cwd: Cwd property must not be empty",
            "root.path: expected a string, found the number 1",
            "ociVersion: expected a string, found nothing",
        ]
    );
    assert_eq!(problems(b"[]"), ["expected an object, found an array"]);
    assert_eq!(
        problems(br#"{"root":{},"root":{}}"#),
        ["root: the name is there more than once in this object"]
    );
}

// spec: config.extensibility.unknown-ignored
#[test]
fn unknown_properties_are_warnings() {
    let mut config = default_spec(false);
    config["x-tool"] = json!({"ociVersion": 1});
    config["process"]["NoNewPrivileges"] = json!(false);
    config["uidMappings"] = json!([]);
    config["windows"] = json!({"layerFolders": 3});
    config["process"]["user"] = json!({"gid": 0});
    config["process"]["env"] = json!(["A=b", "HOME"]);
    let bundle = read(&config);
    let warnings: Vec<_> = bundle.warnings().iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "process.NoNewPrivileges: unknown property, did you mean noNewPrivileges?",
            "process.user.uid: is absent, taken as 0",
            "uidMappings: unknown property",
            "windows: has no effect on Linux",
            "[\"x-tool\"]: unknown property",
            "process.env[1]: is not of the form NAME=value",
        ]
    );
    assert_eq!(bundle.spec().process().as_ref().unwrap().no_new_privileges(), Some(true));
    let mut config = default_spec(false);
    config["Root"] = config["root"].take();
    assert_eq!(
        problems(config.to_string().as_bytes()),
        ["root: expected an object, found only \"Root\": the case matters"]
    );
}

/// A configuration with every object that has a required property.
fn with_all_that_is_required() -> Value {
    let mut config = default_spec(false);
    let disk = json!([{"major": 8, "minor": 0, "rate": 1}]);
    let map = json!([{"containerID": 0, "hostID": 1, "size": 1}]);
    config["process"]["consoleSize"] = json!({"height": 1, "width": 1});
    config["process"]["rlimits"] = json!([{"type": "RLIMIT_CORE", "soft": 1, "hard": 1}]);
    config["process"]["scheduler"] = json!({"policy": "SCHED_OTHER"});
    config["process"]["ioPriority"] = json!({"class": "IOPRIO_CLASS_BE", "priority": 4});
    config["hooks"] = json!({"poststop": [{"path": "/bin/true"}]});
    config["linux"]["uidMappings"] = map.clone();
    config["linux"]["gidMappings"] = map;
    config["linux"]["devices"] = json!([{"type": "c", "path": "/dev/x", "major": 1, "minor": 3}]);
    config["linux"]["resources"] = json!({
        "devices": [{"allow": true, "access": "r"}],
        "blockIO": {
            "weightDevice": [{"major": 8, "minor": 0, "weight": 10}],
            "throttleReadBpsDevice": disk,
            "throttleWriteIOPSDevice": disk,
        },
        "hugepageLimits": [{"pageSize": "2MB", "limit": 1}],
        "network": {"priorities": [{"name": "lo", "priority": 1}]},
    });
    config["linux"]["memoryPolicy"] = json!({"mode": "MPOL_LOCAL"});
    config["linux"]["personality"] = json!({"domain": "LINUX"});
    config
}

// spec: config.ociversion.required config.root.required config.root.path.required
// spec: config.mounts.destination.required config.process.consolesize.height.required
// spec: config.process.consolesize.width.required config.process.cwd.required config.process.rlimits.type.required
// spec: config.process.rlimits.soft.required config.process.rlimits.hard.required
// spec: config.process.scheduler.policy.required config.process.iopriority.class.required
// spec: config.process.iopriority.priority.required config.hooks.entry.path.required
// spec: linux.namespaces.type.required linux.idmapping.containerid.required linux.idmapping.hostid.required
// spec: linux.idmapping.size.required linux.devices.type.required linux.devices.path.required
// spec: linux.devices.major-minor.required linux.resources.devices.allow.required
// spec: linux.blockio.weightdevice.major-minor.required linux.blockio.weightdevice.at-least-one
// spec: linux.blockio.throttlebps.major-minor.required linux.blockio.throttleiops.major-minor.required
// spec: linux.hugepagelimits.pagesize.required linux.hugepagelimits.limit.required
// spec: linux.network.priorities.name.required linux.network.priorities.priority.required
// spec: linux.memorypolicy.mode.required linux.personality.domain.required
#[test]
fn what_is_required_is_missed_with_its_path() {
    assert_eq!(read(&with_all_that_is_required()).warnings(), []);
    for (pointer, path) in [
        ("/ociVersion", "ociVersion"),
        ("/root", "root"),
        ("/root/path", "root.path"),
        ("/mounts/0/destination", "mounts[0].destination"),
        ("/process/consoleSize/height", "process.consoleSize.height"),
        ("/process/consoleSize/width", "process.consoleSize.width"),
        ("/process/cwd", "process.cwd"),
        ("/process/rlimits/0/type", "process.rlimits[0].type"),
        ("/process/rlimits/0/soft", "process.rlimits[0].soft"),
        ("/process/rlimits/0/hard", "process.rlimits[0].hard"),
        ("/process/scheduler/policy", "process.scheduler.policy"),
        ("/process/ioPriority/class", "process.ioPriority.class"),
        ("/process/ioPriority/priority", "process.ioPriority.priority"),
        ("/hooks/poststop/0/path", "hooks.poststop[0].path"),
        ("/linux/namespaces/0/type", "linux.namespaces[0].type"),
        ("/linux/uidMappings/0/containerID", "linux.uidMappings[0].containerID"),
        ("/linux/uidMappings/0/hostID", "linux.uidMappings[0].hostID"),
        ("/linux/gidMappings/0/size", "linux.gidMappings[0].size"),
        ("/linux/devices/0/type", "linux.devices[0].type"),
        ("/linux/devices/0/path", "linux.devices[0].path"),
        ("/linux/devices/0/minor", "linux.devices[0].minor"),
        ("/linux/resources/devices/0/allow", "linux.resources.devices[0].allow"),
        ("/linux/resources/blockIO/weightDevice/0/major", "linux.resources.blockIO.weightDevice[0].major"),
        ("/linux/resources/blockIO/weightDevice/0/weight", "linux.resources.blockIO.weightDevice[0].weight"),
        (
            "/linux/resources/blockIO/throttleReadBpsDevice/0/minor",
            "linux.resources.blockIO.throttleReadBpsDevice[0].minor",
        ),
        (
            "/linux/resources/blockIO/throttleWriteIOPSDevice/0/major",
            "linux.resources.blockIO.throttleWriteIOPSDevice[0].major",
        ),
        ("/linux/resources/hugepageLimits/0/pageSize", "linux.resources.hugepageLimits[0].pageSize"),
        ("/linux/resources/hugepageLimits/0/limit", "linux.resources.hugepageLimits[0].limit"),
        ("/linux/resources/network/priorities/0/name", "linux.resources.network.priorities[0].name"),
        ("/linux/resources/network/priorities/0/priority", "linux.resources.network.priorities[0].priority"),
        ("/linux/memoryPolicy/mode", "linux.memoryPolicy.mode"),
        ("/linux/personality/domain", "linux.personality.domain"),
    ] {
        let mut config = with_all_that_is_required();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        config.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name).unwrap();
        let told = problems(config.to_string().as_bytes());
        assert!(told.len() == 1 && told[0].starts_with(path), "{pointer}: {told:?}");
    }
}

// spec: config.annotations.map config.annotations.key.nonempty config.annotations.value.string
#[test]
fn annotations_are_texts_by_name() {
    for (value, expected) in [
        (json!(["a"]), "annotations: expected an object, found an array"),
        (json!({"": "x"}), "annotations[\"\"]: a name is not empty and has no NUL character"),
        (json!({"a": 1}), "annotations.a: expected a string, found the number 1"),
    ] {
        assert_eq!(problems(with("/annotations", value).to_string().as_bytes()), [expected]);
    }
}

// spec: config.process.user.uid.required config.process.user.gid.required
#[test]
fn an_absent_user_is_told_and_taken_as_root() {
    for (pointer, paths) in [
        ("/process/user", &["process.user"][..]),
        ("/process/user/uid", &["process.user.uid"]),
        ("/process/user/gid", &["process.user.gid"]),
    ] {
        let bundle = read(&with(pointer, Value::Null));
        let told: Vec<_> = bundle.warnings().iter().map(|warning| warning.config_path.as_str()).collect();
        assert_eq!(told, paths);
        let user = bundle.spec().process().as_ref().unwrap().user().clone();
        assert_eq!((user.uid(), user.gid()), (0, 0));
    }
}
