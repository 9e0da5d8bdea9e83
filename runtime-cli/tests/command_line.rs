//! What the command does before any container is there: arguments, messages, exit codes, where errors go.

use std::{
    fs,
    process::{Command, Output, Stdio},
};

use serde_json::Value;

const ORLOP: &str = env!("CARGO_BIN_EXE_orlop");

fn orlop(args: &[&str]) -> Output {
    Command::new(ORLOP).args(args).stdin(Stdio::null()).output().expect("orlop runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs below a state root of its own and gives the message of its failure.
fn failure(args: &[&str], code: i32) -> String {
    let dir = tempfile::tempdir().expect("temporary directory");
    let log = dir.path().join("log.json");
    let root = dir.path().join("root");
    let output = Command::new(ORLOP)
        .args(["--log-format=json", "--log"])
        .arg(&log)
        .arg("--root")
        .arg(&root)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("orlop runs");
    assert_eq!(output.status.code(), Some(code), "{args:?}: {output:?}");
    let lines = fs::read_to_string(&log).expect("log");
    assert_eq!(lines.lines().count(), 1, "{args:?}: one object only on failure: {lines}");
    let line: Value = serde_json::from_str(&lines).expect("log line is JSON");
    assert_eq!(line["level"], "error");
    let message = line["msg"].as_str().expect("msg").to_owned();
    assert_eq!(stderr(&output), format!("{message}\n"), "stderr has the bare message");
    assert!(fs::symlink_metadata(&root).is_err(), "{args:?} made something");
    message
}

// spec: runtime.create.no-id-errors runtime.state.no-id-errors runtime.start.no-id-errors runtime.kill.no-id-errors
// spec: runtime.delete.no-id-errors
#[test]
fn wrong_command_lines_have_the_words_of_runc() {
    for (args, words) in [
        (&["create"][..], "\"create\" requires exactly 1 argument(s)"),
        (&["create", "a", "b"], "\"create\" requires exactly 1 argument(s)"),
        (&["state"], "\"state\" requires exactly 1 argument(s)"),
        (&["start"], "\"start\" requires exactly 1 argument(s)"),
        (&["delete"], "\"delete\" requires exactly 1 argument(s)"),
        (&["kill"], "\"kill\" requires a minimum of 1 argument(s)"),
        (&["kill", "a", "TERM", "x"], "\"kill\" requires a maximum of 2 argument(s)"),
        (&["list", "x"], "\"list\" requires exactly 0 argument(s)"),
        (&["create", "--bundle"], "flag needs an argument: -bundle"),
        (&["run", "-b"], "flag needs an argument: -b"),
        (&["state", "--bogus", "x"], "flag provided but not defined: -bogus"),
        (&["state", "--root", "/x", "id"], "flag provided but not defined: -root"),
        (&["kill", "id", "NOSUCH"], "unknown signal \"NOSUCH\""),
        (&["list", "--format", "xml"], "invalid format option"),
        (&["ps"], "\"ps\" requires a minimum of 1 argument(s)"),
    ] {
        let message = failure(args, 1);
        assert!(message.ends_with(words), "{args:?}: {message}");
    }
}

#[test]
fn an_unknown_command_exits_3() {
    assert_eq!(failure(&["bogus"], 3), "No help topic for 'bogus'");
}

#[test]
fn commands_that_are_not_there_yet_are_refused_by_name() {
    for verb in ["checkpoint", "restore"] {
        let words = format!("{verb} is not supported by this version of orlop yet");
        assert_eq!(failure(&[verb, "--some-option", "id"], 1), words);
        assert_eq!(failure(&[verb, "--help"], 1), words, "or engines would take it for supported");
    }
}

// spec: runtime.state.unknown-id-errors runtime.start.unknown-id-errors
#[test]
fn a_missing_container_does_not_exist() {
    for args in [
        &["state", "no"][..],
        &["start", "no"],
        &["kill", "no", "9"],
        &["kill", "--all", "no"],
        &["delete", "no"],
        &["pause", "no"],
        &["resume", "no"],
        &["ps", "no"],
        &["events", "--stats", "no"],
        &["update", "--pids-limit", "5", "no"],
    ] {
        let message = failure(args, 1);
        assert!(message.contains("does not exist"), "{args:?}: {message}");
    }
}

#[test]
fn delete_by_force_of_nothing_is_success() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let root = dir.path().to_string_lossy().into_owned();
    for args in [&["--root", &root, "delete", "--force", "no"][..], &["--root", &root, "delete", "no", "-f"]]
    {
        let output = orlop(args);
        assert!(output.status.success(), "{output:?}");
        assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
    }
}

// spec: bundle.config.file.present runtime.create.no-bundle-errors
#[test]
fn a_missing_bundle_is_named_as_engines_know_it() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let bundle = dir.path().to_string_lossy().into_owned();
    let message = failure(&["create", "-b", &bundle, "x"], 1);
    assert!(message.starts_with("orlop create failed: "), "{message}");
    assert!(message.contains("config.json"), "{message}");
    assert!(failure(&["run", "-b", &bundle, "x"], 1).starts_with("orlop run failed: "));
    assert_eq!(fs::read_dir(&bundle).expect("list").count(), 0);
}

#[test]
fn invalid_ids_are_refused() {
    for id in ["a/b", "..", ".", "a b", "a:b"] {
        let message = failure(&["state", id], 1);
        assert!(
            message.contains("invalid container ID format") || message.contains("does not exist"),
            "{message}"
        );
    }
}

#[test]
fn global_options_may_be_repeated_and_stand_only_before_the_command() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let root = dir.path().to_string_lossy().into_owned();
    let root_option = format!("-root={root}");
    let repeated = [
        "--root",
        "/nonexistent",
        "--systemd-cgroup",
        &root_option,
        "-systemd-cgroup",
        "list",
        "--format=json",
    ];
    let output = orlop(&repeated);
    assert_eq!(stdout(&output), "null", "{output:?}");
    for args in [&["--rootless=maybe", "list"][..], &["--log-format=xml", "list"], &["--root=/", "list"]] {
        let output = orlop(args);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
    }
}

#[test]
fn a_log_that_cannot_be_opened_is_an_error_before_anything_is_done() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let log = dir.path().join("missing/log");
    let output = Command::new(ORLOP)
        .arg("--log")
        .arg(&log)
        .args(["spec", "-b"])
        .arg(dir.path())
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("no such file or directory"), "{output:?}");
    assert_eq!(fs::read_dir(dir.path()).expect("list").count(), 0);
}

#[test]
fn without_a_log_stderr_gets_the_line_in_the_format_asked_for() {
    let text = stderr(&orlop(&["bogus"]));
    assert!(
        text.starts_with("time=\"") && text.ends_with("level=error msg=\"No help topic for 'bogus'\"\n"),
        "{text}"
    );
    let json = stderr(&orlop(&["--log-format", "json", "bogus"]));
    assert_eq!(serde_json::from_str::<Value>(&json).expect("JSON")["msg"], "No help topic for 'bogus'");
}

#[test]
fn the_log_is_appended_to() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let log = dir.path().join("log").to_string_lossy().into_owned();
    for _ in 0..2 {
        assert!(!orlop(&["--log", &log, "bogus"]).status.success());
    }
    assert_eq!(fs::read_to_string(&log).expect("log").lines().count(), 2);
}

#[test]
fn help_and_version_go_to_stdout_and_succeed() {
    for args in [
        &["--help"][..],
        &["-h"],
        &[],
        &["help"],
        &["help", "create"],
        &["create", "--help"],
        &["create", "id", "-h"],
    ] {
        let output = orlop(args);
        assert!(output.status.success() && output.stderr.is_empty(), "{args:?}: {output:?}");
        assert!(stdout(&output).contains("Usage: orlop"), "{args:?}");
    }
    for args in [&["--version"][..], &["-v"], &["--root", "/x", "-version"]] {
        let version = stdout(&orlop(args));
        let lines: Vec<&str> = version.lines().collect();
        assert_eq!(lines[0], concat!("orlop version ", env!("CARGO_PKG_VERSION")));
        assert!(lines[1].starts_with("commit: "), "{version}");
        assert_eq!(lines[2], "spec: 1.3.0");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = Command::new(ORLOP)
        .arg("features")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("orlop runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("ends");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

// spec: features.ociversionmin.required features.ociversionmax.required features.ociversionmax.not-below-min
// spec: features.linux.mountextensions.idmap.partial-is-true
#[test]
fn features_is_one_document_with_what_engines_read() {
    let output =
        Command::new(ORLOP).arg("features").env_clear().current_dir("/").output().expect("orlop runs");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let text = stdout(&output);
    assert!(text.starts_with("{\n    \"") && text.ends_with("}\n"), "four blanks, a newline at the end");
    let features: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((&features["ociVersionMin"], &features["ociVersionMax"]), (&"1.0.0".into(), &"1.3.0".into()));
    let seccomp = &features["linux"]["seccomp"];
    assert_eq!(seccomp["enabled"], true);
    for (list, name, length) in [
        ("actions", "SCMP_ACT_NOTIFY", 9),
        ("operators", "SCMP_CMP_MASKED_EQ", 7),
        ("archs", "SCMP_ARCH_X86_64", 18),
        ("knownFlags", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", 4),
    ] {
        let names = seccomp[list].as_array().expect(list);
        assert!(names.contains(&name.into()) && names.len() >= length, "{list}: {names:?}");
    }
    let supported = seccomp["supportedFlags"].as_array().expect("a list");
    assert!(
        supported.iter().all(|flag| seccomp["knownFlags"].as_array().is_some_and(|all| all.contains(flag)))
    );
    for on in ["apparmor", "selinux", "intelRdt"] {
        assert_eq!(features["linux"][on]["enabled"], true, "{on}");
    }
    assert_eq!(features["linux"]["mountExtensions"]["idmap"]["enabled"], true);
    assert_eq!(features["linux"]["cgroup"]["systemd"], false);
    assert_eq!(features["linux"]["netDevices"]["enabled"], true);
    let kinds = ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"];
    assert_eq!(features["linux"]["namespaces"], serde_json::json!(kinds));
}

#[test]
fn the_systemd_driver_is_refused_where_a_container_is_made() {
    for args in [&["--systemd-cgroup", "create", "x"][..], &["--cgroup-manager", "systemd", "run", "x"]] {
        let message = failure(args, 1);
        assert!(message.contains("systemd cgroup driver") && message.contains("cgroupfs"), "{message}");
    }
}

#[test]
fn list_of_nothing_is_a_heading_null_or_nothing() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let list = |args: &[&str]| {
        let output =
            Command::new(ORLOP).arg("--root").arg(dir.path()).arg("list").args(args).output().expect("runs");
        assert!(output.status.success(), "{output:?}");
        stdout(&output)
    };
    assert_eq!(list(&[]), "ID          PID         STATUS      BUNDLE      CREATED     OWNER\n");
    assert_eq!(list(&["--format", "json"]), "null");
    assert_eq!(list(&["-q"]), "");
}

#[test]
fn spec_writes_what_test_suites_edit() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let spec = |args: &[&str]| {
        Command::new(ORLOP).arg("spec").args(args).current_dir(dir.path()).output().expect("orlop runs")
    };
    let output = spec(&[]);
    assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
    let text = fs::read_to_string(dir.path().join("config.json")).expect("config.json");
    assert!(text.starts_with("{\n\t\""), "indented by tabs");
    let config: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(config["process"]["terminal"], true);
    assert_eq!(config["process"]["args"], serde_json::json!(["sh"]));
    assert_eq!(config["root"], serde_json::json!({ "path": "rootfs", "readonly": true }));
    let output = spec(&[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("File config.json exists. Remove it first"), "{output:?}");
    fs::create_dir(dir.path().join("b")).expect("directory");
    assert!(spec(&["--rootless", "--bundle", "b"]).status.success());
    let text = fs::read_to_string(dir.path().join("b/config.json")).expect("config.json");
    let config: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(config["linux"]["uidMappings"][0]["containerID"], 0);
}

#[test]
fn a_sandbox_refuses_to_show_everything() {
    let output = Command::new(ORLOP).args(["try", "true"]).current_dir("/").output().expect("runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("/ is not made visible in a sandbox"), "{output:?}");
    let home = tempfile::tempdir().expect("temporary directory");
    let output = Command::new(ORLOP)
        .args(["--log-format=json", "try", "true"])
        .env("HOME", home.path())
        .current_dir(home.path())
        .output()
        .expect("runs");
    let line: Value = serde_json::from_str(&stderr(&output)).expect("JSON");
    assert!(line["hint"].as_str().is_some_and(|hint| hint.contains("--rw")), "{line}");
}

#[test]
fn a_sandbox_can_be_written_as_a_bundle() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let project = dir.path().join("project");
    fs::create_dir(&project).expect("project");
    let bundle = dir.path().join("bundle");
    let write = || {
        Command::new(ORLOP)
            .args(["try", "--bundle"])
            .arg(&bundle)
            .args(["--env", "A=b", "--", "echo", "--env"])
            .env("SECRET", "x")
            .current_dir(&project)
            .stdin(Stdio::null())
            .output()
            .expect("runs")
    };
    let output = write();
    assert!(output.status.success(), "{output:?}");
    let config = fs::read(bundle.join("config.json")).expect("config.json");
    let config: Value = serde_json::from_slice(&config).expect("JSON");
    assert_eq!(config["process"]["args"], serde_json::json!(["echo", "--env"]));
    let env = config["process"]["env"].as_array().expect("env");
    assert!(env.contains(&"A=b".into()) && !env.iter().any(|entry| entry == "SECRET=x"), "{env:?}");
    assert_eq!(config["process"]["terminal"], false);
    assert!(bundle.join("rootfs").is_dir());
    assert!(!write().status.success(), "an existing bundle is left alone");
}

#[test]
fn validate_tells_of_configuration_and_host_at_once() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let spec = Command::new(ORLOP).args(["spec", "--bundle"]).arg(dir.path()).output().expect("runs");
    assert!(spec.status.success(), "{spec:?}");
    let path = dir.path().join("config.json");
    let text = std::fs::read_to_string(&path).expect("config.json");
    let mut config: Value = serde_json::from_str(&text).expect("JSON");
    config["ociVersion"] = "2.0.0".into();
    config["process"]["cwd"] = "relative".into();
    config["linux"]["netDevices"] = serde_json::json!({"no-such-device": {}});
    config["hooks"] = serde_json::json!({"poststop": [{"path": "/no/such/hook"}]});
    std::fs::write(&path, config.to_string()).expect("config.json");
    let output = Command::new(ORLOP).arg("validate").arg(dir.path()).output().expect("runs");
    assert_eq!(output.status.code(), Some(1));
    let told = stdout(&output);
    let paths: Vec<&str> = told.lines().filter_map(|line| Some(line.split_once(": ")?.0)).collect();
    for path in [
        "ociVersion",
        "process.cwd",
        "root.path",
        "linux.netDevices[\"no-such-device\"]",
        "hooks.poststop[0].path",
    ] {
        assert!(paths.contains(&path), "{path}: {told}");
    }
}
