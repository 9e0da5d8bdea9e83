//! The filter of system calls of `try`: all that programs for building and testing do, nothing that a command has no
//! business with. Without capabilities the kernel refuses much of it anyway; not being asked is one bug in the kernel
//! less that matters.

use serde_json::{Value, json};

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;
const EAFNOSUPPORT: u32 = 97;

/// Keys outlive the sandbox; programs for the kernel, its modules and another kernel change the host; watching it tells
/// of others.
const KERNEL: &[&str] = &[
    "add_key",
    "bpf",
    "delete_module",
    "finit_module",
    "init_module",
    "kexec_file_load",
    "kexec_load",
    "keyctl",
    "lookup_dcookie",
    "perf_event_open",
    "request_key",
    "userfaultfd",
];

/// Mounts and files by handle: a way around what the sandbox shows.
const FILES: &[&str] = &[
    "fsconfig",
    "fsmount",
    "fsopen",
    "fspick",
    "mount",
    "mount_setattr",
    "move_mount",
    "name_to_handle_at",
    "open_by_handle_at",
    "open_tree",
    "open_tree_attr",
    "pivot_root",
    "setns",
    "umount",
    "umount2",
];

/// The machine as a whole.
const MACHINE: &[&str] = &[
    "acct",
    "adjtimex",
    "clock_adjtime",
    "clock_settime",
    "ioperm",
    "iopl",
    "nfsservctl",
    "quotactl",
    "quotactl_fd",
    "reboot",
    "settimeofday",
    "stime",
    "swapoff",
    "swapon",
    "syslog",
    "vhangup",
    "vm86",
    "vm86old",
];

/// Absent, so that programs do it the other way: `clone3` has its flags in memory, where no filter can look.
const ABSENT: &[&str] = &["clone3", "io_uring_enter", "io_uring_register", "io_uring_setup"];

/// `CLONE_NEWUSER`: in a user namespace of its own the command would have all capabilities.
const NEW_USER: u64 = 0x1000_0000;

/// The kernel looks at 32 bits of these arguments, so the filter does too.
const INT: u64 = 0xffff_ffff;

/// Pushes characters into a terminal's input, of a shell outside perhaps (`TIOCSTI`, `TIOCLINUX`).
const TYPING: [u64; 2] = [0x5412, 0x541c];

/// Reach a hypervisor (`AF_VSOCK`), and much code of the kernel (`AF_ALG`).
const FAMILIES: [u64; 2] = [40, 38];

/// `linux.seccomp` of the sandbox.
pub fn filter() -> Value {
    let deny =
        |names: &[&str], errno: u32| json!({ "names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": errno });
    let mut rules = vec![deny(KERNEL, EPERM), deny(FILES, EPERM), deny(MACHINE, EPERM), deny(ABSENT, ENOSYS)];
    rules.push(with(deny(&["clone", "unshare"], EPERM), 0, NEW_USER, NEW_USER));
    rules.extend(TYPING.map(|request| with(deny(&["ioctl"], EPERM), 1, INT, request)));
    rules.extend(FAMILIES.map(|family| with(deny(&["socket", "socketpair"], EAFNOSUPPORT), 0, INT, family)));
    let architectures: &[&str] = match std::env::consts::ARCH {
        "x86_64" => &["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "aarch64" => &["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
        _ => &[],
    };
    json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": architectures, "syscalls": rules })
}

/// Only where an argument has this value under the mask.
fn with(mut rule: Value, index: u8, mask: u64, value: u64) -> Value {
    rule["args"] = json!([{ "index": index, "value": mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ" }]);
    rule
}
