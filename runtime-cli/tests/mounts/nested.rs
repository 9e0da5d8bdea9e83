//! A container in a container: what the outer one has covered or does not own, and what is told of it.

use oci_conformance::{host, skip_unless};
use serde_json::{Value, json};

use super::support::{Case, ORLOP};

const ALL: &[&str] = &[
    "CAP_SYS_ADMIN",
    "CAP_SETUID",
    "CAP_SETGID",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_SETPCAP",
    "CAP_KILL",
    "CAP_SYS_CHROOT",
    "CAP_MKNOD",
    "CAP_NET_ADMIN",
    "CAP_FOWNER",
    "CAP_SETFCAP",
];

/// An outer container with the programs of this host, that runs the configuration `inner/config.json`.
fn outer(inner: &Value) -> Case {
    let inner = inner.to_string();
    let case = Case::new()
        .script("/orlop --root /run run --bundle /inner in 2>&1")
        .with(|builder| {
            let folders = ["proc", "sys", "dev", "bin", "tmp"];
            let busybox = std::fs::read(host::find("busybox").unwrap()).unwrap();
            let builder = folders
                .into_iter()
                .fold(builder, |builder, name| builder.folder(format!("inner/rootfs/{name}")))
                .file_with_mode("inner/rootfs/bin/busybox", busybox, 0o755)
                .file("inner/config.json", inner)
                .file_with_mode("orlop", std::fs::read(ORLOP).unwrap(), 0o755)
                .set("/process/noNewPrivileges", false)
                // The cgroups would be read-only.
                .remove("/mounts/6");
            ["bounding", "effective", "permitted"].into_iter().fold(builder, |builder, set| {
                builder.set(&format!("/process/capabilities/{set}"), ALL.to_vec())
            })
        })
        .bind("inner", "/inner", &["rbind"])
        .bind("orlop", "/orlop", &["bind"])
        .tmpfs("/run", &[]);
    // The program may be a dynamic one.
    ["/lib", "/lib64", "/usr/lib"]
        .into_iter()
        .filter(|folder| std::path::Path::new(folder).is_dir())
        .fold(case, |case, folder| case.bind(folder, folder, &["rbind", "ro"]))
}

fn inner(namespaces: &[&str], mounts: &Value) -> Value {
    let map = json!([{ "containerID": 0, "hostID": 0, "size": 1000 }]);
    let namespaces: Vec<Value> = namespaces.iter().map(|kind| json!({ "type": kind })).collect();
    let has_user = namespaces.iter().any(|namespace| namespace["type"] == "user");
    let mut linux = json!({ "namespaces": namespaces });
    if has_user {
        linux["uidMappings"] = map.clone();
        linux["gidMappings"] = map;
    }
    json!({
        "ociVersion": "1.3.0",
        "root": { "path": "rootfs" },
        "process": {
            "user": { "uid": 0, "gid": 0 }, "cwd": "/",
            "args": ["/bin/busybox", "sh", "-c", "/bin/busybox awk '$2 ~ /^.(proc|sys)/ {print $2, $3, $4}' /proc/mounts"],
        },
        "mounts": mounts,
        "linux": linux,
    })
}

fn proc() -> Value {
    json!({ "destination": "/proc", "type": "proc", "source": "proc" })
}

fn sysfs() -> Value {
    json!({ "destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro", "nosuid", "nodev", "noexec"] })
}

#[test]
fn a_container_of_the_outer_user_namespace_has_its_own_proc_and_sysfs() {
    skip_unless!(host::is_root() && host::user_namespaces(), "root and user namespaces");
    skip_unless!(host::find("busybox").is_some(), "busybox");
    let inner = inner(&["mount", "pid", "ipc", "uts"], &json!([proc(), sysfs()]));
    for case in [outer(&inner), outer(&inner).user_namespace().setup("chown -R 100000:100000 inner")] {
        let said = case.run(ORLOP).success().stdout();
        assert!(said.contains("/proc proc rw,relatime\n"), "{said}");
        assert!(said.contains("/sys sysfs ro,nosuid,nodev,noexec,relatime\n"), "{said}");
    }
}

/// The outer masks are locked to the inner user namespace, which the kernel then gives no whole procfs or sysfs.
#[test]
fn covered_proc_is_told_and_covered_sysfs_is_bound() {
    skip_unless!(host::is_root() && host::user_namespaces(), "root and user namespaces");
    skip_unless!(host::find("busybox").is_some(), "busybox");
    let all = ["mount", "pid", "ipc", "uts", "user", "network"];
    let output = outer(&inner(&all, &json!([proc(), sysfs()]))).run(ORLOP);
    let said = output.stdout();
    assert!(said.contains("error mounting") && said.contains("mounts[0]"), "{said}");
    assert!(said.contains("are covered, as in a container: operation not permitted"), "{said}");
    // A bind of /proc is what then is possible, with the masks of the outer one.
    let bound = json!({ "destination": "/proc", "type": "bind", "source": "/proc", "options": ["rbind"] });
    let said = outer(&inner(&all, &json!([bound, sysfs()]))).run(ORLOP).success().stdout();
    assert!(said.contains("/sys sysfs ro,nosuid,nodev,noexec,relatime\n"), "{said}");
    assert!(said.contains("/sys/firmware tmpfs ro,"), "the outer mask came along: {said}");
}
