//! The library inside a busy program: many threads, a large heap, and nothing of the program changed by any call.

#![allow(clippy::unwrap_used, reason = "a test that cannot look at its process fails")]

use std::{
    collections::BTreeMap,
    fs,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
};

use oci_conformance::{Bundle as TestBundle, host};
use orlop::{Bundle, CreateOptions, Deadline, Delete, ExitStatus, Runtime, Stdio};

const THREADS: usize = 8;
const CONTAINERS: u32 = 100;
const HEAP: usize = 1 << 30;

/// What a call might change of the process and of the calling thread.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Snapshot {
    cwd: std::path::PathBuf,
    /// Umask, signal mask, ignored and caught signals, capabilities, seccomp, no_new_privs.
    status: BTreeMap<String, String>,
    limits: String,
    env: Vec<(std::ffi::OsString, std::ffi::OsString)>,
    dumpable: bool,
    oom_score_adj: String,
}

impl Snapshot {
    fn take() -> Self {
        let status = fs::read_to_string("/proc/thread-self/status").unwrap();
        let kept = [
            "Umask",
            "SigBlk",
            "SigIgn",
            "SigCgt",
            "CapEff",
            "CapPrm",
            "CapInh",
            "CapBnd",
            "Seccomp",
            "NoNewPrivs",
        ];
        let status = status
            .lines()
            .filter_map(|line| line.split_once(':'))
            .filter(|(name, _)| kept.contains(name))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        Self {
            cwd: std::env::current_dir().unwrap(),
            status,
            limits: fs::read_to_string("/proc/self/limits").unwrap(),
            env: std::env::vars_os().collect(),
            dumpable: rustix::process::dumpable_behavior().unwrap()
                == rustix::process::DumpableBehavior::Dumpable,
            oom_score_adj: fs::read_to_string("/proc/self/oom_score_adj").unwrap(),
        }
    }
}

fn open_fds() -> Vec<(String, String)> {
    let mut fds: Vec<_> = fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let target = fs::read_link(entry.path()).ok()?;
            Some((entry.file_name().into_string().ok()?, target.to_string_lossy().into_owned()))
        })
        // The folder that is being read.
        .filter(|(_, target)| !target.ends_with("/fd"))
        .collect();
    fds.sort();
    fds
}

fn one_container(runtime: &Runtime, bundle: &TestBundle, number: u32) {
    let id = format!("unchanged-{}-{number}", std::process::id());
    let before = Snapshot::take();
    let same = |call: &str| assert_eq!(Snapshot::take(), before, "{call} changed the calling program");

    let opened = Bundle::open(bundle.path()).unwrap();
    same("open");
    let prepared = runtime.prepare(&id, opened, CreateOptions::new()).unwrap();
    same("prepare");
    let created = runtime.create(prepared, Stdio::inherit(), Deadline::never()).unwrap();
    same("create");
    created.container.start(Deadline::never()).unwrap();
    same("start");
    assert_eq!(created.container.wait(Deadline::never()).unwrap(), ExitStatus::Exited(7));
    same("wait");
    created.container.delete(Delete::WhenStopped, Deadline::never()).unwrap();
    same("delete");
}

#[test]
fn no_call_changes_the_program_it_runs_in() {
    oci_conformance::skip_unless!(host::is_root(), "root");
    let bundle = TestBundle::builder()
        .name("unchanged")
        .args(["/bin/probe", "exit", "7"])
        .set("/process/terminal", false)
        .build();
    let root = tempfile::tempdir().unwrap();
    let runtime = Runtime::builder().root(root.path()).build().unwrap();
    // Touched, so that it really is memory.
    let heap: Vec<u8> = vec![1; HEAP];
    let next = AtomicU32::new(0);
    let done = AtomicBool::new(false);
    // The first container makes the sealed program, which the runtime keeps.
    one_container(&runtime, &bundle, u32::MAX);
    let fds = open_fds();

    thread::scope(|scope| {
        // Busy with what a fork would trip over: the allocator's locks.
        let busy = scope.spawn(|| {
            let mut sum = 0usize;
            while !done.load(Ordering::Relaxed) {
                sum += std::hint::black_box(vec![0u8; 4096]).len();
            }
            sum
        });
        let workers: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= CONTAINERS {
                            break;
                        }
                        one_container(&runtime, &bundle, number);
                    }
                })
            })
            .collect();
        let results: Vec<_> = workers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        done.store(true, Ordering::Relaxed);
        assert!(busy.join().is_ok_and(|sum| sum > 0));
        for result in results {
            if let Err(panic) = result {
                std::panic::resume_unwind(panic);
            }
        }
    });
    assert_eq!(open_fds(), fds, "fds were left open");
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0, "state folders were left");
    assert!(heap.chunks(4096).all(|page| page[0] == 1), "the heap was changed");
}
