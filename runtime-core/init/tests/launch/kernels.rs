//! Older kernels and outer seccomp profiles, by hiding newer calls.

use std::fs;

use orlop_init::{
    arch::nr,
    wire::{OwnedOp, message::Detail},
};

use crate::{
    host::{Scratch, Start, c, is_skipped},
    plans::*,
};

const RDONLY_NOSUID: u64 = 1 | 2;

#[test]
fn a_container_is_the_same_without_the_newer_calls() {
    if is_skipped() {
        return;
    }
    let newer = [nr::CLONE3, nr::OPENAT2, nr::MOUNT_SETATTR, nr::CLOSE_RANGE, nr::FACCESSAT2];
    let mut seen = Vec::new();
    for (calls, errno) in [(&[][..], 0), (&newer, 38), (&newer, 1)] {
        let scratch = Scratch::new(&format!("newer{}-{errno}", calls.len()));
        let rootfs = scratch.rootfs();
        fs::create_dir_all(scratch.path("source")).unwrap();
        fs::write(scratch.path("source/file"), "").unwrap();
        std::os::unix::fs::symlink("/new/place", scratch.path("rootfs/link")).unwrap();
        let source = scratch.path("source").to_str().unwrap().to_owned();
        let mut file = bind(&format!("{source}/file"), "/link/file", RDONLY_NOSUID);
        if let OwnedOp::BindMount { propagation, .. } = &mut file {
            *propagation = 1 << 18;
        }
        let more = vec![
            bind(&source, "/source", RDONLY_NOSUID),
            file,
            OwnedOp::Sysctl { key: c("kernel/domainname"), value: c("written") },
            remount("/dev/shm", 1, 8),
        ];
        let mut rest = end("cat /proc/sys/kernel/domainname; ls -R /new /source; ls /proc/self/fd; \
             /bin/busybox cut -d' ' -f5,6 /proc/self/mountinfo | /bin/busybox sort");
        let masks = [
            OwnedOp::RootfsPropagation { flags: 1 << 18 },
            OwnedOp::MaskPath { path: c("/proc/cpuinfo") },
            OwnedOp::MaskPath { path: c("/proc/fs") },
            OwnedOp::MaskPath { path: c("/proc/irq") },
            OwnedOp::ReadonlyPath { path: c("/proc/sys") },
            OwnedOp::ReadonlyRootfs {},
        ];
        rest.splice(1..1, masks);
        let steps = [begin(rootfs), more, rest].concat();
        let outcome = Start { steps, hidden: (calls.to_vec(), errno), ..Start::default() }.run();
        assert_eq!((outcome.failed, outcome.status), (None, Some(0)), "{outcome:?}");
        seen.push(outcome.stdout);
    }
    assert!(seen[0].contains("/source ro,nosuid,") && seen[0].contains("written\n"), "{}", seen[0]);
    assert!(seen[0].contains("/new/place/file ro,nosuid,"), "{}", seen[0]);
    assert_eq!(seen[1], seen[0]);
    assert_eq!(seen[2], seen[0]);
}

#[test]
fn sysctls_lead_nowhere_else_without_openat2() {
    if is_skipped() {
        return;
    }
    let scratch = Scratch::new("sysctlwalk");
    for (key, errno) in
        [("../version", 18), ("kernel//x", 18), ("kernel/nothing", 2), ("kernel/ostype/x", 20)]
    {
        let steps = begin(scratch.rootfs());
        let at = steps.len();
        let steps = [steps, vec![OwnedOp::Sysctl { key: c(key), value: c("1") }]].concat();
        let outcome = Start { steps, hidden: (vec![nr::OPENAT2], 38), ..Start::default() }.run();
        assert_failed(&outcome, at, errno, Detail::OPEN);
    }
}

#[test]
fn options_longer_than_fsconfig_takes_are_mounted_all_the_same() {
    if is_skipped() {
        return;
    }
    let scratch = Scratch::new("longoptions");
    let rootfs = scratch.rootfs();
    let lowers: Vec<String> =
        (0..4).map(|n| format!("{}/{n}{}", scratch.path("").display(), "x".repeat(80))).collect();
    for (n, lower) in lowers.iter().enumerate() {
        fs::create_dir_all(lower).unwrap();
        fs::write(format!("{lower}/file{n}"), "").unwrap();
    }
    let option = format!("lowerdir={}", lowers.join(":"));
    let mount = new_mount("overlay", "/merged", &["ro", &option], 2 | 8);
    let outcome = run([
        begin(rootfs),
        vec![mount],
        end("ls /merged; grep -c 'merged rw,nosuid,noexec.* ro,' /proc/self/mountinfo"),
    ]);
    assert_ran(&outcome, "file0\nfile1\nfile2\nfile3\n1\n");
}
