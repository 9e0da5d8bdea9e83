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

    /// `atime`, `nostrictatime`: back to the default if the mode given before was this one.
    fn not_atime(&mut self, value: u64) {
        if self.clear & attr::ATIME == 0 || self.set & attr::ATIME == value {
            self.atime(attr::RELATIME);
        }
    }

    pub(super) fn is_empty(self) -> bool {
        self == Self::default()
    }
}

/// What kind of bind mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bind {
    /// `bind`.
    Single,
    /// `rbind`.
    Recursive,
}

/// All options of one mount.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct MountOptions {
    pub(super) bind: Option<Bind>,
    pub(super) remount: bool,
    /// Of the mount itself.
    pub(super) attributes: Attributes,
    /// Of the mount and all below it (`rro`…).
    pub(super) recursive: Attributes,
    /// Flags of the superblock by the names that `fsconfig(2)` has for them.
    pub(super) superblock: Vec<&'static str>,
    /// Propagation, in the order given: `slave` and then `shared` are both wanted.
    pub(super) propagation: Vec<u32>,
    pub(super) tmpcopyup: bool,
    /// Words of the file system, with their place in the list.
    pub(super) data: Vec<(usize, String)>,
    /// Known words that cannot be carried out yet, with their place.
    pub(super) unsupported: Vec<(usize, &'static str)>,
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

    /// Whether the mount is to be read-only.
    pub(super) fn is_readonly(&self) -> bool {
        self.attributes.set & attr::RDONLY != 0
    }

    /// Takes a word of the table; false for any other.
    fn known(&mut self, index: usize, word: &str) -> bool {
        let recursive = word.strip_prefix('r').filter(|rest| is_recursive_attribute(rest));
        if let Some(word) = recursive {
            return attribute(&mut self.recursive, word);
        }
        if attribute(&mut self.attributes, word) {
            match word {
                // mount(2) with MS_RDONLY makes mount and superblock read-only.
                "ro" => self.superblock_flag("ro", "rw"),
                "rw" => self.superblock.retain(|&flag| flag != "ro"),
                _ => {}
            }
            return true;
        }
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
            "idmap" => self.unsupported.push((index, "idmap")),
            "ridmap" => self.unsupported.push((index, "ridmap")),
            _ => match propagation_flags(word) {
                Some(flags) => self.propagation.push(flags),
                None => return false,
            },
        }
        true
    }

    fn superblock_flag(&mut self, flag: &'static str, opposite: &str) {
        self.superblock.retain(|&other| other != flag && other != opposite);
        self.superblock.push(flag);
    }
}

/// The words that exist with an `r` in front too. `relatime` is none: `r` + `elatime` means nothing.
fn is_recursive_attribute(word: &str) -> bool {
    attribute(&mut Attributes::default(), word)
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

#[cfg(test)]
mod tests {
    use super::{Bind, MountOptions, attr, propagation, propagation_flags};

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
            ("norelatime", 0, 0),
        ] {
            let plain = MountOptions::parse(&[word]);
            assert_eq!((plain.attributes.set, plain.attributes.clear), (set, clear), "{word}");
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
            (&["ro", "rw"], &[]),
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
        assert_eq!(MountOptions::parse(&["x", "ridmap", "idmap"]).unsupported, [(1, "ridmap"), (2, "idmap")]);
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
}
