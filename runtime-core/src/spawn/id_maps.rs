//! Writing the id maps of a new user namespace from outside.

use std::{fmt::Write as _, os::fd::OwnedFd};

use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};

use crate::{Error, Result, plan::step::IdMap};

/// Writes `setgroups`, `uid_map` and `gid_map` through `/proc/PID`, which was opened while the process was known to live.
pub(super) fn write_id_maps(
    process: &OwnedFd,
    uids: &[IdMap],
    gids: &[IdMap],
    deny_setgroups: bool,
) -> Result<()> {
    if deny_setgroups {
        write_at(process, "setgroups", "deny")?;
    }
    write_at(process, "uid_map", &lines(uids))?;
    write_at(process, "gid_map", &lines(gids))
}

fn lines(maps: &[IdMap]) -> String {
    maps.iter().fold(String::new(), |mut lines, map| {
        // Writing to a String cannot fail.
        let _ok = writeln!(lines, "{} {} {}", map.container_id, map.host_id, map.size);
        lines
    })
}

/// Writes a file of /proc/PID in one call, as these files demand.
pub(super) fn write_at(process: &OwnedFd, name: &str, data: &str) -> Result<()> {
    let write = || -> Result<(), Errno> {
        let file = rustix::fs::openat(process, name, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        match rustix::io::write(&file, data.as_bytes())? {
            written if written == data.len() => Ok(()),
            _ => Err(Errno::IO),
        }
    };
    write().map_err(|errno| {
        let data = data.trim_end().replace('\n', ", ");
        Error::from_errno(format!("cannot write {data:?} to /proc/PID/{name} of init"), errno.raw_os_error())
            .with_path(format!("/proc/PID/{name}"))
    })
}

#[cfg(test)]
mod tests {
    use super::lines;
    use crate::plan::step::IdMap;

    #[test]
    fn each_range_is_a_line() {
        let maps = [
            IdMap { container_id: 0, host_id: 1000, size: 1 },
            IdMap { container_id: 1, host_id: 100_000, size: 65_536 },
        ];
        assert_eq!(lines(&maps), "0 1000 1\n1 100000 65536\n");
    }
}
