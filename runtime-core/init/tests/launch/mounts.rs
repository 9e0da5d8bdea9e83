//! File systems, devices and paths of a container.

use std::fs;

use orlop_init::wire::{
    OwnedOp, Slot,
    message::{Detail, Kind},
};

use crate::{
    host::{Scratch, Start, c, is_skipped},
    plans::*,
};

// spec: linux.namespaces.type.mount
#[test]
fn a_container_has_its_namespaces_mounts_and_devices() {
    if is_skipped() {
        return;
    }
    let scratch = Scratch::new("basics");
    let script = "echo $$ $(hostname) $(stat -c %a,%t,%T,%u /dev/null) $(stat -c %a,%F,%u,%g /dev/deep/er); \
        cut -d' ' -f5,6,9 /proc/self/mountinfo | /bin/busybox sort; ls /proc/self/fd";
    let outcome = run([begin(scratch.rootfs()), end(&script.replace("cut", "/bin/busybox cut"))]);
    let kinds = [Kind::Cloned, Kind::Reached, Kind::Reached, Kind::Executing];
    let mut seen = outcome.kinds.clone();
    seen.sort_by_key(|kind| *kind as u32);
    assert_eq!(seen, [kinds[0], kinds[1], kinds[2], kinds[3]], "{outcome:?}");
    assert_eq!(outcome.failed, None, "{outcome:?}");
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    assert_eq!(lines[0], "1 inside 666,1,3,0 600,fifo,7,8", "{outcome:?}");
    let mounts: Vec<&str> = lines[1..].iter().copied().take_while(|line| line.starts_with('/')).collect();
    let places: Vec<&str> = mounts.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(places, ["/", "/dev", "/dev/mqueue", "/dev/pts", "/dev/shm", "/proc"], "{outcome:?}");
    assert!(mounts[5].starts_with("/proc rw,nosuid,nodev,noexec,relatime"), "{outcome:?}");
    // 3 is the directory that ls reads.
    assert_eq!(lines[1 + places.len()..][..4], ["0", "1", "2", "3"], "{outcome:?}");
}

#[test]
fn binds_masks_and_readonly_paths() {
    if is_skipped() {
        return;
    }
    let scratch = Scratch::new("binds");
    fs::create_dir_all(scratch.path("source/below")).unwrap();
    fs::write(scratch.path("source/file"), "from the host\n").unwrap();
    let source = scratch.path("source").to_str().unwrap().to_owned();
    let rootfs = scratch.rootfs();
    fs::create_dir_all(scratch.path("rootfs/etc")).unwrap();
    std::os::unix::fs::symlink("/run/resolv.conf", scratch.path("rootfs/etc/resolv.conf")).unwrap();
    let binds = vec![
        bind(&format!("{source}/file"), "/etc/resolv.conf", RDONLY),
        bind(&source, "/some/where", RDONLY | NOSUID_NODEV_NOEXEC),
        bind(&source, "/writable", 0),
    ];
    let hide = |path: &str| OwnedOp::MaskPath { path: c(path) };
    let masks = vec![
        OwnedOp::PivotRoot {},
        OwnedOp::RootfsPropagation { flags: 0x4000 | 1 << 18 },
        hide("/proc/version"),
        hide("/proc/cpuinfo"),
        hide("/proc/no/such"),
        hide("/proc/irq"),
        hide("/proc/fs"),
        hide("/writable/below"),
        OwnedOp::ReadonlyPath { path: c("/proc/sys") },
        OwnedOp::ReadonlyPath { path: c("/proc/none") },
        OwnedOp::ReadonlyRootfs {},
    ];
    let script = "cat /run/resolv.conf /some/where/file; ls -A /writable; echo x > /writable/new; \
        (echo x > /writable/below/y) 2>&1; (echo x > /some/where/new) 2>&1; (echo x > /etc/new) 2>&1; \
        (echo x > /proc/sys/kernel/hostname) 2>&1; stat -c %t,%T /proc/cpuinfo; ls -A /proc/fs /proc/irq | grep x; \
        grep -c 'where.*ro,nosuid,nodev,noexec' /proc/self/mountinfo";
    // The rootfs was entered by hand above.
    let mut rest = end(script);
    rest.remove(0);
    let outcome = run([begin(rootfs), binds, masks, rest]);
    let readonly = |path: &str| format!("sh: can't create {path}: Read-only file system\n");
    let expected = [
        "from the host\nfrom the host\nbelow\nfile\n".to_owned(),
        readonly("/writable/below/y"),
        readonly("/some/where/new"),
        readonly("/etc/new"),
        readonly("/proc/sys/kernel/hostname"),
        "1,3\n1\n".to_owned(),
    ];
    assert_ran(&outcome, &expected.concat());
    assert_eq!(fs::read_to_string(scratch.path("source/new")).unwrap(), "x\n");
    let host = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!host.contains(&source), "a mount of the container is seen outside");
}

#[test]
fn a_shared_root_is_entered_without_a_trace_outside() {
    if is_skipped() {
        return;
    }
    let scratch = Scratch::new("shared");
    let mut steps = begin(scratch.rootfs());
    steps[4] = OwnedOp::RootPropagation { flags: MS_REC_SHARED };
    let mut rest = end("grep ' / / ' /proc/self/mountinfo | grep -c shared; ls / | grep -c bin");
    rest.insert(1, OwnedOp::RootfsPropagation { flags: MS_REC_SHARED });
    let outcome = run([steps, rest]);
    let host = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!host.contains("orlop-launch"), "{host}");
    assert_eq!(outcome.failed, None, "{outcome:?}");
    assert!(outcome.stdout.ends_with("1\n"), "{outcome:?}");
}

#[test]
fn a_mapped_tree_is_asked_for_and_no_pivot_moves_the_root() {
    if is_skipped() {
        return;
    }
    let scratch = Scratch::new("tree");
    let mut mapped = bind("/no/such", "/x", 0);
    if let OwnedOp::BindMount { from_host, idmap, .. } = &mut mapped {
        (*from_host, *idmap) = (true, Slot(0));
    }
    let steps = begin(scratch.rootfs());
    let at = steps.len();
    let mut rest = end("echo $(ls /x)");
    rest[0] = OwnedOp::MoveRoot {};
    let steps = [steps, vec![mapped], rest].concat();
    let tree = Some(scratch.path("rootfs"));
    let outcome = Start { steps: steps.clone(), tree, ..Start::default() }.run();
    assert_ran(&outcome, "bin dev proc x\n");
    let outcome = Start { steps, ..Start::default() }.run();
    assert_failed(&outcome, at, 2, Detail::SOURCE);
}

#[test]
fn failures_name_the_step_and_the_part() {
    if is_skipped() {
        return;
    }
    let scratch = Scratch::new("failures");
    let rootfs = scratch.rootfs();
    std::os::unix::fs::symlink("bin", scratch.path("rootfs/link")).unwrap();
    let mut on_link = new_mount("proc", "/link", &[], 0);
    if let OwnedOp::NewMount { no_symlink, .. } = &mut on_link {
        *no_symlink = true;
    }
    let node = |major| OwnedOp::DeviceNode {
        path: c("/dev/null"),
        mode: 0o020_666,
        major,
        minor: 3,
        uid: 0,
        gid: 0,
    };
    for (op, errno, detail) in [
        (new_mount("nosuchfs", "/x", &[], 0), 19, Detail::FS_TYPE),
        (new_mount("tmpfs", "/x", &["size=1m", "sized=1m"], 0), 22, Detail::OPTION.with(1)),
        (new_mount("tmpfs", "/bin/busybox/x", &[], 0), 20, Detail::TARGET),
        (on_link, 40, Detail::MISMATCH),
        (bind("/no/such/source", "/x", 0), 2, Detail::SOURCE),
        (bind("/", "/bin/busybox", 0), 20, Detail::ATTACH),
        (node(5), 17, Detail::MISMATCH),
        (OwnedOp::Sysctl { key: c("kernel/nothing"), value: c("1") }, 2, Detail::OPEN),
        (OwnedOp::Sysctl { key: c("../version"), value: c("1") }, 18, Detail::OPEN),
        (OwnedOp::Chdir { path: c("/no/such/dir") }, 2, Detail::NONE),
        (OwnedOp::JoinNamespace { namespace: Slot(9), kind: 0 }, 71, Detail::MALFORMED),
    ] {
        let steps = begin(rootfs.clone());
        let at = steps.len();
        let outcome = run([steps, vec![op.clone()]]);
        assert_failed(&outcome, at, errno, detail);
        assert_eq!(outcome.status, Some(1), "{op:?}");
    }
}

#[test]
fn the_same_device_is_no_failure_and_sysctls_reach_the_namespace() {
    if is_skipped() {
        return;
    }
    let scratch = Scratch::new("sysctl");
    let more = vec![
        OwnedOp::DeviceNode { path: c("/dev/null"), mode: 0o020_666, major: 1, minor: 3, uid: 0, gid: 0 },
        OwnedOp::Sysctl { key: c("kernel/domainname"), value: c("written") },
        OwnedOp::Remove { path: c("/dev/ptmx") },
        OwnedOp::Remove { path: c("/dev/shm") },
        OwnedOp::Remove { path: c("/no/such") },
        remount("/dev/shm", RDONLY, 8),
    ];
    let script = "cat /proc/sys/kernel/domainname; ls -d /dev/ptmx /dev/shm; grep -o 'shm r[ow],[a-z,]*' /proc/self/mountinfo";
    let outcome = run([begin(scratch.rootfs()), more, end(&format!("({script}) 2>/dev/null"))]);
    assert_ran(&outcome, "written\n/dev/shm\nshm ro,nosuid,nodev,relatime\n");
}

#[test]
fn a_tmpfs_copies_what_it_covers_and_inherits_its_mode() {
    if is_skipped() {
        return;
    }
    let scratch = Scratch::new("copyup");
    let rootfs = scratch.rootfs();
    let below = scratch.path("rootfs/data/below");
    fs::create_dir_all(&below).unwrap();
    fs::write(below.join("file"), "x".repeat(10_000)).unwrap();
    std::os::unix::fs::symlink("below/file", scratch.path("rootfs/data/link")).unwrap();
    std::os::unix::fs::chown(below.join("file"), Some(3), Some(4)).unwrap();
    let mode = |mode| std::os::unix::fs::PermissionsExt::from_mode(mode);
    fs::set_permissions(below.join("file"), mode(0o4711)).unwrap();
    fs::set_permissions(scratch.path("rootfs/data"), mode(0o1751)).unwrap();
    let mut mount = new_mount("tmpfs", "/data", &[], 0);
    if let OwnedOp::NewMount { copy_up, .. } = &mut mount {
        *copy_up = true;
    }
    let script =
        "stat -c %a /data; stat -c %a,%u,%g,%s -L /data/link; grep -c ' /data .*tmpfs' /proc/self/mountinfo";
    assert_ran(&run([begin(rootfs), vec![mount], end(script)]), "1751\n4711,3,4,10000\n1\n");
}
