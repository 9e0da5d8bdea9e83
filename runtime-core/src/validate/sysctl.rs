//! `linux.sysctl`: only settings of namespaces that the container does not share with the caller.

use std::borrow::Cow;

use oci_spec::runtime::LinuxNamespaceType as Kind;

use super::{has_namespace, namespace_name};
use crate::{Bundle, Problem};

/// What a kernel setting belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Each namespace of this kind has its own.
    Namespace(Kind),
    /// The whole machine has one.
    Machine,
}

/// System V IPC limits (ipc_namespaces(7)).
const IPC: &[&str] = &[
    "auto_msgmni",
    "msg_next_id",
    "msgmax",
    "msgmnb",
    "msgmni",
    "sem",
    "sem_next_id",
    "shm_next_id",
    "shm_rmid_forced",
    "shmall",
    "shmmax",
    "shmmni",
];

/// What a key belongs to. Settings of the machine are those that no namespace is known to have.
pub(crate) fn scope_of_sysctl(key: &str) -> Scope {
    let path = path_of(key);
    match path.split_once('/') {
        Some(("net", _)) => Scope::Namespace(Kind::Network),
        Some(("fs", name)) if name.starts_with("mqueue/") => Scope::Namespace(Kind::Ipc),
        Some(("kernel", name)) if IPC.contains(&name) => Scope::Namespace(Kind::Ipc),
        Some(("kernel", "hostname" | "domainname")) => Scope::Namespace(Kind::Uts),
        // Counted per user namespace (namespaces(7), /proc/sys/user).
        Some(("user", _)) => Scope::Namespace(Kind::User),
        _ => Scope::Machine,
    }
}

/// A key as a path below /proc/sys. As sysctl(8): the first separator in the key is the separator, the other one
/// belongs to names (`net.ipv4.conf.eth0/100.forwarding`).
fn path_of(key: &str) -> Cow<'_, str> {
    match key.find(['.', '/']) {
        Some(at) if key[at..].starts_with('.') => {
            let swap = |c| match c {
                '.' => '/',
                '/' => '.',
                c => c,
            };
            key.chars().map(swap).collect()
        }
        _ => key.into(),
    }
}

pub(super) fn check(bundle: &Bundle) -> Vec<Problem> {
    let keys = bundle.fields().sysctl.keys();
    keys.filter_map(|key| Some(Problem::new(format!("linux.sysctl[{key:?}]"), why_not(bundle, key)?)))
        .collect()
}

fn why_not(bundle: &Bundle, key: &str) -> Option<String> {
    let path = path_of(key);
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Some("is no name of a sysctl".to_owned());
    }
    let is_set = |name: &Option<String>| name.as_ref().is_some_and(|name| !name.is_empty());
    let rival = match &*path {
        "kernel/hostname" if is_set(bundle.spec().hostname()) => Some("hostname"),
        "kernel/domainname" if is_set(bundle.spec().domainname()) => Some("domainname"),
        _ => None,
    };
    match (scope_of_sysctl(key), rival) {
        (_, Some(rival)) => Some(format!("contradicts {rival}, which is set too")),
        (Scope::Machine, _) => Some("is a setting of the whole machine, not of a namespace".to_owned()),
        (Scope::Namespace(kind), _) if !has_namespace(bundle, kind) => Some(format!(
            "is a setting of the {} namespace, which the container shares with the host",
            namespace_name(kind)
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use oci_spec::runtime::LinuxNamespaceType as Kind;
    use serde_json::json;

    use super::{Scope, check, scope_of_sysctl};
    use crate::{Bundle, default_spec};

    #[test]
    fn keys_belong_to_namespaces() {
        for (key, scope) in [
            ("net.ipv4.ip_forward", Scope::Namespace(Kind::Network)),
            ("net/ipv4/conf/eth0.100/forwarding", Scope::Namespace(Kind::Network)),
            ("kernel.shmmax", Scope::Namespace(Kind::Ipc)),
            ("kernel/sem", Scope::Namespace(Kind::Ipc)),
            ("fs.mqueue.msg_max", Scope::Namespace(Kind::Ipc)),
            ("kernel.domainname", Scope::Namespace(Kind::Uts)),
            ("user.max_net_namespaces", Scope::Namespace(Kind::User)),
            ("kernel.core_pattern", Scope::Machine),
            ("kernel.sem.x", Scope::Machine),
            ("vm.overcommit_memory", Scope::Machine),
            ("network.x", Scope::Machine),
            ("net", Scope::Machine),
        ] {
            assert_eq!(scope_of_sysctl(key), scope, "{key}");
        }
    }

    #[test]
    fn settings_of_the_host_are_refused() {
        let mut config = default_spec(false);
        for (key, words) in [
            ("net.core.somaxconn", None),
            ("kernel.msgmax", Some("ipc namespace, which the container shares")),
            ("kernel.hostname", Some("contradicts hostname")),
            ("kernel.domainname", None),
            ("kernel.core_pattern", Some("whole machine")),
            ("net/../kernel/core_pattern", Some("is no name of a sysctl")),
            ("net.ipv4..x", Some("is no name of a sysctl")),
            ("net.", Some("is no name of a sysctl")),
        ] {
            config["linux"]["namespaces"] = json!([{"type": "network"}, {"type": "uts", "path": "/ns"}]);
            config["linux"]["sysctl"] = json!({key: "1"});
            let bundle = Bundle::from_json(config.to_string().as_bytes(), "/bundle").unwrap();
            let found = check(&bundle);
            assert_eq!(found.is_empty(), words.is_none(), "{key}: {found:?}");
            assert!(found.iter().all(|problem| problem.message.contains(words.unwrap())), "{key}: {found:?}");
        }
    }
}
