//! The steps that launcher and init can perform, each one or a few system calls.
//!
//! They hold decisions (numbers, fd slots, byte strings), never configuration. `docs/src/design/order.md` has the
//! order of a create and the reason for each place.

use core::ffi::CStr;

#[cfg(not(orlop_freestanding))]
use alloc::{ffi::CString, vec::Vec};

#[cfg(not(orlop_freestanding))]
use super::codec::Encode;
use super::{
    codec::{Decode, List, Malformed, Reader},
    value::Slot,
};

#[cfg(test)]
mod tests;

ops! {
    /// `setns(2)` to an existing namespace that the host opened; its fd is closed then.
    JoinNamespace {
        /// The namespace.
        namespace: slot,
        /// Its `CLONE_NEW*` flag, checked by the kernel.
        kind: u32,
    }
    /// `unshare(2)`.
    Unshare {
        /// `CLONE_NEW*` flags.
        flags: u32,
    }
    /// Ends the launcher: `clone3(2)` with `CLONE_PARENT | CLONE_PIDFD`; the child goes on with the next step, the
    /// caller sends [`super::message::Kind::Cloned`] with the pidfd and exits. What earlier steps keep open (rootfs,
    /// mask, devpts) is closed first: with a joined pid namespace the clone comes after the change of root.
    Clone {
        /// `CLONE_NEW*` flags of the new process.
        namespaces: u32,
        /// The cgroup to be born in (`CLONE_INTO_CGROUP`), or [`Slot::NONE`].
        cgroup: slot,
    }
    /// Sends [`super::message::Kind::Reached`] and waits for [`super::message::Kind::Proceed`] with the same number.
    Barrier {
        /// One of [`super::message::Barrier`].
        barrier: u32,
    }
    /// `PR_SET_DUMPABLE`: 0 closes /proc/PID of launcher and init to members of the namespaces they enter.
    SetDumpable {
        /// 0 or 1.
        value: u32,
    }
    /// Becomes uid and gid 0 of the user namespace just entered (`setresgid`, `setresuid`), keeping capabilities.
    BecomeRoot {
        /// Whether `setgroups(0)` is allowed here (not for a plain user's single id).
        drop_groups: bool,
    }
    /// Writes the offsets of the time namespace for children, as one or two lines, then enters it.
    TimeOffsets {
        /// The text for `/proc/self/timens_offsets`; empty: enter without writing.
        offsets: str,
    }
    /// `setsid(2)`: leads a session and a process group of its own.
    NewSession {}
    /// `keyctl(KEYCTL_JOIN_SESSION_KEYRING)`: a session keyring of its own. A kernel without keys is no failure.
    SessionKeyring {
        /// The keyring's name.
        name: str,
    }
    /// Brings `lo` up in the network namespace.
    LoopbackUp {}
    /// `sethostname(2)`.
    Hostname {
        /// At most 64 bytes.
        name: str,
    }
    /// `setdomainname(2)`.
    Domainname {
        /// At most 64 bytes.
        name: str,
    }
    /// `mount(NULL, "/", NULL, propagation, NULL)` on the present root, before anything is mounted.
    RootPropagation {
        /// `MS_SLAVE`, `MS_PRIVATE`… with `MS_REC` where asked.
        flags: u32,
    }
    /// Clones the tree at the rootfs path and attaches it over itself, so that it is a mount of its own; keeps it as
    /// *rootfs*, beneath which all later paths are resolved.
    AttachRootfs {
        /// The rootfs in the host's file system, absolute.
        path: str,
        /// Where the path cannot be reached (EACCES: mapped root may not search it) the host sends the tree, and it is
        /// attached over `/`.
        from_host: bool,
    }
    /// Mounts a new file system with `fsopen`, `fsconfig`, `fsmount` and attaches it beneath the rootfs.
    NewMount {
        /// File system type.
        fs_type: str,
        /// `source` as shown in mountinfo.
        source: str,
        /// Destination in the container, absolute; missing parts are made (0755).
        target: str,
        /// Parameters: `key` (a flag) or `key=value`. An entry that begins with `=` is one whole legacy option.
        options: strs,
        /// `MOUNT_ATTR_*` of the mount.
        attributes: u64,
        /// `MS_SHARED`, `MS_SLAVE`, `MS_PRIVATE`, `MS_UNBINDABLE`, with `MS_REC`; 0: none.
        propagation: u32,
        /// Refuse a symbolic link as the last part of the target (proc and sysfs, CVE-2019-19921).
        no_symlink: bool,
        /// For proc before the pid namespace is entered (`fsconfig` key `pidns`), else [`Slot::NONE`].
        pid_namespace: slot,
        /// Keep the mount's fd for the console: this is the devpts at /dev/pts.
        is_devpts: bool,
        /// For a tmpfs: copy what the rootfs has at the target into it (`tmpcopyup`).
        copy_up: bool,
        /// For a tmpfs without `mode=`: its root gets the mode of the directory it covers, where there was one.
        inherit_mode: bool,
        /// A user namespace with the id map of the mount, or [`Slot::NONE`].
        idmap: slot,
        /// A tree to bind instead, with all mounts below, where the kernel allows no new file system (EPERM); or empty.
        or_bind: str,
    }
    /// Attaches the procfs of a pid namespace that has members, cloned at /proc of a mount namespace of theirs: for
    /// kernels without the parameter `pidns`.
    BindProc {
        /// Where members have it mounted.
        mount_namespace: slot,
        /// The namespace that it must show.
        pid_namespace: slot,
        /// As in `NewMount`; a symbolic link is refused.
        target: str,
        /// `MOUNT_ATTR_*` of the mount.
        attributes: u64,
        /// As in `NewMount`.
        propagation: u32,
    }
    /// Clones a tree of the host and attaches it beneath the rootfs.
    BindMount {
        /// The tree in the host's file system, absolute.
        source: str,
        /// Destination in the container. A missing one becomes a directory or an empty file, as the source is.
        target: str,
        /// `rbind`.
        recursive: bool,
        /// The host sends the detached tree where init cannot open or map it.
        from_host: bool,
        /// What is done about links: bits of [`super::links`].
        links: u32,
        /// A user namespace with the id map of the mount, or [`Slot::NONE`].
        idmap: slot,
        /// Whether the id map is that of all mounts of the tree (`ridmap`).
        idmap_recursive: bool,
        /// `MOUNT_ATTR_*` to set on the top mount.
        set: u64,
        /// `MOUNT_ATTR_*` to clear on the top mount.
        clear: u64,
        /// Bits of `clear` that stay where the kernel has locked them (EPERM): nobody asked for their absence.
        keep: u64,
        /// `MOUNT_ATTR_*` to set on all mounts of the tree (`rro`, …).
        set_recursive: u64,
        /// `MOUNT_ATTR_*` to clear on all mounts of the tree.
        clear_recursive: u64,
        /// As in `NewMount`.
        propagation: u32,
    }
    /// Changes a mount that exists in the container (`remount`).
    Remount {
        /// Where, in the container.
        target: str,
        /// Parameters of the superblock, as in `NewMount`; none: the superblock stays as it is.
        options: strs,
        /// `MOUNT_ATTR_*` to set.
        set: u64,
        /// `MOUNT_ATTR_*` to clear.
        clear: u64,
        /// As in `BindMount`.
        keep: u64,
        /// Propagation to set, 0: none.
        propagation: u32,
    }
    /// A symbolic link in the container, if nothing is there yet.
    Symlink {
        /// What it says.
        points_to: str,
        /// Where it is.
        path: str,
    }
    /// Removes a file of the image (`/dev/ptmx`), if it is there and no directory.
    Remove {
        /// Where, in the container.
        path: str,
    }
    /// `mknodat(2)`; a node that exists must be the same.
    DeviceNode {
        /// Where, in the container; missing parents are made.
        path: str,
        /// `S_IFCHR`, `S_IFBLK` or `S_IFIFO` with permission bits, kept whatever the umask is.
        mode: u32,
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
    }
    /// Closes the fd of a slot that no step needs any more.
    CloseSlot {
        /// The slot.
        slot: slot,
    }
    /// For a helper of the host: makes a directory its root (`fchdir`, `chroot`).
    EnterRoot {
        /// The directory.
        root: slot,
    }
    /// For a helper of the host: waits for [`super::message::Kind::Proceed`]; with 1 it opens a tree of its mount
    /// namespace and sends it ([`super::message::Kind::Tree`]), with 0 it goes on.
    SendTree {
        /// The tree, absolute.
        source: str,
        /// With what is mounted below.
        recursive: bool,
        /// As in `BindMount`.
        links: u32,
        /// As in `BindMount`.
        idmap: slot,
        /// As in `BindMount`.
        idmap_recursive: bool,
    }
    /// Enters the rootfs: `pivot_root(".", ".")` and detaches the old root.
    PivotRoot {}
    /// Enters the rootfs without `pivot_root`: moves it onto `/` and `chroot`s (`--no-pivot`).
    MoveRoot {}
    /// Propagation of the container's root mount, after the pivot.
    RootfsPropagation {
        /// As in `NewMount`.
        flags: u32,
    }
    /// Makes the root mount read-only.
    ReadonlyRootfs {}
    /// Opens the host's /dev/null (checked to be char 1:3) as the mask for files.
    OpenMask {}
    /// Hides a path: an empty read-only directory over a directory, the mask over anything else. ENOENT is no failure.
    MaskPath {
        /// Where, in the container.
        path: str,
    }
    /// Makes a path read-only by a bind mount of itself, with what is mounted below. ENOENT is no failure.
    ReadonlyPath {
        /// Where, in the container.
        path: str,
    }
    /// Writes a sysctl through a procfs of its own.
    Sysctl {
        /// Path below `/proc/sys`, with slashes.
        key: str,
        /// What is written.
        value: str,
    }
    /// Opens a terminal in the container's devpts, sends the master to the host, binds the slave on /dev/console and
    /// makes it stdin, stdout, stderr.
    Console {
        /// Rows, 0: unset.
        height: u32,
        /// Columns, 0: unset.
        width: u32,
        /// Owner of the slave.
        uid: u32,
        /// Whether /dev/console is bound (not for exec).
        bind_console: bool,
        /// Whether it becomes the controlling terminal at once; else `ControllingTerminal` comes later, since the
        /// session's leader is a process that is still to be cloned.
        controlling: bool,
    }
    /// Makes stdin the controlling terminal of the session that this process leads (`TIOCSCTTY`).
    ControllingTerminal {}
    /// `fchown` of stdin, stdout, stderr to the user, so that /dev/stdout can be opened; not of /dev/null or a tty
    /// of another. EPERM, EROFS and ENOTSUP are harmless.
    OwnStdio {
        /// Container uid.
        uid: u32,
    }
    /// Sends an rtnetlink socket of this network namespace to the host ([`super::message::Kind::RouteSocket`]).
    RouteSocket {}
    /// Runs a hook in the container's namespaces and waits for it. The state is on its stdin.
    Hook {
        /// Executable: in the present root.
        path: str,
        /// Arguments with `argv[0]`.
        args: strs,
        /// Environment.
        env: strs,
        /// State as JSON; `{pid}` was replaced by a run of blanks at `pid_at`.
        state: bytes,
        /// Offset of the digits in `state`.
        pid_at: u32,
        /// Room for the digits; filled with the pid as the hook's pid namespace shows it, then blanks.
        pid_len: u32,
        /// Milliseconds, 0: none.
        timeout_ms: u64,
    }
    /// Drops capabilities from the bounding set and sets the securebits' keep-caps flag for the change of ids.
    BoundingSet {
        /// What remains.
        capabilities: u64,
    }
    /// Changes groups and ids; the permitted capabilities stay and are effective until `Capabilities`, so that the
    /// working directory may be one that only root can search.
    SetUser {
        /// uid.
        uid: u32,
        /// gid.
        gid: u32,
        /// Supplementary groups.
        groups: nums,
        /// Whether `setgroups` is called at all (denied to a plain user's single id).
        set_groups: bool,
        /// umask of the process.
        umask: u32,
    }
    /// `capset(2)` and ambient set.
    Capabilities {
        /// Effective.
        effective: u64,
        /// Permitted.
        permitted: u64,
        /// Inheritable.
        inheritable: u64,
        /// Ambient; must be in permitted and inheritable.
        ambient: u64,
    }
    /// Changes to the working directory and checks that it is beneath the root (CVE-2024-21626).
    Chdir {
        /// Absolute path in the container.
        path: str,
    }
    /// Makes the working directory with its parents (0755) if it is missing; before the root becomes read-only.
    MakeCwd {
        /// Absolute path in the container.
        path: str,
    }
    /// Looks `args[0]` up as the user would; keeps the path for `Exec`.
    FindExecutable {
        /// `args[0]`.
        name: str,
        /// The `PATH` of the process, or the default one.
        search: str,
    }
    /// Waits for the start signal: a record in the FIFO, or `Proceed` on the channel where `fifo` is none. Ends on
    /// TERM, INT, HUP and QUIT.
    AwaitStart {
        /// FIFO to read, or none.
        fifo: slot,
        /// FIFO for the answer, or none: from here on failures and success are reported there.
        answer: slot,
    }
    /// `PR_SET_NO_NEW_PRIVS`.
    NoNewPrivileges {}
    /// `prlimit` of itself: only where the host has no right to set another process's limits.
    Rlimit {
        /// `RLIMIT_*` by number.
        resource: u32,
        /// The soft limit; `u64::MAX`: none.
        soft: u64,
        /// The hard limit; `u64::MAX`: none.
        hard: u64,
    }
    /// `sched_setaffinity` of itself to all CPUs: those of the cgroup remain. Refused, it is no failure.
    ResetCpus {}
    /// `sched_setaffinity` of itself.
    Cpus {
        /// Bit mask in whole words, CPU 0 first.
        mask: bytes,
    }
    /// `sched_setattr` of itself.
    Scheduler {
        /// `SCHED_*`.
        policy: u32,
        /// The nice value.
        nice: i32,
        /// Of real-time policies.
        priority: u32,
        /// `SCHED_FLAG_*`.
        flags: u64,
        /// Nanoseconds, as the next two: of `SCHED_DEADLINE`.
        runtime: u64,
        /// Deadline.
        deadline: u64,
        /// Period.
        period: u64,
    }
    /// `ioprio_set` of itself.
    IoPriority {
        /// Class and level (ioprio.h).
        value: u32,
    }
    /// `set_mempolicy`.
    MemoryPolicy {
        /// `MPOL_*` with `MPOL_F_*`.
        mode: u32,
        /// Bit mask in whole words, node 0 first; empty: none.
        nodes: bytes,
    }
    /// `personality(2)`.
    Personality {
        /// `PER_*`.
        persona: u32,
    }
    /// `seccomp(SECCOMP_SET_MODE_FILTER)` at once: all later steps are under the filter.
    Filter {
        /// `struct sock_filter`, one after the other.
        program: bytes,
        /// `SECCOMP_FILTER_FLAG_*`. With `NEW_LISTENER` the host gets the listener's fd before init goes on.
        flags: u32,
        /// The fd is sent along, for a host that may not take it (`pidfd_getfd`); else its number is told by `write(2)`.
        send: bool,
    }
    /// Keeps a filter for `Exec`, which loads it as its last call before `execve`.
    FilterAtExec {
        /// As in `Filter`.
        program: bytes,
        /// As in `Filter`, without a listener.
        flags: u32,
        /// Makes CAP_SYS_ADMIN effective for it, without `no_new_privs`; the exec drops it.
        raise: bool,
    }
    /// Opens the file in /proc that gives the next exec a security label, for `WriteLabel`. A process may write its own
    /// only, and only the one that it opened itself.
    OpenLabel {
        /// Paths below its folder in /proc, of which the first that is there is taken.
        names: strs,
    }
    /// Writes the label for the next exec.
    WriteLabel {
        /// What is written.
        value: str,
    }
    /// Replaces init by the user's program. Success is told before.
    Exec {
        /// Arguments.
        args: strs,
        /// Environment.
        env: strs,
        /// Uid whose home directory becomes HOME (from /etc/passwd, else `/`), or `u32::MAX`: HOME is in `env`.
        home_of: u32,
        /// Number of fds from 3 on that the program inherits.
        preserved_fds: u32,
        /// Signals the program ignores, as bits from signal 1: none for a container.
        ignored_signals: u64,
    }
}
