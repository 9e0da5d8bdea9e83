//! Plans of whole configurations, with facts made by hand: no kernel, no root.

mod attributes;
mod filter;
mod mounts;
mod namespaces;
mod rootless;
mod told;

use std::path::PathBuf;

use orlop_init::wire::{OwnedOp, PlanReader, Slot, encode_plan, message::Detail};
use serde_json::{Value, json};

use super::{
    CHAPTERS, FailureReport, Plan, describe, explain_json, explain_text, failure,
    namespaces::flags,
    plan,
    step::{HostOp, HostStep, MapWriter, When},
};
use crate::{
    Bundle, CreateOptions, ErrorKind, Result,
    cgroup::Placement,
    host::{
        CgroupHost, CgroupRights, Credentials, Hierarchy, HostFacts, IdRange, Kernel, KernelVersion,
        UserNamespace,
    },
    inspect::{BundleFacts, IdMaps, JoinedNamespace},
};

const ALL: u64 = (1 << 41) - 1;

fn kernel() -> Kernel {
    Kernel {
        version: KernelVersion(6, 18),
        last_capability: 40,
        apparmor: false,
        selinux: false,
        seccomp_flags: Some(0x2f),
    }
}

fn root() -> Credentials {
    Credentials { euid: 0, egid: 0, effective: ALL, bounding: ALL, user_namespace: None }
}

fn user() -> Credentials {
    Credentials { euid: 1000, egid: 1000, effective: 0, bounding: ALL, user_namespace: None }
}

fn unified() -> CgroupHost {
    CgroupHost::Unified { mount: "/sys/fs/cgroup".into(), own: "/user.slice".into() }
}

fn hybrid() -> CgroupHost {
    let hierarchy = |mount: &str, controllers: &[&str]| Hierarchy {
        controllers: controllers.iter().map(ToString::to_string).collect(),
        mount: PathBuf::from("/sys/fs/cgroup").join(mount),
        root: "/".into(),
        own: "/".into(),
    };
    CgroupHost::Legacy {
        hierarchies: vec![
            hierarchy("cpu,cpuacct", &["cpu", "cpuacct"]),
            hierarchy("memory", &["memory"]),
            hierarchy("devices", &["devices"]),
            hierarchy("systemd", &["name=systemd"]),
        ],
        unified: Some(hierarchy("unified", &[])),
    }
}

/// A caller on a host, and what is special about it.
struct Case {
    config: Value,
    host: HostFacts,
    joined: Vec<JoinedNamespace>,
    members_mounts: Vec<JoinedNamespace>,
    joined_maps: Option<IdMaps>,
    options: CreateOptions,
}

impl Case {
    fn new(config: Value) -> Self {
        let host = HostFacts {
            kernel: kernel(),
            credentials: root(),
            cgroups: Some(unified()),
            cgroup_rights: CgroupRights::Full,
            resctrl: None,
        };
        Self {
            config,
            host,
            joined: Vec::new(),
            members_mounts: Vec::new(),
            joined_maps: None,
            options: CreateOptions::new(),
        }
    }

    /// The default configuration of `spec`.
    fn default() -> Self {
        Self::new(serde_json::from_str(include_str!("../../../tests/plans/default.json")).unwrap())
    }

    fn set(mut self, pointer: &str, value: Value) -> Self {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        self.config.pointer_mut(parent).unwrap()[key] = value;
        self
    }

    /// Adds a namespace; with a path that is joined, and whether our user namespace owns it.
    fn namespace(mut self, kind: &str, joined: Option<bool>) -> Self {
        let list = self.config.pointer_mut("/linux/namespaces").unwrap().as_array_mut().unwrap();
        list.retain(|namespace| namespace["type"] != kind);
        let Some(owned_by_callers_user_namespace) = joined else {
            list.push(json!({"type": kind}));
            return self;
        };
        let path = PathBuf::from(format!("/proc/7/ns/{kind}"));
        list.push(json!({"type": kind, "path": path}));
        let flag = match kind {
            "user" => flags::USER,
            "pid" => flags::PID,
            "network" => flags::NETWORK,
            "cgroup" => flags::CGROUP,
            _ => flags::IPC,
        };
        self.joined.retain(|namespace| namespace.kind != flag);
        self.joined.push(JoinedNamespace {
            index: 0,
            kind: flag,
            path,
            fd: None,
            is_own: false,
            owned_by_callers_user_namespace,
        });
        self
    }

    fn user_namespace(self) -> Self {
        let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
        self.namespace("user", None).set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map)
    }

    fn plain_user(mut self) -> Self {
        let map = json!([{"containerID": 0, "hostID": 1000, "size": 1}]);
        self.host.credentials = user();
        self.host.cgroup_rights = CgroupRights::None;
        self.namespace("user", None)
            .set("/linux/uidMappings", map.clone())
            .set("/linux/gidMappings", map)
            .set("/mounts/2/options", json!(["newinstance", "ptmxmode=0666", "mode=0620"]))
    }

    fn plan(mut self) -> Result<Plan> {
        let listed = self.config["linux"]["namespaces"].as_array().unwrap();
        for namespace in &mut self.joined {
            let path = namespace.path.to_str().unwrap();
            namespace.index = listed.iter().position(|listed| listed["path"] == path).unwrap();
        }
        let pid = self.joined.iter().find(|namespace| namespace.kind == flags::PID);
        self.members_mounts.iter_mut().for_each(|mounts| mounts.index = pid.map_or(0, |pid| pid.index));
        let bundle = Bundle::from_json(self.config.to_string().as_bytes(), "/bundle")?;
        let facts = BundleFacts {
            rootfs: "/bundle/rootfs".into(),
            namespaces: self.joined,
            members_mounts: self.members_mounts,
            joined_maps: self.joined_maps,
        };
        plan(&"test".parse()?, &bundle, &facts, &self.host, &self.options)
    }

    fn problems(self) -> Vec<String> {
        self.plan().unwrap_err().problems().iter().map(ToString::to_string).collect()
    }
}

fn names(plan: &Plan) -> Vec<&'static str> {
    plan.init.iter().map(|step| step.op.name()).collect()
}

/// The place of the first step that fits.
fn place(plan: &Plan, fits: impl Fn(&OwnedOp) -> bool) -> usize {
    plan.init.iter().position(|step| fits(&step.op)).expect("the step is in the plan")
}

#[test]
fn every_chapter_says_why_it_is_there() {
    for chapter in CHAPTERS.iter().chain(super::exec::CHAPTERS) {
        assert!(!chapter.name.is_empty() && chapter.place.len() > 10, "{}", chapter.name);
    }
}

/// The text with the table of chapters between the two marks.
fn with_table(text: &str, mark: &str, chapters: &[super::Chapter]) -> String {
    let (before, rest) = text.split_once(&format!("<!-- {mark}:")).unwrap();
    let (how, rest) = rest.split_once("-->\n").unwrap();
    let end = format!("<!-- end of {mark}");
    let (_, after) = rest.split_once(&end).unwrap();
    let rows: String = chapters
        .iter()
        .enumerate()
        .map(|(number, chapter)| format!("| {} | {} | {} |\n", number + 1, chapter.name, chapter.place))
        .collect();
    let table = format!("| | who does what | why here |\n| --- | --- | --- |\n{rows}");
    format!("{before}<!-- {mark}:{how}-->\n{table}{end}{after}")
}

#[test]
fn the_book_lists_the_chapters() {
    let book = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/src/design/order.md");
    // A crate that was packaged alone has no book.
    let Ok(text) = std::fs::read_to_string(&book) else { return };
    let expected = with_table(&text, "chapters", CHAPTERS);
    let expected = with_table(&expected, "chapters of exec", super::exec::CHAPTERS);
    if std::env::var_os("ORLOP_UPDATE_PLANS").is_some() {
        std::fs::write(&book, &expected).unwrap();
    }
    let seen = std::fs::read_to_string(&book).unwrap();
    assert!(seen == expected, "docs/src/design/order.md differs; ORLOP_UPDATE_PLANS=1 writes it anew");
}

#[test]
fn default_configuration_has_its_order() {
    let plan = Case::default().plan().unwrap();
    let mut seen = names(&plan);
    seen.dedup();
    let expected = [
        "SetDumpable",
        "Clone",
        "Barrier",
        "ResetCpus",
        "NewSession",
        "SessionKeyring",
        "LoopbackUp",
        "Hostname",
        "RootPropagation",
        "AttachRootfs",
        "NewMount",
        "BindMount",
        "DeviceNode",
        "Remove",
        "Symlink",
        "OpenMask",
        "PivotRoot",
        "Console",
        "ReadonlyPath",
        "MaskPath",
        "ReadonlyRootfs",
        "BoundingSet",
        "SetUser",
        "Chdir",
        "Capabilities",
        "FindExecutable",
        "NoNewPrivileges",
        "Barrier",
        "AwaitStart",
        "Exec",
    ];
    assert_eq!(seen, expected);
    assert!(plan.terminal);
    assert_eq!(plan.slots, 3, "cgroup, start, answer");
}

#[test]
fn plans_of_engines_are_as_reviewed() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/plans");
    let update = std::env::var_os("ORLOP_UPDATE_PLANS").is_some();
    for name in ["default", "containerd", "docker", "podman", "podman-limits"] {
        for (layout, cgroups) in [("unified", unified()), ("hybrid", hybrid())] {
            let config = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
            let mut case = Case::new(serde_json::from_str(&config).unwrap());
            case.host.cgroups = Some(cgroups);
            let seen = explain_text(&case.plan().unwrap());
            let file = folder.join(format!("{name}.{layout}.txt"));
            if update {
                std::fs::write(&file, &seen).unwrap();
            }
            let expected = std::fs::read_to_string(&file).unwrap_or_default();
            assert_eq!(seen, expected, "{} differs; ORLOP_UPDATE_PLANS=1 writes it anew", file.display());
        }
    }
}

#[test]
fn encoded_plans_are_read_again() {
    for case in [Case::default(), Case::default().user_namespace(), Case::default().plain_user()] {
        let plan = case.plan().unwrap();
        let bytes = encode_plan(plan.init.iter().map(|step| &step.op), 3);
        let mut reader = PlanReader::new(&bytes).unwrap();
        let mut steps = 0;
        while reader.next_step().unwrap().is_some() {
            steps += 1;
        }
        assert_eq!(steps, plan.init.len());
    }
}

#[test]
fn run_needs_no_fifo() {
    let mut case = Case::default();
    case.options = case.options.started_by_this_handle();
    let plan = case.plan().unwrap();
    assert!(plan.init.iter().any(|step| matches!(step.op, OwnedOp::AwaitStart { fifo: Slot::NONE, .. })));
    assert!(!plan.host.iter().any(|step| matches!(step.op, HostOp::MakeStartFifos { .. })));
}

#[test]
fn no_pivot_moves_the_root() {
    let mut case = Case::default();
    case.options = case.options.no_pivot(true);
    let plan = case.plan().unwrap();
    assert!(names(&plan).contains(&"MoveRoot") && !names(&plan).contains(&"PivotRoot"));
}

#[test]
fn limits_wait_for_ready_unless_a_hook_comes_first() {
    let hook = json!([{"path": "/bin/true"}]);
    for (hooks, when, has_barrier) in [
        (json!({}), "ready", false),
        (json!({"poststart": hook}), "ready", false),
        (json!({"prestart": hook}), "mounted", true),
        (json!({"createContainer": hook}), "mounted", true),
    ] {
        let plan = Case::default().set("/hooks", hooks.clone()).plan().unwrap();
        let rows = explain_json(&plan);
        let rules = rows.as_array().unwrap().iter().find(|row| row["op"] == "ApplyDeviceRules").unwrap();
        assert_eq!(rules["when"], when, "{hooks}");
        let barriers = names(&plan).iter().filter(|name| **name == "Barrier").count();
        assert_eq!(barriers, 2 + usize::from(has_barrier), "{hooks}");
    }
}
