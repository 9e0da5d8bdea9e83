//! Annotations: kept for whoever reads the state, and those of crun that Podman and its users rely on.

use std::{fs, time::Duration};

use oci_conformance::{Bundle, ConsoleSocket, PROBE_PATH, Runtime, host, skip_unless};
use serde_json::json;

const ORLOP: &str = env!("CARGO_BIN_EXE_orlop");
const GROUPS: [&str; 3] = ["setpriv", "--groups=4242,4243", "--"];

// spec: config.annotations.unknown-ignored config.annotations.key.reverse-domain
#[test]
fn unknown_annotations_are_kept_in_the_state() {
    skip_unless!(host::is_root(), "root");
    let orlop = Runtime::new(ORLOP);
    let annotations = json!({"com.example.a=b": "c=d", "run.oci.unheard.of": "1", "x": ""});
    let bundle = Bundle::builder().set("/annotations", annotations.clone()).build();
    let container = orlop.container(&bundle);
    drop(container.create(&[]).success());
    assert_eq!(container.state()["annotations"], annotations);
}

#[test]
fn keep_original_groups_keeps_those_of_the_caller() {
    skip_unless!(host::is_root() && host::find("setpriv").is_some(), "root and setpriv(1)");
    let orlop = Runtime::new(ORLOP).wrapped_in(GROUPS);
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    for (value, has_user_namespace, groups) in [
        (Some("1"), false, json!([4242, 4243])),
        (Some("0"), false, json!([])),
        (None, false, json!([])),
        // Groups that are not mapped are there all the same; the kernel shows them as nobody's.
        (Some("1"), true, json!([65534, 65534])),
        (None, true, json!([])),
    ] {
        let mut bundle = Bundle::builder();
        if let Some(value) = value {
            bundle = bundle.set("/annotations/run.oci.keep_original_groups", value);
        }
        if has_user_namespace {
            let bundle_with = bundle.namespace("user", None);
            bundle =
                bundle_with.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map.clone());
        }
        let bundle = bundle.build();
        let container = orlop.container(&bundle);
        assert_eq!(container.run_facts().at("/groups"), &groups, "{value:?} {has_user_namespace}");
    }
}

#[test]
fn keep_original_groups_holds_for_exec() {
    skip_unless!(host::is_root() && host::find("setpriv").is_some(), "root and setpriv(1)");
    let orlop = Runtime::new(ORLOP).wrapped_in(GROUPS);
    let bundle = Bundle::builder()
        .args([PROBE_PATH, "sleep"])
        .set("/annotations/run.oci.keep_original_groups", "1")
        .build();
    let container = orlop.container(&bundle);
    drop(container.create(&[]).success());
    let told = orlop.call(["exec", container.id(), PROBE_PATH, "facts"]).success().stdout();
    let facts: serde_json::Value = serde_json::from_str(&told).unwrap_or_default();
    assert_eq!(facts["groups"], json!([4242, 4243]));
}

#[test]
fn hooks_print_to_the_files_of_annotations() {
    skip_unless!(host::is_root(), "root");
    let orlop = Runtime::new(ORLOP);
    let hook = |text: &str| {
        let script = format!("echo {text}; echo {text} failed >&2");
        json!([{"path": "/bin/sh", "args": ["sh", "-c", script]}])
    };
    let bundle = Bundle::builder()
        .set("/annotations/run.oci.hooks.stdout", "@BUNDLE@/out")
        .set("/annotations/run.oci.hooks.stderr", "@BUNDLE@/err")
        .set("/hooks/createRuntime", hook("one"))
        .set("/hooks/poststop", hook("two"))
        .args([PROBE_PATH, "true"])
        .build();
    let container = orlop.container(&bundle);
    drop(container.run(&[]).success());
    let read = |name: &str| fs::read_to_string(bundle.path().join(name)).unwrap_or_default();
    assert_eq!(read("out"), "one\ntwo\n");
    assert_eq!(read("err"), "one failed\ntwo failed\n");
}

#[test]
fn a_pidfd_receiver_is_sent_a_pidfd() {
    skip_unless!(host::is_root(), "root");
    let orlop = Runtime::new(ORLOP);
    let socket = ConsoleSocket::new();
    let bundle = Bundle::builder()
        .set("/annotations/run.oci.pidfd_receiver", socket.path().to_string_lossy().as_ref())
        .build();
    let container = orlop.container(&bundle);
    drop(container.create(&[]).success());
    let (pidfd, _) = socket.receive(Duration::from_secs(20));
    let shown = format!("/proc/self/fdinfo/{}", std::os::fd::AsRawFd::as_raw_fd(&pidfd));
    let shown = fs::read_to_string(shown).unwrap_or_default();
    assert!(shown.contains(&format!("Pid:\t{}\n", container.state()["pid"])), "{shown}");
}

#[test]
fn what_an_annotation_asks_for_in_vain_is_told() {
    skip_unless!(host::is_root(), "root");
    // Warnings are for people at a terminal, and for `--debug`.
    let orlop = Runtime::new(ORLOP).option("--debug");
    for (name, value, is_refused) in [
        ("run.oci.handler", "krun", true),
        ("run.oci.seccomp_bpf_data", "AAAA", true),
        ("run.oci.seccomp.receiver", "/x", true),
        ("run.oci.systemd.force_cgroup_v1", "/sys/fs/cgroup/systemd", true),
        ("run.oci.hooks.stdout", "not/absolute", true),
        ("run.oci.pidfd_receiver", "not/absolute", true),
        ("run.oci.delegate-cgroup", "payload", false),
        ("run.oci.systemd.subgroup", "container", false),
    ] {
        let bundle = Bundle::builder().set(&format!("/annotations/{name}"), value).build();
        let container = orlop.container(&bundle);
        let created = container.create(&[]);
        let told = created.stderr();
        assert_eq!(created.code() != 0, is_refused, "{name}: {told}");
        assert!(told.contains("annotations[") && told.contains(name), "{name}: {told}");
        drop(container.delete(&["--force"]).success());
        assert_eq!(container.leftovers(), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn an_unknown_system_call_is_an_error_where_that_is_asked_for() {
    skip_unless!(host::is_root(), "root");
    let orlop = Runtime::new(ORLOP);
    for (value, is_refused) in [("1", true), ("0", false)] {
        let profile = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["no_such_call"], "action": "SCMP_ACT_ERRNO"}],
        });
        let bundle = Bundle::builder()
            .set("/linux/seccomp", profile)
            .set("/annotations/run.oci.seccomp_fail_unknown_syscall", value)
            .build();
        let container = orlop.container(&bundle);
        let created = container.create(&[]);
        assert_eq!(created.code() != 0, is_refused, "{value}: {}", created.stderr());
        assert_eq!(created.stderr().contains("no_such_call"), is_refused, "{value}: {}", created.stderr());
    }
}
