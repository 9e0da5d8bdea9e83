//! Fields of runtime-spec 1.3 that `oci-spec` 0.10 lacks or mis-types, read beside it from the same JSON. The one place
//! for them: each goes when the crate has it right.

use std::collections::BTreeMap;

/// See the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields {
    /// `process.capabilities` as names; the crate's closed enum fails the whole parse on one unknown name.
    pub(crate) capabilities: Option<Capabilities>,
    /// `linux.resources.pids.limit`; the crate cannot tell absent from 0.
    pub(crate) pids_limit: Option<i64>,
    /// `linux.resources.hugepageLimits`; the crate has i64 where the specification has uint64.
    pub(crate) hugepage_limits: Vec<HugepageLimit>,
    /// `process.rlimits[i]`: (type, soft, hard); the crate takes a missing bound as 0.
    pub(crate) rlimits: Vec<(String, u64, u64)>,
    /// Maps whose order the crate loses, in the order of their keys.
    pub(crate) sysctl: BTreeMap<String, String>,
    /// `annotations`.
    pub(crate) annotations: BTreeMap<String, String>,
    /// `linux.resources.unified`.
    pub(crate) unified: BTreeMap<String, String>,
    /// JSON paths of fields that this version cannot carry out yet; they are refused by name.
    pub(crate) unsupported: Vec<String>,
}

/// The five sets of `process.capabilities`, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Capabilities {
    pub(crate) bounding: Vec<String>,
    pub(crate) effective: Vec<String>,
    pub(crate) inheritable: Vec<String>,
    pub(crate) permitted: Vec<String>,
    pub(crate) ambient: Vec<String>,
}

/// One of `linux.resources.hugepageLimits`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HugepageLimit {
    pub(crate) page_size: String,
    pub(crate) limit: u64,
}
