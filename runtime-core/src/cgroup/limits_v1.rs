//! Limits as cgroup v1 files. Pure.
//!
//! Files that bound each other (memory and memory+swap, quota, period and burst) are written in the order that suits
//! a new cgroup; `apply_limits.rs` tries again in another order where the old values stand in the way.

use oci_spec::runtime::{
    LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxNetwork, LinuxResources, LinuxThrottleDevice,
};

use super::limits::{IfMissing, Target};

pub(super) fn convert(resources: &LinuxResources, target: &mut Target<'_>) {
    if let Some(memory) = resources.memory() {
        convert_memory(memory, target);
    }
    if let Some(cpu) = resources.cpu() {
        convert_cpu(cpu, target);
    }
    if let Some(block_io) = resources.block_io() {
        convert_block_io(block_io, target);
    }
    if let Some(network) = resources.network() {
        convert_network(network, target);
    }
}

fn convert_memory(memory: &LinuxMemory, target: &mut Target<'_>) {
    let limit = memory.limit().unwrap_or(0);
    let swap = memory.swap().unwrap_or(0);
    if limit != 0 {
        target.write("memory.limit_in_bytes", limit, "memory.limit");
    }
    match swap {
        // Without a limit on memory there is none on both.
        0 if limit == -1 => {
            target.write_or("memory.memsw.limit_in_bytes", -1, "memory.limit", IfMissing::Skip);
        }
        0 => {}
        -1 => target.write_or("memory.memsw.limit_in_bytes", -1, "memory.swap", IfMissing::Skip),
        swap => target.write("memory.memsw.limit_in_bytes", swap, "memory.swap"),
    }
    if let Some(reservation) = memory.reservation().filter(|bytes| *bytes != 0) {
        target.write("memory.soft_limit_in_bytes", reservation, "memory.reservation");
    }
    if memory.kernel().is_some_and(|bytes| bytes > 0) {
        target.warn("memory.kernel", "is ignored: kernels since 5.4 have no such limit of their own");
    }
    if let Some(bytes) = memory.kernel_tcp().filter(|bytes| *bytes != 0) {
        target.write("memory.kmem.tcp.limit_in_bytes", bytes, "memory.kernelTCP");
    }
    match memory.swappiness() {
        Some(value) if value > 100 => {
            target.problem("memory.swappiness", format!("{value} is not within 0 to 100"))
        }
        Some(value) => target.write("memory.swappiness", value, "memory.swappiness"),
        None => {}
    }
    if memory.disable_oom_killer() == Some(true) {
        target.write("memory.oom_control", 1, "memory.disableOOMKiller");
    }
}

fn convert_cpu(cpu: &LinuxCpu, target: &mut Target<'_>) {
    let is_idle = cpu.idle() == Some(1);
    match cpu.shares().filter(|shares| *shares != 0) {
        Some(_) if is_idle => target.warn("cpu.shares", "is ignored: an idle cgroup has the lowest weight"),
        // The kernel would take the nearest bound in silence (`MIN_SHARES`, `MAX_SHARES` of its scheduler).
        Some(shares) if !(2..=262_144).contains(&shares) => {
            target.problem("cpu.shares", format!("{shares} is not within 2 to 262144"));
        }
        Some(shares) => target.write("cpu.shares", shares, "cpu.shares"),
        None => {}
    }
    if let Some(period) = cpu.period().filter(|period| *period != 0) {
        target.write("cpu.cfs_period_us", period, "cpu.period");
    }
    if let Some(quota) = cpu.quota().filter(|quota| *quota != 0) {
        target.write("cpu.cfs_quota_us", quota.max(-1), "cpu.quota");
    }
    if let Some(burst) = cpu.burst() {
        let if_missing = if burst == 0 { IfMissing::Skip } else { IfMissing::Refuse };
        target.write_or("cpu.cfs_burst_us", burst, "cpu.burst", if_missing);
    }
    if let Some(period) = cpu.realtime_period().filter(|period| *period != 0) {
        target.write("cpu.rt_period_us", period, "cpu.realtimePeriod");
    }
    if let Some(runtime) = cpu.realtime_runtime().filter(|runtime| *runtime != 0) {
        target.write("cpu.rt_runtime_us", runtime, "cpu.realtimeRuntime");
    }
    write_idle(cpu, target);
    write_cpuset(cpu, target);
}

pub(super) fn write_idle(cpu: &LinuxCpu, target: &mut Target<'_>) {
    match cpu.idle() {
        // Kernels before 5.15 are never idle.
        Some(0) => target.write_or("cpu.idle", 0, "cpu.idle", IfMissing::Skip),
        Some(1) => target.write("cpu.idle", 1, "cpu.idle"),
        _ => {}
    }
}

pub(super) fn write_cpuset(cpu: &LinuxCpu, target: &mut Target<'_>) {
    if let Some(cpus) = cpu.cpus().as_deref().filter(|cpus| !cpus.is_empty()) {
        target.write("cpuset.cpus", cpus, "cpu.cpus");
    }
    if let Some(mems) = cpu.mems().as_deref().filter(|mems| !mems.is_empty()) {
        target.write("cpuset.mems", mems, "cpu.mems");
    }
}

/// `8:16`, or a problem for numbers that no device has.
pub(super) fn device(major: i64, minor: i64, path: &str, target: &mut Target<'_>) -> Option<String> {
    match (u32::try_from(major), u32::try_from(minor)) {
        (Ok(major), Ok(minor)) => Some(format!("{major}:{minor}")),
        _ => {
            target.problem(path, format!("{major}:{minor} is no device"));
            None
        }
    }
}

fn convert_block_io(io: &LinuxBlockIo, target: &mut Target<'_>) {
    // CFQ, the scheduler of these files, went with 5.0; BFQ has files of its own.
    let instead = |file, value: u16| IfMissing::Instead { file, value: value.to_string() };
    if let Some(weight) = io.weight().filter(|weight| *weight != 0) {
        let missing = instead("blkio.weight", weight);
        target.write_or("blkio.bfq.weight", weight, "blockIO.weight", missing);
    }
    if let Some(weight) = io.leaf_weight().filter(|weight| *weight != 0) {
        target.write("blkio.leaf_weight", weight, "blockIO.leafWeight");
    }
    for (index, entry) in io.weight_device().iter().flatten().enumerate() {
        let path = format!("blockIO.weightDevice[{index}]");
        let Some(device) = device(entry.major(), entry.minor(), &path, target) else { continue };
        if let Some(weight) = entry.weight().filter(|weight| *weight != 0) {
            let line = format!("{device} {weight}");
            let missing = IfMissing::Instead { file: "blkio.weight_device", value: line.clone() };
            target.write_or("blkio.bfq.weight_device", line, &path, missing);
        }
        if let Some(weight) = entry.leaf_weight().filter(|weight| *weight != 0) {
            target.write("blkio.leaf_weight_device", format!("{device} {weight}"), &path);
        }
    }
    for (name, file, entries) in throttles(io) {
        for (index, entry) in entries.iter().enumerate() {
            let path = format!("blockIO.{name}[{index}]");
            if let Some(device) = device(entry.major(), entry.minor(), &path, target) {
                target.write(&format!("blkio.throttle.{file}"), format!("{device} {}", entry.rate()), &path);
            }
        }
    }
}

/// Name in the configuration, file after `blkio.throttle.`, entries.
type Throttle<'a> = (&'static str, &'static str, &'a [LinuxThrottleDevice]);

fn throttles(io: &LinuxBlockIo) -> [Throttle<'_>; 4] {
    [
        (
            "throttleReadBpsDevice",
            "read_bps_device",
            io.throttle_read_bps_device().as_deref().unwrap_or_default(),
        ),
        (
            "throttleWriteBpsDevice",
            "write_bps_device",
            io.throttle_write_bps_device().as_deref().unwrap_or_default(),
        ),
        (
            "throttleReadIOPSDevice",
            "read_iops_device",
            io.throttle_read_iops_device().as_deref().unwrap_or_default(),
        ),
        (
            "throttleWriteIOPSDevice",
            "write_iops_device",
            io.throttle_write_iops_device().as_deref().unwrap_or_default(),
        ),
    ]
}

fn convert_network(network: &LinuxNetwork, target: &mut Target<'_>) {
    if let Some(class) = network.class_id().filter(|class| *class != 0) {
        target.write("net_cls.classid", class, "network.classID");
    }
    for (index, entry) in network.priorities().iter().flatten().enumerate() {
        let line = format!("{} {}", entry.name(), entry.priority());
        target.write("net_prio.ifpriomap", line, &format!("network.priorities[{index}]"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::limits::{
        Layout,
        tests::{limits, shown},
    };

    #[test]
    fn values_go_to_the_files_of_v1() {
        let rows: &[(&str, &[&str])] = &[
            (r#"{"memory": {"limit": 4096}}"#, &["memory.limit_in_bytes=4096"]),
            (r#"{"memory": {"limit": 0, "swap": 0}}"#, &["?memory.limit", "?memory.swap"]),
            (r#"{"memory": {"limit": -1}}"#, &["memory.limit_in_bytes=-1", "memory.memsw.limit_in_bytes=-1"]),
            (
                r#"{"memory": {"limit": 4096, "swap": 8192, "reservation": 1024}}"#,
                &[
                    "memory.limit_in_bytes=4096",
                    "memory.memsw.limit_in_bytes=8192",
                    "memory.soft_limit_in_bytes=1024",
                ],
            ),
            (
                r#"{"memory": {"kernel": 5, "kernelTCP": 4096}}"#,
                &["memory.kmem.tcp.limit_in_bytes=4096", "?memory.kernel"],
            ),
            (r#"{"memory": {"swappiness": 0}}"#, &["memory.swappiness=0"]),
            (r#"{"memory": {"swappiness": 101}}"#, &["!memory.swappiness"]),
            (r#"{"memory": {"disableOOMKiller": true}}"#, &["memory.oom_control=1"]),
            (r#"{"memory": {"disableOOMKiller": false, "useHierarchy": true}}"#, &[]),
            (r#"{"cpu": {"shares": 0, "quota": 0, "period": 0}}"#, &[]),
            (
                r#"{"cpu": {"shares": 1024, "quota": 50000, "period": 100000, "burst": 10}}"#,
                &[
                    "cpu.shares=1024",
                    "cpu.cfs_period_us=100000",
                    "cpu.cfs_quota_us=50000",
                    "cpu.cfs_burst_us=10",
                ],
            ),
            (r#"{"cpu": {"shares": 1}}"#, &["!cpu.shares"]),
            (r#"{"cpu": {"shares": 262145}}"#, &["!cpu.shares"]),
            (r#"{"cpu": {"quota": -5}}"#, &["cpu.cfs_quota_us=-1"]),
            (r#"{"cpu": {"idle": 1, "shares": 2}}"#, &["cpu.idle=1", "?cpu.shares"]),
            (
                r#"{"cpu": {"realtimeRuntime": 95, "realtimePeriod": 100}}"#,
                &["cpu.rt_period_us=100", "cpu.rt_runtime_us=95"],
            ),
            (r#"{"cpu": {"cpus": "0-1", "mems": ""}}"#, &["cpuset.cpus=0-1"]),
            (r#"{"blockIO": {"weight": 0}}"#, &[]),
            (
                r#"{"blockIO": {"weight": 100, "leafWeight": 200}}"#,
                &["blkio.bfq.weight=100", "blkio.leaf_weight=200"],
            ),
            (
                r#"{"blockIO": {"weightDevice": [{"major": 8, "minor": 0, "weight": 5, "leafWeight": 6}]}}"#,
                &["blkio.bfq.weight_device=8:0 5", "blkio.leaf_weight_device=8:0 6"],
            ),
            (
                r#"{"blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 9}],
                    "throttleWriteIOPSDevice": [{"major": -8, "minor": 0, "rate": 9}]}}"#,
                &["blkio.throttle.read_bps_device=8:0 9", "!blockIO.throttleWriteIOPSDevice[0]"],
            ),
            (
                r#"{"network": {"classID": 7, "priorities": [{"name": "lo", "priority": 5}]}}"#,
                &["net_cls.classid=7", "net_prio.ifpriomap=lo 5"],
            ),
        ];
        for (json, expected) in rows {
            assert_eq!(shown(&limits(json), Layout::Legacy), *expected, "{json}");
            assert_eq!(shown(&limits(json), Layout::Hybrid), *expected, "{json}");
        }
    }
}
