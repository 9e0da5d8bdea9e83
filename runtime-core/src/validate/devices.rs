//! `linux.devices` and `linux.resources.devices`.

use oci_spec::runtime::{LinuxDevice, LinuxDeviceCgroup, LinuxDeviceType};

use super::{linux, why_not_absolute};
use crate::{Bundle, Problem};

/// Linux device numbers have 12 bits for the major and 20 for the minor (linux/kdev_t.h).
const MAX_MAJOR: i64 = (1 << 12) - 1;
const MAX_MINOR: i64 = (1 << 20) - 1;

pub(super) fn check(bundle: &Bundle) -> Vec<Problem> {
    let Some(linux) = linux(bundle) else { return Vec::new() };
    let devices = linux.devices().iter().flatten().enumerate();
    let rules =
        linux.resources().iter().flat_map(|resources| resources.devices().iter().flatten()).enumerate();
    devices
        .flat_map(|(index, device)| check_device(&format!("linux.devices[{index}]"), device))
        .chain(rules.flat_map(|(index, rule)| check_rule(&format!("linux.resources.devices[{index}]"), rule)))
        .collect()
}

fn check_device(at: &str, device: &LinuxDevice) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let Some(words) = why_not_absolute(device.path()) {
        problems.push(Problem::new(format!("{at}.path"), words));
    }
    if device.typ() != LinuxDeviceType::P {
        let numbers = [("major", device.major(), MAX_MAJOR), ("minor", device.minor(), MAX_MINOR)];
        problems
            .extend(numbers.into_iter().filter_map(|(name, number, max)| out_of(at, name, number, 0..=max)));
    }
    problems
}

fn check_rule(at: &str, rule: &LinuxDeviceCgroup) -> Vec<Problem> {
    let mut problems = Vec::new();
    // -1 is every number for runc, and what some producers write for it.
    let numbers = [("major", rule.major(), MAX_MAJOR), ("minor", rule.minor(), MAX_MINOR)];
    problems
        .extend(numbers.into_iter().filter_map(|(name, number, max)| out_of(at, name, number?, -1..=max)));
    let access = rule.access().as_deref().unwrap_or_default();
    if access.chars().any(|letter| !"rwm".contains(letter)) {
        let words = format!("{access:?} has other letters than r, w and m");
        problems.push(Problem::new(format!("{at}.access"), words));
    }
    problems
}

fn out_of(at: &str, name: &str, number: i64, range: std::ops::RangeInclusive<i64>) -> Option<Problem> {
    let words = || format!("{number} is not between {} and {}", range.start(), range.end());
    (!range.contains(&number)).then(|| Problem::new(format!("{at}.{name}"), words()))
}
