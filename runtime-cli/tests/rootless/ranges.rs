//! Ranges of ids, which the tools of the package uidmap map for a plain user.

use std::{fs, os::unix::fs::PermissionsExt};

use oci_conformance::{BundleBuilder, host, skip_unless};
use serde_json::json;

use crate::users::User;

/// A user with ranges of subordinate ids, and where the first of each begins.
pub struct Ranged {
    pub user: User,
    uids: u32,
    gids: u32,
}

/// How many ids of a range are used.
const RANGE: u32 = 1000;

/// Root plays the first user who has ranges; a plain user needs some of its own.
pub fn ranged() -> Option<Ranged> {
    let tools = ["newuidmap", "newgidmap"].iter().all(|tool| host::find(tool).is_some());
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let users = passwd.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        Some((
            fields.first()?.to_string(),
            fields.get(2)?.parse::<u32>().ok()?,
            fields.get(3)?.parse::<u32>().ok()?,
        ))
    });
    let own = rustix::process::geteuid().as_raw();
    let found = users
        .filter(|(_, uid, gid)| uid == gid && *uid != 0 && (host::is_root() || *uid == own))
        .find_map(|(name, uid, _)| {
            Some((uid, range("/etc/subuid", &name, uid)?, range("/etc/subgid", &name, uid)?))
        });
    match found.filter(|_| tools && host::user_namespaces()) {
        Some((uid, uids, gids)) => Some(Ranged { user: User::new(uid), uids, gids }),
        None => {
            host::skipped("newuidmap, and a user with ranges in /etc/subuid and /etc/subgid");
            None
        }
    }
}

/// The first id of a user's first range that is large enough.
fn range(file: &str, name: &str, uid: u32) -> Option<u32> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let is_own = *fields.first()? == name || fields[0] == uid.to_string();
        let (first, size) = (fields.get(1)?.parse().ok()?, fields.get(2)?.parse::<u32>().ok()?);
        (is_own && size >= RANGE).then_some(first)
    })
}

impl Ranged {
    /// As engines map: the own id is root, the range are the others.
    fn bundle(&self, args: &[&str]) -> BundleBuilder {
        let map = |own: u32, first: u32| {
            json!([
                { "containerID": 0, "hostID": own, "size": 1 },
                { "containerID": 1, "hostID": first, "size": RANGE },
            ])
        };
        self.user
            .bundle(args)
            .set("/linux/uidMappings", map(self.user.uid, self.uids))
            .set("/linux/gidMappings", map(self.user.uid, self.gids))
    }
}

#[test]
fn ranges_of_a_plain_user_are_mapped_by_newuidmap() {
    let Some(ranged) = ranged() else { return };
    let user = json!({ "uid": 33, "gid": 34, "additionalGids": [35, 36] });
    let bundle = ranged.bundle(&["facts"]).set("/process/user", user).build();
    let container = ranged.user.runtime.container(&bundle);
    let facts = container.run_facts();
    assert_eq!(facts.at("/uid_map"), &json!([[0, ranged.user.uid, 1], [1, ranged.uids, RANGE]]));
    assert_eq!(facts.at("/gid_map"), &json!([[0, ranged.user.uid, 1], [1, ranged.gids, RANGE]]));
    assert_eq!((facts.at("/uid/effective"), facts.at("/gid/effective")), (&json!(33), &json!(34)));
    assert_eq!(facts.at("/groups"), &json!([35, 36]));
    assert_eq!(container.leftovers(), Vec::<String>::new());
}

#[test]
fn a_range_of_somebody_else_is_refused_in_the_words_of_the_tool() {
    let Some(mut ranged) = ranged() else { return };
    // Hints are for people, and in JSON for machines.
    ranged.user.runtime = ranged.user.runtime.option("--log-format=json");
    let foreign = json!([{ "containerID": 0, "hostID": 2_000_000_000, "size": 7 }]);
    for (map, tool) in [("uidMappings", "newuidmap"), ("gidMappings", "newgidmap")] {
        let bundle = ranged.bundle(&["true"]).set(&format!("/linux/{map}"), foreign.clone()).build();
        let container = ranged.user.runtime.container(&bundle);
        let failed = container.create(&[]).failure(1);
        for words in [tool, "not allowed", "2000000000:7 is not in it"] {
            assert!(failed.contains(words), "{words:?} is not in {failed}");
        }
        assert_eq!(container.leftovers(), Vec::<String>::new());
    }
}

/// Engines call with few variables.
#[test]
fn tools_are_found_without_a_path() {
    let Some(mut ranged) = ranged() else { return };
    skip_unless!(std::path::Path::new("/usr/bin/newuidmap").is_file(), "/usr/bin/newuidmap");
    ranged.user.runtime = ranged.user.runtime.wrapped_in(["env", "-u", "PATH"]);
    let bundle = ranged.bundle(&["true"]).build();
    drop(ranged.user.runtime.container(&bundle).run(&[]).success());
}

#[test]
fn a_missing_tool_is_named_with_its_package() {
    skip_unless!(host::is_root(), "root, to hide the tools");
    let Some(mut ranged) = ranged() else { return };
    let programs = host::TempDir::new("without-tools");
    fs::set_permissions(programs.path(), fs::Permissions::from_mode(0o755)).expect("mode");
    fs::copy(host::find("setpriv").expect("setpriv"), programs.path().join("setpriv")).expect("copy");
    let hide = "mount --bind \"$0\" /usr/bin && PATH=/usr/bin exec \"$@\"";
    let words = ["unshare", "-m", "sh", "-c", hide, &programs.path().to_string_lossy()].map(str::to_owned);
    ranged.user.runtime = ranged.user.runtime.option("--log-format=json").wrapped_in(words);
    let bundle = ranged.bundle(&["true"]).build();
    let container = ranged.user.runtime.container(&bundle);
    let failed = container.create(&[]).failure(1);
    assert!(failed.contains("newuidmap is not installed"), "{failed}");
    assert!(failed.contains("uidmap (Debian, Ubuntu)"), "{failed}");
    assert_eq!(container.leftovers(), Vec::<String>::new());
}
