//! Callers without root's rights: plain users, and root of a user namespace that somebody else made.

use super::*;

/// Root where an engine of a plain user calls us: its own id and a range, and the cgroups of somebody else.
fn root_of_a_user_namespace(mut case: Case, ids: &[IdRange], denies_setgroups: bool) -> Case {
    let own = UserNamespace { uids: ids.to_vec(), gids: ids.to_vec(), denies_setgroups };
    case.host.credentials = Credentials { user_namespace: Some(own), ..root() };
    case.host.cgroup_rights = CgroupRights::None;
    case
}

const SINGLE: &[IdRange] = &[IdRange { first: 0, size: 1 }];
const ALL_IDS: &[IdRange] = &[IdRange { first: 0, size: 1 }, IdRange { first: 1, size: 65_536 }];

fn sets_groups(plan: &Plan) -> bool {
    plan.init.iter().any(|step| matches!(step.op, OwnedOp::SetUser { set_groups: true, .. }))
}

#[test]
fn in_the_user_namespace_of_an_engine_nothing_is_asked_that_only_the_machines_root_may() {
    let plan = root_of_a_user_namespace(Case::default(), ALL_IDS, false).plan().unwrap();
    assert!(!names(&plan).contains(&"DeviceNode"), "devices are bound");
    assert_eq!(plan.cgroup, None);
    assert!(!plan.host.iter().any(|step| matches!(step.op, HostOp::ApplyDeviceRules { .. })));
    assert!(sets_groups(&plan));
}

#[test]
fn ids_that_the_callers_user_namespace_lacks_are_refused() {
    let user = json!({"uid": 5, "gid": 0, "additionalGids": [7]});
    let case = root_of_a_user_namespace(Case::default().set("/process/user", user), SINGLE, false);
    let lacks =
        "is not in the user namespace of the runtime, and linux.namespaces has none of the container's own";
    let expected = [
        format!("process.user.uid: 5 {lacks}"),
        format!("process.user.additionalGids[0]: 7 {lacks}"),
        format!("mounts[2].options[5]: cannot specify gid=5 mount option: 5 {lacks}"),
    ];
    assert_eq!(case.problems(), expected);
    let nested = root_of_a_user_namespace(Case::default().user_namespace(), ALL_IDS, false);
    let lacks = "100000+65536 is not in the user namespace of the runtime, which has 0+1, 1+65536";
    let expected = ["uid", "gid"].map(|kind| format!("linux.{kind}Mappings[0].hostID: {lacks}"));
    assert_eq!(nested.problems(), expected);
}

#[test]
fn groups_are_left_alone_where_setgroups_is_denied() {
    let denied = |case| root_of_a_user_namespace(case, ALL_IDS, true);
    assert!(!sets_groups(&denied(Case::default()).plan().unwrap()));
    let map = json!([{"containerID": 0, "hostID": 1, "size": 100}]);
    let nested = Case::default()
        .namespace("user", None)
        .set("/linux/uidMappings", map.clone())
        .set("/linux/gidMappings", map);
    let plan = denied(nested).plan().unwrap();
    assert!(!sets_groups(&plan), "what is denied stays so in all user namespaces below");
    let more = Case::default().set("/process/user/additionalGids", json!([7]));
    let expected =
        ["process.user.additionalGids[0]: cannot set any additional groups in a rootless container"];
    assert_eq!(denied(more).problems(), expected);
}

#[test]
fn without_a_cgroup_limits_are_refused_and_a_path_has_no_effect() {
    let without = |case: Case| Case { options: CreateOptions::new().without_cgroup(true), ..case };
    let plan = without(Case::default().set("/linux/cgroupsPath", json!("/a/b"))).plan().unwrap();
    assert!(plan.cgroup.is_none());
    assert!(
        plan.warnings.iter().any(|warning| warning.config_path == "linux.cgroupsPath"),
        "{:?}",
        plan.warnings
    );
    let limited = without(Case::default().set("/linux/resources", json!({"pids": {"limit": 5}})));
    let expected = ["linux.resources: cannot be kept to without a cgroup (--cgroup-manager disabled)"];
    assert_eq!(limited.problems(), expected);
}

#[test]
fn a_cgroup_is_made_where_one_is_delegated() {
    let limits = json!({"pids": {"limit": 5}});
    let plan = |rights, has_limits: bool, for_limits_only: bool| {
        let mut case = Case::default().plain_user();
        if has_limits {
            case = case.set("/linux/resources", limits.clone());
        }
        if for_limits_only {
            case.options = case.options.cgroup_for_limits_only();
        }
        case.host.cgroup_rights = rights;
        case.plan().map(|plan| plan.cgroup.and_then(|cgroup| cgroup.dirs.v2()))
    };
    let beside = Some(PathBuf::from("/sys/fs/cgroup/test"));
    let below = Some(PathBuf::from("/sys/fs/cgroup/user.slice/test"));
    for (rights, has_limits, for_limits_only, expected) in [
        (CgroupRights::Full, false, false, &beside),
        (CgroupRights::Full, true, true, &beside),
        (CgroupRights::Full, false, true, &None),
        (CgroupRights::BelowOwn, false, false, &below),
        (CgroupRights::BelowOwn, true, false, &below),
        (CgroupRights::None, false, false, &None),
    ] {
        let seen = plan(rights, has_limits, for_limits_only).unwrap();
        assert_eq!(&seen, expected, "{rights:?}, limits: {has_limits}, for them only: {for_limits_only}");
    }
    let refused = plan(CgroupRights::None, true, false).unwrap_err();
    let words = "linux.resources: rootless needs no limits + no cgrouppath when no permission is granted for cgroups: \
                 none is delegated to uid 1000 (systemd: Delegate=yes)";
    assert_eq!(refused.problems().iter().map(ToString::to_string).collect::<Vec<_>>(), [words]);
}
