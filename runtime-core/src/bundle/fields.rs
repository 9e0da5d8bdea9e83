//! Fields of runtime-spec 1.3 that `oci-spec` 0.10 lacks or mis-types, read beside it from the same JSON. The one place
//! for them: each goes when the crate has it right. The document has its form already (`shape.rs`), so a value that is
//! there has its type.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    attributes::{MemoryPolicy, Personality, ProcessAttributes},
    json_path::JsonPath,
};
use crate::{Problem, seccomp::Profile};

/// See the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields {
    /// `process.capabilities` as names; the crate's closed enum fails the whole parse on one unknown name.
    pub(crate) capabilities: Option<Capabilities>,
    /// `linux.resources.pids.limit`; the crate cannot tell absent from 0.
    pub(crate) pids_limit: Option<i64>,
    /// `linux.resources.hugepageLimits`; the crate has i64 where the specification has uint64.
    pub(crate) hugepage_limits: Vec<HugepageLimit>,
    /// `process.rlimits[i]`: (type, soft, hard); the crate takes a missing bound as 0.
    pub(crate) rlimits: Vec<(String, u64, u64)>,
    /// Scheduler, i/o priority and CPUs; the crate has wrong names for two flags and refuses an empty list of CPUs.
    pub(crate) attributes: ProcessAttributes,
    /// `linux.memoryPolicy`, of the same family.
    pub(crate) memory_policy: Option<MemoryPolicy>,
    /// `linux.personality`, of the same family.
    pub(crate) personality: Option<Personality>,
    /// `process.apparmorProfile`, `process.selinuxLabel`, `linux.mountLabel`: empty where nothing is asked for.
    pub(crate) apparmor_profile: String,
    pub(crate) selinux_label: String,
    pub(crate) mount_label: String,
    /// Maps whose order the crate loses, in the order of their keys.
    pub(crate) sysctl: BTreeMap<String, String>,
    /// `annotations`.
    pub(crate) annotations: BTreeMap<String, String>,
    /// `linux.resources.unified`.
    pub(crate) unified: BTreeMap<String, String>,
    /// `linux.netDevices`, in the order of their keys; the crate cannot tell an empty name from none.
    pub(crate) net_devices: Vec<NetDevice>,
    /// `linux.seccomp`; the crate's closed enums fail the whole parse.
    pub(crate) seccomp: Option<Profile>,
    /// What is wrong in it.
    pub(crate) seccomp_problems: Vec<Problem>,
}

/// The five sets of `process.capabilities`, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Capabilities {
    pub(crate) bounding: Vec<String>,
    pub(crate) effective: Vec<String>,
    pub(crate) inheritable: Vec<String>,
    pub(crate) permitted: Vec<String>,
    pub(crate) ambient: Vec<String>,
}

/// One of `linux.resources.hugepageLimits`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HugepageLimit {
    pub(crate) page_size: String,
    pub(crate) limit: u64,
}

/// One of `linux.netDevices`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NetDevice {
    /// JSON path of the entry.
    pub(crate) config_path: String,
    /// On the host.
    pub(crate) name: String,
    /// In the container: the same unless the configuration renames it.
    pub(crate) name_inside: String,
}

type Object = Map<String, Value>;

impl Fields {
    /// Takes out of a well-formed document what the crate would refuse or get wrong.
    pub(super) fn take(config: &mut Value, warnings: &mut Vec<Problem>) -> Self {
        let mut fields = Self::default();
        let Some(config) = config.as_object_mut() else { return fields };
        fields.annotations = texts_by_name(config.get("annotations"));
        if let Some(process) = object(config, "process") {
            fields.take_from_process(process);
            warnings.extend(odd_environment(process));
        }
        if let Some(linux) = object(config, "linux") {
            fields.take_from_linux(linux);
        }
        fields
    }

    fn take_from_process(&mut self, process: &mut Object) {
        // The crate demands the object, though not what is in it.
        process.entry("user").or_insert_with(|| json!({}));
        self.capabilities = match process.remove("capabilities") {
            Some(Value::Object(mut sets)) => {
                let mut set = |name| texts(sets.remove(name));
                Some(Capabilities {
                    bounding: set("bounding"),
                    effective: set("effective"),
                    inheritable: set("inheritable"),
                    permitted: set("permitted"),
                    ambient: set("ambient"),
                })
            }
            _ => None,
        };
        self.rlimits = objects(process, "rlimits")
            .map(|limit| (text(limit, "type"), number(limit, "soft"), number(limit, "hard")))
            .collect();
        process.remove("rlimits");
        self.apparmor_profile = text(process, "apparmorProfile");
        // Without AppArmor, and with it in a caller that is not confined, "unconfined" asks for nothing.
        if self.apparmor_profile == "unconfined" {
            self.apparmor_profile.clear();
        }
        self.selinux_label = text(process, "selinuxLabel");
        process.remove("apparmorProfile");
        process.remove("selinuxLabel");
        self.attributes = ProcessAttributes::take(process);
    }

    fn take_from_linux(&mut self, linux: &mut Object) {
        self.sysctl = texts_by_name(linux.get("sysctl"));
        match linux.remove("seccomp").map(|profile| Profile::from_json(&profile)) {
            Some(Ok(profile)) => self.seccomp = profile,
            Some(Err(problems)) => self.seccomp_problems = problems,
            None => {}
        }
        self.memory_policy = object(linux, "memoryPolicy").map(|policy| MemoryPolicy::of(policy));
        self.personality = object(linux, "personality").map(|personality| Personality::of(personality));
        linux.remove("memoryPolicy");
        linux.remove("personality");
        self.mount_label = text(linux, "mountLabel");
        linux.remove("mountLabel");
        let net_devices = linux.remove("netDevices");
        self.net_devices = net_devices.as_ref().map(net_devices_by_name).unwrap_or_default();
        for namespace in objects(linux, "namespaces") {
            drop_if_empty(namespace, "path");
        }
        if let Some(resources) = object(linux, "resources") {
            self.take_from_resources(resources);
        }
    }

    fn take_from_resources(&mut self, resources: &mut Object) {
        self.unified = texts_by_name(resources.get("unified"));
        self.pids_limit = resources.get("pids").and_then(|pids| pids.get("limit")).and_then(Value::as_i64);
        if self.pids_limit.is_none() {
            resources.remove("pids");
        }
        self.hugepage_limits = objects(resources, "hugepageLimits")
            .map(|limit| HugepageLimit { page_size: text(limit, "pageSize"), limit: number(limit, "limit") })
            .collect();
        resources.remove("hugepageLimits");
        for rule in objects(resources, "devices") {
            drop_if_empty(rule, "type");
        }
    }
}

/// `NAME=value` is what programs look for. Other entries are passed on, as execve(2) would.
fn odd_environment(process: &Object) -> Vec<Problem> {
    let entries = process.get("env").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let is_odd =
        |entry: &Value| entry.as_str().is_some_and(|entry| matches!(entry.find('='), None | Some(0)));
    entries
        .iter()
        .enumerate()
        .filter(|(_, entry)| is_odd(entry))
        .map(|(index, _)| Problem::new(format!("process.env[{index}]"), "is not of the form NAME=value"))
        .collect()
}

fn net_devices_by_name(listed: &Value) -> Vec<NetDevice> {
    let linux = JsonPath::Key(&JsonPath::Root, "linux");
    let place = linux.key("netDevices");
    let mut devices: Vec<_> = listed
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, device)| {
            let renamed = device.get("name").and_then(Value::as_str).filter(|name| !name.is_empty());
            NetDevice {
                config_path: place.key(name).to_string(),
                name: name.clone(),
                name_inside: renamed.unwrap_or(name).to_owned(),
            }
        })
        .collect();
    devices.sort_by(|a, b| a.name.cmp(&b.name));
    devices
}

fn object<'v>(parent: &'v mut Object, name: &str) -> Option<&'v mut Object> {
    parent.get_mut(name).and_then(Value::as_object_mut)
}

fn objects<'v>(parent: &'v mut Object, name: &str) -> impl Iterator<Item = &'v mut Object> {
    let elements = parent.get_mut(name).and_then(Value::as_array_mut);
    elements.into_iter().flatten().filter_map(Value::as_object_mut)
}

fn drop_if_empty(object: &mut Object, name: &str) {
    if object.get(name).and_then(Value::as_str) == Some("") {
        object.remove(name);
    }
}

fn text(object: &Object, name: &str) -> String {
    object.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn number(object: &Object, name: &str) -> u64 {
    object.get(name).and_then(Value::as_u64).unwrap_or_default()
}

fn texts(value: Option<Value>) -> Vec<String> {
    let Some(Value::Array(elements)) = value else { return Vec::new() };
    elements
        .into_iter()
        .filter_map(|element| match element {
            Value::String(text) => Some(text),
            _ => None,
        })
        .collect()
}

fn texts_by_name(value: Option<&Value>) -> BTreeMap<String, String> {
    let entries = value.and_then(Value::as_object).into_iter().flatten();
    entries.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}
