//! Devices and links in /dev: the default ones (config-linux.md, Default Devices; runtime-linux.md, Dev symbolic links)
//! and `linux.devices`.
//!
//! A node is made by mknod(2), or bound from the host where mknod is not allowed: in any user namespace but the initial
//! one. Nothing is done in a /dev that the configuration binds from the host.

use oci_spec::runtime::{LinuxDevice, LinuxDeviceType};
use orlop_init::wire::OwnedOp;

use super::{Decisions, draft::Draft, mounts::container_path, step::Why};

const S_IFIFO: u32 = 0o010_000;
const S_IFCHR: u32 = 0o020_000;
const S_IFBLK: u32 = 0o060_000;

/// Path, major and minor; all are character devices with mode 0666.
const DEFAULT: [(&str, u32, u32); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

const LINKS: [(&str, &str); 4] = [
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
];

/// Nodes and links, after the mounts so that they appear on a tmpfs at /dev.
pub(super) fn make_devices(decisions: &Decisions<'_>, draft: &mut Draft) {
    let dev_is_bound = decisions.mounts().iter().any(super::mounts::is_bind_of_dev);
    let listed = decisions.linux().and_then(|linux| linux.devices().as_deref()).unwrap_or_default();
    if !dev_is_bound {
        default_devices(listed, decisions.binds_devices(), draft);
    }
    for (index, device) in listed.iter().enumerate() {
        let path = container_path(device.path());
        // The first is a link to the container's own devpts, the second its terminal.
        let is_special = path == "/dev/ptmx" || path == "/dev/console";
        let is_the_hosts = dev_is_bound && path.starts_with("/dev/");
        if is_special || is_the_hosts {
            continue;
        }
        listed_device(index, device, decisions.binds_devices(), draft);
    }
    if dev_is_bound {
        return;
    }
    let why = Why::Always("every container has the standard links");
    draft.init(
        OwnedOp::Remove { path: c"/dev/ptmx".to_owned() },
        Why::Always("/dev/ptmx is the container's own"),
    );
    link(draft, "pts/ptmx", "/dev/ptmx", &why);
    LINKS.iter().for_each(|(points_to, path)| link(draft, points_to, path, &why));
}

fn link(draft: &mut Draft, points_to: &str, path: &str, why: &Why) {
    let op = OwnedOp::Symlink { points_to: draft.text("", points_to), path: draft.text("", path) };
    draft.init(op, why.clone());
}

fn default_devices(listed: &[LinuxDevice], bind: bool, draft: &mut Draft) {
    for (path, major, minor) in DEFAULT {
        if listed.iter().any(|device| container_path(device.path()) == path) {
            continue;
        }
        let node = Node { path, mode: S_IFCHR | 0o666, major, minor, uid: 0, gid: 0 };
        node.make("", bind, Why::Always("every container has the default devices"), draft);
    }
}

fn listed_device(index: usize, device: &LinuxDevice, bind: bool, draft: &mut Draft) {
    let at = format!("linux.devices[{index}]");
    let kind = match device.typ() {
        LinuxDeviceType::C | LinuxDeviceType::U => S_IFCHR,
        LinuxDeviceType::B => S_IFBLK,
        LinuxDeviceType::P => S_IFIFO,
        LinuxDeviceType::A => return draft.problem(format!("{at}.type"), "must be one of c, u, b, p"),
    };
    let mut number = |name: &str, value: i64| {
        u32::try_from(value).unwrap_or_else(|_| {
            draft.problem(format!("{at}.{name}"), format!("{value} is no device number"));
            0
        })
    };
    let (major, minor) = match kind {
        S_IFIFO => (0, 0),
        _ => (number("major", device.major()), number("minor", device.minor())),
    };
    let path = container_path(device.path());
    let node = Node {
        path: &path,
        // Engines put the file type into fileMode too.
        mode: kind | (device.file_mode().unwrap_or(0o666) & 0o7777),
        major,
        minor,
        uid: device.uid().unwrap_or(0),
        gid: device.gid().unwrap_or(0),
    };
    // Anybody may make a FIFO, and one bound from the host would be another thing than a new one.
    node.make(&at, bind && kind != S_IFIFO, Why::config(&at), draft);
}

struct Node<'a> {
    path: &'a str,
    mode: u32,
    major: u32,
    minor: u32,
    uid: u32,
    gid: u32,
}

impl Node<'_> {
    fn make(&self, at: &str, bind: bool, why: Why, draft: &mut Draft) {
        let path = draft.text(&format!("{at}.path"), self.path);
        let Self { mode, major, minor, uid, gid, .. } = *self;
        let op = if bind {
            super::bind_mounts::bind_op(path.clone(), path)
        } else {
            OwnedOp::DeviceNode { path, mode, major, minor, uid, gid }
        };
        draft.init(op, why);
    }
}
