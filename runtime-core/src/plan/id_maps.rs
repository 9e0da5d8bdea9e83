//! Which user namespace the container runs in, and what of ids it knows.

use oci_spec::runtime::LinuxIdMapping;
use orlop_init::wire::message::Barrier;

use super::{
    Decisions,
    draft::Draft,
    namespaces::{Namespaces, flags},
    step::{HostOp, IdMap, MapWriter, When, Why},
};
use crate::host::Credentials;

/// What writing an id map asks for beside one's own id (user_namespaces(7)), as bits.
const CAP_SETGID: u64 = 1 << 6;
const CAP_SETUID: u64 = 1 << 7;

/// The container's user namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Users {
    /// The caller's.
    Callers,
    /// An existing one, whose maps were written by somebody else.
    Joined,
    /// A new one.
    New {
        uids: Vec<IdMap>,
        gids: Vec<IdMap>,
        /// A plain user may write a gid map only after giving up `setgroups(2)` (user_namespaces(7)).
        deny_setgroups: bool,
        uids_by: MapWriter,
        gids_by: MapWriter,
    },
}

impl Users {
    /// Whether it is another one than the caller's.
    pub(super) fn is_private(&self) -> bool {
        *self != Self::Callers
    }

    /// Whether a uid of the container exists; nothing is known of a joined namespace.
    pub(super) fn maps_uid(&self, uid: u32) -> bool {
        match self {
            Self::New { uids, .. } => host_id(uids, uid).is_some(),
            _ => true,
        }
    }

    /// Whether a gid of the container exists.
    pub(super) fn maps_gid(&self, gid: u32) -> bool {
        match self {
            Self::New { gids, .. } => host_id(gids, gid).is_some(),
            _ => true,
        }
    }

    /// The uid outside of the container's root, where it is another than inside.
    pub(super) fn host_root(&self) -> Option<u32> {
        match self {
            Self::New { uids, .. } => host_id(uids, 0),
            _ => None,
        }
    }

    /// Whether `setgroups(2)` works inside.
    pub(super) fn can_set_groups(&self) -> bool {
        !matches!(self, Self::New { deny_setgroups: true, .. })
    }
}

/// The id outside for one inside.
fn host_id(maps: &[IdMap], id: u32) -> Option<u32> {
    maps.iter().find_map(|map| {
        let offset = id.checked_sub(map.container_id)?;
        (offset < map.size).then(|| map.host_id.checked_add(offset))?
    })
}

/// Decides on the user namespace.
pub(super) fn plan_users(
    namespaces: &Namespaces,
    uids: &[LinuxIdMapping],
    gids: &[LinuxIdMapping],
    caller: &Credentials,
) -> Users {
    if namespaces.joined(flags::USER).is_some() {
        return Users::Joined;
    }
    if !namespaces.is_new(flags::USER) {
        return Users::Callers;
    }
    let map = |maps: &[LinuxIdMapping]| -> Vec<IdMap> {
        maps.iter()
            .map(|map| IdMap { container_id: map.container_id(), host_id: map.host_id(), size: map.size() })
            .collect()
    };
    let (uids, gids) = (map(uids), map(gids));
    let (uids_by, gids_by) =
        (writer(&uids, caller.euid, caller, CAP_SETUID), writer(&gids, caller.egid, caller, CAP_SETGID));
    // newgidmap does so itself where no range of the user's gives the right to set groups.
    let deny_setgroups = caller.effective & CAP_SETGID == 0 && gids_by == MapWriter::Host;
    Users::New { uids, gids, deny_setgroups, uids_by, gids_by }
}

fn writer(maps: &[IdMap], own: u32, caller: &Credentials, capability: u64) -> MapWriter {
    let is_own = matches!(maps, [one] if one.size == 1 && one.host_id == own);
    // No map at all is a problem of its own.
    match is_own || maps.is_empty() || caller.effective & capability != 0 {
        true => MapWriter::Host,
        false => MapWriter::Tool,
    }
}

/// Container root must exist: it owns what init makes.
pub(super) fn check_maps(users: &Users, draft: &mut Draft) {
    let Users::New { uids, gids, .. } = users else { return };
    for (name, maps) in [("linux.uidMappings", uids), ("linux.gidMappings", gids)] {
        if maps.is_empty() {
            let what = if name.contains("uid") { "UID" } else { "GID" };
            draft.problem(name, format!("a new user namespace requires at least one {what} mapping"));
        } else if host_id(maps, 0).is_none() {
            draft.problem(name, "container id 0 is not mapped, and the container is set up by its root");
        }
    }
}

/// The maps are written while init waits at its first barrier: it exists, and has done nothing in the namespace yet.
pub(super) fn write_maps(decisions: &Decisions<'_>, draft: &mut Draft) {
    let Users::New { uids, gids, deny_setgroups, uids_by, gids_by } = decisions.users.clone() else { return };
    let op = HostOp::WriteIdMaps { uids, gids, deny_setgroups, uids_by, gids_by };
    draft.host(When::At(Barrier::Placed), op, Why::config("linux.uidMappings"));
}
