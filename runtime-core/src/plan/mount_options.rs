//! The option words of `mounts[i].options`: which become flags and which go to the file system.
//!
//! The table is the one of config.md (Linux mount options). As in mount(8) a later word overrides an earlier one of the
//! same meaning, and an unknown word is data of the file system.

/// `MOUNT_ATTR_*` (linux/mount.h).
pub(super) mod attr {
    pub(in crate::plan) const RDONLY: u64 = 0x1;
    pub(in crate::plan) const NOSUID: u64 = 0x2;
    pub(in crate::plan) const NODEV: u64 = 0x4;
    pub(in crate::plan) const NOEXEC: u64 = 0x8;
    /// The mask of the three ways to keep access times; `RELATIME` is 0 in it.
    pub(in crate::plan) const ATIME: u64 = 0x70;
    pub(in crate::plan) const RELATIME: u64 = 0;
    pub(in crate::plan) const NOATIME: u64 = 0x10;
    pub(in crate::plan) const STRICTATIME: u64 = 0x20;
    pub(in crate::plan) const NODIRATIME: u64 = 0x80;
    pub(in crate::plan) const NOSYMFOLLOW: u64 = 0x20_0000;
    /// Those that a user namespace may not clear of mounts that it got from outside.
    pub(in crate::plan) const LOCKABLE: u64 = RDONLY | NOSUID | NODEV | NOEXEC;
    /// Those that a remount replaces as a whole.
    pub(in crate::plan) const REPLACED: u64 = LOCKABLE | NOSYMFOLLOW;
}

/// `MS_*` flags of propagation (linux/mount.h).
pub(super) mod propagation {
    pub(in crate::plan) const REC: u32 = 0x4000;
    pub(in crate::plan) const UNBINDABLE: u32 = 0x2_0000;
    pub(in crate::plan) const PRIVATE: u32 = 0x4_0000;
    pub(in crate::plan) const SLAVE: u32 = 0x8_0000;
    pub(in crate::plan) const SHARED: u32 = 0x10_0000;
}

/// Bits of a mount to set and to clear, as `mount_setattr(2)` takes them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Attributes {
    pub(super) set: u64,
    pub(super) clear: u64,
}

impl Attributes {
    fn set(&mut self, bits: u64) {
        self.set |= bits;
        self.clear &= !bits;
    }

    fn clear(&mut self, bits: u64) {
        self.clear |= bits;
        self.set &= !bits;
    }

    /// The kernel wants the whole mask cleared whenever one of its values is set.
    fn atime(&mut self, value: u64) {
        self.clear |= attr::ATIME;
        self.set = (self.set & !attr::ATIME) | value;
    }

    /// `atime`, `nostrictatime`: not the mode of this value, if that was given before.
    fn not_atime(&mut self, value: u64) {
        if self.clear & attr::ATIME != 0 && self.set & attr::ATIME == value {
            self.clear &= !attr::ATIME;
            self.set &= !attr::ATIME;
        }
    }

    /// `ratime`, `rnostrictatime`, `rnorelatime`: back to the default, unless another mode was given.
    fn not_recursive_atime(&mut self, value: u64) {
        if self.clear & attr::ATIME == 0 || self.set & attr::ATIME == value {
            self.atime(attr::RELATIME);
        }
    }

    pub(super) fn is_empty(self) -> bool {
        self == Self::default()
    }
}

/// What is changed of a mount that exists, a bind mount's copy among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) set: u64,
    pub(super) clear: u64,
    /// Bits of `clear` that may stay where the kernel locks them: nobody asked for their absence by name.
    pub(super) keep: u64,
}

/// What kind of bind mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bind {
    /// `bind`.
    Single,
    /// `rbind`.
    Recursive,
}

/// What is done about a symbolic link in the last place of a path of a bind mount. Words of crun, which Podman uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Links {
    /// `copy-symlink`: a source that is a link is made anew at the destination instead of mounted.
    pub(super) copy: bool,
    /// `src-nofollow`: a source that is a link is mounted itself.
    pub(super) source: bool,
    /// `dest-nofollow`: a destination that is a link is mounted over.
    pub(super) target: bool,
}

/// `idmap` (the mount) or `ridmap` (all below it too).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Idmap {
    /// Place of the word.
    pub(super) index: usize,
    pub(super) recursive: bool,
    /// What comes after `=`, crun's way to give mappings.
    pub(super) mappings: Option<String>,
}

/// All options of one mount.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct MountOptions {
    pub(super) bind: Option<Bind>,
    pub(super) remount: bool,
    /// Of the mount itself.
    pub(super) attributes: Attributes,
    /// A word that is a flag of mount(2) was given, be it one that changes nothing.
    has_flags: bool,
    /// Of the mount and all below it (`rro`…).
    pub(super) recursive: Attributes,
    /// Flags of the superblock by the names that `fsconfig(2)` has for them.
    pub(super) superblock: Vec<&'static str>,
    /// Propagation, in the order given: `slave` and then `shared` are both wanted.
    pub(super) propagation: Vec<u32>,
    pub(super) tmpcopyup: bool,
    pub(super) links: Links,
    /// The last of `idmap`, `ridmap` and their forms with mappings.
    pub(super) idmap: Option<Idmap>,
    /// Words of the file system, with their place in the list.
    pub(super) data: Vec<(usize, String)>,
}

impl MountOptions {
    /// Reads the words in order.
    pub(super) fn parse<S: AsRef<str>>(words: &[S]) -> Self {
        let mut options = Self::default();
        for (index, word) in words.iter().enumerate() {
            match word.as_ref() {
                "" => {}
                word if options.known(index, word) => {}
                word => options.data.push((index, word.to_owned())),
            }
        }
        options
    }

    /// What changes of a mount that exists, as mount(2) with `MS_REMOUNT` and other runtimes do: with any flag given,
    /// the flags not given are cleared. Access times stay unless a word sets their mode.
    pub(super) fn change(&self) -> Change {
        if !self.has_flags {
            return Change::default();
        }
        let Attributes { set, clear } = self.attributes;
        let mut change = Change { set, clear: attr::REPLACED & !set, keep: 0 };
        if clear & attr::ATIME != 0 || set & attr::NODIRATIME != 0 {
            change.clear |= attr::ATIME | attr::NODIRATIME & !set;
        }
        change.keep = change.clear & attr::LOCKABLE & !clear;
        change
    }

    /// Whether the mount is to be read-only.
    pub(super) fn is_readonly(&self) -> bool {
        self.attributes.set & attr::RDONLY != 0
    }

    /// Takes a word of the table; false for any other.
    fn known(&mut self, index: usize, word: &str) -> bool {
        let recursive = word.strip_prefix('r').filter(|rest| is_attribute(rest));
        if let Some(word) = recursive {
            return recursive_attribute(&mut self.recursive, word);
        }
        if attribute(&mut self.attributes, word) {
            self.has_flags = true;
            match word {
                // mount(2) with MS_RDONLY makes mount and superblock read-only.
                "ro" => self.superblock_flag("ro", "rw"),
                "rw" => self.superblock_flag("rw", "ro"),
                _ => {}
            }
            return true;
        }
        self.has_flags |= SUPERBLOCK_WORDS.contains(&word);
        match word {
            // The last two have no way through fsconfig(2): SB_SILENT only mutes the kernel's log, and SB_I_VERSION is
            // the file system's own decision since the new mount API.
            "defaults" | "silent" | "loud" | "iversion" | "noiversion" => {}
            "bind" => self.bind = Some(self.bind.unwrap_or(Bind::Single)),
            "rbind" => self.bind = Some(Bind::Recursive),
            "remount" => self.remount = true,
            "tmpcopyup" => self.tmpcopyup = true,
            "sync" => self.superblock_flag("sync", "async"),
            "async" => self.superblock_flag("async", "sync"),
            "dirsync" => self.superblock_flag("dirsync", ""),
            "lazytime" => self.superblock_flag("lazytime", "nolazytime"),
            "nolazytime" => self.superblock_flag("nolazytime", "lazytime"),
            "mand" => self.superblock_flag("mand", "nomand"),
            "nomand" => self.superblock_flag("nomand", "mand"),
            "copy-symlink" => self.links.copy = true,
            "src-nofollow" => self.links.source = true,
            "dest-nofollow" => self.links.target = true,
            _ => match propagation_flags(word) {
                Some(flags) => self.propagation.push(flags),
                None => return self.idmap(index, word),
            },
        }
        true
    }

    fn idmap(&mut self, index: usize, word: &str) -> bool {
        let (name, mappings) = match word.split_once('=') {
            Some((name, mappings)) => (name, Some(mappings.to_owned())),
            None => (word, None),
        };
        let recursive = match name {
            "idmap" => false,
            "ridmap" => true,
            _ => return false,
        };
        self.idmap = Some(Idmap { index, recursive, mappings });
        true
    }

    fn superblock_flag(&mut self, flag: &'static str, opposite: &str) {
        self.superblock.retain(|&other| other != flag && other != opposite);
        self.superblock.push(flag);
    }
}

/// Flags of mount(2) that concern a superblock, or nothing that the new calls know.
const SUPERBLOCK_WORDS: &[&str] = &[
    "sync",
    "async",
    "dirsync",
    "lazytime",
    "nolazytime",
    "mand",
    "nomand",
    "silent",
    "loud",
    "iversion",
    "noiversion",
];

/// The words that exist with an `r` in front too. `relatime` is none: `r` + `elatime` means nothing.
fn is_attribute(word: &str) -> bool {
    attribute(&mut Attributes::default(), word)
}

/// The recursive words, without their `r`.
fn recursive_attribute(attributes: &mut Attributes, word: &str) -> bool {
    match word {
        "atime" => attributes.not_recursive_atime(attr::NOATIME),
        "nostrictatime" => attributes.not_recursive_atime(attr::STRICTATIME),
        "norelatime" => attributes.not_recursive_atime(attr::RELATIME),
        _ => return attribute(attributes, word),
    }
    true
}

/// Words that are attributes of a mount.
fn attribute(attributes: &mut Attributes, word: &str) -> bool {
    match word {
        "ro" => attributes.set(attr::RDONLY),
        "rw" => attributes.clear(attr::RDONLY),
        "nosuid" => attributes.set(attr::NOSUID),
        "suid" => attributes.clear(attr::NOSUID),
        "nodev" => attributes.set(attr::NODEV),
        "dev" => attributes.clear(attr::NODEV),
        "noexec" => attributes.set(attr::NOEXEC),
        "exec" => attributes.clear(attr::NOEXEC),
        "nodiratime" => attributes.set(attr::NODIRATIME),
        "diratime" => attributes.clear(attr::NODIRATIME),
        "nosymfollow" => attributes.set(attr::NOSYMFOLLOW),
        "symfollow" => attributes.clear(attr::NOSYMFOLLOW),
        "relatime" => attributes.atime(attr::RELATIME),
        "noatime" => attributes.atime(attr::NOATIME),
        "strictatime" => attributes.atime(attr::STRICTATIME),
        "atime" => attributes.not_atime(attr::NOATIME),
        "nostrictatime" => attributes.not_atime(attr::STRICTATIME),
        // The kernel keeps relative access times unless another way was asked for, so there is nothing to clear.
        "norelatime" => {}
        _ => return false,
    }
    true
}

/// The words of propagation, here and in `rootfsPropagation`.
pub(super) fn propagation_flags(word: &str) -> Option<u32> {
    Some(match word {
        "private" => propagation::PRIVATE,
        "rprivate" => propagation::PRIVATE | propagation::REC,
        "slave" => propagation::SLAVE,
        "rslave" => propagation::SLAVE | propagation::REC,
        "shared" => propagation::SHARED,
        "rshared" => propagation::SHARED | propagation::REC,
        "unbindable" => propagation::UNBINDABLE,
        "runbindable" => propagation::UNBINDABLE | propagation::REC,
        _ => return None,
    })
}

/// `MS_REC` and one kind, as words.
pub(super) fn propagation_name(flags: u32) -> &'static str {
    let is_recursive = flags & propagation::REC != 0;
    match (flags & !propagation::REC, is_recursive) {
        (propagation::SHARED, false) => "shared",
        (propagation::SHARED, true) => "rshared",
        (propagation::SLAVE, false) => "slave",
        (propagation::SLAVE, true) => "rslave",
        (propagation::PRIVATE, false) => "private",
        (propagation::PRIVATE, true) => "rprivate",
        (propagation::UNBINDABLE, false) => "unbindable",
        (propagation::UNBINDABLE, true) => "runbindable",
        _ => "unchanged",
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Bind, Change, Idmap, Links, MountOptions, attr, propagation, propagation_flags, propagation_name,
    };

    /// Words and the bits of the mount to set and to clear.
    #[test]
    fn attribute_words_set_and_clear_bits() {
        for (word, set, clear) in [
            ("ro", attr::RDONLY, 0),
            ("rw", 0, attr::RDONLY),
            ("nosuid", attr::NOSUID, 0),
            ("suid", 0, attr::NOSUID),
            ("nodev", attr::NODEV, 0),
            ("dev", 0, attr::NODEV),
            ("noexec", attr::NOEXEC, 0),
            ("exec", 0, attr::NOEXEC),
            ("nodiratime", attr::NODIRATIME, 0),
            ("diratime", 0, attr::NODIRATIME),
            ("nosymfollow", attr::NOSYMFOLLOW, 0),
            ("symfollow", 0, attr::NOSYMFOLLOW),
            ("noatime", attr::NOATIME, attr::ATIME),
            ("strictatime", attr::STRICTATIME, attr::ATIME),
            ("relatime", 0, attr::ATIME),
            ("atime", 0, attr::ATIME),
            ("nostrictatime", 0, attr::ATIME),
            ("norelatime", 0, attr::ATIME),
        ] {
            let plain = MountOptions::parse(&[word]);
            // No flag of mount(2) takes a mode away, so these three only undo an earlier word.
            let undoes = matches!(word, "atime" | "nostrictatime" | "norelatime");
            let plain_clear = if undoes { 0 } else { clear };
            assert_eq!((plain.attributes.set, plain.attributes.clear), (set, plain_clear), "{word}");
            assert!(plain.recursive.is_empty() && plain.data.is_empty(), "{word}");
            let recursive = MountOptions::parse(&[format!("r{word}")]);
            assert_eq!((recursive.recursive.set, recursive.recursive.clear), (set, clear), "r{word}");
            assert!(recursive.attributes.is_empty() && recursive.data.is_empty(), "r{word}");
        }
    }

    #[test]
    fn the_later_word_counts() {
        for (words, set) in [
            (&["ro", "rw"][..], 0),
            (&["rw", "ro"], attr::RDONLY),
            (&["nosuid", "suid", "nosuid"], attr::NOSUID),
            (&["noatime", "strictatime"], attr::STRICTATIME),
            (&["strictatime", "noatime"], attr::NOATIME),
            (&["noatime", "atime"], 0),
            (&["strictatime", "atime"], attr::STRICTATIME),
            (&["strictatime", "nostrictatime"], 0),
            (&["noatime", "relatime"], 0),
            (&["noatime", "nodiratime"], attr::NOATIME | attr::NODIRATIME),
        ] {
            assert_eq!(MountOptions::parse(words).attributes.set, set, "{words:?}");
        }
    }

    #[test]
    fn superblock_words_go_to_the_superblock() {
        for (words, expected) in [
            (&["ro"][..], &["ro"][..]),
            (&["ro", "rw"], &["rw"]),
            (&["sync", "dirsync", "mand", "lazytime"], &["sync", "dirsync", "mand", "lazytime"]),
            (&["sync", "async"], &["async"]),
            (&["lazytime", "nolazytime"], &["nolazytime"]),
            (&["mand", "nomand"], &["nomand"]),
            (&["silent", "loud", "iversion", "noiversion", "defaults", ""], &[]),
        ] {
            let options = MountOptions::parse(words);
            assert_eq!(options.superblock, expected, "{words:?}");
            assert_eq!(options.data, [], "{words:?}");
        }
    }

    #[test]
    fn other_words_have_their_own_meaning() {
        let options = MountOptions::parse(&["bind", "rbind", "rslave", "shared", "tmpcopyup", "remount"]);
        assert_eq!(options.bind, Some(Bind::Recursive));
        assert_eq!(options.propagation, [propagation::SLAVE | propagation::REC, propagation::SHARED]);
        assert!(options.tmpcopyup && options.remount);
        assert_eq!(MountOptions::parse(&["rbind", "bind"]).bind, Some(Bind::Recursive));
        let links = Links { copy: true, source: true, target: true };
        assert_eq!(MountOptions::parse(&["copy-symlink", "src-nofollow", "dest-nofollow"]).links, links);
        for (words, recursive, mappings) in [
            (&["x", "idmap"][..], false, None),
            (&["x", "ridmap"], true, None),
            (&["idmap", "idmap=uids=0-1-10;gids=0-2-5"], false, Some("uids=0-1-10;gids=0-2-5")),
            (&["idmap", "ridmap=uids=@0-1-1"], true, Some("uids=@0-1-1")),
        ] {
            let expected = Idmap { index: 1, recursive, mappings: mappings.map(str::to_owned) };
            assert_eq!(MountOptions::parse(words).idmap, Some(expected), "{words:?}");
        }
    }

    /// As mount(2) with MS_REMOUNT | MS_BIND: what is not given is cleared, access times aside.
    #[test]
    fn any_flag_replaces_all_flags_of_a_bind_mount() {
        use attr::{ATIME, LOCKABLE, NOATIME, NODEV, NODIRATIME, NOSUID, NOSYMFOLLOW, RDONLY, STRICTATIME};
        let change = |set, clear, keep| Change { set, clear, keep };
        for (words, expected) in [
            (&["rbind", "rprivate", "defaults", "rro"][..], Change::default()),
            (&["bind", "silent"], change(0, LOCKABLE | NOSYMFOLLOW, LOCKABLE)),
            (&["ro"], change(RDONLY, NOSUID | NODEV | 8 | NOSYMFOLLOW, NOSUID | NODEV | 8)),
            (&["rw", "nosuid", "exec"], change(NOSUID, RDONLY | NODEV | 8 | NOSYMFOLLOW, NODEV)),
            (&["atime", "diratime"], change(0, LOCKABLE | NOSYMFOLLOW, LOCKABLE)),
            (&["noatime"], change(NOATIME, LOCKABLE | NOSYMFOLLOW | ATIME | NODIRATIME, LOCKABLE)),
            (&["nodiratime"], change(NODIRATIME, LOCKABLE | NOSYMFOLLOW | ATIME, LOCKABLE)),
            (
                &["nodiratime", "strictatime"],
                change(NODIRATIME | STRICTATIME, LOCKABLE | NOSYMFOLLOW | ATIME, LOCKABLE),
            ),
        ] {
            assert_eq!(MountOptions::parse(words).change(), expected, "{words:?}");
        }
    }

    #[test]
    fn unknown_words_belong_to_the_file_system() {
        let options = MountOptions::parse(&["nosuid", "size=64k", "relatim", "rfoo"]);
        let words: Vec<(usize, &str)> =
            options.data.iter().map(|(index, word)| (*index, word.as_str())).collect();
        assert_eq!(words, [(1, "size=64k"), (2, "relatim"), (3, "rfoo")]);
    }

    #[test]
    fn propagation_has_eight_words() {
        for (word, flag) in [
            ("private", propagation::PRIVATE),
            ("slave", propagation::SLAVE),
            ("shared", propagation::SHARED),
            ("unbindable", propagation::UNBINDABLE),
        ] {
            assert_eq!(propagation_flags(word), Some(flag));
            assert_eq!(propagation_flags(&format!("r{word}")), Some(flag | propagation::REC));
        }
        assert_eq!(propagation_flags("rw"), None);
    }

    #[test]
    fn propagation_is_told_as_it_was_written() {
        for word in
            ["shared", "rshared", "slave", "rslave", "private", "rprivate", "unbindable", "runbindable"]
        {
            assert_eq!(propagation_flags(word).map(propagation_name), Some(word));
        }
        assert_eq!(propagation_name(0), "unchanged");
    }
}
