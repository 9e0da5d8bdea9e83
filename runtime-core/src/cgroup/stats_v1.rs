//! Statistics of the v1 cgroups of a container.

use std::path::Path;

use super::{
    CgroupDirs, files,
    stats::{
        BlockIoEntry, BlockIoStats, CpuStats, CpuUsage, CpusetStats, HugetlbStats, MemoryStats, MemoryUsage,
        PidsStats, Stats, Throttling, not_understood, number, numbers, page_sizes,
    },
};
use crate::Result;

pub(super) fn read(dirs: &CgroupDirs) -> Result<Stats> {
    let mut stats = Stats::default();
    if let Some(dir) = dirs.v1("cpuacct") {
        stats.cpu.usage = cpu_usage(dir)?;
    }
    if let Some(dir) = dirs.v1("cpu") {
        stats.cpu = CpuStats { throttling: throttling(dir)?, ..stats.cpu };
    }
    if let Some(dir) = dirs.v1("cpuset") {
        stats.cpuset = cpuset(dir)?;
    }
    if let Some(dir) = dirs.v1("memory") {
        stats.memory = memory(dir)?;
    }
    if let Some(dir) = dirs.v1("pids") {
        let limit = number(dir, "pids.max")?.filter(|limit| *limit != u64::MAX);
        let current = number(dir, "pids.current")?.unwrap_or(0);
        stats.pids = PidsStats { current, limit: limit.unwrap_or(0) };
    }
    if let Some(dir) = dirs.v1("blkio") {
        stats.blkio = block_io(dir)?;
    }
    if let Some(dir) = dirs.v1("hugetlb") {
        for size in page_sizes() {
            if let Some(pages) = hugetlb(dir, &size)? {
                stats.hugetlb.insert(size, pages);
            }
        }
    }
    Ok(stats)
}

fn cpu_usage(dir: &Path) -> Result<CpuUsage> {
    let value = |file: &str| -> Result<u64> { Ok(number(dir, file)?.unwrap_or(0)) };
    let list = |file: &str| -> Result<Vec<u64>> {
        let text = files::read(&dir.join(file))?.unwrap_or_default();
        Ok(text.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect())
    };
    Ok(CpuUsage {
        total: value("cpuacct.usage")?,
        percpu: list("cpuacct.usage_percpu")?,
        percpu_kernel: list("cpuacct.usage_percpu_sys")?,
        percpu_user: list("cpuacct.usage_percpu_user")?,
        kernel: value("cpuacct.usage_sys")?,
        user: value("cpuacct.usage_user")?,
    })
}

fn throttling(dir: &Path) -> Result<Throttling> {
    let stat = numbers(dir, "cpu.stat")?;
    let count = |name: &str| stat.get(name).copied().unwrap_or(0);
    Ok(Throttling {
        periods: count("nr_periods"),
        throttled_periods: count("nr_throttled"),
        throttled_time: count("throttled_time"),
    })
}

fn cpuset(dir: &Path) -> Result<CpusetStats> {
    let list = |name: &str| -> Result<Vec<u16>> {
        let path = dir.join(format!("cpuset.{name}"));
        let text = files::read(&path)?.unwrap_or_default();
        numbers_of_list(text.trim()).ok_or_else(|| not_understood(&path))
    };
    let value = |name: &str| -> Result<u64> { Ok(number(dir, &format!("cpuset.{name}"))?.unwrap_or(0)) };
    let level = files::read(&dir.join("cpuset.sched_relax_domain_level"))?.unwrap_or_default();
    Ok(CpusetStats {
        cpus: list("cpus")?,
        cpu_exclusive: value("cpu_exclusive")?,
        mems: list("mems")?,
        mem_hardwall: value("mem_hardwall")?,
        mem_exclusive: value("mem_exclusive")?,
        memory_migrate: value("memory_migrate")?,
        memory_spread_page: value("memory_spread_page")?,
        memory_spread_slab: value("memory_spread_slab")?,
        memory_pressure: value("memory_pressure")?,
        sched_load_balance: value("sched_load_balance")?,
        sched_relax_domain_level: level.trim().parse().unwrap_or(0),
    })
}

/// `0-2,5` as numbers.
fn numbers_of_list(text: &str) -> Option<Vec<u16>> {
    let mut numbers = Vec::new();
    for range in text.split(',').filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        numbers.extend(first.parse::<u16>().ok()?..=last.parse().ok()?);
    }
    Some(numbers)
}

fn memory(dir: &Path) -> Result<MemoryStats> {
    let raw = numbers(dir, "memory.stat")?;
    Ok(MemoryStats {
        cache: raw.get("cache").copied().unwrap_or(0),
        usage: memory_usage(dir, "memory")?,
        swap: memory_usage(dir, "memory.memsw")?,
        kernel: memory_usage(dir, "memory.kmem")?,
        kernel_tcp: memory_usage(dir, "memory.kmem.tcp")?,
        raw,
        psi: None,
    })
}

fn memory_usage(dir: &Path, prefix: &str) -> Result<MemoryUsage> {
    let value = |name: &str| -> Result<u64> { Ok(number(dir, &format!("{prefix}.{name}"))?.unwrap_or(0)) };
    Ok(MemoryUsage {
        limit: value("limit_in_bytes")?,
        usage: value("usage_in_bytes")?,
        max: value("max_usage_in_bytes")?,
        failcnt: value("failcnt")?,
    })
}

/// Files that count the same, the most telling first: of a scheduler that counts for cgroups, else of the throttle.
const BLOCK_IO: [(&str, &str, bool); 5] = [
    ("blkio.bfq.", "_recursive", true),
    ("blkio.bfq.", "_recursive", false),
    ("blkio.", "_recursive", true),
    ("blkio.throttle.", "_recursive", false),
    ("blkio.throttle.", "", false),
];

fn block_io(dir: &Path) -> Result<BlockIoStats> {
    for (before, after, is_full) in BLOCK_IO {
        let list = |name: &str| entries(&dir.join(format!("{before}{name}{after}")));
        let first = list(if is_full { "sectors" } else { "io_serviced" })?;
        if first.is_empty() {
            continue;
        }
        let mut stats = BlockIoStats {
            io_serviced_recursive: list("io_serviced")?,
            io_service_bytes_recursive: list("io_service_bytes")?,
            ..BlockIoStats::default()
        };
        if is_full {
            stats.sectors_recursive = first;
            stats.io_service_time_recursive = list("io_service_time")?;
            stats.io_wait_time_recursive = list("io_wait_time")?;
            stats.io_merged_recursive = list("io_merged")?;
            stats.io_queued_recursive = list("io_queued")?;
            stats.io_time_recursive = list("time")?;
        }
        return Ok(stats);
    }
    Ok(BlockIoStats::default())
}

/// Lines `8:0 Read 4096` or `8:0 4096`; the sum of all devices is passed over.
fn entries(path: &Path) -> Result<Vec<BlockIoEntry>> {
    let text = files::read(path)?.unwrap_or_default();
    let lines = text.lines().filter(|line| !line.starts_with("Total"));
    lines.map(|line| entry(line).ok_or_else(|| not_understood(path))).collect()
}

fn entry(line: &str) -> Option<BlockIoEntry> {
    let mut words = line.split_ascii_whitespace();
    let (major, minor) = words.next()?.split_once(':')?;
    let (op, value) = match (words.next()?, words.next()) {
        (op, Some(value)) => (op, value),
        (value, None) => ("", value),
    };
    Some(BlockIoEntry {
        major: major.parse().ok()?,
        minor: minor.parse().ok()?,
        op: op.to_owned(),
        value: value.parse().ok()?,
    })
}

fn hugetlb(dir: &Path, size: &str) -> Result<Option<HugetlbStats>> {
    for prefix in [format!("hugetlb.{size}.rsvd"), format!("hugetlb.{size}")] {
        let value = |name: &str| number(dir, &format!("{prefix}.{name}"));
        if let Some(usage) = value("usage_in_bytes")? {
            let max = value("max_usage_in_bytes")?.unwrap_or(0);
            return Ok(Some(HugetlbStats { usage, max, failcnt: value("failcnt")?.unwrap_or(0) }));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_first_group_of_files_that_tells_something_is_taken() {
        let temp = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| fs::write(temp.path().join(file), text).unwrap();
        assert_eq!(block_io(temp.path()).unwrap(), BlockIoStats::default());
        write("blkio.bfq.io_serviced_recursive", "Total 0\n");
        write("blkio.throttle.io_serviced_recursive", "8:0 Read 3\n8:0 Total 3\nTotal 3\n");
        write("blkio.throttle.io_service_bytes_recursive", "8:0 Read 4096\n8:0 Total 4096\nTotal 4096\n");
        let stats = block_io(temp.path()).unwrap();
        let read = |value| BlockIoEntry { major: 8, minor: 0, op: "Read".into(), value };
        assert_eq!(stats.io_serviced_recursive[0], read(3));
        assert_eq!(stats.io_service_bytes_recursive[0], read(4096));
        assert_eq!(stats.io_service_bytes_recursive.len(), 2);
        write("blkio.bfq.sectors_recursive", "8:0 8\n");
        let stats = block_io(temp.path()).unwrap();
        assert_eq!(
            stats.sectors_recursive,
            [BlockIoEntry { major: 8, minor: 0, op: String::new(), value: 8 }]
        );
        write("blkio.bfq.sectors_recursive", "nonsense\n");
        assert!(block_io(temp.path()).unwrap_err().to_string().contains("blkio.bfq.sectors_recursive"));
    }

    #[test]
    fn lists_of_processors_are_numbers() {
        assert_eq!(numbers_of_list("0-2,5").unwrap(), [0, 1, 2, 5]);
        assert_eq!(numbers_of_list("").unwrap(), Vec::<u16>::new());
        assert_eq!(numbers_of_list("x"), None);
    }
}
