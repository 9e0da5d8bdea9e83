//! Id-mapped mounts: owners as the container sees them, on the host unchanged.

use oci_conformance::{Facts, host, skip_unless};
use serde_json::{Value, json};

use super::support::{Case, ORLOP};

fn map(lines: &[[u32; 3]]) -> Value {
    let line =
        |[container, host, size]: &[u32; 3]| json!({"containerID": container, "hostID": host, "size": size});
    Value::Array(lines.iter().map(line).collect())
}

fn mount(target: &str, options: &[&str], uids: &[[u32; 3]], gids: &[[u32; 3]]) -> Value {
    json!({
        "destination": target, "type": "bind", "source": "@BUNDLE@/src", "options": options,
        "uidMappings": map(uids), "gidMappings": map(gids),
    })
}

/// A tmpfs with files of several owners, and one more below it.
const SETUP: &str = "chmod 755 .; mount -t tmpfs tmpfs src; mkdir src/sub; mount -t tmpfs tmpfs src/sub
for folder in src src/sub; do touch $folder/root $folder/user; chown 101:222 $folder/user; done";

fn case() -> Case {
    Case::new().setup(SETUP)
}

fn owner(facts: &Facts, path: &str) -> (u64, u64) {
    let path = path.replace('/', "~1");
    let of = |id: &str| facts.at(&format!("/paths/{path}/file/{id}")).as_u64().unwrap();
    (of("uid"), of("gid"))
}

fn is_mapped(facts: &Facts, point: &str) -> bool {
    facts.mount(point).unwrap()["options"].as_array().unwrap().contains(&json!("idmapped"))
}

const BASE: u32 = 100_000;
const NOBODY: (u64, u64) = (65_534, 65_534);

// spec: linux.mounts.option.idmap linux.mounts.option.idmap.applied linux.mounts.option.idmap.explicit-mappings
// spec: linux.mounts.option.ridmap linux.mounts.option.ridmap.applied linux.mounts.option.ridmap.explicit-mappings
#[test]
fn mappings_of_an_entry_translate_owners() {
    skip_unless!(host::is_root(), "root");
    let (uids, gids) = ([[0, 1000, 1], [100, 2000, 5]], [[0, 1000, 1], [220, 3000, 5]]);
    let case = case()
        .mount(mount("/t/plain", &["bind"], &uids, &gids))
        .mount(mount("/t/tree", &["rbind", "ridmap"], &uids, &gids))
        .mount(mount("/t/top", &["rbind", "idmap", "ro", "rshared"], &uids, &gids))
        .bind("@BUNDLE@/src", "/t/none", &["bind"])
        .paths(&[
            "/t/plain/root",
            "/t/plain/user",
            "/t/tree/sub/user",
            "/t/top/user",
            "/t/top/sub/user",
            "/t/none/user",
        ]);
    for runtime in [ORLOP, "crun"] {
        if runtime == "crun" && (host::find("crun").is_none() || !host::has_unified_view()) {
            continue;
        }
        let facts = case.facts(runtime);
        for (path, expected) in [
            ("/t/plain/root", (1000, 1000)),
            ("/t/plain/user", (2001, 3002)),
            ("/t/tree/sub/user", (2001, 3002)),
            ("/t/top/user", (2001, 3002)),
            ("/t/top/sub/user", (101, 222)),
            ("/t/none/user", (101, 222)),
        ] {
            assert_eq!(owner(&facts, path), expected, "{runtime} {path}");
        }
        assert!(is_mapped(&facts, "/t/plain") && is_mapped(&facts, "/t/tree/sub"), "{runtime}");
        assert!(!is_mapped(&facts, "/t/top/sub") && !is_mapped(&facts, "/t/none"), "{runtime}");
    }
}

#[test]
fn a_user_namespace_gets_its_own_mappings_others_and_relative_ones() {
    skip_unless!(host::is_root() && host::user_namespaces(), "root and user namespaces");
    let case = case()
        .user_namespace()
        .bind("@BUNDLE@/src", "/t/own", &["bind", "idmap"])
        .bind("@BUNDLE@/src", "/t/ownall", &["rbind", "ridmap"])
        .mount(mount("/t/other", &["bind"], &[[101, BASE + 7, 1]], &[[222, BASE + 8, 1]]))
        .bind("@BUNDLE@/src", "/t/crun", &["bind", "idmap=uids=0-100009-1#101-100010-1;gids=0-100011-1"])
        .bind("@BUNDLE@/src", "/t/relative", &["bind", "idmap=uids=@0-5-200;gids=@0-6-300"])
        .bind("@BUNDLE@/src", "/t/none", &["bind"])
        .paths(&[
            "/t/own/root",
            "/t/own/user",
            "/t/ownall/sub/user",
            "/t/other/user",
            "/t/crun/root",
            "/t/crun/user",
            "/t/relative/user",
            "/t/none/root",
        ]);
    for runtime in [ORLOP, "crun"] {
        if runtime == "crun" && (host::find("crun").is_none() || !host::has_unified_view()) {
            continue;
        }
        let facts = case.facts(runtime);
        for (path, expected) in [
            ("/t/own/root", (0, 0)),
            ("/t/own/user", (101, 222)),
            ("/t/ownall/sub/user", (101, 222)),
            ("/t/other/user", (7, 8)),
            ("/t/crun/root", (9, 11)),
            ("/t/crun/user", (10, 65_534)),
            ("/t/relative/user", (106, 228)),
            ("/t/none/root", NOBODY),
        ] {
            assert_eq!(owner(&facts, path), expected, "{runtime} {path}");
        }
    }
}

#[test]
fn files_written_through_a_mapped_mount_belong_to_the_mapped_owner() {
    skip_unless!(host::is_root() && host::user_namespaces(), "root and user namespaces");
    skip_unless!(host::find("busybox").is_some(), "busybox");
    let bundle = case().user_namespace().bind("@BUNDLE@/src", "/t/own", &["bind", "idmap"]).bind(
        "@BUNDLE@/src",
        "/t/none",
        &["bind"],
    );
    let script = "/bin/busybox touch /t/own/new && /bin/busybox stat -c %u:%g /t/own/new /t/none/new";
    assert_eq!(bundle.script(script).run(ORLOP).success().stdout(), "0:0\n65534:65534\n");
}

#[test]
fn a_hidden_source_and_a_new_file_system_are_mapped_too() {
    skip_unless!(host::is_root() && host::user_namespaces(), "root and user namespaces");
    let hidden = "mkdir -m 700 hide; mkdir hide/src; touch hide/src/file; chown 3:4 hide/src/file";
    let case = case()
        .setup(hidden)
        .user_namespace()
        .bind("hide/src", "/t/hidden", &["bind", "idmap"])
        .bind("hide/src", "/t/plain", &["bind"])
        .paths(&["/t/hidden/file", "/t/plain/file"]);
    let facts = case.facts(ORLOP);
    assert_eq!(owner(&facts, "/t/hidden/file"), (3, 4));
    assert_eq!(owner(&facts, "/t/plain/file"), NOBODY);
    let tmpfs = json!({
        "destination": "/t/tmpfs", "type": "tmpfs", "source": "tmpfs", "options": ["idmap", "uid=3", "gid=4"],
        "uidMappings": map(&[[0, 1000, 10]]), "gidMappings": map(&[[0, 2000, 10]]),
    });
    let facts = Case::new().mount(tmpfs).paths(&["/t/tmpfs"]).facts(ORLOP);
    assert_eq!(owner(&facts, "/t/tmpfs"), (1003, 2004));
    assert!(is_mapped(&facts, "/t/tmpfs"));
}

/// Mappings of different kinds need no more fds than the program may have, and none is left to it.
#[test]
fn the_program_gets_none_of_the_fds() {
    skip_unless!(host::is_root() && host::user_namespaces(), "root and user namespaces");
    let case = (0..30).fold(case().user_namespace(), |case, number| {
        let maps = [[0, BASE + number % 3, 1]];
        case.mount(mount(&format!("/t/{number}"), &["bind"], &maps, &maps))
    });
    let limit = json!([{"type": "RLIMIT_NOFILE", "soft": 20, "hard": 20}]);
    let facts = case.with(|builder| builder.set("/process/rlimits", limit)).facts(ORLOP);
    assert_eq!(facts.at("/fds").as_object().unwrap().len(), 3, "{}", facts.at("/fds"));
    assert!(is_mapped(&facts, "/t/29"));
}

// spec: linux.mounts.option.idmap.no-userns-error linux.mounts.option.ridmap.no-userns-error
// spec: config.mounts.uidmappings.with-gidmappings config.mounts.gidmappings.with-uidmappings
#[test]
fn what_cannot_be_mapped_is_told_with_its_place() {
    skip_unless!(host::is_root(), "root");
    let one = [[0, 1000, 1]];
    for (case, place, words) in [
        (case().bind("@BUNDLE@/src", "/t/x", &["bind", "idmap"]), "mounts[7].options[1]", "needs uidMappings and gidMappings"),
        (case().bind("@BUNDLE@/src", "/t/x", &["rbind", "ridmap"]), "mounts[7].options[1]", "needs uidMappings and gidMappings"),
        (case().mount(mount("/t/x", &["bind"], &one, &[])), "mounts[7].gidMappings", "both uid and gid mappings"),
        (case().mount(mount("/t/x", &["bind"], &[], &one)), "mounts[7].uidMappings", "both uid and gid mappings"),
        (case().mount(mount("/t/x", &["bind"], &[[0, 1, 2], [1, 9, 1]], &one)), "mounts[7].uidMappings[1]", "overlaps"),
        (case().bind("@BUNDLE@/src", "/t/x", &["bind", "idmap=uids=0-1"]), "mounts[7].options[1]", "ID-ID-SIZE"),
        (
            case().mount(json!({
                "destination": "/t/x", "type": "sysfs", "options": ["ro"], "uidMappings": map(&one), "gidMappings": map(&one),
            })),
            "mounts[7]",
            "not every file system supports",
        ),
    ] {
        let told = case.run(ORLOP).failure(1);
        assert!(told.contains(place) && told.contains(words), "{place} {words}: {told}");
    }
}
