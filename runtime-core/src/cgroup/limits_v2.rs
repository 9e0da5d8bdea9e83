//! Limits as cgroup v2 files: the values of v1 converted as engines and agents expect it of runc. Pure.

use std::collections::BTreeMap;

use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxResources, LinuxThrottleDevice};

use super::{
    limits::{IfMissing, Target},
    limits_v1::{device, write_cpuset, write_idle},
};

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
        if network.class_id().is_some_and(|class| class != 0) {
            target.problem("network.classID", "cgroup v2 has no net_cls controller");
        }
        if network.priorities().as_ref().is_some_and(|list| !list.is_empty()) {
            target.problem("network.priorities", "cgroup v2 has no net_prio controller");
        }
    }
}

/// −1 is no limit.
fn bytes(value: i64) -> String {
    if value < 0 { "max".to_owned() } else { value.to_string() }
}

fn convert_memory(memory: &LinuxMemory, target: &mut Target<'_>) {
    let limit = memory.limit().unwrap_or(0);
    if limit != 0 {
        target.write("memory.max", bytes(limit), "memory.limit");
        target.conversion.checks_memory_usage = limit > 0 && memory.check_before_update() == Some(true);
    }
    convert_swap(limit, memory.swap().unwrap_or(0), target);
    if let Some(reservation) = memory.reservation().filter(|bytes| *bytes != 0) {
        target.write("memory.low", bytes(reservation), "memory.reservation");
    }
    refuse_v1_memory(memory, target);
}

/// `swap` is memory and swap together; v2 has a limit for swap alone.
fn convert_swap(limit: i64, swap: i64, target: &mut Target<'_>) {
    // Kernels without swap accounting have no such file: harmless where there is no limit, or nothing to swap to.
    let mut write = |value: String, path: &str, if_missing| {
        target.write_or("memory.swap.max", value, path, if_missing);
    };
    match (limit, swap) {
        (-1, 0) => write("max".to_owned(), "memory.limit", IfMissing::Skip),
        (_, 0) => {}
        (_, -1) => write("max".to_owned(), "memory.swap", IfMissing::Skip),
        (-1, swap) => write(bytes(swap), "memory.swap", IfMissing::Refuse),
        (0, _) => target.problem(
            "memory.swap",
            "needs memory.limit: cgroup v2 limits swap alone, which is the difference",
        ),
        (limit, swap) if swap == limit => write("0".to_owned(), "memory.swap", IfMissing::Skip),
        (limit, swap) if swap > limit => write(bytes(swap - limit), "memory.swap", IfMissing::Refuse),
        // Below the limit: a problem in every layout.
        _ => {}
    }
}

/// What v2 does not have: refused where it asks for something, passed over where it says what v2 does anyway.
fn refuse_v1_memory(memory: &LinuxMemory, target: &mut Target<'_>) {
    if memory.kernel().is_some_and(|bytes| bytes > 0) {
        target.warn("memory.kernel", "is ignored: kernels since 5.4 have no such limit of their own");
    }
    if memory.kernel_tcp().is_some_and(|bytes| bytes > 0) {
        target.warn("memory.kernelTCP", "is ignored: cgroup v2 counts TCP buffers as memory");
    }
    if memory.swappiness().is_some() {
        target.problem("memory.swappiness", "cgroup v2 has no swappiness of its own");
    }
    if memory.disable_oom_killer() == Some(true) {
        target.problem("memory.disableOOMKiller", "cgroup v2 cannot do without the OOM killer");
    }
    if memory.use_hierarchy() == Some(false) {
        target.warn("memory.useHierarchy", "is ignored: cgroup v2 always limits what is below as well");
    }
}

fn convert_cpu(cpu: &LinuxCpu, target: &mut Target<'_>) {
    match cpu.shares().filter(|shares| *shares != 0) {
        Some(_) if cpu.idle() == Some(1) => {
            target.warn("cpu.shares", "is ignored: an idle cgroup has the lowest weight");
        }
        Some(shares) => target.write("cpu.weight", weight_of_shares(shares), "cpu.shares"),
        None => {}
    }
    let quota = cpu.quota().filter(|quota| *quota != 0);
    let period = cpu.period().filter(|period| *period != 0);
    if quota.is_some() || period.is_some() {
        let quota =
            quota.filter(|quota| *quota > 0).map_or_else(|| "max".to_owned(), |quota| quota.to_string());
        let value = match period {
            Some(period) => format!("{quota} {period}"),
            None => quota,
        };
        let path = if cpu.quota().is_some() { "cpu.quota" } else { "cpu.period" };
        target.write("cpu.max", value, path);
    }
    if let Some(burst) = cpu.burst() {
        let if_missing = if burst == 0 { IfMissing::Skip } else { IfMissing::Refuse };
        target.write_or("cpu.max.burst", burst, "cpu.burst", if_missing);
    }
    for (path, is_set) in [
        ("cpu.realtimeRuntime", cpu.realtime_runtime().is_some_and(|value| value != 0)),
        ("cpu.realtimePeriod", cpu.realtime_period().is_some_and(|value| value != 0)),
    ] {
        if is_set {
            target.problem(path, "cgroup v2 has no limits for realtime scheduling");
        }
    }
    write_idle(cpu, target);
    write_cpuset(cpu, target);
}

/// The weight that keeps 1024 shares, what most containers have, at the default of 100, and both ends of the ranges.
/// The formula of runc since 1.3.2 and crun since 1.23.
fn weight_of_shares(shares: u64) -> u64 {
    const MIN_SHARES: u64 = 2;
    const MAX_SHARES: u64 = 262_144;
    match shares {
        ..=MIN_SHARES => 1,
        MAX_SHARES.. => 10_000,
        _ => {
            let log = log2(shares);
            // The smallest weight whose decimal logarithm is this one; near enough for a whole number to be equal.
            let wanted = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0 - 1e-12;
            let (mut low, mut high) = (1, 10_000);
            while low < high {
                let middle = u64::midpoint(low, high);
                if log2(middle) / std::f64::consts::LOG2_10 < wanted {
                    low = middle + 1;
                } else {
                    high = middle;
                }
            }
            low
        }
    }
}

/// The binary logarithm of a number that is not 0: its bit length, then a binary digit for each squaring of the rest.
/// `f64::log2` is libm's, which a dynamically linked program would load at every start, for this one formula.
fn log2(number: u64) -> f64 {
    let whole = number.ilog2();
    #[expect(clippy::cast_precision_loss, reason = "at most 18 bits")]
    let mut rest = number as f64 / (1_u64 << whole) as f64;
    let (mut log, mut digit) = (f64::from(whole), 0.5);
    while digit > f64::EPSILON {
        rest *= rest;
        if rest >= 2.0 {
            rest /= 2.0;
            log += digit;
        }
        digit /= 2.0;
    }
    log
}

/// 10 to 1000 become 1 to 10000.
fn io_weight(weight: u16) -> u64 {
    1 + u64::from(weight).saturating_sub(10) * 9999 / 990
}

fn convert_block_io(io: &LinuxBlockIo, target: &mut Target<'_>) {
    if let Some(weight) = io.weight().filter(|weight| *weight != 0) {
        let missing = IfMissing::Instead { file: "io.weight", value: io_weight(weight).to_string() };
        target.write_or("io.bfq.weight", weight, "blockIO.weight", missing);
    }
    if io.leaf_weight().is_some_and(|weight| weight != 0) {
        target.problem("blockIO.leafWeight", "cgroup v2 has no weight for a cgroup's own processes");
    }
    for (index, entry) in io.weight_device().iter().flatten().enumerate() {
        let path = format!("blockIO.weightDevice[{index}]");
        let Some(device) = device(entry.major(), entry.minor(), &path, target) else { continue };
        if entry.leaf_weight().is_some_and(|weight| weight != 0) {
            target.problem(
                &format!("{path}.leafWeight"),
                "cgroup v2 has no weight for a cgroup's own processes",
            );
        }
        if let Some(weight) = entry.weight().filter(|weight| *weight != 0) {
            let missing =
                IfMissing::Instead { file: "io.weight", value: format!("{device} {}", io_weight(weight)) };
            target.write_or("io.bfq.weight", format!("{device} {weight}"), &path, missing);
        }
    }
    convert_throttles(io, target);
}

/// One line for each device with all its limits.
fn convert_throttles(io: &LinuxBlockIo, target: &mut Target<'_>) {
    let lists: [(&str, &str, &Option<Vec<LinuxThrottleDevice>>); 4] = [
        ("throttleReadBpsDevice", "rbps", io.throttle_read_bps_device()),
        ("throttleWriteBpsDevice", "wbps", io.throttle_write_bps_device()),
        ("throttleReadIOPSDevice", "riops", io.throttle_read_iops_device()),
        ("throttleWriteIOPSDevice", "wiops", io.throttle_write_iops_device()),
    ];
    let mut lines: BTreeMap<String, (String, String)> = BTreeMap::new();
    for (name, key, entries) in lists {
        for (index, entry) in entries.iter().flatten().enumerate() {
            let path = format!("blockIO.{name}[{index}]");
            let Some(device) = device(entry.major(), entry.minor(), &path, target) else { continue };
            // On v1 a rate of 0 takes a limit away.
            let rate = if entry.rate() == 0 { "max".to_owned() } else { entry.rate().to_string() };
            let (line, _) = lines.entry(device.clone()).or_insert_with(|| (device, path));
            line.push_str(&format!(" {key}={rate}"));
        }
    }
    for (line, path) in lines.into_values() {
        target.write("io.max", line, &path);
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::limits::{
            Layout,
            tests::{limits, shown},
        },
        *,
    };

    // spec: linux.memory.swap.without-limit linux.memory.kernel.not-recommended
    // spec: linux.memory.kerneltcp.not-recommended
    #[test]
    fn values_of_v1_are_converted() {
        let rows: &[(&str, &[&str])] = &[
            (r#"{"memory": {"limit": 4096}}"#, &["memory.max=4096"]),
            (r#"{"memory": {"limit": 0}}"#, &["?memory.limit"]),
            (r#"{"memory": {"limit": -1}}"#, &["memory.max=max", "memory.swap.max=max"]),
            (r#"{"memory": {"limit": 4096, "swap": 12288}}"#, &["memory.max=4096", "memory.swap.max=8192"]),
            (r#"{"memory": {"limit": 4096, "swap": 4096}}"#, &["memory.max=4096", "memory.swap.max=0"]),
            (r#"{"memory": {"limit": 4096, "swap": -1}}"#, &["memory.max=4096", "memory.swap.max=max"]),
            (r#"{"memory": {"limit": -1, "swap": 4096}}"#, &["memory.max=max", "memory.swap.max=4096"]),
            (r#"{"memory": {"swap": 4096}}"#, &["!memory.swap"]),
            (r#"{"memory": {"swap": -1}}"#, &["memory.swap.max=max"]),
            (r#"{"memory": {"reservation": 4096}}"#, &["memory.low=4096"]),
            (r#"{"memory": {"reservation": -1}}"#, &["memory.low=max"]),
            (
                r#"{"memory": {"kernel": 1, "useHierarchy": false}}"#,
                &["?memory.kernel", "?memory.useHierarchy"],
            ),
            (r#"{"memory": {"kernel": -1, "kernelTCP": -1, "useHierarchy": true}}"#, &[]),
            (r#"{"memory": {"kernelTCP": 1}}"#, &["?memory.kernelTCP"]),
            (r#"{"memory": {"swappiness": 60}}"#, &["!memory.swappiness"]),
            (r#"{"memory": {"disableOOMKiller": true}}"#, &["!memory.disableOOMKiller"]),
            (r#"{"memory": {"disableOOMKiller": false}}"#, &[]),
            (r#"{"cpu": {"shares": 0}}"#, &[]),
            (r#"{"cpu": {"shares": 1024}}"#, &["cpu.weight=100"]),
            (r#"{"cpu": {"quota": 50000, "period": 100000}}"#, &["cpu.max=50000 100000"]),
            (r#"{"cpu": {"quota": 50000}}"#, &["cpu.max=50000"]),
            (r#"{"cpu": {"period": 50000}}"#, &["cpu.max=max 50000"]),
            (r#"{"cpu": {"quota": -1, "period": 50000}}"#, &["cpu.max=max 50000"]),
            (r#"{"cpu": {"quota": 0, "period": 0}}"#, &[]),
            (r#"{"cpu": {"quota": 9000, "burst": 10}}"#, &["cpu.max=9000", "cpu.max.burst=10"]),
            (r#"{"cpu": {"realtimeRuntime": 95}}"#, &["!cpu.realtimeRuntime"]),
            (r#"{"cpu": {"realtimePeriod": 0}}"#, &[]),
            (r#"{"cpu": {"idle": 1, "shares": 100}}"#, &["cpu.idle=1", "?cpu.shares"]),
            (
                r#"{"cpu": {"idle": 0, "cpus": "0", "mems": "0-1"}}"#,
                &["cpu.idle=0", "cpuset.cpus=0", "cpuset.mems=0-1"],
            ),
            (r#"{"blockIO": {"weight": 0, "leafWeight": 0}}"#, &[]),
            (
                r#"{"blockIO": {"weight": 10, "leafWeight": 10}}"#,
                &["io.bfq.weight=10", "!blockIO.leafWeight"],
            ),
            (
                r#"{"blockIO": {"weightDevice": [{"major": 8, "minor": 0, "weight": 5}]}}"#,
                &["io.bfq.weight=8:0 5"],
            ),
            (
                r#"{"blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1}, {"major": 7, "minor": 1, "rate": 0}],
                    "throttleWriteBpsDevice": [{"major": 8, "minor": 0, "rate": 2}],
                    "throttleReadIOPSDevice": [{"major": 8, "minor": 0, "rate": 3}],
                    "throttleWriteIOPSDevice": [{"major": 8, "minor": 0, "rate": 4}]}}"#,
                &["io.max=7:1 rbps=max", "io.max=8:0 rbps=1 wbps=2 riops=3 wiops=4"],
            ),
            (r#"{"network": {"classID": 7}}"#, &["!network.classID"]),
            (r#"{"network": {"priorities": [{"name": "lo", "priority": 5}]}}"#, &["!network.priorities"]),
            (r#"{"network": {"priorities": []}}"#, &[]),
        ];
        for (json, expected) in rows {
            assert_eq!(shown(&limits(json), Layout::Unified), *expected, "{json}");
        }
    }

    #[test]
    fn shares_become_weights() {
        let rows = [
            (1, 1),
            (2, 1),
            (3, 2),
            (512, 59),
            (1024, 100),
            (2048, 174),
            (262_143, 10_000),
            (262_144, 10_000),
            (u64::MAX, 10_000),
        ];
        for (shares, weight) in rows {
            assert_eq!(weight_of_shares(shares), weight, "{shares}");
        }
        for shares in (3..10_000).chain((10_000..262_144).step_by(97)) {
            let log = f64::from(u32::try_from(shares).unwrap()).log2();
            let weight = 10_f64.powf((log * log + 125.0 * log) / 612.0 - 7.0 / 34.0).ceil();
            assert_eq!(weight_of_shares(shares).to_string(), weight.to_string(), "{shares}");
        }
    }

    #[test]
    fn block_weights_have_another_range() {
        for (weight, expected) in [(1, 1), (10, 1), (500, 4950), (1000, 10_000)] {
            assert_eq!(io_weight(weight), expected, "{weight}");
        }
    }

    #[test]
    fn check_before_update_is_for_real_limits() {
        for (limit, expected) in [(4096, true), (-1, false), (0, false)] {
            let json = format!(r#"{{"memory": {{"limit": {limit}, "checkBeforeUpdate": true}}}}"#);
            assert_eq!(limits(&json).convert(Layout::Unified).checks_memory_usage, expected, "{limit}");
        }
    }
}
