//! Where a filter of system calls is loaded.

use super::*;

fn filtered(no_new_privs: bool) -> Case {
    let docker: Value =
        serde_json::from_str(include_str!("../../../tests/fixtures/engines/docker-20.10.json")).unwrap();
    Case::default()
        .set("/linux/seccomp", docker["linux"]["seccomp"].clone())
        .set("/process/noNewPrivileges", json!(no_new_privs))
}

fn notifying(no_new_privs: bool, call: &str) -> Case {
    let filter = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": "/run/agent",
        "listenerMetadata": "x",
        "syscalls": [{"names": [call], "action": "SCMP_ACT_NOTIFY"}],
    });
    Case::default().set("/linux/seccomp", filter).set("/process/noNewPrivileges", json!(no_new_privs))
}

fn permitted(plan: &Plan) -> u64 {
    let sets = plan.init.iter().find_map(|step| match step.op {
        OwnedOp::Capabilities { permitted, .. } => Some(permitted),
        _ => None,
    });
    sets.unwrap()
}

#[test]
fn a_filter_is_kept_for_the_exec() {
    for (no_new_privs, kept) in [(true, 0), (false, 1 << 21)] {
        let plan = filtered(no_new_privs).plan().unwrap();
        let names = names(&plan);
        assert_eq!(names[names.len() - 2..], ["FilterAtExec", "Exec"]);
        assert_eq!(permitted(&plan) & 1 << 21, kept, "CAP_SYS_ADMIN");
        let raises =
            place(&plan, |op| matches!(op, OwnedOp::FilterAtExec { raise, .. } if *raise != no_new_privs));
        assert_eq!(raises, names.len() - 2);
    }
}

#[test]
fn nothing_is_kept_that_somebody_could_get_at() {
    let joined = || filtered(false).namespace("pid", Some(false));
    let traced = || filtered(false).set("/process/capabilities/bounding", json!(["CAP_SYS_PTRACE"]));
    for case in [joined(), traced()] {
        let plan = case.plan().unwrap();
        assert!(!names(&plan).contains(&"FilterAtExec"));
        assert_eq!(permitted(&plan) & 1 << 21, 0);
        let filter = place(&plan, |op| matches!(op, OwnedOp::Filter { .. }));
        assert_eq!(place(&plan, |op| matches!(op, OwnedOp::Capabilities { .. })), filter + 1);
    }
}

#[test]
fn a_listener_is_handed_over_in_create() {
    for no_new_privs in [true, false] {
        let plan = notifying(no_new_privs, "mkdir").plan().unwrap();
        let is_listener = |flags: u32| flags & 8 != 0;
        let filter = place(
            &plan,
            |op| matches!(op, OwnedOp::Filter { flags, send: false, .. } if is_listener(*flags)),
        );
        let capabilities = place(&plan, |op| matches!(op, OwnedOp::Capabilities { .. }));
        assert_eq!(filter > capabilities, no_new_privs);
        assert!(plan.host.iter().any(|step| {
            matches!(&step.op, HostOp::SendListener { path, .. } if path.to_str() == Some("/run/agent"))
        }));
        let explained = explain_text(&plan);
        assert!(explained.contains("send the filter's listener to /run/agent"), "{explained}");
    }
}

#[test]
fn a_plain_user_is_sent_the_listener() {
    let plan = notifying(true, "mkdir").plain_user().plan().unwrap();
    place(&plan, |op| matches!(op, OwnedOp::Filter { send: true, .. }));
}

#[test]
fn what_this_kernel_cannot_is_refused() {
    let mut case = filtered(true);
    case.host.kernel.seccomp_flags = None;
    assert_eq!(case.problems(), ["linux.seccomp: seccomp: config provided but seccomp not supported"]);
    let mut case = notifying(true, "mkdir");
    case.host.kernel.seccomp_flags = Some(0x7);
    assert_eq!(
        case.problems(),
        ["linux.seccomp.flags: this kernel does not know SECCOMP_FILTER_FLAG_NEW_LISTENER"]
    );
    let problems = notifying(false, "clone").namespace("pid", Some(false)).problems();
    assert_eq!(
        problems,
        [
            "linux.seccomp.syscalls: SCMP_ACT_NOTIFY cannot be used for the clone syscall by a process that joins a pid namespace with others"
        ]
    );
}

#[test]
fn a_label_is_written_after_the_hooks_and_opened_before_rights_go() {
    let labelled = || {
        let mut case = filtered(true)
            .set("/process/apparmorProfile", json!("docker-default"))
            .set("/hooks", json!({"startContainer": [{"path": "/bin/true"}]}));
        case.host.kernel.apparmor = true;
        case
    };
    let plan = labelled().plan().unwrap();
    let all = names(&plan);
    assert_eq!(all[all.len() - 4..], ["Hook", "WriteLabel", "FilterAtExec", "Exec"]);
    let at = |name: &str| all.iter().position(|seen| *seen == name).unwrap();
    assert!(at("OpenLabel") < at("BoundingSet"));
    let plan = labelled().namespace("pid", Some(false)).plan().unwrap();
    let all = names(&plan);
    let at = |name: &str| all.iter().position(|seen| *seen == name).unwrap();
    assert!(at("OpenLabel") > at("Clone"), "a process may open its own only");
}
