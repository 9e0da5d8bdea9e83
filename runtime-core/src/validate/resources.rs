//! `linux.resources` without devices: values that no cgroup version can take. What only one of them can do is said by
//! `cgroup`, which knows the host.

use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory};

use super::linux;
use crate::{Bundle, Problem};

/// cpu.cfs_period_us of the kernel's scheduler documentation, in microseconds.
const CPU_PERIOD: std::ops::RangeInclusive<u64> = 1_000..=1_000_000;

/// Weights of the specification and of the block layer.
const IO_WEIGHT: std::ops::RangeInclusive<u16> = 10..=1000;

type Found = Vec<(String, String)>;

pub(super) fn check(bundle: &Bundle) -> Vec<Problem> {
    let Some(resources) = linux(bundle).and_then(|linux| linux.resources().as_ref()) else {
        return Vec::new();
    };
    let mut found = Found::new();
    resources.memory().iter().for_each(|memory| check_memory(memory, &mut found));
    resources.cpu().iter().for_each(|cpu| check_cpu(cpu, &mut found));
    resources.block_io().iter().for_each(|block_io| check_block_io(block_io, &mut found));
    for (index, limit) in bundle.fields().hugepage_limits.iter().enumerate() {
        if !is_page_size(&limit.page_size) {
            let words = format!("{:?} is no size such as 64KB, 2MB or 1GB", limit.page_size);
            found.push((format!("hugepageLimits[{index}].pageSize"), words));
        }
    }
    for name in bundle.fields().unified.keys() {
        if name.contains('/') || name == "." || name == ".." {
            found.push((format!("unified[{name:?}]"), "is not the name of a file in a cgroup".to_owned()));
        }
    }
    found.into_iter().map(|(at, words)| Problem::new(format!("linux.resources.{at}"), words)).collect()
}

fn check_memory(memory: &LinuxMemory, found: &mut Found) {
    for (name, value) in [
        ("limit", memory.limit()),
        ("reservation", memory.reservation()),
        ("swap", memory.swap()),
        ("kernel", memory.kernel()),
        ("kernelTCP", memory.kernel_tcp()),
    ] {
        if let Some(value) = value.filter(|value| *value < -1) {
            let words = format!("{value} is neither a number of bytes nor -1, no limit");
            found.push((format!("memory.{name}"), words));
        }
    }
    // 0 is "not set" for engines; swap counts memory and swap together.
    let limit = memory.limit().filter(|limit| *limit != 0);
    match (memory.swap().filter(|swap| *swap > 0), limit) {
        (Some(swap), None | Some(-1)) => {
            let words = format!("{swap} is a limit of memory and swap, which needs memory.limit");
            found.push(("memory.swap".to_owned(), words));
        }
        (Some(swap), Some(limit)) if swap < limit => {
            let words = format!("{swap} counts memory and swap, so it cannot be below memory.limit, {limit}");
            found.push(("memory.swap".to_owned(), words));
        }
        _ => {}
    }
    if let Some(swappiness) = memory.swappiness().filter(|swappiness| *swappiness > 100) {
        found.push(("memory.swappiness".to_owned(), format!("{swappiness} is not between 0 and 100")));
    }
}

fn check_cpu(cpu: &LinuxCpu, found: &mut Found) {
    let mut problem = |name: &str, words: String| found.push((format!("cpu.{name}"), words));
    if let Some(period) = cpu.period().filter(|period| *period != 0 && !CPU_PERIOD.contains(period)) {
        problem("period", format!("{period} is not between 1000 and 1000000 microseconds"));
    }
    let quota = cpu.quota().and_then(|quota| u64::try_from(quota).ok()).filter(|quota| *quota != 0);
    if let (Some(burst), Some(quota)) = (cpu.burst(), quota) {
        if burst > quota {
            problem("burst", format!("{burst} is above cpu.quota, {quota}"));
        }
    }
    if let Some(idle) = cpu.idle().filter(|idle| !matches!(idle, 0 | 1)) {
        problem("idle", format!("{idle} is neither 0 nor 1"));
    }
    for (name, list) in [("cpus", cpu.cpus()), ("mems", cpu.mems())] {
        if let Some(list) = list.as_deref().filter(|list| !is_list(list)) {
            problem(name, format!("{list:?} is no list of numbers and ranges such as 0-3,7"));
        }
    }
}

/// A list as the kernel reads it; empty leaves the set as it is.
fn is_list(list: &str) -> bool {
    let list = list.trim();
    list.is_empty() || list.split(',').all(is_range)
}

fn is_range(range: &str) -> bool {
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    // The kernel also takes strides: 0-15:2/4.
    let (last, stride) = last.split_once(':').unwrap_or((last, "1/1"));
    let number = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse::<u32>().ok()).flatten()
    };
    let is_stride = stride.split_once('/').is_some_and(|(used, group)| {
        number(used).zip(number(group)).is_some_and(|(used, group)| (1..=group).contains(&used))
    });
    is_stride && number(first.trim()).zip(number(last.trim())).is_some_and(|(first, last)| first <= last)
}

fn check_block_io(block_io: &LinuxBlockIo, found: &mut Found) {
    let mut check = |at: String, weight: Option<u16>| {
        if let Some(weight) = weight.filter(|weight| *weight != 0 && !IO_WEIGHT.contains(weight)) {
            found.push((format!("blockIO.{at}"), format!("{weight} is not between 10 and 1000")));
        }
    };
    check("weight".to_owned(), block_io.weight());
    check("leafWeight".to_owned(), block_io.leaf_weight());
    for (index, device) in block_io.weight_device().iter().flatten().enumerate() {
        check(format!("weightDevice[{index}].weight"), device.weight());
        check(format!("weightDevice[{index}].leafWeight"), device.leaf_weight());
    }
}

/// `2MB`: a number without leading zeroes, K, M or G, and B (config-linux.md, Huge page limits).
fn is_page_size(text: &str) -> bool {
    let number = ["KB", "MB", "GB"].into_iter().find_map(|unit| text.strip_suffix(unit));
    number.is_some_and(|number| {
        !number.is_empty() && !number.starts_with('0') && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::{is_list, is_page_size};

    #[test]
    fn lists_are_those_of_the_kernel() {
        for (list, is_right) in [
            ("", true),
            ("0", true),
            ("0-3,7", true),
            ("0, 2", true),
            ("0-15:2/4", true),
            ("3-1", false),
            ("0,", false),
            ("-1", false),
            ("+1", false),
            ("a", false),
            ("0-", false),
            ("0-15:4/2", false),
            ("99999999999", false),
        ] {
            assert_eq!(is_list(list), is_right, "{list:?}");
        }
    }

    #[test]
    fn page_sizes_have_a_unit() {
        for (text, is_right) in
            [("2MB", true), ("1GB", true), ("64KB", true), ("02MB", false), ("MB", false), ("2M", false)]
        {
            assert_eq!(is_page_size(text), is_right, "{text:?}");
        }
    }
}
