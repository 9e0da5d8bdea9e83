//! `linux.netDevices`: devices of the caller's network namespace that move into the container's.
//!
//! They move when all mounts are made, since a device in a namespace that dies with a failed create is lost where the
//! kernel does not own its hardware; before the hooks, which look at them, and before sysctls that name them.

use orlop_init::wire::message::Barrier;

use super::{
    Decisions,
    draft::Draft,
    namespaces::flags,
    step::{HostOp, When, Why},
};
use crate::Bundle;

/// `CAP_NET_ADMIN` (capabilities(7)).
const NET_ADMIN: u64 = 1 << 12;

/// Whether there are any.
pub(super) fn are_listed(bundle: &Bundle) -> bool {
    !bundle.fields().net_devices.is_empty()
}

/// One step for each device.
pub(super) fn move_in(decisions: &Decisions<'_>, draft: &mut Draft) {
    let devices = &decisions.bundle.fields().net_devices;
    if devices.is_empty() {
        return;
    }
    if !decisions.namespaces.is_private(flags::NETWORK) {
        let words = "would move within this host: the network namespace of the container is the caller's";
        draft.problem("linux.netDevices", words);
    }
    if decisions.host.credentials.effective & NET_ADMIN == 0 {
        let words =
            "network devices are not supported for rootless containers: moving one needs CAP_NET_ADMIN";
        draft.problem("linux.netDevices", words);
    }
    for device in devices {
        let op = HostOp::MoveNetDevice { name: device.name.clone(), name_inside: device.name_inside.clone() };
        draft.host(When::At(Barrier::Mounted), op, Why::config(&device.config_path));
    }
}
