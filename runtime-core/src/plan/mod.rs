//! From a bundle and facts to a plan: every decision is taken here, without any effect.

pub(crate) mod step;

pub(crate) use step::Plan;

use crate::{Bundle, ContainerId, Result, container::CreateOptions, host::HostFacts, inspect::BundleFacts};

/// Decides everything.
///
/// # Errors
/// `InvalidConfig` or `Unsupported` for what cannot be done on this host, all at once.
pub(crate) fn plan(
    _id: &ContainerId,
    _bundle: &Bundle,
    _facts: &BundleFacts,
    _host: &HostFacts,
    _options: &CreateOptions,
) -> Result<Plan> {
    Err(crate::Error::new(crate::ErrorKind::Unsupported, "planning"))
}
