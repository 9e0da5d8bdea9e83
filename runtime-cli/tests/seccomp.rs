//! Filters of system calls, as the program under them sees them.

use std::{fs, time::Duration};

use oci_conformance::{
    Bundle, BundleBuilder, PROBE_PATH, Runtime,
    agent::{Agent, Answer, answer_all},
    host,
};
use rustix::io::Errno;
use serde_json::{Value, json};

const ORLOP: &str = env!("CARGO_BIN_EXE_orlop");
const PATIENCE: Duration = Duration::from_secs(20);

/// `getppid`, which nothing needs.
#[cfg(target_arch = "x86_64")]
const GETPPID: (&str, i32) = ("getppid", 110);
#[cfg(target_arch = "aarch64")]
const GETPPID: (&str, i32) = ("getppid", 173);

/// `keyctl`, which Docker's filter refuses.
const KEYCTL: &str = if cfg!(target_arch = "x86_64") { "250" } else { "219" };

/// The filter of Docker 20.10, from its configuration.
fn docker() -> Value {
    let config: Value =
        serde_json::from_str(include_str!("../../runtime-core/tests/fixtures/engines/docker-20.10.json"))
            .expect("JSON");
    config["linux"]["seccomp"].clone()
}

fn orlop() -> Option<Runtime> {
    if !host::is_root() {
        host::skipped("root");
        return None;
    }
    Some(Runtime::new(ORLOP))
}

/// Allows all but this.
fn denying(names: &[&str], action: Value) -> Value {
    let mut rule = action;
    rule["names"] = json!(names);
    json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule] })
}

fn errno(errno: u32) -> Value {
    json!({ "action": "SCMP_ACT_ERRNO", "errnoRet": errno })
}

/// Status in /proc, then what the call gives.
fn program() -> Vec<String> {
    let words = [PROBE_PATH, "each", "read", "/proc/self/status", "--", "call", &GETPPID.1.to_string()];
    words.map(str::to_owned).to_vec()
}

fn under(filter: Value, edit: impl FnOnce(BundleBuilder) -> BundleBuilder) -> Bundle {
    edit(Bundle::builder().args(program()).set("/linux/seccomp", filter)).build()
}

fn field<'a>(status: &'a str, name: &str) -> &'a str {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_default().trim()
}

fn run(orlop: &Runtime, bundle: &Bundle) -> String {
    let container = orlop.container(bundle);
    let output = container.run(&[]).success();
    output.stdout()
}

#[test]
fn a_denied_call_fails_with_its_errno() {
    let Some(orlop) = orlop() else { return };
    for no_new_privs in [true, false] {
        let bundle = under(denying(&[GETPPID.0], errno(77)), |bundle| {
            bundle.set("/process/noNewPrivileges", no_new_privs)
        });
        let seen = run(&orlop, &bundle);
        assert_eq!((field(&seen, "Seccomp"), field(&seen, "Seccomp_filters")), ("2", "1"), "{seen}");
        assert_eq!(field(&seen, "NoNewPrivs"), if no_new_privs { "1" } else { "0" });
        assert!(seen.ends_with("\n77\n"), "{seen}");
    }
}

/// Without `no_new_privs` loading takes a capability that the program must not have.
#[test]
fn nothing_is_kept_of_what_loading_needs() {
    let Some(orlop) = orlop() else { return };
    for (uid, capabilities) in [
        (0, json!(["CAP_KILL"])),
        (1000, json!(["CAP_KILL"])),
        (0, json!(["CAP_KILL", "CAP_SYS_PTRACE"])),
        (7, json!([])),
    ] {
        let told = |filter: Value| {
            let bundle = under(filter, |bundle| {
                let sets = ["bounding", "effective", "permitted", "ambient", "inheritable"];
                let bundle = bundle.set("/process/noNewPrivileges", false).set("/process/user/uid", uid);
                sets.iter().fold(bundle, |bundle, set| {
                    bundle.set(&format!("/process/capabilities/{set}"), capabilities.clone())
                })
            });
            let seen = run(&orlop, &bundle);
            ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map(|name| field(&seen, name).to_owned())
        };
        assert_eq!(told(denying(&[GETPPID.0], errno(1))), told(Value::Null), "{uid} {capabilities}");
    }
}

/// What init does after the filter is nothing but execve, so a profile need not know of init's calls.
#[test]
fn a_profile_that_knows_only_the_program_is_enough() {
    let Some(orlop) = orlop() else { return };
    let killed = [
        "capset",
        "clone",
        "clone3",
        "close",
        "close_range",
        "getppid",
        "ppoll",
        "prctl",
        "recvmsg",
        "rt_sigprocmask",
        "sendmsg",
        "setgid",
        "setgroups",
        "setresgid",
        "setresuid",
        "setuid",
        "umask",
        "unshare",
        "write",
    ];
    for no_new_privs in [true, false] {
        let filter = denying(&killed, json!({ "action": "SCMP_ACT_KILL_PROCESS" }));
        let bundle = Bundle::builder()
            .args([PROBE_PATH, "true"])
            .set("/linux/seccomp", filter)
            .set("/process/noNewPrivileges", no_new_privs)
            .build();
        let container = orlop.container(&bundle);
        assert_eq!(container.run(&[]).success().stdout(), "");
        drop(container.create(&[]).success());
        drop(container.start().success());
        container.wait();
    }
}

#[test]
fn hooks_are_not_under_the_filter() {
    let Some(orlop) = orlop() else { return };
    let bundle = under(denying(&[GETPPID.0, "openat", "open"], errno(1)), |bundle| {
        bundle
            .args([PROBE_PATH, "true"])
            .set("/root/readonly", false)
            .set("/process/noNewPrivileges", false)
            .push("/hooks/startContainer", json!({"path": PROBE_PATH, "args": ["probe", "hook", "/told"]}))
    });
    let container = orlop.container(&bundle);
    drop(container.run(&[]).success());
    let told = fs::read_to_string(bundle.rootfs().join("told")).expect("the hook could open a file");
    assert!(told.contains("\"pid\""), "{told}");
}

#[test]
fn the_profile_of_docker_holds_with_and_without_no_new_privileges() {
    let Some(orlop) = orlop() else { return };
    for (no_new_privs, capability) in [(true, "CAP_KILL"), (false, "CAP_KILL"), (false, "CAP_SYS_PTRACE")] {
        let bundle = under(docker(), |bundle| {
            bundle
                .args([PROBE_PATH, "call", KEYCTL])
                .set("/process/noNewPrivileges", no_new_privs)
                .push("/process/capabilities/bounding", capability)
        });
        assert_eq!(run(&orlop, &bundle), "1\n", "{no_new_privs} {capability}");
    }
}

#[test]
fn the_profile_of_docker_holds_in_a_joined_pid_namespace() {
    let Some(orlop) = orlop() else { return };
    let first = Bundle::builder().args([PROBE_PATH, "sleep"]).build();
    let first = orlop.container(&first);
    let (created, _pipe) = first.create_piped(&[]);
    drop(created.success());
    drop(first.start().success());
    let path = format!("/proc/{}/ns/pid", first.state()["pid"]);
    for no_new_privs in [true, false] {
        // Before Linux 6.18 its /proc cannot be mounted.
        let bundle = under(docker(), |bundle| {
            bundle
                .args([PROBE_PATH, "call", KEYCTL])
                .namespace("pid", Some(&path))
                .remove("/mounts/0")
                .set("/process/noNewPrivileges", no_new_privs)
        });
        assert_eq!(run(&orlop, &bundle), "1\n", "{no_new_privs}");
    }
}

#[test]
fn a_user_namespace_has_its_filter() {
    let Some(orlop) = orlop() else { return };
    let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65536 }]);
    for no_new_privs in [true, false] {
        let bundle = under(denying(&[GETPPID.0], errno(77)), |bundle| {
            bundle
                .namespace("user", None)
                .set("/linux/uidMappings", map.clone())
                .set("/linux/gidMappings", map.clone())
                .set("/process/noNewPrivileges", no_new_privs)
        });
        assert!(run(&orlop, &bundle).ends_with("\n77\n"), "{no_new_privs}");
    }
}

// spec: linux.seccomp.listenerpath.socket-type linux.seccomp.listenerpath.seccompfd linux.seccomp.state.json
// spec: linux.seccomp.state.fds-by-scm-rights linux.seccomp.state.ociversion linux.seccomp.state.pid
// spec: linux.seccomp.state.state
#[test]
fn an_agent_gets_the_listener_and_answers() {
    let Some(orlop) = orlop() else { return };
    for no_new_privs in [true, false] {
        let agent = Agent::new();
        let mut filter = denying(
            &[GETPPID.0, "openat", "close", "execve", "read"],
            json!({ "action": "SCMP_ACT_NOTIFY" }),
        );
        filter["listenerPath"] = json!(agent.path());
        filter["listenerMetadata"] = json!("some words");
        let bundle = under(filter, |bundle| {
            bundle.set("/process/noNewPrivileges", no_new_privs).set("/annotations/org.example", "x").args([
                PROBE_PATH.to_owned(),
                "call".to_owned(),
                GETPPID.1.to_string(),
            ])
        });
        let container = orlop.container(&bundle);
        let answers = std::thread::spawn(move || {
            let (listener, state) = agent.receive(PATIENCE);
            let asked = answer_all(&listener, PATIENCE, |number| match number {
                number if number == GETPPID.1 => Answer::Errno(Errno::XDEV),
                _ => Answer::Continue,
            });
            (state, asked)
        });
        let output = container.run(&[]).success();
        assert_eq!(output.stdout(), format!("{}\n", Errno::XDEV.raw_os_error()));
        let (told, asked) = answers.join().expect("agent");
        assert_eq!(asked.iter().filter(|&&number| number == GETPPID.1).count(), 1);
        assert_eq!((&told["ociVersion"], &told["fds"]), (&json!("1.0.2"), &json!(["seccompFd"])));
        assert_eq!(told["metadata"], "some words");
        let state = &told["state"];
        assert_eq!((&state["id"], &state["status"]), (&json!(container.id()), &json!("creating")));
        assert_eq!(state["annotations"]["org.example"], "x");
        assert_eq!(state["bundle"], json!(bundle.path()));
        assert!(told["pid"].as_i64().is_some_and(|pid| pid > 1) && told["pid"] == state["pid"], "{told}");
    }
}

#[test]
fn exec_is_under_the_filter_too() {
    let Some(orlop) = orlop() else { return };
    for (no_new_privs, notify) in [(true, false), (false, false), (true, true), (false, true)] {
        let agent = Agent::new();
        let action = if notify { json!({ "action": "SCMP_ACT_NOTIFY" }) } else { errno(77) };
        let mut filter = denying(&[GETPPID.0], action);
        if notify {
            filter["listenerPath"] = json!(agent.path());
        }
        let bundle = under(filter, |bundle| {
            bundle.args([PROBE_PATH, "sleep"]).set("/process/noNewPrivileges", no_new_privs)
        });
        let container = orlop.container(&bundle);
        let (created, _pipe) = container.create_piped(&[]);
        drop(created.success());
        let first = notify.then(|| agent.receive(PATIENCE));
        drop(container.start().success());
        let answers = notify.then(|| {
            std::thread::spawn(move || {
                let (listener, state) = agent.receive(PATIENCE);
                answer_all(&listener, PATIENCE, |_| Answer::Errno(Errno::from_raw_os_error(77)));
                state
            })
        });
        let mut words = vec!["exec".to_owned(), container.id().to_owned()];
        words.extend(program());
        let seen = orlop.call(words).success().stdout();
        assert!(
            field(&seen, "Seccomp") == "2" && seen.ends_with("\n77\n"),
            "{no_new_privs} {notify}: {seen}"
        );
        let container_pid = container.state()["pid"].clone();
        if let (Some((_, first)), Some(answers)) = (first, answers) {
            let told = answers.join().expect("agent");
            assert_eq!((&first["pid"], &first["state"]["pid"]), (&container_pid, &container_pid));
            assert_eq!(
                (&told["state"]["pid"], &told["state"]["status"]),
                (&container_pid, &json!("running"))
            );
            assert_ne!(told["pid"], container_pid);
        }
    }
}

// spec: linux.seccomp.listenerpath.failure-error
#[test]
fn a_missing_agent_fails_create_and_leaves_nothing() {
    let Some(orlop) = orlop() else { return };
    let mut filter = denying(&[GETPPID.0], json!({ "action": "SCMP_ACT_NOTIFY" }));
    filter["listenerPath"] = json!("/no/such/agent");
    for no_new_privs in [true, false] {
        let bundle = under(filter.clone(), |bundle| bundle.set("/process/noNewPrivileges", no_new_privs));
        let container = orlop.container(&bundle);
        let told = container.create(&[]).failure(1);
        assert!(
            told.contains("failed to connect with seccomp agent specified in the seccomp profile"),
            "{told}"
        );
        assert!(told.contains("no such file or directory"), "{told}");
        assert_eq!(container.leftovers(), Vec::<String>::new());
    }
}

#[test]
fn wrong_profiles_are_refused_with_their_place() {
    let Some(orlop) = orlop() else { return };
    for (filter, expected) in [
        (json!({ "defaultAction": "SCMP_ACT_FOO" }), "linux.seccomp.defaultAction: "),
        (
            json!({ "defaultAction": "SCMP_ACT_NOTIFY" }),
            "linux.seccomp.defaultAction: SCMP_ACT_NOTIFY cannot be used as default action",
        ),
        (
            denying(&["write"], json!({ "action": "SCMP_ACT_NOTIFY" })),
            "SCMP_ACT_NOTIFY cannot be used for the write syscall",
        ),
        (denying(&["read"], json!({ "action": "SCMP_ACT_NOTIFY" })), "seccomp listenerPath is not set"),
        (
            json!({ "defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_FOO"] }),
            "linux.seccomp.flags[0]: ",
        ),
    ] {
        let bundle = under(filter.clone(), |bundle| bundle);
        let container = orlop.container(&bundle);
        let told = container.create(&[]).failure(1);
        assert!(told.contains(expected), "{filter}: {told}");
        assert_eq!(container.leftovers(), Vec::<String>::new());
    }
}

/// Only a filter that is loaded before the end can: here since a listener is handed over.
#[test]
fn a_filter_that_kills_init_is_named() {
    let Some(orlop) = orlop() else { return };
    let agent = Agent::new();
    let mut filter = denying(&[GETPPID.0], json!({ "action": "SCMP_ACT_NOTIFY" }));
    filter["listenerPath"] = json!(agent.path());
    let killing = json!({ "names": ["recvmsg"], "action": "SCMP_ACT_KILL_PROCESS" });
    filter["syscalls"].as_array_mut().expect("a list").push(killing);
    let bundle = under(filter, |bundle| bundle);
    let container = orlop.container(&bundle);
    let told = container.create(&[]).failure(1);
    assert!(told.contains("SIGSYS") && told.contains("filter of system calls"), "{told}");
    assert_eq!(container.leftovers(), Vec::<String>::new());
}
