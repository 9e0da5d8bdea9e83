//! Writes limits to the files of the cgroup.

use std::path::{Path, PathBuf};

use rustix::{fs::CWD, io::Errno};

use super::{
    Cgroup, Limits, files,
    limits::{Conversion, FileWrite, IfMissing, Layout},
};
use crate::{Error, ErrorKind, Result};

impl Cgroup {
    /// Sets limits; what they leave out stays as it is. On a failure the values before it have been written.
    ///
    /// # Errors
    /// `InvalidConfig` with all that cannot be expressed here, before anything is written; `Unsupported` for a
    /// controller or file that is not there; of the first write that the kernel refuses.
    pub(crate) fn apply_limits(&self, limits: &Limits) -> Result<()> {
        if limits.is_empty() {
            return Ok(());
        }
        self.write_all(&self.conversion(limits)?.writes)
    }

    /// What the limits come to here. Nothing is written yet.
    pub(super) fn conversion(&self, limits: &Limits) -> Result<Conversion> {
        let conversion = limits.convert(Layout::of(&self.dirs));
        if !conversion.problems.is_empty() {
            return Err(Error::invalid_config(conversion.problems));
        }
        if conversion.checks_memory_usage {
            self.check_memory_usage(&conversion.writes)?;
        }
        Ok(conversion)
    }

    pub(super) fn write_all(&self, writes: &[FileWrite]) -> Result<()> {
        // `unified` is a group of its own at the end, since its paths say so.
        let is_neighbour = |a: &FileWrite, b: &FileWrite| a.controller == b.controller && a.in_v2 == b.in_v2;
        writes.chunk_by(is_neighbour).try_for_each(|group| self.write_group(group))
    }

    /// Writes values of one controller. Some bound each other, so that one is refused until another is written: what
    /// was EINVAL is tried again after the others, as long as that helps.
    fn write_group(&self, group: &[FileWrite]) -> Result<()> {
        let mut pending: Vec<&FileWrite> = group.iter().collect();
        loop {
            let mut refused = Vec::new();
            for write in &pending {
                match self.write_one(write) {
                    Ok(()) => {}
                    Err(error) if error.errno() == Some(Errno::INVAL.raw_os_error()) => {
                        refused.push((*write, error))
                    }
                    Err(error) => return Err(error),
                }
            }
            let is_stuck = refused.len() == pending.len();
            pending = refused.iter().map(|(write, _)| *write).collect();
            match refused.into_iter().next() {
                None => return Ok(()),
                Some((_, error)) if is_stuck => return Err(error),
                Some(_) => {}
            }
        }
    }

    fn write_one(&self, write: &FileWrite) -> Result<()> {
        self.try_write(write).map_err(|error| {
            error.with_config_path(&write.config_path).context(format_args!("{}", write.config_path))
        })
    }

    fn try_write(&self, write: &FileWrite) -> Result<()> {
        let Some(dir) = self.dir_of(write) else {
            return match write.if_missing {
                IfMissing::Skip => Ok(()),
                _ => {
                    let message = format!(
                        "cannot set {}: no cgroup controller {} is mounted",
                        write.file, write.controller
                    );
                    Err(Error::new(ErrorKind::Unsupported, message))
                }
            };
        };
        let path = dir.join(&write.file);
        let error = match write_lines(&path, &write.value) {
            Ok(()) => return Ok(()),
            Err(errno) => (path, &write.value, errno),
        };
        let (path, value, errno) = match (error, &write.if_missing) {
            ((_, _, Errno::NOENT), IfMissing::Skip) => return Ok(()),
            ((_, _, Errno::NOENT), IfMissing::Instead { file, value }) => {
                let path = dir.join(file);
                match write_lines(&path, value) {
                    Ok(()) => return Ok(()),
                    Err(errno) => (path, value, errno),
                }
            }
            (error, _) => error,
        };
        Err(self.explain(files::cannot_write(&path, value, errno), &dir, errno))
    }

    pub(super) fn dir_of(&self, write: &FileWrite) -> Option<PathBuf> {
        match write.in_v2 {
            true => self.dirs.v2(),
            false => self.dirs.v1(&write.controller).map(Path::to_owned),
        }
    }

    fn explain(&self, error: Error, dir: &Path, errno: Errno) -> Error {
        match errno {
            Errno::NOENT => error
                .with_kind(ErrorKind::Unsupported)
                .with_hint("the kernel or an enabled controller lacks this file"),
            Errno::BUSY => match used_memory(dir) {
                Some(used) => {
                    error.with_hint(format!("{used} bytes of memory are in use and cannot be freed"))
                }
                None => error,
            },
            Errno::NODEV => error.with_hint("there is no such device"),
            Errno::OPNOTSUPP => error.with_hint("the device's scheduler or driver does not support it"),
            _ => error,
        }
    }

    /// A limit below what is used lets the kernel kill; between this look and the write more can come into use.
    fn check_memory_usage(&self, writes: &[FileWrite]) -> Result<()> {
        let Some(write) = writes.iter().find(|write| write.file == "memory.max") else { return Ok(()) };
        let (Some(dir), Ok(limit)) = (self.dir_of(write), write.value.parse::<u64>()) else { return Ok(()) };
        match used_memory(&dir) {
            Some(used) if used > limit => {
                let message = format!("memory limit {limit} is below the {used} bytes in use");
                let error = Error::new(ErrorKind::Busy, message).with_path(dir.join("memory.max"));
                Err(error.with_config_path("linux.resources.memory.checkBeforeUpdate"))
            }
            _ => Ok(()),
        }
    }
}

/// Only for words, or to be careful: a file that cannot be read is as none.
fn used_memory(dir: &Path) -> Option<u64> {
    let read = |file: &str| files::read_raw(CWD, &dir.join(file)).ok();
    read("memory.current").or_else(|| read("memory.usage_in_bytes"))?.trim().parse().ok()
}

/// Each line in a write of its own, as files with a line for each device take them. An empty value is an empty line:
/// a write of no bytes does not reach the kernel's file.
fn write_lines(path: &Path, value: &str) -> Result<(), Errno> {
    let lines: Vec<&str> = value.lines().filter(|line| !line.is_empty()).collect();
    if lines.is_empty() {
        return files::write_raw(CWD, path, "\n");
    }
    lines.iter().try_for_each(|line| files::write_raw(CWD, path, line))
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            NeededControllers,
            limits::tests::limits,
            tests::{cgroups, v2_mount},
        },
        *,
    };

    #[expect(clippy::print_stderr, reason = "a skipped test says so")]
    fn has_v1(cgroup: &Cgroup, controller: &str) -> bool {
        let has = cgroup.dirs.v1(controller).is_some();
        if !has {
            eprintln!("skipped: no v1 hierarchy with {controller}");
        }
        has
    }

    fn v1_value(cgroup: &Cgroup, controller: &str, file: &str) -> String {
        files::read(&cgroup.dirs.v1(controller).unwrap().join(file)).unwrap().unwrap().trim().to_owned()
    }

    #[test]
    fn v1_memory_is_raised_and_lowered_in_the_right_order() {
        for cgroup in cgroups("memory").into_iter().filter(|cgroup| has_v1(cgroup, "memory")) {
            let _created = cgroup.create(&NeededControllers::new()).unwrap();
            for (limit, swap) in [(8192, 16384), (32768, 65536), (4096, 4096), (-1, -1)] {
                let json = format!(r#"{{"memory": {{"limit": {limit}, "swap": {swap}}}}}"#);
                cgroup.apply_limits(&limits(&json)).unwrap();
                if limit > 0 {
                    assert_eq!(v1_value(&cgroup, "memory", "memory.limit_in_bytes"), limit.to_string());
                    assert_eq!(v1_value(&cgroup, "memory", "memory.memsw.limit_in_bytes"), swap.to_string());
                }
            }
        }
    }

    #[test]
    fn v1_cpu_and_pids_are_written() {
        for cgroup in
            cgroups("cpu").into_iter().filter(|cgroup| has_v1(cgroup, "cpu") && has_v1(cgroup, "pids"))
        {
            let _created = cgroup.create(&NeededControllers::new()).unwrap();
            let mut first =
                limits(r#"{"cpu": {"shares": 512, "quota": 50000, "period": 100000, "cpus": "0"}}"#);
            first.pids = Some(17);
            cgroup.apply_limits(&first).unwrap();
            assert_eq!(v1_value(&cgroup, "cpu", "cpu.shares"), "512");
            assert_eq!(v1_value(&cgroup, "cpu", "cpu.cfs_quota_us"), "50000");
            assert_eq!(v1_value(&cgroup, "cpuset", "cpuset.cpus"), "0");
            assert_eq!(v1_value(&cgroup, "pids", "pids.max"), "17");
            // A burst is refused until the quota is large enough, and a quota until the burst is small enough.
            cgroup.apply_limits(&limits(r#"{"cpu": {"burst": 60000, "quota": 90000}}"#)).unwrap();
            cgroup.apply_limits(&limits(r#"{"cpu": {"burst": 100, "quota": 5000}}"#)).unwrap();
            assert_eq!(v1_value(&cgroup, "cpu", "cpu.cfs_burst_us"), "100");
            let error = cgroup.apply_limits(&limits(r#"{"cpu": {"period": 5}}"#)).unwrap_err();
            assert_eq!(error.config_path(), Some("linux.resources.cpu.period"));
            let words = error.to_string();
            assert!(words.starts_with("linux.resources.cpu.period: cannot write \"5\" to /"), "{error}");
            assert!(error.to_string().ends_with("cpu.cfs_period_us: invalid argument"), "{error}");
        }
    }

    // spec: linux.unified.unknown-written
    #[test]
    fn unified_files_are_written_where_v2_is_mounted() {
        for cgroup in cgroups("unified").into_iter().filter(|cgroup| cgroup.dirs.v2().is_some()) {
            let mut limits = Limits::default();
            limits.unified.insert("cgroup.max.descendants".into(), "5".into());
            limits.unified.insert("cgroup.max.depth".into(), "7".into());
            let _created = cgroup.create(&limits.needed_controllers(&cgroup.dirs)).unwrap();
            cgroup.apply_limits(&limits).unwrap();
            let value = files::read(&cgroup.dirs.v2().unwrap().join("cgroup.max.descendants")).unwrap();
            assert_eq!(value.as_deref(), Some("5\n"));
            let limits =
                Limits { unified: [("cgroup.nosuch".into(), "1".into())].into(), ..Limits::default() };
            let error = cgroup.apply_limits(&limits).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert_eq!(error.config_path(), Some("linux.resources.unified[\"cgroup.nosuch\"]"));
        }
    }

    #[test]
    fn v2_hugepages_are_limited_where_the_controller_is() {
        let Some(mount) = v2_mount() else { return };
        let controllers = files::read(&mount.join("cgroup.controllers")).unwrap().unwrap_or_default();
        if !controllers.split_ascii_whitespace().any(|name| name == "hugetlb") {
            return;
        }
        for cgroup in cgroups("huge").into_iter().filter(|cgroup| cgroup.dirs.v1("memory").is_none()) {
            let limits = Limits { hugepages: vec![("2MB".into(), 4 << 20)], ..Limits::default() };
            let _created = cgroup.create(&limits.needed_controllers(&cgroup.dirs)).unwrap();
            cgroup.apply_limits(&limits).unwrap();
            for file in ["hugetlb.2MB.max", "hugetlb.2MB.rsvd.max"] {
                let value = files::read(&cgroup.dirs.v2().unwrap().join(file)).unwrap();
                assert_eq!(value.as_deref(), Some("4194304\n"), "{file}");
            }
            let limits = Limits { hugepages: vec![("3MB".into(), 4 << 20)], ..Limits::default() };
            assert_eq!(cgroup.apply_limits(&limits).unwrap_err().kind(), ErrorKind::Unsupported);
        }
    }
}
