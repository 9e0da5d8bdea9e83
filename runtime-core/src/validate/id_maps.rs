//! `linux.uidMappings` and `linux.gidMappings`, by the rules of user_namespaces(7): what the kernel would refuse with a
//! bare EINVAL is told with the mapping that causes it.

use oci_spec::runtime::{LinuxIdMapping, LinuxNamespaceType};

use super::{linux, listed_namespaces};
use crate::{Bundle, Problem};

/// The kernel's limit of lines in a map since 4.15.
const MAX_LINES: usize = 340;

type FirstId = fn(&LinuxIdMapping) -> u32;

/// Neither inside nor outside may an id be mapped twice.
const SIDES: [(&str, FirstId); 2] =
    [("containerID", LinuxIdMapping::container_id), ("hostID", LinuxIdMapping::host_id)];

pub(super) fn check(bundle: &Bundle) -> Vec<Problem> {
    let Some(linux) = linux(bundle) else { return Vec::new() };
    let user = listed_namespaces(bundle).iter().find(|listed| listed.typ() == LinuxNamespaceType::User);
    let uids = linux.uid_mappings().as_deref().unwrap_or_default();
    let gids = linux.gid_mappings().as_deref().unwrap_or_default();
    let mut problems = Vec::new();
    for (at, what, maps) in [("linux.uidMappings", "UID", uids), ("linux.gidMappings", "GID", gids)] {
        match user {
            None if !maps.is_empty() => {
                let words = "needs a user namespace: add {\"type\": \"user\"} to linux.namespaces";
                problems.push(Problem::new(at, words));
            }
            Some(user) if user.path().is_none() && maps.is_empty() => {
                let words = format!("a new user namespace requires at least one {what} mapping");
                problems.push(Problem::new(at, words));
            }
            _ => problems.extend(check_map(at, maps)),
        }
    }
    problems
}

pub(super) fn check_map(at: &str, maps: &[LinuxIdMapping]) -> Vec<Problem> {
    let mut problems = Vec::new();
    if maps.len() > MAX_LINES {
        problems.push(Problem::new(at, format!("has {} mappings, Linux takes {MAX_LINES}", maps.len())));
        return problems;
    }
    for (index, map) in maps.iter().enumerate() {
        let at = |property: &str| format!("{at}[{index}]{property}");
        if map.size() == 0 {
            problems.push(Problem::new(at(".size"), "must be at least 1"));
            continue;
        }
        for (name, first) in SIDES {
            if first(map).checked_add(map.size()).is_none() {
                problems.push(Problem::new(at(".size"), format!("with {name} it goes beyond the last id")));
            }
            if let Some(other) = maps[..index].iter().position(|other| overlap(first, map, other)) {
                problems.push(Problem::new(
                    at(""),
                    format!("the range of {name} overlaps with that of [{other}]"),
                ));
            }
        }
    }
    problems
}

fn overlap(first: FirstId, a: &LinuxIdMapping, b: &LinuxIdMapping) -> bool {
    let end = |map: &LinuxIdMapping| u64::from(first(map)) + u64::from(map.size());
    u64::from(first(a)) < end(b) && u64::from(first(b)) < end(a)
}
