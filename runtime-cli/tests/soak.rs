//! Many runs, one after the other and at once: none hangs and nothing is left of any.
//!
//! With `ORLOP_TEST_LONG=1` ten thousand in a row, else two hundred. The test process adopts orphans, so that a process
//! which some run left is found among its children, whatever it calls itself. Where no process is left, no open file is.

use std::{
    fs,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use oci_conformance::{
    Bundle, PROBE_PATH, Runtime, host,
    leftovers::{leftovers, remove_cgroups},
    skip_unless,
};

const ORLOP: &str = env!("CARGO_BIN_EXE_orlop");
/// A run takes some milliseconds; on a busy machine, some tens.
const WATCHDOG: Duration = Duration::from_secs(2);
const AT_ONCE: usize = 200;

/// Children are counted for the whole process, so its tests take turns.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn runs_in_a_row() -> usize {
    if host::is_long() { 10_000 } else { 200 }
}

fn program() -> Bundle {
    Bundle::builder().name("soak").args([PROBE_PATH, "exit", "0"]).build()
}

/// Runs of one bundle, whose ids have a part in common.
struct Runs<'a> {
    runtime: &'a Runtime,
    bundle: &'a Bundle,
    /// Part of every container's id.
    name: String,
}

impl<'a> Runs<'a> {
    fn new(runtime: &'a Runtime, bundle: &'a Bundle) -> Self {
        rustix::process::set_child_subreaper(Some(rustix::process::getpid())).expect("subreaper");
        let name = host::unique("soak");
        Self { runtime, bundle, name }
    }

    fn run(&self, number: usize) {
        let id = format!("{}-{number}", self.name);
        let bundle = self.bundle.path().to_string_lossy();
        let output = self.runtime.call(["run", "--bundle", &bundle, &id]);
        assert_eq!((output.code(), output.stderr()), (0, String::new()), "run {number}");
    }

    fn check_leftovers(&self) {
        let left = leftovers(&self.name, self.bundle.path(), self.runtime.root());
        assert_eq!(left, Vec::<String>::new());
        let folders = fs::read_dir(self.runtime.root()).map_or(0, Iterator::count);
        assert_eq!(folders, 0, "state folders");
        assert_eq!(children(), Vec::<String>::new(), "processes");
    }
}

impl Drop for Runs<'_> {
    /// What a runtime left is told, but does not stay on the machine.
    fn drop(&mut self) {
        remove_cgroups(&self.name);
    }
}

/// Children of this process, zombies too: what was orphaned came to us.
fn children() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").expect("tasks");
    let of_task = |task: fs::DirEntry| fs::read_to_string(task.path().join("children")).unwrap_or_default();
    let pids: String = tasks.filter_map(Result::ok).map(of_task).collect();
    let name = |pid: &str| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.chars().take(60).collect()
    };
    pids.split_whitespace().map(name).collect()
}

fn in_a_row(runtime: Runtime) {
    let runtime = runtime.deadline(WATCHDOG);
    let bundle = program();
    let runs = Runs::new(&runtime, &bundle);
    (0..runs_in_a_row()).for_each(|number| runs.run(number));
    runs.check_leftovers();
}

#[test]
fn runs_in_a_row_leave_nothing() {
    let _turn = turn();
    skip_unless!(host::is_root(), "root");
    in_a_row(Runtime::new(ORLOP));
}

#[test]
fn runs_in_a_row_leave_nothing_in_unified_view() {
    let _turn = turn();
    skip_unless!(host::is_root(), "root");
    skip_unless!(host::has_unified_view(), "unshare(1) and the right to mount cgroup2");
    in_a_row(Runtime::new(ORLOP).in_unified_view());
}

fn at_once(runtime: &Runtime) {
    let bundle = program();
    let runs = Runs::new(runtime, &bundle);
    std::thread::scope(|scope| {
        (0..AT_ONCE).for_each(|number| {
            drop(scope.spawn({
                let runs = &runs;
                move || runs.run(number)
            }))
        });
    });
    runs.check_leftovers();
}

#[test]
fn runs_at_once_leave_nothing() {
    let _turn = turn();
    skip_unless!(host::is_root(), "root");
    at_once(&Runtime::new(ORLOP));
}

#[test]
fn runs_at_once_leave_nothing_in_unified_view() {
    let _turn = turn();
    skip_unless!(host::is_root(), "root");
    skip_unless!(host::has_unified_view(), "unshare(1) and the right to mount cgroup2");
    at_once(&Runtime::new(ORLOP).in_unified_view());
}
