//! Hosts that make it hard: signal storms, statuses taken by others, PID 1, an outer seccomp profile. Each is a process
//! of its own: this test program, executed again with one test and the environment that wakes it.

use std::{
    os::unix::process::CommandExt,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering},
    thread,
};

use nix::libc;
use oci_conformance::{
    Bundle as TestBundle, BundleBuilder, host, host::unique, runtime::output, skip_unless,
};
use orlop::ExitStatus;

use crate::support::{Host, PATIENCE, rounds};

const ROLE: &str = "ORLOP_TEST_ROLE";

fn is(role: &str) -> bool {
    std::env::var_os(ROLE).is_some_and(|found| found == role)
}

/// This program with one test of this module, to be a host of its own.
fn as_host(role: &str, words: &[&str]) -> Command {
    let program = std::env::current_exe().unwrap();
    let mut command = match words {
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
        [] => Command::new(program),
    };
    command.args(["--exact", "host::a_host", "--nocapture", "--test-threads=1"]).env(ROLE, role);
    command.stdin(Stdio::null());
    command
}

pub fn assert_host_succeeds(role: &str, words: &[&str]) {
    let ran = output(as_host(role, words), 3 * PATIENCE);
    assert!(
        ran.status.success() && ran.stdout().contains("1 passed"),
        "{role}: {}{}",
        ran.stdout(),
        ran.stderr()
    );
}

/// Answers these calls of the calling thread, and of all it starts, with `errno`.
pub fn hide(calls: &[libc::c_long], errno: i32) {
    const LOAD_NUMBER: u16 = 0x20;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    let filter = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut program = vec![filter(LOAD_NUMBER, 0, 0, 0)];
    for &call in calls {
        program.push(filter(JUMP_IF_EQUAL, 0, 1, u32::try_from(call).unwrap()));
        program.push(filter(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | u32::try_from(errno).unwrap()));
    }
    program.push(filter(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW));
    let program =
        libc::sock_fprog { len: u16::try_from(program.len()).unwrap(), filter: program.as_mut_ptr() };
    // SAFETY: the program and its instructions live during the call, which copies them.
    let result =
        unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program, 0, 0) };
    assert_eq!(result, 0, "seccomp: {}", std::io::Error::last_os_error());
}

fn bundle() -> BundleBuilder {
    TestBundle::builder().name("host").args(["/bin/probe", "exit", "7"])
}

/// A container's status is true or said to be unknown.
fn assert_true_or_unknown(host: &Host, bundle: &TestBundle) {
    let status = host.run(bundle).unwrap().status;
    assert!([ExitStatus::Exited(7), ExitStatus::Unknown].contains(&status), "{status:?}");
}

/// Plays the host that `ROLE` names; nothing in the ordinary run.
#[test]
fn a_host() {
    if is("stormed") {
        stormed();
    } else if is("ignores SIGCHLD") {
        let (host, bundle, sleeper) = (Host::new(), bundle().build(), crate::exec::sleeper());
        // SAFETY: sets a disposition; no handler is involved.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
        (0..20).for_each(|_| assert_true_or_unknown(&host, &bundle));
        let statuses = crate::exec::some_statuses(&host, &sleeper);
        assert!(statuses.iter().all(|status| [ExitStatus::Exited(7), ExitStatus::Unknown].contains(status)));
    } else if is("many execs") {
        crate::exec::many_at_once();
    } else if is("waits for all") {
        waits_for_all();
    } else if is("is PID 1") {
        assert_eq!(std::process::id(), 1);
        let (host, bundle, sleeper) = (Host::new(), bundle().build(), crate::exec::sleeper());
        (0..5).for_each(|_| assert_eq!(host.run(&bundle).unwrap().status, ExitStatus::Exited(7)));
        assert_eq!(crate::exec::some_statuses(&host, &sleeper), [ExitStatus::Exited(7); 5]);
    } else if is("clone3 and openat2 are absent") {
        under_profile(libc::ENOSYS);
    } else if is("clone3 and openat2 are forbidden") {
        under_profile(libc::EPERM);
    }
}

fn under_profile(errno: i32) {
    let (bundle, sleeper) = (bundle().build(), crate::exec::sleeper());
    hide(&[libc::SYS_clone3, libc::SYS_openat2], errno);
    let host = Host::new();
    (0..5).for_each(|_| assert_eq!(host.run(&bundle).unwrap().status, ExitStatus::Exited(7)));
    assert_eq!(crate::exec::some_statuses(&host, &sleeper), [ExitStatus::Exited(7); 5]);
}

fn waits_for_all() {
    let (host, bundle) = (Host::new(), bundle().build());
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let thief = scope.spawn(|| {
            let mut taken = 0u32;
            while !done.load(Ordering::Relaxed) {
                // SAFETY: a null status is allowed. ECHILD at once while there is no child.
                taken += u32::from(unsafe { libc::waitpid(-1, std::ptr::null_mut(), 0) } > 0);
                thread::yield_now();
            }
            taken
        });
        (0..20).for_each(|_| assert_true_or_unknown(&host, &bundle));
        done.store(true, Ordering::Relaxed);
        assert!(thief.join().unwrap() > 0, "nothing was taken");
    });
}

/// In memory that all children share, so that a handler in any of them would be seen.
struct Counts {
    host: AtomicI32,
    here: AtomicU32,
    elsewhere: AtomicU32,
}

static mut COUNTS: *const Counts = std::ptr::null();

extern "C" fn count(_signal: libc::c_int) {
    // SAFETY: set before the handler is installed, and mapped until the process ends. The raw call, since a child that
    // shares our memory would share a libc's idea of its pid as well.
    let (counts, pid) = unsafe { (&*COUNTS, libc::syscall(libc::SYS_getpid)) };
    let is_host = pid == libc::c_long::from(counts.host.load(Ordering::Relaxed));
    let counter = if is_host { &counts.here } else { &counts.elsewhere };
    counter.fetch_add(1, Ordering::Relaxed);
}

fn stormed() {
    // SAFETY: a new shared mapping, zeroed by the kernel, which is a valid `Counts`.
    let counts = unsafe {
        let rights = libc::PROT_READ | libc::PROT_WRITE;
        let sharing = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        let memory = libc::mmap(std::ptr::null_mut(), 4096, rights, sharing, -1, 0);
        assert_ne!(memory, libc::MAP_FAILED);
        COUNTS = memory.cast();
        &*COUNTS
    };
    counts.host.store(i32::try_from(std::process::id()).unwrap(), Ordering::Relaxed);
    let bundles = [bundle().build(), bundle().without_namespace("pid").build()];
    // SAFETY: the handler only makes a system call and counts in atomics. SA_RESTART is what signal(2) sets.
    unsafe { libc::signal(libc::SIGUSR1, count as *const () as libc::sighandler_t) };
    let host = Host::new();
    let id = unique("stormed");
    for round in 0..rounds(200, 10_000) {
        let status = host.run_as(&bundles[round as usize % 2], &id).unwrap().status;
        assert_eq!(status, ExitStatus::Exited(7), "round {round}");
    }
    bundles.iter().for_each(|bundle| host.assert_clean(&id, bundle));
    assert!(counts.here.load(Ordering::Relaxed) > 0, "there was no storm");
    assert_eq!(counts.elsewhere.load(Ordering::Relaxed), 0, "handlers ran in another process");
}

#[test]
fn no_handler_runs_in_another_process() {
    skip_unless!(host::is_root(), "root");
    let mut command = as_host("stormed", &[]);
    // A group of its own, which alone is signalled. Ignored until it has its handler, which an exec keeps.
    command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
    // SAFETY: signal(2) may be called between fork and exec.
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGUSR1, libc::SIG_IGN);
            Ok(())
        })
    };
    let child = command.spawn().unwrap();
    let group = i32::try_from(child.id()).unwrap();
    let done = AtomicBool::new(false);
    let ran = thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                // SAFETY: numbers only; the group exists until `done`, since its leader is not reaped before.
                unsafe { libc::kill(-group, libc::SIGUSR1) };
                thread::yield_now();
            }
        });
        let mut child = child;
        let ended = wait_unreaped(&child);
        done.store(true, Ordering::Relaxed);
        if !ended {
            child.kill().unwrap();
        }
        child.wait_with_output().unwrap()
    });
    let text = [ran.stdout, ran.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(ran.status.success() && text[0].contains("1 passed"), "{}\n{}\n{}", ran.status, text[0], text[1]);
}

/// Whether a child ends in time; it stays a zombie.
fn wait_unreaped(child: &std::process::Child) -> bool {
    let pid = rustix::process::Pid::from_child(child);
    let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).unwrap();
    oci_conformance::runtime::readable(&pidfd, 20 * PATIENCE)
}

#[test]
fn a_host_that_ignores_the_ends_of_children_learns_no_false_status() {
    skip_unless!(host::is_root(), "root");
    assert_host_succeeds("ignores SIGCHLD", &[]);
}

#[test]
fn a_host_whose_statuses_are_taken_learns_no_false_one() {
    skip_unless!(host::is_root(), "root");
    assert_host_succeeds("waits for all", &[]);
}

#[test]
fn a_host_that_is_pid_1_gets_containers() {
    skip_unless!(host::is_root(), "root");
    skip_unless!(host::find("unshare").is_some(), "unshare");
    assert_host_succeeds("is PID 1", &["unshare", "-fp", "--mount-proc", "--"]);
}

#[test]
fn a_host_without_clone3_and_openat2_gets_containers() {
    skip_unless!(host::is_root(), "root");
    assert_host_succeeds("clone3 and openat2 are absent", &[]);
    assert_host_succeeds("clone3 and openat2 are forbidden", &[]);
}
