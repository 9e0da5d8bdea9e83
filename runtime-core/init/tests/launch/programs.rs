//! What the user's program finds: ids, signals, fds, terminal; and how its exec fails.

use std::{fs, io::Read, os::fd::OwnedFd};

use orlop_init::wire::{
    OwnedOp,
    message::{Detail, Kind},
};

use crate::{
    host::{Scratch, Start, c, is_skipped},
    plans::*,
};

#[test]
fn the_program_starts_with_no_signal_blocked_or_ignored() {
    if is_skipped() {
        return;
    }
    let scratch = Scratch::new("signals");
    let mut rest = end("");
    rest[2] = OwnedOp::FindExecutable { name: c("/bin/grep"), search: c("") };
    rest[4] = exec(&["grep", "Sig[BIC]", "/proc/self/status"], u32::MAX);
    let none = "0000000000000000";
    let expected = format!("SigBlk:\t{none}\nSigIgn:\t{none}\nSigCgt:\t{none}\n");
    assert_ran(&run([begin(scratch.rootfs()), rest.clone()]), &expected);
    if let Some(OwnedOp::Exec { ignored_signals, .. }) = rest.last_mut() {
        *ignored_signals = 0b101;
    }
    let ignored = expected.replace(&format!("SigIgn:\t{none}"), "SigIgn:\t0000000000000005");
    assert_ran(&run([begin(scratch.rootfs()), rest]), &ignored);
}

#[test]
fn the_user_has_its_ids_capabilities_directory_and_home() {
    if is_skipped() {
        return;
    }
    let scratch = Scratch::new("user");
    let rootfs = scratch.rootfs();
    fs::create_dir_all(scratch.path("rootfs/etc")).unwrap();
    fs::write(scratch.path("rootfs/etc/passwd"), "root:x:0:0::/root:\napp:x:1000:1000::/srv/app:\n").unwrap();
    let rest = vec![
        OwnedOp::PivotRoot {},
        OwnedOp::MakeCwd { path: c("/srv/app/deep") },
        OwnedOp::FindExecutable { name: c("sh"), search: c("/bin") },
        OwnedOp::OwnStdio { uid: 1000 },
        OwnedOp::BoundingSet { capabilities: 0x401 },
        OwnedOp::SetUser { uid: 1000, gid: 1001, groups: vec![5, 6], set_groups: true, umask: 0o027 },
        OwnedOp::Chdir { path: c("/srv/app/deep") },
        OwnedOp::Capabilities { effective: 0x400, permitted: 0x401, inheritable: 0x400, ambient: 0x400 },
        OwnedOp::NoNewPrivileges {},
        exec(
            &[
                "sh",
                "-c",
                "id -u; id -g; id -G; pwd; umask; echo $HOME; grep 'Cap\\|NoNew' /proc/self/status",
            ],
            1000,
        ),
    ];
    let outcome = run([begin(rootfs), rest]);
    let expected = "1000\n1001\n1001 5 6\n/srv/app/deep\n0027\n/srv/app\nCapInh:\t0000000000000400\n\
        CapPrm:\t0000000000000400\nCapEff:\t0000000000000400\nCapBnd:\t0000000000000401\n\
        CapAmb:\t0000000000000400\nNoNewPrivs:\t1\n";
    assert_ran(&outcome, expected);
}

#[test]
fn programs_are_looked_up_with_the_rights_of_the_user() {
    if is_skipped() {
        return;
    }
    let scratch = Scratch::new("lookup");
    let rootfs = scratch.rootfs();
    let secret = scratch.path("rootfs/secret");
    fs::create_dir_all(&secret).unwrap();
    fs::copy("/bin/busybox", secret.join("sh")).unwrap();
    let mode = |mode| std::os::unix::fs::PermissionsExt::from_mode(mode);
    fs::set_permissions(&secret, mode(0o750)).unwrap();
    std::os::unix::fs::chown(&secret, Some(0), Some(6)).unwrap();
    for (uid, groups, name, expected) in [
        (1000, vec![5], "/secret/sh", Some((13, Detail::NONE))),
        (1000, vec![5], "sh", Some((13, Detail::NONE))),
        (1000, vec![5, 6], "sh", None),
        (0, vec![], "/secret/sh", None),
        (0, vec![], "/secret", Some((21, Detail::IS_DIRECTORY))),
        (0, vec![], "nothing", Some((2, Detail::NOT_IN_PATH))),
        (0, vec![], "/secret/nothing", Some((2, Detail::NONE))),
    ] {
        let rest = vec![
            OwnedOp::PivotRoot {},
            OwnedOp::FindExecutable { name: c(name), search: c("/secret") },
            OwnedOp::SetUser { uid, gid: 1000, groups, set_groups: true, umask: 0o022 },
            exec(&["sh", "-c", "exit 0"], u32::MAX),
        ];
        let steps = begin(rootfs.clone());
        let at = steps.len() + 1;
        let outcome = run([steps, rest]);
        match expected {
            Some((errno, detail)) => assert_failed(&outcome, at, errno, detail),
            None => assert_ran(&outcome, ""),
        }
    }
}

#[test]
fn an_exec_that_the_kernel_refuses_is_told_after_executing() {
    if is_skipped() {
        return;
    }
    let scratch = Scratch::new("noexec");
    let rootfs = scratch.rootfs();
    fs::write(scratch.path("rootfs/bin/text"), "no program\n").unwrap();
    fs::set_permissions(scratch.path("rootfs/bin/text"), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    let mut rest = end("");
    rest[2] = OwnedOp::FindExecutable { name: c("text"), search: c("/bin") };
    let outcome = run([begin(rootfs), rest]);
    assert_eq!(outcome.kinds[outcome.kinds.len() - 2..], [Kind::Executing, Kind::Failed], "{outcome:?}");
    assert_eq!((outcome.failed.unwrap().errno, outcome.status), (8, Some(126)), "{outcome:?}");
}

// spec: linux.devices.default.console
#[test]
fn the_console_is_the_terminal_of_the_program() {
    if is_skipped() {
        return;
    }
    let scratch = Scratch::new("console");
    let console =
        OwnedOp::Console { height: 24, width: 80, uid: 1000, bind_console: true, controlling: true };
    let script = "tty; /bin/busybox stty size; stat -c %u,%a $(tty); cmp /dev/tty /dev/tty 2>&1; \
        stat -c %t,%T $(tty); stat -c %t,%T /dev/console; echo end > /dev/tty";
    let mut rest = end(&script.replace("cmp", "/bin/busybox true"));
    rest.insert(1, console);
    let tty =
        OwnedOp::DeviceNode { path: c("/dev/tty"), mode: 0o020_666, major: 5, minor: 0, uid: 0, gid: 0 };
    let outcome = run([begin(scratch.rootfs()), vec![tty], rest]);
    assert_eq!((outcome.failed, outcome.status), (None, Some(0)), "{outcome:?}");
    let mut shown = Vec::new();
    let mut buffer = [0; 4096];
    let mut master = fs::File::from(outcome.master.unwrap());
    // EIO is the end of a terminal.
    while let Ok(len @ 1..) = master.read(&mut buffer) {
        shown.extend_from_slice(&buffer[..len]);
    }
    let shown = String::from_utf8(shown).unwrap();
    assert_eq!(shown, "/dev/pts/0\r\n24 80\r\n1000,620\r\n88,0\r\n88,0\r\nend\r\n");
}

#[test]
fn preserved_fds_reach_the_program_and_others_do_not() {
    if is_skipped() {
        return;
    }
    let scratch = Scratch::new("preserved");
    fs::write(scratch.path("given"), "kept\n").unwrap();
    let given: OwnedFd = fs::File::open(scratch.path("given")).unwrap().into();
    let mut rest = end("cat <&3; ls /proc/self/fd");
    if let Some(OwnedOp::Exec { preserved_fds, .. }) = rest.last_mut() {
        *preserved_fds = 1;
    }
    let steps = [begin(scratch.rootfs()), rest].concat();
    let outcome = Start { steps, preserved: Some(&given), ..Start::default() }.run();
    assert_ran(&outcome, "kept\n0\n1\n2\n3\n4\n");
}

#[test]
fn a_plan_of_another_build_is_refused() {
    if is_skipped() {
        return;
    }
    let outcome = run([vec![clone(), OwnedOp::NewSession {}]]);
    assert_failed(&outcome, 1, 71, Detail::MALFORMED);
}
