//! Where the sysctl `vm.memfd_noexec=2` forbids executable memory files. It is one of a pid namespace, so each test makes
//! its own.

use std::path::Path;

use oci_conformance::{Bundle, PROBE_PATH, Runtime, host, skip_unless};
use serde_json::json;

const ORLOP: &str = env!("CARGO_BIN_EXE_orlop");
const SYSCTL: &str = "/proc/sys/vm/memfd_noexec";

/// Every command in a pid namespace where memory files cannot be executed, after more commands.
fn forbidding(more: &str) -> Runtime {
    let script = format!("echo 2 > {SYSCTL} && {more} exec \"$@\"");
    let words = ["unshare", "--pid", "--fork", "--mount", "--mount-proc", "sh", "-c", &script, "sh"];
    Runtime::new(ORLOP).wrapped_in(words.map(str::to_owned))
}

#[test]
fn containers_run_without_executable_memory_files() {
    skip_unless!(host::is_root(), "root");
    skip_unless!(Path::new(SYSCTL).is_file(), "the sysctl vm.memfd_noexec (Linux 6.3)");
    let runtime = forbidding("");
    // The hook is a second launch of the same command.
    let hook = json!({ "path": "@BUNDLE@/rootfs/bin/probe", "args": ["probe", "exit", "0"] });
    let bundle = Bundle::builder()
        .name("noexec")
        .args([PROBE_PATH, "exit", "7"])
        .push("/hooks/createRuntime", hook)
        .build();
    let container = runtime.container(&bundle);
    let run = container.run(&[]);
    assert_eq!((run.code(), run.stderr()), (7, String::new()));
    assert_eq!(container.leftovers(), Vec::<String>::new());
}

#[test]
fn where_nothing_can_be_executed_the_sysctl_is_named() {
    skip_unless!(host::is_root(), "root");
    skip_unless!(Path::new(SYSCTL).is_file(), "the sysctl vm.memfd_noexec (Linux 6.3)");
    // What lies in /tmp must be seen all the same: the bundle, the state root and, maybe, the program,
    // which stays executable as a mount of its own.
    let everywhere = format!(
        "mount --bind {ORLOP} {ORLOP} && for dir in /dev/shm /run /tmp /var/tmp; do \
         mount --rbind $dir $dir && mount -o remount,bind,noexec $dir || exit 9; done && "
    );
    let runtime = forbidding(&everywhere).option("--log-format=json");
    let bundle = Bundle::builder().name("noexec").args([PROBE_PATH, "exit", "0"]).build();
    let container = runtime.container(&bundle);
    let failed = container.create(&[]).failure(1);
    assert!(failed.contains("vm.memfd_noexec=2"), "{failed}");
    assert_eq!(container.leftovers(), Vec::<String>::new());
}
