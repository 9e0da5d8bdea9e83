//! Whether a configuration makes sense: all problems at once, each with its JSON path. Asks neither host nor kernel.
//! Its form is right already (`bundle`); what depends on this host comes later (`inspect`, `plan`).

mod attributes;
mod devices;
mod hooks;
mod id_maps;
mod intel_rdt;
mod mounts;
mod namespaces;
mod net_devices;
mod paths;
mod process;
mod resources;
mod root;
mod sysctl;
mod version;

use std::path::Path;

use oci_spec::runtime::{Linux, LinuxNamespace, LinuxNamespaceType};

pub(crate) use namespaces::namespace_name;
pub(crate) use sysctl::{Scope, scope_of_sysctl};

use crate::{Bundle, Problem, bundle::refused_annotations};

/// All that is wrong in the bundle's configuration.
pub(crate) fn validate(bundle: &Bundle) -> Vec<Problem> {
    SECTIONS.iter().flat_map(|section| section(bundle)).collect()
}

/// What is wrong in `linux.resources`, for those that come without the rest.
pub(crate) fn validate_resources(bundle: &Bundle) -> Vec<Problem> {
    resources::check(bundle)
}

/// One per part of config.json, in the order of the specification.
const SECTIONS: &[fn(&Bundle) -> Vec<Problem>] = &[
    version::check,
    root::check,
    mounts::check,
    process::check,
    attributes::check,
    hooks::check,
    namespaces::check,
    id_maps::check,
    devices::check,
    net_devices::check,
    intel_rdt::check,
    resources::check,
    sysctl::check,
    paths::check,
    |bundle| bundle.fields().seccomp_problems.clone(),
    |bundle| refused_annotations(bundle.annotations()),
];

/// `linux.namespaces`.
pub(crate) fn listed_namespaces(bundle: &Bundle) -> &[LinuxNamespace] {
    linux(bundle).and_then(|linux| linux.namespaces().as_deref()).unwrap_or_default()
}

/// Whether the container has a namespace of a kind that it does not inherit, new or joined.
fn has_namespace(bundle: &Bundle, kind: LinuxNamespaceType) -> bool {
    listed_namespaces(bundle).iter().any(|namespace| namespace.typ() == kind)
}

fn linux(bundle: &Bundle) -> Option<&Linux> {
    bundle.spec().linux().as_ref()
}

/// What is wrong with a path that has to be absolute.
fn why_not_absolute(path: &Path) -> Option<String> {
    match path {
        _ if path.as_os_str().is_empty() => Some("must not be empty".to_owned()),
        _ if path.is_absolute() => None,
        _ => Some(format!("{} is not an absolute path", path.display())),
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
