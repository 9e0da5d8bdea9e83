//! A host that leaks fds into everything it starts: containers and hooks get none.

use std::{
    fs,
    fs::File,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

use oci_conformance::{Bundle as TestBundle, host, skip_unless};
use orlop::ExitStatus;
use serde_json::{Value, json};

use crate::support::{Canary, Host};

/// Inheritable fds of a path, at 3 and up, wherever there is room.
pub fn leak(path: &str, count: usize) -> Vec<OwnedFd> {
    let file = File::open(path).unwrap();
    (0..count)
        .map(|_| {
            // SAFETY: duplicates a live fd and owns the new number.
            unsafe {
                let fd = nix::libc::dup(file.as_raw_fd());
                assert!(fd > 2, "dup");
                OwnedFd::from_raw_fd(fd)
            }
        })
        .collect()
}

#[test]
fn neither_program_nor_hook_inherits_a_leaked_fd() {
    skip_unless!(host::is_root(), "root");
    let (host, canary) = (Host::new(), Canary::new());
    let leaked = leak(&canary.path(), 60);
    let hook = |kind: &str| json!({"path": "@BUNDLE@/rootfs/bin/probe", "args": ["probe", "hook", format!("@BUNDLE@/rootfs/{kind}")]});
    let mut bundle = TestBundle::builder().name("leaks").set("/root/readonly", false);
    let kinds = ["prestart", "createRuntime", "createContainer", "poststart", "poststop"];
    for kind in kinds {
        bundle = bundle.push(&format!("/hooks/{kind}"), hook(kind));
    }
    let inside = json!({"path": "/bin/probe", "args": ["probe", "hook", "/startContainer"]});
    let bundle = bundle.push("/hooks/startContainer", inside).build();
    let ran = host.run(&bundle).unwrap();
    assert_eq!(ran.status, ExitStatus::Exited(0), "{}", ran.output);
    let facts: Value = serde_json::from_str(&ran.output).unwrap();
    for (what, fds) in [("program", facts["fds"].clone())].into_iter().chain(
        kinds.into_iter().chain(["startContainer"]).map(|kind| {
            let line = fs::read_to_string(bundle.rootfs().join(kind)).unwrap();
            (kind, serde_json::from_str::<Value>(&line).unwrap()["fds"].clone())
        }),
    ) {
        let fds = fds.as_object().unwrap();
        // The folder that lists them, of the probe itself, is closed by now.
        let more: Vec<_> = fds.iter().filter(|(fd, _)| !["0", "1", "2"].contains(&fd.as_str())).collect();
        assert!(more.is_empty(), "{what}: {more:?}");
        assert!(fds.values().all(|link| !link.as_str().unwrap().contains("canary")), "{what}: {fds:?}");
    }
    drop(leaked);
}
