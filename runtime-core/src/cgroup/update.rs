//! New limits for a cgroup in use. Either all of them hold afterwards, or the old ones.

use std::path::PathBuf;

use oci_spec::runtime::LinuxResources;
use rustix::{fs::CWD, io::Errno};

use super::{
    Cgroup, CgroupDirs, DeviceRule, Limits, files,
    limits::{FileWrite, IfMissing},
};
use crate::{Error, Result};

/// Files with a line for each device or resource, and what takes a line's limit away.
const LINES: &[(&str, &str)] = &[
    ("io.max", "rbps=max wbps=max riops=max wiops=max"),
    ("io.latency", "target=0"),
    ("io.weight", "default"),
    ("io.bfq.weight", "default"),
    ("blkio.bfq.weight_device", "default"),
    ("blkio.weight_device", "0"),
    ("blkio.leaf_weight_device", "0"),
    ("blkio.throttle.read_bps_device", "0"),
    ("blkio.throttle.write_bps_device", "0"),
    ("blkio.throttle.read_iops_device", "0"),
    ("blkio.throttle.write_iops_device", "0"),
    ("rdma.max", "hca_handle=max hca_object=max"),
    ("misc.max", "max"),
    ("net_prio.ifpriomap", "0"),
];

impl Cgroup {
    /// Sets limits, and device rules where there are any; what they leave out stays. On a failure what had been
    /// written is taken back.
    ///
    /// # Errors
    /// As `apply_limits` and `apply_device_rules`; what could not be taken back is attached.
    pub(crate) fn update(&self, limits: &Limits, devices: Option<&[DeviceRule]>) -> Result<()> {
        let limits = self.with_present_quota(limits)?;
        let conversion = self.conversion(&limits)?;
        self.enable(&limits.needed_controllers(&self.dirs))?;
        let old: Vec<FileWrite> = conversion.writes.iter().filter_map(|write| self.present(write)).collect();
        let written = self
            .write_all(&conversion.writes)
            .and_then(|()| devices.map_or(Ok(()), |rules| self.apply_device_rules(rules)));
        written.map_err(|mut error| {
            self.take_back(old).into_iter().for_each(|failure| error.attach_cleanup(failure));
            error
        })
    }

    /// Writes old values, one by one, so that what cannot be taken back keeps nothing else from being so. Some bound each
    /// other and go only after another: what failed is tried again as long as that helps.
    fn take_back(&self, old: Vec<FileWrite>) -> Vec<Error> {
        let mut pending = old;
        loop {
            let count = pending.len();
            let mut failures = Vec::new();
            pending.retain(|write| match self.write_all(std::slice::from_ref(write)) {
                Err(failure) if self.present(write).is_none_or(|now| now.value != write.value) => {
                    failures.push(failure);
                    true
                }
                _ => false,
            });
            if pending.is_empty() || pending.len() == count {
                return failures;
            }
        }
    }

    /// On v2 quota and period share a file: a period alone is completed by the quota in force.
    fn with_present_quota(&self, limits: &Limits) -> Result<Limits> {
        let mut limits = limits.clone();
        let CgroupDirs::Unified { .. } = self.dirs else { return Ok(limits) };
        let Some(cpu) = limits.resources.as_ref().and_then(|resources| resources.cpu().clone()) else {
            return Ok(limits);
        };
        let is_set = |value: Option<u64>| value.is_some_and(|value| value != 0);
        if !is_set(cpu.period()) || cpu.quota().is_some_and(|quota| quota != 0) {
            return Ok(limits);
        }
        let present = files::read(&self.name().join("cpu.max"))?.unwrap_or_default();
        let quota = present.split_ascii_whitespace().next().and_then(|quota| quota.parse().ok());
        let mut completed = cpu;
        completed.set_quota(quota);
        limits.resources.get_or_insert_with(LinuxResources::default).set_cpu(Some(completed));
        Ok(limits)
    }

    /// The write that brings back what a write is about to replace. None: it cannot be read (a file that is only
    /// written, or none at all).
    fn present(&self, write: &FileWrite) -> Option<FileWrite> {
        let dir: PathBuf = self.dir_of(write)?;
        let read = |file: &str| files::read_raw(CWD, &dir.join(file));
        let (file, new, text) = match (read(&write.file), &write.if_missing) {
            (Ok(text), _) => (write.file.as_str(), &write.value, text),
            (Err(Errno::NOENT), IfMissing::Instead { file, value }) => (*file, value, read(file).ok()?),
            (Err(_), _) => return None,
        };
        let value = value_of(file, new, &text);
        Some(FileWrite { file: file.to_owned(), value, if_missing: IfMissing::Refuse, ..write.clone() })
    }
}

/// What to write to a file so that it reads `text` again after `new` was written to it.
fn value_of(file: &str, new: &str, text: &str) -> String {
    let first = |line: &str| line.split_ascii_whitespace().next().unwrap_or_default().to_owned();
    let line_of = |key: &str| text.lines().find(|line| first(line) == key).map(str::to_owned);
    if file == "memory.oom_control" {
        // Told with a key, and with other lines.
        let line = line_of("oom_kill_disable").unwrap_or_default();
        return line.split_ascii_whitespace().nth(1).unwrap_or("0").to_owned();
    }
    let has_lines = LINES.iter().find(|(name, _)| *name == file);
    match has_lines {
        // A weight without a device is the default of all, which is told as one.
        Some(_) if new.split_ascii_whitespace().count() < 2 => {
            line_of("default").unwrap_or_else(|| text.trim().to_owned())
        }
        Some((_, nothing)) => {
            let lines = new.lines().filter(|line| !line.trim().is_empty());
            let old = lines
                .map(|line| line_of(&first(line)).unwrap_or_else(|| format!("{} {nothing}", first(line))));
            old.collect::<Vec<_>>().join("\n")
        }
        None => text.trim().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            NeededControllers,
            limits::tests::limits,
            tests::{TestCgroup, cgroups},
        },
        *,
    };

    #[test]
    fn what_was_there_before_is_written_as_the_file_takes_it() {
        for (file, new, text, value) in [
            ("memory.max", "4096", "max\n", "max"),
            ("cpu.max", "5000 10000", "max 100000\n", "max 100000"),
            ("cpuset.cpus", "0", "\n", ""),
            ("memory.oom_control", "1", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n", "0"),
            (
                "io.max",
                "8:0 rbps=1",
                "8:16 rbps=2 wbps=max riops=max wiops=max\n",
                "8:0 rbps=max wbps=max riops=max wiops=max",
            ),
            (
                "io.max",
                "8:0 rbps=1",
                "8:0 rbps=2 wbps=3 riops=max wiops=max\n",
                "8:0 rbps=2 wbps=3 riops=max wiops=max",
            ),
            ("io.bfq.weight", "300", "default 100\n8:0 200\n", "default 100"),
            ("io.bfq.weight", "8:0 300", "default 100\n8:0 200\n", "8:0 200"),
            ("io.weight", "8:0 300", "default 100\n", "8:0 default"),
            ("blkio.bfq.weight", "300", "100\n", "100"),
            ("blkio.throttle.read_bps_device", "8:0 5", "8:1 6\n", "8:0 0"),
            (
                "rdma.max",
                "mlx hca_handle=2",
                "mlx hca_handle=max hca_object=7\n",
                "mlx hca_handle=max hca_object=7",
            ),
            ("misc.max", "a 1\nb 2", "b 3\n", "a max\nb 3"),
        ] {
            assert_eq!(value_of(file, new, text), value, "{file} {new}");
        }
    }

    fn value(cgroup: &TestCgroup, controller: &str, file: &str) -> String {
        let dir = cgroup.dirs.v1(controller).unwrap();
        files::read(&dir.join(file)).unwrap().unwrap().trim().to_owned()
    }

    #[test]
    fn a_failed_update_leaves_the_old_values() {
        for cgroup in cgroups("update").into_iter().filter(|cgroup| cgroup.dirs.v1("pids").is_some()) {
            let _created = cgroup.create(&NeededControllers::new()).unwrap();
            let mut first = limits(
                r#"{"memory": {"limit": 8192, "swap": 16384},
                    "cpu": {"shares": 512, "quota": 50000, "period": 100000, "burst": 100}}"#,
            );
            first.pids = Some(17);
            cgroup.update(&first, None).unwrap();
            let files = [
                ("memory", "memory.limit_in_bytes"),
                ("memory", "memory.memsw.limit_in_bytes"),
                ("cpu", "cpu.shares"),
                ("cpu", "cpu.cfs_quota_us"),
                ("cpu", "cpu.cfs_period_us"),
                ("cpu", "cpu.cfs_burst_us"),
                ("pids", "pids.max"),
            ];
            let values = || files.map(|(controller, file)| value(&cgroup, controller, file));
            let before = values();
            let mut second = limits(
                r#"{"memory": {"limit": 32768, "swap": 65536},
                    "cpu": {"shares": 2048, "quota": 4000, "period": 200000, "burst": 50}}"#,
            );
            second.pids = Some(3);
            second.unified.insert("cgroup.nosuch".into(), "1".into());
            let error = cgroup.update(&second, None).unwrap_err();
            assert_eq!(error.config_path(), Some("linux.resources.unified[\"cgroup.nosuch\"]"));
            assert!(error.cleanup_failures().is_empty(), "{error:?}");
            assert_eq!(values(), before);
            second.unified.clear();
            cgroup.update(&second, None).unwrap();
            assert_eq!(values(), ["32768", "65536", "2048", "4000", "200000", "50", "3"]);
        }
    }

    #[test]
    fn a_period_alone_keeps_the_quota_in_force() {
        let temp = tempfile::tempdir().unwrap();
        let cgroup = Cgroup::new(CgroupDirs::Unified { mount: temp.path().into(), path: "/c".into() });
        std::fs::create_dir(temp.path().join("c")).unwrap();
        for (present, expected) in [("30000 100000\n", "30000 50000"), ("max 100000\n", "max 50000")] {
            std::fs::write(temp.path().join("c/cpu.max"), present).unwrap();
            let completed = cgroup.with_present_quota(&limits(r#"{"cpu": {"period": 50000}}"#)).unwrap();
            let writes = cgroup.conversion(&completed).unwrap().writes;
            assert_eq!(writes.iter().map(|write| write.value.as_str()).collect::<Vec<_>>(), [expected]);
        }
    }
}
