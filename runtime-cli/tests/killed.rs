//! A create that is killed at any moment leaves nothing that `delete --force` does not remove.
//!
//! strace kills the command at its n-th system call, for every n until one create comes through. The steps of a plan
//! are a few calls each, so this is finer than killing at every step.

use std::{ffi::OsString, process::Command, time::Duration};

use oci_conformance::{Bundle, Runtime, host, runtime::output, skip_unless};

/// More than any create makes; a bound on the test, not an expectation.
const CALLS_MAX: u32 = 2000;

fn killed_at(runtime: &Runtime, call: u32, create: &[OsString]) -> oci_conformance::Output {
    let plain = runtime.command(create);
    let mut command = Command::new("strace");
    command.args(["-o", "/dev/null", "-e"]).arg(format!("inject=all:signal=SIGKILL:when={call}"));
    command.arg(plain.get_program()).args(plain.get_args()).stdin(std::process::Stdio::null());
    output(command, Duration::from_secs(20))
}

#[test]
fn a_create_killed_at_any_system_call_can_be_deleted() {
    skip_unless!(host::is_root(), "root");
    skip_unless!(host::find("strace").is_some(), "strace");
    let runtime = Runtime::new(env!("CARGO_BIN_EXE_orlop"));
    let bundle = Bundle::builder()
        .name("killed")
        .args(["/bin/probe", "sleep"])
        .set("/process/terminal", false)
        .set("/linux/resources/pids", serde_json::json!({ "limit": 50 }))
        .build();
    let mut killed = 0;
    for call in 1..CALLS_MAX {
        let container = runtime.container(&bundle);
        let created = killed_at(&runtime, call, &container.in_bundle("create", &[]));
        let _state_never_fails_to_answer = container.call("state", &[]);
        drop(container.delete(&["--force"]).success());
        let left = container.leftovers();
        assert!(left.is_empty(), "killed at call {call}: {left:?}");
        if created.code() == 0 {
            break;
        }
        assert_eq!(created.code(), 137, "call {call}: {}", created.stderr());
        killed += 1;
    }
    assert!(killed > 50, "only {killed} creates were killed");
    assert!(killed + 2 < CALLS_MAX, "no create came through");
}
