//! Bind mounts, and `remount` of what is mounted.

use std::path::Path;

use oci_spec::runtime::Mount;
use orlop_init::wire::{OwnedOp, Slot, links};

use super::{
    Decisions,
    draft::Draft,
    mount_options::{Attributes, Bind, Change, MountOptions},
    mounts::{Entry, data_words, kind},
    step::Why,
};

/// `bind` and `rbind` decide, whatever the type is; engines also write the type alone.
pub(super) fn bind_of(mount: &Mount, options: &MountOptions) -> Option<Bind> {
    options.bind.or((kind(mount) == "bind" && !options.remount).then_some(Bind::Single))
}

/// A bind mount without anything special.
pub(super) fn bind_op(source: std::ffi::CString, target: std::ffi::CString) -> OwnedOp {
    OwnedOp::BindMount {
        source,
        target,
        recursive: false,
        from_host: false,
        links: 0,
        idmap: Slot::NONE,
        idmap_recursive: false,
        set: 0,
        clear: 0,
        keep: 0,
        set_recursive: 0,
        clear_recursive: 0,
        propagation: 0,
    }
}

/// A bind mount of the source on the host. Relative to the bundle (config.md, mounts).
pub(super) fn bind(decisions: &Decisions<'_>, entry: &Entry, how: Bind, draft: &mut Draft) {
    for (index, word) in &entry.options.data {
        let message = format!("{word:?} is no mount option, and a bind mount has no file system to take it");
        draft.problem(entry.option(*index), message);
    }
    if entry.options.tmpcopyup {
        draft.problem(
            format!("{}.options", entry.at),
            "tmpcopyup works with tmpfs only, not with a bind mount",
        );
    }
    let follow = entry.options.links;
    if follow.copy && (follow.source || follow.target) {
        draft
            .problem(format!("{}.options", entry.at), "copy-symlink excludes src-nofollow and dest-nofollow");
    }
    let Some(source) = entry.source.as_deref().filter(|source| !source.is_empty()) else {
        return draft.problem(format!("{}.source", entry.at), "is missing, and a bind mount needs it");
    };
    let source = decisions.bundle.dir().join(source);
    let tree = Tree { path: &source, how, top: entry.options.change(), all: entry.options.recursive };
    bind_tree(decisions, entry, &tree, draft);
}

/// A tree of the host in place of a file system that the container's user namespace may not mount. Its own flags stay.
pub(super) fn bind_host_tree(
    decisions: &Decisions<'_>,
    entry: &Entry,
    source: &str,
    set_recursive: u64,
    draft: &mut Draft,
) {
    let mut all = entry.options.recursive;
    all.set |= set_recursive;
    let top = Change { set: entry.options.attributes.set, ..Change::default() };
    let tree = Tree { path: Path::new(source), how: Bind::Recursive, top, all };
    bind_tree(decisions, entry, &tree, draft);
}

/// A tree of the host, and what its copy gets.
pub(super) struct Tree<'a> {
    pub(super) path: &'a Path,
    pub(super) how: Bind,
    pub(super) top: Change,
    pub(super) all: Attributes,
}

pub(super) fn bind_tree(decisions: &Decisions<'_>, entry: &Entry, tree: &Tree<'_>, draft: &mut Draft) {
    let follow = entry.options.links;
    let bits = [(follow.copy, links::COPY), (follow.source, links::SOURCE), (follow.target, links::TARGET)];
    let op = OwnedOp::BindMount {
        source: draft.path(&format!("{}.source", entry.at), tree.path),
        target: draft.text(&entry.at, &*entry.target),
        recursive: tree.how == Bind::Recursive,
        from_host: decisions.host_opens_trees(),
        links: bits.into_iter().filter(|(is_set, _)| *is_set).map(|(_, bit)| bit).sum(),
        idmap: entry.map.slot,
        idmap_recursive: entry.map.recursive,
        set: tree.top.set,
        clear: tree.top.clear,
        keep: tree.top.keep,
        set_recursive: tree.all.set,
        clear_recursive: tree.all.clear,
        propagation: entry.propagation().0,
    };
    draft.init(op, entry.why());
    entry.more_propagation(draft);
}

/// `remount`: flags and propagation of what is mounted there; without `bind` options of the file system too.
pub(super) fn remount(entry: &Entry, is_bind: bool, draft: &mut Draft) {
    let options = &entry.options;
    let mut parameters = Vec::new();
    if is_bind {
        for (index, word) in &options.data {
            let message = format!("{word:?} is no flag, and remount with bind changes flags only");
            draft.problem(entry.option(*index), message);
        }
    } else {
        parameters.extend(options.superblock.iter().map(|&flag| draft.text(&entry.at, flag)));
        for (index, word) in data_words("", entry) {
            parameters.push(draft.text(&entry.option(index), word.as_str()));
        }
    }
    if !options.recursive.is_empty() {
        draft.problem(
            format!("{}.options", entry.at),
            "remount together with recursive options is not supported",
        );
    }
    let change = options.change();
    let op = OwnedOp::Remount {
        target: draft.text(&entry.at, &*entry.target),
        options: parameters,
        set: change.set,
        clear: change.clear,
        keep: change.keep,
        propagation: entry.propagation().0,
    };
    draft.init(op, entry.why());
    entry.more_propagation(draft);
}

/// Flags that are set later, because mount points had to be made first.
pub(super) fn set_flags(at: &str, target: &str, set: u64, draft: &mut Draft) {
    let target = draft.text(at, target);
    let op = OwnedOp::Remount { target, options: Vec::new(), set, clear: 0, keep: 0, propagation: 0 };
    draft.init(op, Why::config(format!("{at}.options")));
}
