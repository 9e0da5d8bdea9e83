//! Namespaces that the container joins: opened, their type and owner asked from the kernel, compared with the caller's.

use std::os::fd::{AsFd, OwnedFd};

use oci_spec::runtime::{LinuxNamespace, LinuxNamespaceBuilder, LinuxNamespaceType};
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};

use super::JoinedNamespace;
use crate::{
    Bundle, Problem,
    error::errno_text,
    sys::nsfs,
    validate::{Scope, listed_namespaces, namespace_name, scope_of_sysctl},
};

/// Opens every namespace that is joined by path.
pub(super) fn open_namespaces(bundle: &Bundle, problems: &mut Vec<Problem>) -> Vec<JoinedNamespace> {
    let mut found = Vec::new();
    for (index, namespace) in listed_namespaces(bundle).iter().enumerate() {
        if namespace.path().is_none() {
            continue;
        }
        match open_namespace(index, namespace) {
            Ok(joined) => found.push(joined),
            Err(words) => problems.push(Problem::new(format!("linux.namespaces[{index}].path"), words)),
        }
    }
    found
}

/// The mount namespaces of the processes by whose entry in /proc pid namespaces are joined (`/proc/PID/ns/pid`): they
/// have a procfs of it, most likely. One that cannot be opened is none.
pub(super) fn open_members_mounts(joined: &[JoinedNamespace]) -> Vec<JoinedNamespace> {
    let pids = joined.iter().filter(|joined| joined.kind == LinuxNamespaceType::Pid as u32 && !joined.is_own);
    pids.filter_map(|joined| {
        let number = joined.path.strip_prefix("/proc").ok()?.to_str()?.strip_suffix("/ns/pid")?;
        let path = format!("/proc/{}/ns/mnt", number.parse::<u32>().ok()?);
        let mounts =
            LinuxNamespaceBuilder::default().typ(LinuxNamespaceType::Mount).path(path).build().ok()?;
        open_namespace(joined.index, &mounts).ok()
    })
    .collect()
}

fn open_namespace(index: usize, namespace: &LinuxNamespace) -> Result<JoinedNamespace, String> {
    let path = namespace.path().clone().unwrap_or_default();
    let kind = namespace.typ() as u32;
    let failed = |what: &str, errno: Errno| {
        format!("{what} namespace path {path:?}: {}", errno_text(errno.raw_os_error()))
    };
    // O_NONBLOCK: the path may be a FIFO, whose open would wait for a writer.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let fd = rustix::fs::open(&path, flags, Mode::empty()).map_err(|errno| failed("cannot open", errno))?;
    if !nsfs::is_namespace(fd.as_fd()).map_err(|errno| failed("cannot look at", errno))? {
        return Err(format!("namespace path {path:?} is no namespace"));
    }
    let found = nsfs::kind_of(fd.as_fd()).map_err(|errno| failed("cannot tell the type of", errno))?;
    if found != kind {
        return Err(format!(
            "namespace path {path:?} is of type {}, expected {}",
            kind_name(found),
            kind_name(kind)
        ));
    }
    let owner = nsfs::owner_of(fd.as_fd()).map_err(|errno| failed("cannot tell the owner of", errno))?;
    let is_own = same(&fd, own_entry(namespace.typ())).map_err(|errno| failed("cannot compare", errno))?;
    let is_owned = match &owner {
        Some(owner) => same(owner, "user").map_err(|errno| failed("cannot compare the owner of", errno))?,
        None => false,
    };
    Ok(JoinedNamespace { index, kind, path, fd: Some(fd), is_own, owned_by_callers_user_namespace: is_owned })
}

/// The entry of /proc/thread-self/ns for the namespace that a child of the calling thread is born in.
fn own_entry(kind: LinuxNamespaceType) -> &'static str {
    match kind {
        LinuxNamespaceType::Mount => "mnt",
        LinuxNamespaceType::Cgroup => "cgroup",
        LinuxNamespaceType::Uts => "uts",
        LinuxNamespaceType::Ipc => "ipc",
        LinuxNamespaceType::User => "user",
        LinuxNamespaceType::Pid => "pid_for_children",
        LinuxNamespaceType::Network => "net",
        LinuxNamespaceType::Time => "time_for_children",
    }
}

/// Whether a namespace of this kind is the one that a child of the calling thread is born in.
pub(super) fn is_own(namespace: &rustix::fs::Stat, kind: LinuxNamespaceType) -> Result<bool, Errno> {
    is_entry(namespace, own_entry(kind))
}

fn same(namespace: &OwnedFd, entry: &str) -> Result<bool, Errno> {
    is_entry(&rustix::fs::fstat(namespace)?, entry)
}

/// Whether a namespace is the caller's (device and inode, namespaces(7)).
fn is_entry(namespace: &rustix::fs::Stat, entry: &str) -> Result<bool, Errno> {
    let own = match rustix::fs::stat(format!("/proc/thread-self/ns/{entry}")) {
        Ok(own) => own,
        // The pid namespace for children has no process yet, so nothing else can be it.
        Err(Errno::NOENT) => return Ok(false),
        Err(errno) => return Err(errno),
    };
    Ok((own.st_dev, own.st_ino) == (namespace.st_dev, namespace.st_ino))
}

fn kind_name(kind: u32) -> &'static str {
    use LinuxNamespaceType::{Cgroup, Ipc, Mount, Network, Pid, Time, User, Uts};
    [Mount, Cgroup, Uts, Ipc, User, Pid, Network, Time]
        .into_iter()
        .find(|known| *known as u32 == kind)
        .map_or("foreign", namespace_name)
}

/// Settings of a namespace that turned out to be the caller's own: they would change this host.
pub(super) fn check_settings_of_own(bundle: &Bundle, joined: &[JoinedNamespace]) -> Vec<Problem> {
    let is_own =
        |kind: LinuxNamespaceType| joined.iter().any(|joined| joined.is_own && joined.kind == kind as u32);
    let mut problems = Vec::new();
    let named = [("hostname", bundle.spec().hostname()), ("domainname", bundle.spec().domainname())];
    for (name, value) in named {
        if value.as_ref().is_some_and(|value| !value.is_empty()) && is_own(LinuxNamespaceType::Uts) {
            problems.push(Problem::new(
                name,
                "would change the name of this host: the uts namespace is the caller's",
            ));
        }
    }
    for key in bundle.fields().sysctl.keys() {
        if let Scope::Namespace(kind) = scope_of_sysctl(key) {
            if is_own(kind) {
                problems.push(Problem::new(
                    format!("linux.sysctl[{key:?}]"),
                    format!("would change this host: the {} namespace is the caller's", namespace_name(kind)),
                ));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader},
        process::{Child, Command, Stdio},
    };

    use serde_json::{Value, json};

    use super::{check_settings_of_own, open_namespaces};
    use crate::{Bundle, default_spec};

    fn with_namespaces(namespaces: Value) -> Bundle {
        let mut config = default_spec(false);
        config["linux"]["namespaces"] = namespaces;
        config["linux"]["sysctl"] = json!({"net.core.somaxconn": "1", "kernel.sem": "1"});
        Bundle::from_json(config.to_string().as_bytes(), "/bundle").unwrap()
    }

    #[test]
    fn own_namespaces_are_recognized() {
        let bundle = with_namespaces(json!([
            {"type": "pid", "path": "/proc/self/ns/pid"},
            {"type": "mount"},
            {"type": "network", "path": "/proc/self/ns/net"},
            {"type": "uts", "path": "/proc/self/ns/uts"},
        ]));
        let mut problems = Vec::new();
        let found = open_namespaces(&bundle, &mut problems);
        assert_eq!(problems, []);
        let facts: Vec<_> = found.iter().map(|found| (found.index, found.kind, found.is_own)).collect();
        assert_eq!(facts, [(0, 0x2000_0000, true), (2, 0x4000_0000, true), (3, 0x0400_0000, true)]);
        assert!(found.iter().all(|found| found.fd.is_some()));
        let paths: Vec<_> =
            check_settings_of_own(&bundle, &found).into_iter().map(|problem| problem.config_path).collect();
        assert_eq!(paths, ["hostname", "linux.sysctl[\"net.core.somaxconn\"]"]);
    }

    /// A process in new user and network namespaces; it ends when its input does. None where nobody may make one.
    fn process_in_new_namespaces() -> Option<Child> {
        let mut child = Command::new("unshare")
            .args(["--user", "--net", "sh", "-c", "echo ready; cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take()?).read_line(&mut line).ok()?;
        (line == "ready\n").then_some(child)
    }

    #[test]
    fn the_owner_of_a_namespace_is_asked_from_the_kernel() {
        let Some(mut child) = process_in_new_namespaces() else {
            #[expect(clippy::print_stderr, reason = "a skipped test says so")]
            {
                eprintln!("skipped: unshare(1) is missing or may not make a user namespace");
            }
            return;
        };
        let path = |kind: &str| format!("/proc/{}/ns/{kind}", child.id());
        let bundle = with_namespaces(json!([
            {"type": "network", "path": path("net")},
            {"type": "user", "path": path("user")},
            {"type": "ipc", "path": path("ipc")},
        ]));
        let mut problems = Vec::new();
        let found = open_namespaces(&bundle, &mut problems);
        child.stdin.take();
        child.wait().unwrap();
        assert_eq!(problems, []);
        let facts: Vec<_> =
            found.iter().map(|found| (found.is_own, found.owned_by_callers_user_namespace)).collect();
        assert_eq!(facts[..2], [(false, false), (false, true)]);
        assert!(facts[2].0);
    }

    #[test]
    fn what_is_no_such_namespace_is_told_with_its_place() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let fifo = tempfile::tempdir().unwrap();
        let fifo = fifo.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for (path, words) in [
            (
                "/nonexistent/ns",
                "cannot open namespace path \"/nonexistent/ns\": no such file or directory".to_owned(),
            ),
            (
                "/proc/self/ns/ipc",
                "namespace path \"/proc/self/ns/ipc\" is of type ipc, expected network".to_owned(),
            ),
            (file.path().to_str().unwrap(), format!("namespace path {:?} is no namespace", file.path())),
            (fifo.to_str().unwrap(), format!("namespace path {fifo:?} is no namespace")),
        ] {
            let bundle = with_namespaces(json!([{"type": "mount"}, {"type": "network", "path": path}]));
            let mut problems = Vec::new();
            assert!(open_namespaces(&bundle, &mut problems).is_empty());
            assert_eq!(problems.len(), 1);
            assert_eq!(problems[0].to_string(), format!("linux.namespaces[1].path: {words}"));
        }
    }
}
