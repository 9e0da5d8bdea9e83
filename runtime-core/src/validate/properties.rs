//! Any input gives problems or a bundle, never a panic.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::validate;
use crate::Bundle;

/// Replaces the `pick`-th value of a document, counted from the leaves upwards.
fn replace_one(value: &mut Value, pick: &mut usize, new: &Value) -> bool {
    let is_replaced = match value {
        Value::Array(elements) => elements.iter_mut().any(|element| replace_one(element, pick, new)),
        Value::Object(entries) => entries.values_mut().any(|entry| replace_one(entry, pick, new)),
        _ => false,
    };
    if is_replaced {
        return true;
    }
    if *pick == 0 {
        *value = new.clone();
        return true;
    }
    *pick -= 1;
    false
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-3_i64..3).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[-a-z0-9/.,:=\\x00é ]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        let name = prop_oneof!["[a-z.]{0,4}", Just("path".to_owned()), Just("type".to_owned())];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..4)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

/// A document gives problems, each with words, or a bundle that can be validated.
fn gives_problems_or_a_bundle(json: &[u8]) {
    match Bundle::from_json(json, "/bundle") {
        Ok(bundle) => drop(validate(&bundle)),
        Err(error) => {
            assert_eq!(error.kind(), crate::ErrorKind::InvalidConfig);
            assert!(!error.problems().is_empty());
            assert!(error.problems().iter().all(|problem| !problem.message.is_empty()));
        }
    }
}

#[test]
fn a_configuration_with_everything_has_no_unknown_property() {
    let bundle = Bundle::from_json(everything().to_string().as_bytes(), "/bundle").unwrap();
    assert_eq!(bundle.warnings(), []);
    assert_eq!(validate(&bundle), []);
}

proptest! {
    #[test]
    fn any_bytes_give_problems(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        gives_problems_or_a_bundle(&bytes);
    }

    #[test]
    fn any_json_gives_problems_or_a_bundle(value in any_json()) {
        gives_problems_or_a_bundle(value.to_string().as_bytes());
    }

    #[test]
    fn any_change_of_a_configuration_gives_problems_or_a_bundle(
        changes in prop::collection::vec((0_usize..160, any_json()), 1..4),
    ) {
        let mut config = everything();
        for (mut pick, new) in changes {
            replace_one(&mut config, &mut pick, &new);
        }
        gives_problems_or_a_bundle(config.to_string().as_bytes());
    }
}

/// A configuration with something in every section.
fn everything() -> Value {
    let maps = json!([{"containerID": 0, "hostID": 0, "size": 1}]);
    let throttle = json!([{"major": 8, "minor": 0, "rate": 1}]);
    let hooks = json!([{"path": "/a", "args": ["a"], "env": ["A=b"], "timeout": 1}]);
    json!({
        "ociVersion": "1.3.0",
        "root": {"path": "rootfs", "readonly": true},
        "hostname": "a",
        "domainname": "b",
        "annotations": {"a": "b"},
        "mounts": [{
            "destination": "/a", "type": "tmpfs", "source": "x", "options": ["ro"],
            "uidMappings": maps, "gidMappings": maps,
        }],
        "process": {
            "terminal": true,
            "consoleSize": {"height": 1, "width": 1},
            "user": {"uid": 0, "gid": 0, "umask": 18, "additionalGids": [1]},
            "args": ["sh"],
            "env": ["A=b"],
            "cwd": "/",
            "capabilities": {"bounding": ["CAP_KILL"], "ambient": []},
            "rlimits": [{"type": "RLIMIT_CPU", "soft": 1, "hard": 1}],
            "noNewPrivileges": true,
            "oomScoreAdj": 1,
            "apparmorProfile": "a",
            "selinuxLabel": "a",
            "scheduler": {"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_RESET_ON_FORK"]},
            "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 1},
            "execCPUAffinity": {"initial": "0"},
        },
        "hooks": {
            "prestart": hooks, "createRuntime": hooks, "createContainer": hooks, "startContainer": hooks,
            "poststart": hooks, "poststop": hooks,
        },
        "linux": {
            "namespaces": [{"type": "network", "path": "/a"}, {"type": "uts"}, {"type": "user"}, {"type": "time"}],
            "uidMappings": maps,
            "gidMappings": maps,
            "timeOffsets": {"monotonic": {"secs": 1, "nanosecs": 1}},
            "devices": [{
                "type": "c", "path": "/dev/a", "major": 1, "minor": 1, "fileMode": 438, "uid": 0, "gid": 0,
            }],
            "netDevices": {"eth0": {"name": "a"}},
            "cgroupsPath": "/a",
            "sysctl": {"net.a": "1"},
            "seccomp": {"defaultAction": "SCMP_ACT_ALLOW"},
            "rootfsPropagation": "shared",
            "maskedPaths": ["/a"],
            "readonlyPaths": ["/a"],
            "mountLabel": "a",
            "personality": {"domain": "LINUX"},
            "memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0", "flags": []},
            "intelRdt": {"closID": "a", "schemata": ["a"]},
            "resources": {
                "devices": [{"allow": true, "type": "c", "major": 1, "minor": 1, "access": "r"}],
                "memory": {"limit": 1, "swap": 1, "swappiness": 1, "disableOOMKiller": true},
                "cpu": {"shares": 1, "quota": 1, "period": 1000, "burst": 1, "cpus": "0", "idle": 0},
                "pids": {"limit": 1},
                "blockIO": {
                    "weight": 10,
                    "weightDevice": [{"major": 1, "minor": 1, "weight": 10}],
                    "throttleReadBpsDevice": throttle, "throttleWriteIOPSDevice": throttle,
                },
                "hugepageLimits": [{"pageSize": "2MB", "limit": 1}],
                "network": {"classID": 1, "priorities": [{"name": "a", "priority": 1}]},
                "rdma": {"a": {"hcaHandles": 1}},
                "unified": {"memory.high": "1"},
            },
        },
    })
}
