//! `events`: statistics in runc's form and units, OOM by event, and an end with the container.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader},
    process::{Child, Stdio},
    time::Duration,
};

use oci_conformance::{Bundle, Container, PROBE_PATH, Runtime, host, runtime::readable, skip_unless};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde_json::{Value, json};

const ORLOP: &str = env!("CARGO_BIN_EXE_orlop");
const PATIENCE: Duration = Duration::from_secs(20);

fn probe(words: &[&str]) -> Bundle {
    Bundle::builder().args([PROBE_PATH].iter().chain(words)).build()
}

fn stats(container: &Container<'_>) -> Value {
    let text = container.call("events", &["--stats"]).success().stdout();
    assert_eq!(text.lines().count(), 1, "{text}");
    let event: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((&event["type"], &event["id"]), (&"stats".into(), &container.id().into()));
    event["data"].clone()
}

fn has_v1(controllers: &[&str]) -> bool {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mounted = |name: &&str| {
        own.lines().any(|line| line.split(':').nth(1).is_some_and(|list| list.split(',').any(|c| c == *name)))
    };
    controllers.iter().all(mounted)
}

/// A running `events`, killed when the test fails.
struct Following(Child);

impl Drop for Following {
    fn drop(&mut self) {
        if !matches!(self.0.try_wait(), Ok(Some(_))) {
            self.0.kill().expect("kill");
            self.0.wait().expect("wait");
        }
    }
}

impl Following {
    fn start(orlop: &Runtime, options: &[&str], container: &Container<'_>) -> Self {
        let words = ["events"].iter().chain(options).copied().chain([container.id()]);
        Self(orlop.command(words).stdout(Stdio::piped()).spawn().expect("runs"))
    }

    fn ends_well(&mut self) {
        let pidfd = pidfd_open(Pid::from_child(&self.0), PidfdFlags::empty()).expect("pidfd");
        assert!(readable(pidfd, PATIENCE), "it does not end");
        assert!(self.0.wait().expect("wait").success());
    }
}

/// All paths of keys, without names that differ from container to container or may be absent for being 0.
fn keys(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| keys(value, &format!("{path}/{name}"), found));
        }
        Value::Array(list) if list.iter().any(Value::is_object) => {
            list.iter().for_each(|value| keys(value, &format!("{path}[]"), found));
        }
        _ => drop(found.insert(path.to_owned())),
    }
}

#[test]
fn statistics_have_the_keys_and_units_of_runc() {
    skip_unless!(host::is_root(), "root");
    skip_unless!(host::find("runc").is_some(), "runc");
    skip_unless!(has_v1(&["memory", "cpu", "cpuacct", "cpuset", "pids"]), "v1 controllers");
    let bundle = Bundle::builder()
        .args([PROBE_PATH, "alloc", "20000000"])
        .set("/linux/resources/memory", json!({ "limit": 134217728 }))
        .set("/linux/resources/cpu", json!({ "quota": 50000, "period": 100000 }))
        .set("/linux/resources/pids", json!({ "limit": 20 }))
        .build();
    let runtimes = [Runtime::new("runc"), Runtime::new(ORLOP)];
    let containers = runtimes.each_ref().map(|runtime| runtime.container(&bundle));
    let [theirs, ours] = containers.each_ref().map(|container| {
        let (created, said) = container.create_piped(&[]);
        drop(created.success());
        drop(container.start().success());
        oci_conformance::runtime::read_until(&said, "ready\n", PATIENCE);
        stats(container)
    });
    let [their_keys, our_keys] = [&theirs, &ours].map(|stats| {
        let mut found = BTreeSet::new();
        keys(stats, "", &mut found);
        // Counts that are left out while they are 0, and files with an entry for each device.
        found.retain(|path| !path.starts_with("/blkio") && !path.starts_with("/cpu/throttling"));
        found.retain(|path| !path.ends_with("/usage") && !path.ends_with("/max") && path != "/memory/cache");
        found
    });
    assert_eq!(our_keys, their_keys);
    for path in [
        "/memory/usage/limit",
        "/memory/swap/limit",
        "/memory/kernelTCP/limit",
        "/pids/limit",
        "/cpuset/cpus",
        "/cpuset/mems",
    ] {
        assert_eq!(ours.pointer(path), theirs.pointer(path), "{path}");
    }
    assert_eq!(ours.pointer("/pids/current"), Some(&json!(1)));
    // The same program: each number within the same magnitude as runc's.
    for path in ["/memory/usage/usage", "/memory/raw/rss", "/cpu/usage/total"] {
        let [theirs, ours] =
            [&theirs, &ours].map(|stats| stats.pointer(path).and_then(Value::as_f64).expect(path));
        assert!(ours > theirs / 20.0 && ours < theirs * 20.0, "{path}: {ours}, of runc {theirs}");
    }
    assert!(ours.pointer("/memory/usage/usage").and_then(Value::as_u64) > Some(20_000_000), "{ours}");
    let cpu = |name: &str| ours["cpu"]["usage"][name].as_u64().expect("a number");
    assert!(cpu("kernel") + cpu("user") > 0 && cpu("total") > 1_000_000, "nanoseconds: {ours}");
    assert!(ours["intel_rdt"].is_object() && ours["network_interfaces"].is_null());
}

#[test]
fn a_unified_host_has_statistics_without_most_controllers() {
    skip_unless!(host::is_root() && host::has_unified_view(), "root and a unified view");
    let orlop = Runtime::new(ORLOP).in_unified_view();
    let bundle = probe(&["spawn", "3"]);
    let container = orlop.container(&bundle);
    let (created, said) = container.create_piped(&[]);
    drop(created.success());
    drop(container.start().success());
    oci_conformance::runtime::read_until(&said, "ready\n", PATIENCE);
    let stats = stats(&container);
    assert_eq!(stats["pids"], json!({ "current": 4 }));
    assert!(stats["cpu"]["usage"]["total"].as_u64() > Some(100_000), "{stats}");
    let pressure = fs::read_to_string("/proc/pressure/cpu").is_ok();
    if pressure {
        assert!(stats["cpu"]["psi"]["some"]["total"].is_u64(), "{stats}");
    }
}

#[test]
fn statistics_come_at_the_interval_and_the_end_ends_it() {
    skip_unless!(host::is_root(), "root");
    let mut runtimes = vec![Runtime::new(ORLOP)];
    if host::has_unified_view() {
        runtimes.push(Runtime::new(ORLOP).in_unified_view());
    }
    for orlop in runtimes {
        let bundle = probe(&["sleep"]);
        let container = orlop.container(&bundle);
        drop(container.create(&[]).success());
        let mut following = Following::start(&orlop, &["--interval", "20ms"], &container);
        let mut lines = BufReader::new(following.0.stdout.take().expect("a pipe")).lines();
        for _ in 0..3 {
            let event: Value =
                serde_json::from_str(&lines.next().expect("a line").expect("text")).expect("JSON");
            assert_eq!(event["type"], "stats");
        }
        drop(container.start().success());
        drop(container.kill("KILL").success());
        following.ends_well();
        container.wait();
        let said = container.call("events", &[]).failure(1);
        assert!(said.contains(&format!("container with id {} is not running", container.id())), "{said}");
    }
}

#[test]
fn nobody_who_reads_ends_it() {
    skip_unless!(host::is_root(), "root");
    let orlop = Runtime::new(ORLOP);
    let bundle = probe(&["sleep"]);
    let container = orlop.container(&bundle);
    drop(container.create(&[]).success());
    let mut following = Following::start(&orlop, &["--interval", "20ms"], &container);
    drop(following.0.stdout.take());
    following.ends_well();
}

#[test]
fn a_strike_of_the_oom_killer_is_told() {
    skip_unless!(host::is_root(), "root");
    skip_unless!(
        has_v1(&["memory"]) || host::unified_controllers().iter().any(|name| name == "memory"),
        "memory"
    );
    let orlop = Runtime::new(ORLOP);
    let bundle = Bundle::builder()
        .args([PROBE_PATH, "each", "cat", "--", "alloc", "200000000"])
        .set("/linux/resources/memory", json!({ "limit": 33554432, "swap": 33554432 }))
        .build();
    let container = orlop.container(&bundle);
    // It begins to allocate when its standard input ends.
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).expect("pipe");
    let mut command = orlop.command(container.in_bundle("create", &[]));
    let status = command.stdin(reader).stdout(Stdio::null()).stderr(Stdio::null()).status().expect("runs");
    assert!(status.success());
    drop(container.start().success());
    let mut following = Following::start(&orlop, &["--interval", "50ms"], &container);
    let mut lines = BufReader::new(following.0.stdout.take().expect("a pipe")).lines();
    // It watches once it has printed something.
    assert!(lines.next().expect("a line").expect("text").contains("\"stats\""));
    drop((command, writer));
    let others: Vec<String> =
        lines.map(|line| line.expect("text")).filter(|line| !line.contains("\"stats\"")).collect();
    let oom = json!({ "type": "oom", "id": container.id() });
    assert!(!others.is_empty(), "no event");
    assert!(
        others.iter().all(|line| serde_json::from_str::<Value>(line).is_ok_and(|line| line == oom)),
        "{others:?}"
    );
    following.ends_well();
}

#[test]
fn wrong_intervals_are_refused() {
    skip_unless!(host::is_root(), "root");
    let orlop = Runtime::new(ORLOP);
    let bundle = probe(&["sleep"]);
    let container = orlop.container(&bundle);
    drop(container.create(&[]).success());
    for (interval, words) in [
        ("0", "duration interval must be greater than 0"),
        ("-5s", "duration interval must be greater than 0"),
        ("soon", "for flag -interval"),
        ("5", "for flag -interval"),
    ] {
        assert!(container.call("events", &["--interval", interval]).failure(1).contains(words), "{interval}");
    }
}
