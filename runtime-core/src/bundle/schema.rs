//! The tables of config.json: runtime-spec 1.3, config.md and config-linux.md, and for integers the widths of its Go
//! types. Read by `shape.rs`.

use serde_json::{Map, Value};

use super::attributes::{
    IO_CLASSES, MEMORY_POLICY_FLAGS, MEMORY_POLICY_MODES, PERSONALITY_DOMAINS, SCHED_FLAGS, SCHED_POLICIES,
};
use super::shape::{
    Presence::{Expected, Optional, Required, RequiredElse},
    Property,
    Shape::{self, Bool, Foreign, Int, List, Object, Opaque, Ruled, Text, Word},
};

const U16: Shape = Int(0, u16::MAX as i128);
const U32: Shape = Int(0, u32::MAX as i128);
const U64: Shape = Int(0, u64::MAX as i128);
const I32: Shape = Int(i32::MIN as i128, i32::MAX as i128);
const I64: Shape = Int(i64::MIN as i128, i64::MAX as i128);
const TEXTS: Shape = List(&Text);
const TEXT_MAP: Shape = Shape::Map(&Text);
const UNKNOWN: &str = "unknown value {}";

const fn optional(name: &'static str, shape: &'static Shape) -> Property {
    Property { name, shape, presence: Optional }
}

const fn required(name: &'static str, shape: &'static Shape) -> Property {
    Property { name, shape, presence: Required }
}

/// The whole config.json.
pub(super) static CONFIG: Shape = Object(&[
    required("ociVersion", &Text),
    Property { name: "root", shape: &ROOT, presence: RequiredElse("root must be specified") },
    optional("mounts", &List(&MOUNT)),
    optional("process", &PROCESS),
    optional("hostname", &Text),
    optional("domainname", &Text),
    optional("hooks", &HOOKS),
    optional("annotations", &TEXT_MAP),
    optional("linux", &LINUX),
    optional("windows", &Foreign),
    optional("solaris", &Foreign),
    optional("freebsd", &Foreign),
    optional("vm", &Foreign),
    optional("zos", &Foreign),
]);

const ROOT: Shape = Object(&[required("path", &Text), optional("readonly", &Bool)]);

const MOUNT: Shape = Object(&[
    required("destination", &Text),
    optional("type", &Text),
    optional("source", &Text),
    optional("options", &TEXTS),
    optional("uidMappings", &List(&ID_MAPPING)),
    optional("gidMappings", &List(&ID_MAPPING)),
]);

const ID_MAPPING: Shape =
    Object(&[required("containerID", &U32), required("hostID", &U32), required("size", &U32)]);

static PROCESS: Shape = Object(&[
    optional("terminal", &Bool),
    optional("consoleSize", &Object(&[required("height", &U64), required("width", &U64)])),
    Property { name: "user", shape: &USER, presence: Expected("is absent, taken as uid 0 and gid 0") },
    optional("args", &TEXTS),
    optional("commandLine", &Foreign),
    optional("env", &TEXTS),
    Property { name: "cwd", shape: &Text, presence: RequiredElse("Cwd property must not be empty") },
    optional("capabilities", &CAPABILITIES),
    optional("rlimits", &List(&RLIMIT)),
    optional("noNewPrivileges", &Bool),
    optional("apparmorProfile", &Text),
    optional("oomScoreAdj", &I32),
    optional("selinuxLabel", &Text),
    optional("scheduler", &SCHEDULER),
    optional("ioPriority", &IO_PRIORITY),
    optional("execCPUAffinity", &Object(&[optional("initial", &Text), optional("final", &Text)])),
]);

const USER: Shape = Object(&[
    Property { name: "uid", shape: &U32, presence: Expected("is absent, taken as 0") },
    Property { name: "gid", shape: &U32, presence: Expected("is absent, taken as 0") },
    optional("umask", &U32),
    optional("additionalGids", &List(&U32)),
    optional("username", &Foreign),
]);

const CAPABILITIES: Shape = Object(&[
    optional("bounding", &TEXTS),
    optional("effective", &TEXTS),
    optional("inheritable", &TEXTS),
    optional("permitted", &TEXTS),
    optional("ambient", &TEXTS),
]);

const RLIMIT: Shape = Object(&[required("type", &Text), required("soft", &U64), required("hard", &U64)]);

const SCHEDULER: Shape = Object(&[
    required("policy", &Word(SCHED_POLICIES, UNKNOWN)),
    optional("nice", &I32),
    optional("priority", &I32),
    optional("flags", &List(&Word(SCHED_FLAGS, UNKNOWN))),
    optional("runtime", &U64),
    optional("deadline", &U64),
    optional("period", &U64),
]);

const IO_PRIORITY: Shape =
    Object(&[required("class", &Word(IO_CLASSES, UNKNOWN)), required("priority", &I64)]);

/// Properties of `hooks`, in the order in which they run.
pub(crate) const HOOK_KINDS: [&str; 6] =
    ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

const HOOKS: Shape = Object(&[
    optional(HOOK_KINDS[0], &HOOK_LIST),
    optional(HOOK_KINDS[1], &HOOK_LIST),
    optional(HOOK_KINDS[2], &HOOK_LIST),
    optional(HOOK_KINDS[3], &HOOK_LIST),
    optional(HOOK_KINDS[4], &HOOK_LIST),
    optional(HOOK_KINDS[5], &HOOK_LIST),
]);

const HOOK_LIST: Shape = List(&Object(&[
    required("path", &Text),
    optional("args", &TEXTS),
    optional("env", &TEXTS),
    optional("timeout", &I64),
]));

static LINUX: Shape = Object(&[
    optional("namespaces", &List(&NAMESPACE)),
    optional("uidMappings", &List(&ID_MAPPING)),
    optional("gidMappings", &List(&ID_MAPPING)),
    optional("timeOffsets", &Shape::Map(&TIME_OFFSET)),
    optional("devices", &List(&DEVICE)),
    optional("netDevices", &Shape::Map(&Object(&[optional("name", &Text)]))),
    optional("cgroupsPath", &Text),
    optional("resources", &RESOURCES),
    optional("intelRdt", &INTEL_RDT),
    optional("memoryPolicy", &MEMORY_POLICY),
    optional("sysctl", &TEXT_MAP),
    optional("seccomp", &Opaque),
    optional("rootfsPropagation", &Text),
    optional("maskedPaths", &TEXTS),
    optional("readonlyPaths", &TEXTS),
    optional("mountLabel", &Text),
    optional("personality", &PERSONALITY),
]);

/// Types of `linux.namespaces`, sorted.
pub(crate) const NAMESPACES: [&str; 8] = ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"];

const NAMESPACE: Shape =
    Object(&[required("type", &Word(&NAMESPACES, "namespace {} does not exist")), optional("path", &Text)]);

const TIME_OFFSET: Shape = Object(&[optional("secs", &I64), optional("nanosecs", &U32)]);

const DEVICE: Shape = Ruled(
    &[
        required("type", &Word(&["c", "u", "b", "p"], "unknown device type {}")),
        required("path", &Text),
        optional("major", &I64),
        optional("minor", &I64),
        optional("fileMode", &U32),
        optional("uid", &U32),
        optional("gid", &U32),
    ],
    numbers_of_device,
);

/// A FIFO has no device number; every other type needs both.
fn numbers_of_device(device: &Map<String, Value>) -> Option<(&'static str, &'static str)> {
    let is_numbered = matches!(device.get("type").and_then(Value::as_str), Some("c" | "u" | "b"));
    let missing = ["major", "minor"].into_iter().find(|name| !device.contains_key(*name));
    missing.filter(|_| is_numbered).map(|name| (name, "is required for a device of type c, u or b"))
}

static RESOURCES: Shape = Object(&[
    optional("devices", &List(&DEVICE_RULE)),
    optional("memory", &MEMORY),
    optional("cpu", &CPU),
    optional("pids", &Object(&[optional("limit", &I64)])),
    optional("blockIO", &BLOCK_IO),
    optional("hugepageLimits", &List(&Object(&[required("pageSize", &Text), required("limit", &U64)]))),
    optional("network", &NETWORK),
    optional("rdma", &Shape::Map(&Object(&[optional("hcaHandles", &U32), optional("hcaObjects", &U32)]))),
    optional("unified", &TEXT_MAP),
]);

const DEVICE_RULE: Shape = Object(&[
    required("allow", &Bool),
    // Go producers write the empty string where no type is set.
    optional("type", &Word(&["", "a", "c", "b"], "unknown device type {}")),
    optional("major", &I64),
    optional("minor", &I64),
    optional("access", &Text),
]);

const MEMORY: Shape = Object(&[
    optional("limit", &I64),
    optional("reservation", &I64),
    optional("swap", &I64),
    optional("kernel", &I64),
    optional("kernelTCP", &I64),
    optional("swappiness", &U64),
    optional("disableOOMKiller", &Bool),
    optional("useHierarchy", &Bool),
    optional("checkBeforeUpdate", &Bool),
]);

const CPU: Shape = Object(&[
    optional("shares", &U64),
    optional("quota", &I64),
    optional("burst", &U64),
    optional("period", &U64),
    optional("realtimeRuntime", &I64),
    optional("realtimePeriod", &U64),
    optional("cpus", &Text),
    optional("mems", &Text),
    optional("idle", &I64),
]);

const BLOCK_IO: Shape = Object(&[
    optional("weight", &U16),
    optional("leafWeight", &U16),
    optional("weightDevice", &List(&WEIGHT_DEVICE)),
    optional("throttleReadBpsDevice", &THROTTLES),
    optional("throttleWriteBpsDevice", &THROTTLES),
    optional("throttleReadIOPSDevice", &THROTTLES),
    optional("throttleWriteIOPSDevice", &THROTTLES),
]);

const WEIGHT_DEVICE: Shape = Ruled(
    &[
        required("major", &I64),
        required("minor", &I64),
        optional("weight", &U16),
        optional("leafWeight", &U16),
    ],
    |device| {
        let is_set = device.contains_key("weight") || device.contains_key("leafWeight");
        (!is_set).then_some(("weight", "weight or leafWeight is required"))
    },
);

const THROTTLES: Shape =
    List(&Object(&[required("major", &I64), required("minor", &I64), required("rate", &U64)]));

const NETWORK: Shape = Object(&[
    optional("classID", &U32),
    optional("priorities", &List(&Object(&[required("name", &Text), required("priority", &U32)]))),
]);

const INTEL_RDT: Shape = Object(&[
    optional("closID", &Text),
    optional("schemata", &TEXTS),
    optional("l3CacheSchema", &Text),
    optional("memBwSchema", &Text),
    optional("enableMonitoring", &Bool),
    // Until runtime-spec 1.2.
    optional("enableCMT", &Bool),
    optional("enableMBM", &Bool),
]);

const MEMORY_POLICY: Shape = Object(&[
    required("mode", &Word(MEMORY_POLICY_MODES, UNKNOWN)),
    optional("nodes", &Text),
    optional("flags", &List(&Word(MEMORY_POLICY_FLAGS, UNKNOWN))),
]);

const PERSONALITY: Shape =
    Object(&[required("domain", &Word(PERSONALITY_DOMAINS, UNKNOWN)), optional("flags", &TEXTS)]);
