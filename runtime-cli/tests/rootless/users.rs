//! Plain users for tests: root plays some, a plain user is one.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, process::Command};

use oci_conformance::{BundleBuilder, PROBE_PATH, Runtime, host};
use serde_json::Value;

const ORLOP: &str = env!("CARGO_BIN_EXE_orlop");
/// Root plays these: some user, and `nobody`.
const PLAYED: [u32; 2] = [12_345, 65_534];

/// One user with a runtime of its own.
pub struct User {
    pub uid: u32,
    pub runtime: Runtime,
    /// Holds a program that this user can reach.
    pub folder: host::TempDir,
}

pub fn users() -> Vec<User> {
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
    pub fn new(uid: u32) -> Self {
        Self::within(uid, &[])
    }

    /// Who calls through these words, which run as the user.
    pub fn within(uid: u32, words: &[&str]) -> Self {
        let folder = host::TempDir::new("rootless");
        let program: PathBuf = folder.path().join("orlop");
        host::copy_program(ORLOP, &program);
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("mode");
        let mut runtime = Runtime::new(program).wrapped_in(words.iter().copied());
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

    /// A command of this user.
    pub fn in_its_name(&self, words: &[&str]) -> Command {
        let id = self.uid.to_string();
        let drop = ["setpriv", "--reuid", &id, "--regid", &id, "--clear-groups", "--"];
        let words: Vec<&str> =
            drop.into_iter().filter(|_| host::is_root()).chain(words.iter().copied()).collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]);
        command
    }

    /// What `spec --rootless` writes for this user, with the probe as the program and no terminal.
    pub fn bundle(&self, args: &[&str]) -> BundleBuilder {
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
