//! When a start counts as one: the program was executed, not merely about to be.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::thread;

use oci_conformance::{Bundle as TestBundle, host, skip_unless};
use orlop::{Bundle, CreateOptions, Deadline, Delete, ErrorKind, ExitStatus, Result, Runtime, Status, Stdio};
use orlop_init::arch::{nr, syscall};

/// Kills whoever calls execve(2), which of all here only init does: the launcher is executed by execveat(2).
fn forbid_execve() {
    const PR_SET_SECCOMP: usize = 22;
    const SECCOMP_MODE_FILTER: usize = 2;
    const PR_SET_NO_NEW_PRIVS: usize = 38;
    const KILL_PROCESS: u32 = 0x8000_0000;
    // `struct sock_filter`: load the number; jump over the next unless it is execve; kill; allow.
    let filter: [[u32; 2]; 4] =
        [[0x20, 0], [0x15 | 1 << 24, nr::EXECVE as u32], [0x06, KILL_PROCESS], [0x06, 0x7fff_0000]];
    let program = [filter.len(), filter.as_ptr() as usize];
    // SAFETY: `struct sock_fprog` and the filter live during the call; both calls concern this thread only.
    let installed = unsafe {
        syscall(nr::PRCTL, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0);
        syscall(nr::PRCTL, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program.as_ptr() as usize, 0, 0, 0)
    };
    assert_eq!(installed, 0);
}

/// Starts a container in a thread of its own, and tells how that went and what the container is then.
fn start(by_this_handle: bool, forbid: bool) -> (Result<()>, Status) {
    let root = host::TempDir::new("started");
    let bundle = TestBundle::builder().name("started").args(["/bin/probe", "exit", "0"]).build();
    let runtime = Runtime::builder().root(root.path()).build().unwrap();
    let run = || {
        if forbid {
            forbid_execve();
        }
        let mut options = CreateOptions::new();
        if by_this_handle {
            options = options.started_by_this_handle();
        }
        let prepared =
            runtime.prepare(&host::unique("started"), Bundle::open(bundle.path()).unwrap(), options).unwrap();
        let container = runtime.create(prepared, Stdio::inherit(), Deadline::never()).unwrap().container;
        let started = container.start(Deadline::never());
        let ended = container.wait(Deadline::never()).unwrap();
        assert_eq!(ended, if forbid { ExitStatus::Signaled(31) } else { ExitStatus::Exited(0) });
        let status = container.state().unwrap().status;
        container.delete(Delete::WhenStopped, Deadline::never()).unwrap();
        (started, status)
    };
    thread::scope(|scope| scope.spawn(run).join().unwrap())
}

#[test]
fn a_death_before_the_exec_is_no_start() {
    skip_unless!(host::is_root(), "root");
    for by_this_handle in [true, false] {
        let (started, _) = start(by_this_handle, false);
        started.unwrap();
        let (started, status) = start(by_this_handle, true);
        let error = started.expect_err("nothing was executed");
        assert_eq!((error.kind(), status), (ErrorKind::WrongStatus, Status::Stopped), "{error}");
    }
}
