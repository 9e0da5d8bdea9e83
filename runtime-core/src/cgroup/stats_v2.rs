//! Statistics of a v2 cgroup.

use std::path::Path;

use super::{
    files,
    stats::{
        BlockIoEntry, BlockIoStats, CpuStats, CpuUsage, HugetlbStats, MemoryStats, MemoryUsage, PidsStats,
        Pressure, PressureData, Stats, Throttling, not_understood, number, numbers, page_sizes,
    },
};
use crate::Result;

pub(super) fn read(dir: &Path) -> Result<Stats> {
    Ok(Stats {
        cpu: cpu(dir)?,
        memory: memory(dir)?,
        pids: pids(dir)?,
        blkio: block_io(dir)?,
        hugetlb: page_sizes()
            .into_iter()
            .filter_map(|size| hugetlb(dir, &size).transpose().map(|stats| stats.map(|stats| (size, stats))))
            .collect::<Result<_>>()?,
        ..Stats::default()
    })
}

fn cpu(dir: &Path) -> Result<CpuStats> {
    // There without the cpu controller as well, with fewer lines.
    let stat = numbers(dir, "cpu.stat")?;
    let count = |name: &str| stat.get(name).copied().unwrap_or(0);
    let nanoseconds = |name: &str| count(name).saturating_mul(1000);
    Ok(CpuStats {
        usage: CpuUsage {
            total: nanoseconds("usage_usec"),
            user: nanoseconds("user_usec"),
            kernel: nanoseconds("system_usec"),
            ..CpuUsage::default()
        },
        throttling: Throttling {
            periods: count("nr_periods"),
            throttled_periods: count("nr_throttled"),
            throttled_time: nanoseconds("throttled_usec"),
        },
        psi: pressure(dir, "cpu.pressure")?,
    })
}

fn memory(dir: &Path) -> Result<MemoryStats> {
    let raw = numbers(dir, "memory.stat")?;
    let usage = memory_usage(dir, "memory")?;
    let mut swap = memory_usage(dir, "memory.swap")?;
    // v1 counts memory and swap together, and so do readers of these statistics.
    swap.usage = swap.usage.saturating_add(usage.usage);
    swap.limit = swap.limit.saturating_add(usage.limit);
    swap.max = 0;
    Ok(MemoryStats {
        cache: raw.get("file").copied().unwrap_or(0),
        usage,
        swap,
        raw,
        psi: pressure(dir, "memory.pressure")?,
        ..MemoryStats::default()
    })
}

fn memory_usage(dir: &Path, prefix: &str) -> Result<MemoryUsage> {
    let value = |name: &str| number(dir, &format!("{prefix}.{name}"));
    Ok(MemoryUsage {
        limit: value("max")?.unwrap_or(0),
        usage: value("current")?.unwrap_or(0),
        // Since 5.19, for swap since 6.5.
        max: value("peak")?.unwrap_or(0),
        failcnt: numbers(dir, &format!("{prefix}.events"))?.get("max").copied().unwrap_or(0),
    })
}

fn pids(dir: &Path) -> Result<PidsStats> {
    let Some(current) = number(dir, "pids.current")? else {
        // Without the controller, processes are counted instead of threads.
        let procs = files::read(&dir.join("cgroup.procs"))?.unwrap_or_default();
        return Ok(PidsStats { current: procs.lines().count() as u64, limit: 0 });
    };
    let limit = number(dir, "pids.max")?.filter(|limit| *limit != u64::MAX);
    Ok(PidsStats { current, limit: limit.unwrap_or(0) })
}

fn block_io(dir: &Path) -> Result<BlockIoStats> {
    let path = dir.join("io.stat");
    let text = files::read(&path)?.unwrap_or_default();
    let mut stats = BlockIoStats { psi: pressure(dir, "io.pressure")?, ..BlockIoStats::default() };
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let device = words.next().and_then(|device| device.split_once(':'));
        let Some((Ok(major), Ok(minor))) = device.map(|(major, minor)| (major.parse(), minor.parse())) else {
            continue;
        };
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            let (list, op) = match key {
                "rbytes" => (&mut stats.io_service_bytes_recursive, "Read"),
                "wbytes" => (&mut stats.io_service_bytes_recursive, "Write"),
                "rios" => (&mut stats.io_serviced_recursive, "Read"),
                "wios" => (&mut stats.io_serviced_recursive, "Write"),
                _ => continue,
            };
            let value = value.parse().map_err(|_| not_understood(&path))?;
            list.push(BlockIoEntry { major, minor, op: op.to_owned(), value });
        }
    }
    Ok(stats)
}

fn hugetlb(dir: &Path, size: &str) -> Result<Option<HugetlbStats>> {
    let usage = match number(dir, &format!("hugetlb.{size}.rsvd.current"))? {
        Some(usage) => Some(usage),
        None => number(dir, &format!("hugetlb.{size}.current"))?,
    };
    let Some(usage) = usage else { return Ok(None) };
    let events = numbers(dir, &format!("hugetlb.{size}.events"))?;
    Ok(Some(HugetlbStats { usage, max: 0, failcnt: events.get("max").copied().unwrap_or(0) }))
}

/// None: the kernel does not count it (CONFIG_PSI, `psi=1`, `cgroup.pressure`).
fn pressure(dir: &Path, file: &str) -> Result<Option<Pressure>> {
    let path = dir.join(file);
    let text = match files::read_raw(rustix::fs::CWD, &path) {
        Ok(text) => text,
        Err(errno) if files::is_gone(errno) || errno == rustix::io::Errno::OPNOTSUPP => return Ok(None),
        Err(errno) => return Err(files::cannot_read(&path, errno)),
    };
    let data = |kind: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(kind)).unwrap_or_default();
        let value = |name: &str| {
            line.split_ascii_whitespace()
                .find_map(|word| word.split_once('=').filter(|(key, _)| *key == name))
        };
        let share = |name: &str| value(name).and_then(|(_, value)| value.parse().ok()).unwrap_or(0.0);
        PressureData {
            avg10: share("avg10"),
            avg60: share("avg60"),
            avg300: share("avg300"),
            total: value("total").and_then(|(_, value)| value.parse().ok()).unwrap_or(0),
        }
    };
    Ok(Some(Pressure { some: data("some"), full: data("full") }))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;

    /// A folder with the files that a host with all controllers in v2 has.
    #[test]
    fn every_file_becomes_its_value_in_the_units_of_v1() {
        let temp = tempfile::tempdir().unwrap();
        let pressure = "some avg10=1.50 avg60=0.25 avg300=0.00 total=77\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=3\n";
        for (file, text) in [
            (
                "cpu.stat",
                "usage_usec 5\nuser_usec 3\nsystem_usec 2\nnr_periods 9\nnr_throttled 4\nthrottled_usec 6\n",
            ),
            ("cpu.pressure", pressure),
            ("memory.stat", "anon 100\nfile 200\n"),
            ("memory.current", "300\n"),
            ("memory.max", "1000\n"),
            ("memory.peak", "400\n"),
            ("memory.events", "low 0\nhigh 0\nmax 8\noom 1\noom_kill 1\n"),
            ("memory.swap.current", "50\n"),
            ("memory.swap.max", "500\n"),
            ("memory.swap.events", "high 0\nmax 2\nfail 0\n"),
            ("pids.current", "6\n"),
            ("pids.max", "max\n"),
            ("io.stat", "8:16 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n7:0\n"),
        ] {
            fs::write(temp.path().join(file), text).unwrap();
        }
        let stats = serde_json::to_value(read(temp.path()).unwrap()).unwrap();
        let psi = json!({
            "some": { "avg10": 1.5, "avg60": 0.25, "avg300": 0.0, "total": 77 },
            "full": { "avg10": 0.0, "avg60": 0.0, "avg300": 0.0, "total": 3 },
        });
        assert_eq!(
            stats["cpu"],
            json!({
                "usage": { "total": 5000, "kernel": 2000, "user": 3000 },
                "throttling": { "periods": 9, "throttledPeriods": 4, "throttledTime": 6000 },
                "psi": psi,
            })
        );
        assert_eq!(
            stats["memory"],
            json!({
                "cache": 200,
                "usage": { "limit": 1000, "usage": 300, "max": 400, "failcnt": 8 },
                "swap": { "limit": 1500, "usage": 350, "failcnt": 2 },
                "raw": { "anon": 100, "file": 200 },
            })
        );
        assert_eq!(stats["pids"], json!({ "current": 6 }));
        let entry = |op: &str, value: u64| json!({ "major": 8, "minor": 16, "op": op, "value": value });
        assert_eq!(stats["blkio"]["ioServiceBytesRecursive"], json!([entry("Read", 1), entry("Write", 2)]));
        assert_eq!(stats["blkio"]["ioServicedRecursive"], json!([entry("Read", 3), entry("Write", 4)]));
        fs::write(temp.path().join("memory.swap.max"), "max\n").unwrap();
        assert_eq!(read(temp.path()).unwrap().memory.swap.limit, u64::MAX);
    }

    #[test]
    fn huge_pages_count_reservations_where_they_can() {
        let temp = tempfile::tempdir().unwrap();
        assert_eq!(hugetlb(temp.path(), "2MB").unwrap(), None);
        fs::write(temp.path().join("hugetlb.2MB.current"), "4\n").unwrap();
        fs::write(temp.path().join("hugetlb.2MB.events"), "max 5\n").unwrap();
        let stats = |usage| Some(HugetlbStats { usage, max: 0, failcnt: 5 });
        assert_eq!(hugetlb(temp.path(), "2MB").unwrap(), stats(4));
        fs::write(temp.path().join("hugetlb.2MB.rsvd.current"), "6\n").unwrap();
        assert_eq!(hugetlb(temp.path(), "2MB").unwrap(), stats(6));
    }
}
