//! Flags of bind mounts in a user namespace: what the host has set stays, for the container's root as well.

use oci_conformance::{host, skip_unless};

use super::support::{Case, ORLOP, flags};

/// Flags of the source, words of the mount, and the flags that come of it; none: create fails, since flags that the
/// kernel has locked were to be cleared by name.
const LOCKED: &[(&str, &str, Option<&str>)] = &[
    ("ro,noexec,nosymfollow,nodiratime", "", Some("ro,noexec,nodiratime,relatime,nosymfollow")),
    ("ro,noexec,nosymfollow,nodiratime", "dev", Some("ro,noexec,nodiratime,relatime")),
    ("ro", "nosuid,nodev,rprivate", Some("ro,nosuid,nodev,relatime")),
    ("ro", "rw,nosuid,nodev,rprivate", None),
    ("nodev,nosuid,noexec,noatime", "dev,suid,exec,atime", None),
    ("nodev,nosuid,noexec,noatime", "ro", Some("ro,nosuid,nodev,noexec,noatime")),
    ("nodev,nosymfollow", "ro,symfollow", Some("ro,nodev,relatime")),
    ("nodev,nosymfollow", "rw", Some("rw,nodev,relatime")),
    ("nodev,nosuid,noatime", "ro,exec", Some("ro,nosuid,nodev,noatime")),
    ("noatime,nodiratime", "norelatime", Some("rw,noatime,nodiratime")),
    ("noatime", "noatime", Some("rw,noatime")),
    ("nodiratime", "strictatime", None),
    ("relatime", "noatime", None),
    ("relatime", "nodiratime", None),
    ("noatime", "relatime", None),
    ("strictatime", "relatime", None),
    ("noatime", "atime", Some("rw,noatime")),
    ("strictatime", "nostrictatime", Some("rw")),
    ("nodiratime", "diratime", Some("rw,nodiratime,relatime")),
];

fn source(before: &str) -> Case {
    Case::new().setup(&format!("mount -t tmpfs tmpfs src; mount -o remount,bind,{before} src; chmod 755 ."))
}

#[test]
fn locked_flags_stay_unless_they_are_named() {
    skip_unless!(host::is_root() && host::user_namespaces(), "root and user namespaces");
    for (before, words, expected) in LOCKED {
        let options: Vec<&str> =
            ["bind"].into_iter().chain(words.split(',')).filter(|word| !word.is_empty()).collect();
        let case = source(before).user_namespace().bind("src", "/t/x", &options);
        match expected {
            Some(expected) => {
                assert_eq!(flags(&case.facts(ORLOP), "/t/x"), *expected, "{before} with {words}")
            }
            None => {
                let told = case.run(ORLOP).failure(1);
                assert!(told.contains("operation not permitted"), "{before} with {words}: {told}");
                assert!(told.contains("mounts[7]"), "{before} with {words}: {told}");
            }
        }
    }
}

/// Every way to a source: one that mapped root may open itself, one below a folder that it may not search, one whose
/// mounts below are locked to it.
#[test]
fn root_of_a_user_namespace_cannot_take_the_hosts_flags_away() {
    skip_unless!(host::is_root() && host::user_namespaces(), "root and user namespaces");
    skip_unless!(host::find("busybox").is_some(), "busybox");
    for (name, hide) in [
        ("open", "chmod 755 ."),
        (
            "hidden",
            "chmod 755 .; mkdir -m 700 hide; mount --move src hide/src 2>/dev/null || { mkdir hide/src; mount --move src hide/src; }",
        ),
    ] {
        let path = if name == "open" { "src" } else { "hide/src" };
        let case = source("ro,nosuid,nodev")
            .setup(hide)
            .user_namespace()
            .bind(path, "/t/x", &["rbind"])
            .with(|builder| {
                let all = ["CAP_SYS_ADMIN"];
                ["bounding", "effective", "permitted"].into_iter().fold(builder, |builder, set| {
                    builder.set(&format!("/process/capabilities/{set}"), all.to_vec())
                })
            })
            .script(
                "for flag in rw suid dev; do
                    /bin/busybox mount -o remount,bind,$flag,ro,nosuid,nodev /t/x && exit 9
                    /bin/busybox mount -o remount,bind,$flag /t/x && echo gone $flag
                done; /bin/busybox grep ' /t/x ' /proc/self/mounts",
            );
        let output = case.run(ORLOP).success();
        assert!(output.stdout().contains(" ro,nosuid,nodev,relatime"), "{name}: {}", output.stdout());
        assert!(!output.stdout().contains("gone"), "{name}: {}", output.stdout());
    }
}

#[test]
fn a_folder_with_mounts_below_can_be_bound_alone_in_a_user_namespace() {
    skip_unless!(host::is_root() && host::user_namespaces(), "root and user namespaces");
    let setup = "mkdir src/sub; mount -t tmpfs tmpfs src/sub; chmod 755 .; touch src/below";
    let case =
        Case::new().setup(setup).user_namespace().bind("src", "/t/x", &["bind"]).paths(&["/t/x/below"]);
    let facts = case.facts(ORLOP);
    assert!(facts.mount("/t/x").is_some() && facts.mount("/t/x/sub").is_none());
    assert_eq!(facts.text("/paths/~1t~1x~1below/file/type"), "file");
    // On a mount whose flags would have to stay locked it is refused, as it is by the kernel.
    let flagged = format!("mount -t tmpfs tmpfs src; {setup}; mount -o remount,bind,nosuid src");
    let case = Case::new().setup(&flagged).user_namespace().bind("src", "/t/x", &["bind"]);
    let told = case.run(ORLOP).failure(1);
    assert!(told.contains("mounts[7]") && told.contains("invalid argument"), "{told}");
}
