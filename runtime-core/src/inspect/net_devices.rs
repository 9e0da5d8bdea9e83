//! Network devices of this host that the container gets.

use crate::{Bundle, Problem, error::errno_text, sys::rtnetlink::Rtnetlink};

/// Those that are not there.
pub(super) fn missing(bundle: &Bundle) -> Vec<Problem> {
    let devices = &bundle.fields().net_devices;
    if devices.is_empty() {
        return Vec::new();
    }
    let netlink = match Rtnetlink::open() {
        Ok(netlink) => netlink,
        Err(errno) => {
            let words = format!("cannot open an rtnetlink socket: {}", errno_text(errno.raw_os_error()));
            return vec![Problem::new("linux.netDevices", words)];
        }
    };
    let problem = |device: &crate::bundle::NetDevice| {
        let words = match netlink.link(&device.name) {
            Ok(Some(_)) => return None,
            Ok(None) => format!("this host has no network device {:?}", device.name),
            Err(errno) => format!("cannot look up {:?}: {}", device.name, errno_text(errno.raw_os_error())),
        };
        Some(Problem::new(&device.config_path, words))
    };
    devices.iter().filter_map(problem).collect()
}
