//! The whole life, with the configuration of `spec --rootless`.

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use oci_conformance::{Bundle, PROBE_PATH, host, runtime::output, skip_unless};
use serde_json::{Value, json};

use crate::users::users;

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
fn a_container_of_a_plain_user_takes_processes() {
    for user in users() {
        let bundle: Bundle = user.bundle(&["sleep"]).build();
        let container = user.runtime.container(&bundle);
        drop(container.create(&[]).success());
        drop(container.start().success());
        let output = container.exec(&["-e", "A=b"], &[PROBE_PATH, "facts"]).success();
        let facts = oci_conformance::Facts::parse(&output.stdout());
        assert_eq!((facts.at("/uid/real"), facts.env("A")), (&json!(0), Some("b")));
        assert_eq!(facts.at("/uid_map"), &json!([[0, user.uid, 1]]));
        assert_eq!(facts.at("/processes").as_array().map(Vec::len), Some(2), "it is in the pid namespace");
        let pid = container.state()["pid"].to_string();
        for kind in ["user", "pid", "mnt", "ipc", "uts"] {
            let theirs = fs::read_link(format!("/proc/{pid}/ns/{kind}")).expect("namespace");
            assert_eq!(facts.at(&format!("/namespaces/{kind}")), &json!(theirs.to_string_lossy()), "{kind}");
        }
        assert_eq!(container.exec(&[], &[PROBE_PATH, "exit", "7"]).code(), 7);
        let refused = container.exec(&["-u", "1000"], &[PROBE_PATH, "true"]).failure(255);
        assert!(refused.contains("process.user.uid: 1000 is not in linux.uidMappings"), "{refused}");
        let refused = container.exec(&["-g", "5"], &[PROBE_PATH, "true"]).failure(255);
        assert!(refused.contains("cannot set any additional groups in a rootless container"), "{refused}");
        drop(container.kill("KILL").success());
        container.wait();
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

#[test]
fn spec_for_a_plain_user_is_that_of_runc() {
    skip_unless!(host::find("runc").is_some(), "runc");
    for user in users() {
        let specs =
            [user.runtime.command(["spec", "--rootless"]), user.in_its_name(&["runc", "spec", "--rootless"])]
                .map(|mut command| {
                    let folder = user.folder.path().join(host::unique("spec"));
                    fs::create_dir(&folder).expect("folder");
                    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).expect("mode");
                    command.current_dir(&folder);
                    drop(output(command, Duration::from_secs(60)).success());
                    let text = fs::read_to_string(folder.join("config.json")).expect("config.json");
                    let mut spec: Value = serde_json::from_str(&text).expect("JSON");
                    spec["ociVersion"].take();
                    spec
                });
        assert_eq!(specs[0], specs[1]);
    }
}

/// As engines have it: only `XDG_RUNTIME_DIR` is there, and no `--root`.
#[test]
fn states_of_a_plain_user_are_in_the_folder_of_its_runtime_files() {
    for user in users() {
        let bundle = user.bundle(&["sleep"]).build();
        let container = user.runtime.container(&bundle);
        let home = user.folder.path().join("runtime");
        let call = |words: &[&str]| {
            let mut command = user.runtime.command(words);
            let mut args: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
            let root = args.iter().position(|arg| arg == "--root").expect("--root");
            args.drain(root..root + 2);
            let mut without_root = std::process::Command::new(command.get_program());
            without_root.args(args).env("XDG_RUNTIME_DIR", &home);
            command = without_root;
            output(command, Duration::from_secs(60)).success().stdout()
        };
        call(&["create", "--bundle", &bundle.path().to_string_lossy(), container.id()]);
        let root = fs::metadata(home.join("orlop")).expect("the state root");
        assert_eq!(root.permissions().mode() & 0o7777, 0o1700, "kept by cleaners");
        let state: Value = serde_json::from_str(&call(&["state", container.id()])).expect("JSON");
        assert_eq!(state["status"], "created");
        call(&["delete", "--force", container.id()]);
        assert!(fs::read_dir(home.join("orlop")).expect("the state root").next().is_none());
    }
}
