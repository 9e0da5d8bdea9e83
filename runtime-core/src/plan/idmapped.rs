//! Id maps of mounts: `uidMappings` and `gidMappings` of an entry, the mappings in its `idmap=…` option, or those of the
//! container's user namespace.
//!
//! The kernel takes a mount's map from a user namespace (`MOUNT_ATTR_IDMAP`), so the host makes one for each different
//! pair of maps; nobody ever lives in it.

use oci_spec::runtime::{LinuxIdMapping, Mount};
use orlop_init::wire::{OwnedOp, Slot};

use super::{
    Decisions,
    draft::Draft,
    id_maps::Users,
    mount_options::{Idmap, MountOptions},
    namespaces::{Namespaces, flags},
    step::{HostOp, IdMap, When, Why},
};
use crate::host::Credentials;

/// Where a map comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    /// A user namespace made for it.
    Maps { uids: Vec<IdMap>, gids: Vec<IdMap> },
    /// The user namespace that the container joins.
    Joined,
}

/// The id map of one mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MountMap {
    /// The user namespace.
    pub(super) slot: Slot,
    /// Of all mounts below too.
    pub(super) recursive: bool,
}

impl MountMap {
    pub(super) const NONE: Self = Self { slot: Slot::NONE, recursive: false };
}

/// What is decided about the id maps of all mounts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct MountMaps {
    /// The different ones, with the JSON path of the first mount that has it.
    sources: Vec<(String, Source)>,
    /// By the place in `mounts`: which source, recursive or not.
    of_mounts: Vec<Option<(usize, bool)>>,
    first_slot: u32,
}

impl MountMaps {
    /// How many slots are needed, and from which number on they are.
    pub(super) fn take_slots(&mut self, first: u32) -> u32 {
        self.first_slot = first;
        u32::try_from(self.sources.len()).unwrap_or(u32::MAX)
    }

    /// The map of the mount at this place.
    pub(super) fn of_mount(&self, index: usize) -> MountMap {
        match self.of_mounts.get(index) {
            Some(Some((source, recursive))) => MountMap { slot: self.slot(*source), recursive: *recursive },
            _ => MountMap::NONE,
        }
    }

    fn slot(&self, source: usize) -> Slot {
        Slot(self.first_slot + u32::try_from(source).unwrap_or(u32::MAX))
    }
}

/// Finds the map of each mount that asks for one.
pub(super) fn plan_maps(
    mounts: &[Mount],
    users: &Users,
    caller: &Credentials,
    draft: &mut Draft,
) -> MountMaps {
    let mut maps = MountMaps::default();
    for (index, mount) in mounts.iter().enumerate() {
        let at = format!("mounts[{index}]");
        let option = MountOptions::parse(mount.options().as_deref().unwrap_or_default()).idmap;
        let recursive = option.as_ref().is_some_and(|option| option.recursive);
        let source = match source_of(&at, mount, option.as_ref(), users) {
            None => None,
            Some(Err((at, words))) => {
                draft.problem(at, words);
                None
            }
            Some(Ok(_)) if !caller.is_privileged() => {
                draft.problem(&at, "id-mapped mounts are not supported for rootless containers");
                None
            }
            Some(Ok(source)) => Some(source),
        };
        maps.of_mounts.push(source.map(|source| {
            let known = maps.sources.iter().position(|(_, known)| *known == source);
            let number = known.unwrap_or_else(|| {
                maps.sources.push((at, source));
                maps.sources.len() - 1
            });
            (number, recursive)
        }));
    }
    maps
}

/// None where no map is asked for; a problem is a JSON path and words.
fn source_of(
    at: &str,
    mount: &Mount,
    option: Option<&Idmap>,
    users: &Users,
) -> Option<Result<Source, (String, String)>> {
    let lines = |maps: &Option<Vec<LinuxIdMapping>>| -> Vec<IdMap> {
        let line = |map: &LinuxIdMapping| IdMap {
            container_id: map.container_id(),
            host_id: map.host_id(),
            size: map.size(),
        };
        maps.iter().flatten().map(line).collect()
    };
    let (uids, gids) = (lines(mount.uid_mappings()), lines(mount.gid_mappings()));
    if !uids.is_empty() || !gids.is_empty() {
        return Some(Ok(Source::Maps { uids, gids }));
    }
    let option = option?;
    let at = format!("{at}.options[{}]", option.index);
    let name = if option.recursive { "ridmap" } else { "idmap" };
    let of_container = || match users {
        Users::New { uids, gids, .. } | Users::Known { uids, gids, .. } => Some((uids.clone(), gids.clone())),
        Users::Callers(_) | Users::Joined => None,
    };
    Some(match (option.mappings.as_deref(), users) {
        (Some(text), _) if !text.is_empty() => parse(text, of_container())
            .map(|(uids, gids)| Source::Maps { uids, gids })
            .map_err(|words| (at, format!("{name}: {words}"))),
        (_, Users::New { uids, gids, .. } | Users::Known { uids, gids, .. }) => {
            Ok(Source::Maps { uids: uids.clone(), gids: gids.clone() })
        }
        (_, Users::Joined) => Ok(Source::Joined),
        (_, Users::Callers(_)) => {
            let words =
                "needs uidMappings and gidMappings beside it, or a user namespace whose mappings it takes";
            Err((at, format!("{name} {words}")))
        }
    })
}

type Maps = (Vec<IdMap>, Vec<IdMap>);

/// crun's `uids=0-1000-10#10-2000-5;gids=…`: first id on the file system, first id outside, how many; with `@` the second
/// one is of the container. What is not given is the container's.
fn parse(text: &str, container: Option<Maps>) -> Result<Maps, String> {
    let (mut uids, mut gids) = (None, None);
    for part in text.split(';').filter(|part| !part.is_empty()) {
        let of = |maps: fn(&Maps) -> &Vec<IdMap>| container.as_ref().map(maps);
        match part.split_once('=') {
            Some(("uids", ranges)) => uids = Some(parse_ranges(ranges, of(|maps| &maps.0))?),
            Some(("gids", ranges)) => gids = Some(parse_ranges(ranges, of(|maps| &maps.1))?),
            _ => return Err(format!("{part:?} is none of uids=…, gids=…")),
        }
    }
    let (of_uids, of_gids) = container.unzip();
    match (uids.or(of_uids), gids.or(of_gids)) {
        (Some(uids), Some(gids)) => Ok((uids, gids)),
        _ => Err("needs both uids= and gids= without a user namespace".to_owned()),
    }
}

fn parse_ranges(text: &str, container: Option<&Vec<IdMap>>) -> Result<Vec<IdMap>, String> {
    text.split('#')
        .map(|range| {
            let (range, is_relative) = match range.strip_prefix('@') {
                Some(range) => (range, true),
                None => (range, false),
            };
            let numbers: Vec<Option<u32>> = range.split('-').map(|number| number.parse().ok()).collect();
            let [Some(container_id), Some(host_id), Some(size @ 1..)] = numbers[..] else {
                return Err(format!("{range:?} is not of the form ID-ID-SIZE"));
            };
            let host_id = match (is_relative, container) {
                (false, _) => Some(host_id),
                (true, Some(maps)) => super::id_maps::host_id(maps, host_id),
                (true, None) => None,
            };
            let host_id = host_id.ok_or_else(|| {
                format!("@{range}: the user namespace of the container does not have the second id")
            })?;
            Ok(IdMap { container_id, host_id, size })
        })
        .collect()
}

/// The user namespaces, before there is anything that a failure would leave behind.
pub(super) fn make_namespaces(decisions: &Decisions<'_>, draft: &mut Draft) {
    let maps = &decisions.mount_maps;
    for (number, (at, source)) in maps.sources.iter().enumerate() {
        let slot = maps.slot(number);
        let op = match source {
            Source::Maps { uids, gids } => {
                HostOp::MakeUserNamespace { slot, uids: uids.clone(), gids: gids.clone() }
            }
            Source::Joined => {
                let Some(path) = joined_path(&decisions.namespaces) else { continue };
                HostOp::OpenNamespace { slot, path, kind: flags::USER }
            }
        };
        draft.host(When::BeforeLaunch, op, Why::config(at));
    }
}

fn joined_path(namespaces: &Namespaces) -> Option<std::path::PathBuf> {
    namespaces.joined(flags::USER).map(|join| join.path.clone())
}

/// They go before anybody else is there.
pub(super) fn close_namespaces(decisions: &Decisions<'_>, draft: &mut Draft) {
    let maps = &decisions.mount_maps;
    for (number, (at, _)) in maps.sources.iter().enumerate() {
        draft.init(OwnedOp::CloseSlot { slot: maps.slot(number) }, Why::config(at));
    }
}

#[cfg(test)]
mod tests {
    use super::{IdMap, Maps, parse};

    const fn map(container_id: u32, host_id: u32, size: u32) -> IdMap {
        IdMap { container_id, host_id, size }
    }

    fn container() -> Maps {
        (vec![map(0, 0, 1), map(1, 2, 1000)], vec![map(0, 100_000, 65_536)])
    }

    #[test]
    fn mappings_of_crun_are_read() {
        for (text, container, expected) in [
            (
                "uids=0-1-10#10-11-10;gids=0-100-10",
                None,
                (vec![map(0, 1, 10), map(10, 11, 10)], vec![map(0, 100, 10)]),
            ),
            ("uids=@1-3-10", Some(container()), (vec![map(1, 4, 10)], vec![map(0, 100_000, 65_536)])),
            ("gids=@0-7-1", Some(container()), (container().0, vec![map(0, 100_007, 1)])),
        ] {
            assert_eq!(parse(text, container), Ok(expected), "{text}");
        }
    }

    #[test]
    fn other_mappings_are_refused() {
        for (text, container) in [
            ("uids=0-1-10", None),
            ("uids=0-1;gids=0-1-1", None),
            ("uids=0-1-0;gids=0-1-1", None),
            ("uids=0--1-1;gids=0-1-1", None),
            ("uids=@0-1-1;gids=0-1-1", None),
            ("uids=@0-5000-1", Some(container())),
            ("uids=0-1-4294967296;gids=0-1-1", None),
            ("users=0-1-1", Some(container())),
        ] {
            assert!(parse(text, container).is_err(), "{text}");
        }
    }
}
