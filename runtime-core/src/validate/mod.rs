//! Whether a configuration makes sense: all problems at once, each with its JSON path. Asks neither host nor kernel.

mod sysctl;

use oci_spec::runtime::{LinuxNamespace, LinuxNamespaceType};

pub(crate) use sysctl::{Scope, scope_of_sysctl};

use crate::{Bundle, Problem};

/// All that is wrong in the bundle's configuration.
pub(crate) fn validate(bundle: &Bundle) -> Vec<Problem> {
    SECTIONS.iter().flat_map(|section| section(bundle)).collect()
}

/// One per part of config.json, in the order of the specification.
const SECTIONS: &[fn(&Bundle) -> Vec<Problem>] = &[sysctl::check];

/// `linux.namespaces`.
pub(crate) fn listed_namespaces(bundle: &Bundle) -> &[LinuxNamespace] {
    let linux = bundle.spec().linux().as_ref();
    linux.and_then(|linux| linux.namespaces().as_deref()).unwrap_or_default()
}

/// Whether the container has a namespace of a kind that it does not inherit, new or joined.
fn has_namespace(bundle: &Bundle, kind: LinuxNamespaceType) -> bool {
    listed_namespaces(bundle).iter().any(|namespace| namespace.typ() == kind)
}
