//! Each word of the table of config.md, seen in mountinfo.

use oci_conformance::{host, skip_unless};

use super::support::{Case, flags, options};

/// Words for a new tmpfs, a word of mountinfo, and whether it is there.
const NEW: &[(&[&str], &str, bool)] = &[
    (&["defaults"], "rw", true),
    (&["ro"], "ro", true),
    (&["ro", "rw"], "ro", false),
    (&["nosuid"], "nosuid", true),
    (&["nosuid", "suid"], "nosuid", false),
    (&["nodev"], "nodev", true),
    (&["nodev", "dev"], "nodev", false),
    (&["noexec"], "noexec", true),
    (&["noexec", "exec"], "noexec", false),
    (&["sync"], "sync", true),
    (&["sync", "async"], "sync", false),
    (&["dirsync"], "dirsync", true),
    (&["lazytime"], "lazytime", true),
    (&["lazytime", "nolazytime"], "lazytime", false),
    (&["mand"], "rw", true),
    (&["mand", "nomand"], "mand", false),
    (&["silent"], "rw", true),
    (&["loud"], "rw", true),
    (&["iversion"], "rw", true),
    (&["noiversion"], "rw", true),
    (&["noatime"], "noatime", true),
    (&["noatime", "atime"], "noatime", false),
    (&["nodiratime"], "nodiratime", true),
    (&["nodiratime", "diratime"], "nodiratime", false),
    (&["relatime"], "relatime", true),
    (&["norelatime"], "noatime", false),
    (&["strictatime"], "relatime", false),
    (&["strictatime", "nostrictatime"], "relatime", true),
    (&["nosymfollow"], "nosymfollow", true),
    (&["nosymfollow", "symfollow"], "nosymfollow", false),
    (&["size=64k"], "size=64k", true),
    (&["size=64k", "nr_inodes=7,mode=711"], "nr_inodes=7", true),
];

fn place(words: &[&str]) -> String {
    format!("/t/{}", words.join(","))
}

// spec: linux.mounts.option.async linux.mounts.option.atime linux.mounts.option.defaults linux.mounts.option.dev
// spec: linux.mounts.option.diratime linux.mounts.option.dirsync linux.mounts.option.exec
// spec: linux.mounts.option.lazytime linux.mounts.option.noatime linux.mounts.option.nodev
// spec: linux.mounts.option.nodiratime linux.mounts.option.noexec linux.mounts.option.nolazytime
// spec: linux.mounts.option.nostrictatime linux.mounts.option.nosuid linux.mounts.option.relatime
// spec: linux.mounts.option.ro linux.mounts.option.rw linux.mounts.option.strictatime linux.mounts.option.suid
// spec: linux.mounts.option.sync linux.mounts.option.nosymfollow linux.mounts.option.symfollow
// spec: linux.mounts.option.norelatime linux.mounts.option.silent linux.mounts.option.loud
// spec: linux.mounts.option.iversion linux.mounts.option.noiversion config.mounts.options.unknown-as-data
// spec: config.mounts.options.table config.mounts.options.mount8-meaning
#[test]
fn words_for_a_new_file_system() {
    skip_unless!(host::is_root(), "root");
    let case = |known: fn(&&(&[&str], &str, bool)) -> bool| {
        NEW.iter().filter(known).fold(Case::new(), |case, (words, ..)| case.tmpfs(&place(words), words))
    };
    // The others fail for words that they take for data of tmpfs: runc 1.1 for these, crun for more.
    const AS_DATA: [&str; 3] = ["nosymfollow", "symfollow", "defaults"];
    case(|(words, ..)| !words.iter().any(|word| AS_DATA.contains(word))).compared(&["runc"], &[]);
    let facts = case(|_| true).compared(&[], &[]);
    for (words, word, is_there) in NEW {
        let seen = options(&facts, &place(words));
        assert_eq!(seen.iter().any(|seen| seen == word), *is_there, "{words:?}: {word} in {seen:?}");
    }
}

/// Words for a bind mount of a file system that is `ro,nosuid,nodev,noexec,noatime,nodiratime`, and what comes of it.
const BIND: &[(&str, &str)] = &[
    ("", "ro,nosuid,nodev,noexec,noatime,nodiratime"),
    ("rprivate,defaults", "ro,nosuid,nodev,noexec,noatime,nodiratime"),
    ("ro", "ro,noatime,nodiratime"),
    ("rw", "rw,noatime,nodiratime"),
    ("nosuid", "rw,nosuid,noatime,nodiratime"),
    ("suid", "rw,noatime,nodiratime"),
    ("nodev", "rw,nodev,noatime,nodiratime"),
    ("dev", "rw,noatime,nodiratime"),
    ("noexec", "rw,noexec,noatime,nodiratime"),
    ("exec", "rw,noatime,nodiratime"),
    ("silent", "rw,noatime,nodiratime"),
    ("sync", "rw,noatime,nodiratime"),
    ("atime", "rw,noatime,nodiratime"),
    ("diratime", "rw,noatime,nodiratime"),
    ("norelatime", "rw,noatime,nodiratime"),
    ("noatime", "rw,noatime"),
    ("nodiratime", "rw,nodiratime,relatime"),
    ("relatime", "rw,relatime"),
    ("strictatime", "rw"),
    ("ro,nosuid,nodev,noexec,relatime", "ro,nosuid,nodev,noexec,relatime"),
    ("ro,rw,nosuid,suid", "rw,noatime,nodiratime"),
];

const FLAGGED: &str = "mount -t tmpfs tmpfs src
mount -o remount,bind,ro,nosuid,nodev,noexec,noatime,nodiratime src";

/// What the others do otherwise.
const BIND_DIFFERS: &[(&str, &str)] = &[
    ("/t/suid", "runc before 1.2 leaves all flags alone where words only clear"),
    ("/t/dev", "as suid"),
    ("/t/exec", "as suid"),
    ("/t/rw", "as suid"),
    ("/t/atime", "as suid"),
    ("/t/diratime", "as suid"),
    ("/t/norelatime", "as suid"),
    ("/t/ro,rw,nosuid,suid", "as suid"),
];

// spec: linux.mounts.option.bind
#[test]
fn words_for_a_bind_mount() {
    skip_unless!(host::is_root(), "root");
    let case = BIND.iter().fold(Case::new().setup(FLAGGED), |case, (words, _)| {
        let mut options = vec!["bind"];
        options.extend(words.split(',').filter(|word| !word.is_empty()));
        case.bind("src", &bind_place(words), &options)
    });
    let facts = case.compared(&["runc"], BIND_DIFFERS);
    for (words, expected) in BIND {
        assert_eq!(flags(&facts, &bind_place(words)), *expected, "{words}");
    }
}

fn bind_place(words: &str) -> String {
    if words.is_empty() { "/t/none".to_owned() } else { format!("/t/{words}") }
}

/// A recursive word, flags that the tree has before, and what all of the tree has after.
const RECURSIVE: &[(&str, &str, &str)] = &[
    ("rro", "rw", "ro,relatime"),
    ("rrw", "ro", "rw,relatime"),
    ("rnosuid", "suid", "rw,nosuid,relatime"),
    ("rsuid", "nosuid", "rw,relatime"),
    ("rnodev", "dev", "rw,nodev,relatime"),
    ("rdev", "nodev", "rw,relatime"),
    ("rnoexec", "exec", "rw,noexec,relatime"),
    ("rexec", "noexec", "rw,relatime"),
    ("rnodiratime", "diratime", "rw,nodiratime,relatime"),
    ("rdiratime", "nodiratime", "rw,relatime"),
    ("rnoatime", "atime", "rw,noatime"),
    ("ratime", "noatime", "rw,relatime"),
    ("rstrictatime", "atime", "rw"),
    ("rnostrictatime", "strictatime", "rw,relatime"),
    ("rrelatime", "noatime", "rw,relatime"),
    ("rnorelatime", "relatime", "rw,relatime"),
    ("rnosymfollow", "symfollow", "rw,relatime,nosymfollow"),
    ("rsymfollow", "nosymfollow", "rw,relatime"),
    // A plain word for the top and a recursive one for all: the tree wins.
    ("rw,rro", "rw", "ro,relatime"),
    ("ro,rrw", "ro", "rw,relatime"),
];

// spec: linux.mounts.option.rbind linux.mounts.option.ratime linux.mounts.option.rdev linux.mounts.option.rdiratime
// spec: linux.mounts.option.rexec linux.mounts.option.rnoatime linux.mounts.option.rnodiratime
// spec: linux.mounts.option.rnoexec linux.mounts.option.rnorelatime linux.mounts.option.rnostrictatime
// spec: linux.mounts.option.rnosuid linux.mounts.option.rnosymfollow linux.mounts.option.rrelatime
// spec: linux.mounts.option.rro linux.mounts.option.rrw linux.mounts.option.rstrictatime linux.mounts.option.rsuid
// spec: linux.mounts.option.rsymfollow
#[test]
fn words_for_a_whole_tree() {
    skip_unless!(host::is_root(), "root");
    let case = RECURSIVE.iter().fold(Case::new(), |case, (words, before, _)| {
        let options: Vec<&str> = ["rbind"].into_iter().chain(words.split(',')).collect();
        let commands = format!(
            "mkdir src/{words}; mount -t tmpfs tmpfs src/{words}; mkdir src/{words}/sub
             mount -t tmpfs tmpfs src/{words}/sub
             mount -o remount,bind,{before} src/{words}; mount -o remount,bind,{before} src/{words}/sub"
        );
        case.setup(&commands).bind(&format!("src/{words}"), &format!("/t/{words}"), &options)
    });
    // runc 1.1 knows no rnosymfollow, crun none of both; without them the rest is compared.
    let facts = case.facts(super::support::ORLOP);
    for (words, before, expected) in RECURSIVE {
        for point in [format!("/t/{words}"), format!("/t/{words}/sub")] {
            assert_eq!(flags(&facts, &point), *expected, "{words} on {before}: {point}");
        }
    }
}

// spec: linux.mounts.option.private linux.mounts.option.rprivate linux.mounts.option.shared
// spec: linux.mounts.option.rshared linux.mounts.option.slave linux.mounts.option.rslave
// spec: linux.mounts.option.unbindable linux.mounts.option.runbindable
#[test]
fn words_of_propagation() {
    skip_unless!(host::is_root(), "root");
    const WORDS: &[(&str, &[&str], &[&str])] = &[
        ("private", &[], &["master"]),
        ("rprivate", &[], &[]),
        ("slave", &["master"], &["master"]),
        ("rslave", &["master"], &["master"]),
        ("shared", &["shared", "master"], &["master"]),
        ("rshared", &["shared", "master"], &["shared", "master"]),
        ("unbindable", &["unbindable"], &["master"]),
        ("runbindable", &["unbindable"], &["unbindable"]),
        ("slave,shared", &["shared", "master"], &["master"]),
    ];
    let setup =
        "mount -t tmpfs tmpfs src; mkdir src/sub; mount -t tmpfs tmpfs src/sub; mount --make-rshared src";
    for (words, top, sub) in WORDS {
        let options: Vec<&str> = ["rbind"].into_iter().chain(words.split(',')).collect();
        let case = Case::new().setup(setup).bind("src", "/t/x", &options);
        // crun begins with a private copy, whose mounts below stay private.
        let facts = case.compared(&["runc"], &[]);
        for (point, expected) in [("/t/x", top), ("/t/x/sub", sub)] {
            let mount = facts.mount(point).unwrap();
            let seen: Vec<&str> = mount["propagation"]
                .as_array()
                .unwrap()
                .iter()
                .map(|word| word.as_str().unwrap().split(':').next().unwrap())
                .collect();
            assert_eq!(seen, **expected, "{words} {point}");
        }
    }
}

// spec: linux.mounts.option.remount
#[test]
fn remount_changes_what_is_there() {
    skip_unless!(host::is_root(), "root");
    let case = Case::new()
        .tmpfs("/t/a", &["nosuid", "size=64k"])
        .tmpfs("/t/a", &["remount", "ro", "noexec"])
        .tmpfs("/t/b", &["ro"])
        .tmpfs("/t/b", &["remount", "rw", "size=128k"])
        .tmpfs("/t/c", &["nodev"])
        .bind("none", "/t/c", &["bind", "remount", "ro", "nodev"]);
    let facts = case.facts(super::support::ORLOP);
    let count = facts.at("/mounts").as_array().unwrap().iter();
    assert_eq!(count.filter(|mount| mount["point"].as_str().unwrap().starts_with("/t/")).count(), 3);
    assert_eq!(flags(&facts, "/t/a"), "ro,noexec,relatime");
    assert_eq!(flags(&facts, "/t/c"), "ro,nodev,relatime");
    let b = options(&facts, "/t/b");
    assert!(b.contains(&"size=128k".to_owned()), "{b:?}");
    let c = options(&facts, "/t/c");
    assert!(c.contains(&"rw".to_owned()), "the superblock stays as it was: {c:?}");
}

#[test]
fn the_root_has_the_propagation_asked_for_and_nothing_of_the_hosts() {
    skip_unless!(host::is_root(), "root");
    for (word, expected) in [
        (None, &["master"][..]),
        (Some("private"), &[]),
        (Some("rslave"), &["master"]),
        (Some("shared"), &["shared"]),
        (Some("unbindable"), &["unbindable"]),
    ] {
        let case = Case::new().setup("mount --make-rshared /");
        let case = match word {
            Some(word) => case.with(|builder| builder.set("/linux/rootfsPropagation", word)),
            None => case,
        };
        let facts = case.facts(super::support::ORLOP);
        let words = facts.mount("/").unwrap()["propagation"].as_array().unwrap();
        let seen: Vec<&str> =
            words.iter().map(|word| word.as_str().unwrap().split(':').next().unwrap()).collect();
        assert_eq!(seen, *expected, "{word:?}");
    }
}
