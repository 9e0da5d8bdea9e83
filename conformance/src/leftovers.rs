//! What a runtime left behind: processes, mounts, cgroups.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Mount points of this mount namespace at or below a path, the last mounted first.
#[must_use]
pub fn mounts_below(path: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = text.lines().rev().filter_map(|line| line.split(' ').nth(4));
    points
        .map(|point| PathBuf::from(point.replace("\\040", " ")))
        .filter(|point| point.starts_with(path))
        .collect()
}

/// Everything that still bears the container's id or the bundle's path, in words; empty when nothing is left.
#[must_use]
pub fn leftovers(id: &str, bundle: &Path, root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    if fs::symlink_metadata(root.join(id)).is_ok() {
        found.push(format!("state folder {}", root.join(id).display()));
    }
    found.extend(mounts_below(bundle).iter().map(|mount| format!("mount {}", mount.display())));
    found.extend(cgroups(id).iter().map(|cgroup| format!("cgroup {}", cgroup.display())));
    found.extend(processes(id, bundle));
    found
}

/// Removes empty cgroups with the name in theirs, such as parents that a runtime made and left.
pub fn remove_cgroups(name: &str) {
    for cgroup in cgroups(name).iter().rev() {
        // One that is busy or already gone is for the check of leftovers to tell.
        drop(fs::remove_dir(cgroup));
    }
}

/// cgroup folders in whose name the id occurs, in all hierarchies.
fn cgroups(id: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.filter_map(Result::ok) {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            if entry.file_name().to_string_lossy().contains(id) {
                found.push(entry.path());
            }
            folders.push(entry.path());
        }
    }
    found
}

/// Processes in a cgroup with the id in its name, or with a mount of the bundle. Zombies are not the runtime's: it is up
/// to whoever became their parent to reap them.
fn processes(id: &str, bundle: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let bundle = bundle.to_string_lossy();
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()?.parse::<u32>().ok());
    pids.filter_map(|pid| {
        let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let in_cgroup = read("cgroup").contains(id);
        let has_mount = read("mountinfo").contains(&*bundle);
        let is_zombie = read("stat").rsplit_once(')').is_some_and(|(_, rest)| rest.starts_with(" Z"));
        ((in_cgroup || has_mount) && !is_zombie)
            .then(|| format!("process {pid}: {}", read("cmdline").replace('\0', " ")))
    })
    .collect()
}
