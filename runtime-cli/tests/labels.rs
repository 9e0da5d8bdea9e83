//! Labels of AppArmor and SELinux.

use std::{
    fs,
    process::{Command, Stdio},
};

use oci_conformance::{Bundle, PROBE_PATH, Runtime, host};
use serde_json::json;

const ORLOP: &str = env!("CARGO_BIN_EXE_orlop");

fn orlop() -> Option<Runtime> {
    if !host::is_root() {
        host::skipped("root");
        return None;
    }
    Some(Runtime::new(ORLOP))
}

fn has_apparmor() -> bool {
    fs::read_to_string("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.starts_with('Y'))
}

fn has_selinux() -> bool {
    fs::metadata("/sys/fs/selinux/enforce").is_ok()
}

/// A profile that is loaded while it lives.
struct Profile(String);

impl Profile {
    /// Allows all but writing to /tmp.
    fn load() -> Option<Self> {
        let name = host::unique("orlop-test");
        let text = format!(
            "profile {name} flags=(attach_disconnected) {{ file, capability, network, mount, signal, ptrace, \
             deny /tmp/** w, }}"
        );
        parser("-a", &text).then_some(Self(name))
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        parser("-R", &format!("profile {} {{ }}", self.0));
    }
}

fn parser(action: &str, text: &str) -> bool {
    let folder = host::TempDir::new("apparmor");
    let file = folder.path().join("profile");
    fs::write(&file, text).expect("write");
    let mut parser = Command::new("apparmor_parser");
    let done = parser.args([action, "-K"]).arg(&file).stderr(Stdio::null()).status();
    done.is_ok_and(|status| status.success())
}

#[test]
fn labels_without_their_module_are_refused() {
    let Some(orlop) = orlop() else { return };
    let selinux = "selinux label is specified in config, but selinux is disabled or not supported";
    let mut cases = Vec::new();
    if !has_apparmor() {
        let words =
            "process.apparmorProfile: apparmor: config provided but apparmor not supported".to_owned();
        cases.push(("/process/apparmorProfile", "docker-default", words));
    }
    if !has_selinux() {
        cases.push(("/process/selinuxLabel", "a:b:c", format!("process.selinuxLabel: {selinux}")));
        cases.push(("/linux/mountLabel", "a:b:c", format!("linux.mountLabel: {selinux}")));
    }
    for (pointer, label, expected) in cases {
        let bundle = Bundle::builder().set(pointer, label).build();
        let container = orlop.container(&bundle);
        let told = container.create(&[]).failure(1);
        assert!(told.contains(&expected), "{told}");
        assert_eq!(container.leftovers(), Vec::<String>::new());
    }
    let bundle = Bundle::builder()
        .args([PROBE_PATH, "true"])
        .set("/process/apparmorProfile", "unconfined")
        .set("/process/selinuxLabel", "")
        .set("/linux/mountLabel", "")
        .build();
    drop(orlop.container(&bundle).run(&[]).success());
}

#[test]
fn the_program_and_added_ones_run_under_the_profile_and_hooks_do_not() {
    let Some(orlop) = orlop() else { return };
    let Some(profile) = has_apparmor().then(Profile::load).flatten() else {
        return host::skipped("AppArmor with apparmor_parser");
    };
    let expected = format!("{} (enforce)\n", profile.0);
    for (uid, no_new_privs) in [(0, true), (1000, true), (0, false)] {
        let bundle = Bundle::builder()
            .args([PROBE_PATH, "read", "/proc/self/attr/current"])
            .set("/process/apparmorProfile", profile.0.as_str())
            .set("/process/user/uid", uid)
            .set("/process/noNewPrivileges", no_new_privs)
            .set("/root/readonly", false)
            .push(
                "/hooks/startContainer",
                json!({"path": PROBE_PATH, "args": ["probe", "write", "/tmp/hook", "x"]}),
            )
            .build();
        fs::set_permissions(bundle.rootfs().join("tmp"), std::os::unix::fs::PermissionsExt::from_mode(0o777))
            .expect("mode");
        assert_eq!(orlop.container(&bundle).run(&[]).success().stdout(), expected, "{uid} {no_new_privs}");
        assert_eq!(fs::read_to_string(bundle.rootfs().join("tmp/hook")).expect("written by the hook"), "x");
    }
    let bundle = Bundle::builder()
        .args([PROBE_PATH, "sleep"])
        .set("/process/apparmorProfile", profile.0.as_str())
        .build();
    let container = orlop.container(&bundle);
    let (created, _pipe) = container.create_piped(&[]);
    drop(created.success());
    drop(container.start().success());
    let seen = orlop.call(["exec", container.id(), PROBE_PATH, "read", "/proc/self/attr/current"]).success();
    assert_eq!(seen.stdout(), expected);
}

#[test]
fn a_profile_that_is_not_loaded_fails_create() {
    let Some(orlop) = orlop() else { return };
    if !has_apparmor() {
        return host::skipped("AppArmor");
    }
    let bundle = Bundle::builder().set("/process/apparmorProfile", "no-such-profile").build();
    let container = orlop.container(&bundle);
    let told = container.create(&[]).failure(1);
    assert!(
        told.contains("unable to apply apparmor profile") && told.contains("no such file or directory"),
        "{told}"
    );
    assert_eq!(container.leftovers(), Vec::<String>::new());
}
