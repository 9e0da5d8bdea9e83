//! Namespaces joined by path and shared with a container that runs, and user namespaces with mappings of their own.

use std::fs;

use oci_conformance::{Bundle, BundleBuilder, Container, PROBE_PATH, Runtime, host, skip_unless};
use serde_json::{Value, json};

const ORLOP: &str = env!("CARGO_BIN_EXE_orlop");
/// Types of the configuration and their names in /proc/PID/ns.
const SHARED: [(&str, &str); 5] =
    [("network", "net"), ("ipc", "ipc"), ("uts", "uts"), ("cgroup", "cgroup"), ("pid", "pid")];

fn sleeper() -> BundleBuilder {
    Bundle::builder().name("namespaces").args([PROBE_PATH, "sleep"]).namespace("cgroup", None)
}

fn observer() -> BundleBuilder {
    Bundle::builder().name("namespaces").namespace("cgroup", None)
}

fn running<'a>(runtime: &'a Runtime, bundle: &Bundle) -> (Container<'a>, String) {
    let container = runtime.container(bundle);
    drop(container.run(&["--detach"]).success());
    let pid = container.state()["pid"].to_string();
    (container, pid)
}

fn link(pid: &str, name: &str) -> String {
    let path = format!("/proc/{pid}/ns/{name}");
    fs::read_link(&path).unwrap_or_else(|error| panic!("{path}: {error}")).to_string_lossy().into_owned()
}

fn path(pid: &str, name: &str) -> String {
    format!("/proc/{pid}/ns/{name}")
}

fn delete(container: &Container<'_>) {
    drop(container.delete(&["--force"]).success());
    assert_eq!(container.leftovers(), Vec::<String>::new());
}

// spec: linux.namespaces.path.joined linux.namespaces.new linux.namespaces.type.pid linux.namespaces.type.network
// spec: linux.namespaces.type.ipc linux.namespaces.type.uts linux.namespaces.type.cgroup
#[test]
fn each_namespace_can_be_shared_with_a_running_container() {
    skip_unless!(host::is_root(), "root");
    let orlop = Runtime::new(ORLOP);
    let bundle = sleeper().build();
    let (first, pid) = running(&orlop, &bundle);
    for (kind, name) in SHARED {
        let observer = observer().namespace(kind, Some(&path(&pid, name)));
        // A name cannot be given to a namespace that is not the container's own.
        let observer = if kind == "uts" { observer.remove("/hostname") } else { observer };
        let bundle = observer.build();
        let second = orlop.container(&bundle);
        let facts = second.run_facts();
        assert_eq!(facts.at(&format!("/namespaces/{name}")), &json!(link(&pid, name)), "{kind}");
        for (other, other_name) in SHARED.iter().filter(|(other, _)| *other != kind) {
            let seen = facts.at(&format!("/namespaces/{other_name}"));
            assert_ne!(seen, &json!(link(&pid, other_name)), "{other} while {kind} is shared");
            assert_ne!(seen, &json!(link("self", other_name)), "{other} is new");
        }
        assert_eq!(second.leftovers(), Vec::<String>::new(), "{kind}");
    }
    assert_eq!(first.state()["status"], "running");
    delete(&first);
}

#[test]
fn all_namespaces_can_be_shared_at_once() {
    skip_unless!(host::is_root(), "root");
    let orlop = Runtime::new(ORLOP);
    let bundle = sleeper().build();
    let (first, pid) = running(&orlop, &bundle);
    let observer = SHARED.iter().fold(observer().remove("/hostname"), |bundle, (kind, name)| {
        bundle.namespace(kind, Some(&path(&pid, name)))
    });
    let bundle = observer.build();
    let second = orlop.container(&bundle);
    let facts = second.run_facts();
    for (_, name) in SHARED {
        assert_eq!(facts.at(&format!("/namespaces/{name}")), &json!(link(&pid, name)), "{name}");
    }
    assert_eq!(facts.at("/hostname"), "conformance", "that of the first");
    assert_ne!(facts.at("/namespaces/mnt"), &json!(link(&pid, "mnt")));
    assert_eq!(second.leftovers(), Vec::<String>::new());
    delete(&first);
}

// spec: linux.namespaces.absent-inherits
#[test]
fn namespaces_that_are_not_listed_are_those_of_the_runtime() {
    skip_unless!(host::is_root(), "root");
    let orlop = Runtime::new(ORLOP);
    let bundle = Bundle::builder().without_namespace("network").without_namespace("ipc").build();
    let container = orlop.container(&bundle);
    let facts = container.run_facts();
    for name in ["net", "ipc", "cgroup", "user", "time"] {
        assert_eq!(facts.at(&format!("/namespaces/{name}")), &json!(link("self", name)), "{name}");
    }
    assert_eq!(container.leftovers(), Vec::<String>::new());
}

// spec: linux.namespaces.path.wrong-type-error
#[test]
fn a_path_that_is_no_such_namespace_is_refused() {
    skip_unless!(host::is_root(), "root");
    let orlop = Runtime::new(ORLOP);
    for (kind, path) in [
        ("network", "/nonexistent"),
        ("network", "/proc/self/ns/uts"),
        ("ipc", "/proc/self/status"),
        ("user", "/proc/self/ns/mnt"),
    ] {
        let bundle = observer().namespace(kind, Some(path)).build();
        let container = orlop.container(&bundle);
        let failed = container.create(&[]).failure(1);
        assert!(failed.contains(path) || failed.contains("linux.namespaces"), "{kind} {path}: {failed}");
        assert_eq!(container.leftovers(), Vec::<String>::new(), "{kind} {path}");
    }
}

/// uid and gid mappings of several ranges.
fn mapped(bundle: BundleBuilder, ranges: &Value) -> BundleBuilder {
    bundle
        .namespace("user", None)
        .set("/linux/uidMappings", ranges.clone())
        .set("/linux/gidMappings", ranges.clone())
}

fn ranges() -> Value {
    json!([
        { "containerID": 0, "hostID": 100_000, "size": 1000 },
        { "containerID": 1000, "hostID": 300_000, "size": 1 },
        { "containerID": 5000, "hostID": 200_000, "size": 60_000 },
    ])
}

// spec: linux.namespaces.type.user
#[test]
fn a_user_namespace_has_all_ranges_of_its_mappings() {
    skip_unless!(host::is_root(), "root");
    let orlop = Runtime::new(ORLOP);
    let bundle =
        mapped(observer(), &ranges()).set("/process/user", json!({ "uid": 1000, "gid": 5001 })).build();
    let container = orlop.container(&bundle);
    let facts = container.run_facts();
    let map = json!([[0, 100_000, 1000], [1000, 300_000, 1], [5000, 200_000, 60_000]]);
    assert_eq!((facts.at("/uid_map"), facts.at("/gid_map")), (&map, &map));
    assert_eq!((facts.at("/uid/real"), facts.at("/gid/real")), (&json!(1000), &json!(5001)));
    assert_ne!(facts.at("/namespaces/user"), &json!(link("self", "user")));
    assert_eq!(container.leftovers(), Vec::<String>::new());
}

#[test]
fn a_container_of_a_user_namespace_goes_through_its_life() {
    skip_unless!(host::is_root(), "root");
    let orlop = Runtime::new(ORLOP);
    let bundle = mapped(sleeper(), &ranges()).build();
    let container = orlop.container(&bundle);
    drop(container.create(&[]).success());
    drop(container.start().success());
    assert_eq!(container.state()["status"], "running");
    drop(container.kill("KILL").success());
    container.wait();
    drop(container.delete(&[]).success());
    assert_eq!(container.leftovers(), Vec::<String>::new());
}

#[test]
fn a_user_namespace_can_be_joined_with_what_it_owns() {
    skip_unless!(host::is_root(), "root");
    let orlop = Runtime::new(ORLOP);
    let bundle = mapped(sleeper(), &ranges()).build();
    let (first, pid) = running(&orlop, &bundle);
    for shared in
        [&["user"][..], &["user", "net"], &["user", "net", "ipc", "uts"], &["user", "net", "ipc", "pid"]]
    {
        let join = |bundle: BundleBuilder, name: &&str| {
            let kind = if *name == "net" { "network" } else { name };
            bundle.namespace(kind, Some(&path(&pid, name)))
        };
        let bundle = shared.iter().fold(observer(), join);
        let bundle = if shared.contains(&"uts") { bundle.remove("/hostname") } else { bundle }.build();
        let second = orlop.container(&bundle);
        let facts = second.run_facts();
        for name in shared {
            assert_eq!(
                facts.at(&format!("/namespaces/{name}")),
                &json!(link(&pid, name)),
                "{name} of {shared:?}"
            );
        }
        assert_eq!(facts.at("/uid_map/0/1"), &json!(100_000), "{shared:?}");
        assert_eq!(second.leftovers(), Vec::<String>::new(), "{shared:?}");
    }
    delete(&first);
}

#[test]
fn a_container_without_a_pid_namespace_of_its_own_is_killed_whole() {
    skip_unless!(host::is_root(), "root");
    let orlop = Runtime::new(ORLOP);
    let bundle = observer().without_namespace("pid").args([PROBE_PATH, "spawn", "3"]).build();
    let container = orlop.container(&bundle);
    let (created, stdout) = container.create_piped(&[]);
    drop(created.success());
    drop(container.start().success());
    let _children =
        oci_conformance::runtime::read_until(&stdout, "ready\n", std::time::Duration::from_secs(20));
    drop(container.kill("KILL").success());
    container.wait();
    drop(container.delete(&[]).success());
    assert_eq!(container.leftovers(), Vec::<String>::new());
}

#[test]
fn mappings_beside_a_joined_user_namespace_must_be_its_own() {
    skip_unless!(host::is_root(), "root");
    let orlop = Runtime::new(ORLOP);
    let bundle = mapped(sleeper(), &ranges()).build();
    let (first, pid) = running(&orlop, &bundle);
    let other = json!([{ "containerID": 0, "hostID": 100_001, "size": 1000 }]);
    for (mappings, path, is_right) in [
        (ranges(), path(&pid, "user"), true),
        (other.clone(), path(&pid, "user"), false),
        (other, path("self", "user"), false),
    ] {
        let bundle = mapped(observer(), &mappings).namespace("user", Some(&path)).build();
        let second = orlop.container(&bundle);
        if is_right {
            assert_eq!(second.run_facts().at("/namespaces/user"), &json!(link(&pid, "user")));
        } else {
            let told = second.create(&[]).failure(1);
            assert!(told.contains("linux.uidMappings") && told.contains("non-matching mapping"), "{told}");
        }
        assert_eq!(second.leftovers(), Vec::<String>::new(), "{mappings}");
    }
    delete(&first);
}

// spec: linux.namespaces.type.time
#[test]
fn clocks_of_a_time_namespace_differ_by_its_offsets() {
    skip_unless!(host::is_root(), "root");
    skip_unless!(fs::symlink_metadata("/proc/self/ns/time").is_ok(), "time namespaces");
    let orlop = Runtime::new(ORLOP);
    let offsets =
        json!({ "boottime": { "secs": 1_000_000 }, "monotonic": { "secs": 86_400, "nanosecs": 5 } });
    let bundle = observer()
        .namespace("time", None)
        .set("/linux/timeOffsets", offsets)
        .args([PROBE_PATH, "each", "facts", "--", "read", "/proc/uptime"])
        .build();
    let container = orlop.container(&bundle);
    let told = container.run(&[]).success().stdout();
    let (facts, uptime) = told.trim_end().rsplit_once('\n').expect("two lines");
    let facts: Value = serde_json::from_str(facts).expect("JSON");
    assert_eq!(facts["timens_offsets"], json!(["monotonic 86400 5", "boottime 1000000 0"]));
    assert_ne!(facts["namespaces"]["time"], json!(link("self", "time")));
    let seconds =
        |text: &str| text.split(['.', ' ']).next().and_then(|text| text.parse::<u64>().ok()).expect("uptime");
    let outside = seconds(&fs::read_to_string("/proc/uptime").expect("uptime"));
    let ahead = seconds(uptime).saturating_sub(outside);
    // Between the two looks at the clock this host's goes on.
    assert!((999_000..=1_000_000).contains(&ahead), "{ahead}");
    assert_eq!(container.leftovers(), Vec::<String>::new());
}

#[test]
fn offsets_that_no_clock_can_have_are_refused() {
    skip_unless!(host::is_root(), "root");
    skip_unless!(fs::symlink_metadata("/proc/self/ns/time").is_ok(), "time namespaces");
    let orlop = Runtime::new(ORLOP);
    for (namespace, offsets, words) in [
        (true, json!({ "realtime": { "secs": 1 } }), "linux.timeOffsets.realtime"),
        (true, json!({ "monotonic": { "nanosecs": 1_000_000_000 } }), "linux.timeOffsets.monotonic.nanosecs"),
        (true, json!({ "boottime": { "secs": -4_000_000_000_i64 } }), "numerical result out of range"),
        (false, json!({ "boottime": { "secs": 1 } }), "linux.timeOffsets"),
    ] {
        let bundle = observer().set("/linux/timeOffsets", offsets.clone());
        let bundle = if namespace { bundle.namespace("time", None) } else { bundle }.build();
        let container = orlop.container(&bundle);
        let told = container.create(&[]).failure(1);
        assert!(told.contains(words), "{offsets}: {told}");
        assert_eq!(container.leftovers(), Vec::<String>::new(), "{offsets}");
    }
}
