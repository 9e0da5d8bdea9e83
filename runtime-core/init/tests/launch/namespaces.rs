//! Namespaces: of a user, joined late, with offsets, with a network.

use std::{
    fs,
    os::{fd::OwnedFd, unix::fs::PermissionsExt},
};

use orlop_init::wire::{
    OwnedOp, Slot,
    message::{Barrier, Detail},
};

use crate::{
    host::{Scratch, Start, c, is_skipped},
    plans::*,
};

const NEWNS: u32 = 0x2_0000;
const NEWTIME: u32 = 0x80;
const NEWUSER: u32 = 0x1000_0000;
const NEWPID: u32 = 0x2000_0000;
const NEWNET: u32 = 0x4000_0000;
const REC_SLAVE: u32 = 0x4000 | 1 << 19;

#[test]
fn mapped_root_gets_a_root_file_system_that_it_may_not_reach() {
    if is_skipped() {
        return;
    }
    let scratch = Scratch::new("mapped");
    let rootfs = scratch.rootfs();
    fs::create_dir_all(scratch.path("rootfs/proc")).unwrap();
    fs::create_dir_all(scratch.path("rootfs/null")).unwrap();
    fs::set_permissions(scratch.path(""), fs::Permissions::from_mode(0o700)).unwrap();
    let steps = vec![
        OwnedOp::Clone { namespaces: NEW | NEWUSER, cgroup: Slot::NONE },
        barrier(Barrier::Placed),
        OwnedOp::BecomeRoot { drop_groups: true },
        OwnedOp::SetDumpable { value: 0 },
        OwnedOp::NewSession {},
        OwnedOp::SessionKeyring { name: c("_ses.test") },
        OwnedOp::Hostname { name: c("inside") },
        OwnedOp::RootPropagation { flags: REC_SLAVE },
        OwnedOp::AttachRootfs { path: rootfs, from_host: true },
        OwnedOp::OpenMask {},
        new_mount("proc", "/proc", &[], 2 | 4 | 8),
        OwnedOp::Sysctl { key: c("kernel/msgmax"), value: c("4321") },
    ];
    let mut rest =
        end("id -u; cat /proc/self/uid_map /proc/sys/kernel/msgmax; stat -c %t,%T /proc/cpuinfo; echo $$");
    rest.insert(1, OwnedOp::MaskPath { path: c("/proc/cpuinfo") });
    let start = Start {
        steps: [steps, rest].concat(),
        tree: Some(scratch.path("rootfs")),
        id_map: Some("0 100000 65536".to_owned()),
        ..Start::default()
    };
    assert_ran(&start.run(), "0\n         0     100000      65536\n4321\n1,3\n1\n");
}

#[test]
fn a_pid_namespace_may_be_entered_after_the_change_of_root() {
    if is_skipped() {
        return;
    }
    let scratch = Scratch::new("late");
    let mut steps = begin(scratch.rootfs());
    steps.drain(..2);
    steps.insert(0, OwnedOp::Unshare { flags: NEWNS | 0x0400_0000 | 0x0800_0000 });
    let mut rest = end("echo $$; ls /proc/self/fd");
    let joined = [
        OwnedOp::MaskPath { path: c("/proc/cpuinfo") },
        OwnedOp::Clone { namespaces: NEWPID, cgroup: Slot::NONE },
        barrier(Barrier::Placed),
        OwnedOp::NewSession {},
        // The rootfs of the launcher is closed: this one is the present root.
        OwnedOp::ReadonlyRootfs {},
        OwnedOp::Remove { path: c("/dev/ptmx") },
        new_mount("proc", "/proc", &[], 0),
    ];
    rest.splice(1..1, joined);
    assert_ran(&run([steps, rest]), "1\n0\n1\n2\n3\n");
}

/// A process that is the first of a pid namespace and has a procfs of it, in a mount namespace of its own.
struct Member(std::process::Child);

impl Member {
    fn new() -> Self {
        let mut command = std::process::Command::new("unshare");
        command.args([
            "--pid",
            "--mount-proc",
            "--fork",
            "--kill-child",
            "sh",
            "-c",
            "echo; exec sleep 1000",
        ]);
        let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut [0]).unwrap();
        Self(child)
    }

    fn namespace(&self, name: &str) -> OwnedFd {
        let parent = self.0.id();
        let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap();
        fs::File::open(format!("/proc/{}/ns/{name}", children.trim())).unwrap().into()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn proc_of_a_joined_pid_namespace_is_taken_from_its_members() {
    if is_skipped() {
        return;
    }
    let scratch = Scratch::new("members");
    let member = Member::new();
    let (mounts, pids) = (member.namespace("mnt"), member.namespace("pid"));
    let own_pids: OwnedFd = fs::File::open("/proc/self/ns/pid").unwrap().into();
    for (pids, is_right) in [(&pids, true), (&own_pids, false)] {
        let mut steps = begin(scratch.rootfs());
        steps.drain(..2);
        steps.insert(0, OwnedOp::Unshare { flags: NEWNS | 0x0400_0000 | 0x0800_0000 });
        let is_proc = |op: &OwnedOp| matches!(op, OwnedOp::NewMount { fs_type, .. } if &**fs_type == c"proc");
        let proc = steps.iter().position(is_proc).unwrap();
        steps[proc] = OwnedOp::BindProc {
            mount_namespace: Slot(0),
            pid_namespace: Slot(1),
            target: c("/proc"),
            attributes: 2 | 4 | 8,
            propagation: 0,
        };
        let mut rest = end(
            "cat /proc/1/comm; echo $$; grep -c ' /proc .*nosuid,nodev,noexec.* proc ' /proc/self/mountinfo",
        );
        let joined = [
            OwnedOp::JoinNamespace { namespace: Slot(1), kind: NEWPID },
            OwnedOp::Clone { namespaces: 0, cgroup: Slot::NONE },
            barrier(Barrier::Placed),
            OwnedOp::NewSession {},
        ];
        rest.splice(1..1, joined);
        let start = Start { steps: [steps, rest].concat(), slots: vec![&mounts, pids], ..Start::default() };
        let outcome = start.run();
        if is_right {
            assert_ran(&outcome, "sleep\n2\n1\n");
        } else {
            assert_failed(&outcome, proc, 3, Detail::SOURCE);
        }
    }
}

#[test]
fn the_program_lives_in_the_time_and_network_made_for_it() {
    if is_skipped() {
        return;
    }
    let scratch = Scratch::new("time");
    let mut steps = begin(scratch.rootfs());
    steps[0] = OwnedOp::Clone { namespaces: NEW | NEWNET, cgroup: Slot::NONE };
    steps.insert(2, OwnedOp::LoopbackUp {});
    steps.insert(0, OwnedOp::TimeOffsets { offsets: c("boottime 864000 0") });
    steps.insert(0, OwnedOp::Unshare { flags: NEWTIME });
    let script = "cat /proc/self/timens_offsets; /bin/busybox ifconfig lo | grep -o 'UP LOOPBACK'; \
        ls -l /proc/self/ns/time /proc/self/ns/time_for_children | /bin/busybox sed 's/.*-> //' | /bin/busybox uniq | /bin/busybox wc -l";
    let expected = "monotonic           0         0\nboottime       864000         0\nUP LOOPBACK\n1\n";
    assert_ran(&run([steps, end(script)]), expected);
}
