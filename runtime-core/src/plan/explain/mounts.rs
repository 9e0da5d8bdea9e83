//! Mounts in words.

use orlop_init::wire::{OwnedOp, Slot, links};

use super::{text, with_options};
use crate::plan::mount_options::{attr, propagation_name};

/// Names of `MOUNT_ATTR_*` bits as mount options.
fn attribute_words(set: u64, clear: u64) -> Vec<&'static str> {
    let pairs = [
        (attr::RDONLY, "ro", "rw"),
        (attr::NOSUID, "nosuid", "suid"),
        (attr::NODEV, "nodev", "dev"),
        (attr::NOEXEC, "noexec", "exec"),
        (attr::NODIRATIME, "nodiratime", "diratime"),
        (attr::NOSYMFOLLOW, "nosymfollow", "symfollow"),
    ];
    let mut words: Vec<&str> =
        pairs.iter().filter(|(bit, ..)| set & bit != 0).map(|(_, on, _)| *on).collect();
    words.extend(pairs.iter().filter(|(bit, ..)| clear & bit != 0).map(|(_, _, off)| *off));
    match set & attr::ATIME {
        attr::NOATIME => words.push("noatime"),
        attr::STRICTATIME => words.push("strictatime"),
        _ if clear & attr::ATIME != 0 => words.push("relatime"),
        _ => {}
    }
    words
}

/// Flags that were asked for by name; what is cleared because others were is told by nobody.
fn change_words(set: u64, clear: u64, keep: u64, propagation: u32) -> String {
    let implied = keep | attr::NOSYMFOLLOW | attr::NODIRATIME;
    mount_words(set, clear & !implied, propagation)
}

fn mount_words(set: u64, clear: u64, propagation: u32) -> String {
    let mut words = attribute_words(set, clear);
    if propagation != 0 {
        words.push(propagation_name(propagation));
    }
    words.join(",")
}

pub(super) const fn opened_by(from_host: bool) -> &'static str {
    if from_host { ", opened by the host where init may not" } else { "" }
}

fn instead(or_bind: &std::ffi::CStr) -> String {
    if or_bind.is_empty() {
        String::new()
    } else {
        format!(", or bind {} where the kernel allows no new one", text(or_bind))
    }
}

fn mapped(idmap: Slot, recursive: bool) -> &'static str {
    match (idmap, recursive) {
        (Slot::NONE, _) => "",
        (_, false) => ", id-mapped",
        (_, true) => ", id-mapped with all below",
    }
}

pub(super) fn describe(op: &OwnedOp) -> String {
    match op {
        OwnedOp::NewMount {
            fs_type,
            target,
            options,
            attributes,
            propagation,
            copy_up,
            idmap,
            or_bind,
            ..
        } => {
            // `ro` is a flag of the mount and of the file system.
            let flags = attribute_words(*attributes, 0);
            let options =
                options.iter().map(|option| text(option)).filter(|option| !flags.contains(&option.as_str()));
            let mut all: Vec<String> = flags.iter().map(ToString::to_string).chain(options).collect();
            if *propagation != 0 {
                all.push(propagation_name(*propagation).to_owned());
            }
            let copied = if *copy_up { ", and copy up what it covers" } else { "" };
            let mapped = mapped(*idmap, false);
            with_options(format!("mount {} on {}{mapped}", text(fs_type), text(target)), &all.join(","))
                + copied
                + &instead(or_bind)
        }
        OwnedOp::BindProc { target, attributes, propagation, .. } => {
            let mut all = attribute_words(*attributes, 0);
            if *propagation != 0 {
                all.push(propagation_name(*propagation));
            }
            let text = format!("bind the /proc that members of the pid namespace have on {}", text(target));
            with_options(text, &all.join(","))
        }
        OwnedOp::BindMount {
            source,
            target,
            recursive,
            from_host,
            links: follow,
            idmap,
            idmap_recursive,
            set,
            clear,
            keep,
            set_recursive,
            clear_recursive,
            propagation,
        } => {
            let how = if *recursive { "bind the tree" } else { "bind" };
            let how =
                if follow & links::COPY != 0 { format!("copy the link or {how}") } else { how.to_owned() };
            let mapped = mapped(*idmap, *idmap_recursive);
            let mut what = with_options(
                format!("{how} {} on {}{mapped}{}", text(source), text(target), opened_by(*from_host)),
                &change_words(*set, *clear, *keep, *propagation),
            );
            let below = mount_words(*set_recursive, *clear_recursive, 0);
            if !below.is_empty() {
                what = format!("{what}, all below with {below}");
            }
            what
        }
        OwnedOp::Remount { target, options, set, clear, keep, propagation } => {
            let words = change_words(*set, *clear, *keep, *propagation);
            let options =
                options.iter().map(|option| text(option)).filter(|option| !words.contains(&**option));
            let all: Vec<String> =
                options.chain(Some(words.clone()).filter(|words| !words.is_empty())).collect();
            with_options(format!("remount {}", text(target)), &all.join(","))
        }
        other => other.name().to_owned(),
    }
}
