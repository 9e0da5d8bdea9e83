//! Runs the same bundles under runc and under orlop and compares what the probe sees, fact by fact.
//!
//! The bundles are the default configuration and what real engines wrote (`runtime-core/tests/fixtures/engines`), each
//! with the cgroups of this machine and in the unified view. A fact that differs must be in [`DIFFERENCES`].

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeMap, fs, path::PathBuf};

use oci_conformance::{
    Bundle, BundleBuilder, Facts, Runtime, host, leftovers, skip_unless, spec::default_spec,
};
use serde_json::{Value, json};

/// Facts that may differ, by a prefix of their path, each with its reason.
const DIFFERENCES: &[(&str, &str)] = &[
    (
        "/fds/0",
        "runc's `run` copies standard input, output and error through pipes; orlop hands over the caller's own",
    ),
    ("/fds/1", "as /fds/0"),
    ("/fds/2", "as /fds/0"),
    (
        "/mounts//proc/keys#",
        "runc 1.1 masks files with the container's own /dev/null, which may be anything (CVE-2025-31133); orlop with \
         the host's, so its file system and flags are those of the host's /dev",
    ),
    ("/mounts//proc/kcore#", "as /proc/keys"),
    ("/mounts//proc/latency_stats#", "as /proc/keys"),
    ("/mounts//proc/sched_debug#", "as /proc/keys"),
    ("/mounts//proc/timer_list#", "as /proc/keys"),
    ("/mounts//proc/timer_stats#", "as /proc/keys"),
    (
        "/mounts//sys/fs/cgroup#0/options",
        "`ro` was asked for: runc makes only the hierarchies read-only, orlop also the tmpfs that holds them (v1)",
    ),
    ("/paths//sys/fs/cgroup/write_errno", "as the options of /sys/fs/cgroup"),
    (
        "/paths//sys/fs/cgroup/file/mode",
        "runc gives the tmpfs of the hierarchies the mode of sysfs' folder (0555), orlop the 0755 it is mounted with",
    ),
    (
        "/mounts//sys/fs/cgroup#0/source",
        "without a cgroup namespace orlop binds the host's cgroup2, whose source it then shows; runc mounts it anew, \
         which sets the options of the host's hierarchy back",
    ),
    (
        "/signals/ignored",
        "runc hands on the signals that its caller ignored; orlop sets all 64 to their default",
    ),
];

/// The same for a process that is added to a container.
const DIFFERENCES_OF_EXEC: &[(&str, &str)] = &[
    ("/umask", "runc 1.1 gives `process.user.umask` to the container's first process only"),
    (
        "/keyring/description",
        "in a user namespace runc 1.1 makes a second keyring of the name, with other rights; orlop joins the container's",
    ),
];

/// The configuration of an engine, made to run the probe: the probe as program and as hook, and a
/// cgroup with a parent of its own, which is removed by [`compare`] since runtimes leave parents.
fn engine(name: &str) -> Value {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../runtime-core/tests/fixtures/engines");
    let text = fs::read_to_string(folder.join(name)).unwrap();
    let mut spec: Value = serde_json::from_str(&text).unwrap();
    spec["process"]["args"] = json!(["/bin/probe", "facts"]);
    if spec["hooks"]["prestart"].is_array() {
        spec["hooks"]["prestart"] =
            json!([{ "path": "@BUNDLE@/rootfs/bin/probe", "args": ["probe", "hook", "@BUNDLE@/hook.log"] }]);
    } else {
        spec.as_object_mut().unwrap().remove("hooks");
    }
    spec
}

/// Writes the bundle with the files that its bind mounts name.
fn bundle(spec: Value) -> Bundle {
    let sources: Vec<String> = spec["mounts"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|mount| Some(mount["source"].as_str()?.strip_prefix("@BUNDLE@/")?.to_owned()))
        .collect();
    let builder = BundleBuilder::from_spec(spec);
    let builder = sources.iter().fold(builder, |builder, source| match source.as_str() {
        "files/shm" => builder.folder(source),
        _ => builder.file(source, format!("{source}\n")),
    });
    builder.build()
}

fn facts(runtime: &Runtime, bundle: &mut Bundle) -> BTreeMap<String, Value> {
    let container = runtime.container(bundle);
    let id = container.id().to_owned();
    bundle.edit(|spec| {
        if let Some(path) = spec["linux"]["cgroupsPath"].as_str() {
            let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent).to_owned();
            spec["linux"]["cgroupsPath"] = json!(format!("{parent}/{id}"));
        }
    });
    let facts = container.run_facts();
    assert!(container.leftovers().is_empty(), "{:?}", container.leftovers());
    comparable(facts, &id)
}

/// How a process is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Added {
    /// By a command, with options.
    Command(&'static [&'static str]),
    /// By a process object, as engines do.
    Process,
}

/// What a process sees that is added to a running container.
fn facts_of_exec(runtime: &Runtime, bundle: &mut Bundle, added: Added) -> BTreeMap<String, Value> {
    let container = runtime.container(bundle);
    let id = container.id().to_owned();
    bundle.edit(|spec| {
        if let Some(path) = spec["linux"]["cgroupsPath"].as_str() {
            let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent).to_owned();
            spec["linux"]["cgroupsPath"] = json!(format!("{parent}/{id}"));
        }
        spec["process"]["args"] = json!(["/bin/probe", "sleep"]);
    });
    drop(container.create(&[]).success());
    drop(container.start().success());
    let output = match added {
        Added::Command(options) => container.exec(options, &["/bin/probe", "facts"]),
        Added::Process => {
            let mut process = bundle.spec()["process"].clone();
            process["args"] = json!(["/bin/probe", "facts"]);
            let file = bundle.path().join("process.json");
            fs::write(&file, process.to_string()).unwrap();
            container.exec(&["--process", &file.to_string_lossy()], &[])
        }
    };
    let Facts(mut facts) = Facts::parse(&output.success().stdout());
    drop(container.delete(&["--force"]).success());
    assert!(container.leftovers().is_empty(), "{:?}", container.leftovers());
    // How many processes a runtime needs until its own is there is its own business.
    let facts_of_pid =
        ["pid", "pgid", "sid"].map(|name| facts.as_object_mut().unwrap().remove(name).unwrap());
    assert!(facts_of_pid.iter().all(|value| *value == facts_of_pid[0]), "it leads session and group");
    assert_eq!(facts["processes"], json!([1, facts_of_pid[0]]), "nobody else is there");
    facts.as_object_mut().unwrap().remove("processes");
    let mut flat = comparable(Facts(facts), &id);
    for (prefix, _) in DIFFERENCES_OF_EXEC {
        flat.retain(|path, _| !path.starts_with(prefix));
    }
    flat
}

/// All facts as one flat map, without what no two runs have in common.
fn comparable(facts: Facts, id: &str) -> BTreeMap<String, Value> {
    let Facts(mut facts) = facts;
    let mut mounts = serde_json::Map::new();
    for mount in facts["mounts"].as_array().into_iter().flatten() {
        let mut mount = mount.clone();
        ["id", "parent", "device"].iter().for_each(|key| drop(mount.as_object_mut().unwrap().remove(*key)));
        let point = mount["point"].as_str().unwrap_or("").to_owned();
        let key = (0..).map(|nth| format!("{point}#{nth}")).find(|key| !mounts.contains_key(key)).unwrap();
        mounts.insert(key, mount);
    }
    facts["mounts"] = Value::Object(mounts);
    for (name, namespace) in facts["namespaces"].as_object_mut().into_iter().flatten() {
        let ours = fs::read_link(format!("/proc/self/ns/{name}")).ok();
        *namespace = json!(ours.is_some_and(|ours| namespace == ours.to_string_lossy().as_ref()));
    }
    facts["keyring"].as_object_mut().unwrap().remove("id");
    let mut flat = BTreeMap::new();
    flatten("", &facts, id, &mut flat);
    flat
}

fn flatten(path: &str, value: &Value, id: &str, flat: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(key, value)| flatten(&format!("{path}/{key}"), value, id, flat));
        }
        _ => {
            let text = value.to_string().replace(id, "ID");
            flat.insert(path.replace(id, "ID"), serde_json::from_str(&text).unwrap());
        }
    }
}

/// Every difference that is not in the table, in words.
fn differences(theirs: &BTreeMap<String, Value>, ours: &BTreeMap<String, Value>) -> Vec<String> {
    let paths = theirs.keys().chain(ours.keys()).collect::<std::collections::BTreeSet<_>>();
    paths
        .into_iter()
        .filter(|path| theirs.get(*path) != ours.get(*path))
        .filter(|path| !DIFFERENCES.iter().any(|(prefix, _)| path.starts_with(prefix)))
        .map(|path| {
            let told =
                |facts: &BTreeMap<String, Value>| facts.get(path).map_or("-".to_owned(), Value::to_string);
            format!("{path}\n    runc  {}\n    orlop {}", told(theirs), told(ours))
        })
        .collect()
}

#[derive(Clone, Copy)]
enum View {
    Machine,
    Unified,
}

/// Takes out the limits whose controllers cgroup2 does not have on this machine: runc fails without them.
fn remove_missing_controllers(spec: &mut Value) {
    let controllers = host::unified_controllers();
    let Some(resources) = spec["linux"]["resources"].as_object_mut() else { return };
    for (limit, controller) in [("memory", "memory"), ("cpu", "cpu"), ("pids", "pids"), ("blockIO", "io")] {
        if !controllers.iter().any(|has| has == controller) {
            resources.remove(limit);
        }
    }
}

/// The parent of the containers' cgroups: runtimes leave it, so it is removed on drop, after the containers are gone.
struct ParentCgroup(String);

impl Drop for ParentCgroup {
    fn drop(&mut self) {
        leftovers::remove_cgroups(&self.0);
    }
}

fn compare(spec: Value, view: View) {
    compare_by(spec, view, facts);
}

fn compare_exec(spec: Value, added: Added, view: View) {
    compare_by(spec, view, |runtime, bundle| facts_of_exec(runtime, bundle, added));
}

fn compare_by(mut spec: Value, view: View, look: impl Fn(&Runtime, &mut Bundle) -> BTreeMap<String, Value>) {
    skip_unless!(host::is_root(), "root");
    skip_unless!(host::find("runc").is_some(), "runc");
    let runtimes = ["runc", env!("CARGO_BIN_EXE_orlop")].map(Runtime::new);
    let [runc, orlop] = match view {
        View::Machine => runtimes,
        View::Unified => {
            skip_unless!(host::has_unified_view(), "unshare(1) and the right to mount cgroup2");
            remove_missing_controllers(&mut spec);
            runtimes.map(Runtime::in_unified_view)
        }
    };
    let parent = ParentCgroup(host::unique("compare"));
    if spec["linux"]["cgroupsPath"].is_string() {
        spec["linux"]["cgroupsPath"] = json!(format!("/{}/id", parent.0));
    }
    let mut bundle = bundle(spec);
    let theirs = look(&runc, &mut bundle);
    let ours = look(&orlop, &mut bundle);
    let found = differences(&theirs, &ours);
    assert!(found.is_empty(), "{} facts differ:\n{}", found.len(), found.join("\n"));
}

#[test]
fn default_spec_looks_the_same() {
    compare(default_spec(), View::Machine);
}

#[test]
fn default_spec_looks_the_same_in_unified_view() {
    compare(default_spec(), View::Unified);
}

#[test]
fn containerd_looks_the_same() {
    compare(engine("containerd-1.6-ctr.json"), View::Machine);
}

#[test]
fn containerd_looks_the_same_in_unified_view() {
    compare(engine("containerd-1.6-ctr.json"), View::Unified);
}

#[test]
fn docker_looks_the_same() {
    compare(engine("docker-20.10.json"), View::Machine);
}

#[test]
fn docker_looks_the_same_in_unified_view() {
    compare(engine("docker-20.10.json"), View::Unified);
}

#[test]
fn podman_looks_the_same() {
    compare(engine("podman-4.3.json"), View::Machine);
}

#[test]
fn podman_looks_the_same_in_unified_view() {
    compare(engine("podman-4.3.json"), View::Unified);
}

#[test]
fn podman_with_limits_looks_the_same() {
    compare(engine("podman-4.3-limits.json"), View::Machine);
}

#[test]
fn podman_with_limits_looks_the_same_in_unified_view() {
    compare(engine("podman-4.3-limits.json"), View::Unified);
}

#[test]
fn a_command_in_the_default_spec_looks_the_same() {
    let options: &[&str] =
        &["-u", "1000:1000", "-g", "5", "-e", "A=b", "--cap", "CAP_CHOWN", "--cwd", "/tmp"];
    for added in [Added::Command(&[]), Added::Command(options)] {
        compare_exec(default_spec(), added, View::Machine);
        compare_exec(default_spec(), added, View::Unified);
    }
}

#[test]
fn a_process_in_the_default_spec_looks_the_same() {
    let mut spec = default_spec();
    spec["process"]["capabilities"]["inheritable"] = json!(["CAP_KILL"]);
    spec["process"]["capabilities"]["ambient"] = json!(["CAP_KILL"]);
    spec["process"]["noNewPrivileges"] = json!(false);
    spec["process"]["user"] = json!({ "uid": 1000, "gid": 1001, "additionalGids": [5, 6], "umask": 63 });
    compare_exec(spec.clone(), Added::Process, View::Machine);
    compare_exec(spec, Added::Process, View::Unified);
}

#[test]
fn a_process_in_a_container_of_an_engine_looks_the_same() {
    for name in ["containerd-1.6-ctr.json", "docker-20.10.json", "podman-4.3.json", "podman-4.3-limits.json"]
    {
        compare_exec(engine(name), Added::Process, View::Machine);
        compare_exec(engine(name), Added::Process, View::Unified);
    }
}

#[test]
fn a_process_in_a_user_namespace_looks_the_same() {
    let mut spec = default_spec();
    let map = json!([{ "containerID": 0, "hostID": 0, "size": 65536 }]);
    spec["linux"]["uidMappings"] = map.clone();
    spec["linux"]["gidMappings"] = map;
    for kind in ["user", "cgroup"] {
        spec["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": kind }));
    }
    compare_exec(spec.clone(), Added::Process, View::Machine);
    compare_exec(spec, Added::Command(&["-u", "7:8"]), View::Unified);
}
