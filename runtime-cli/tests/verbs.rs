//! The verbs that act on a container as a whole: `pause`, `resume`, `ps`, `kill --all`. In the cgroup layout of this
//! machine and in the unified view.

use std::{
    fs::{self, File},
    os::fd::OwnedFd,
    time::Duration,
};

use oci_conformance::{Bundle, Container, PROBE_PATH, Runtime, host, runtime::read_until, runtime::readable};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

const ORLOP: &str = env!("CARGO_BIN_EXE_orlop");
const PATIENCE: Duration = Duration::from_secs(20);

/// orlop in every cgroup layout that can be had here, each with its name.
fn runtimes() -> Vec<(&'static str, Runtime)> {
    if !host::is_root() {
        host::skipped("root");
        return Vec::new();
    }
    let mut runtimes = vec![("host", Runtime::new(ORLOP))];
    match host::has_unified_view() {
        true => runtimes.push(("unified", Runtime::new(ORLOP).in_unified_view())),
        false => host::skipped("a unified view"),
    }
    runtimes
}

fn probe(words: &[&str]) -> Bundle {
    Bundle::builder().args([PROBE_PATH].iter().chain(words)).build()
}

/// Creates and starts it, and waits until its program says "ready". The pipe is to be kept: it is its stdout.
fn ready(container: &Container<'_>) -> File {
    let (created, said) = container.create_piped(&[]);
    drop(created.success());
    drop(container.start().success());
    read_until(&said, "ready\n", PATIENCE);
    said
}

fn pids(container: &Container<'_>) -> Vec<i32> {
    let text = container.call("ps", &["--format", "json"]).success().stdout();
    serde_json::from_str::<Option<Vec<i32>>>(&text).expect("a list of pids").unwrap_or_default()
}

fn pidfd(pid: i32) -> OwnedFd {
    pidfd_open(Pid::from_raw(pid).expect("a pid"), PidfdFlags::empty()).expect("a process")
}

/// Number of times that a process was switched to or from.
fn switches(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
    let numbers =
        status.lines().filter_map(|line| line.split_once("ctxt_switches:")?.1.trim().parse::<u64>().ok());
    numbers.sum()
}

#[test]
fn a_paused_container_does_not_run_until_it_is_resumed() {
    for (layout, orlop) in runtimes() {
        let bundle = probe(&["wait-term"]);
        let container = orlop.container(&bundle);
        let said = ready(&container);
        let silent = container.call("pause", &[]).success();
        assert_eq!((silent.stdout(), silent.stderr()), (String::new(), String::new()), "{layout}");
        let state = container.state();
        assert_eq!(state["status"], "paused", "{layout}");
        let pid = i32::try_from(state["pid"].as_i64().expect("a pid")).expect("a pid");
        let before = switches(pid);
        // Pending until the thaw: a running one would end by it.
        drop(container.kill("TERM").success());
        assert!(!readable(pidfd(pid), Duration::from_millis(200)), "{layout}: it ended while frozen");
        assert_eq!(switches(pid), before, "{layout}: it ran while frozen");
        for (verb, words) in [
            ("pause", "container not running"),
            ("start", "cannot start a container in the paused state"),
            ("delete", "that is not stopped: paused"),
        ] {
            assert!(container.call(verb, &[]).failure(1).contains(words), "{layout} {verb}");
        }
        let end = container.pidfd();
        drop(container.call("resume", &[]).success());
        assert!(readable(end, PATIENCE), "{layout}: the signal reaches it after the thaw");
        read_until(&said, "term\n", PATIENCE);
        for (verb, words) in [("pause", "container not running"), ("resume", "container not paused")] {
            assert!(container.call(verb, &[]).failure(1).contains(words), "{layout} {verb}");
        }
        drop(container.delete(&[]).success());
        assert_eq!(container.leftovers(), Vec::<String>::new(), "{layout}");
    }
}

#[test]
fn a_created_container_can_be_paused_and_is_created_again_after_resume() {
    for (layout, orlop) in runtimes() {
        let bundle = probe(&["sleep"]);
        let container = orlop.container(&bundle);
        drop(container.create(&[]).success());
        assert!(container.call("resume", &[]).failure(1).contains("container not paused"), "{layout}");
        drop(container.call("pause", &[]).success());
        assert_eq!(container.state()["status"], "paused", "{layout}");
        drop(container.call("resume", &[]).success());
        assert_eq!(container.state()["status"], "created", "{layout}");
        drop(container.start().success());
        assert!(container.call("resume", &[]).failure(1).contains("container not paused"), "{layout}");
    }
}

#[test]
fn a_paused_container_is_killed_and_deleted() {
    for (layout, orlop) in runtimes() {
        for by_force in [false, true] {
            let bundle = probe(&["spawn", "2"]);
            let container = orlop.container(&bundle);
            let _said = ready(&container);
            let end = container.pidfd();
            drop(container.call("pause", &[]).success());
            if !by_force {
                drop(container.kill("KILL").success());
                assert!(readable(end, PATIENCE), "{layout}: KILL ends what is frozen");
            }
            drop(container.delete(if by_force { &["--force"] } else { &[] }).success());
            assert_eq!(container.leftovers(), Vec::<String>::new(), "{layout}");
        }
    }
}

#[test]
fn verbs_on_a_missing_container_say_so() {
    for (_, orlop) in runtimes() {
        for verb in ["pause", "resume", "ps"] {
            assert!(orlop.call([verb, "nosuch"]).failure(1).contains("container does not exist"), "{verb}");
        }
    }
}

#[test]
fn ps_lists_every_process_by_its_pid_of_the_host() {
    for (layout, orlop) in runtimes() {
        let bundle = probe(&["spawn", "3"]);
        let container = orlop.container(&bundle);
        let _said = ready(&container);
        let listed = pids(&container);
        assert_eq!(listed.len(), 4, "{layout}: {listed:?}");
        assert!(
            listed.contains(&i32::try_from(container.state()["pid"].as_i64().unwrap()).unwrap()),
            "{layout}"
        );
        // The unified view shares the host's /proc, so ps sees them in both layouts.
        for (options, titles) in
            [(&[][..], "UID"), (&["-eo", "comm,pid,args"], "COMMAND"), (&["-e", "-o", "pid,comm"], "PID")]
        {
            let words = ["ps", container.id()].iter().chain(options).copied().collect::<Vec<_>>();
            let table = orlop.call(words).success().stdout();
            let mut lines = table.lines();
            assert!(lines.next().unwrap().trim_start().starts_with(titles), "{layout} {table}");
            let rows: Vec<&str> = lines.collect();
            assert_eq!(rows.len(), 4, "{layout} {table}");
            assert!(rows.iter().all(|row| row.contains("probe")), "{layout} {table}");
            for pid in &listed {
                let has = |row: &&str| row.split_whitespace().any(|word| word == pid.to_string());
                assert!(rows.iter().any(has), "{layout} {table}");
            }
        }
        let failed = orlop.call(["ps", container.id(), "-eo", "comm"]).failure(1);
        assert!(failed.contains("couldn't find PID field in ps output"), "{failed}");
        let failed = orlop.call(["ps", container.id(), "--nosuch-option"]).failure(1);
        assert!(failed.contains("ps: exit status: "), "{failed}");
        assert!(container.call("ps", &["--format", "xml"]).failure(1).contains("invalid format option"));
        drop(container.kill("KILL").success());
        container.wait();
        assert_eq!(container.call("ps", &["-f", "json"]).success().stdout(), "null\n", "{layout}: stopped");
    }
}

#[test]
fn kill_all_reaches_every_process_with_the_signal_that_was_given() {
    for (layout, orlop) in runtimes() {
        for own_namespace in [true, false] {
            let builder = Bundle::builder().args([PROBE_PATH, "spawn", "40"]);
            let builder = if own_namespace { builder } else { builder.without_namespace("pid") };
            let bundle = builder.build();
            let container = orlop.container(&bundle);
            let _said = ready(&container);
            let init = i32::try_from(container.state()["pid"].as_i64().unwrap()).unwrap();
            let members = pids(&container);
            assert_eq!(members.len(), 41, "{layout}");
            let ends: Vec<OwnedFd> =
                members.iter().filter(|pid| **pid != init).map(|pid| pidfd(*pid)).collect();
            let init_end = pidfd(init);
            drop(container.call("kill", &["--all"]).success());
            for (index, end) in ends.iter().enumerate() {
                assert!(readable(end, PATIENCE), "{layout}: TERM did not reach child {index}");
            }
            if own_namespace {
                // The first process of a pid namespace takes no signal that it has no handler for.
                assert_eq!(pids(&container), [init], "{layout}");
                drop(container.call("kill", &["-a"]).success());
                drop(orlop.call(["kill", "-a", container.id(), "9"]).success());
            }
            assert!(readable(init_end, PATIENCE), "{layout}: init");
            drop(orlop.call(["kill", "--all", container.id(), "9"]).success());
            assert!(container.kill("9").failure(1).contains("container not running"), "{layout}");
            drop(container.delete(&[]).success());
            assert_eq!(container.leftovers(), Vec::<String>::new(), "{layout}");
        }
    }
}

#[test]
fn kill_all_reaches_what_outlives_init() {
    for (layout, orlop) in runtimes() {
        for signal in ["TERM", "KILL"] {
            let bundle = Bundle::builder().args([PROBE_PATH, "spawn", "2"]).without_namespace("pid").build();
            let container = orlop.container(&bundle);
            let _said = ready(&container);
            let ends: Vec<OwnedFd> = pids(&container).into_iter().map(pidfd).collect();
            // Init alone; without a namespace of their own the children go on.
            drop(container.kill("TERM").success());
            container.wait();
            assert_eq!(container.state()["status"], "stopped", "{layout}");
            assert_eq!(pids(&container).len(), 2, "{layout}");
            drop(orlop.call(["kill", "--all", container.id(), signal]).success());
            assert!(ends.iter().all(|end| readable(end, PATIENCE)), "{layout} {signal}");
            drop(container.delete(&[]).success());
        }
    }
}

#[test]
fn an_unreadable_state_is_listed_as_one_and_deleted_by_force_with_its_cgroup() {
    for (layout, orlop) in runtimes() {
        let bundle = probe(&["spawn", "2"]);
        let other_bundle = probe(&["sleep"]);
        let other = orlop.container(&other_bundle);
        drop(other.create(&[]).success());
        let container = orlop.container(&bundle);
        let _said = ready(&container);
        let ends: Vec<OwnedFd> = pids(&container).into_iter().map(pidfd).collect();
        let file = orlop.root().join(container.id()).join("state.json");
        let mut state: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        assert!(state.as_object_mut().unwrap().remove("phase").is_some());
        fs::write(&file, state.to_string()).unwrap();
        let listed = orlop.call(["list", "--quiet"]).success();
        assert_eq!(listed.stdout(), format!("{}\n", other.id()), "{layout}: the others are listed");
        assert!(listed.stderr().contains(container.id()), "{layout}: {}", listed.stderr());
        for verb in ["state", "pause", "delete"] {
            assert!(
                container.call(verb, &[]).failure(1).contains("state.json cannot be read"),
                "{layout} {verb}"
            );
        }
        drop(container.delete(&["--force"]).success());
        assert!(ends.iter().all(|end| readable(end, PATIENCE)), "{layout}: its processes end");
        assert_eq!(container.leftovers(), Vec::<String>::new(), "{layout}");
        // Nothing can be told of one that is no JSON, but the id is free again.
        let damaged = orlop.root().join("damaged");
        fs::create_dir(&damaged).unwrap();
        fs::write(damaged.join("state.json"), "{").unwrap();
        drop(orlop.call(["delete", "--force", "damaged"]).success());
        assert!(damaged.symlink_metadata().is_err(), "{layout}");
    }
}
