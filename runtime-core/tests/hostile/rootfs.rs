//! Rootfs and configurations that point out of the container, as past breakouts did. Each attack is made twice: as the
//! kernel is, and with openat2 hidden, when init resolves paths by itself.

use std::{
    fs,
    os::unix::fs::symlink,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use oci_conformance::{Bundle as TestBundle, BundleBuilder, host, skip_unless};
use orlop::ExitStatus;
use serde_json::json;

use crate::{
    fds::leak,
    host::hide,
    support::{Canary, Host, SECRET, rounds},
};

/// Performs `attacks` as the kernel is and, in a thread of its own, without openat2. A harmless container runs in both.
fn both_ways(attacks: impl Fn() + Sync) {
    let harmless = TestBundle::builder().name("harmless").args(["/bin/probe", "exit", "7"]).build();
    let attacks = || {
        assert_eq!(Host::new().run(&harmless).unwrap().status, ExitStatus::Exited(7));
        attacks();
    };
    attacks();
    let hidden = thread::scope(|scope| {
        scope
            .spawn(|| {
                hide(&[nix::libc::SYS_openat2], nix::libc::ENOSYS);
                attacks();
            })
            .join()
    });
    if let Err(panic) = hidden {
        std::panic::resume_unwind(panic);
    }
}

/// Puts a link into the rootfs in place of what is there.
fn plant(bundle: &TestBundle, place: &str, target: &str) {
    let link = bundle.rootfs().join(place);
    fs::create_dir_all(link.parent().unwrap()).unwrap();
    if fs::symlink_metadata(&link).is_ok_and(|found| found.is_dir()) {
        fs::remove_dir(&link).unwrap();
    }
    symlink(target, &link).unwrap();
}

/// A bundle that asks for what must not reach the canary, and the links in its rootfs.
type Attack = (&'static str, &'static [&'static str], fn(BundleBuilder) -> BundleBuilder);

fn without_mounts(bundle: BundleBuilder, points: &[&str]) -> BundleBuilder {
    bundle.edit(|spec| {
        let mounts = spec["mounts"].as_array_mut().unwrap();
        mounts.retain(|mount| !points.contains(&mount["destination"].as_str().unwrap()));
    })
}

const DEV: [&str; 4] = ["/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"];

/// Links in capitals lead to the canary's file, others to its folder.
const ATTACKS: &[Attack] = &[
    ("a link at /dev", &["dev"], |bundle| bundle),
    ("a link at /dev without a mount", &["dev"], |bundle| without_mounts(bundle, &DEV)),
    ("a link at /proc", &["proc"], |bundle| bundle),
    ("a link at /sys", &["sys"], |bundle| bundle),
    ("links in /dev", &["dev/pts", "dev/shm", "dev/mqueue"], |bundle| without_mounts(bundle, &["/dev"])),
    ("links at devices", &["dev/null!", "dev/zero!", "dev/ptmx!", "dev/fd", "dev/stdin!"], |bundle| {
        without_mounts(bundle, &DEV)
    }),
    ("a link at /dev/console", &["dev/console!"], |bundle| {
        without_mounts(bundle, &["/dev"]).set("/process/terminal", true)
    }),
    ("a mount on a link", &["data"], |bundle| bundle.mount("/data", "tmpfs", "tmpfs", &[])),
    ("a mount below a link", &["data"], |bundle| bundle.mount("/data/a/b", "tmpfs", "tmpfs", &[])),
    ("a file bound on a link", &["etc/hosts!"], |bundle| {
        bundle.file("hosts", "").mount("/etc/hosts", "bind", "@BUNDLE@/hosts", &["bind", "rw"])
    }),
    ("a mount that climbs", &["data"], |bundle| {
        bundle.mount("/data/../../../../../../data", "tmpfs", "tmpfs", &["ro"])
    }),
    ("a copied-up tmpfs on a link", &["data"], |bundle| {
        bundle.mount("/data", "tmpfs", "tmpfs", &["tmpcopyup"])
    }),
    ("a cgroup mount on a link", &["sys/fs/cgroup"], |bundle| without_mounts(bundle, &["/sys"])),
    ("a masked link", &["masked"], |bundle| bundle.push("/linux/maskedPaths", "/masked")),
    ("a masked link to a file", &["masked!"], |bundle| bundle.push("/linux/maskedPaths", "/masked")),
    ("a read-only link", &["readonly"], |bundle| bundle.push("/linux/readonlyPaths", "/readonly")),
    ("a device on a link", &["here"], |bundle| {
        let device = json!({"path": "/here/node", "type": "c", "major": 1, "minor": 3});
        bundle.push("/linux/devices", device)
    }),
    ("a device in place of a link", &["here!"], |bundle| {
        let device = json!({"path": "/here", "type": "c", "major": 1, "minor": 3});
        bundle.push("/linux/devices", device)
    }),
    ("a working directory", &["here"], |bundle| bundle.set("/process/cwd", "/here")),
    ("a working directory to make", &["here"], |bundle| bundle.set("/process/cwd", "/here/new")),
    ("a rootfs in the user's hands", &["dev", "proc", "sys", "etc"], |bundle| {
        bundle
            .namespace("user", None)
            .push("/linux/uidMappings", json!({"containerID": 0, "hostID": 0, "size": 65536}))
            .push("/linux/gidMappings", json!({"containerID": 0, "hostID": 0, "size": 65536}))
    }),
];

#[test]
fn links_in_the_rootfs_do_not_lead_out_of_it() {
    skip_unless!(host::is_root(), "root");
    let (host, canary) = (Host::new(), Canary::new());
    let target = canary.path();
    let climbing = format!("../../../../../../../../../..{target}");
    both_ways(|| {
        for (attack, links, edit) in ATTACKS {
            for target in [&target, &climbing] {
                let bundle = TestBundle::builder().name("links").set("/root/readonly", false).args([
                    "/bin/probe",
                    "read",
                    &format!("{target}/secret"),
                ]);
                let bundle = edit(bundle).build();
                for link in *links {
                    match link.strip_suffix('!') {
                        Some(link) => plant(&bundle, link, &format!("{target}/secret")),
                        None => plant(&bundle, link, target),
                    }
                }
                let ran = host.run(&bundle);
                canary.assert_untouched(attack);
                if let Ok(ran) = ran {
                    assert!(!ran.output.contains(SECRET), "{attack}: {ran:?}");
                }
            }
        }
    });
}

#[test]
fn working_directory_and_program_are_no_leaked_fds() {
    skip_unless!(host::is_root(), "root");
    let (host, canary) = (Host::new(), Canary::new());
    fs::write(canary.file().with_file_name("probe"), oci_conformance::PROBE).unwrap();
    let leaked = leak(&canary.path(), 60);
    let mut bundle = TestBundle::builder().name("fd").build();
    for fd in 3..64 {
        for owner in ["self", "1"] {
            let at = format!("/proc/{owner}/fd/{fd}");
            for (cwd, program) in
                [(at.as_str(), "/bin/probe"), ("/", &format!("{at}/probe")), (&format!("{at}/.."), "./probe")]
            {
                bundle.edit(|spec| {
                    spec["process"]["cwd"] = cwd.into();
                    spec["process"]["args"] = json!([program, "each", "read", "secret", "--", "exit", "42"]);
                });
                // Most are refused; a program that runs all the same sees nothing.
                if let Ok(ran) = host.run(&bundle) {
                    assert!(!ran.output.contains(SECRET), "{cwd} {program}: {ran:?}");
                    assert_ne!(ran.status, ExitStatus::Exited(42), "{cwd} {program}");
                }
            }
        }
    }
    drop(leaked);
}

#[test]
fn masks_hold_while_dev_null_is_replaced() {
    skip_unless!(host::is_root(), "root");
    let host = Host::new();
    let bundle = TestBundle::builder()
        .name("mask")
        .set("/root/readonly", false)
        .edit(|spec| {
            let mounts = spec["mounts"].as_array_mut().unwrap();
            mounts.retain(|mount| !DEV.contains(&mount["destination"].as_str().unwrap()));
            // What other runtimes were made to put there.
            spec["linux"]["maskedPaths"] = json!(["/proc/keys", "/proc/kcore", "/proc/sysrq-trigger"]);
            spec["linux"]["readonlyPaths"] = json!([]);
        })
        .args([
            "/bin/probe",
            "each",
            "read",
            "/proc/keys",
            "--",
            "read",
            "/proc/kcore",
            "--",
            "read",
            "/proc/sysrq-trigger",
            "--",
            "echo",
            "masked",
        ])
        .build();
    let null = bundle.rootfs().join("dev/null");
    let aside = bundle.rootfs().join("dev/aside");
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let swapper = scope.spawn(|| {
            let mut swaps = 0u32;
            let forms = ["/proc/sys/kernel/core_pattern", "/proc/version", "zero"];
            while !done.load(Ordering::Relaxed) {
                for form in forms {
                    // Whoever was faster, the name leads somewhere else each time.
                    let planted = symlink(form, &aside).and_then(|()| fs::rename(&aside, &null));
                    swaps += u32::from(planted.is_ok());
                }
            }
            swaps
        });
        for _ in 0..rounds(30, 1000) {
            // A device that cannot be made there is an error, which is fine too.
            if let Ok(ran) = host.run(&bundle) {
                let output = ran.output.trim_start_matches(|c: char| c != 'm');
                assert_eq!((ran.status, output, ran.output.len()), (ExitStatus::Exited(0), "masked\n", 7));
            }
        }
        done.store(true, Ordering::Relaxed);
        assert!(swapper.join().unwrap() > 0);
    });
}
