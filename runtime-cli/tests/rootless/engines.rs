//! Engines of plain users play root in a user namespace of their own and call the runtime in it, with the configuration
//! that root's containers have.

use std::{collections::BTreeMap, fs, path::PathBuf, process::Command};

use oci_conformance::{Bundle, BundleBuilder, host, skip_unless};
use serde_json::{Value, json};

use crate::{
    ranges::ranged,
    users::{User, users},
};

/// What Podman wrote, to run the probe: no seccomp, and no cgroup, which it leaves away for plain users.
fn podman(user: &User) -> Bundle {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../runtime-core/tests/fixtures/engines/podman-4.3.json");
    let mut spec: Value = serde_json::from_str(&fs::read_to_string(path).expect("fixture")).expect("JSON");
    spec["process"]["args"] = json!(["/bin/probe", "facts"]);
    let linux = spec["linux"].as_object_mut().expect("linux");
    linux.remove("seccomp");
    linux.remove("cgroupsPath");
    linux["resources"].as_object_mut().expect("resources").remove("pids");
    spec.as_object_mut().expect("an object").remove("hooks");
    let sources: Vec<String> = spec["mounts"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|mount| Some(mount["source"].as_str()?.strip_prefix("@BUNDLE@/")?.to_owned()))
        .collect();
    let builder = BundleBuilder::from_spec(spec).name("rootless");
    let builder = sources.iter().fold(builder, |builder, source| match source.as_str() {
        "files/shm" => builder.folder(source),
        _ => builder.file(source, "x\n"),
    });
    let bundle = builder.build();
    if host::is_root() {
        // Mount points are made in it.
        let given = Command::new("chown").args(["-R", &user.uid.to_string()]).arg(bundle.path()).status();
        assert!(given.is_ok_and(|status| status.success()), "chown");
    }
    bundle
}

/// The words that make an engine's user namespace: own id and range.
const NAMESPACE: &[&str] = &["unshare", "--map-root-user", "--map-auto", "--mount", "--"];

#[test]
fn root_of_a_user_namespace_runs_what_podman_writes() {
    let Some(ranged) = ranged() else { return };
    let user = User::within(ranged.user.uid, NAMESPACE);
    let can_map =
        ranged.user.in_its_name(NAMESPACE).arg("true").status().is_ok_and(|status| status.success());
    skip_unless!(can_map, "unshare --map-auto (util-linux 2.38)");
    let bundle = podman(&user);
    let container = user.runtime.container(&bundle);
    let facts = container.run_facts();
    assert_eq!(facts.at("/uid_map/0"), &json!([0, user.uid, 1]));
    assert_eq!((facts.at("/uid/effective"), facts.at("/pid")), (&json!(0), &json!(1)));
    let mounts: BTreeMap<String, String> = facts
        .at("/mounts")
        .as_array()
        .into_iter()
        .flatten()
        .map(|mount| (mount["point"].as_str().unwrap_or("").to_owned(), mount["type"].to_string()))
        .collect();
    for (point, kind) in [
        ("/proc", "proc"),
        ("/sys", "sysfs"),
        ("/dev", "tmpfs"),
        ("/dev/pts", "devpts"),
        ("/dev/mqueue", "mqueue"),
    ] {
        assert_eq!(mounts.get(point), Some(&format!("\"{kind}\"")), "{point} in {mounts:?}");
    }
    assert!(mounts.contains_key("/dev/null"), "devices are bound: {mounts:?}");
    assert_eq!(container.leftovers(), Vec::<String>::new());
}

/// With the own id alone there is neither a group `tty` nor the right to set groups.
#[test]
fn ids_that_the_engines_user_namespace_lacks_are_named() {
    for user in users() {
        let within = User::within(user.uid, &["unshare", "--map-root-user", "--mount", "--"]);
        let bundle = podman(&user);
        let container = within.runtime.container(&bundle);
        let failed = container.create(&[]).failure(1);
        assert!(failed.contains("cannot specify gid=5 mount option"), "{failed}");
        let mut bundle = podman(&user);
        bundle.edit(|spec| {
            for mount in spec["mounts"].as_array_mut().into_iter().flatten() {
                if let Some(options) = mount["options"].as_array_mut() {
                    options.retain(|option| option != "gid=5");
                }
            }
        });
        let facts = within.runtime.container(&bundle).run_facts();
        assert_eq!(facts.at("/setgroups"), "deny");
        assert_eq!(facts.at("/uid_map"), &json!([[0, user.uid, 1]]));
    }
}
