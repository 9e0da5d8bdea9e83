//! Where mounts come from and where they lie: links, files, missing folders, sources that are no folders.

use oci_conformance::{host, skip_unless};
use serde_json::json;

use super::support::{Case, ORLOP, options};

fn content(case: &Case, path: &str, runtime: &str) -> String {
    let case = case.clone().with(|builder| builder.args(["/bin/probe", "read", path]));
    case.run(runtime).success().stdout()
}

// spec: config.mounts.destination.relative-from-slash
#[test]
fn destinations_are_resolved_beneath_the_root() {
    skip_unless!(host::is_root(), "root");
    // What lies in the image, the destination, and where the file then is.
    const PLACES: &[(&str, &str, &str)] = &[
        ("", "/new/folders/file", "/new/folders/file"),
        ("", "relative/file", "/relative/file"),
        ("", "/a/../b/./file", "/b/file"),
        ("mkdir rootfs/real; ln -s /real rootfs/link", "/link/file", "/real/file"),
        ("ln -s ../../../../../tmp rootfs/up", "/up/file", "/tmp/file"),
        ("ln -s /nowhere/file rootfs/dangling", "/dangling", "/nowhere/file"),
        ("ln -s /jump/deep rootfs/first; ln -s /tmp/over rootfs/jump", "/first/file", "/tmp/over/deep/file"),
        ("echo old >rootfs/file", "/file", "/file"),
        ("mkdir rootfs/x; echo old >rootfs/x/file; ln -s file rootfs/x/same", "/x/same", "/x/file"),
    ];
    for (image, destination, path) in PLACES {
        let case = Case::new().setup("echo new >source").setup(image).bind("source", destination, &["bind"]);
        assert_eq!(content(&case, path, ORLOP), "new\n", "{destination} after {image}");
    }
}

#[test]
fn a_destination_is_resolved_at_its_turn() {
    skip_unless!(host::is_root(), "root");
    let setup = "mkdir src/t; ln -s t src/s; mkdir other; echo new >other/file";
    let case = Case::new().setup(setup).bind("src", "/m", &["bind"]).bind("other", "/m/s", &["bind"]);
    assert_eq!(content(&case, "/m/t/file", ORLOP), "new\n");
    // A source may be what an earlier entry mounted in the root file system.
    let case = Case::new().setup("echo new >src/file").bind("src", "/a", &["bind"]);
    let case = case.bind("@BUNDLE@/rootfs/a", "/b", &["rbind"]);
    assert_eq!(content(&case, "/b/file", ORLOP), "new\n");
    let case = case.setup("chmod 755 . src").user_namespace();
    assert_eq!(content(&case, "/b/file", ORLOP), "new\n", "in a user namespace");
}

#[test]
fn sources_of_every_kind_are_bound() {
    skip_unless!(host::is_root(), "root");
    let setup = "touch src/file; ln -s file src/link; chmod 755 .
python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"src/socket\")'";
    skip_unless!(host::find("python3").is_some(), "python3");
    let kinds = [("file", "file"), ("link", "file"), ("socket", "socket")];
    for case in [Case::new(), Case::new().user_namespace()] {
        let case = kinds
            .iter()
            .fold(case.setup(setup), |case, (name, _)| {
                case.bind(&format!("src/{name}"), &format!("/t/{name}"), &["bind"])
            })
            .bind("/dev/null", "/t/null", &["bind"])
            .bind("/dev/zero", "/t/zero", &["bind", "ro"])
            .paths(&["/t/file", "/t/link", "/t/socket", "/t/null", "/t/zero"]);
        let facts = case.facts(ORLOP);
        for (name, kind) in kinds.into_iter().chain([("null", "char"), ("zero", "char")]) {
            assert_eq!(facts.text(&format!("/paths/~1t~1{name}/file/type")), kind, "{name}");
        }
    }
}

#[test]
fn links_of_the_host_are_copied_mounted_or_followed() {
    skip_unless!(host::is_root(), "root");
    skip_unless!(host::find("busybox").is_some(), "busybox");
    let setup = "echo target >src/target; ln -s target src/link; chmod 755 .";
    let script =
        "cd /t; /bin/busybox readlink copied; /bin/busybox readlink itself; /bin/busybox cat followed
/bin/busybox cat plain";
    for case in [Case::new(), Case::new().user_namespace()] {
        let case = case
            .setup(setup)
            .bind("src/link", "/t/copied", &["bind", "copy-symlink"])
            .bind("src/target", "/t/target", &["bind"])
            .bind("src/link", "/t/itself", &["bind", "src-nofollow"])
            .bind("src/link", "/t/followed", &["bind"])
            .bind("src/target", "/t/plain", &["bind", "copy-symlink"]);
        let output = case.clone().script(script).run(ORLOP);
        assert_eq!(
            output.success().stdout().lines().take(4).collect::<Vec<_>>(),
            ["target", "target", "target", "target"]
        );
    }
    // A link that is there must say the same; over one with dest-nofollow the mount itself is laid.
    let other = Case::new().setup(setup).setup("mkdir rootfs/t; ln -s else rootfs/t/copied");
    let told = other.bind("src/link", "/t/copied", &["bind", "copy-symlink"]).run(ORLOP).failure(1);
    assert!(told.contains("file exists") && told.contains("mounts[7]"), "{told}");
    let over = Case::new().setup(setup).setup("mkdir rootfs/t; ln -s nowhere rootfs/t/place");
    let over = over.bind("src/target", "/t/place", &["bind", "dest-nofollow"]);
    assert_eq!(content(&over, "/t/place", ORLOP), "target\n");
}

#[test]
fn what_is_wrong_is_told_with_path_and_place() {
    skip_unless!(host::is_root(), "root");
    let link = "rm -rf rootfs/proc; ln -s /tmp rootfs/proc";
    for (case, words) in [
        (
            Case::new().bind("/no/such", "/t/x", &["bind"]),
            &["mounts[7]", "/no/such", "no such file or directory"][..],
        ),
        (Case::new().bind("src", "/bin/probe", &["bind"]), &["mounts[7]", "not a directory"]),
        (Case::new().bind("src", "/t/x", &["bind", "size=1m"]), &["mounts[7].options[1]", "size=1m"]),
        (Case::new().tmpfs("/t/x", &["nosuchoption=1"]), &["mounts[7]", "nosuchoption", "invalid argument"]),
        (Case::new().tmpfs("/t/x", &["ro", "relatim"]), &["mounts[7]", "relatim", "invalid argument"]),
        (
            Case::new().mount(json!({"destination": "/t/x", "type": "nosuchfs"})),
            &["mounts[7]", "nosuchfs", "no such device"],
        ),
        (Case::new().mount(json!({"destination": "/t/x"})), &["mounts[7].type"]),
        (Case::new().setup(link), &["mounts[0]", "must be mounted on ordinary directory", "/proc"]),
        (
            Case::new().setup("rmdir rootfs/proc; touch rootfs/proc"),
            &["mounts[0]", "must be mounted on ordinary directory"],
        ),
        (Case::new().bind("src", "/t/x", &["bind", "tmpcopyup"]), &["mounts[7].options", "tmpcopyup"]),
    ] {
        let told = case.run(ORLOP).failure(1);
        for word in words {
            assert!(told.contains(word), "{word}: {told}");
        }
    }
}

#[test]
fn options_of_a_file_system_may_be_long() {
    skip_unless!(host::is_root(), "root");
    let folders: Vec<String> =
        (0..20).map(|number| format!("@BUNDLE@/src/layer-with-a-long-name-{number}")).collect();
    let setup = "mount -t tmpfs tmpfs src; for n in $(seq 0 19); do mkdir src/layer-with-a-long-name-$n; echo $n >src/layer-with-a-long-name-$n/$n; done; mkdir src/upper src/work";
    let data = [
        format!("lowerdir={}", folders.join(":")),
        "upperdir=@BUNDLE@/src/upper,workdir=@BUNDLE@/src/work".to_owned(),
        "nosuid".to_owned(),
        "ro".to_owned(),
    ];
    let words: Vec<&str> = data.iter().map(String::as_str).collect();
    let overlay = json!({"destination": "/t/x", "type": "overlay", "source": "overlay", "options": words});
    let case = Case::new().setup(setup).mount(overlay);
    assert_eq!(content(&case, "/t/x/17", ORLOP), "17\n");
    let seen = options(&case.facts(ORLOP), "/t/x");
    assert!(seen.contains(&"nosuid".to_owned()) && seen.contains(&"ro".to_owned()), "{seen:?}");
}

#[test]
fn kernel_file_systems_are_mounted() {
    skip_unless!(host::is_root(), "root");
    let types: Vec<String> = std::fs::read_to_string("/proc/filesystems")
        .unwrap()
        .lines()
        .filter_map(|line| Some(line.strip_prefix("nodev")?.trim().to_owned()))
        .collect();
    let wanted = [
        "tmpfs",
        "ramfs",
        "mqueue",
        "devpts",
        "hugetlbfs",
        "bpf",
        "securityfs",
        "debugfs",
        "tracefs",
        "sysfs",
    ];
    let known = wanted.into_iter().filter(|wanted| types.iter().any(|known| known == wanted));
    let case = known.clone().fold(Case::new(), |case, kind| {
        case.mount(json!({
            "destination": format!("/t/{kind}"), "type": kind, "source": "x", "options": ["nosuid", "nodev", "noexec", "relatime"],
        }))
    });
    let facts = case.compared(
        &["runc"],
        &[("/t/tmpfs", "the mode of the folder below is 0755, which runc 1.1 writes out")],
    );
    for kind in known {
        assert_eq!(facts.mount(&format!("/t/{kind}")).unwrap()["type"], kind);
    }
}

#[test]
fn masks_follow_links_skip_what_is_missing_and_are_laid_once() {
    skip_unless!(host::is_root(), "root");
    skip_unless!(host::find("busybox").is_some(), "busybox");
    let setup =
        "mkdir rootfs/folder rootfs/ro; touch rootfs/folder/file rootfs/ro/file; echo secret >rootfs/secret
ln -s /secret rootfs/link; ln -s ../../../../etc rootfs/up; echo kept >rootfs/etc/kept";
    let script = "cd /; /bin/busybox cat secret; /bin/busybox ls folder up; /bin/busybox ls m; echo x >ro/file
/bin/busybox rm secret; /bin/busybox awk '$2 ~ /^.(secret|folder|etc|m|ro|nothing)/ {print $2, $3, $4}' /proc/mounts";
    let case = Case::new().setup(setup).script(script).tmpfs("/m", &["nosuid", "noexec"]).with(|builder| {
        builder
            .set(
                "/linux/maskedPaths",
                json!(["/link", "/folder", "/folder/", "//folder", "/nothing/at/all", "/up", "/m"]),
            )
            .set("/linux/readonlyPaths", json!(["/ro", "/nothing"]))
    });
    let output = case.run(ORLOP);
    assert!(output.stderr().matches("Read-only file system").count() > 0, "{}", output.stderr());
    let said = output.stdout();
    let mut lines: Vec<&str> = said.lines().collect();
    lines.sort_unstable();
    // The mask of files, the folder below it and all else as it was; one mask where three were asked for.
    let expected = [
        ("/etc tmpfs", "ro,"),
        ("/folder tmpfs", "ro,"),
        ("/m tmpfs", "ro,"),
        ("/m tmpfs", "rw,nosuid,noexec,"),
        ("/ro ", "ro,"),
        ("/secret devtmpfs", ""),
        ("folder:", ""),
        ("up:", ""),
    ];
    lines.retain(|line| !line.is_empty());
    assert_eq!(lines.len(), expected.len(), "{said}");
    for (line, (begin, flags)) in lines.iter().zip(expected) {
        assert!(line.starts_with(begin) && line.contains(flags), "{line}: {begin} {flags}");
    }
}
