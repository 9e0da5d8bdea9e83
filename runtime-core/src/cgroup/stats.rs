//! What the cgroup uses: processor time, memory, processes.
//!
//! The types and parsers are those of libcgroups. Its managers are not used: one missing controller fails all
//! statistics, v1 paths are derived from the caller's own cgroup, times differ in unit between v1 and v2, removal
//! sleeps and loses the errno, failures to enable controllers are ignored, and memory limits take 0 for a limit on v1.

use std::path::Path;

use libcgroups::{
    common::WrappedIoError,
    stats::{CpuUsage, MemoryData, PidStats, PidStatsError, parse_single_value, pid_stats},
};

use super::{Cgroup, CgroupDirs, files};
use crate::{Error, ErrorKind, Result};

/// Statistics of a cgroup. None: the controller is missing, or the cgroup.
#[derive(Debug, Default)]
pub(crate) struct CgroupStats {
    /// Nanoseconds; the totals per core are those of v1 only.
    pub(crate) cpu: Option<CpuUsage>,
    /// Bytes; a limit of `u64::MAX` is none.
    pub(crate) memory: Option<MemoryData>,
    /// A limit of 0 is none.
    pub(crate) pids: Option<PidStats>,
}

impl Cgroup {
    /// Reads the statistics.
    ///
    /// # Errors
    /// When a file that is there cannot be read or understood.
    pub(crate) fn stats(&self) -> Result<CgroupStats> {
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
            let message = format!("cannot read statistics of cgroup {}", self.name().display());
            Error::new(ErrorKind::Kernel, message).with_path(self.name()).with_source(error)
        };
        let unified = self.name();
        let dir = |controller: &str| match self.dirs {
            CgroupDirs::Unified { .. } => Some(unified.as_path()),
            CgroupDirs::Legacy { .. } => self.dirs.v1(controller),
        };
        let pids = match dir("pids").map(pid_stats) {
            None => None,
            Some(Err(PidStatsError::WrappedIo(error))) if is_missing(&error) => None,
            Some(stats) => Some(stats.map_err(|error| failed(error.into()))?),
        };
        let memory = match (&self.dirs, dir("memory")) {
            (_, None) => None,
            (CgroupDirs::Unified { .. }, Some(dir)) => unless_missing(memory_v2(dir)),
            (CgroupDirs::Legacy { .. }, Some(dir)) => unless_missing(memory_v1(dir)),
        };
        let memory = memory.transpose().map_err(|error| failed(error.into()))?;
        let cpu = match (&self.dirs, dir("cpuacct")) {
            (_, None) => None,
            (CgroupDirs::Unified { .. }, Some(dir)) => cpu_v2(dir)?,
            (CgroupDirs::Legacy { .. }, Some(dir)) => {
                unless_missing(cpu_v1(dir)).transpose().map_err(|error| failed(error.into()))?
            }
        };
        Ok(CgroupStats { cpu, memory, pids })
    }
}

fn is_missing(error: &WrappedIoError) -> bool {
    error.inner().kind() == std::io::ErrorKind::NotFound
}

fn unless_missing<T>(result: Result<T, WrappedIoError>) -> Option<Result<T, WrappedIoError>> {
    match result {
        Err(error) if is_missing(&error) => None,
        result => Some(result),
    }
}

fn memory_v1(dir: &Path) -> Result<MemoryData, WrappedIoError> {
    /// What v1 shows for no limit: the largest number of pages, in bytes.
    const NO_LIMIT: u64 = 0x7fff_ffff_ffff_f000;
    let value = |file: &str| parse_single_value(&dir.join(file));
    Ok(MemoryData {
        usage: value("memory.usage_in_bytes")?,
        max_usage: value("memory.max_usage_in_bytes")?,
        fail_count: value("memory.failcnt")?,
        limit: Some(value("memory.limit_in_bytes")?).filter(|limit| *limit < NO_LIMIT).unwrap_or(u64::MAX),
    })
}

fn memory_v2(dir: &Path) -> Result<MemoryData, WrappedIoError> {
    let value = |file: &str| parse_single_value(&dir.join(file));
    let events = files::read(&dir.join("memory.events")).ok().flatten().unwrap_or_default();
    Ok(MemoryData {
        usage: value("memory.current")?,
        // Since 5.19.
        max_usage: unless_missing(value("memory.peak")).transpose()?.unwrap_or(0),
        fail_count: keyed(&events, "max").unwrap_or(0),
        limit: value("memory.max")?,
    })
}

fn cpu_v1(dir: &Path) -> Result<CpuUsage, WrappedIoError> {
    let value = |file: &str| parse_single_value(&dir.join(file));
    let per_core = files::read(&dir.join("cpuacct.usage_percpu")).ok().flatten().unwrap_or_default();
    Ok(CpuUsage {
        usage_total: value("cpuacct.usage")?,
        usage_user: value("cpuacct.usage_user")?,
        usage_kernel: value("cpuacct.usage_sys")?,
        per_core_usage_total: per_core
            .split_ascii_whitespace()
            .filter_map(|core| core.parse().ok())
            .collect(),
        ..CpuUsage::default()
    })
}

fn cpu_v2(dir: &Path) -> Result<Option<CpuUsage>> {
    // There without the cpu controller as well, with fewer lines.
    let Some(stat) = files::read(&dir.join("cpu.stat"))? else { return Ok(None) };
    let nanoseconds = |key: &str| keyed(&stat, key).unwrap_or(0).saturating_mul(1000);
    Ok(Some(CpuUsage {
        usage_total: nanoseconds("usage_usec"),
        usage_user: nanoseconds("user_usec"),
        usage_kernel: nanoseconds("system_usec"),
        ..CpuUsage::default()
    }))
}

/// The number after a key at the beginning of a line.
fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            NeededControllers,
            tests::{Process, cgroups, soon},
        },
        *,
    };

    #[test]
    fn what_a_process_uses_is_counted() {
        for cgroup in cgroups("stats") {
            let _created = cgroup.create(&NeededControllers::new()).unwrap();
            let mut process =
                Process::start("read go; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; read end");
            cgroup.place(process.pid()).unwrap();
            let before = cgroup.stats().unwrap();
            if let Some(pids) = &before.pids {
                assert_eq!((pids.current, pids.limit), (1, 0));
            }
            if let Some(memory) = &before.memory {
                assert_eq!(memory.limit, u64::MAX);
            }
            drop(process.0.stdin.take());
            cgroup.wait_empty(soon()).unwrap();
            let after = cgroup.stats().unwrap();
            assert!(after.cpu.unwrap().usage_total > before.cpu.unwrap().usage_total);
        }
    }

    #[test]
    fn missing_cgroup_has_no_statistics() {
        for cgroup in cgroups("nostats") {
            let stats = cgroup.stats().unwrap();
            assert!(stats.cpu.is_none() && stats.memory.is_none() && stats.pids.is_none(), "{stats:?}");
        }
    }

    #[test]
    fn keys_are_whole_words() {
        assert_eq!(keyed("max_usage 1\nmax 2\n", "max"), Some(2));
        assert_eq!(keyed("max_usage 1\n", "max"), None);
    }
}
