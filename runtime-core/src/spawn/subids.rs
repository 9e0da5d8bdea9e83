//! Why `newuidmap` or `newgidmap` refused, as far as /etc/subuid and /etc/subgid tell. The tools themselves may ask
//! elsewhere (`subid` in nsswitch.conf), so nothing is refused for what stands here.

use std::fs;

use super::id_maps::MapKind;
use crate::{host::IdRange, plan::step::IdMap};

/// What most likely helps.
pub(super) fn hint(kind: MapKind, maps: &[IdMap]) -> Option<String> {
    let (file, option) = match kind {
        MapKind::Uid => ("/etc/subuid", "--add-subuids"),
        MapKind::Gid => ("/etc/subgid", "--add-subgids"),
    };
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    if status.lines().any(|line| line.split_whitespace().eq(["NoNewPrivs:", "1"])) {
        return Some(
            "the caller runs with no_new_privs, under which the tool cannot gain its rights".to_owned(),
        );
    }
    let uid = rustix::process::getuid().as_raw();
    let own = match kind {
        MapKind::Uid => uid,
        MapKind::Gid => rustix::process::getgid().as_raw(),
    };
    // Read as files: no name service, which may be a network away.
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = name_of(&users, uid);
    let text = fs::read_to_string(file).unwrap_or_default();
    let ranges = ranges_of(&text, name, uid);
    let user = name.map_or_else(|| format!("uid {uid}"), str::to_owned);
    if ranges.is_empty() {
        return Some(format!(
            "{file} has no range for {user}; as root: usermod {option} 100000-165535 {user}"
        ));
    }
    let outside = maps.iter().find(|map| {
        let is_own = map.size == 1 && map.host_id == own;
        !is_own && !ranges.iter().any(|range| range.holds(map.host_id, map.size))
    })?;
    let has: Vec<String> = ranges.iter().map(|range| format!("{}:{}", range.first, range.size)).collect();
    Some(format!(
        "{file} gives {user} {}, and {}:{} is not in it",
        has.join(", "),
        outside.host_id,
        outside.size
    ))
}

/// passwd(5): name, password, uid, …
fn name_of(users: &str, uid: u32) -> Option<&str> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    })
}

/// subuid(5): login name or number, first id, count.
fn ranges_of(text: &str, name: Option<&str>, uid: u32) -> Vec<IdRange> {
    let range = |line: &str| {
        let mut fields = line.trim().split(':');
        let user = fields.next()?;
        let is_own = Some(user) == name || user.parse() == Ok(uid);
        let range = IdRange { first: fields.next()?.parse().ok()?, size: fields.next()?.parse().ok()? };
        is_own.then_some(range)
    };
    text.lines().filter_map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::{name_of, ranges_of};
    use crate::host::IdRange;

    #[test]
    fn ranges_are_found_by_name_and_by_number() {
        let text = "anna:100000:65536\nbert:200000:65536\n1000:300000:10\nanna:bad\n";
        let range = |first, size| IdRange { first, size };
        for (name, uid, expected) in [
            (Some("anna"), 1000, vec![range(100_000, 65_536), range(300_000, 10)]),
            (Some("bert"), 1001, vec![range(200_000, 65_536)]),
            (None, 7, Vec::new()),
        ] {
            assert_eq!(ranges_of(text, name, uid), expected, "{name:?}");
        }
        let users = "root:x:0:0::/root:/bin/sh\nbroken\nanna:x:1000:1000::/home/anna:/bin/sh\n";
        assert_eq!(name_of(users, 1000), Some("anna"));
        assert_eq!(name_of(users, 7), None);
    }
}
