//! Masked and read-only paths (config-linux.md), and the file systems that are made read-only only now because
//! mount points had to be made in them.

use std::path::Path;

use orlop_init::wire::OwnedOp;

use super::{
    Decisions, bind_mounts,
    draft::Draft,
    mount_options::attr,
    mounts::{self, container_path},
    step::Why,
};

fn masked<'a>(decisions: &Decisions<'a>) -> &'a [String] {
    decisions.linux().and_then(|linux| linux.masked_paths().as_deref()).unwrap_or_default()
}

/// The mask must be the host's /dev/null: one in the rootfs may be anything (CVE-2025-31133). So it is opened before
/// the change of root.
pub(super) fn open_mask(decisions: &Decisions<'_>, draft: &mut Draft) {
    if !masked(decisions).is_empty() {
        draft.init(OwnedOp::OpenMask {}, Why::config("linux.maskedPaths"));
    }
}

/// Read-only paths before masks: a bind of `/proc/sys` made after a mask below it would carry the mask along twice.
pub(super) fn close_paths(decisions: &Decisions<'_>, draft: &mut Draft) {
    for (at, target) in mounts::readonly_at_the_end(decisions.mounts()) {
        bind_mounts::set_flags(&at, &target, attr::RDONLY, draft);
    }
    let readonly = decisions.linux().and_then(|linux| linux.readonly_paths().as_deref()).unwrap_or_default();
    for (index, path) in readonly.iter().enumerate() {
        if let Some((path, why)) = checked(draft, "linux.readonlyPaths", index, path) {
            draft.init(OwnedOp::ReadonlyPath { path }, why);
        }
    }
    let masked = masked(decisions);
    for (index, path) in masked.iter().enumerate() {
        // A second mask would hide only the first.
        let is_same =
            |earlier: &String| container_path(Path::new(earlier)) == container_path(Path::new(path));
        if masked[..index].iter().any(is_same) {
            continue;
        }
        if let Some((path, why)) = checked(draft, "linux.maskedPaths", index, path) {
            draft.init(OwnedOp::MaskPath { path }, why);
        }
    }
}

fn checked(draft: &mut Draft, list: &str, index: usize, path: &str) -> Option<(std::ffi::CString, Why)> {
    let at = format!("{list}[{index}]");
    if !path.starts_with('/') {
        draft.problem(at, format!("{path:?} is not an absolute path"));
        return None;
    }
    Some((draft.text(&at, path), Why::Config(at)))
}
