//! Options of `create` and `run`.

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
