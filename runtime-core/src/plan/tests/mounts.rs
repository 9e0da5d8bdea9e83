//! Mounts, devices and the root in whole configurations.

use super::*;

#[test]
fn a_user_namespace_gets_trees_from_the_host_and_no_mknod() {
    let mounts = json!([{"destination": "/data", "source": "/srv", "options": ["rbind", "ro"]}]);
    let plan = Case::default().user_namespace().set("/mounts", mounts).plan().unwrap();
    let all = names(&plan);
    assert!(!all.contains(&"DeviceNode") && all.contains(&"BecomeRoot"));
    let trees: Vec<String> = (0..plan.init.len())
        .filter_map(|step| match plan.tree_op(u32::try_from(step).unwrap())? {
            OwnedOp::SendTree { source, recursive, .. } => Some(format!("{source:?} {recursive}")),
            _ => None,
        })
        .collect();
    // Where init may not open them itself. Devices it may.
    assert_eq!(trees, [r#""/bundle/rootfs" true"#, r#""/srv" true"#]);
}

#[test]
fn sysfs_and_proc_of_others_are_bound() {
    let mut case = Case::default().user_namespace();
    let list = case.config.pointer_mut("/linux/namespaces").unwrap().as_array_mut().unwrap();
    list.retain(|namespace| namespace["type"] != "network" && namespace["type"] != "pid");
    let plan = case.plan().unwrap();
    for (wanted, flags) in [(c"/sys", 1), (c"/proc", 0)] {
        assert!(
            plan.init.iter().any(|step| matches!(&step.op,
                OwnedOp::BindMount { source, recursive: true, set_recursive, .. }
                if **source == *wanted && *set_recursive == flags)),
            "{wanted:?}"
        );
    }
}

#[test]
fn the_cgroup_mount_follows_layout_and_namespace() {
    for (layout, has_namespace, expected) in [
        ("unified", false, vec!["bind /sys/fs/cgroup on /sys/fs/cgroup"]),
        ("unified", true, vec!["mount cgroup2 on /sys/fs/cgroup"]),
        (
            "hybrid",
            false,
            vec![
                "mount tmpfs on /sys/fs/cgroup",
                "bind /sys/fs/cgroup/cpu,cpuacct/test on /sys/fs/cgroup/cpu,cpuacct",
                "link /sys/fs/cgroup/cpu to cpu,cpuacct",
                "link /sys/fs/cgroup/cpuacct to cpu,cpuacct",
                "bind /sys/fs/cgroup/memory/test",
                "bind /sys/fs/cgroup/devices/test",
                "bind /sys/fs/cgroup/systemd/test",
                "remount /sys/fs/cgroup with ro",
            ],
        ),
        (
            "hybrid",
            true,
            vec![
                "mount tmpfs on /sys/fs/cgroup",
                "mount cgroup on /sys/fs/cgroup/cpu,cpuacct",
                "link /sys/fs/cgroup/cpu to cpu,cpuacct",
                "link /sys/fs/cgroup/cpuacct to cpu,cpuacct",
                "mount cgroup on /sys/fs/cgroup/memory",
                "mount cgroup on /sys/fs/cgroup/devices",
                "mount cgroup on /sys/fs/cgroup/systemd",
                "remount /sys/fs/cgroup with ro",
            ],
        ),
    ] {
        let mut case = Case::default();
        case.host.cgroups = Some(if layout == "unified" { unified() } else { hybrid() });
        if has_namespace {
            case = case.namespace("cgroup", None);
        }
        let plan = case.plan().unwrap();
        let seen: Vec<String> =
            plan.init.iter().filter(|step| describe(step).contains("/sys/fs/cgroup")).map(describe).collect();
        assert_eq!(seen.len(), expected.len(), "{layout} {has_namespace}: {seen:?}");
        for (seen, expected) in seen.iter().zip(expected) {
            assert!(seen.starts_with(expected), "{layout} {has_namespace}: {seen:?}, expected {expected:?}");
        }
    }
}

#[test]
fn devices_replace_defaults_and_leave_a_bound_dev_alone() {
    let devices = json!([
        {"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 384},
        {"path": "/dev/ptmx", "type": "c", "major": 5, "minor": 2},
        {"path": "/opt/pipe", "type": "p"},
    ]);
    let case = Case::default().set("/linux/devices", devices.clone());
    let nodes = |plan: &Plan| -> Vec<String> {
        let made = plan.init.iter().filter(|step| matches!(step.op, OwnedOp::DeviceNode { .. }));
        made.map(describe).collect()
    };
    let made = nodes(&case.plan().unwrap());
    assert_eq!(made.len(), 7, "{made:?}");
    assert!(made.contains(&"make /dev/null as char device 1:3, mode 0600, owner 0:0".to_owned()), "{made:?}");
    assert!(made.contains(&"make /opt/pipe as FIFO, mode 0666, owner 0:0".to_owned()), "{made:?}");
    let bound = Case::default()
        .set("/linux/devices", devices)
        .set("/mounts", json!([{"destination": "/dev/", "source": "/dev", "options": ["rbind"]}]));
    let plan = bound.plan().unwrap();
    assert_eq!(nodes(&plan), ["make /opt/pipe as FIFO, mode 0666, owner 0:0"]);
    assert!(!names(&plan).contains(&"Symlink"));
}

#[test]
fn a_readonly_tmpfs_is_made_so_at_the_end() {
    let mounts = json!([
        {"destination": "/data", "type": "tmpfs", "options": ["ro", "size=1m"]},
        {"destination": "/data/in", "source": "/srv", "options": ["bind"]},
    ]);
    let plan = Case::default().set("/mounts", mounts).plan().unwrap();
    let mount = place(&plan, |op| matches!(op, OwnedOp::NewMount { .. }));
    assert!(
        matches!(&plan.init[mount].op, OwnedOp::NewMount { attributes: 0, options, inherit_mode: true, .. } if options.len() == 1)
    );
    let remount = place(&plan, |op| matches!(op, OwnedOp::Remount { set: 1, .. }));
    assert!(remount > place(&plan, |op| matches!(op, OwnedOp::PivotRoot {})));
}

#[test]
fn the_first_mount_may_be_the_root() {
    let mounts = json!([
        {"destination": "/", "type": "tmpfs", "options": ["mode=755", "tmpcopyup"]},
        {"destination": "/proc", "type": "proc"},
    ]);
    let plan = Case::default().set("/mounts", mounts).plan().unwrap();
    let attached = place(&plan, |op| matches!(op, OwnedOp::AttachRootfs { .. }));
    let OwnedOp::NewMount { target, copy_up, .. } = &plan.init[attached + 1].op else { panic!("{plan:?}") };
    assert_eq!((target.to_str(), *copy_up), (Ok("/"), true));
    assert!(place(&plan, |op| matches!(op, OwnedOp::PivotRoot {})) > attached);
}

#[test]
fn bad_mounts_are_told_all_at_once() {
    let map = json!([{"containerID": 0, "hostID": 7, "size": 1}]);
    let mounts = json!([
        {"destination": "/", "type": "tmpfs", "options": ["remount"]},
        {"destination": "/a", "source": "/srv", "options": ["bind", "size=1m"]},
        {"destination": "/b", "options": ["bind"]},
        {"destination": "/c"},
        {"destination": "/d", "source": "/srv", "options": ["bind", "idmap"]},
        {"destination": "/e", "type": "overlay", "options": [format!("lowerdir={}", "/x".repeat(2500))]},
        {"destination": "/f", "type": "tmpfs", "options": ["tmpcopyup", format!("x={}", "x".repeat(256))]},
        {"destination": "/g", "source": "/srv", "options": ["bind", "copy-symlink", "dest-nofollow"]},
        {"destination": "/h", "type": "cgroup", "uidMappings": map, "gidMappings": map},
        {"destination": "/i", "type": "tmpfs", "options": ["ridmap=uids=0-1-1"]},
        {"destination": "/j", "options": ["remount", "bind", "size=1m"]},
        {"destination": "/", "type": "tmpfs"},
    ]);
    let problems = Case::default().set("/mounts", mounts).problems();
    let paths: Vec<&str> = problems.iter().map(|problem| problem.split(": ").next().unwrap()).collect();
    let expected = [
        "mounts[4].options[1]",
        "mounts[9].options[0]",
        "mounts[0].destination",
        "mounts[1].options[1]",
        "mounts[2].source",
        "mounts[3].type",
        "mounts[5].options",
        "mounts[6].options",
        "mounts[7].options",
        "mounts[8]",
        "mounts[10].options[2]",
        "mounts[11].destination",
    ];
    assert_eq!(paths, expected, "{problems:?}");
}

#[test]
fn the_root_gets_its_propagation() {
    const REC: u32 = 0x4000;
    for (word, before, after) in [
        (None, 0x8_0000 | REC, None),
        (Some("rslave"), 0x8_0000 | REC, Some(0x8_0000)),
        (Some("shared"), 0x10_0000, Some(0x10_0000)),
        (Some("rshared"), 0x10_0000 | REC, Some(0x10_0000)),
        (Some("rprivate"), 0x4_0000 | REC, Some(0x4_0000)),
        (Some("unbindable"), 0x4_0000 | REC, Some(0x2_0000)),
    ] {
        let plan = Case::default().set("/linux/rootfsPropagation", json!(word)).plan().unwrap();
        assert!(
            plan.init.iter().any(|step| step.op == OwnedOp::RootPropagation { flags: before }),
            "{word:?}"
        );
        let seen = plan.init.iter().rev().find_map(|step| match step.op {
            OwnedOp::RootfsPropagation { flags } => Some(flags),
            _ => None,
        });
        assert_eq!(seen, after, "{word:?}");
    }
    let problems = Case::default().set("/linux/rootfsPropagation", json!("loud")).problems();
    assert!(problems[0].starts_with("linux.rootfsPropagation: "), "{problems:?}");
}
