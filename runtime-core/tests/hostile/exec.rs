//! Processes that are added by a program with many threads: all at once, beyond their deadline, by handle.

use std::{fs, os::fd::AsFd, thread, time::Duration};

use oci_conformance::{Bundle as TestBundle, host, host::unique, runtime::readable, skip_unless};
use orlop::{Deadline, Delete, ErrorKind, ExecOptions, ExitStatus, Status, Stdio};

use crate::support::{Host, Kept, content, memory, null_and, patience, rounds};

pub fn sleeper() -> TestBundle {
    TestBundle::builder().name("exec").args(["/bin/probe", "sleep"]).build()
}

fn running(host: &Host, bundle: &TestBundle, id: &str) -> Kept {
    let container = Kept(host.create(bundle, id, &memory()).unwrap());
    container.0.start(patience()).unwrap();
    container
}

fn open_fds() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

fn children() -> String {
    let mut all: Vec<String> = fs::read_dir("/proc/self/task")
        .unwrap()
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok())
        .collect();
    all.sort();
    all.concat()
}

/// In a process of its own: other tests of this program have children and fds too.
#[test]
fn many_processes_at_once_leave_nothing() {
    skip_unless!(host::is_root(), "root");
    crate::host::assert_host_succeeds("many execs", &[]);
}

pub fn many_at_once() {
    let (host, bundle, id) = (Host::new(), sleeper(), unique("many"));
    let container = running(&host, &bundle, &id);
    let one = |number: i32| {
        let mut output = memory();
        let command = ["/bin/probe", "each", "echo", &format!("I am {number}"), "--", "exit", "7"];
        let executed =
            container.0.exec(&ExecOptions::command(command), null_and(&output), patience()).unwrap();
        assert_eq!(executed.process.wait(patience()).unwrap(), ExitStatus::Exited(7));
        assert_eq!(content(&mut output), format!("I am {number}\n"));
    };
    one(-1);
    let (fds, before) = (open_fds(), children());
    for _ in 0..rounds(1, 10) {
        thread::scope(|scope| {
            for number in 0..256 {
                scope.spawn(move || one(number));
            }
        });
    }
    assert_eq!((open_fds(), children()), (fds, before));
    container.0.delete(Delete::Force, patience()).unwrap();
    host.assert_clean(&id, &bundle);
}

/// What a few processes that exit with 7 end with.
pub fn some_statuses(host: &Host, bundle: &TestBundle) -> Vec<ExitStatus> {
    let container = running(host, bundle, &unique("some"));
    let options = ExecOptions::command(["/bin/probe", "exit", "7"]);
    let status = |_| {
        let process = container.0.exec(&options, null_and(&memory()), patience()).unwrap().process;
        process.wait(patience()).unwrap()
    };
    (0..5).map(status).collect()
}

#[test]
fn a_handle_knows_signals_and_statuses() {
    skip_unless!(host::is_root(), "root");
    let (host, bundle, id) = (Host::new(), sleeper(), unique("handle"));
    let container = running(&host, &bundle, &id);
    let sleep = ExecOptions::command(["/bin/probe", "sleep"]);
    let process = container.0.exec(&sleep, null_and(&memory()), patience()).unwrap().process;
    assert_eq!(process.try_wait().unwrap(), None);
    assert!(!readable(process.as_fd(), Duration::ZERO));
    let late = process.wait(Deadline::after(Duration::from_millis(1))).unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Timeout);
    assert_eq!(process.kill(99).unwrap_err().kind(), ErrorKind::InvalidArgument);
    process.kill(0).unwrap();
    process.kill(9).unwrap();
    assert_eq!(process.wait(patience()).unwrap(), ExitStatus::Signaled(9));
    assert_eq!(process.try_wait().unwrap(), Some(ExitStatus::Signaled(9)));
    assert_eq!(process.kill(9).unwrap_err().kind(), ErrorKind::WrongStatus);
    assert_eq!(container.0.try_wait().unwrap(), None, "the container goes on");

    let missing = container.0.exec(&ExecOptions::command(["nosuch"]), null_and(&memory()), patience());
    assert_eq!(missing.unwrap_err().kind(), ErrorKind::ExecFailed);
    let wrong = container.0.exec(&ExecOptions::from_process("{}"), null_and(&memory()), patience());
    assert_eq!(wrong.unwrap_err().kind(), ErrorKind::InvalidConfig);
    let one_more = sleep.clone().preserved_fds(1);
    let wrong = container.0.exec(&one_more, null_and(&memory()), patience()).unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::InvalidArgument);

    let fd = memory();
    let told = ["/bin/probe", "append", "/proc/self/fd/3", "from inside"];
    let options = ExecOptions::command(told).preserved_fds(1);
    let twin = fd.try_clone().unwrap().into();
    let process =
        container.0.exec(&options, null_and(&memory()).preserve([twin]), patience()).unwrap().process;
    assert_eq!(process.wait(patience()).unwrap(), ExitStatus::Exited(0));
    assert_eq!(content(&mut { fd }), "from inside");

    container.0.kill(9, orlop::KillScope::Init).unwrap();
    container.0.wait(patience()).unwrap();
    let late = container.0.exec(&sleep, Stdio::inherit(), patience()).unwrap_err();
    assert_eq!((late.kind(), late.status()), (ErrorKind::WrongStatus, Some(Status::Stopped)));
    container.0.delete(Delete::WhenStopped, patience()).unwrap();
    host.assert_clean(&id, &bundle);
}

#[test]
fn a_deadline_ends_an_exec_in_a_paused_container() {
    skip_unless!(host::is_root(), "root");
    let (host, bundle, id) = (Host::new(), sleeper(), unique("frozen"));
    let container = running(&host, &bundle, &id);
    container.0.pause(patience()).unwrap();
    let options = ExecOptions::command(["/bin/probe", "true"]);
    let refused = container.0.exec(&options, null_and(&memory()), patience()).unwrap_err();
    assert_eq!((refused.kind(), refused.status()), (ErrorKind::WrongStatus, Some(Status::Paused)));
    let options = options.ignore_paused(true);
    let soon = || Deadline::after(Duration::from_millis(300));
    let late = container.0.exec(&options, null_and(&memory()), soon()).unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Timeout, "{late}");
    assert_eq!(container.0.processes().unwrap(), [container.0.pid()], "nothing of it stays frozen");
    container.0.resume(patience()).unwrap();
    let process = container.0.exec(&options, null_and(&memory()), patience()).unwrap().process;
    assert_eq!(process.wait(patience()).unwrap(), ExitStatus::Exited(0));
    container.0.delete(Delete::Force, patience()).unwrap();
    host.assert_clean(&id, &bundle);
}
