//! `linux.resources`: what reaches the files of the container's cgroup, and what is refused by name.

use std::fs;

use oci_conformance::{Bundle, BundleBuilder, Container, PROBE_PATH, Runtime, host, skip_unless};
use serde_json::{Value, json};

const ORLOP: &str = env!("CARGO_BIN_EXE_orlop");

fn waiting() -> BundleBuilder {
    Bundle::builder().name("resources").args([PROBE_PATH, "true"])
}

/// A file of the container's cgroup in the v1 hierarchy of a controller. None: that has no hierarchy here.
fn v1_value(container: &Container<'_>, controller: &str, file: &str) -> Option<String> {
    let pid = container.state()["pid"].to_string();
    let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let path = cgroups.lines().find_map(|line| {
        let (names, path) = line.split_once(':')?.1.split_once(':')?;
        names.split(',').any(|name| name == controller).then_some(path)
    })?;
    let file = format!("/sys/fs/cgroup/{controller}{path}/{file}");
    Some(fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}")).trim().to_owned())
}

/// A block device of this host that takes limits.
fn block_device() -> Option<(u64, u64)> {
    let disks = fs::read_dir("/sys/block").ok()?;
    let mut numbers: Vec<String> =
        disks.filter_map(|disk| fs::read_to_string(disk.ok()?.path().join("dev")).ok()).collect();
    numbers.sort();
    let (major, minor) = numbers.first()?.trim().split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Limits, controller, file, content.
fn v1_table((major, minor): (u64, u64)) -> Vec<(Value, &'static str, &'static str, String)> {
    let disk = |rate: u64| json!([{"major": major, "minor": minor, "rate": rate}]);
    let line = |value: u64| format!("{major}:{minor} {value}");
    let row = |resources, controller, file, content: &str| (resources, controller, file, content.to_owned());
    let mib = 1 << 20;
    vec![
        row(json!({"memory": {"limit": 64 * mib}}), "memory", "memory.limit_in_bytes", "67108864"),
        row(
            json!({"memory": {"limit": 64 * mib, "swap": 128 * mib}}),
            "memory",
            "memory.memsw.limit_in_bytes",
            "134217728",
        ),
        row(json!({"memory": {"reservation": 32 * mib}}), "memory", "memory.soft_limit_in_bytes", "33554432"),
        row(json!({"memory": {"swappiness": 17}}), "memory", "memory.swappiness", "17"),
        row(
            json!({"memory": {"kernel": 8 * mib, "kernelTCP": 8 * mib}}),
            "memory",
            "memory.kmem.tcp.limit_in_bytes",
            "8388608",
        ),
        row(
            json!({"memory": {"disableOOMKiller": true}}),
            "memory",
            "memory.oom_control",
            "oom_kill_disable 1\nunder_oom 0\noom_kill 0",
        ),
        row(json!({"memory": {"useHierarchy": true}}), "memory", "memory.use_hierarchy", "1"),
        row(json!({"cpu": {"shares": 512}}), "cpu", "cpu.shares", "512"),
        row(json!({"cpu": {"quota": 20000, "period": 50000}}), "cpu", "cpu.cfs_quota_us", "20000"),
        row(json!({"cpu": {"quota": 20000, "period": 50000}}), "cpu", "cpu.cfs_period_us", "50000"),
        row(json!({"cpu": {"quota": 20000, "burst": 5000}}), "cpu", "cpu.cfs_burst_us", "5000"),
        row(json!({"cpu": {"quota": -1}}), "cpu", "cpu.cfs_quota_us", "-1"),
        row(json!({"cpu": {"idle": 1}}), "cpu", "cpu.idle", "1"),
        row(json!({"cpu": {"cpus": "0"}}), "cpuset", "cpuset.cpus", "0"),
        row(json!({"cpu": {"mems": "0"}}), "cpuset", "cpuset.mems", "0"),
        row(json!({"pids": {"limit": 33}}), "pids", "pids.max", "33"),
        row(json!({"pids": {"limit": -1}}), "pids", "pids.max", "max"),
        (
            json!({"blockIO": {"throttleReadBpsDevice": disk(1048576)}}),
            "blkio",
            "blkio.throttle.read_bps_device",
            line(1_048_576),
        ),
        (
            json!({"blockIO": {"throttleWriteBpsDevice": disk(2097152)}}),
            "blkio",
            "blkio.throttle.write_bps_device",
            line(2_097_152),
        ),
        (
            json!({"blockIO": {"throttleReadIOPSDevice": disk(300)}}),
            "blkio",
            "blkio.throttle.read_iops_device",
            line(300),
        ),
        (
            json!({"blockIO": {"throttleWriteIOPSDevice": disk(400)}}),
            "blkio",
            "blkio.throttle.write_iops_device",
            line(400),
        ),
        row(json!({"network": {"classID": 1_048_577}}), "net_cls", "net_cls.classid", "1048577"),
        row(
            json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 4 * mib}]}),
            "hugetlb",
            "hugetlb.2MB.limit_in_bytes",
            "4194304",
        ),
    ]
}

/// Whether a v1 hierarchy with this controller is mounted where engines expect it, and the file is there at all (the
/// kernel may lack an option).
fn has(controller: &str, file: &str) -> bool {
    let root = std::path::Path::new("/sys/fs/cgroup").join(controller);
    let probe = root.join(host::unique("file-probe"));
    let is_there = fs::create_dir(&probe).is_ok() && fs::symlink_metadata(probe.join(file)).is_ok();
    drop(fs::remove_dir(&probe));
    is_there
}

// spec: linux.blockio.throttlereadbps.applied linux.blockio.throttlereadiops.applied
// spec: runtime.create.applies-all-but-process lifecycle.environment.resources-before-program
#[test]
fn each_limit_reaches_its_file_of_v1() {
    skip_unless!(host::is_root(), "root");
    let Some(disk) = block_device() else { return host::skipped("a block device") };
    let orlop = Runtime::new(ORLOP);
    for (resources, controller, file, expected) in v1_table(disk) {
        if !has(controller, file) {
            host::skipped(&format!("{file} of cgroup v1"));
            continue;
        }
        let bundle = waiting().set("/linux/resources", resources.clone()).build();
        let container = orlop.container(&bundle);
        drop(container.create(&[]).success());
        assert_eq!(v1_value(&container, controller, file).as_deref(), Some(&*expected), "{resources}");
        drop(container.delete(&["--force"]).success());
        assert_eq!(container.leftovers(), Vec::<String>::new(), "{resources}");
    }
}

// spec: linux.cpu.quota.not-below-burst linux.cpu.burst.not-above-quota linux.rdma.at-least-one
// spec: linux.unified.missing-controller-error runtime.create.unappliable-error config.values.invalid-error
#[test]
fn a_limit_that_cannot_be_set_is_refused_with_its_path() {
    skip_unless!(host::is_root(), "root");
    let orlop = Runtime::new(ORLOP);
    for (resources, path) in [
        (json!({"memory": {"limit": -7}}), "linux.resources.memory.limit"),
        (json!({"memory": {"limit": 8192, "swap": 4096}}), "linux.resources.memory.swap"),
        (json!({"memory": {"swappiness": 101}}), "linux.resources.memory.swappiness"),
        (json!({"cpu": {"quota": 5000, "burst": 6000}}), "linux.resources.cpu.burst"),
        (json!({"cpu": {"period": 999}}), "linux.resources.cpu.period"),
        (json!({"cpu": {"idle": 2}}), "linux.resources.cpu.idle"),
        (json!({"cpu": {"cpus": "0-"}}), "linux.resources.cpu.cpus"),
        (json!({"cpu": {"cpus": "4096"}}), "linux.resources.cpu.cpus"),
        (json!({"cpu": {"mems": "x"}}), "linux.resources.cpu.mems"),
        (json!({"blockIO": {"weight": 9}}), "linux.resources.blockIO.weight"),
        (
            json!({"blockIO": {"throttleReadBpsDevice": [{"major": 4095, "minor": 7, "rate": 5}]}}),
            "linux.resources.blockIO.throttleReadBpsDevice[0]",
        ),
        (
            json!({"blockIO": {"throttleReadBpsDevice": [{"major": -1, "minor": 7, "rate": 5}]}}),
            "linux.resources.blockIO.throttleReadBpsDevice[0]",
        ),
        (
            json!({"hugepageLimits": [{"pageSize": "2M", "limit": 5}]}),
            "linux.resources.hugepageLimits[0].pageSize",
        ),
        (json!({"rdma": {"mlx5_1": {}}}), "linux.resources.rdma"),
        (json!({"rdma": {"mlx5_1": {"hcaHandles": 3}}}), "linux.resources.rdma"),
        (json!({"unified": {"../cgroup.procs": "1"}}), r#"linux.resources.unified["../cgroup.procs"]"#),
        (json!({"unified": {"pids": "1"}}), r#"linux.resources.unified["pids"]"#),
        (json!({"unified": {"nosuch.max": "1"}}), r#"linux.resources.unified["nosuch.max"]"#),
        (
            json!({"devices": [{"allow": true, "type": "c", "major": 4_294_967_296_u64, "access": "r"}]}),
            "linux.resources.devices[0].major",
        ),
        (
            json!({"devices": [{"allow": true, "type": "c", "minor": -2, "access": "r"}]}),
            "linux.resources.devices[0].minor",
        ),
        (
            json!({"devices": [{"allow": true, "type": "c", "access": "rx"}]}),
            "linux.resources.devices[0].access",
        ),
    ] {
        let bundle = waiting().set("/linux/resources", resources.clone()).build();
        let container = orlop.container(&bundle);
        // The log escapes quotes.
        let failed = container.create(&[]).failure(1).replace('\\', "");
        assert!(failed.contains(path), "{resources}: {failed}");
        assert_eq!(container.leftovers(), Vec::<String>::new(), "{resources}");
    }
}

#[test]
fn a_controller_that_is_not_mounted_is_named() {
    skip_unless!(host::is_root(), "root");
    let orlop = Runtime::new(ORLOP);
    for (resources, controller, path) in [
        (json!({"network": {"classID": 7}}), "net_cls", "linux.resources.network.classID"),
        (
            json!({"network": {"priorities": [{"name": "lo", "priority": 5}]}}),
            "net_prio",
            "linux.resources.network.priorities[0]",
        ),
    ] {
        if fs::read_dir(format!("/sys/fs/cgroup/{controller}")).is_ok() {
            continue;
        }
        let bundle = waiting().set("/linux/resources", resources).build();
        let container = orlop.container(&bundle);
        let failed = container.create(&[]).failure(1);
        assert!(failed.contains(controller) && failed.contains(path), "{failed}");
        assert_eq!(container.leftovers(), Vec::<String>::new(), "{controller}");
    }
}

#[test]
fn without_a_cgroup_manager_the_container_stays_where_the_caller_is() {
    skip_unless!(host::is_root(), "root");
    let runtime = Runtime::new(ORLOP).option("--cgroup-manager").option("disabled");
    let bundle = waiting()
        .set("/linux/namespaces", json!([{"type": "mount"}, {"type": "pid"}, {"type": "uts"}]))
        .build();
    let container = runtime.container(&bundle);
    drop(container.create(&[]).success());
    let of = |pid: &str| fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("readable");
    assert_eq!(of(&container.state()["pid"].to_string()), of("self"));
    drop(container.delete(&["--force"]).success());
    assert!(container.leftovers().is_empty(), "{:?}", container.leftovers());
}

// spec: linux.intelrdt.no-resctrl-error linux.intelrdt.membwschema.prefix linux.intelrdt.membwschema.no-newline
// spec: linux.intelrdt.schemata.no-newline
#[test]
fn a_resctrl_group_is_refused_without_resctrl_and_for_wrong_names() {
    skip_unless!(host::is_root(), "root");
    let orlop = Runtime::new(ORLOP);
    let has_resctrl = fs::read_dir("/sys/fs/resctrl/info").is_ok();
    for (rdt, words) in [
        (json!({}), "linux.intelRdt: no resctrl file system is mounted"),
        (json!({"closID": "../x"}), "linux.intelRdt.closID"),
        (json!({"memBwSchema": "L3:0=f"}), "linux.intelRdt.memBwSchema"),
        (json!({"memBwSchema": "MB:0=20\nMB:1=20"}), "linux.intelRdt.memBwSchema"),
        (json!({"schemata": ["L3:0=f", "L3:0=f\nMB:0=20"]}), "linux.intelRdt.schemata[1]"),
    ] {
        if has_resctrl && rdt == json!({}) {
            continue;
        }
        let bundle = waiting().set("/linux/intelRdt", rdt.clone()).build();
        let container = orlop.container(&bundle);
        let told = container.create(&[]).failure(1);
        assert!(told.contains(words), "{rdt}: {told}");
        assert_eq!(container.leftovers(), Vec::<String>::new(), "{rdt}");
    }
}
