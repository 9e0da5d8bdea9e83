//! Which user namespace the container runs in, and what of ids it knows.

use oci_spec::runtime::{LinuxIdMapping, LinuxNamespaceType};
use orlop_init::wire::message::Barrier;

use super::{
    Decisions,
    draft::Draft,
    namespaces::{Namespaces, flags},
    step::{HostOp, IdMap, MapWriter, When, Why},
};
use crate::{
    Bundle,
    host::{Credentials, IdRange, UserNamespace},
    inspect::IdMaps,
};

/// What writing an id map asks for beside one's own id (user_namespaces(7)), as bits.
const CAP_SETGID: u64 = 1 << 6;
const CAP_SETUID: u64 = 1 << 7;

const CALLERS: &str =
    "the user namespace of the runtime, and linux.namespaces has none of the container's own";

/// The container's user namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Users {
    /// The caller's, with what it has of ids where it is not the initial one.
    Callers(Option<UserNamespace>),
    /// An existing one, whose maps were written by somebody else.
    Joined,
    /// An existing one, whose maps were read.
    Known { uids: Vec<IdMap>, gids: Vec<IdMap>, deny_setgroups: bool },
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
    /// Of an existing namespace.
    pub(super) fn known(maps: &IdMaps) -> Self {
        Self::Known { uids: lines(&maps.uids), gids: lines(&maps.gids), deny_setgroups: maps.deny_setgroups }
    }

    /// Whether it is another one than the caller's.
    pub(super) fn is_private(&self) -> bool {
        !matches!(self, Self::Callers(_))
    }

    /// Whether a uid of the container exists; nothing is known of a joined namespace.
    pub(super) fn maps_uid(&self, uid: u32) -> bool {
        match self {
            Self::New { uids, .. } | Self::Known { uids, .. } => host_id(uids, uid).is_some(),
            Self::Callers(Some(own)) => own.uids.iter().any(|range| range.holds(uid, 1)),
            _ => true,
        }
    }

    /// Whether a gid of the container exists.
    pub(super) fn maps_gid(&self, gid: u32) -> bool {
        match self {
            Self::New { gids, .. } | Self::Known { gids, .. } => host_id(gids, gid).is_some(),
            Self::Callers(Some(own)) => own.gids.iter().any(|range| range.holds(gid, 1)),
            _ => true,
        }
    }

    /// What says which uids there are.
    pub(super) fn uids_are_in(&self) -> &'static str {
        if self.is_private() { "linux.uidMappings" } else { CALLERS }
    }

    /// What says which gids there are.
    pub(super) fn gids_are_in(&self) -> &'static str {
        if self.is_private() { "linux.gidMappings" } else { CALLERS }
    }

    /// The uid outside of the container's root, where it is another than inside.
    pub(super) fn host_root(&self) -> Option<u32> {
        match self {
            Self::New { uids, .. } | Self::Known { uids, .. } => host_id(uids, 0),
            _ => None,
        }
    }

    /// Whether `setgroups(2)` works inside.
    pub(super) fn can_set_groups(&self) -> bool {
        match self {
            Self::New { deny_setgroups, .. } | Self::Known { deny_setgroups, .. } => !deny_setgroups,
            Self::Callers(own) => !own.as_ref().is_some_and(|own| own.denies_setgroups),
            Self::Joined => true,
        }
    }
}

fn lines(map: &[[u32; 3]]) -> Vec<IdMap> {
    let line = |&[container_id, host_id, size]: &[u32; 3]| IdMap { container_id, host_id, size };
    map.iter().map(line).collect()
}

/// The id outside for one inside.
pub(super) fn host_id(maps: &[IdMap], id: u32) -> Option<u32> {
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
    joined: Option<&IdMaps>,
    caller: &Credentials,
) -> Users {
    if namespaces.joined(flags::USER).is_some() {
        return joined.map_or(Users::Joined, Users::known);
    }
    if !namespaces.is_new(flags::USER) {
        return Users::Callers(caller.user_namespace.clone());
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
    let is_denied = caller.user_namespace.as_ref().is_some_and(|own| own.denies_setgroups);
    let deny_setgroups = is_denied || (caller.effective & CAP_SETGID == 0 && gids_by == MapWriter::Host);
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

/// Mappings beside the path of a namespace that has its own. Engines write both, and then they agree; where they do not,
/// files would belong to others than the configuration says.
pub(super) fn check_joined(bundle: &Bundle, joined: Option<&IdMaps>, draft: &mut Draft) {
    let Some(linux) = bundle.spec().linux() else { return };
    let listed = linux.namespaces().iter().flatten();
    let has_path = listed
        .filter(|listed| listed.typ() == LinuxNamespaceType::User)
        .any(|listed| listed.path().is_some());
    let sides = [("linux.uidMappings", linux.uid_mappings()), ("linux.gidMappings", linux.gid_mappings())];
    for (at, listed) in sides {
        let Some(listed) = listed.as_ref().filter(|listed| has_path && !listed.is_empty()) else { continue };
        let Some(joined) = joined else {
            draft.warning(
                at,
                "cannot be compared with the user namespace that is joined by its path, whose ids hold",
            );
            continue;
        };
        let own = if at == "linux.uidMappings" { &joined.uids } else { &joined.gids };
        let mut own = own.clone();
        let mut listed: Vec<_> =
            listed.iter().map(|map| [map.container_id(), map.host_id(), map.size()]).collect();
        own.sort_unstable();
        listed.sort_unstable();
        if own != listed {
            let words = "user namespaces enabled, but both namespace path and non-matching mapping specified -- you may \
                         only provide one";
            draft.problem(at, words);
        }
    }
}

/// Container root must exist: it owns what init makes. And what is mapped must exist outside.
pub(super) fn check_maps(decisions: &Decisions<'_>, draft: &mut Draft) {
    let Users::New { uids, gids, .. } = &decisions.users else { return };
    if let Some(own) = &decisions.host.credentials.user_namespace {
        check_host_ids("linux.uidMappings", uids, &own.uids, draft);
        check_host_ids("linux.gidMappings", gids, &own.gids, draft);
    }
    for (name, maps) in [("linux.uidMappings", uids), ("linux.gidMappings", gids)] {
        if maps.is_empty() {
            let what = if name.contains("uid") { "UID" } else { "GID" };
            draft.problem(name, format!("a new user namespace requires at least one {what} mapping"));
        } else if host_id(maps, 0).is_none() {
            draft.problem(name, "container id 0 is not mapped, and the container is set up by its root");
        }
    }
}

fn check_host_ids(name: &str, maps: &[IdMap], own: &[IdRange], draft: &mut Draft) {
    for (index, map) in maps.iter().enumerate() {
        if !own.iter().any(|range| range.holds(map.host_id, map.size)) {
            let has: Vec<String> =
                own.iter().map(|range| format!("{}+{}", range.first, range.size)).collect();
            draft.problem(
                format!("{name}[{index}].hostID"),
                format!(
                    "{}+{} is not in the user namespace of the runtime, which has {}",
                    map.host_id,
                    map.size,
                    has.join(", ")
                ),
            );
        }
    }
}

/// The maps are written while init waits at its first barrier: it exists, and has done nothing in the namespace yet.
pub(super) fn write_maps(decisions: &Decisions<'_>, draft: &mut Draft) {
    let Users::New { uids, gids, deny_setgroups, uids_by, gids_by } = decisions.users.clone() else { return };
    let op = HostOp::WriteIdMaps { uids, gids, deny_setgroups, uids_by, gids_by };
    draft.host(When::At(Barrier::Placed), op, Why::config("linux.uidMappings"));
}
