//! Plans made by hand, and what they should come to.

use std::ffi::CString;

use orlop_init::wire::{
    OwnedOp, Slot,
    message::{Barrier, Detail, Kind, Message},
};

use crate::host::{Outcome, Start, c, cs};

pub const NEW: u32 = 0x0002_0000 | 0x0400_0000 | 0x0800_0000 | 0x2000_0000;
pub const MS_REC_SLAVE: u32 = 0x4000 | 1 << 19;
pub const MS_REC_SHARED: u32 = 0x4000 | 1 << 20;
pub const NOSUID_NODEV_NOEXEC: u64 = 2 | 4 | 8;
pub const RDONLY: u64 = 1;

pub fn new_mount(fs_type: &str, target: &str, options: &[&str], attributes: u64) -> OwnedOp {
    OwnedOp::NewMount {
        fs_type: c(fs_type),
        source: c(fs_type),
        target: c(target),
        options: cs(options),
        attributes,
        propagation: 0,
        no_symlink: fs_type == "proc",
        pid_namespace: Slot::NONE,
        is_devpts: fs_type == "devpts",
        copy_up: false,
        inherit_mode: fs_type == "tmpfs",
        idmap: Slot::NONE,
        or_bind: CString::default(),
    }
}

pub fn bind(source: &str, target: &str, set: u64) -> OwnedOp {
    OwnedOp::BindMount {
        source: c(source),
        target: c(target),
        recursive: true,
        from_host: false,
        links: 0,
        idmap: Slot::NONE,
        idmap_recursive: false,
        set,
        clear: 0,
        keep: 0,
        set_recursive: 0,
        clear_recursive: 0,
        propagation: 0,
    }
}

pub fn remount(target: &str, set: u64, clear: u64) -> OwnedOp {
    OwnedOp::Remount { target: c(target), options: Vec::new(), set, clear, keep: 0, propagation: 0 }
}

pub fn clone() -> OwnedOp {
    OwnedOp::Clone { namespaces: NEW, cgroup: Slot::NONE }
}

pub fn barrier(barrier: Barrier) -> OwnedOp {
    OwnedOp::Barrier { barrier: barrier as u32 }
}

pub fn hook(path: &str, args: &[&str], state: &[u8], pid_at: u32, timeout_ms: u64) -> OwnedOp {
    let pid_len = if pid_at == 0 { 0 } else { 10 };
    let env = cs(&["PATH=/bin:/usr/bin", "FROM=hook"]);
    OwnedOp::Hook { path: c(path), args: cs(args), env, state: state.to_vec(), pid_at, pid_len, timeout_ms }
}

/// Steps up to the last mount.
pub fn begin(rootfs: CString) -> Vec<OwnedOp> {
    vec![
        clone(),
        barrier(Barrier::Placed),
        OwnedOp::NewSession {},
        OwnedOp::Hostname { name: c("inside") },
        OwnedOp::RootPropagation { flags: MS_REC_SLAVE },
        OwnedOp::AttachRootfs { path: rootfs, from_host: false },
        OwnedOp::OpenMask {},
        new_mount("proc", "/proc", &[], NOSUID_NODEV_NOEXEC),
        new_mount("tmpfs", "/dev", &["mode=755", "size=65536k"], 2),
        new_mount("devpts", "/dev/pts", &["newinstance", "ptmxmode=0666", "mode=0620"], 2 | 8),
        new_mount("tmpfs", "/dev/shm", &["mode=1777"], NOSUID_NODEV_NOEXEC),
        new_mount("mqueue", "/dev/mqueue", &[], NOSUID_NODEV_NOEXEC),
        OwnedOp::Symlink { points_to: c("pts/ptmx"), path: c("/dev/ptmx") },
        OwnedOp::DeviceNode { path: c("/dev/null"), mode: 0o020_666, major: 1, minor: 3, uid: 0, gid: 0 },
        OwnedOp::DeviceNode { path: c("/dev/deep/er"), mode: 0o010_600, major: 0, minor: 0, uid: 7, gid: 8 },
    ]
}

/// Steps from the pivot to the program, a shell script.
pub fn end(script: &str) -> Vec<OwnedOp> {
    vec![
        OwnedOp::PivotRoot {},
        OwnedOp::Chdir { path: c("/") },
        OwnedOp::FindExecutable { name: c("sh"), search: c("/nowhere:/bin") },
        barrier(Barrier::Ready),
        exec(&["sh", "-c", script], u32::MAX),
    ]
}

pub fn exec(args: &[&str], home_of: u32) -> OwnedOp {
    OwnedOp::Exec {
        args: cs(args),
        env: cs(&["PATH=/bin", "TERM=xterm"]),
        home_of,
        preserved_fds: 0,
        ignored_signals: 0,
    }
}

pub fn run(steps: impl IntoIterator<Item = Vec<OwnedOp>>) -> Outcome {
    Start { steps: steps.into_iter().flatten().collect(), ..Start::default() }.run()
}

pub fn assert_ran(outcome: &Outcome, stdout: &str) {
    assert_eq!(outcome.failed, None, "{outcome:?}");
    assert_eq!(outcome.stdout, stdout, "{outcome:?}");
    assert_eq!(outcome.status, Some(0), "{outcome:?}");
}

pub fn assert_failed(outcome: &Outcome, step: usize, errno: i32, detail: Detail) {
    let expected = Message { step: step as u32, errno, detail, ..Message::new(Kind::Failed) };
    assert_eq!(outcome.failed, Some(expected), "{outcome:?}");
    assert!(!outcome.kinds.contains(&Kind::Executing), "{outcome:?}");
}
