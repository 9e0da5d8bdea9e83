//! Namespaces, ids and cgroups in whole configurations.

use super::*;

#[test]
fn placement_follows_layout_and_joins() {
    for (case, expected) in [
        (Case::default(), Placement::BornIn),
        (Case::default().user_namespace(), Placement::BornIn),
        (Case::default().namespace("network", Some(true)), Placement::BornIn),
        (Case::default().namespace("pid", Some(true)), Placement::Moved),
        (Case::default().namespace("cgroup", Some(true)), Placement::Moved),
        (Case::default().namespace("user", Some(false)).namespace("network", None), Placement::Moved),
    ] {
        let namespaces = case.config["linux"]["namespaces"].clone();
        assert_eq!(case.plan().unwrap().cgroup.unwrap().placement, expected, "{namespaces}");
    }
    let mut case = Case::default();
    case.host.cgroups = Some(hybrid());
    assert_eq!(case.plan().unwrap().cgroup.unwrap().placement, Placement::Moved);
}

#[test]
fn a_joined_pid_namespace_is_entered_without_anything_of_the_host() {
    let plan = Case::default().namespace("pid", Some(true)).plan().unwrap();
    let clone = place(&plan, |op| matches!(op, OwnedOp::Clone { .. }));
    let join = place(&plan, |op| matches!(op, OwnedOp::JoinNamespace { kind: flags::PID, .. }));
    let capabilities = place(&plan, |op| matches!(op, OwnedOp::Capabilities { .. }));
    let pivot = place(&plan, |op| matches!(op, OwnedOp::PivotRoot {}));
    assert!(join < pivot && pivot < capabilities && capabilities < clone);
    assert_eq!(plan.init[clone].op, OwnedOp::Clone { namespaces: 0, cgroup: Slot::NONE });
    assert_eq!(plan.init[clone + 1].op, OwnedOp::NewSession {});
    assert_eq!(plan.init[clone + 2].op, OwnedOp::ControllingTerminal {});
    let slot = Slot(0);
    assert!(plan.init.iter().any(
        |step| matches!(&step.op, OwnedOp::NewMount { fs_type, pid_namespace, .. } if &**fs_type == c"proc" && *pid_namespace == slot)
    ));
    let unshared = place(&plan, |op| matches!(op, OwnedOp::Unshare { .. }));
    assert!(
        matches!(plan.init[unshared].op, OwnedOp::Unshare { flags } if flags & flags::MOUNT != 0 && flags & flags::PID == 0)
    );
}

#[test]
fn an_old_kernel_cannot_show_a_joined_pid_namespace() {
    let mut case = Case::default().namespace("pid", Some(true));
    case.host.kernel.version = KernelVersion(6, 12);
    let problems = case.problems();
    assert!(problems[0].starts_with("mounts[0]: proc of the joined pid namespace"), "{problems:?}");
}

#[test]
fn an_old_kernel_shows_the_proc_that_members_of_the_pid_namespace_have() {
    let mut case = Case::default().namespace("pid", Some(true));
    case.members_mounts.push(JoinedNamespace {
        index: 0,
        kind: flags::MOUNT,
        path: "/proc/7/ns/mnt".into(),
        fd: None,
        is_own: false,
        owned_by_callers_user_namespace: true,
    });
    case.host.kernel.version = KernelVersion(6, 12);
    let plan = case.plan().unwrap();
    let bound = place(&plan, |op| {
        matches!(op, OwnedOp::BindProc { mount_namespace: Slot(1), pid_namespace: Slot(0), .. })
    });
    let closed = place(&plan, |op| *op == OwnedOp::CloseSlot { slot: Slot(1) });
    let pivot = place(&plan, |op| matches!(op, OwnedOp::PivotRoot {}));
    assert!(bound < closed && closed < pivot, "nothing of it is left when the pid namespace is entered");
    assert!(
        !plan
            .init
            .iter()
            .any(|step| matches!(&step.op, OwnedOp::NewMount { fs_type, .. } if &**fs_type == c"proc"))
    );
}

#[test]
fn namespaces_are_joined_around_the_user_namespace() {
    let case = Case::default()
        .namespace("network", Some(true))
        .namespace("user", Some(false))
        .namespace("ipc", Some(false))
        .namespace("pid", Some(false));
    let plan = case.plan().unwrap();
    let joined: Vec<u32> = plan
        .init
        .iter()
        .filter_map(|step| match step.op {
            OwnedOp::JoinNamespace { kind, .. } => Some(kind),
            _ => None,
        })
        .collect();
    assert_eq!(joined[..2], [flags::NETWORK, flags::USER]);
    assert_eq!(joined.len(), 4);
    let clone = place(&plan, |op| matches!(op, OwnedOp::Clone { .. }));
    assert_eq!(clone, 5, "members of the container's own user namespace cannot trace init: no late join");
}

#[test]
fn impossible_namespaces_are_refused_by_name() {
    let rows: [(Case, &str); 4] = [
        (
            Case::default().user_namespace().namespace("network", Some(false)),
            "the network namespace belongs to another user namespace",
        ),
        (Case::default().user_namespace().namespace("pid", Some(true)), "together with a new user namespace"),
        (Case::default().set("/linux/namespaces", json!([{"type": "pid"}])), "without a mount namespace"),
        (
            {
                let mut case = Case::default();
                case.host.credentials = user();
                case
            },
            "rootless container requires user namespaces",
        ),
    ];
    for (case, expected) in rows {
        let problems = case.problems();
        assert!(problems[0].contains(expected), "{expected}: {problems:?}");
    }
}

#[test]
fn a_plain_user_is_closed_after_the_maps() {
    let plan = Case::default().plain_user().plan().unwrap();
    let order = names(&plan);
    assert_eq!(order[..4], ["Clone", "Barrier", "BecomeRoot", "SetDumpable"]);
    assert!(matches!(plan.init[2].op, OwnedOp::BecomeRoot { drop_groups: false }));
    assert!(plan.init.iter().any(|step| matches!(step.op, OwnedOp::SetUser { set_groups: false, .. })));
    assert!(plan.host.iter().any(|step| matches!(step.op, HostOp::WriteIdMaps { deny_setgroups: true, .. })));
    assert_eq!(plan.cgroup, None, "nothing asks for a cgroup");
    let steps = 0..u32::try_from(plan.init.len()).unwrap();
    assert!(
        steps.into_iter().all(|step| plan.tree_op(step).is_none()),
        "a plain user's init has the same rights"
    );
}

#[test]
fn a_plain_user_has_ranges_written_by_the_tools() {
    let map = |lines: &[[u32; 3]]| -> Value {
        lines
            .iter()
            .map(|[inside, host, size]| json!({"containerID": inside, "hostID": host, "size": size}))
            .collect()
    };
    let (own, ranges) = (map(&[[0, 1000, 1]]), map(&[[0, 1000, 1], [1, 100_000, 65_536]]));
    let another = map(&[[0, 1001, 1]]);
    for (uids, gids, expected) in [
        (&own, &own, (MapWriter::Host, MapWriter::Host, true)),
        (&ranges, &ranges, (MapWriter::Tool, MapWriter::Tool, false)),
        (&ranges, &own, (MapWriter::Tool, MapWriter::Host, true)),
        (&another, &another, (MapWriter::Tool, MapWriter::Tool, false)),
    ] {
        let case = Case::default().plain_user().set("/linux/uidMappings", uids.clone());
        let plan = case.set("/linux/gidMappings", gids.clone()).plan().unwrap();
        let written = plan.host.iter().find_map(|step| match step.op {
            HostOp::WriteIdMaps { uids_by, gids_by, deny_setgroups, .. } => {
                Some((uids_by, gids_by, deny_setgroups))
            }
            _ => None,
        });
        assert_eq!(written, Some(expected), "{uids} {gids}");
        let sets_groups =
            plan.init.iter().any(|step| matches!(step.op, OwnedOp::SetUser { set_groups: true, .. }));
        assert_eq!(sets_groups, !expected.2, "{uids} {gids}");
    }
    let root = Case::default().user_namespace().plan().unwrap();
    let by_root = |step: &HostStep| {
        matches!(step.op, HostOp::WriteIdMaps { uids_by: MapWriter::Host, deny_setgroups: false, .. })
    };
    assert!(root.host.iter().any(by_root));
}

#[test]
fn a_plain_user_who_asks_for_limits_gets_a_cgroup_without_device_rules() {
    let mut case = Case::default().plain_user().set("/linux/resources", json!({"pids": {"limit": 5}}));
    case.host.cgroup_rights = CgroupRights::Full;
    let plan = case.plan().unwrap();
    assert!(plan.cgroup.is_some());
    assert!(plan.host.iter().any(|step| matches!(step.op, HostOp::ApplyLimits { .. })));
    assert!(!plan.host.iter().any(|step| matches!(step.op, HostOp::ApplyDeviceRules { .. })));
}

#[test]
fn ids_that_do_not_exist_are_refused() {
    let user = json!({"uid": 5, "gid": 0, "additionalGids": [7]});
    let problems = Case::default().plain_user().set("/process/user", user).problems();
    let expected = [
        "process.user.uid: 5 is not in linux.uidMappings",
        "process.user.additionalGids[0]: cannot set any additional groups in a rootless container",
    ];
    assert_eq!(problems, expected);
    let devpts = Case::default().plain_user().set("/mounts/2/options", json!(["gid=5"])).problems();
    assert_eq!(
        devpts,
        ["mounts[2].options[0]: cannot specify gid=5 mount option: 5 is not in linux.gidMappings"]
    );
}

#[test]
fn a_new_cgroup_namespace_is_made_where_init_was_placed() {
    let plan = Case::default().namespace("cgroup", None).plan().unwrap();
    let barrier = place(&plan, |op| matches!(op, OwnedOp::Barrier { barrier: 1 }));
    let unshare = place(&plan, |op| matches!(op, OwnedOp::Unshare { flags: flags::CGROUP }));
    assert!(barrier < unshare);
    assert!(plan.init.iter().all(
        |step| !matches!(step.op, OwnedOp::Clone { namespaces, .. } if namespaces & flags::CGROUP != 0)
    ));
}

#[test]
fn a_writable_cgroup_belongs_to_the_containers_root() {
    for (options, expected) in [(json!(["rw"]), true), (json!(["ro"]), false)] {
        let case = Case::default()
            .user_namespace()
            .namespace("cgroup", None)
            .set("/mounts", json!([{"destination": "/sys/fs/cgroup", "type": "cgroup", "options": options}]));
        let plan = case.plan().unwrap();
        let delegated = plan.host.iter().any(|step| step.op == HostOp::DelegateCgroup { uid: 100_000 });
        assert_eq!(delegated, expected, "{options}");
    }
}

#[test]
fn a_time_namespace_is_set_by_who_may() {
    let offsets = json!({"boottime": {"secs": 5}, "monotonic": {"secs": -1, "nanosecs": 7}});
    let set =
        |case: Case| case.namespace("time", None).set("/linux/timeOffsets", offsets.clone()).plan().unwrap();
    let is_offsets = |op: &OwnedOp| matches!(op, OwnedOp::TimeOffsets { .. });
    let is_clone = |op: &OwnedOp| matches!(op, OwnedOp::Clone { .. });
    let plan = set(Case::default());
    assert!(place(&plan, is_offsets) < place(&plan, is_clone));
    let at = place(&plan, is_offsets);
    assert_eq!(
        plan.init[at].op,
        OwnedOp::TimeOffsets { offsets: c"boottime 5 0\nmonotonic -1 7\n".to_owned() }
    );
    let plan = set(Case::default().plain_user());
    assert!(place(&plan, is_offsets) > place(&plan, is_clone));
    assert!(place(&plan, is_offsets) < place(&plan, |op| matches!(op, OwnedOp::SetDumpable { .. })));
}

#[test]
fn an_ipc_namespace_belongs_to_the_containers_root() {
    for (case, in_clone) in [
        (Case::default(), true),
        (Case::default().plain_user(), true),
        (Case::default().user_namespace(), false),
        (Case::default().user_namespace().namespace("cgroup", None), false),
    ] {
        let plan = case.plan().unwrap();
        let clone = place(&plan, |op| matches!(op, OwnedOp::Clone { .. }));
        let OwnedOp::Clone { namespaces, .. } = plan.init[clone].op else { unreachable!() };
        assert_eq!(namespaces & flags::IPC != 0, in_clone);
        if !in_clone {
            let root = place(&plan, |op| matches!(op, OwnedOp::BecomeRoot { .. }));
            let made = place(&plan, |op| matches!(op, OwnedOp::Unshare { flags } if flags & flags::IPC != 0));
            assert_eq!(made, root + 1);
        }
    }
}

#[test]
fn mappings_beside_a_path_are_those_of_the_namespace() {
    let map = |first: u32| json!([{"containerID": 0, "hostID": first, "size": 65536}]);
    let maps =
        || IdMaps { uids: vec![[0, 100_000, 65536]], gids: vec![[0, 200_000, 65536]], deny_setgroups: false };
    for (uids, gids, known, expected) in [
        (map(100_000), map(200_000), true, &[][..]),
        (map(100_000), map(200_000), false, &[]),
        (json!([]), json!([]), true, &[]),
        (map(0), map(200_000), true, &["linux.uidMappings"]),
        (map(0), map(0), true, &["linux.uidMappings", "linux.gidMappings"]),
    ] {
        let case = Case::default().namespace("user", Some(true));
        let mut case = case.set("/linux/uidMappings", uids.clone()).set("/linux/gidMappings", gids);
        case.joined_maps = known.then(maps);
        let problems = case.plan().err().map(|error| error.problems().to_vec()).unwrap_or_default();
        let paths: Vec<_> = problems.iter().map(|problem| problem.config_path.as_str()).collect();
        assert_eq!(paths, expected, "{uids} {known}");
    }
}

#[test]
fn ids_outside_of_a_joined_namespace_are_told() {
    let mut case =
        Case::default().namespace("user", Some(true)).set("/process/user", json!({"uid": 70000, "gid": 0}));
    case.joined_maps =
        Some(IdMaps { uids: vec![[0, 1, 65536]], gids: vec![[0, 1, 65536]], deny_setgroups: false });
    let error = case.plan().unwrap_err();
    assert_eq!(error.problems()[0].config_path, "process.user.uid");
}

// spec: linux.intelrdt.unset-no-touch
#[test]
fn a_resctrl_group_is_made_before_the_launcher_and_joined_at_once() {
    let asks = || Case::default().set("/linux/intelRdt", json!({"closID": "gold"}));
    let error = asks().plan().unwrap_err();
    assert_eq!(
        error.problems()[0].to_string(),
        "linux.intelRdt: no resctrl file system is mounted on this host"
    );
    let mut case = asks();
    case.host.resctrl = Some("/sys/fs/resctrl".into());
    let plan = case.plan().unwrap();
    let at = |is_it: fn(&HostOp) -> bool| plan.host.iter().position(|step| is_it(&step.op));
    let made = at(|op| matches!(op, HostOp::MakeRdtGroup { .. }));
    assert!(made.is_some() && made < at(|op| *op == HostOp::Launch));
    assert!(at(|op| *op == HostOp::JoinRdtGroup) > at(|op| *op == HostOp::Launch));
    let mut without = Case::default();
    without.host.resctrl = Some("/sys/fs/resctrl".into());
    assert!(without.plan().unwrap().host.iter().all(|step| !matches!(step.op, HostOp::JoinRdtGroup)));
}
