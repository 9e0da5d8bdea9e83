//! A command that is killed at any moment leaves nothing that a second try or `delete --force` does not set right; an
//! init that is killed leaves nothing at all.
//!
//! strace lists the system calls of a command once, and then kills it as it enters each of them in turn; the steps of a
//! plan are a few calls each, so this is finer than killing at every step. Calls that change nothing outside the
//! process are left out unless `ORLOP_TEST_LONG=1`.

use std::{collections::BTreeMap, ffi::OsString, fs, process::Command, time::Duration};

use oci_conformance::{
    Bundle, BundleBuilder, Container, Output, PROBE_PATH, Runtime, host, runtime::output, skip_unless,
};

const ORLOP: &str = env!("CARGO_BIN_EXE_orlop");
/// Calls that nobody but the process notices: to be killed there is to be killed at the next other one.
const PRIVATE: &str = "access arch_prctl brk close dup epoll_create1 fcntl fstat fstatfs futex getcwd getdents64 getegid \
    geteuid getgid getpid getrandom gettid getuid lseek madvise mmap mprotect munmap newfstatat open openat openat2 poll \
    prctl pread64 prlimit64 read readlink readlinkat rseq rt_sigaction rt_sigprocmask sched_getaffinity \
    set_robust_list set_tid_address sigaltstack stat statfs statx uname";
const PATIENCE: Duration = Duration::from_secs(20);

fn traced(runtime: &Runtime, options: &[&str], words: &[OsString]) -> Output {
    let plain = runtime.command(words);
    let mut command = Command::new("strace");
    command.args(options);
    command.arg(plain.get_program()).args(plain.get_args()).stdin(std::process::Stdio::null());
    output(command, PATIENCE)
}

fn sleeper() -> BundleBuilder {
    Bundle::builder()
        .name("killed")
        .args([PROBE_PATH, "sleep"])
        .set("/linux/resources/pids", serde_json::json!({ "limit": 50 }))
}

fn words(verb: &str, options: &[&str], container: &Container<'_>) -> Vec<OsString> {
    [verb].iter().chain(options).chain(&[container.id()]).map(OsString::from).collect()
}

/// The calls of a command that did its work: name and how often it was made before.
fn calls(trace: &str) -> Vec<(&str, u32)> {
    let mut made = BTreeMap::new();
    let names = trace.lines().filter_map(|line| line.split_once('(')).map(|(name, _)| name);
    let names = names.filter(|name| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
    let counted = names.map(|name| {
        let count = made.entry(name).or_insert(0);
        *count += 1;
        (name, *count)
    });
    counted
        .filter(|(name, _)| host::is_long() || !PRIVATE.split(' ').any(|private| private == *name))
        .collect()
}

/// Kills a command at its calls in turn, each time with a new container. Between them: what makes it ready for the command,
/// the command's words, and what must be possible after it.
fn at_each_call(
    calls_min: usize,
    ready: impl Fn(&Container<'_>),
    words: impl Fn(&Container<'_>) -> Vec<OsString>,
    after: impl Fn(&Container<'_>),
) {
    skip_unless!(host::is_root(), "root");
    skip_unless!(host::find("strace").is_some(), "strace");
    let runtime = Runtime::new(ORLOP);
    let bundle = sleeper().build();
    let trace = bundle.path().join("trace");
    let killed_by = |options: &[&str]| {
        let container = runtime.container(&bundle);
        ready(&container);
        let done = traced(&runtime, options, &words(&container));
        let killed = done.code() == 137;
        assert!(killed || done.code() == 0, "{options:?}: {} {}", done.code(), done.stderr());
        let _state_never_fails_to_answer = container.call("state", &[]);
        after(&container);
        let left = container.leftovers();
        assert!(left.is_empty(), "{options:?}: {left:?}");
        killed
    };
    assert!(!killed_by(&["-o", &trace.to_string_lossy()]));
    let trace = fs::read_to_string(trace).expect("trace");
    let calls = calls(&trace);
    let kill = |(name, nth): &&(&str, u32)| {
        killed_by(&["-o", "/dev/null", "-e", &format!("inject={name}:signal=SIGKILL:when={nth}")])
    };
    let killed = calls.iter().filter(kill).count();
    // Some calls depend on chance, such as repeated waits.
    assert!(killed >= calls_min && killed * 10 >= calls.len() * 9, "{killed} killed of {}", calls.len());
}

fn delete_by_force(container: &Container<'_>) {
    drop(container.delete(&["--force"]).success());
}

#[test]
fn a_create_killed_at_any_system_call_can_be_deleted() {
    at_each_call(40, |_| {}, |container| container.in_bundle("create", &[]), delete_by_force);
}

#[test]
fn a_run_killed_at_any_system_call_can_be_deleted() {
    at_each_call(40, |_| {}, |container| container.in_bundle("run", &["--detach"]), delete_by_force);
}

#[test]
fn after_a_start_killed_at_any_system_call_the_container_runs_or_can_be_started() {
    at_each_call(
        8,
        |container| drop(container.create(&[]).success()),
        |container| words("start", &[], container),
        |container| {
            let again = container.start();
            let running = "cannot start an already running container";
            assert!(again.code() == 0 || again.stderr().contains(running), "{}", again.stderr());
            assert_eq!(container.state()["status"], "running");
            delete_by_force(container);
        },
    );
}

#[test]
fn a_delete_killed_at_any_system_call_can_be_repeated() {
    at_each_call(
        8,
        |container| drop(container.create(&[]).success()),
        |container| words("delete", &[], container),
        |container| {
            let again = container.delete(&[]);
            assert!(
                again.code() == 0 || again.stderr().contains("container does not exist"),
                "{}",
                again.stderr()
            );
        },
    );
}

#[test]
fn a_forced_delete_killed_at_any_system_call_can_be_repeated() {
    at_each_call(
        8,
        |container| drop(container.run(&["--detach"]).success()),
        |container| words("delete", &["--force"], container),
        delete_by_force,
    );
}

/// Waits until nobody but the container's first process is there.
fn await_alone(container: &Container<'_>) {
    let began = std::time::Instant::now();
    loop {
        let text = container.call("ps", &["--format", "json"]).success().stdout();
        let pids: Vec<i32> = serde_json::from_str(&text).expect("a list of pids");
        if pids.len() == 1 {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "processes were left: {text}");
    }
}

#[test]
fn after_an_exec_killed_at_any_system_call_nothing_of_it_is_left() {
    at_each_call(
        8,
        |container| drop(container.run(&["--detach"]).success()),
        |container| container.exec_args(&["--detach"], &[PROBE_PATH, "true"]),
        |container| {
            await_alone(container);
            drop(container.exec(&[], &[PROBE_PATH, "true"]).success());
            assert_eq!(container.state()["status"], "running");
            delete_by_force(container);
        },
    );
}

/// Calls that only the processes of an exec make.
const CALLS_OF_EXEC: &[&str] =
    &["setns", "keyctl", "setgroups", "setresgid", "setresuid", "capset", "setsid", "capget"];

#[test]
fn a_process_that_is_killed_on_its_way_in_is_an_error_and_leaves_nothing() {
    skip_unless!(host::is_root(), "root");
    skip_unless!(host::find("strace").is_some(), "strace");
    let runtime = Runtime::new(ORLOP);
    let bundle = sleeper().build();
    let container = runtime.container(&bundle);
    drop(container.run(&["--detach"]).success());
    let pid_file = bundle.path().join("pid");
    let options = ["--detach", "--pid-file", &*pid_file.to_string_lossy()];
    for call in CALLS_OF_EXEC {
        let inject = format!("inject={call}:signal=SIGKILL");
        let words = container.exec_args(&options, &[PROBE_PATH, "sleep"]);
        let failed = traced(&runtime, &["-f", "-o", "/dev/null", "-e", &inject], &words).failure(255);
        assert!(failed.contains("exec failed: the process was killed by signal 9"), "{call}: {failed}");
        assert!(fs::symlink_metadata(&pid_file).is_err(), "{call}");
        await_alone(&container);
    }
    delete_by_force(&container);
    assert_eq!(container.leftovers(), Vec::<String>::new());
}

/// Calls that only the launcher and init make.
const CALLS_OF_INIT: &[&str] = &[
    "keyctl",
    "setsid",
    "fsopen",
    "fsmount",
    "move_mount",
    "symlinkat",
    "sethostname",
    "pivot_root",
    "umount2",
];
/// Calls that init makes after the start signal.
const CALLS_OF_START: &[&str] = &["setgroups", "setresgid", "setresuid", "capset"];

#[test]
fn an_init_that_is_killed_is_an_error_and_leaves_nothing() {
    skip_unless!(host::is_root(), "root");
    skip_unless!(host::find("strace").is_some(), "strace");
    let runtime = Runtime::new(ORLOP);
    let bundle = sleeper().build();
    for (calls, verb, options) in [
        (CALLS_OF_INIT, "create", &[][..]),
        (CALLS_OF_INIT, "run", &[]),
        (CALLS_OF_START, "run", &["--detach"]),
    ] {
        for call in calls {
            let container = runtime.container(&bundle);
            let inject = format!("inject={call}:signal=SIGKILL");
            let words = container.in_bundle(verb, options);
            let failed = traced(&runtime, &["-f", "-o", "/dev/null", "-e", &inject], &words).failure(1);
            assert!(failed.contains(&format!("orlop {verb} failed: ")), "{call}: {failed}");
            assert_eq!(
                container.leftovers(),
                Vec::<String>::new(),
                "{verb} with init killed at {call}: {failed}"
            );
        }
    }
}

#[test]
fn an_init_that_a_hook_kills_is_an_error_and_leaves_nothing() {
    skip_unless!(host::is_root(), "root");
    let runtime = Runtime::new(ORLOP);
    let script = r#"kill -9 "$(sed 's/.*"pid":\([0-9]*\).*/\1/')""#;
    let hook =
        serde_json::json!({ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"] });
    for kind in ["prestart", "createRuntime"] {
        let bundle = sleeper().push(&format!("/hooks/{kind}"), hook.clone()).build();
        let container = runtime.container(&bundle);
        let failed = container.create(&[]).failure(1);
        assert!(failed.contains("orlop create failed: "), "{failed}");
        assert_eq!(container.leftovers(), Vec::<String>::new(), "{kind}: {failed}");
    }
}
