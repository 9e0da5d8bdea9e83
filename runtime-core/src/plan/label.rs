//! Labels of AppArmor and SELinux: for the program, by the file in /proc that holds for the next exec; for mounts, by an
//! option.
//!
//! The file is opened while init may mount a procfs of its own, and written right before the exec: hooks would inherit
//! what it says. A fd of it is of no use to anybody else, since a process may write its own only.

use std::ffi::CString;

use orlop_init::wire::OwnedOp;

use super::{
    Decisions,
    draft::Draft,
    step::{HostOp, When, Why},
};
use crate::{bundle::Fields, host::HostFacts};

/// What the program gets: where it is written, what, and who asked.
struct Label {
    names: Vec<CString>,
    value: String,
    at: &'static str,
}

fn label(fields: &Fields) -> Option<Label> {
    let names = |names: &[&std::ffi::CStr]| names.iter().map(|&name| name.to_owned()).collect();
    if !fields.apparmor_profile.is_empty() {
        return Some(Label {
            // The second one is of kernels before 5.8, which had one for all.
            names: names(&[c"attr/apparmor/exec", c"attr/exec"]),
            value: format!("exec {}", fields.apparmor_profile),
            at: "process.apparmorProfile",
        });
    }
    (!fields.selinux_label.is_empty()).then(|| Label {
        names: names(&[c"attr/exec"]),
        value: fields.selinux_label.clone(),
        at: "process.selinuxLabel",
    })
}

/// A label without the module that gives it a meaning would be a promise that is not kept.
pub(super) fn check(fields: &Fields, host: &HostFacts, draft: &mut Draft) {
    if !fields.apparmor_profile.is_empty() && !host.kernel.apparmor {
        draft.problem("process.apparmorProfile", "apparmor: config provided but apparmor not supported");
    }
    for (at, label) in
        [("process.selinuxLabel", &fields.selinux_label), ("linux.mountLabel", &fields.mount_label)]
    {
        if !label.is_empty() && !host.kernel.selinux {
            let message = "selinux label is specified in config, but selinux is disabled or not supported";
            draft.problem(at, message);
        }
    }
}

/// A profile that is not loaded is an error of create.
pub(super) fn check_profile(decisions: &Decisions<'_>, draft: &mut Draft) {
    let profile = &decisions.bundle.fields().apparmor_profile;
    if !profile.is_empty() {
        let op = HostOp::CheckProfile { name: profile.clone() };
        draft.host(When::BeforeLaunch, op, Why::config("process.apparmorProfile"));
    }
}

fn open(decisions: &Decisions<'_>, draft: &mut Draft) {
    if let Some(Label { names, at, .. }) = label(decisions.bundle.fields()) {
        draft.init(OwnedOp::OpenLabel { names }, Why::config(at));
    }
}

/// Where init is the process already, with the right to mount a procfs.
pub(super) fn open_privileged(decisions: &Decisions<'_>, draft: &mut Draft) {
    if decisions.namespaces.late_pid.is_none() {
        open(decisions, draft);
    }
}

/// Where it is still to be cloned: then, through the container's own /proc.
pub(super) fn open_late(decisions: &Decisions<'_>, draft: &mut Draft) {
    if decisions.namespaces.late_pid.is_some() {
        open(decisions, draft);
    }
}

/// For the exec that follows.
pub(super) fn write(decisions: &Decisions<'_>, draft: &mut Draft) {
    if let Some(Label { value, at, .. }) = label(decisions.bundle.fields()) {
        let value = draft.text(at, value);
        draft.init(OwnedOp::WriteLabel { value }, Why::config(at));
    }
}

/// The option that labels a new file system, unless its own options do; none for those with labels from the policy.
pub(super) fn mount_option(fields: &Fields, kind: &str, words: &[(usize, String)]) -> Option<String> {
    let is_labelled = words.iter().any(|(_, word)| {
        let key = word.split('=').next().unwrap_or_default();
        matches!(key, "context" | "fscontext" | "defcontext" | "rootcontext")
    });
    let from_policy = matches!(kind, "proc" | "sysfs" | "mqueue");
    (!fields.mount_label.is_empty() && !is_labelled && !from_policy)
        .then(|| format!("context={}", fields.mount_label))
}
