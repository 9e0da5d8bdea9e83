//! A configuration with mounts below /t, run by several runtimes in a mount namespace with mounts of its own.

use oci_conformance::{Bundle, BundleBuilder, Facts, Output, Runtime, host};
use serde_json::{Value, json};

pub const ORLOP: &str = env!("CARGO_BIN_EXE_orlop");

/// A bundle and the mounts of the host around it.
#[derive(Clone)]
pub struct Case {
    pub builder: BundleBuilder,
    /// Shell commands in the bundle's folder, in a private mount namespace.
    pub setup: String,
}

impl Case {
    pub fn new() -> Self {
        let builder = Bundle::builder().name("mounts").folder("src").set("/root/readonly", false);
        Self { builder, setup: String::new() }
    }

    pub fn setup(mut self, commands: &str) -> Self {
        self.setup.push_str(&format!("{commands}\n"));
        self
    }

    pub fn with(mut self, change: impl FnOnce(BundleBuilder) -> BundleBuilder) -> Self {
        self.builder = change(self.builder);
        self
    }

    pub fn mount(self, mount: Value) -> Self {
        self.with(|builder| builder.push("/mounts", mount))
    }

    pub fn tmpfs(self, target: &str, options: &[&str]) -> Self {
        self.mount(json!({ "destination": target, "type": "tmpfs", "source": "tmpfs", "options": options }))
    }

    pub fn bind(self, source: &str, target: &str, options: &[&str]) -> Self {
        self.mount(json!({ "destination": target, "type": "bind", "source": source, "options": options }))
    }

    /// A user namespace of 65536 ids from 100000 on.
    pub fn user_namespace(self) -> Self {
        let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65_536 }]);
        // Its root has to own the image to make mount points in it, and to get there.
        self.setup("chmod 755 .; chown -R 100000:100000 rootfs").with(|builder| {
            let builder = builder.namespace("user", None).set("/linux/uidMappings", map.clone());
            let builder = builder.set("/linux/gidMappings", map);
            // Only the owner of a new network namespace may mount sysfs, and the terminal's group is not needed.
            builder.namespace("network", None)
        })
    }

    pub fn script(self, commands: &str) -> Self {
        let busybox = std::fs::read(host::find("busybox").unwrap()).unwrap();
        self.with(|builder| {
            builder.file_with_mode("rootfs/bin/busybox", busybox, 0o755).args([
                "/bin/busybox",
                "sh",
                "-c",
                commands,
            ])
        })
    }

    /// Asks the probe for paths besides.
    pub fn paths(self, paths: &[&str]) -> Self {
        let words: Vec<String> = ["/bin/probe", "facts"].map(str::to_owned).into();
        let asked = paths.iter().map(|path| format!("path={path}"));
        self.with(|builder| builder.args(words.into_iter().chain(asked)))
    }

    /// What a command of the runtime says.
    pub fn run(&self, runtime: &str) -> Output {
        let bundle = self.builder.clone().build();
        let script = format!("cd {} && set -e\n{}exec \"$@\"", bundle.path().display(), self.setup);
        let words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", &script, "sh"];
        let is_unified_only = runtime == "crun";
        let runtime = Runtime::new(runtime).wrapped_in(words);
        // crun refuses hybrid cgroups.
        let runtime = if is_unified_only { runtime.in_unified_view() } else { runtime };
        let container = runtime.container(&bundle);
        let output = container.run(&[]);
        if !is_unified_only {
            assert_eq!(container.leftovers(), Vec::<String>::new());
        }
        output
    }

    pub fn facts(&self, runtime: &str) -> Facts {
        Facts::parse(&self.run(runtime).success().stdout())
    }

    /// All facts about mounts below /t under orlop, compared with those under the others.
    #[track_caller]
    pub fn compared(&self, peers: &[&str], differs: &[(&str, &str)]) -> Facts {
        let ours = self.facts(ORLOP);
        let can_run = |peer: &str| host::find(peer).is_some() && (peer != "crun" || host::has_unified_view());
        for peer in peers.iter().filter(|peer| can_run(peer)) {
            let theirs = mounts(&self.facts(peer));
            let unlike: Vec<_> = mounts(&ours)
                .into_iter()
                .zip(theirs)
                .filter(|(ours, theirs)| ours != theirs)
                .filter(|(ours, _)| !differs.iter().any(|(point, _)| ours["point"] == *point))
                .map(|(ours, theirs)| format!("orlop {ours}\n{peer}  {theirs}"))
                .collect();
            assert!(unlike.is_empty(), "{}", unlike.join("\n"));
        }
        ours
    }
}

/// Mounts below /t, without what no two runs have in common.
fn mounts(facts: &Facts) -> Vec<Value> {
    let listed = facts.at("/mounts").as_array().unwrap().iter();
    listed
        .filter(|mount| mount["point"].as_str().unwrap().starts_with("/t/"))
        .map(|mount| {
            let mut mount = mount.clone();
            let members = mount.as_object_mut().unwrap();
            ["id", "parent", "device", "root"].iter().for_each(|key| drop(members.remove(*key)));
            for word in members["propagation"].as_array_mut().unwrap() {
                *word = word.as_str().unwrap().split(':').next().unwrap().into();
            }
            mount
        })
        .collect()
}

/// The options of the topmost mount at a path, per mount and of the file system.
pub fn options(facts: &Facts, point: &str) -> Vec<String> {
    let mount = facts.mount(point).unwrap_or_else(|| panic!("nothing is mounted on {point}"));
    ["options", "super_options"]
        .into_iter()
        .flat_map(|key| mount[key].as_array().unwrap())
        .map(|word| word.as_str().unwrap().to_owned())
        .collect()
}

/// The options of the mount alone, as one word.
pub fn flags(facts: &Facts, point: &str) -> String {
    let mount = facts.mount(point).unwrap_or_else(|| panic!("nothing is mounted on {point}"));
    let words: Vec<&str> = mount["options"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    words.join(",")
}
