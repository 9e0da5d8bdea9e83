//! What the bundle names on this host: opened once here, used later by fd, so that nothing is looked up twice. Called
//! with a configuration that makes sense; what is wrong here is wrong on this host.

mod namespaces;
mod net_devices;
mod sources;
mod target;

use std::{os::fd::OwnedFd, path::PathBuf};

pub(crate) use sources::check_sources;
pub(crate) use target::{IdMaps, Target};

use crate::{Bundle, Error, Result, host::HostFacts};

/// Facts about what a bundle names. Owns the fds.
#[derive(Debug)]
pub(crate) struct BundleFacts {
    /// The rootfs: absolute, symbolic links resolved.
    pub(crate) rootfs: PathBuf,
    /// Namespaces joined by path, in the order of `linux.namespaces`.
    pub(crate) namespaces: Vec<JoinedNamespace>,
    /// Mount namespaces of members of the pid namespaces among them, by the same indices.
    pub(crate) members_mounts: Vec<JoinedNamespace>,
    /// What the user namespace among them has of ids, where a process in it shows that.
    pub(crate) joined_maps: Option<IdMaps>,
}

/// A namespace that the container joins.
#[derive(Debug)]
pub(crate) struct JoinedNamespace {
    /// Its index in `linux.namespaces`.
    pub(crate) index: usize,
    /// `CLONE_NEW*` flag of its type, checked with `NS_GET_NSTYPE`.
    pub(crate) kind: u32,
    /// Its path.
    pub(crate) path: PathBuf,
    /// The namespace itself. None in table tests.
    pub(crate) fd: Option<OwnedFd>,
    /// It is the one the caller's children are in: nothing to join.
    pub(crate) is_own: bool,
    /// Its owning user namespace is the caller's (`NS_GET_USERNS`).
    pub(crate) owned_by_callers_user_namespace: bool,
}

impl BundleFacts {
    /// Opens what the bundle names.
    ///
    /// # Errors
    /// `InvalidConfig` with all that is missing or of a wrong kind.
    pub(crate) fn gather(bundle: &Bundle, _host: &HostFacts) -> Result<Self> {
        let mut problems = Vec::new();
        let rootfs = sources::find_rootfs(bundle).unwrap_or_else(|problem| {
            problems.push(problem);
            PathBuf::new()
        });
        let namespaces = namespaces::open_namespaces(bundle, &mut problems);
        problems.extend(namespaces::check_settings_of_own(bundle, &namespaces));
        problems.extend(net_devices::missing(bundle));
        let members_mounts = namespaces::open_members_mounts(&namespaces);
        let joined_maps = target::maps_of_joined(&namespaces);
        if problems.is_empty() {
            Ok(Self { rootfs, namespaces, members_mounts, joined_maps })
        } else {
            Err(Error::invalid_config(problems))
        }
    }
}
