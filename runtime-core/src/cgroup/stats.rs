//! What the cgroup uses: processor time, memory, processes, block I/O, huge pages.
//!
//! Names and units are those that engines know from runc's `events`, on v1 and on v2 alike. Small parsers are those of
//! libcgroups. Its managers are not used: one missing controller fails all statistics, v1 paths are derived from the
//! caller's own cgroup, times differ in unit between v1 and v2, removal sleeps and loses the errno, failures to enable
//! controllers are ignored, and memory limits take 0 for a limit on v1.

use std::{collections::BTreeMap, path::Path};

use libcgroups::{
    common::WrappedIoError,
    stats::{parse_single_value, supported_page_sizes},
};
use serde::Serialize;

use super::{Cgroup, CgroupDirs, files, stats_v1, stats_v2};
use crate::{Error, ErrorKind, Result};

/// What a container uses. What its host cannot tell is 0 or empty. Serialises as runc's `events` prints it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// Processor time.
    pub cpu: CpuStats,
    /// Processors and memory nodes (cgroup v1).
    pub cpuset: CpusetStats,
    /// Memory.
    pub memory: MemoryStats,
    /// Processes and threads.
    pub pids: PidsStats,
    /// Block I/O.
    pub blkio: BlockIoStats,
    /// Huge pages by size (`2MB`).
    pub hugetlb: BTreeMap<String, HugetlbStats>,
}

/// Processor time.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct CpuStats {
    /// Time used.
    #[serde(skip_serializing_if = "is_zero")]
    pub usage: CpuUsage,
    /// What its quota kept from it.
    #[serde(skip_serializing_if = "is_zero")]
    pub throttling: Throttling,
    /// Time that processes waited for a processor (v2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Pressure>,
}

/// Nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CpuUsage {
    /// All.
    #[serde(skip_serializing_if = "is_zero")]
    pub total: u64,
    /// All, for each processor (v1).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu: Vec<u64>,
    /// In the kernel, for each processor (v1).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu_kernel: Vec<u64>,
    /// In programs, for each processor (v1).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu_user: Vec<u64>,
    /// In the kernel.
    pub kernel: u64,
    /// In programs.
    pub user: u64,
}

/// What the quota did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Throttling {
    /// Periods that passed.
    #[serde(skip_serializing_if = "is_zero")]
    pub periods: u64,
    /// Periods in which the quota was used up.
    #[serde(skip_serializing_if = "is_zero")]
    pub throttled_periods: u64,
    /// Nanoseconds that processes were held.
    #[serde(skip_serializing_if = "is_zero")]
    pub throttled_time: u64,
}

/// Pressure stall information (kernel documentation, accounting/psi).
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Pressure {
    /// At least one process waited.
    pub some: PressureData,
    /// All processes waited.
    pub full: PressureData,
}

/// Shares of time.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PressureData {
    /// Per cent of the last ten seconds.
    pub avg10: f64,
    /// Per cent of the last minute.
    pub avg60: f64,
    /// Per cent of the last five minutes.
    pub avg300: f64,
    /// Microseconds in all.
    pub total: u64,
}

/// Processors and memory nodes: the files of the v1 hierarchy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
#[expect(missing_docs, reason = "names of files, cpuset(7)")]
pub struct CpusetStats {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cpus: Vec<u16>,
    pub cpu_exclusive: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mems: Vec<u16>,
    pub mem_hardwall: u64,
    pub mem_exclusive: u64,
    pub memory_migrate: u64,
    pub memory_spread_page: u64,
    pub memory_spread_slab: u64,
    pub memory_pressure: u64,
    pub sched_load_balance: u64,
    pub sched_relax_domain_level: i64,
}

/// Memory, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct MemoryStats {
    /// Page cache.
    #[serde(skip_serializing_if = "is_zero")]
    pub cache: u64,
    /// Memory.
    #[serde(skip_serializing_if = "is_zero")]
    pub usage: MemoryUsage,
    /// Memory and swap together.
    #[serde(skip_serializing_if = "is_zero")]
    pub swap: MemoryUsage,
    /// Memory of the kernel (v1).
    #[serde(skip_serializing_if = "is_zero")]
    pub kernel: MemoryUsage,
    /// TCP buffers (v1).
    #[serde(rename = "kernelTCP", skip_serializing_if = "is_zero")]
    pub kernel_tcp: MemoryUsage,
    /// All of `memory.stat`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub raw: BTreeMap<String, u64>,
    /// Time that processes waited for memory (v2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Pressure>,
}

/// One kind of memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MemoryUsage {
    /// Bytes; without a limit a very large number (`u64::MAX` on v2).
    pub limit: u64,
    /// Bytes in use.
    #[serde(skip_serializing_if = "is_zero")]
    pub usage: u64,
    /// The most that was in use.
    #[serde(skip_serializing_if = "is_zero")]
    pub max: u64,
    /// How often the limit was hit.
    pub failcnt: u64,
}

/// Processes and threads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PidsStats {
    /// Present ones.
    #[serde(skip_serializing_if = "is_zero")]
    pub current: u64,
    /// 0: no limit.
    #[serde(skip_serializing_if = "is_zero")]
    pub limit: u64,
}

/// Block I/O; on v2 bytes and operations only.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
#[expect(missing_docs, reason = "names of files, kernel documentation, cgroup-v1/blkio-controller")]
pub struct BlockIoStats {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_service_bytes_recursive: Vec<BlockIoEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_serviced_recursive: Vec<BlockIoEntry>,
    #[serde(rename = "ioQueueRecursive", skip_serializing_if = "Vec::is_empty")]
    pub io_queued_recursive: Vec<BlockIoEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_service_time_recursive: Vec<BlockIoEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_wait_time_recursive: Vec<BlockIoEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_merged_recursive: Vec<BlockIoEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_time_recursive: Vec<BlockIoEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sectors_recursive: Vec<BlockIoEntry>,
    /// Time that processes waited for I/O (v2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Pressure>,
}

/// One count of one device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BlockIoEntry {
    /// Of the device.
    #[serde(skip_serializing_if = "is_zero")]
    pub major: u64,
    /// Of the device.
    #[serde(skip_serializing_if = "is_zero")]
    pub minor: u64,
    /// `Read`, `Write`, `Sync`, …; empty where all are counted together.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub op: String,
    /// The count.
    #[serde(skip_serializing_if = "is_zero")]
    pub value: u64,
}

/// Huge pages of one size.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct HugetlbStats {
    /// Bytes in use, or reserved where the kernel counts reservations.
    #[serde(skip_serializing_if = "is_zero")]
    pub usage: u64,
    /// The most that was in use (v1).
    #[serde(skip_serializing_if = "is_zero")]
    pub max: u64,
    /// How often the limit was hit.
    pub failcnt: u64,
}

fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Cgroup {
    /// Reads the statistics. A missing cgroup has none.
    ///
    /// # Errors
    /// When a file that is there cannot be read or understood.
    pub(crate) fn stats(&self) -> Result<Stats> {
        let read = match self.dirs {
            CgroupDirs::Unified { .. } => stats_v2::read(&self.name()),
            CgroupDirs::Legacy { .. } => stats_v1::read(&self.dirs),
        };
        read.map_err(|error| error.context("cannot read statistics"))
    }
}

/// A file with one number; `max` is `u64::MAX`. None: there is no such file.
pub(super) fn number(dir: &Path, file: &str) -> Result<Option<u64>> {
    let path = dir.join(file);
    match parse_single_value(&path) {
        Ok(value) => Ok(Some(value)),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(not_understood(&path).with_source(error)),
    }
}

fn is_missing(error: &WrappedIoError) -> bool {
    error.inner().kind() == std::io::ErrorKind::NotFound
}

pub(super) fn not_understood(path: &Path) -> Error {
    Error::new(ErrorKind::Kernel, format!("cannot understand {}", path.display())).with_path(path)
}

/// A file of lines `name number`. Other lines are passed over, and a missing file has none.
pub(super) fn numbers(dir: &Path, file: &str) -> Result<BTreeMap<String, u64>> {
    let text = files::read(&dir.join(file))?.unwrap_or_default();
    let entry = |line: &str| {
        let (name, value) = line.split_once(' ')?;
        Some((name.to_owned(), value.trim().parse().ok()?))
    };
    Ok(text.lines().filter_map(entry).collect())
}

/// The sizes of huge pages that this machine has; none when it tells of none.
pub(super) fn page_sizes() -> Vec<String> {
    supported_page_sizes().unwrap_or_default()
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
            assert_eq!((before.pids.current, before.pids.limit), (1, 0));
            drop(process.0.stdin.take());
            cgroup.wait_empty(soon()).unwrap();
            let after = cgroup.stats().unwrap();
            assert!(after.cpu.usage.total > before.cpu.usage.total);
            assert!(after.cpu.usage.user > before.cpu.usage.user);
        }
    }

    #[test]
    fn missing_cgroup_has_no_statistics() {
        for cgroup in cgroups("nostats") {
            assert_eq!(cgroup.stats().unwrap(), Stats::default());
        }
    }

    #[test]
    fn what_is_zero_is_left_out_as_engines_know_it() {
        let text = serde_json::to_string(&Stats::default()).unwrap();
        let cpuset = r#"{"cpu_exclusive":0,"mem_hardwall":0,"mem_exclusive":0,"memory_migrate":0,"memory_spread_page":0,"memory_spread_slab":0,"memory_pressure":0,"sched_load_balance":0,"sched_relax_domain_level":0}"#;
        let expected = format!(
            r#"{{"cpu":{{}},"cpuset":{cpuset},"memory":{{}},"pids":{{}},"blkio":{{}},"hugetlb":{{}}}}"#
        );
        assert_eq!(text, expected);
    }
}
