//! Settings of the container's namespaces that are files of procfs: sysctl and clock offsets.

use orlop_init::wire::OwnedOp;

use super::{Decisions, draft::Draft, namespaces::flags, step::Why};

/// After the hooks, which may have made the network devices that a key names; before the change of root, while an
/// unmasked procfs is still visible, without which a user namespace gets no new one.
pub(super) fn write_sysctls(decisions: &Decisions<'_>, draft: &mut Draft) {
    for (key, value) in &decisions.bundle.fields().sysctl {
        let at = format!("linux.sysctl[{key:?}]");
        let path = sysctl_path(key);
        if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            draft.problem(at, "is no name of a sysctl");
            continue;
        }
        let op = OwnedOp::Sysctl { key: draft.text(&at, path), value: draft.text(&at, value.as_str()) };
        draft.init(op, Why::Config(at));
    }
}

/// As sysctl(8): the first separator in the key is the separator, the other one belongs to names
/// (`net.ipv4.conf.eth0/100.forwarding`, `net/ipv4/conf/eth0.100/forwarding`).
fn sysctl_path(key: &str) -> String {
    match key.find(['.', '/']) {
        Some(at) if key[at..].starts_with('.') => key
            .chars()
            .map(|c| match c {
                '.' => '/',
                '/' => '.',
                c => c,
            })
            .collect(),
        _ => key.to_owned(),
    }
}

/// The clocks of a new time namespace, set before anybody is in it. clone3(2) does not make one that still has to be
/// set, so whoever may write the offsets unshares it: the launcher, or init where the caller is a plain user.
pub(super) fn make_time_namespace(decisions: &Decisions<'_>, draft: &mut Draft) {
    let offsets = decisions.linux().and_then(|linux| linux.time_offsets().as_ref());
    if !decisions.namespaces.is_new(flags::TIME) {
        if offsets.is_some_and(|offsets| !offsets.is_empty()) {
            draft.problem(
                "linux.timeOffsets",
                "time namespace offsets specified without a new time namespace",
            );
        }
        return;
    }
    let mut lines: Vec<String> = Vec::new();
    for (clock, offset) in offsets.into_iter().flatten() {
        if !matches!(clock.as_str(), "monotonic" | "boottime") {
            draft.problem(format!("linux.timeOffsets.{clock}"), "only monotonic and boottime have offsets");
        }
        lines.push(format!("{clock} {} {}\n", offset.secs().unwrap_or(0), offset.nanosecs().unwrap_or(0)));
    }
    lines.sort();
    draft.init(OwnedOp::Unshare { flags: flags::TIME }, Why::config("linux.namespaces"));
    let offsets = draft.text("linux.timeOffsets", lines.concat());
    draft.init(OwnedOp::TimeOffsets { offsets }, Why::config("linux.timeOffsets"));
}

#[cfg(test)]
mod tests {
    use super::sysctl_path;

    #[test]
    fn the_first_separator_of_a_sysctl_decides() {
        for (key, path) in [
            ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
            ("net/ipv4/ip_forward", "net/ipv4/ip_forward"),
            ("net.ipv4.conf.eth0/100.forwarding", "net/ipv4/conf/eth0.100/forwarding"),
            ("net/ipv4/conf/eth0.100/forwarding", "net/ipv4/conf/eth0.100/forwarding"),
            ("fs", "fs"),
        ] {
            assert_eq!(sysctl_path(key), path, "{key}");
        }
    }
}
