//! A created container's init, seen from the host: nothing of the host program is in it.

use std::{fs, os::unix::fs::FileTypeExt, os::unix::fs::MetadataExt};

use oci_conformance::{Bundle as TestBundle, host, host::unique, skip_unless};

use crate::support::{Canary, Host, Kept, memory};

/// Links of a process's fds that lead to what is on no mount of the container and is no pipe, socket or output either.
fn fds_that_lead_out(pid: i32) -> Vec<String> {
    let proc = format!("/proc/{pid}");
    let mounts = fs::read_to_string(format!("{proc}/mountinfo")).unwrap();
    let is_mount = |id: &str| mounts.lines().any(|line| line.split(' ').next() == Some(id));
    let fds = fs::read_dir(format!("{proc}/fd")).unwrap();
    fds.filter_map(|fd| {
        let path = fd.unwrap().path();
        let link = fs::read_link(&path).unwrap().to_string_lossy().into_owned();
        let kind = fs::metadata(&path).unwrap().file_type();
        let info = path.to_str().unwrap().replace("/fd/", "/fdinfo/");
        let info = fs::read_to_string(info).unwrap();
        let mount = info.lines().find_map(|line| line.strip_prefix("mnt_id:")).unwrap().trim();
        let is_harmless = kind.is_fifo()
            || kind.is_socket()
            || link == "/dev/null"
            || link.starts_with("anon_inode:")
            || link == "/memfd:output (deleted)"
            || is_mount(mount);
        (!is_harmless).then_some(link)
    })
    .collect()
}

fn assert_holds_nothing_of_the_host(pid: i32, bundle: &TestBundle, canary: &Canary) {
    let proc = format!("/proc/{pid}");
    let exe = fs::read_link(format!("{proc}/exe")).unwrap();
    assert_eq!(exe.to_str(), Some("/memfd:orlop-init (deleted)"));
    let program = fs::File::open(format!("{proc}/exe")).unwrap();
    let seals = rustix::fs::fcntl_get_seals(&program).unwrap();
    assert!(seals.contains(rustix::fs::SealFlags::WRITE | rustix::fs::SealFlags::SEAL), "{seals:?}");

    let maps = fs::read_to_string(format!("{proc}/maps")).unwrap();
    for line in maps.lines() {
        let name = line.splitn(6, ' ').nth(5).unwrap_or("").trim();
        assert!(name.is_empty() || name.starts_with('[') || name.starts_with("/memfd:orlop-"), "{line}");
    }
    assert_eq!(fds_that_lead_out(pid), Vec::<String>::new());
    let environment = fs::read(format!("{proc}/environ")).unwrap();
    assert_eq!(String::from_utf8_lossy(&environment), "");

    let rootfs = fs::metadata(bundle.rootfs()).unwrap();
    for way in ["root", "cwd"] {
        let reached = fs::metadata(format!("{proc}/{way}")).unwrap();
        assert_eq!((reached.dev(), reached.ino()), (rootfs.dev(), rootfs.ino()), "{way}");
        let canary = format!("{proc}/{way}{}", canary.file().display());
        assert!(fs::symlink_metadata(&canary).is_err(), "{canary}");
    }
    let mounts = fs::read_to_string(format!("{proc}/mountinfo")).unwrap();
    let roots = mounts.lines().filter(|line| line.split(' ').nth(4) == Some("/")).count();
    assert_eq!(roots, 1, "the host's root is still mounted below the container's:\n{mounts}");
}

#[test]
fn a_created_init_holds_nothing_of_the_host() {
    skip_unless!(host::is_root(), "root");
    let (host, canary) = (Host::new(), Canary::new());
    let other = TestBundle::builder().name("other").args(["/bin/probe", "sleep"]).build();
    let (other_id, id) = (unique("other"), unique("created"));
    let member = Kept(host.create(&other, &other_id, &memory()).unwrap());
    let joined = format!("/proc/{}/ns/pid", member.0.pid());
    for bundle in [
        TestBundle::builder(),
        TestBundle::builder().namespace("pid", Some(&joined)),
        TestBundle::builder()
            .namespace("user", None)
            .push(
                "/linux/uidMappings",
                serde_json::json!({"containerID": 0, "hostID": 100_000, "size": 65536}),
            )
            .push(
                "/linux/gidMappings",
                serde_json::json!({"containerID": 0, "hostID": 100_000, "size": 65536}),
            ),
    ] {
        let bundle = bundle.name("created").args(["/bin/probe", "true"]).build();
        let container = Kept(host.create(&bundle, &id, &memory()).unwrap());
        assert_holds_nothing_of_the_host(container.0.pid(), &bundle, &canary);
        drop(container);
        host.assert_clean(&id, &bundle);
    }
    drop(member);
    host.assert_clean(&other_id, &other);
}
