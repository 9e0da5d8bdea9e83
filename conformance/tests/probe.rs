//! The probe and the bundles, tried outside a container and under another runtime.

use std::{
    io::Write,
    process::{Command, Stdio},
    time::Duration,
};

use oci_conformance::{
    Bundle, ConsoleSocket, Facts, Runtime, host,
    runtime::{output, read_until},
    skip_unless,
};

fn probe(bundle: &Bundle, words: &[&str]) -> Command {
    let mut command = Command::new(bundle.rootfs().join("bin/probe"));
    command.args(words).stdin(Stdio::null());
    command
}

fn run(bundle: &Bundle, words: &[&str]) -> oci_conformance::Output {
    output(probe(bundle, words), Duration::from_secs(60))
}

#[test]
fn facts_are_json_and_true_of_this_process() {
    let bundle = Bundle::builder().build();
    let mut command = probe(&bundle, &["facts", "path=/dev/null", "sysctl=kernel.pid_max"]);
    command.env_clear().env("A", "quote \" and \\ and\nline").current_dir("/");
    let facts = Facts::parse(&output(command, Duration::from_secs(60)).success().stdout());
    assert_eq!(facts.env("A"), Some("quote \" and \\ and\nline"));
    assert_eq!(facts.at("/ppid"), std::process::id());
    assert_eq!(facts.at("/uid/real"), rustix::process::getuid().as_raw());
    assert_eq!(facts.text("/cwd"), "/");
    assert_eq!(facts.at("/rlimits").as_object().map(serde_json::Map::len), Some(16));
    assert_eq!(facts.at("/paths/~1dev~1null/file/device"), "1:3");
    assert_eq!(facts.at("/devices/~1dev~1null/device"), "1:3");
    assert!(facts.at("/sysctls/kernel.pid_max").is_string());
    assert!(facts.mount("/").is_some());
    assert_eq!(facts.text("/signals/caught"), "0000000000000000", "no start code may touch signals");
}

#[test]
fn verbs_end_as_asked() {
    let bundle = Bundle::builder().build();
    let rows: [(&[&str], i32, &str); 11] = [
        (&["true"], 0, ""),
        (&["exit", "7"], 7, ""),
        (&["signal", "15"], 128 + 15, ""),
        (&["echo", "a", "b"], 0, "a b\n"),
        (&["open", "/dev/null", "rw"], 0, "0\n"),
        (&["open", "/does/not/exist", "r"], 0, "2\n"),
        (&["connect", "/does/not/exist"], 0, "2\n"),
        (&["access", "/dev/null", "w"], 0, "0\n"),
        (&["each", "echo", "1", "--", "echo", "2", "--", "exit", "3", "--", "echo", "4"], 3, "1\n2\n"),
        (&["read", "/does/not/exist"], 2, ""),
        (&["unheard"], 2, ""),
    ];
    for (words, code, stdout) in rows {
        let output = run(&bundle, words);
        assert_eq!(
            (output.code(), output.stdout().as_str()),
            (code, stdout),
            "{words:?} {}",
            output.stderr()
        );
    }
}

#[test]
fn wait_term_ends_with_zero_on_term() {
    let bundle = Bundle::builder().build();
    let mut child = probe(&bundle, &["wait-term"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut ready = [0; 6];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut ready).unwrap();
    assert_eq!(&ready, b"ready\n");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_hook_tells_what_it_was_given() {
    let bundle = Bundle::builder().build();
    let file = bundle.path().join("hook.log");
    let mut child = probe(&bundle, &["hook", file.to_str().unwrap(), "exit=4", "say=text"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"{\"pid\":1}").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(4));
    let told = Facts::parse(std::fs::read_to_string(file).unwrap().trim_end());
    assert_eq!(told.text("/stdin"), "{\"pid\":1}");
    assert!(told.at("/namespaces/mnt").is_string());
}

#[test]
fn runc_runs_the_default_bundle_and_leaves_nothing() {
    skip_unless!(host::is_root(), "root");
    skip_unless!(host::find("runc").is_some(), "runc");
    let bundle = Bundle::builder().build();
    let runtime = Runtime::new("runc");
    let container = runtime.container(&bundle);
    let facts = container.run_facts();
    assert_eq!(facts.at("/pid"), 1);
    assert_eq!(facts.text("/hostname"), "conformance");
    assert_eq!(
        facts.list("/capabilities/effective"),
        ["CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_AUDIT_WRITE"]
    );
    assert_eq!(facts.at("/paths/~1proc~1timer_list/file/device"), "1:3", "a masked file is /dev/null");
    assert!(container.leftovers().is_empty(), "{:?}", container.leftovers());
}

#[test]
fn leftovers_of_a_created_container_are_seen() {
    skip_unless!(host::is_root(), "root");
    skip_unless!(host::find("runc").is_some(), "runc");
    let bundle = Bundle::builder().args(["/bin/probe", "wait-term"]).build();
    let runtime = Runtime::new("runc");
    let container = runtime.container(&bundle);
    drop(container.create(&[]).success());
    assert_eq!(container.state()["status"], "created");
    assert!(container.leftovers().len() >= 3, "{:?}", container.leftovers());
    drop(container.start().success());
    drop(container.kill("KILL").success());
    container.wait();
    drop(container.delete(&[]).success());
    assert!(container.leftovers().is_empty(), "{:?}", container.leftovers());
}

#[test]
fn unified_view_shows_cgroup2_to_the_container() {
    skip_unless!(host::is_root(), "root");
    skip_unless!(host::find("runc").is_some(), "runc");
    skip_unless!(host::has_unified_view(), "unshare(1) and the right to mount cgroup2");
    let bundle = Bundle::builder().build();
    let runtime = Runtime::new("runc").in_unified_view();
    let facts = runtime.container(&bundle).run_facts();
    assert_eq!(facts.mount("/sys/fs/cgroup").map(|mount| &mount["type"]), Some(&"cgroup2".into()));
}

#[test]
fn a_terminal_comes_through_the_console_socket() {
    skip_unless!(host::is_root(), "root");
    skip_unless!(host::find("runc").is_some(), "runc");
    let bundle = Bundle::builder().args(["/bin/probe", "tty"]).set("/process/terminal", true).build();
    let runtime = Runtime::new("runc");
    let container = runtime.container(&bundle);
    let socket = ConsoleSocket::new();
    drop(container.create(&["--console-socket", socket.path().to_str().unwrap()]).success());
    let (terminal, _) = socket.receive(Duration::from_secs(60));
    drop(container.start().success());
    let told = Facts::parse(read_until(&terminal, "\n", Duration::from_secs(60)).trim_end());
    assert_eq!(told.at("/0/foreground_group"), 1);
}

#[test]
fn what_a_created_container_says_can_be_waited_for() {
    skip_unless!(host::is_root(), "root");
    skip_unless!(host::find("runc").is_some(), "runc");
    let bundle = Bundle::builder().args(["/bin/probe", "wait-term"]).build();
    let runtime = Runtime::new("runc");
    let container = runtime.container(&bundle);
    let (created, output) = container.create_piped(&[]);
    drop(created.success());
    drop(container.start().success());
    read_until(&output, "ready\n", Duration::from_secs(60));
    drop(container.kill("TERM").success());
    assert_eq!(read_until(&output, "term\n", Duration::from_secs(60)), "term\n");
}
