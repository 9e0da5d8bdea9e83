//! `linux.namespaces` and `linux.timeOffsets`.

use oci_spec::runtime::LinuxNamespaceType;

use super::{linux, listed_namespaces, why_not_absolute};
use crate::{Bundle, Problem};

/// timens_offsets of time_namespaces(7).
const CLOCKS: [&str; 2] = ["monotonic", "boottime"];
const NANOSECONDS: u32 = 1_000_000_000;

pub(super) fn check(bundle: &Bundle) -> Vec<Problem> {
    let listed = listed_namespaces(bundle);
    let mut problems = Vec::new();
    for (index, namespace) in listed.iter().enumerate() {
        let kind = namespace.typ();
        if listed[..index].iter().any(|earlier| earlier.typ() == kind) {
            let words = format!("malformed spec file: duplicated ns \"{}\"", namespace_name(kind));
            problems.push(Problem::new(format!("linux.namespaces[{index}]"), words));
        }
        if let Some(words) = namespace.path().as_deref().and_then(why_not_absolute) {
            problems.push(Problem::new(format!("linux.namespaces[{index}].path"), words));
        }
    }
    problems.extend(check_time_offsets(bundle));
    problems
}

fn check_time_offsets(bundle: &Bundle) -> Vec<Problem> {
    let offsets = linux(bundle).and_then(|linux| linux.time_offsets().as_ref());
    let Some(offsets) = offsets.filter(|offsets| !offsets.is_empty()) else { return Vec::new() };
    let mut problems = Vec::new();
    let is_new = listed_namespaces(bundle)
        .iter()
        .any(|namespace| namespace.typ() == LinuxNamespaceType::Time && namespace.path().is_none());
    if !is_new {
        problems.push(Problem::new("linux.timeOffsets", "needs a new time namespace in linux.namespaces"));
    }
    let mut clocks: Vec<_> = offsets.iter().collect();
    clocks.sort_by_key(|(clock, _)| *clock);
    for (clock, offset) in clocks {
        let at = format!("linux.timeOffsets.{clock}");
        if !CLOCKS.contains(&clock.as_str()) {
            problems.push(Problem::new(&at, "only monotonic and boottime have offsets"));
        }
        if let Some(nanosecs) = offset.nanosecs().filter(|nanosecs| *nanosecs >= NANOSECONDS) {
            problems
                .push(Problem::new(format!("{at}.nanosecs"), format!("{nanosecs} is not below a second")));
        }
    }
    problems
}

/// The type's name in config.json; the crate prints those of /proc.
pub(crate) fn namespace_name(kind: LinuxNamespaceType) -> &'static str {
    match kind {
        LinuxNamespaceType::Mount => "mount",
        LinuxNamespaceType::Cgroup => "cgroup",
        LinuxNamespaceType::Uts => "uts",
        LinuxNamespaceType::Ipc => "ipc",
        LinuxNamespaceType::User => "user",
        LinuxNamespaceType::Pid => "pid",
        LinuxNamespaceType::Network => "network",
        LinuxNamespaceType::Time => "time",
    }
}
