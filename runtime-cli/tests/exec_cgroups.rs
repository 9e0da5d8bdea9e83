//! `exec` and the container's cgroup: paused, killed, divided, left.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    process::{Child, Stdio},
    time::Duration,
};

use oci_conformance::{
    Bundle, BundleBuilder, Container, PROBE_PATH, Runtime, host,
    host::unique,
    leftovers,
    runtime::{read_until, readable},
    skip_unless,
};
use serde_json::json;

const ORLOP: &str = env!("CARGO_BIN_EXE_orlop");
const PATIENCE: Duration = Duration::from_secs(20);

/// With the cgroups of this machine, and with cgroup2 alone.
fn runtimes() -> Vec<Runtime> {
    let unified = host::has_unified_view().then(|| Runtime::new(ORLOP).in_unified_view());
    [Some(Runtime::new(ORLOP)), unified].into_iter().flatten().collect()
}

fn sleeper() -> BundleBuilder {
    Bundle::builder().args([PROBE_PATH, "sleep"])
}

fn running<'a>(runtime: &'a Runtime, bundle: &Bundle) -> Container<'a> {
    let container = runtime.container(bundle);
    drop(container.create(&[]).success());
    drop(container.start().success());
    container
}

/// The cgroup lines of a process in the container.
fn cgroup_of_exec(container: &Container<'_>, options: &[&str]) -> String {
    container.exec(options, &[PROBE_PATH, "read", "/proc/self/cgroup"]).success().stdout()
}

/// A command of the runtime that goes on while the test does.
fn spawn(runtime: &Runtime, container: &Container<'_>, options: &[&str], command: &[&str]) -> Child {
    let mut command = runtime.command(container.exec_args(options, command));
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn a_paused_container_takes_a_process_only_on_demand() {
    skip_unless!(host::is_root(), "root");
    let bundle = sleeper().build();
    for orlop in runtimes() {
        let container = running(&orlop, &bundle);
        drop(container.call("pause", &[]).success());
        let refused = container.exec(&[], &[PROBE_PATH, "true"]).failure(255);
        let words = "exec failed: cannot exec in a paused container (use --ignore-paused to override)";
        assert!(refused.contains(words), "{refused}");
        let mut child = spawn(&orlop, &container, &["--ignore-paused"], &[PROBE_PATH, "echo", "thawed"]);
        let stdout = child.stdout.take().unwrap();
        assert!(!readable(&stdout, Duration::from_millis(200)), "it waits");
        drop(container.call("resume", &[]).success());
        let file = fs::File::from(std::os::fd::OwnedFd::from(stdout));
        read_until(&file, "thawed\n", PATIENCE);
        assert!(child.wait().unwrap().success());
        drop(container.delete(&["--force"]).success());
        assert_eq!(container.leftovers(), Vec::<String>::new());
    }
}

/// What `orlop exec` was killed with is nothing that stays frozen in the container.
#[test]
fn a_killed_exec_in_a_paused_container_leaves_nothing() {
    skip_unless!(host::is_root(), "root");
    let bundle = sleeper().build();
    for orlop in runtimes() {
        let container = running(&orlop, &bundle);
        drop(container.call("pause", &[]).success());
        let mut child = spawn(&orlop, &container, &["--ignore-paused"], &[PROBE_PATH, "sleep"]);
        assert!(!readable(child.stdout.as_ref().unwrap(), Duration::from_millis(200)), "it waits");
        child.kill().unwrap();
        child.wait().unwrap();
        drop(container.call("resume", &[]).success());
        // Its pipe ends with the process that was on its way in.
        assert!(readable(child.stdout.as_ref().unwrap(), PATIENCE));
        let text = container.call("ps", &["--format", "json"]).success().stdout();
        assert_eq!(serde_json::from_str::<Vec<i32>>(&text).unwrap().len(), 1, "{text}");
        drop(container.delete(&["--force"]).success());
    }
}

#[test]
fn a_cgroup_that_was_killed_once_takes_processes() {
    skip_unless!(host::is_root() && host::has_unified_view(), "root and unshare(1)");
    let orlop = Runtime::new(ORLOP).in_unified_view();
    let id = unique("killed");
    let bundle = sleeper().set("/linux/cgroupsPath", format!("/{id}/c")).build();
    let container = running(&orlop, &bundle);
    let pid = container.state()["pid"].to_string();
    // While it is empty: the kill hits nobody, and the kernel remembers it.
    in_unified_view(&format!(
        "cd /sys/fs/cgroup/{id}; mkdir other; echo {pid} >other/cgroup.procs; echo 1 >c/cgroup.kill; \
         echo {pid} >c/cgroup.procs; rmdir other"
    ));
    for _ in 0..3 {
        assert!(cgroup_of_exec(&container, &[]).contains(&format!("0::/{id}/c\n")));
    }
    drop(container.delete(&["--force"]).success());
    leftovers::remove_cgroups(&id);
}

/// Runs a script where cgroup2 is mounted at /sys/fs/cgroup.
fn in_unified_view(script: &str) {
    let mut command = host::unified_view("sh");
    assert!(command.args(["-euc", script]).status().unwrap().success(), "{script}");
}

/// As systemd does: processes in a cgroup below, controllers for it enabled in the container's own.
#[test]
fn a_container_that_divided_its_cgroup_takes_processes_where_its_init_is() {
    skip_unless!(host::is_root() && host::has_unified_view(), "root and unshare(1)");
    let controllers = host::unified_controllers();
    let Some(controller) = controllers.first() else { return host::skipped("a controller of cgroup2") };
    let orlop = Runtime::new(ORLOP).in_unified_view();
    let id = unique("divided");
    let bundle = sleeper().set("/linux/cgroupsPath", format!("/{id}")).build();
    let container = running(&orlop, &bundle);
    let pid = container.state()["pid"].to_string();
    let own = format!("0::/{id}\n");
    assert!(cgroup_of_exec(&container, &[]).contains(&own));
    in_unified_view(&format!(
        "echo +{controller} >/sys/fs/cgroup/cgroup.subtree_control; mkdir /sys/fs/cgroup/{id}/init && \
         echo {pid} >/sys/fs/cgroup/{id}/init/cgroup.procs"
    ));
    // Still possible while no controller is enabled.
    assert!(cgroup_of_exec(&container, &[]).contains(&own));
    in_unified_view(&format!("echo +{controller} >/sys/fs/cgroup/{id}/cgroup.subtree_control"));
    assert!(cgroup_of_exec(&container, &[]).contains(&format!("0::/{id}/init\n")));
    assert!(cgroup_of_exec(&container, &["--cgroup", "init"]).contains(&format!("0::/{id}/init\n")));
    let refused = container.exec(&["--cgroup", "/"], &[PROBE_PATH, "true"]).failure(255);
    assert!(refused.contains("error adding pid ") && refused.ends_with("resource busy\"\n"), "{refused}");
    let refused = container.exec(&["--cgroup", "nosuch"], &[PROBE_PATH, "true"]).failure(255);
    assert!(
        refused.contains("can't open cgroup") && refused.contains("no such file or directory"),
        "{refused}"
    );
    drop(container.delete(&["--force"]).success());
    assert_eq!(container.leftovers(), Vec::<String>::new());
}

#[test]
fn a_container_that_left_its_cgroup_takes_processes_where_its_init_is() {
    skip_unless!(host::is_root() && host::has_unified_view(), "root and unshare(1)");
    let orlop = Runtime::new(ORLOP).in_unified_view();
    let (id, other) = (unique("left"), unique("elsewhere"));
    let bundle = sleeper().set("/linux/cgroupsPath", format!("/{id}")).build();
    let container = running(&orlop, &bundle);
    let pid = container.state()["pid"].to_string();
    in_unified_view(&format!(
        "mkdir /sys/fs/cgroup/{other} && echo {pid} >/sys/fs/cgroup/{other}/cgroup.procs && \
         rmdir /sys/fs/cgroup/{id}"
    ));
    assert!(cgroup_of_exec(&container, &[]).contains(&format!("0::/{other}\n")));
    drop(container.delete(&["--force"]).success());
    leftovers::remove_cgroups(&other);
}

#[test]
fn a_process_goes_to_the_cgroups_below_that_were_asked_for() {
    skip_unless!(host::is_root(), "root");
    let orlop = Runtime::new(ORLOP);
    skip_unless!(host::cgroup_layout() == host::CgroupLayout::Hybrid, "cgroup v1");
    let id = unique("sub");
    let bundle = sleeper().set("/linux/cgroupsPath", format!("/{id}")).build();
    let container = running(&orlop, &bundle);
    fs::create_dir(format!("/sys/fs/cgroup/memory/{id}/sub")).unwrap();
    let lines = cgroup_of_exec(&container, &["--cgroup", "memory:sub"]);
    for line in lines.lines().filter(|line| line.contains(&id)) {
        let expected = if line.contains(":memory:") { format!("/{id}/sub") } else { format!("/{id}") };
        assert!(line.ends_with(&expected), "{lines}");
    }
    assert!(lines.contains(&format!(":memory:/{id}/sub\n")), "{lines}");
    let refused = container.exec(&["--cgroup", "cpu:nosuch"], &[PROBE_PATH, "true"]).failure(255);
    assert!(
        refused.contains(" adding pid ") && refused.ends_with("no such file or directory\"\n"),
        "{refused}"
    );
    assert_eq!(json!(container.state()["status"]), "running");
}
