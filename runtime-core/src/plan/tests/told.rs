//! What hooks, users and engines are told.

use super::*;

#[test]
fn hooks_in_the_container_know_their_state() {
    let hook =
        json!([{"path": "/bin/h", "args": ["h", "x"], "env": ["A=b"], "timeout": 5}, {"path": "/bin/i"}]);
    let case = Case::default()
        .set("/annotations", json!({"a/b": "c\"d"}))
        .set("/hooks", json!({"createContainer": hook, "startContainer": hook, "poststart": hook}));
    let plan = case.plan().unwrap();
    let hooks: Vec<&OwnedOp> =
        plan.init.iter().map(|step| &step.op).filter(|op| matches!(op, OwnedOp::Hook { .. })).collect();
    assert_eq!(hooks.len(), 4);
    for (hook, status) in [(hooks[0], "creating"), (hooks[2], "created")] {
        let OwnedOp::Hook { args, env, state, pid_at, pid_len, timeout_ms, .. } = hook else {
            unreachable!()
        };
        assert_eq!((args.len(), env.len(), *timeout_ms), (2, 1, 5000));
        let mut state = state.clone();
        assert!(state[*pid_at as usize..][..*pid_len as usize].iter().all(|byte| *byte == b' '));
        state[*pid_at as usize] = b'7';
        let state: Value = serde_json::from_slice(&state).unwrap();
        assert_eq!(
            state,
            json!({"ociVersion": "1.0.2-dev", "id": "test", "status": status, "pid": 7, "bundle": "/bundle",
                "annotations": {"a/b": "c\"d"}})
        );
    }
    let OwnedOp::Hook { args, env, .. } = hooks[1] else { unreachable!() };
    assert_eq!((args.len(), env.len()), (1, 2), "the path is argv[0], the environment the process's own");
    let exec = place(&plan, |op| matches!(op, OwnedOp::Exec { .. }));
    assert!(matches!(plan.init[exec - 1].op, OwnedOp::Hook { .. }));
    assert!(plan.host.iter().any(|step| step.when == When::AfterStart));
}

#[test]
fn explanations_keep_the_environment_to_themselves() {
    let case = Case::default().set("/process/env", json!(["TOKEN=hunter2", "PATH=/bin"]));
    let plan = case.plan().unwrap();
    assert!(!explain_text(&plan).contains("hunter2"));
    assert!(!explain_json(&plan).to_string().contains("hunter2"));
}

#[test]
fn failures_have_the_words_that_engines_look_for() {
    let hook = json!([{"path": "/bin/h", "timeout": 5}]);
    let plan = Case::default()
        .set("/process/args", json!(["/nosuch", "x"]))
        .set("/mounts/3/options", json!(["sized=64k"]))
        .set("/hooks", json!({"createContainer": hook}))
        .plan()
        .unwrap();
    let is_look_up = |op: &OwnedOp| matches!(op, OwnedOp::FindExecutable { .. });
    let is_exec = |op: &OwnedOp| matches!(op, OwnedOp::Exec { .. });
    let is_shm = |op: &OwnedOp| matches!(op, OwnedOp::NewMount { target, .. } if &**target == c"/dev/shm");
    let is_hook = |op: &OwnedOp| matches!(op, OwnedOp::Hook { .. });
    let is_chdir = |op: &OwnedOp| matches!(op, OwnedOp::Chdir { .. });
    let is_pivot = |op: &OwnedOp| matches!(op, OwnedOp::PivotRoot {});
    type Is<'a> = &'a dyn Fn(&OwnedOp) -> bool;
    let rows: [(Is<'_>, i32, Detail, ErrorKind, &str); 12] = [
        (
            &is_look_up,
            2,
            Detail::NOT_IN_PATH,
            ErrorKind::ExecFailed,
            "unable to start container process: exec: \"/nosuch\": executable file not found in $PATH",
        ),
        (
            &is_look_up,
            2,
            Detail::NONE,
            ErrorKind::ExecFailed,
            "unable to start container process: exec: \"/nosuch\": stat /nosuch: no such file or directory",
        ),
        (
            &is_look_up,
            13,
            Detail::IS_DIRECTORY,
            ErrorKind::ExecFailed,
            "unable to start container process: exec: \"/nosuch\": is a directory: permission denied",
        ),
        (
            &is_look_up,
            13,
            Detail::NONE,
            ErrorKind::ExecFailed,
            "unable to start container process: exec: \"/nosuch\": permission denied",
        ),
        (&is_exec, 8, Detail::NONE, ErrorKind::ExecFailed, "exec /nosuch: exec format error"),
        (
            &is_shm,
            22,
            Detail::OPTION.with(0),
            ErrorKind::Kernel,
            "unable to start container process: error during container init: error mounting \"shm\" to rootfs at \"/dev/shm\" (mounts[3]): option \"sized=64k\": invalid argument",
        ),
        (
            &is_shm,
            20,
            Detail::TARGET,
            ErrorKind::Kernel,
            "unable to start container process: error during container init: error mounting \"shm\" to rootfs at \"/dev/shm\" (mounts[3]): make or open the target: not a directory",
        ),
        (
            &is_hook,
            0,
            Detail::HOOK_STATUS.with(3),
            ErrorKind::HookFailed,
            "error running createContainer hook #0: exit status 3, stdout: , stderr: oh",
        ),
        (
            &is_hook,
            0,
            Detail::HOOK_TIMEOUT,
            ErrorKind::HookFailed,
            "error running createContainer hook #0: hook ran past specified timeout of 5.0s, stdout: , stderr: oh",
        ),
        (
            &is_hook,
            2,
            Detail::HOOK_START,
            ErrorKind::HookFailed,
            "error running createContainer hook #0: fork/exec /bin/h: no such file or directory, stdout: , stderr: oh",
        ),
        (
            &is_chdir,
            13,
            Detail::NONE,
            ErrorKind::PermissionDenied,
            "unable to start container process: chdir to cwd (\"/\") set in config.json failed: permission denied",
        ),
        (
            &is_pivot,
            22,
            Detail::NONE,
            ErrorKind::Kernel,
            "cannot enter the rootfs by pivot_root and detach the old root (root.path): invalid argument",
        ),
    ];
    for (is, errno, detail, kind, expected) in rows {
        let step = u32::try_from(place(&plan, is)).unwrap();
        let error = failure(&plan, &FailureReport { step, errno, detail, output: b"oh\n" });
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.kind(), kind, "{expected}");
        assert!(error.step().is_some() && error.config_path().is_some(), "{expected}");
    }
    let step = u32::try_from(place(&plan, is_shm)).unwrap();
    let error =
        failure(&plan, &FailureReport { step, errno: 22, detail: Detail::OPTION.with(0), output: b"" });
    assert_eq!(error.hint(), Some("did you mean \"size=64k\"?"));
    assert_eq!(error.path().unwrap().to_str(), Some("/dev/shm"));
}
