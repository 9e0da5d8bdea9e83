//! What the specification gives every container, what `features` promises, and rules on the order of verbs.

use std::fs;

use oci_conformance::{Bundle, PROBE_PATH, Runtime, host, skip_unless};
use serde_json::{Value, json};

const ORLOP: &str = env!("CARGO_BIN_EXE_orlop");

fn features(orlop: &Runtime) -> Value {
    serde_json::from_str(&orlop.call(["features"]).success().stdout()).expect("JSON")
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Whether `validate` has nothing to say.
#[track_caller]
fn is_valid(orlop: &Runtime, bundle: &Bundle, what: &str) {
    let output = orlop.call(["validate", &bundle.path().to_string_lossy()]);
    assert!(output.status.success(), "{what}: {}{}", output.stdout(), output.stderr());
}

// spec: linux.devices.default.null linux.devices.default.zero linux.devices.default.full linux.devices.default.random
// spec: linux.devices.default.urandom linux.devices.default.tty linux.devices.default.ptmx linux.devices.available
// spec: runtime.linux.symlinks.fd runtime.linux.symlinks.stdin runtime.linux.symlinks.stdout
// spec: runtime.linux.symlinks.stderr
#[test]
fn default_devices_and_links_are_there() {
    skip_unless!(host::is_root(), "root");
    let orlop = Runtime::new(ORLOP);
    let listed =
        json!([{"type": "c", "path": "/dev/sub/mine", "major": 1, "minor": 3, "fileMode": 0o640, "gid": 7}]);
    let bundle = Bundle::builder().set("/linux/devices", listed).build();
    let facts = orlop.container(&bundle).run_facts();
    let device = |path: &str| facts.at("/devices")[path].clone();
    for (path, major, minor) in
        [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)]
    {
        let found = device(&format!("/dev/{path}"));
        assert_eq!((&found["type"], &found["mode"]), (&json!("char"), &json!("0666")), "{path}: {found}");
        assert_eq!(found["device"], format!("{major}:{minor}"), "{path}: {found}");
    }
    let mine = device("/dev/sub/mine");
    assert_eq!(
        (&mine["device"], &mine["mode"], &mine["gid"]),
        (&json!("1:3"), &json!("0640"), &json!(7)),
        "{mine}"
    );
    for (path, target) in [
        ("ptmx", "pts/ptmx"),
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        assert_eq!(device(&format!("/dev/{path}")), json!({"type": "link", "target": target}), "{path}");
    }
}

// spec: linux.filesystems.default.proc linux.filesystems.default.sys linux.filesystems.default.devpts
// spec: linux.filesystems.default.shm
#[test]
fn default_file_systems_are_those_of_the_default_configuration() {
    skip_unless!(host::is_root(), "root");
    let bundle = Bundle::builder().build();
    let facts = Runtime::new(ORLOP).container(&bundle).run_facts();
    let mounts = facts.at("/mounts").as_array().expect("a list");
    for (point, kind) in [("/proc", "proc"), ("/sys", "sysfs"), ("/dev/pts", "devpts"), ("/dev/shm", "tmpfs")]
    {
        let is_there = mounts.iter().any(|mount| mount["point"] == point && mount["type"] == kind);
        assert!(is_there, "{kind} at {point}");
    }
}

// spec: linux.devices.no-others linux.resources.devices.order
#[test]
fn the_last_rule_on_a_device_decides_and_no_rule_is_a_no() {
    skip_unless!(host::is_root(), "root");
    let orlop = Runtime::new(ORLOP);
    let rule = |allow: bool| json!({"allow": allow, "type": "c", "major": 1, "minor": 11, "access": "rwm"});
    let all = json!({"allow": false, "access": "rwm"});
    for (rules, is_allowed) in [
        (json!([all]), false),
        (json!([all, rule(true)]), true),
        (json!([all, rule(true), rule(false)]), false),
        (json!([rule(true), all]), false),
        (json!([all, rule(false), rule(true)]), true),
    ] {
        // /dev/kmsg is no default device, and opening it for writing alone asks for no capability.
        let device = json!([{"type": "c", "path": "/dev/kmsg", "major": 1, "minor": 11, "fileMode": 0o666}]);
        let bundle = Bundle::builder()
            .set("/linux/devices", device)
            .set("/linux/resources/devices", rules.clone())
            .args([PROBE_PATH, "open", "/dev/kmsg", "w"])
            .build();
        let container = orlop.container(&bundle);
        let told = container.run(&[]).success().stdout();
        let errno = if is_allowed { "0" } else { "1" };
        assert_eq!(told.trim(), errno, "{rules}");
    }
}

// spec: config.root.readonly.true config.root.readonly.mountpoints-still-created
#[test]
fn a_readonly_root_refuses_writes_and_has_its_mount_points() {
    skip_unless!(host::is_root(), "root");
    let bundle = Bundle::builder()
        .set("/root/readonly", true)
        .mount("/made/for/a/mount", "tmpfs", "tmpfs", &["rw"])
        .args([PROBE_PATH, "each", "open", "/made", "dir", "--", "write", "/new", "x"])
        .build();
    let container = Runtime::new(ORLOP).container(&bundle).run(&[]);
    // EROFS is the exit code.
    assert_eq!((container.code(), container.stdout().trim()), (30, "0"), "{}", container.stderr());
}

// spec: config.process.rlimits.getrlimit-succeeds config.process.rlimits.soft.exact config.process.rlimits.hard.exact
// spec: config.process.oomscoreadj.set
#[test]
fn limits_and_oom_score_are_those_of_the_configuration() {
    skip_unless!(host::is_root(), "root");
    let bundle = Bundle::builder()
        .set("/process/rlimits", json!([{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]))
        .set("/process/oomScoreAdj", 321)
        .build();
    let facts = Runtime::new(ORLOP).container(&bundle).run_facts();
    assert_eq!(facts.at("/rlimits/RLIMIT_NOFILE"), &json!({"soft": 100, "hard": 200}));
    assert_eq!(facts.at("/rlimits/RLIMIT_CORE"), &json!({"soft": 0, "hard": 0}));
    assert_eq!(facts.at("/oom_score_adj"), 321);
}

// spec: config.process.consolesize.ignored-without-terminal config.process.args.execvp-slash
// spec: config.process.capabilities.unmappable-warning config.process.capabilities.no-failure
#[test]
fn what_has_no_meaning_here_is_no_failure() {
    skip_unless!(host::is_root(), "root");
    let bundle = Bundle::builder()
        .set("/process/consoleSize", json!({"height": 7, "width": 9}))
        .push("/process/capabilities/bounding", "CAP_OF_THE_FUTURE")
        .set("/process/cwd", "/bin")
        .args(["./probe", "echo", "here"])
        .build();
    let output = Runtime::new(ORLOP).option("--debug").container(&bundle).run(&[]).success();
    assert_eq!(output.stdout(), "here\n");
    assert!(output.stderr().contains("CAP_OF_THE_FUTURE"), "{}", output.stderr());
}

// spec: lifecycle.config.later-edits-ignored runtime.state.bundle.absolute runtime.state.pid.running
// spec: runtime.state.status.additional-distinct
#[test]
fn the_configuration_is_that_of_create() {
    skip_unless!(host::is_root(), "root");
    let orlop = Runtime::new(ORLOP);
    let mut bundle = Bundle::builder().args([PROBE_PATH, "sleep"]).build();
    let container = orlop.container(&bundle);
    let mut create = orlop.command(["create", "--bundle", ".", container.id()]);
    create.current_dir(bundle.path());
    drop(oci_conformance::runtime::output(create, std::time::Duration::from_secs(60)).success());
    bundle.edit(|spec| {
        spec["process"]["args"] = json!(["/no/such/program"]);
        spec["ociVersion"] = json!("9.9.9");
    });
    drop(container.start().success());
    let state = container.state();
    assert_eq!(state["bundle"], *bundle.path().canonicalize().expect("path").to_string_lossy());
    assert_eq!(state["status"], "running");
    assert!(state["pid"].as_i64().is_some_and(|pid| pid > 0), "{state}");
}

// spec: runtime.start.stopped-errors runtime.start.not-created-no-effect runtime.kill.stopped-no-effect
#[test]
fn what_has_stopped_is_neither_started_nor_killed() {
    skip_unless!(host::is_root(), "root");
    let orlop = Runtime::new(ORLOP);
    let bundle = Bundle::builder().args([PROBE_PATH, "true"]).build();
    let container = orlop.container(&bundle);
    drop(container.create(&[]).success());
    drop(container.start().success());
    container.wait();
    let before = container.state();
    assert!(!container.start().failure(1).is_empty());
    assert!(!container.kill("KILL").failure(1).is_empty());
    assert_eq!(container.state(), before);
}

// spec: runtime.delete.spares-foreign
#[test]
fn delete_leaves_what_was_there_before() {
    skip_unless!(host::is_root(), "root");
    let orlop = Runtime::new(ORLOP);
    let bundle = Bundle::builder()
        .mount("/data", "bind", "@BUNDLE@/files", &["rbind"])
        .file("files/kept", "text")
        .args([PROBE_PATH, "true"])
        .build();
    let container = orlop.container(&bundle);
    drop(container.create(&[]).success());
    drop(container.delete(&["--force"]).success());
    let kept = fs::read_to_string(bundle.path().join("files/kept")).expect("kept");
    assert_eq!(kept, "text");
    assert_eq!(container.leftovers(), Vec::<String>::new());
}

// spec: features.hooks.supported features.linux.namespaces.recognized features.linux.capabilities.recognized
// spec: features.linux.memorypolicy.modes.recognized features.linux.memorypolicy.flags.recognized
// spec: features.annotations.convention features.no-undefined-properties
#[test]
fn every_name_in_features_is_recognized() {
    skip_unless!(host::is_root(), "root, as whom nothing of the host is refused");
    let orlop = Runtime::new(ORLOP);
    let features = features(&orlop);
    let linux = &features["linux"];
    for hook in names(&features["hooks"]) {
        is_valid(
            &orlop,
            &Bundle::builder().set(&format!("/hooks/{hook}"), json!([{"path": "/bin/sh"}])).build(),
            hook,
        );
    }
    for kind in names(&linux["namespaces"]).into_iter().filter(|kind| *kind != "user") {
        is_valid(&orlop, &Bundle::builder().namespace(kind, None).build(), kind);
    }
    for name in names(&linux["capabilities"]) {
        is_valid(
            &orlop,
            &Bundle::builder().set("/process/capabilities/bounding", json!([name])).build(),
            name,
        );
    }
    for mode in names(&linux["memoryPolicy"]["modes"]) {
        let nodes = if matches!(mode, "MPOL_DEFAULT" | "MPOL_LOCAL") { "" } else { "0" };
        let policy = json!({"mode": mode, "nodes": nodes});
        is_valid(&orlop, &Bundle::builder().set("/linux/memoryPolicy", policy).build(), mode);
    }
    for flag in names(&linux["memoryPolicy"]["flags"]) {
        let policy = json!({"mode": "MPOL_BIND", "nodes": "0", "flags": [flag]});
        is_valid(&orlop, &Bundle::builder().set("/linux/memoryPolicy", policy).build(), flag);
    }
    let annotations = features["annotations"].as_object().expect("a map");
    assert!(annotations.iter().all(|(name, value)| !name.is_empty() && value.is_string()), "{annotations:?}");
    let known = [
        "ociVersionMin",
        "ociVersionMax",
        "hooks",
        "mountOptions",
        "linux",
        "annotations",
        "potentiallyUnsafeConfigAnnotations",
    ];
    assert!(
        features.as_object().expect("an object").keys().all(|name| known.contains(&name.as_str())),
        "{features}"
    );
}

// spec: features.mountoptions.recognized
#[test]
fn all_mount_options_of_features_are_known() {
    skip_unless!(host::is_root(), "root, as whom nothing of the host is refused");
    let orlop = Runtime::new(ORLOP);
    let features = features(&orlop);
    let options = names(&features["mountOptions"]);
    assert!(options.contains(&"rro"));
    for option in options {
        let map = json!([{ "containerID": 0, "hostID": 1, "size": 1 }]);
        let bundle = match option {
            "tmpcopyup" => Bundle::builder().mount("/mnt", "tmpfs", "tmpfs", &[option]),
            "idmap" | "ridmap" => Bundle::builder()
                .mount("/mnt", "bind", "/usr", &["rbind", option])
                .set("/mounts/7/uidMappings", map.clone())
                .set("/mounts/7/gidMappings", map),
            _ => Bundle::builder().mount("/mnt", "bind", "/usr", &["rbind", option]),
        };
        let bundle = bundle.build();
        is_valid(&orlop, &bundle, option);
    }
}

// spec: features.linux.seccomp.actions.recognized features.linux.seccomp.operators.recognized
// spec: features.linux.seccomp.archs.recognized features.linux.seccomp.knownflags.recognized
#[test]
fn every_word_of_seccomp_in_features_is_recognized() {
    skip_unless!(host::is_root(), "root, as whom nothing of the host is refused");
    let orlop = Runtime::new(ORLOP);
    let seccomp = features(&orlop)["linux"]["seccomp"].clone();
    let profile = |syscalls: Value, more: Value| {
        let mut profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": syscalls});
        for (name, value) in more.as_object().into_iter().flatten() {
            profile[name.as_str()] = value.clone();
        }
        Bundle::builder().set("/linux/seccomp", profile).build()
    };
    for action in names(&seccomp["actions"]) {
        let more =
            if action == "SCMP_ACT_NOTIFY" { json!({"listenerPath": "/run/agent"}) } else { json!({}) };
        is_valid(&orlop, &profile(json!([{"names": ["swapon"], "action": action}]), more), action);
    }
    for operator in names(&seccomp["operators"]) {
        let argument = json!({"index": 0, "value": 1, "valueTwo": 1, "op": operator});
        let syscalls = json!([{"names": ["swapon"], "action": "SCMP_ACT_ERRNO", "args": [argument]}]);
        is_valid(&orlop, &profile(syscalls, json!({})), operator);
    }
    for arch in names(&seccomp["archs"]) {
        let bundle = profile(json!([]), json!({"architectures": [arch]}));
        let told = orlop.call(["validate", &bundle.path().to_string_lossy()]).stdout();
        // Known, though a filter cannot be for both byte orders.
        let other_order =
            format!("linux.seccomp.architectures[0]: {arch} has another byte order than this machine\n");
        assert!(told.is_empty() || told == other_order, "{arch}: {told}");
    }
    for flag in names(&seccomp["supportedFlags"]) {
        let notify = flag.ends_with("WAIT_KILLABLE_RECV");
        let action = if notify { "SCMP_ACT_NOTIFY" } else { "SCMP_ACT_ERRNO" };
        let mut more = json!({"flags": [flag]});
        if notify {
            more["listenerPath"] = json!("/run/agent");
        }
        is_valid(&orlop, &profile(json!([{"names": ["swapon"], "action": action}]), more), flag);
    }
}

// spec: linux.devices.path.existing-mismatch-error
#[test]
fn another_file_in_the_place_of_a_device_is_an_error() {
    skip_unless!(host::is_root(), "root");
    let orlop = Runtime::new(ORLOP);
    let device = json!([{"type": "c", "path": "/etc/device", "major": 1, "minor": 3}]);
    let bundle = Bundle::builder().set("/linux/devices", device).file("rootfs/etc/device", "text").build();
    let container = orlop.container(&bundle);
    let told = container.create(&[]).failure(1);
    assert!(told.contains("/etc/device") && told.contains("linux.devices[0]"), "{told}");
    assert_eq!(fs::read_to_string(bundle.rootfs().join("etc/device")).expect("kept"), "text");
    assert_eq!(container.leftovers(), Vec::<String>::new());
}

// spec: config.process.oomscoreadj.unset-unchanged
#[test]
fn the_oom_score_is_the_callers_unless_it_is_set() {
    skip_unless!(host::is_root(), "root");
    let bundle = Bundle::builder().remove("/process/oomScoreAdj").build();
    let own = fs::read_to_string("/proc/self/oom_score_adj").expect("own");
    let facts = Runtime::new(ORLOP).container(&bundle).run_facts();
    assert_eq!(facts.at("/oom_score_adj").to_string(), own.trim());
}

// spec: runtime.create.invalid-id-errors runtime.create.invalid-id-no-container
#[test]
fn create_takes_no_id_that_is_none() {
    skip_unless!(host::is_root(), "root");
    let orlop = Runtime::new(ORLOP);
    let bundle = Bundle::builder().build();
    for id in ["", ".", "..", "a/b", "a b", "\u{e4}"] {
        let told = orlop.call(["create", "--bundle", &bundle.path().to_string_lossy(), id]).failure(1);
        assert!(told.to_lowercase().contains("container id"), "{id:?}: {told}");
    }
    assert_eq!(orlop.call(["list", "-q"]).success().stdout(), "");
}
