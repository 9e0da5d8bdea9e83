//! The container's root: made a mount of its own, entered, given its propagation, made read-only last.

use orlop_init::wire::OwnedOp;

use super::{
    Decisions,
    draft::Draft,
    mount_options::{propagation, propagation_flags},
    step::Why,
};

/// Before anything is mounted: unmounts on the host pass in, and nothing of the container reaches the host but what is
/// mounted in volumes that are shared with it. For those the host's mounts have to stay peers.
pub(super) fn attach(decisions: &Decisions<'_>, draft: &mut Draft) {
    let asked = decisions
        .linux()
        .and_then(|linux| linux.rootfs_propagation().as_deref())
        .filter(|word| !word.is_empty());
    let (flags, why) = match asked {
        None => {
            (propagation::SLAVE | propagation::REC, Why::Always("host mounts stay apart, unmounts pass in"))
        }
        Some(word) => {
            let Some(flags) = propagation_flags(word) else {
                draft.problem(
                    "linux.rootfsPropagation",
                    format!("{word:?} is none of shared, slave, private, unbindable"),
                );
                return;
            };
            let before = match flags & !propagation::REC {
                propagation::SHARED => flags,
                propagation::SLAVE => propagation::SLAVE | propagation::REC,
                _ => propagation::PRIVATE | propagation::REC,
            };
            (before, Why::config("linux.rootfsPropagation"))
        }
    };
    draft.init(OwnedOp::RootPropagation { flags }, why);
    let path = draft.path("root.path", &decisions.facts.rootfs);
    let from_host = decisions.host_opens_trees();
    draft.init(OwnedOp::AttachRootfs { path, from_host }, Why::config("root.path"));
}

/// The change of root, the propagation asked for.
pub(super) fn enter(decisions: &Decisions<'_>, draft: &mut Draft) {
    if decisions.options.no_pivot {
        draft.init(OwnedOp::MoveRoot {}, Why::Option("--no-pivot"));
    } else {
        draft.init(OwnedOp::PivotRoot {}, Why::config("root.path"));
    }
    let asked =
        decisions.linux().and_then(|linux| linux.rootfs_propagation().as_deref()).and_then(propagation_flags);
    if let Some(flags) = asked {
        // Only the root itself: each mount below has what its own options say.
        let flags = flags & !propagation::REC;
        if flags == propagation::SHARED {
            // A peer group of its own, that gets nothing from the host's.
            let flags = propagation::PRIVATE;
            draft.init(OwnedOp::RootfsPropagation { flags }, Why::config("linux.rootfsPropagation"));
        }
        draft.init(OwnedOp::RootfsPropagation { flags }, Why::config("linux.rootfsPropagation"));
    }
}

/// After everything that writes to it.
pub(super) fn make_readonly(decisions: &Decisions<'_>, draft: &mut Draft) {
    if decisions.bundle.spec().root().as_ref().and_then(oci_spec::runtime::Root::readonly).unwrap_or(false) {
        draft.init(OwnedOp::ReadonlyRootfs {}, Why::config("root.readonly"));
    }
}
