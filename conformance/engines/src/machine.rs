//! The private corner of the machine in which engines run, and what they leave in it.

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

/// Set in the environment of the suite once it is inside.
const INSIDE: &str = "OCI_ENGINES_INSIDE";

/// A mount, network, ipc and uts namespace of its own: bridges, firewall rules, mounts and what engines keep in /run
/// end with it.
const ENTER: &str =
    "mount -t tmpfs -o mode=755 tmpfs /run && mkdir -p /run/lock && ip link set lo up && exec \"$@\"";
const ENTER_UNIFIED: &str = "umount -R /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup && ";

/// Returns inside that corner, as the parent of everything that loses its own.
///
/// # Errors
/// Why the suite cannot be executed again there, or cannot become a subreaper.
pub fn enter(is_unified: bool) -> io::Result<()> {
    if std::env::var_os(INSIDE).is_some() {
        return rustix::process::set_child_subreaper(Some(rustix::process::getpid())).map_err(Into::into);
    }
    let script = if is_unified { format!("{ENTER_UNIFIED}{ENTER}") } else { ENTER.to_owned() };
    let mut command = Command::new("unshare");
    command.args(["--mount", "--net", "--ipc", "--uts", "sh", "-c", &script, "sh"]);
    command.arg(std::env::current_exe()?).args(std::env::args_os().skip(1)).env(INSIDE, "1");
    Err(command.exec())
}

/// Controllers with which a group can be limited here.
pub fn controllers() -> BTreeSet<String> {
    let v2 = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
    let v1 = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().filter_map(Result::ok);
    let v1 = v1.filter(|entry| fs::metadata(entry.path().join("cgroup.procs")).is_ok());
    let v1 = v1.flat_map(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        name.split(',').map(str::to_owned).collect::<Vec<_>>()
    });
    v2.split_whitespace().map(str::to_owned).chain(v1).collect()
}

/// What there is at a moment: processes of the suite, mounts, cgroups of containers, state folders of the runtime.
#[derive(Clone, Debug, Default)]
pub struct Snapshot(BTreeSet<String>);

impl Snapshot {
    /// Takes one. Cgroups are the whole machine's, so only those count that bear a container's id or `token`.
    pub fn take(state: &[PathBuf], token: &str) -> Self {
        let mut found = BTreeSet::new();
        found.extend(mounts().into_iter().map(|mount| format!("mount {mount}")));
        found.extend(descendants().into_iter().map(|(pid, name)| format!("process {pid} {name}")));
        let mut folders = vec![PathBuf::from("/sys/fs/cgroup")];
        while let Some(folder) = folders.pop() {
            let entries = fs::read_dir(&folder).into_iter().flatten().filter_map(Result::ok);
            for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
                let name = entry.file_name().to_string_lossy().into_owned();
                if name.contains(token) || has_container_id(&name) {
                    found.insert(format!("cgroup {}", entry.path().display()));
                }
                folders.push(entry.path());
            }
        }
        for folder in state {
            let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
            found.extend(entries.map(|entry| format!("state folder {}", entry.path().display())));
        }
        Self(found)
    }

    /// What is there now and was not then. Engines clean up in the background after a command returned, and say to nobody
    /// when they are done: looks again until nothing is left or the time is over.
    pub fn leftovers(&self, state: &[PathBuf], token: &str, patience: Duration) -> Vec<String> {
        let began = Instant::now();
        let mut pause = Duration::from_millis(5);
        loop {
            reap();
            let now = Self::take(state, token);
            let left: Vec<String> = now.0.difference(&self.0).cloned().collect();
            if left.is_empty() || began.elapsed() > patience {
                return left;
            }
            pause_for(pause);
            pause = (pause * 2).min(Duration::from_millis(200));
        }
    }
}

/// Waits for what nothing tells the end of.
#[expect(clippy::disallowed_methods, reason = "engines give no event to wait for")]
pub fn pause_for(time: Duration) {
    std::thread::sleep(time);
}

fn has_container_id(name: &str) -> bool {
    name.split(|c: char| !c.is_ascii_hexdigit()).any(|part| part.len() == 64)
}

fn mounts() -> Vec<String> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    text.lines().filter_map(|line| line.split(' ').nth(4)).map(str::to_owned).collect()
}

/// Orphans of engines become children of the suite: those that ended are nobody else's to reap. Daemons of the session
/// are waited for by their handles; they live until it ends.
fn reap() {
    for (pid, name) in descendants() {
        let Some(pid) = rustix::process::Pid::from_raw(pid) else { continue };
        if name.starts_with("(zombie)") {
            // A zombie below somebody else is not ours to wait for (ECHILD).
            rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::NOHANG).ok();
        }
    }
}

/// All processes below this one, with their names.
fn descendants() -> Vec<(i32, String)> {
    let mut found = Vec::new();
    let mut parents = vec![rustix::process::getpid().as_raw_nonzero().get()];
    let all = processes();
    while let Some(parent) = parents.pop() {
        for process in all.iter().filter(|process| process.parent == parent) {
            parents.push(process.pid);
            found.push((process.pid, process.name.clone()));
        }
    }
    found
}

struct Process {
    pid: i32,
    parent: i32,
    name: String,
}

fn processes() -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    entries.filter_map(|entry| process(&entry.path())).collect()
}

fn process(folder: &Path) -> Option<Process> {
    let pid = folder.file_name()?.to_str()?.parse().ok()?;
    let stat = fs::read_to_string(folder.join("stat")).ok()?;
    let (before, after) = stat.rsplit_once(')')?;
    let name = before.split_once('(')?.1;
    let mut fields = after.split_whitespace();
    let name = if fields.next()? == "Z" { format!("(zombie) {name}") } else { name.to_owned() };
    Some(Process { pid, parent: fields.next()?.parse().ok()?, name })
}
