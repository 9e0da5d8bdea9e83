//! What this machine offers to tests, and how a test says that it cannot run here.

use std::{
    ffi::OsStr,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Whether this process has the uid 0 of the machine's first user namespace.
#[must_use]
pub fn is_root() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    rustix::process::geteuid().is_root() && map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// Whether tests are to take their time: `ORLOP_TEST_LONG=1`.
#[must_use]
pub fn is_long() -> bool {
    std::env::var_os("ORLOP_TEST_LONG").is_some_and(|value| value == "1")
}

/// How cgroups are mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupLayout {
    /// No cgroup file system at /sys/fs/cgroup.
    None,
    /// Controllers in v1 hierarchies only.
    Legacy,
    /// Controllers in v1 hierarchies, and cgroup2 at /sys/fs/cgroup/unified.
    Hybrid,
    /// cgroup2 at /sys/fs/cgroup.
    Unified,
}

/// The layout of this machine.
#[must_use]
pub fn cgroup_layout() -> CgroupLayout {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let type_at = |point: &str| {
        let line = mounts.lines().rev().find(|line| line.split(' ').nth(4) == Some(point))?;
        line.split_once(" - ")?.1.split(' ').next()
    };
    let has_v1 = mounts.lines().any(|line| line.contains(" - cgroup "));
    match (type_at("/sys/fs/cgroup"), type_at("/sys/fs/cgroup/unified")) {
        (Some("cgroup2"), _) => CgroupLayout::Unified,
        (_, Some("cgroup2")) if has_v1 => CgroupLayout::Hybrid,
        _ if has_v1 => CgroupLayout::Legacy,
        _ => CgroupLayout::None,
    }
}

/// The path of a program in `PATH`.
#[must_use]
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")])
        .map(|dir| dir.join(program))
        .find(|file| rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok() && file.is_file())
}

/// Whether this process may make a user namespace with itself as root.
#[must_use]
pub fn user_namespaces() -> bool {
    succeeds(Command::new("unshare").args(["-Ur", "true"]))
}

/// Whether the unified view can be made here (see [`unified_view`]).
#[must_use]
pub fn has_unified_view() -> bool {
    succeeds(&mut unified_view("true"))
}

/// The controllers that the unified view has.
#[must_use]
pub fn unified_controllers() -> Vec<String> {
    let output = unified_view("cat").arg("/sys/fs/cgroup/cgroup.controllers").stdin(Stdio::null()).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.split_whitespace().map(str::to_owned).collect()
}

fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// A command in a mount namespace of its own in which cgroup2 is mounted at /sys/fs/cgroup, whatever the layout of the
/// machine is. Controllers that v1 hierarchies hold are absent there; freezer, kill and device filter work.
#[must_use]
pub fn unified_view(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("unshare");
    command.args(UNIFIED_VIEW).arg(program);
    command
}

/// The words before a command that is to run in the unified view; the first, `unshare`, left out.
pub(crate) const UNIFIED_VIEW: [&str; 5] = [
    "-m",
    "sh",
    "-c",
    "umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && exec \"$@\"",
    "sh",
];

/// Copies a program by another program: an fd of ours that is open for writing would be inherited by what other threads
/// start meanwhile, and execve(2) would fail with ETXTBSY.
///
/// # Panics
/// When it cannot be copied.
pub fn copy_program(from: impl AsRef<OsStr>, to: &Path) {
    let copied = Command::new("cp").arg("--").arg(from).arg(to).status().is_ok_and(|status| status.success());
    assert!(copied, "cannot copy a program to {}", to.display());
}

/// A new folder below the temporary one, 0755, removed with its content on drop.
#[derive(Debug)]
pub struct TempDir(PathBuf);

impl TempDir {
    /// Makes the folder; `name` becomes part of its name.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(unique(name));
        if let Err(error) = fs::create_dir(&path) {
            panic!("cannot make {}: {error}", path.display());
        }
        Self(path)
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    /// Refuses to remove what still has mounts: a leaked bind mount would have its *source* emptied.
    fn drop(&mut self) {
        for mount in crate::leftovers::mounts_below(&self.0) {
            if let Err(error) = rustix::mount::unmount(&mount, rustix::mount::UnmountFlags::DETACH) {
                say(&format!("cannot unmount {}: {error}", mount.display()));
            }
        }
        if !crate::leftovers::mounts_below(&self.0).is_empty() {
            return say(&format!("{} has mounts and is left behind", self.0.display()));
        }
        if let Err(error) = fs::remove_dir_all(&self.0) {
            say(&format!("cannot remove {}: {error}", self.0.display()));
        }
    }
}

/// A name that no other test of any process has now.
#[must_use]
pub fn unique(name: &str) -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |now| now.subsec_nanos());
    format!("{name}-{}-{}-{now:x}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed))
}

/// Writes a line to stderr itself: what `eprintln!` writes is hidden for a test that passes.
pub(crate) fn say(text: &str) {
    let name = std::thread::current().name().unwrap_or("?").to_owned();
    // A test has nobody else to tell when its stderr is gone.
    drop(std::io::stderr().write_all(format!("{name}: {text}\n").as_bytes()));
}

/// Says aloud that the present test does not run, and why.
pub fn skipped(needs: &str) {
    say(&format!("skipped: needs {needs}"));
}

/// Returns from the test, aloud, unless the condition holds.
///
/// ```
/// # use oci_conformance::{host, skip_unless};
/// fn a_test() {
///     skip_unless!(host::is_root(), "root");
///     skip_unless!(host::find("runc").is_some(), "runc");
/// }
/// ```
#[macro_export]
macro_rules! skip_unless {
    ($condition:expr, $needs:expr) => {
        if !$condition {
            $crate::host::skipped($needs);
            return;
        }
    };
}
