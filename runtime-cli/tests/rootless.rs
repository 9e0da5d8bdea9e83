//! Containers of a plain user: the whole life without root, with the configuration of `spec --rootless`.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use oci_conformance::{Bundle, BundleBuilder, PROBE_PATH, Runtime, host};
use serde_json::{Value, json};

const ORLOP: &str = env!("CARGO_BIN_EXE_orlop");
/// Root plays these: some user, and `nobody`.
const PLAYED: [u32; 2] = [12_345, 65_534];

/// One user with a runtime of its own.
struct User {
    uid: u32,
    runtime: Runtime,
    /// Holds a program that this user can reach.
    folder: host::TempDir,
}

fn users() -> Vec<User> {
    if !host::user_namespaces() {
        host::skipped("user namespaces");
        return Vec::new();
    }
    if host::is_root() {
        return PLAYED.iter().map(|uid| User::new(*uid)).collect();
    }
    vec![User::new(rustix::process::geteuid().as_raw())]
}

impl User {
    fn new(uid: u32) -> Self {
        let folder = host::TempDir::new("rootless");
        let program: PathBuf = folder.path().join("orlop");
        fs::copy(ORLOP, &program).expect("copy");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("mode");
        let mut runtime = Runtime::new(program);
        if host::is_root() {
            let id = uid.to_string();
            let words = ["setpriv", "--reuid", &id, "--regid", &id, "--clear-groups", "--"];
            runtime = runtime.wrapped_in(words);
            for path in [folder.path(), runtime.root()] {
                std::os::unix::fs::chown(path, Some(uid), Some(uid)).expect("chown");
            }
        }
        Self { uid, runtime, folder }
    }

    /// What `spec --rootless` writes for this user, with the probe as the program and no terminal.
    fn bundle(&self, args: &[&str]) -> BundleBuilder {
        let folder = self.folder.path().join(host::unique("spec"));
        fs::create_dir(&folder).expect("folder");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).expect("mode");
        drop(self.runtime.call(["spec", "--rootless", "--bundle", &folder.to_string_lossy()]).success());
        let text = fs::read_to_string(folder.join("config.json")).expect("config.json");
        let spec: Value = serde_json::from_str(&text).expect("JSON");
        BundleBuilder::from_spec(spec)
            .name("rootless")
            .set("/process/terminal", false)
            .args([PROBE_PATH].iter().chain(args))
    }
}

#[test]
fn a_container_of_a_plain_user_goes_through_its_life() {
    for user in users() {
        let bundle: Bundle = user.bundle(&["sleep"]).build();
        let container = user.runtime.container(&bundle);
        drop(container.create(&[]).success());
        assert_eq!(container.state()["status"], "created");
        drop(container.start().success());
        assert_eq!(container.state()["status"], "running");
        assert_ne!(container.delete(&[]).code(), 0, "it runs");
        drop(container.kill("KILL").success());
        container.wait();
        assert_eq!(container.state()["status"], "stopped");
        drop(container.delete(&[]).success());
        assert_eq!(container.leftovers(), Vec::<String>::new());
    }
}

#[test]
fn a_plain_user_is_root_inside_and_nobody_else() {
    for user in users() {
        let bundle = user.bundle(&["facts"]).build();
        let container = user.runtime.container(&bundle);
        let facts = container.run_facts();
        let map = json!([[0, user.uid, 1]]);
        assert_eq!(facts.at("/uid_map"), &map);
        assert_eq!((facts.at("/uid/real"), facts.at("/gid/real")), (&json!(0), &json!(0)));
        assert_eq!(facts.at("/pid"), 1);
        for name in ["user", "pid", "ipc", "uts", "mnt"] {
            let ours = fs::read_link(format!("/proc/self/ns/{name}")).expect("namespace");
            assert_ne!(facts.at(&format!("/namespaces/{name}")), &json!(ours.to_string_lossy()), "{name}");
        }
        assert_eq!(container.leftovers(), Vec::<String>::new());
    }
}

#[test]
fn runs_of_a_plain_user_pass_the_status_on() {
    for user in users() {
        for code in [0, 7] {
            let bundle = user.bundle(&["exit", &code.to_string()]).build();
            let container = user.runtime.container(&bundle);
            let run = container.run(&[]);
            assert_eq!((run.code(), run.stderr()), (code, String::new()));
            assert_eq!(container.leftovers(), Vec::<String>::new());
        }
    }
}

#[test]
fn a_failed_create_of_a_plain_user_leaves_nothing() {
    for user in users() {
        let mut bundle = user.bundle(&["sleep"]).set("/process/args", json!(["/nonexistent"])).build();
        let container = user.runtime.container(&bundle);
        assert!(container.create(&[]).failure(1).contains("no such file or directory"));
        assert_eq!(container.leftovers(), Vec::<String>::new());
        // An id of somebody else, which a plain user cannot map by itself.
        bundle.edit(|spec| spec["linux"]["uidMappings"][0]["hostID"] = json!(0));
        let failed = container.create(&[]).failure(1);
        assert!(failed.contains("map"), "{failed}");
        assert_eq!(container.leftovers(), Vec::<String>::new());
    }
}

#[test]
fn a_plain_user_without_a_user_namespace_is_refused() {
    for user in users() {
        let bundle = user.bundle(&["true"]).without_namespace("user").build();
        let container = user.runtime.container(&bundle);
        let failed = container.create(&[]).failure(1);
        assert!(failed.contains("user namespace"), "{failed}");
        assert_eq!(container.leftovers(), Vec::<String>::new());
    }
}

#[test]
fn a_hook_that_fails_leaves_nothing_of_a_plain_user() {
    for user in users() {
        for kind in ["createRuntime", "createContainer", "startContainer", "poststart"] {
            let path = if kind == "startContainer" { PROBE_PATH } else { "@BUNDLE@/rootfs/bin/probe" };
            let hook = json!({ "path": path, "args": ["probe", "exit", "3"] });
            let bundle = user.bundle(&["sleep"]).push(&format!("/hooks/{kind}"), hook).build();
            let container = user.runtime.container(&bundle);
            let failed = container.run(&["--detach"]).failure(1);
            assert!(failed.contains(&format!("error running {kind} hook #0: exit status 3")), "{failed}");
            assert_eq!(container.leftovers(), Vec::<String>::new());
        }
    }
}
