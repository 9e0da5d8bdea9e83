//! `linux.netDevices`: devices that move into the container. Each test has a network namespace of its own in place of
//! this host's, with veth pairs in it.

use std::process::{Command, Stdio};

use oci_conformance::{Bundle, BundleBuilder, Facts, PROBE_PATH, Runtime, host, skip_unless};
use serde_json::{Value, json};

const ORLOP: &str = env!("CARGO_BIN_EXE_orlop");

/// A named network namespace (ip-netns(8)), removed on drop.
struct Host(String);

impl Host {
    /// None where there is no `ip` or no veth.
    fn new() -> Option<Self> {
        let host = Self(host::unique("orlop-net"));
        let made =
            host.ip_quietly(&["netns", "add", &host.0]) && host.inside("link add a0 type veth peer name p0");
        made.then_some(host)
    }

    fn ip_quietly(&self, words: &[&str]) -> bool {
        let mut command = Command::new("ip");
        command.args(words).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }

    fn inside(&self, words: &str) -> bool {
        let words: Vec<&str> = words.split(' ').collect();
        self.ip_quietly(&[&["-n", &self.0], words.as_slice()].concat())
    }

    fn ip(&self, words: &str) {
        assert!(self.inside(words), "ip {words}");
    }

    fn show(&self, words: &str) -> Value {
        let words: Vec<&str> = words.split(' ').collect();
        json_of(Command::new("ip").args(["-n", &self.0, "-j"]).args(&words))
    }

    /// Addresses of a device with their prefix and scope.
    fn addresses(&self, name: &str) -> Vec<String> {
        addresses(&self.show(&format!("addr show dev {name}")))
    }

    /// A runtime that takes this namespace for its own.
    fn runtime(&self) -> Runtime {
        let path = format!("--net=/run/netns/{}", self.0);
        Runtime::new(ORLOP).wrapped_in(["nsenter".to_owned(), path, "--".to_owned()])
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.ip_quietly(&["netns", "del", &self.0]);
    }
}

/// What a command prints, null where it fails.
fn json_of(command: &mut Command) -> Value {
    let output = command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
}

fn addresses(shown: &Value) -> Vec<String> {
    let listed = shown.pointer("/0/addr_info").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut all: Vec<String> = listed
        .iter()
        .map(|address| {
            format!("{}/{} {}", text(&address["local"]), address["prefixlen"], text(&address["scope"]))
        })
        .collect();
    all.sort();
    all
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn bundle(devices: Value) -> BundleBuilder {
    Bundle::builder().name("net-devices").set("/linux/netDevices", devices)
}

/// What `ip` of this host shows of a device in the container's namespace.
fn in_container(container: &oci_conformance::Container<'_>, words: &str) -> Value {
    let pid = container.state()["pid"].to_string();
    let nsenter = ["--net", "--target", &pid, "ip", "-j"];
    json_of(Command::new("nsenter").args(nsenter).args(words.split(' ')))
}

fn names(facts: &Facts) -> Vec<String> {
    facts.at("/interfaces").as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect()
}

macro_rules! host_or_skip {
    () => {{
        skip_unless!(host::is_root(), "root");
        match Host::new() {
            Some(host) => host,
            None => return host::skipped("ip(8) and veth devices"),
        }
    }};
}

// spec: linux.netdevices.available linux.netdevices.keeps-attributes
// spec: linux.netdevices.keeps-global-permanent-addresses linux.netdevices.up linux.netdevices.no-move-back
#[test]
fn a_device_moves_with_its_addresses_and_comes_up() {
    let host = host_or_skip!();
    host.ip("link set a0 mtu 1400 address 02:00:00:00:00:77");
    host.ip("addr add 192.0.2.7/24 brd + dev a0 label a0:x");
    host.ip("addr add 2001:db8::7/64 dev a0 nodad");
    host.ip("addr add 192.0.2.8/32 dev a0 scope link");
    host.ip("link set p0 up");
    let bundle = bundle(json!({"a0": {"name": "net7"}})).args([PROBE_PATH, "sleep"]).build();
    let orlop = host.runtime();
    let container = orlop.container(&bundle);
    drop(container.create(&[]).success());
    assert_eq!(host.show("link show dev a0"), Value::Null, "gone from the host");
    let shown = in_container(&container, "addr show dev net7");
    assert_eq!(shown[0]["mtu"], 1400);
    assert_eq!(shown[0]["address"], "02:00:00:00:00:77");
    assert!(shown[0]["flags"].as_array().unwrap().contains(&json!("UP")), "{shown}");
    let kept: Vec<String> = addresses(&shown).into_iter().filter(|line| line.ends_with("global")).collect();
    assert_eq!(kept, ["192.0.2.7/24 global", "2001:db8::7/64 global"]);
    assert!(
        !addresses(&shown).iter().any(|line| line.starts_with("192.0.2.8")),
        "not of global scope: {shown}"
    );
    drop(container.delete(&["--force"]).success());
    assert_eq!(container.leftovers(), Vec::<String>::new());
    assert_eq!(host.show("link show dev a0"), Value::Null, "delete moves nothing back");
}

// spec: linux.netdevices.template-name
#[test]
fn a_device_keeps_its_name_or_gets_one_of_a_template() {
    for (devices, expected) in [
        (json!({"a0": {}, "b0": {"name": ""}}), ["a0", "b0", "lo"]),
        (json!({"p0": {"name": "eth%d"}, "q0": {"name": "eth%d"}}), ["eth0", "eth1", "lo"]),
    ] {
        let host = host_or_skip!();
        host.ip("link add b0 type veth peer name q0");
        let bundle = bundle(devices.clone()).build();
        let orlop = host.runtime();
        let container = orlop.container(&bundle);
        assert_eq!(names(&container.run_facts()), expected, "{devices}");
        assert_eq!(container.leftovers(), Vec::<String>::new());
    }
}

#[test]
fn names_can_be_exchanged_on_the_way() {
    let host = host_or_skip!();
    host.ip("link set a0 address 02:00:00:00:00:0a");
    host.ip("link set p0 address 02:00:00:00:00:0b");
    let devices = json!({"a0": {"name": "p0"}, "p0": {"name": "a0"}});
    let bundle = bundle(devices).args([PROBE_PATH, "sleep"]).build();
    let orlop = host.runtime();
    let container = orlop.container(&bundle);
    drop(container.create(&[]).success());
    assert_eq!(in_container(&container, "link show dev p0")[0]["address"], "02:00:00:00:00:0a");
    assert_eq!(in_container(&container, "link show dev a0")[0]["address"], "02:00:00:00:00:0b");
}

#[test]
fn hooks_and_sysctls_find_the_device() {
    let host = host_or_skip!();
    let bundle = bundle(json!({"a0": {"name": "net7"}}))
        .set(
            "/hooks/createContainer",
            json!([{"path": "/bin/sh", "args": ["sh", "-c", "ip link show net7"]}]),
        )
        .set("/linux/sysctl", json!({"net.ipv4.conf.net7.forwarding": "1"}))
        .args([PROBE_PATH, "read", "/proc/sys/net/ipv4/conf/net7/forwarding"])
        .build();
    let orlop = host.runtime();
    let container = orlop.container(&bundle);
    assert_eq!(container.run(&[]).success().stdout(), "1\n");
}

#[test]
fn a_device_moves_into_a_namespace_of_a_user_namespace() {
    let host = host_or_skip!();
    host.ip("addr add 192.0.2.7/24 dev a0");
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    let bundle = bundle(json!({"a0": {}}))
        .namespace("user", None)
        .set("/linux/uidMappings", map.clone())
        .set("/linux/gidMappings", map)
        .args([PROBE_PATH, "sleep"])
        .build();
    let orlop = host.runtime();
    let container = orlop.container(&bundle);
    drop(container.create(&[]).success());
    assert_eq!(addresses(&in_container(&container, "addr show dev a0"))[0], "192.0.2.7/24 global");
}

#[test]
fn a_failed_create_gives_devices_back_as_they_were() {
    let host = host_or_skip!();
    host.ip("link add b0 type veth peer name q0");
    host.ip("addr add 192.0.2.7/24 dev a0");
    host.ip("addr add 2001:db8::7/64 dev a0 nodad");
    host.ip("link set a0 up");
    let before = host.addresses("a0");
    let failing_hook = json!([{"path": "/bin/sh", "args": ["sh", "-c", "exit 3"]}]);
    for bundle in [
        bundle(json!({"a0": {"name": "net7"}, "b0": {}})).set("/hooks/createRuntime", failing_hook),
        bundle(json!({"a0": {"name": "net7"}, "b0": {}})).args(["/no/such/program"]),
    ] {
        let bundle = bundle.build();
        let orlop = host.runtime();
        let container = orlop.container(&bundle);
        let failed = container.create(&[]);
        assert_ne!(failed.code(), 0);
        assert_eq!(container.leftovers(), Vec::<String>::new());
        let shown = host.show("link show dev a0");
        assert!(shown[0]["flags"].as_array().unwrap().contains(&json!("UP")), "{shown} {}", failed.stderr());
        let lasting = |lines: Vec<String>| -> Vec<String> {
            lines.into_iter().filter(|line| line.ends_with("global")).collect()
        };
        assert_eq!(lasting(host.addresses("a0")), lasting(before.clone()));
        assert_ne!(host.show("link show dev b0"), Value::Null);
    }
}

// spec: linux.netdevices.name-conflict-error
#[test]
fn a_name_that_is_taken_in_a_joined_namespace_is_told() {
    let (host, other) = (host_or_skip!(), host_or_skip!());
    let path = format!("/run/netns/{}", other.0);
    for (devices, fails) in [
        (json!({"a0": {}}), true),
        (json!({"a0": {"name": "p0"}}), true),
        (json!({"a0": {"name": "n0"}}), false),
    ] {
        let bundle = bundle(devices.clone()).namespace("network", Some(&path)).build();
        let orlop = host.runtime();
        let container = orlop.container(&bundle);
        let created = container.create(&[]);
        if fails {
            let told = created.failure(1);
            assert!(told.contains("network device a0") && told.contains("file exists"), "{told}");
            assert_ne!(host.show("link show dev a0"), Value::Null, "{devices}");
        } else {
            drop(created.success());
            drop(container.delete(&["--force"]).success());
            assert_ne!(other.show("link show dev n0"), Value::Null, "it stays in a namespace that stays");
        }
        assert_eq!(container.leftovers(), Vec::<String>::new(), "{devices}");
    }
}

// spec: linux.netdevices.move-possible-check
#[test]
fn what_cannot_move_is_refused_with_its_path() {
    let host = host_or_skip!();
    let orlop = host.runtime();
    let own = format!("/run/netns/{}", host.0);
    for (bundle, path, words) in [
        (bundle(json!({"none0": {}})), "linux.netDevices.none0", "no network device"),
        (bundle(json!({"a0": {"name": "sixteen-bytes-xy"}})), "linux.netDevices.a0.name", "longer than 15"),
        (bundle(json!({"a0": {"name": "x/y"}})), "linux.netDevices.a0.name", "slash"),
        (bundle(json!({"a0": {"name": "lo"}})), "linux.netDevices.a0.name", "already"),
        (bundle(json!({"a0": {"name": "x"}, "p0": {"name": "x"}})), "linux.netDevices.p0.name", "too"),
        (
            bundle(json!({"a0": {}})).without_namespace("network"),
            "linux.netDevices",
            "unable to move network devices without a NET namespace",
        ),
        (bundle(json!({"a0": {}})).namespace("network", Some(&own)), "linux.netDevices", "the caller's"),
    ] {
        let bundle = bundle.build();
        let container = orlop.container(&bundle);
        let told = container.create(&[]).failure(1);
        assert!(told.contains(path) && told.contains(words), "{path}: {told}");
        assert_eq!(container.leftovers(), Vec::<String>::new(), "{path}");
        assert_ne!(host.show("link show dev a0"), Value::Null, "{path}");
    }
}
