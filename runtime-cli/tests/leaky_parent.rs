//! The real command, started by a parent that leaks fds, and attacked by the program it starts.

use std::{
    fs,
    fs::File,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

use oci_conformance::{Bundle, Runtime, host, skip_unless};

const ORLOP: &str = env!("CARGO_BIN_EXE_orlop");

/// Inheritable fds of a folder of the host.
fn leak(count: usize) -> Vec<OwnedFd> {
    let folder = File::open("/").expect("the root");
    let duplicates = (0..count).map(|_| {
        // The number is inherited by exec, unlike what `try_clone` gives.
        // SAFETY: duplicates a live fd.
        let fd = unsafe { nix::libc::dup(folder.as_raw_fd()) };
        assert!(fd > 2, "dup");
        // SAFETY: a new fd that nobody else owns.
        unsafe { OwnedFd::from_raw_fd(fd) }
    });
    duplicates.collect()
}

#[test]
fn what_the_parent_leaks_reaches_no_container() {
    skip_unless!(host::is_root(), "root");
    let leaked = leak(40);
    let orlop = Runtime::new(ORLOP);
    let bundle = Bundle::builder().args(["/bin/probe", "facts"]).build();
    let container = orlop.container(&bundle);
    let facts = container.run_facts();
    let fds: Vec<_> = facts.at("/fds").as_object().into_iter().flat_map(|fds| fds.keys()).collect();
    assert_eq!(fds, ["0", "1", "2"], "{}", facts.at("/fds"));

    let created = container.create(&[]).success();
    let pid = container.state()["pid"].to_string();
    let held = fs::read_dir(format!("/proc/{pid}/fd")).expect("fds");
    for fd in held.map(|fd| fd.expect("fd").path()) {
        let canary = fd.join(bundle.path().strip_prefix("/").expect("absolute"));
        assert!(fs::symlink_metadata(&canary).is_err(), "{} leads to the host", fd.display());
    }
    drop((created, leaked));
    drop(container.delete(&["--force"]).success());
    assert_eq!(container.leftovers(), Vec::<String>::new());
}

#[test]
fn a_program_named_by_the_executable_of_init_is_not_the_command() {
    skip_unless!(host::is_root(), "root");
    let before = fs::read(ORLOP).expect("the command");
    let orlop = Runtime::new(ORLOP);
    for program in ["/proc/self/exe", "/proc/1/exe"] {
        let bundle = Bundle::builder().args([program, "--version"]).build();
        let container = orlop.container(&bundle);
        // The sealed program takes no such argument and has nothing of the command.
        let ran = container.run(&[]);
        assert_ne!(ran.code(), 0, "{program}: {}", ran.stdout());
        assert!(!ran.stdout().contains("orlop version"), "{program}: {}", ran.stdout());
        drop(container.delete(&["--force"]));
        assert_eq!(container.leftovers(), Vec::<String>::new());
    }
    assert!(before == fs::read(ORLOP).expect("the command"), "the command's file was changed");
}
