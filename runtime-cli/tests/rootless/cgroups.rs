//! Cgroups of a plain user: none where none is delegated, the delegated one where there is one.

use oci_conformance::{host, leftovers::remove_cgroups, skip_unless};
use serde_json::json;

use crate::users::{User, users};

#[test]
fn limits_without_a_delegated_cgroup_are_refused_by_name() {
    for user in users() {
        let bundle =
            user.bundle(&["true"]).set("/linux/resources", json!({ "pids": { "limit": 9 } })).build();
        let container = user.runtime.container(&bundle);
        let failed = container.create(&[]).failure(1);
        for words in
            ["linux.resources", "rootless needs no limits + no cgrouppath when no permission is granted"]
        {
            assert!(failed.contains(words), "{words:?} is not in {failed}");
        }
        assert_eq!(container.leftovers(), Vec::<String>::new());
    }
}

#[test]
fn a_cgroup_by_path_that_cannot_be_made_is_an_error() {
    for user in users() {
        let path = format!("/{}", host::unique("not-ours"));
        let bundle = user.bundle(&["true"]).set("/linux/cgroupsPath", path).build();
        let container = user.runtime.container(&bundle);
        let failed = container.create(&[]).failure(1);
        assert!(failed.contains("unable to apply cgroup configuration"), "{failed}");
        assert!(failed.contains("ermission denied"), "{failed}");
        assert_eq!(container.leftovers(), Vec::<String>::new());
    }
}

/// The container's cgroup for a caller who is in `DELEGATED/own`, where these files belong to it.
fn cgroup_of(name: &str, given: &str) -> String {
    let uid = 12_345;
    let enter = format!(
        "umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && cd /sys/fs/cgroup && mkdir -p {name}/own \
         && chown {uid} {given} && echo $$ > {name}/own/cgroup.procs && cd / && exec \"$@\""
    );
    let mut user = User::new(uid);
    user.runtime = user.runtime.wrapped_in(["unshare", "-m", "sh", "-c", &enter, "sh"].map(str::to_owned));
    let bundle = user.bundle(&["facts"]).build();
    let container = user.runtime.container(&bundle);
    let facts = container.run_facts();
    assert_eq!(container.leftovers(), Vec::<String>::new());
    let lines = facts.at("/cgroup").as_array().cloned().unwrap_or_default();
    let v2 = lines.iter().filter_map(|line| line.as_str()?.strip_prefix("0::")).next().expect("a v2 line");
    v2.replace(container.id(), "ID")
}

#[test]
fn a_delegated_cgroup_holds_the_container() {
    skip_unless!(host::is_root(), "root, to delegate");
    skip_unless!(host::has_unified_view(), "cgroup v2");
    let name = host::unique("delegated");
    let whole = format!("{name} {name}/cgroup.procs {name}/own {name}/own/cgroup.procs");
    let only_own = format!("{name}/own {name}/own/cgroup.procs");
    let without_move = format!("{name}/own");
    for (given, expected) in [
        (whole, format!("/{name}/ID")),
        (only_own, format!("/{name}/own/ID")),
        // A process could not be moved there.
        (without_move, format!("/{name}/own")),
    ] {
        assert_eq!(cgroup_of(&name, &given), expected, "{given}");
        remove(&name);
    }
}

fn remove(name: &str) {
    let script = format!("rmdir /sys/fs/cgroup/{name}/own /sys/fs/cgroup/{name}");
    let removed = host::unified_view("sh").args(["-c", &script]).status();
    assert!(removed.is_ok_and(|status| status.success()), "{name} is empty");
    remove_cgroups(name);
}
