//! Where the file system of resource groups is mounted (Documentation/filesystems/resctrl.rst).

use std::path::PathBuf;

use super::cgroups::unescape;
use crate::sys;

const MOUNT: &str = "/sys/fs/resctrl";

/// `RDTGROUP_SUPER_MAGIC` (linux/magic.h).
const MAGIC: u32 = 0x0765_5821;

/// Its usual place, else any. mountinfo, which grows with every container, is only read where the kernel has resctrl.
pub(super) fn find() -> Option<PathBuf> {
    match rustix::fs::statfs(MOUNT) {
        Ok(stat) if stat.f_type as u32 == MAGIC => Some(MOUNT.into()),
        Ok(_) => parse(&sys::read_proc("/proc/self/mountinfo").ok()?),
        // A kernel without it.
        Err(_) => None,
    }
}

fn parse(mountinfo: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let is_resctrl = right.split(' ').next() == Some("resctrl");
        is_resctrl.then(|| left.split(' ').nth(4).map(|point| PathBuf::from(unescape(point))))?
    })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn another_mount_point_is_found() {
        let text = "36 31 0:33 / /sys/fs/cgroup rw - cgroup2 none rw\n\
                    40 31 0:34 / /mnt/my\\040rdt rw - resctrl resctrl rw\n";
        assert_eq!(parse(text), Some("/mnt/my rdt".into()));
        assert_eq!(parse("36 31 0:33 / /resctrl rw - tmpfs resctrl rw\n"), None);
    }
}
