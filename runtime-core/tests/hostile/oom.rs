//! Memory that runs out while a container is set up: the container's process ends for it, never the host.

use std::{fs, path::PathBuf};

use oci_conformance::{Bundle as TestBundle, host, host::unique, leftovers::remove_cgroups, skip_unless};
use orlop::ExitStatus;

use crate::support::Host;

/// A v1 memory cgroup of this test, removed with what is left below.
struct Parent(String);

impl Parent {
    fn folder(&self) -> PathBuf {
        PathBuf::from("/sys/fs/cgroup/memory").join(&self.0)
    }
}

impl Drop for Parent {
    fn drop(&mut self) {
        remove_cgroups(&self.0);
    }
}

#[test]
fn a_kill_for_memory_ends_init_and_not_the_host() {
    skip_unless!(host::is_root(), "root");
    let parent = Parent(unique("orlop-oom"));
    skip_unless!(fs::create_dir(parent.folder()).is_ok(), "a v1 memory cgroup");
    let host = Host::new();
    let mut killed = 0;
    for limit in [4 << 10, 16 << 10, 32 << 10, 64 << 10, 128 << 10, 256 << 10, 16 << 20] {
        fs::write(parent.folder().join("memory.limit_in_bytes"), limit.to_string()).unwrap();
        let bundle = TestBundle::builder()
            .name("oom")
            .set("/linux/cgroupsPath", format!("/{}/container", parent.0))
            .args(["/bin/probe", "exit", "7"])
            .build();
        // Memory runs out in set-up, in the program, or not at all.
        match host.run(&bundle) {
            Ok(ran) if ran.status == ExitStatus::Exited(7) => {}
            Ok(ran) => assert_eq!(ran.status, ExitStatus::Signaled(9), "{limit}: {}", ran.output),
            Err(error) => {
                killed += 1;
                let text = error.to_string().to_lowercase();
                assert!(text.contains("memory") || text.contains("sigkill"), "{limit}: {text}");
            }
        }
    }
    assert!(killed > 0, "memory never ran out while a container was set up");
}

#[test]
fn a_limit_too_small_for_any_process_is_an_error_or_a_kill() {
    skip_unless!(host::is_root(), "root");
    skip_unless!(fs::metadata("/sys/fs/cgroup/memory/memory.limit_in_bytes").is_ok(), "a v1 memory cgroup");
    let host = Host::new();
    for limit in [4 << 10, 64 << 10, 256 << 10] {
        let bundle = TestBundle::builder()
            .name("limit")
            .set("/linux/resources/memory", serde_json::json!({ "limit": limit }))
            .args(["/bin/probe", "exit", "7"])
            .build();
        match host.run(&bundle) {
            Ok(ran) => assert!(
                [ExitStatus::Signaled(9), ExitStatus::Exited(7)].contains(&ran.status),
                "{limit}: {ran:?}"
            ),
            Err(error) => {
                let text = error.to_string().to_lowercase();
                assert!(text.contains("memory") || text.contains("sigkill"), "{limit}: {text}");
            }
        }
    }
}
