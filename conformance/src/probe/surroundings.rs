//! What surrounds the process: mounts, devices, paths that are usually hidden, sysctls, interfaces, other processes.

use std::{
    ffi::CString,
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::Path,
};

use crate::{
    facts::{line, link, number, read},
    json::Json,
    sys,
};

/// Paths that engines mask or make read-only; their state is told without being asked for.
const WATCHED: &str = "/proc/acpi /proc/asound /proc/bus /proc/fs /proc/interrupts /proc/irq /proc/kcore /proc/keys \
    /proc/kmsg /proc/latency_stats /proc/sched_debug /proc/scsi /proc/sys /proc/sysrq-trigger \
    /proc/timer_list /proc/timer_stats /sys/dev/block /sys/devices/virtual/powercap /sys/firmware \
    /sys/fs/selinux /sys/fs/cgroup";

/// Sysctls that are told without being asked for: those of the namespaces a container usually owns.
const SYSCTLS: &str = "kernel.hostname kernel.domainname kernel.msgmax kernel.shmmax net.ipv4.ip_forward \
    net.ipv4.ip_unprivileged_port_start";

fn unescape(field: &str) -> String {
    ["\\040", "\\011", "\\012", "\\134"]
        .into_iter()
        .zip([" ", "\t", "\n", "\\"])
        .fold(field.to_owned(), |text, (escape, plain)| text.replace(escape, plain))
}

pub(crate) fn mounts() -> Json {
    let Some(text) = read("/proc/self/mountinfo") else { return Json::Null };
    Json::list(text.lines().filter_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let before: Vec<&str> = before.split(' ').collect();
        let after: Vec<&str> = after.split(' ').collect();
        Some(Json::object([
            ("id", number(before.first().copied())),
            ("parent", number(before.get(1).copied())),
            ("device", before.get(2).copied().into()),
            ("root", unescape(before.get(3)?).into()),
            ("point", unescape(before.get(4)?).into()),
            ("options", Json::list(before.get(5)?.split(','))),
            ("propagation", Json::list(before.get(6..)?.iter().copied())),
            ("type", after.first().copied().into()),
            ("source", unescape(after.get(1)?).into()),
            ("super_options", Json::list(after.get(2).unwrap_or(&"").split(','))),
        ]))
    }))
}

pub(crate) fn devices() -> Json {
    let mut found = Vec::new();
    let mut folders = vec![std::path::PathBuf::from("/dev")];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
            if metadata.is_dir() && found.len() < 500 {
                folders.push(path.clone());
            }
            found.push((path.to_string_lossy().into_owned(), file(&path, &metadata)));
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Json::Object(found)
}

fn file(path: &Path, metadata: &fs::Metadata) -> Json {
    let kind = metadata.file_type();
    let name = match kind {
        _ if kind.is_symlink() => {
            return Json::object([("type", "link".into()), ("target", link(&path.to_string_lossy()))]);
        }
        _ if kind.is_dir() => "directory",
        _ if kind.is_char_device() => "char",
        _ if kind.is_block_device() => "block",
        _ if kind.is_fifo() => "fifo",
        _ if kind.is_socket() => "socket",
        _ => "file",
    };
    let mut facts = vec![
        ("type", name.into()),
        ("mode", format!("{:04o}", metadata.mode() & 0o7777).into()),
        ("uid", metadata.uid().into()),
        ("gid", metadata.gid().into()),
    ];
    if kind.is_char_device() || kind.is_block_device() {
        let device = metadata.rdev();
        let major = ((device >> 8) & 0xfff) | ((device >> 32) & !0xfff);
        let minor = (device & 0xff) | ((device >> 12) & !0xff);
        facts.push(("device", format!("{major}:{minor}").into()));
    }
    Json::object(facts)
}

fn asked_for<'a>(asked: &'a [String], kind: &'a str) -> impl Iterator<Item = &'a str> {
    asked.iter().filter_map(move |word| word.strip_prefix(kind)?.strip_prefix('='))
}

pub(crate) fn paths(asked: &[String]) -> Json {
    Json::object(
        WATCHED.split_whitespace().chain(asked_for(asked, "path")).map(|path| (path, path_state(path))),
    )
}

/// What is at a path: its type and owner, what reading gives, whether writing would be allowed.
fn path_state(path: &str) -> Json {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) => return Json::object([("missing", error.raw_os_error().into())]),
    };
    let read = if metadata.is_dir() {
        match fs::read_dir(path).map(Iterator::count) {
            Ok(0) => "empty".into(),
            Ok(_) => "entries".into(),
            Err(error) => Json::from(error.raw_os_error()),
        }
    } else {
        match fs::File::open(path).and_then(|mut file| io::Read::read(&mut file, &mut [0])) {
            Ok(0) => "empty".into(),
            Ok(_) => "content".into(),
            Err(error) => Json::from(error.raw_os_error()),
        }
    };
    let Ok(name) = CString::new(path) else { return Json::Null };
    // SAFETY: `name` is a string that ends with NUL and lives beyond the call.
    let result = unsafe { sys::access(name.as_ptr(), 2) };
    Json::object([
        ("file", file(Path::new(path), &metadata)),
        ("read", read),
        ("write_errno", sys::errno(result.into()).into()),
    ])
}

pub(crate) fn sysctls(asked: &[String]) -> Json {
    Json::object(SYSCTLS.split_whitespace().chain(asked_for(asked, "sysctl")).map(|name| {
        let path = if name.contains('/') { name.to_owned() } else { name.replace('.', "/") };
        (name, line(&format!("/proc/sys/{path}")))
    }))
}

/// Network interfaces with their flags (`IFF_UP` is 1, `IFF_LOOPBACK` 8, `IFF_RUNNING` 64).
pub(crate) fn interfaces() -> Json {
    let Some(text) = read("/proc/self/net/dev") else { return Json::Null };
    // SAFETY: takes numbers only.
    let socket = unsafe { sys::socket(sys::AF_INET, sys::SOCK_DGRAM | sys::O_CLOEXEC, 0) };
    let names = text.lines().skip(2).filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned()));
    let told = Json::object(names.map(|name| {
        let mut request = sys::IfReq { name: [0; 16], flags: 0, rest: [0; 22] };
        for (to, from) in request.name.iter_mut().take(15).zip(name.bytes()) {
            *to = from;
        }
        // SAFETY: SIOCGIFFLAGS reads and writes one `struct ifreq` of 40 bytes, which `request` is.
        let result = unsafe { sys::ioctl(socket, sys::SIOCGIFFLAGS, &raw mut request) };
        let flags = (result == 0).then_some(u32::from(request.flags));
        (name, flags.into())
    }));
    // SAFETY: the fd is this function's own; -1 is refused by the kernel.
    unsafe { sys::close(socket) };
    told
}

/// Pids that /proc shows.
pub(crate) fn processes() -> Json {
    let Ok(folder) = fs::read_dir("/proc") else { return Json::Null };
    let mut pids: Vec<i64> =
        folder.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    Json::list(pids)
}
