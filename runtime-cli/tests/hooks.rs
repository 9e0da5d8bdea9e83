//! Hooks of all six kinds, as a hook sees them: what it is told, where it runs, and what follows when it fails.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::PathBuf,
    time::Duration,
};

use oci_conformance::{
    Bundle, BundleBuilder, PROBE_PATH, Runtime, host,
    runtime::{output, readable},
    skip_unless,
};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde_json::{Value, json};

const ORLOP: &str = env!("CARGO_BIN_EXE_orlop");
const PATIENCE: Duration = Duration::from_secs(20);
const KINDS: [&str; 6] =
    ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// The log of all hooks, as the host and as the container names it.
const LOG: [&str; 2] = ["@BUNDLE@/rootfs/tmp/hooks", "/tmp/hooks"];

fn is_inside(kind: &str) -> bool {
    kind == "startContainer"
}

/// The probe as a hook of this kind, with more words for it.
fn hook(kind: &str, more: &[&str]) -> Value {
    let mut args = vec!["probe", "hook", LOG[usize::from(is_inside(kind))], kind];
    args.extend(more);
    json!({ "path": program(kind), "args": args })
}

fn program(kind: &str) -> &str {
    if is_inside(kind) { PROBE_PATH } else { "@BUNDLE@/rootfs/bin/probe" }
}

/// A bundle whose program sleeps, with one hook of each kind that writes to the log.
fn bundle() -> BundleBuilder {
    let bundle = Bundle::builder().name("hooks").args([PROBE_PATH, "sleep"]).set("/root/readonly", false);
    KINDS.iter().fold(bundle, |bundle, kind| bundle.push(&format!("/hooks/{kind}"), hook(kind, &[])))
}

/// What the hooks wrote, each with its kind.
fn log(bundle: &Bundle) -> Vec<(String, Value)> {
    let Ok(file) = fs::File::open(bundle.rootfs().join("tmp/hooks")) else { return Vec::new() };
    let told = |line: std::io::Result<String>| {
        let told: Value = serde_json::from_str(&line.expect("line")).expect("JSON");
        (told["argv"][3].as_str().expect("kind").to_owned(), told)
    };
    BufReader::new(file).lines().map(told).collect()
}

fn kinds(log: &[(String, Value)]) -> Vec<&str> {
    log.iter().map(|(kind, _)| kind.as_str()).collect()
}

fn of<'a>(log: &'a [(String, Value)], kind: &str) -> &'a Value {
    let found = log.iter().find(|(of, _)| of == kind);
    &found.unwrap_or_else(|| panic!("no {kind} in {:?}", kinds(log))).1
}

fn state(told: &Value) -> Value {
    serde_json::from_str(told["stdin"].as_str().expect("stdin")).expect("the state is JSON")
}

// spec: config.hooks.state.stdin hooks.prestart.timing hooks.prestart.before-createruntime hooks.createruntime.timing
// spec: hooks.createcontainer.timing hooks.createcontainer.after-createruntime hooks.startcontainer.timing
// spec: hooks.poststart.timing-after-exec hooks.poststart.timing-before-return hooks.poststop.timing-after-delete
// spec: hooks.poststop.timing-before-return lifecycle.prestart.invoked lifecycle.createruntime.invoked
// spec: lifecycle.createcontainer.invoked lifecycle.startcontainer.invoked lifecycle.poststart.invoked
// spec: lifecycle.poststop.invoked
#[test]
fn hooks_are_told_the_state_as_their_namespace_sees_it() {
    skip_unless!(host::is_root(), "root");
    let orlop = Runtime::new(ORLOP);
    let bundle = bundle().set("/annotations/who", "me").build();
    let container = orlop.container(&bundle);
    drop(container.create(&[]).success());
    let pid = container.state()["pid"].clone();
    assert_eq!(kinds(&log(&bundle)), KINDS[..3], "run by create");
    drop(container.start().success());
    assert_eq!(kinds(&log(&bundle)), KINDS[..5], "run by start");
    drop(container.delete(&["--force"]).success());
    let log = log(&bundle);
    assert_eq!(kinds(&log), KINDS);
    assert_eq!(container.leftovers(), Vec::<String>::new());

    let one = json!(1);
    let expected = [
        ("prestart", "creating", &pid),
        ("createRuntime", "creating", &pid),
        ("createContainer", "creating", &one),
        ("startContainer", "created", &one),
        ("poststart", "running", &pid),
        ("poststop", "stopped", &Value::Null),
    ];
    for (kind, status, pid) in expected {
        let told = of(&log, kind);
        let state = state(told);
        assert_eq!((&state["status"], &state["pid"]), (&json!(status), pid), "{kind}");
        assert_eq!(state["id"], container.id(), "{kind}");
        assert_eq!(state["ociVersion"], bundle.spec()["ociVersion"], "{kind}");
        assert_eq!(state["bundle"], *bundle.path().to_string_lossy(), "{kind}");
        assert_eq!(state["annotations"], json!({ "who": "me" }), "{kind}");
    }
    for kind in ["prestart", "createRuntime"] {
        assert_eq!(of(&log, kind)["cwd"], *bundle.path().to_string_lossy(), "{kind}");
    }
    assert_eq!(of(&log, "startContainer")["cwd"], "/");
}

// spec: hooks.prestart.executed-in-runtime-ns hooks.prestart.path-resolution
// spec: hooks.createruntime.executed-in-runtime-ns hooks.createruntime.path-resolution
// spec: hooks.createcontainer.executed-in-container-ns hooks.createcontainer.path-resolution
// spec: hooks.startcontainer.executed-in-container-ns hooks.startcontainer.path-resolution
// spec: hooks.poststart.executed-in-runtime-ns hooks.poststart.path-resolution hooks.poststop.executed-in-runtime-ns
// spec: hooks.poststop.path-resolution
#[test]
fn hooks_run_in_the_namespaces_of_their_kind() {
    skip_unless!(host::is_root(), "root");
    let orlop = Runtime::new(ORLOP);
    let bundle = bundle().build();
    let container = orlop.container(&bundle);
    drop(container.create(&[]).success());
    let pid = container.state()["pid"].clone();
    let links = |process: &str| {
        ["mnt", "pid", "net", "ipc", "uts"].map(|name| {
            let link = fs::read_link(format!("/proc/{process}/ns/{name}")).expect("namespace");
            (name, link.to_string_lossy().into_owned())
        })
    };
    let (ours, theirs) = (links("self"), links(&pid.to_string()));
    drop(container.start().success());
    drop(container.delete(&["--force"]).success());
    let log = log(&bundle);
    for kind in KINDS {
        let expected = if kind.ends_with("Container") { &theirs } else { &ours };
        for (name, link) in expected {
            assert_eq!(of(&log, kind)["namespaces"][*name], **link, "{name} of {kind}");
        }
    }
}

#[test]
fn a_hook_without_environment_has_that_of_its_surroundings() {
    skip_unless!(host::is_root(), "root");
    let orlop = Runtime::new(ORLOP);
    let mut bundle = bundle().set("/process/env", json!(["OF=process"])).build();
    let run = |bundle: &Bundle| {
        let container = orlop.container(bundle);
        let mut command = orlop.command(container.in_bundle("run", &["--detach"]));
        command.env_clear().env("OF", "runtime");
        drop(output(command, PATIENCE).success());
        let mut command = orlop.command(["delete", "--force", container.id()]);
        command.env_clear().env("OF", "runtime");
        drop(output(command, PATIENCE).success());
        assert_eq!(container.leftovers(), Vec::<String>::new());
    };
    run(&bundle);
    for (kind, told) in log(&bundle) {
        let expected = if kind.ends_with("Container") { "OF=process" } else { "OF=runtime" };
        assert_eq!(told["env"], json!([expected]), "{kind}");
    }
    for given in [json!([]), json!(["A=1", "B=with=sign"])] {
        fs::remove_file(bundle.rootfs().join("tmp/hooks")).expect("log");
        bundle.edit(|spec| KINDS.iter().for_each(|kind| spec["hooks"][*kind][0]["env"] = given.clone()));
        run(&bundle);
        let log = log(&bundle);
        assert_eq!(kinds(&log), KINDS);
        log.iter().for_each(|(kind, told)| assert_eq!(told["env"], given, "{kind}"));
    }
}

#[test]
fn a_state_larger_than_a_pipe_arrives_whole() {
    skip_unless!(host::is_root(), "root");
    let orlop = Runtime::new(ORLOP);
    let large = "x\"/".repeat(100_000);
    let bundle = bundle().set("/annotations/large", large.as_str()).build();
    let container = orlop.container(&bundle);
    drop(container.run(&["--detach"]).success());
    drop(container.delete(&["--force"]).success());
    let log = log(&bundle);
    assert_eq!(kinds(&log), KINDS);
    for (kind, told) in &log {
        assert!(state(told)["annotations"]["large"] == large, "{kind} was told something else");
    }
}

#[test]
fn a_hook_that_does_not_read_its_state_is_fine() {
    skip_unless!(host::is_root(), "root");
    let orlop = Runtime::new(ORLOP);
    let bundle = Bundle::builder().name("hooks").args([PROBE_PATH, "exit", "3"]);
    let bundle = bundle.set("/annotations/large", "x".repeat(300_000));
    let bundle = KINDS.iter().fold(bundle, |bundle, kind| {
        let unread = json!({ "path": program(kind), "args": ["probe", "exit", "0"] });
        bundle.push(&format!("/hooks/{kind}"), unread)
    });
    let bundle = bundle.build();
    let container = orlop.container(&bundle);
    let run = container.run(&[]);
    assert_eq!((run.code(), run.stderr()), (3, String::new()));
    assert_eq!(container.leftovers(), Vec::<String>::new());
}

/// The command that runs the hooks of a kind, and its words before the message.
fn verb_of(kind: &str) -> &'static str {
    match kind {
        "startContainer" | "poststart" => "start",
        "poststop" => "delete",
        _ => "create",
    }
}

// spec: config.hooks.order.within-array lifecycle.prestart.failure-error lifecycle.prestart.failure-stops
// spec: lifecycle.prestart.failure-destroys lifecycle.createruntime.failure-error
// spec: lifecycle.createruntime.failure-stops lifecycle.createruntime.failure-destroys
// spec: lifecycle.createcontainer.failure-error lifecycle.createcontainer.failure-stops
// spec: lifecycle.createcontainer.failure-destroys lifecycle.startcontainer.failure-error
// spec: lifecycle.startcontainer.failure-stops lifecycle.startcontainer.failure-destroys
// spec: lifecycle.poststart.failure-error lifecycle.poststart.failure-stops lifecycle.poststart.failure-destroys
#[test]
fn a_failing_hook_ends_the_container_and_poststop_still_runs() {
    skip_unless!(host::is_root(), "root");
    let orlop = Runtime::new(ORLOP);
    for (nth, kind) in KINDS.iter().enumerate().take(5) {
        let mut bundle = bundle().build();
        bundle.edit(|spec| {
            let failing = json!({
                "path": spec["hooks"][*kind][0]["path"],
                "args": spec["hooks"][*kind][0]["args"].as_array().expect("args").iter().cloned()
                    .chain([json!("say=of the hook"), json!("exit=3")]).collect::<Vec<_>>(),
            });
            let good = spec["hooks"][*kind][0].clone();
            spec["hooks"][*kind] = json!([good, failing, good]);
        });
        let container = orlop.container(&bundle);
        let created = container.create(&[]);
        let failed = match verb_of(kind) {
            "create" => created.failure(1),
            _ => {
                drop(created.success());
                container.start().failure(1)
            }
        };
        let words = format!("error running {kind} hook #1: exit status 3");
        assert!(failed.contains(&words) && failed.contains("of the hook"), "{kind}: {failed}");
        assert_eq!(container.leftovers(), Vec::<String>::new(), "{kind}");
        let mut expected = KINDS[..=nth].to_vec();
        expected.extend([*kind, "poststop"]);
        assert_eq!(kinds(&log(&bundle)), expected, "the third is not run, poststop is");

        fs::remove_file(bundle.rootfs().join("tmp/hooks")).expect("log");
        let container = orlop.container(&bundle);
        let failed = container.run(&[]).failure(1);
        assert!(failed.contains(&words), "{kind} in run: {failed}");
        assert_eq!(container.leftovers(), Vec::<String>::new(), "{kind} in run");
        assert_eq!(kinds(&log(&bundle)), expected, "in run");
    }
}

#[test]
fn poststop_follows_hooks_that_init_ran() {
    skip_unless!(host::is_root(), "root");
    let orlop = Runtime::new(ORLOP);
    let hooks = json!({
        "createContainer": [hook("createContainer", &["exit=3"])],
        "poststop": [hook("poststop", &[])],
    });
    let bundle = bundle().set("/hooks", hooks).build();
    let container = orlop.container(&bundle);
    assert!(container.create(&[]).failure(1).contains("createContainer hook #0: exit status 3"));
    assert_eq!(kinds(&log(&bundle)), ["createContainer", "poststop"]);
    assert_eq!(container.leftovers(), Vec::<String>::new());
}

// spec: lifecycle.poststop.failure-continues lifecycle.poststop.failure-delete-succeeds
// spec: runtime.warnings.flow-unchanged
#[test]
fn a_failing_poststop_hook_is_a_warning_and_the_others_run() {
    skip_unless!(host::is_root(), "root");
    let orlop = Runtime::new(ORLOP);
    let failing = hook("poststop", &["exit=3"]);
    let bundle = bundle().set("/hooks", json!({ "poststop": [failing, hook("poststop", &[])] })).build();
    let container = orlop.container(&bundle);
    drop(container.create(&[]).success());
    drop(container.delete(&["--force"]).success());
    assert_eq!(kinds(&log(&bundle)), ["poststop", "poststop"]);
    assert_eq!(container.leftovers(), Vec::<String>::new());
}

#[test]
fn a_hook_that_hangs_is_ended_at_its_timeout() {
    skip_unless!(host::is_root(), "root");
    let orlop = Runtime::new(ORLOP);
    for kind in &KINDS[..5] {
        let mut hanging = hook(kind, &["hang"]);
        hanging["timeout"] = json!(1);
        let bundle = bundle().set(&format!("/hooks/{kind}/0"), hanging).build();
        let container = orlop.container(&bundle);
        let failed = container.run(&["--detach"]).failure(1);
        assert!(failed.contains(&format!("error running {kind} hook #0: ")), "{kind}: {failed}");
        assert!(failed.contains("hook ran past specified timeout"), "{kind}: {failed}");
        assert_eq!(container.leftovers(), Vec::<String>::new(), "{kind}");
    }
}

/// A shell as a hook that waits for a child, whose pid it tells in a file of the bundle.
fn hook_with_child(bundle: BundleBuilder, kind: &str) -> Bundle {
    let script = "sleep 1000 & echo $! >$0; wait";
    let shell = json!({
        "path": "/bin/sh",
        "args": ["sh", "-c", script, "@BUNDLE@/child"],
        "env": ["PATH=/usr/bin:/bin"],
        "timeout": 1,
    });
    bundle.set(&format!("/hooks/{kind}"), json!([shell])).build()
}

#[test]
fn what_a_hanging_hook_started_ends_with_it() {
    skip_unless!(host::is_root(), "root");
    let orlop = Runtime::new(ORLOP);
    for kind in ["prestart", "createRuntime", "poststart", "poststop"] {
        let bundle = hook_with_child(Bundle::builder().name("hooks").args([PROBE_PATH, "exit", "0"]), kind);
        let container = orlop.container(&bundle);
        let run = container.run(&[]);
        assert_eq!(run.code(), i32::from(kind != "poststop"), "{kind}: {}", run.stderr());
        let child: PathBuf = bundle.path().join("child");
        let pid = fs::read_to_string(&child).expect("the child's pid").trim().parse().expect("a number");
        // No pidfd: it has been reaped already.
        if let Ok(pidfd) = pidfd_open(Pid::from_raw(pid).expect("a pid"), PidfdFlags::empty()) {
            assert!(readable(pidfd, PATIENCE), "the child of the {kind} hook lives");
        }
        assert_eq!(container.leftovers(), Vec::<String>::new(), "{kind}");
    }
}

#[test]
fn a_hook_that_is_missing_is_named() {
    skip_unless!(host::is_root(), "root");
    let orlop = Runtime::new(ORLOP);
    for kind in &KINDS[..5] {
        let bundle =
            bundle().set(&format!("/hooks/{kind}/0"), json!({ "path": "/nonexistent/hook" })).build();
        let container = orlop.container(&bundle);
        let failed = container.run(&[]).failure(1);
        let words = format!("error running {kind} hook #0: ");
        assert!(failed.contains(&words) && failed.contains("/nonexistent/hook"), "{kind}: {failed}");
        assert!(failed.to_lowercase().contains("no such file or directory"), "{kind}: {failed}");
        assert_eq!(container.leftovers(), Vec::<String>::new(), "{kind}");
    }
}
