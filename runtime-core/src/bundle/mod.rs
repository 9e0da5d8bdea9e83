//! A bundle: the directory, its config.json as oci-spec's types, and the fields those types lack or mis-type.

mod annotations;
mod attributes;
mod default_spec;
mod exec;
mod fields;
mod json;
mod json_path;
mod number_list;
mod open;
mod schema;
mod shape;
mod typed;

use std::path::{Path, PathBuf};

use oci_spec::runtime::Spec;

pub(crate) use annotations::{
    WITH_EFFECT as ANNOTATIONS_WITH_EFFECT, hook_outputs, ignored as ignored_annotations,
    refused as refused_annotations,
};
pub(crate) use attributes::{
    CpuAffinity, IO_CLASSES, IoPriority, MEMORY_POLICY_FLAGS, MEMORY_POLICY_MODES, MemoryPolicy,
    ProcessAttributes, SCHED_POLICIES, Scheduler,
};
pub use default_spec::default_spec;
pub(crate) use fields::{Capabilities, Fields, NetDevice};
pub(crate) use json::parse as parse_json;
pub(crate) use number_list::mask;
pub(crate) use schema::{HOOK_KINDS, NAMESPACES};

/// An OCI bundle whose config.json was read and checked for its form: every value has the type that the
/// specification gives it, and what is required is there.
///
/// # Source
/// runtime-spec 1.3, bundle.md and config.md.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// Absolute path of the bundle's directory.
    dir: PathBuf,
    /// config.json as it was read.
    json: Vec<u8>,
    spec: Spec,
    fields: Fields,
    /// What is unusual but no error: unknown properties, missing uid.
    warnings: Vec<crate::Problem>,
}

impl Bundle {
    /// Absolute path of the bundle's directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// `ociVersion` of the configuration.
    #[must_use]
    pub fn oci_version(&self) -> &str {
        self.spec.version()
    }

    /// Whether `process.terminal` is set.
    #[must_use]
    pub fn terminal(&self) -> bool {
        self.spec.process().as_ref().and_then(oci_spec::runtime::Process::terminal).unwrap_or(false)
    }

    /// What is unusual in the configuration though it is no error.
    #[must_use]
    pub fn warnings(&self) -> &[crate::Problem] {
        &self.warnings
    }

    /// config.json as it was read.
    pub(crate) fn json(&self) -> &[u8] {
        &self.json
    }

    pub(crate) fn spec(&self) -> &Spec {
        &self.spec
    }

    pub(crate) fn fields(&self) -> &Fields {
        &self.fields
    }

    /// The rootfs, absolute, not resolved.
    pub(crate) fn rootfs(&self) -> Option<PathBuf> {
        self.spec.root().as_ref().map(|root| self.dir.join(root.path()))
    }
}

#[cfg(test)]
mod tests;
