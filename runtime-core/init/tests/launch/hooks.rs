//! Hooks in the container's namespaces.

use std::fs;

use orlop_init::wire::message::Detail;

use crate::{
    host::{Scratch, is_skipped},
    plans::*,
};

#[test]
fn hooks_get_the_state_with_the_pid_and_are_reaped() {
    if is_skipped() {
        return;
    }
    let scratch = Scratch::new("hooks");
    let told = scratch.path("told");
    // Larger than a pipe, so that feeding at one go would block for ever.
    let state = format!("{{\"pid\":{},\"annotations\":\"{}\"}}", " ".repeat(10), "a".repeat(200_000));
    let script = format!(
        "cat > {0}; echo $FROM $(/usr/bin/pwd) $(ls /proc/self/fd | wc -w) >> {0}; (exec sleep 100 <&- >&- 2>&-) &",
        told.display()
    );
    let unread = hook("/bin/true", &["true"], state.as_bytes(), 7, 0);
    let hooks = vec![hook("/bin/sh", &["sh", "-c", &script], state.as_bytes(), 7, 20_000), unread];
    let outcome = run([begin(scratch.rootfs()), hooks, end("kill -9 -1; exit 0")]);
    assert_ran(&outcome, "");
    let told = fs::read_to_string(told).unwrap();
    let (seen, rest) = told.split_at(state.len());
    assert_eq!(seen, state.replacen(&" ".repeat(10), "1         ", 1));
    // 0, 1, 2 and the directory that ls reads.
    assert_eq!(rest, format!("hook {} 4\n", scratch.path("rootfs").display()));
}

#[test]
fn hooks_that_fail_are_told_with_their_output() {
    if is_skipped() {
        return;
    }
    let scratch = Scratch::new("badhooks");
    let rootfs = scratch.rootfs();
    let noise = "i=0; while [ $i -lt 2000 ]; do echo 0123456789; i=$((i+1)); done; exit 3";
    for (path, script, timeout, errno, detail, output) in [
        (
            "/bin/sh",
            "echo out; echo err >&2; exit 7",
            0,
            0,
            Detail::HOOK_STATUS.with(7),
            "out\nerr\n".to_owned(),
        ),
        ("/bin/sh", "kill -9 $$", 0, 0, Detail::HOOK_SIGNAL.with(9), String::new()),
        (
            "/bin/sh",
            "echo begun; sleep 100 & sleep 100",
            200,
            110,
            Detail::HOOK_TIMEOUT,
            "begun\n".to_owned(),
        ),
        ("/no/such/hook", "", 0, 2, Detail::HOOK_START, String::new()),
        ("/bin/sh", noise, 0, 0, Detail::HOOK_STATUS.with(3), "0123456789\n".repeat(400)[..4096].to_owned()),
    ] {
        let steps = begin(rootfs.clone());
        let at = steps.len();
        let outcome = run([steps, vec![hook(path, &["sh", "-c", script], b"{}", 0, timeout)]]);
        assert_failed(&outcome, at, errno, detail);
        assert_eq!(outcome.hook_output, output, "{script}");
    }
}
