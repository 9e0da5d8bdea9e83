//! Containers of a plain user: the whole life without root, with the configuration of `spec --rootless`.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, time::Duration};

use oci_conformance::{Bundle, BundleBuilder, PROBE_PATH, Runtime, host, runtime::output, skip_unless};
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

/// A user with ranges of subordinate ids, and where the first of each begins.
struct Ranged {
    user: User,
    uids: u32,
    gids: u32,
}

/// How many ids of a range are used.
const RANGE: u32 = 1000;

/// Root plays the first user who has ranges; a plain user needs some of its own.
fn ranged() -> Option<Ranged> {
    let tools = ["newuidmap", "newgidmap"].iter().all(|tool| host::find(tool).is_some());
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let users = passwd.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        Some((
            fields.first()?.to_string(),
            fields.get(2)?.parse::<u32>().ok()?,
            fields.get(3)?.parse::<u32>().ok()?,
        ))
    });
    let own = rustix::process::geteuid().as_raw();
    let found = users
        .filter(|(_, uid, gid)| uid == gid && *uid != 0 && (host::is_root() || *uid == own))
        .find_map(|(name, uid, _)| {
            Some((uid, range("/etc/subuid", &name, uid)?, range("/etc/subgid", &name, uid)?))
        });
    match found.filter(|_| tools && host::user_namespaces()) {
        Some((uid, uids, gids)) => Some(Ranged { user: User::new(uid), uids, gids }),
        None => {
            host::skipped("newuidmap, and a user with ranges in /etc/subuid and /etc/subgid");
            None
        }
    }
}

/// The first id of a user's first range that is large enough.
fn range(file: &str, name: &str, uid: u32) -> Option<u32> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let is_own = *fields.first()? == name || fields[0] == uid.to_string();
        let (first, size) = (fields.get(1)?.parse().ok()?, fields.get(2)?.parse::<u32>().ok()?);
        (is_own && size >= RANGE).then_some(first)
    })
}

impl Ranged {
    /// As engines map: the own id is root, the range are the others.
    fn bundle(&self, args: &[&str]) -> BundleBuilder {
        let map = |own: u32, first: u32| {
            json!([
                { "containerID": 0, "hostID": own, "size": 1 },
                { "containerID": 1, "hostID": first, "size": RANGE },
            ])
        };
        self.user
            .bundle(args)
            .set("/linux/uidMappings", map(self.user.uid, self.uids))
            .set("/linux/gidMappings", map(self.user.uid, self.gids))
    }
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

#[test]
fn ranges_of_a_plain_user_are_mapped_by_newuidmap() {
    let Some(ranged) = ranged() else { return };
    let user = json!({ "uid": 33, "gid": 34, "additionalGids": [35, 36] });
    let bundle = ranged.bundle(&["facts"]).set("/process/user", user).build();
    let container = ranged.user.runtime.container(&bundle);
    let facts = container.run_facts();
    assert_eq!(facts.at("/uid_map"), &json!([[0, ranged.user.uid, 1], [1, ranged.uids, RANGE]]));
    assert_eq!(facts.at("/gid_map"), &json!([[0, ranged.user.uid, 1], [1, ranged.gids, RANGE]]));
    assert_eq!((facts.at("/uid/effective"), facts.at("/gid/effective")), (&json!(33), &json!(34)));
    assert_eq!(facts.at("/groups"), &json!([35, 36]));
    assert_eq!(container.leftovers(), Vec::<String>::new());
}

#[test]
fn a_range_of_somebody_else_is_refused_in_the_words_of_the_tool() {
    let Some(mut ranged) = ranged() else { return };
    // Hints are for people, and in JSON for machines.
    ranged.user.runtime = ranged.user.runtime.option("--log-format=json");
    let foreign = json!([{ "containerID": 0, "hostID": 2_000_000_000, "size": 7 }]);
    for (map, tool) in [("uidMappings", "newuidmap"), ("gidMappings", "newgidmap")] {
        let bundle = ranged.bundle(&["true"]).set(&format!("/linux/{map}"), foreign.clone()).build();
        let container = ranged.user.runtime.container(&bundle);
        let failed = container.create(&[]).failure(1);
        for words in [tool, "not allowed", "2000000000:7 is not in it"] {
            assert!(failed.contains(words), "{words:?} is not in {failed}");
        }
        assert_eq!(container.leftovers(), Vec::<String>::new());
    }
}

#[test]
fn spec_for_a_plain_user_is_that_of_runc() {
    skip_unless!(host::find("runc").is_some(), "runc");
    for user in users() {
        let specs = [user.runtime.command(["spec", "--rootless"]), {
            let mut words = vec!["setpriv".to_owned(), "--clear-groups".to_owned()];
            if host::is_root() {
                words.extend([
                    "--reuid".to_owned(),
                    user.uid.to_string(),
                    "--regid".to_owned(),
                    user.uid.to_string(),
                ]);
            } else {
                words.truncate(1);
            }
            let mut command = std::process::Command::new(&words[0]);
            command.args(&words[1..]).args(["--", "runc", "spec", "--rootless"]);
            command
        }]
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

/// Engines call with few variables.
#[test]
fn tools_are_found_without_a_path() {
    let Some(mut ranged) = ranged() else { return };
    skip_unless!(std::path::Path::new("/usr/bin/newuidmap").is_file(), "/usr/bin/newuidmap");
    ranged.user.runtime = ranged.user.runtime.wrapped_in(["env", "-u", "PATH"]);
    let bundle = ranged.bundle(&["true"]).build();
    drop(ranged.user.runtime.container(&bundle).run(&[]).success());
}

#[test]
fn a_missing_tool_is_named_with_its_package() {
    skip_unless!(host::is_root(), "root, to hide the tools");
    let Some(mut ranged) = ranged() else { return };
    let programs = host::TempDir::new("without-tools");
    fs::set_permissions(programs.path(), fs::Permissions::from_mode(0o755)).expect("mode");
    fs::copy(host::find("setpriv").expect("setpriv"), programs.path().join("setpriv")).expect("copy");
    let hide = "mount --bind \"$0\" /usr/bin && PATH=/usr/bin exec \"$@\"";
    let words = ["unshare", "-m", "sh", "-c", hide, &programs.path().to_string_lossy()].map(str::to_owned);
    ranged.user.runtime = ranged.user.runtime.option("--log-format=json").wrapped_in(words);
    let bundle = ranged.bundle(&["true"]).build();
    let container = ranged.user.runtime.container(&bundle);
    let failed = container.create(&[]).failure(1);
    assert!(failed.contains("newuidmap is not installed"), "{failed}");
    assert!(failed.contains("uidmap (Debian, Ubuntu)"), "{failed}");
    assert_eq!(container.leftovers(), Vec::<String>::new());
}
