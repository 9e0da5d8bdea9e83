//! Scheduler, i/o priority, CPUs, memory policy, personality, terminal size: as the program sees them.

use std::{ffi::OsString, fs, time::Duration};

use oci_conformance::{
    Bundle, BundleBuilder, Facts, PROBE_PATH, Runtime, console::ConsoleSocket, host, runtime::read_until,
};
use serde_json::{Value, json};

const ORLOP: &str = env!("CARGO_BIN_EXE_orlop");
const PATIENCE: Duration = Duration::from_secs(20);

fn orlop() -> Option<Runtime> {
    if !host::is_root() {
        host::skipped("root");
        return None;
    }
    Some(Runtime::new(ORLOP))
}

fn facts(orlop: &Runtime, edit: impl FnOnce(BundleBuilder) -> BundleBuilder) -> Facts {
    let bundle = edit(Bundle::builder()).build();
    let container = orlop.container(&bundle);
    container.run_facts()
}

/// What a wrong configuration is refused with; nothing of it is left.
fn refusal(orlop: &Runtime, edit: impl FnOnce(BundleBuilder) -> BundleBuilder) -> String {
    let bundle = edit(Bundle::builder()).build();
    let container = orlop.container(&bundle);
    let told = container.create(&[]).failure(1).replace("\\\"", "\"");
    assert_eq!(container.leftovers(), Vec::<String>::new());
    told
}

fn with(pointer: &'static str, value: Value) -> impl FnOnce(BundleBuilder) -> BundleBuilder {
    move |bundle| bundle.set(pointer, value)
}

/// A share for real-time policies, where the cgroup needs one (`CONFIG_RT_GROUP_SCHED`).
fn real_time(bundle: BundleBuilder) -> BundleBuilder {
    match fs::metadata("/sys/fs/cgroup/cpu/cpu.rt_runtime_us").is_ok() {
        true => bundle
            .set("/linux/resources/cpu", json!({"realtimePeriod": 1_000_000, "realtimeRuntime": 10_000})),
        false => bundle,
    }
}

#[test]
fn scheduling_policies_are_set() {
    let Some(orlop) = orlop() else { return };
    let nice = facts(&orlop, |bundle| bundle).at("/scheduler/nice").clone();
    for (scheduler, expected) in [
        (json!({"policy": "SCHED_OTHER", "nice": 5}), json!([0, 5, 0, 0])),
        (json!({"policy": "SCHED_BATCH", "nice": -3}), json!([3, -3, 0, 0])),
        // The kernel leaves the nice value alone where it means nothing.
        (json!({"policy": "SCHED_IDLE"}), json!([5, nice, 0, 0])),
        (json!({"policy": "SCHED_FIFO", "priority": 10}), json!([1, nice, 10, 0])),
        (
            json!({"policy": "SCHED_RR", "priority": 1, "flags": ["SCHED_FLAG_RESET_ON_FORK"]}),
            json!([0x4000_0002, nice, 1, 1]),
        ),
    ] {
        let facts = facts(&orlop, |bundle| real_time(bundle.set("/process/scheduler", scheduler.clone())));
        let seen = ["policy", "nice", "priority", "flags"]
            .map(|name| facts.at(&format!("/scheduler/{name}")).clone());
        assert_eq!(json!(seen), expected, "{scheduler}");
    }
    let deadline = json!({
        "policy": "SCHED_DEADLINE", "runtime": 1_000_000, "deadline": 20_000_000, "period": 40_000_000,
    });
    let facts = facts(&orlop, with("/process/scheduler", deadline));
    let seen = ["policy", "runtime", "deadline", "period"]
        .map(|name| facts.at(&format!("/scheduler/{name}")).clone());
    assert_eq!(json!(seen), json!([6, 1_000_000, 20_000_000, 40_000_000]));
}

#[test]
fn a_real_time_policy_reaches_a_user_namespace() {
    let Some(orlop) = orlop() else { return };
    let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65536 }]);
    let facts = facts(&orlop, |bundle| {
        real_time(bundle)
            .namespace("user", None)
            .set("/linux/uidMappings", map.clone())
            .set("/linux/gidMappings", map)
            .set("/process/scheduler", json!({"policy": "SCHED_FIFO", "priority": 3}))
    });
    assert_eq!((facts.at("/scheduler/policy"), facts.at("/scheduler/priority")), (&json!(1), &json!(3)));
}

#[test]
fn an_io_priority_is_set() {
    let Some(orlop) = orlop() else { return };
    for (class, number, level) in
        [("IOPRIO_CLASS_RT", 1, 2), ("IOPRIO_CLASS_BE", 2, 5), ("IOPRIO_CLASS_IDLE", 3, 7)]
    {
        let facts = facts(&orlop, with("/process/ioPriority", json!({"class": class, "priority": level})));
        assert_eq!(facts.at("/scheduler/ioprio"), &json!(number << 13 | level), "{class}");
    }
}

#[test]
fn a_memory_policy_is_set() {
    let Some(orlop) = orlop() else { return };
    for (policy, mode, nodes) in [
        (json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}), 0x8002, json!([0])),
        (json!({"mode": "MPOL_INTERLEAVE", "nodes": "0"}), 3, json!([0])),
        (json!({"mode": "MPOL_LOCAL", "nodes": ""}), 4, json!([])),
        (json!({"mode": "MPOL_DEFAULT"}), 0, json!([])),
    ] {
        let facts = facts(&orlop, with("/linux/memoryPolicy", policy.clone()));
        assert_eq!(facts.at("/scheduler/memory_policy"), &json!({"mode": mode, "nodes": nodes}), "{policy}");
    }
}

#[test]
fn a_personality_is_set() {
    let Some(orlop) = orlop() else { return };
    for (domain, number) in [("LINUX", 0), ("LINUX32", 8)] {
        let facts = facts(&orlop, with("/linux/personality", json!({"domain": domain})));
        assert_eq!(facts.at("/personality"), &json!(number), "{domain}");
    }
}

#[test]
fn the_callers_cpus_are_not_the_containers() {
    let Some(orlop) = orlop() else { return };
    let all = facts(&orlop, |bundle| bundle);
    let pinned = Runtime::new(ORLOP).wrapped_in(["taskset", "0x1"].map(OsString::from));
    let seen = facts(&pinned, |bundle| bundle);
    assert_eq!(seen.at("/scheduler/cpus"), all.at("/scheduler/cpus"));
    // For exec only.
    let seen = facts(&orlop, with("/process/execCPUAffinity", json!({"initial": "0", "final": "0"})));
    assert_eq!(seen.at("/scheduler/cpus"), all.at("/scheduler/cpus"));
}

#[test]
fn what_is_not_configured_stays_the_callers() {
    let Some(orlop) = orlop() else { return };
    let own = facts(&orlop, |bundle| bundle).at("/scheduler/nice").as_i64().expect("a number");
    let nice = Runtime::new(ORLOP).wrapped_in(["nice", "-n", "7", "ionice", "-c", "3"].map(OsString::from));
    let facts = facts(&nice, |bundle| bundle);
    assert_eq!(
        (facts.at("/scheduler/nice"), facts.at("/scheduler/ioprio")),
        (&json!((own + 7).min(19)), &json!(3 << 13 | 7))
    );
}

#[test]
fn the_terminal_has_its_size_before_the_program_runs() {
    let Some(orlop) = orlop() else { return };
    let bundle = Bundle::builder()
        .args([PROBE_PATH, "tty"])
        .set("/process/terminal", true)
        .set("/process/consoleSize", json!({"height": 31, "width": 113}))
        .build();
    let console = ConsoleSocket::new();
    let container = orlop.container(&bundle);
    drop(container.create(&["--console-socket", &console.path().to_string_lossy()]).success());
    let (master, _) = console.receive(PATIENCE);
    drop(container.start().success());
    let told = read_until(&master, "}}\r\n", PATIENCE);
    let told: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!((&told["0"]["rows"], &told["0"]["columns"]), (&json!(31), &json!(113)));
}

#[test]
fn values_that_do_not_fit_are_refused_with_their_place() {
    let Some(orlop) = orlop() else { return };
    for (pointer, value, expected) in [
        (
            "/process/scheduler",
            json!({"policy": "SCHED_FOO"}),
            "process.scheduler.policy: unknown value \"SCHED_FOO\", expected one of SCHED_OTHER",
        ),
        (
            "/process/scheduler",
            json!({"policy": "SCHED_FIFO", "priority": 100, "nice": -21}),
            "process.scheduler.priority: 100 is not between 1 and 99",
        ),
        (
            "/process/scheduler",
            json!({"policy": "SCHED_OTHER", "runtime": 5}),
            "process.scheduler.runtime: 5 can only be given with SCHED_DEADLINE",
        ),
        (
            "/process/scheduler",
            json!({"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_FOO"]}),
            "process.scheduler.flags[0]: unknown value \"SCHED_FLAG_FOO\"",
        ),
        ("/process/scheduler", json!({"policy": "SCHED_ISO"}), "error setting scheduler: invalid argument"),
        (
            "/process/ioPriority",
            json!({"class": "IOPRIO_CLASS_NONE", "priority": 0}),
            "process.ioPriority.class: unknown value \"IOPRIO_CLASS_NONE\"",
        ),
        (
            "/process/ioPriority",
            json!({"class": "IOPRIO_CLASS_BE", "priority": 8}),
            "process.ioPriority.priority: 8 is not between 0 and 7",
        ),
        (
            "/process/execCPUAffinity",
            json!({"initial": "3-1"}),
            "process.execCPUAffinity.initial: \"3-1\" has a range that goes backwards",
        ),
        (
            "/linux/memoryPolicy",
            json!({"mode": "MPOL_LOCAL", "nodes": "0"}),
            "linux.memoryPolicy.nodes: MPOL_LOCAL takes no nodes",
        ),
        (
            "/linux/memoryPolicy",
            json!({"mode": "MPOL_BIND"}),
            "linux.memoryPolicy.nodes: MPOL_BIND needs at least one node",
        ),
        ("/linux/memoryPolicy", json!({"mode": "MPOL_BIND", "nodes": "1023"}), "linux.memoryPolicy"),
        (
            "/linux/personality",
            json!({"domain": "SVR4"}),
            "linux.personality.domain: unknown value \"SVR4\", expected one of LINUX, LINUX32",
        ),
        (
            "/linux/personality",
            json!({"domain": "LINUX", "flags": ["ADDR_NO_RANDOMIZE"]}),
            "linux.personality.flags: no flag is supported",
        ),
    ] {
        let told = refusal(&orlop, with(pointer, value.clone()));
        assert!(told.contains(expected), "{value}: {told}");
    }
}
