//! `update`: every value is read back from the cgroup's files.

use std::{
    fs,
    io::Write,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use oci_conformance::{Bundle, BundleBuilder, Container, PROBE_PATH, Runtime, host, skip_unless};
use serde_json::json;

const ORLOP: &str = env!("CARGO_BIN_EXE_orlop");

fn builder() -> BundleBuilder {
    Bundle::builder().args([PROBE_PATH, "sleep"])
}

/// The folder of a container's cgroup in the hierarchy of a controller; empty: v2.
fn cgroup(container: &Container<'_>, controller: &str) -> PathBuf {
    let pid = container.state()["pid"].to_string();
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("cgroups");
    let path = text.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let is_it = fields.next()?.split(',').any(|name| name == controller);
        is_it.then(|| fields.next()).flatten()
    });
    let path = path.unwrap_or_else(|| panic!("no {controller} in {text}")).trim_start_matches('/').to_owned();
    let mount = match (host::cgroup_layout(), controller) {
        (host::CgroupLayout::Unified, _) => "/sys/fs/cgroup".to_owned(),
        (_, "") => "/sys/fs/cgroup/unified".to_owned(),
        (_, controller) => format!("/sys/fs/cgroup/{controller}"),
    };
    PathBuf::from(mount).join(path)
}

fn value(container: &Container<'_>, file: &str) -> String {
    let controller = file.split('.').next().expect("a controller");
    let path = cgroup(container, controller).join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).trim().to_owned()
}

fn has_v1(controllers: &[&str]) -> bool {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mounted = |name: &&str| {
        own.lines().any(|line| line.split(':').nth(1).is_some_and(|c| c.split(',').any(|c| c == *name)))
    };
    controllers.iter().all(mounted)
}

/// `update` with a JSON document on its standard input.
fn update_by_stdin(
    orlop: &Runtime,
    container: &Container<'_>,
    options: &[&str],
    json: &serde_json::Value,
) -> Output {
    let words = ["update", "--resources", "-"].iter().chain(options).copied().chain([container.id()]);
    let mut command: Command = orlop.command(words);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("runs");
    child.stdin.take().expect("a pipe").write_all(json.to_string().as_bytes()).expect("write");
    child.wait_with_output().expect("ends")
}

/// Options, then files and what they read afterwards.
type Step = (&'static [&'static str], &'static [(&'static str, &'static str)]);

/// In this order on one container.
const STEPS: &[Step] = &[
    (&["--memory", "64m"], &[("memory.limit_in_bytes", "67108864")]),
    (
        &["--memory-swap", "128m"],
        &[("memory.memsw.limit_in_bytes", "134217728"), ("memory.limit_in_bytes", "67108864")],
    ),
    (
        &["--memory", "268435456", "--memory-swap=512M"],
        &[("memory.limit_in_bytes", "268435456"), ("memory.memsw.limit_in_bytes", "536870912")],
    ),
    (
        &["--memory", "32m", "--memory-swap", "48m"],
        &[("memory.limit_in_bytes", "33554432"), ("memory.memsw.limit_in_bytes", "50331648")],
    ),
    (&["--memory-reservation", "24m"], &[("memory.soft_limit_in_bytes", "25165824")]),
    (
        &["--memory", "-1"],
        &[
            ("memory.limit_in_bytes", "9223372036854771712"),
            ("memory.memsw.limit_in_bytes", "9223372036854771712"),
            ("memory.soft_limit_in_bytes", "25165824"),
        ],
    ),
    (&["--kernel-memory-tcp", "8m"], &[("memory.kmem.tcp.limit_in_bytes", "8388608")]),
    (&["--cpu-share", "512"], &[("cpu.shares", "512")]),
    (&["--cpu-period", "50000"], &[("cpu.cfs_period_us", "50000"), ("cpu.cfs_quota_us", "-1")]),
    (&["--cpu-quota", "20000"], &[("cpu.cfs_quota_us", "20000"), ("cpu.cfs_period_us", "50000")]),
    (&["--cpu-burst", "10000"], &[("cpu.cfs_burst_us", "10000"), ("cpu.cfs_quota_us", "20000")]),
    (
        &["--cpu-quota", "5000", "--cpu-burst", "1000", "--cpu-period", "100000"],
        &[("cpu.cfs_quota_us", "5000"), ("cpu.cfs_burst_us", "1000"), ("cpu.cfs_period_us", "100000")],
    ),
    (&["--cpu-quota", "-1", "--cpu-burst", "0"], &[("cpu.cfs_quota_us", "-1"), ("cpu.cfs_burst_us", "0")]),
    (&["--cpu-idle", "1"], &[("cpu.idle", "1")]),
    (&["--cpu-idle", "0", "--cpu-share", "100"], &[("cpu.idle", "0"), ("cpu.shares", "100")]),
    (&["--cpuset-cpus", "0", "--cpuset-mems", "0"], &[("cpuset.cpus", "0"), ("cpuset.mems", "0")]),
    (&["--pids-limit", "17"], &[("pids.max", "17")]),
    (&["--pids-limit", "-1"], &[("pids.max", "max")]),
];

#[test]
fn every_option_changes_its_file_and_nothing_else() {
    skip_unless!(host::is_root(), "root");
    skip_unless!(has_v1(&["memory", "cpu", "cpuset", "pids"]), "v1 controllers");
    let orlop = Runtime::new(ORLOP);
    let bundle = builder().build();
    let container = orlop.container(&bundle);
    drop(container.create(&[]).success());
    drop(container.start().success());
    for (options, files) in STEPS {
        let done = container.call("update", options).success();
        assert_eq!((done.stdout(), done.stderr()), (String::new(), String::new()), "{options:?}");
        for (file, expected) in *files {
            assert_eq!(value(&container, file), *expected, "{options:?} {file}");
        }
    }
}

#[test]
fn realtime_limits_change_where_the_kernel_has_them() {
    skip_unless!(host::is_root(), "root");
    skip_unless!(
        fs::exists("/sys/fs/cgroup/cpu/cpu.rt_period_us").is_ok_and(|there| there),
        "CONFIG_RT_GROUP_SCHED"
    );
    let orlop = Runtime::new(ORLOP);
    let bundle = builder().build();
    let container = orlop.container(&bundle);
    drop(container.create(&[]).success());
    drop(container.call("update", &["--cpu-rt-period", "500000"]).success());
    assert_eq!(value(&container, "cpu.rt_period_us"), "500000");
    drop(container.call("update", &["--cpu-rt-runtime", "1000"]).success());
    assert_eq!(value(&container, "cpu.rt_runtime_us"), "1000");
    assert_eq!(value(&container, "cpu.rt_period_us"), "500000");
}

#[test]
fn runc_makes_the_same_of_the_same_options() {
    skip_unless!(host::is_root(), "root");
    skip_unless!(host::find("runc").is_some(), "runc");
    skip_unless!(has_v1(&["memory", "cpu", "cpuset", "pids"]), "v1 controllers");
    // Of these runc 1.1 has no option, or it ignores it with a warning.
    let unknown = ["--cpu-burst", "--cpu-idle", "--kernel-memory-tcp"];
    let bundle = builder().build();
    let runtimes = [Runtime::new("runc"), Runtime::new(ORLOP)];
    let containers = runtimes.each_ref().map(|runtime| runtime.container(&bundle));
    for container in &containers {
        drop(container.create(&[]).success());
    }
    for (options, files) in
        STEPS.iter().filter(|(options, _)| !options.iter().any(|option| unknown.contains(option)))
    {
        let [theirs, ours] = containers.each_ref().map(|container| {
            let code = container.call("update", options).code();
            (code, files.iter().map(|(file, _)| value(container, file)).collect::<Vec<_>>())
        });
        assert_eq!(ours, theirs, "{options:?}");
    }
}

#[test]
fn resources_come_from_a_file_or_standard_input_and_zeroes_change_nothing() {
    skip_unless!(host::is_root(), "root");
    skip_unless!(has_v1(&["memory", "cpu", "pids"]), "v1 controllers");
    let orlop = Runtime::new(ORLOP);
    let bundle = builder().build();
    let container = orlop.container(&bundle);
    drop(container.create(&[]).success());
    let resources = json!({
        "memory": { "limit": 67108864, "swap": 67108864, "checkBeforeUpdate": true },
        "cpu": { "shares": 200, "quota": 30000, "period": 60000, "cpus": "0" },
        "pids": { "limit": 30 },
        "unified": { "cgroup.max.depth": "5" },
        "devices": [{ "allow": false, "access": "rwm" }],
    });
    let expected = [
        ("memory.limit_in_bytes", "67108864"),
        ("memory.memsw.limit_in_bytes", "67108864"),
        ("cpu.shares", "200"),
        ("cpu.cfs_quota_us", "30000"),
        ("cpu.cfs_period_us", "60000"),
        ("cpuset.cpus", "0"),
        ("pids.max", "30"),
    ];
    let check = |when: &str| {
        for (file, expected) in expected {
            assert_eq!(value(&container, file), expected, "{when} {file}");
        }
    };
    // Other options do not count beside it.
    let output = update_by_stdin(&orlop, &container, &["--pids-limit", "5"], &resources);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    check("stdin");
    if host::cgroup_layout() == host::CgroupLayout::Hybrid {
        let depth = fs::read_to_string(cgroup(&container, "").join("cgroup.max.depth")).expect("v2");
        assert_eq!(depth, "5\n");
    }
    let nothing = json!({
        "memory": { "limit": 0, "swap": 0, "reservation": 0 },
        "cpu": { "shares": 0, "quota": 0, "period": 0, "cpus": "", "mems": "" },
        "blockIO": { "weight": 0 },
    });
    let file = bundle.path().join("resources.json");
    for json in [nothing, json!({})] {
        fs::write(&file, json.to_string()).expect("write");
        drop(container.call("update", &["-r", &file.to_string_lossy()]).success());
        check("zeroes");
    }
}

#[test]
fn a_refused_update_leaves_all_old_values() {
    skip_unless!(host::is_root(), "root");
    skip_unless!(has_v1(&["memory", "cpu", "pids"]), "v1 controllers");
    let orlop = Runtime::new(ORLOP);
    let bundle = builder()
        .set("/linux/resources/memory", json!({ "limit": 67108864, "swap": 134217728 }))
        .set("/linux/resources/cpu", json!({ "shares": 300 }))
        .set("/linux/resources/pids", json!({ "limit": 20 }))
        .build();
    let container = orlop.container(&bundle);
    drop(container.create(&[]).success());
    let files =
        ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "cpu.shares", "cpuset.cpus", "pids.max"];
    let values = || files.map(|file| value(&container, file));
    let before = values();
    for (options, words) in [
        // No such processor, which the kernel finds after the others were written.
        (
            &["--memory", "128m", "--memory-swap", "256m", "--cpu-share", "400", "--cpuset-cpus", "4000"][..],
            "cpuset.cpus",
        ),
        (&["--pids-limit", "7", "--memory", "256m"], "memory.swap"),
        (&["--pids-limit", "7", "--memory-swap", "32m"], "memory.swap"),
        (&["--pids-limit", "7", "--cpu-period", "5"], "cpu.period"),
        (&["--pids-limit", "7", "--cpu-idle", "2"], "cpu.idle"),
        (&["--pids-limit", "7", "--blkio-weight", "5"], "blockIO.weight"),
        (&["--pids-limit", "7", "--cpuset-cpus", "x"], "cpu.cpus"),
        (&["--pids-limit", "7", "--memory", "12x"], "invalid value for memory: "),
        (&["--pids-limit", "7", "--cpu-quota", "much"], "invalid value for cpu-quota: "),
        (&["--pids-limit", "7", "--cpu-share", "-1"], "invalid value for cpu-share: "),
        (
            &["--pids-limit", "7", "--l3-cache-schema", "L3:0=f"],
            "Intel RDT/CAT: l3 cache schema is not enabled",
        ),
        (
            &["--pids-limit", "7", "--mem-bw-schema", "MB:0=10"],
            "Intel RDT/MBA: memory bandwidth schema is not enabled",
        ),
        (&["--pids-limit", "7", "--devices"], "--devices needs --resources"),
        (&["--resources", "/nonexistent/file"], "no such file or directory"),
    ] {
        let said = container.call("update", options).failure(1);
        assert!(said.contains(words), "{options:?}: {said}");
        assert_eq!(values(), before, "{options:?}");
    }
    for (json, words) in [
        (json!({ "pids": { "limit": "many" } }), "linux.resources.pids.limit"),
        (json!({ "pids": { "limit": 7 }, "unified": { "no.such": "1" } }), "no"),
        (json!({ "pids": { "limit": 7 }, "hugepageLimits": [{ "pageSize": "3MB", "limit": 0 }] }), "hugetlb"),
        (json!([]), "linux.resources"),
    ] {
        let output = update_by_stdin(&orlop, &container, &[], &json);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && said.contains(words), "{json}: {said}");
        assert_eq!(values(), before, "{json}");
    }
}

#[test]
fn a_limit_is_completed_by_what_was_asked_for_before() {
    skip_unless!(host::is_root(), "root");
    skip_unless!(has_v1(&["memory"]), "v1 controllers");
    let orlop = Runtime::new(ORLOP);
    let bundle =
        builder().set("/linux/resources/memory", json!({ "limit": 67108864, "swap": 134217728 })).build();
    let container = orlop.container(&bundle);
    drop(container.create(&[]).success());
    for (options, memory, both) in [
        (["--memory", "96m"], "100663296", "134217728"),
        (["--memory-swap", "100m"], "100663296", "104857600"),
        (["--memory-swap", "96m"], "100663296", "100663296"),
        (["--memory-swap", "-1"], "100663296", "9223372036854771712"),
        (["--memory", "200m"], "209715200", "9223372036854771712"),
    ] {
        drop(container.call("update", &options).success());
        assert_eq!(value(&container, "memory.limit_in_bytes"), memory, "{options:?}");
        assert_eq!(value(&container, "memory.memsw.limit_in_bytes"), both, "{options:?}");
    }
}

#[test]
fn device_rules_change_only_when_that_is_asked_for() {
    skip_unless!(host::is_root(), "root");
    let mut runtimes = vec![Runtime::new(ORLOP)];
    if host::has_unified_view() {
        runtimes.push(Runtime::new(ORLOP).in_unified_view());
    }
    for orlop in runtimes {
        let bundle =
            Bundle::builder().args([PROBE_PATH, "each", "cat", "--", "open", "/dev/zero", "r"]).build();
        let rules = json!({ "devices": [
            { "allow": false, "access": "rwm" },
            { "allow": false, "type": "c", "major": 1, "minor": 5, "access": "r" },
        ] });
        for (options, errno) in [(&[][..], "0\n"), (&["--devices"], "1\n")] {
            // It opens the device when its standard input ends.
            let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).expect("pipe");
            let container = orlop.container(&bundle);
            let mut command = orlop.command(container.in_bundle("create", &[]));
            let (said, output) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).expect("pipe");
            let status = command.stdin(reader).stdout(output).stderr(Stdio::null()).status().expect("runs");
            drop(command);
            assert!(status.success());
            drop(container.start().success());
            let updated = update_by_stdin(&orlop, &container, options, &rules);
            assert!(updated.status.success(), "{updated:?}");
            drop(writer);
            container.wait();
            let text = std::io::read_to_string(fs::File::from(said)).expect("read");
            assert_eq!(text, errno, "{options:?}");
        }
    }
}

#[test]
fn limits_of_v2_are_updated_and_controllers_enabled_for_them() {
    skip_unless!(host::is_root() && host::has_unified_view(), "root and a unified view");
    skip_unless!(host::unified_controllers().iter().any(|name| name == "hugetlb"), "hugetlb in cgroup v2");
    let orlop = Runtime::new(ORLOP).in_unified_view();
    let bundle = builder().build();
    let container = orlop.container(&bundle);
    drop(container.create(&[]).success());
    let resources = json!({
        "hugepageLimits": [{ "pageSize": "2MB", "limit": 4194304 }],
        "unified": { "cgroup.max.descendants": "3" },
    });
    let output = update_by_stdin(&orlop, &container, &[], &resources);
    assert!(output.status.success(), "{output:?}");
    let read = |file: &str| fs::read_to_string(cgroup(&container, "").join(file)).expect("a file");
    assert_eq!(read("hugetlb.2MB.max"), "4194304\n");
    assert_eq!(read("cgroup.max.descendants"), "3\n");
    let resources = json!({
        "hugepageLimits": [{ "pageSize": "2MB", "limit": 8388608 }],
        "unified": { "cgroup.max.descendants": "none" },
    });
    let output = update_by_stdin(&orlop, &container, &[], &resources);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(read("hugetlb.2MB.max"), "4194304\n");
}

#[test]
fn a_container_that_does_not_run_is_not_updated() {
    skip_unless!(host::is_root(), "root");
    let orlop = Runtime::new(ORLOP);
    let bundle = builder().build();
    let container = orlop.container(&bundle);
    assert!(container.call("update", &["--pids-limit", "5"]).failure(1).contains("container does not exist"));
    drop(container.create(&[]).success());
    drop(container.call("pause", &[]).success());
    drop(container.call("update", &["--pids-limit", "5"]).success());
    assert_eq!(value(&container, "pids.max"), "5");
    drop(container.call("resume", &[]).success());
    drop(container.kill("KILL").success());
    container.wait();
    assert!(container.call("update", &["--pids-limit", "6"]).failure(1).contains("container not running"));
}
