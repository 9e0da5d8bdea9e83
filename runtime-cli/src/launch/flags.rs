//! Options of `create`, `run` and `exec`.

use crate::args::Flag;

/// Where the bundle is.
pub const BUNDLE: Flag =
    Flag::value("bundle", "DIR", "the bundle (default: the current directory)").short('b');
/// Where the terminal goes.
pub const CONSOLE_SOCKET: Flag =
    Flag::value("console-socket", "PATH", "unix socket that is sent the terminal");
/// Where a pidfd goes.
pub const PIDFD_SOCKET: Flag =
    Flag::value("pidfd-socket", "PATH", "unix socket that is sent a pidfd of the process");
/// Where the pid goes.
pub const PID_FILE: Flag = Flag::value("pid-file", "PATH", "file that is given the pid of the process");
/// For hosts whose root is an initramfs.
pub const NO_PIVOT: Flag =
    Flag::switch("no-pivot", "move the mount and chroot instead of pivot_root (for a host in an initramfs)");
/// Keeps the keyring.
pub const NO_NEW_KEYRING: Flag = Flag::switch("no-new-keyring", "keep the session keyring of the caller");
/// More fds.
pub const PRESERVE_FDS: Flag =
    Flag::value("preserve-fds", "N", "pass fds 3 to 3+N-1 on, after those of $LISTEN_FDS (default 0)");
/// Do not wait.
pub const DETACH: Flag = Flag::switch("detach", "return once the program runs; delete it later").short('d');
/// Do not delete.
pub const KEEP: Flag = Flag::switch("keep", "do not delete the container when its process has ended");
/// Do not adopt.
pub const NO_SUBREAPER: Flag = Flag::switch("no-subreaper", "do not adopt orphans of the container");

/// Options of `create`.
pub const CREATE: &[&Flag] =
    &[&BUNDLE, &CONSOLE_SOCKET, &PIDFD_SOCKET, &PID_FILE, &NO_PIVOT, &NO_NEW_KEYRING, &PRESERVE_FDS];

/// Options of `run`.
pub const RUN: &[&Flag] = &[
    &BUNDLE,
    &CONSOLE_SOCKET,
    &PIDFD_SOCKET,
    &PID_FILE,
    &NO_PIVOT,
    &NO_NEW_KEYRING,
    &PRESERVE_FDS,
    &DETACH,
    &KEEP,
    &NO_SUBREAPER,
];

/// Options of `exec` alone.
pub mod exec {
    use super::{CONSOLE_SOCKET, Flag, PID_FILE, PIDFD_SOCKET, PRESERVE_FDS};

    /// A whole process object.
    pub const PROCESS: Flag = Flag::value(
        "process",
        "FILE",
        "the process as a JSON object (config.json's `process`); other options of the process are ignored",
    )
    .short('p');
    /// Do not wait.
    pub const DETACH: Flag = Flag::switch("detach", "return once the program runs").short('d');
    /// A terminal.
    pub const TTY: Flag = Flag::switch("tty", "give the process a terminal").short('t');
    /// Environment.
    pub const ENV: Flag =
        Flag::value("env", "NAME=VALUE", "add to the container's environment (repeatable)").short('e');
    /// Directory.
    pub const CWD: Flag = Flag::value("cwd", "DIR", "working directory (default: the container's)");
    /// User.
    pub const USER: Flag =
        Flag::value("user", "UID[:GID]", "ids as numbers (default: the container's)").short('u');
    /// Groups.
    pub const ADDITIONAL_GIDS: Flag =
        Flag::value("additional-gids", "GID", "add a supplementary group (repeatable)").short('g');
    /// Capabilities.
    pub const CAP: Flag =
        Flag::value("cap", "NAME", "add a capability, CAP_NET_ADMIN for example (repeatable)").short('c');
    /// No new privileges.
    pub const NO_NEW_PRIVS: Flag =
        Flag::switch("no-new-privs", "set-user-id programs and file capabilities give nothing");
    /// AppArmor.
    pub const APPARMOR: Flag = Flag::value("apparmor", "PROFILE", "AppArmor profile");
    /// SELinux.
    pub const PROCESS_LABEL: Flag = Flag::value("process-label", "LABEL", "SELinux label");
    /// Cgroup.
    pub const CGROUP: Flag = Flag::value(
        "cgroup",
        "[CONTROLLER:]PATH",
        "a cgroup below the container's that exists; cgroup v1: CONTROLLER[,CONTROLLER]:PATH (repeatable)",
    );
    /// Frozen containers.
    pub const IGNORE_PAUSED: Flag =
        Flag::switch("ignore-paused", "exec in a paused container too: the program runs once it is resumed");

    /// All options of `exec`.
    pub const ALL: &[&Flag] = &[
        &PROCESS,
        &DETACH,
        &TTY,
        &CONSOLE_SOCKET,
        &PID_FILE,
        &PIDFD_SOCKET,
        &ENV,
        &CWD,
        &USER,
        &ADDITIONAL_GIDS,
        &CAP,
        &NO_NEW_PRIVS,
        &APPARMOR,
        &PROCESS_LABEL,
        &PRESERVE_FDS,
        &CGROUP,
        &IGNORE_PAUSED,
    ];
}
