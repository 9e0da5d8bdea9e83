//! What a process sees of itself and of its surroundings, as one JSON object.
//!
//! Everything is read before anything is changed. What cannot be read is `null` (no /proc, say) rather than a failure:
//! a test that needs it says so.

use std::{
    collections::BTreeMap,
    ffi::{CStr, c_char, c_int},
    fs,
};

use crate::{
    json::Json,
    surroundings::{devices, interfaces, mounts, paths, processes, sysctls},
    sys,
};

const CAPABILITIES: &str = "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE \
    NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT \
    SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE \
    AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ \
    PERFMON BPF CHECKPOINT_RESTORE";

/// Titles in /proc/PID/limits, by the number of the resource, with the name.
const RLIMITS: &str = "Max cpu time=CPU, Max file size=FSIZE, Max data size=DATA, Max stack size=STACK, Max core \
    file size=CORE, Max resident set=RSS, Max processes=NPROC, Max open files=NOFILE, Max \
    locked memory=MEMLOCK, Max address space=AS, Max file locks=LOCKS, Max pending \
    signals=SIGPENDING, Max msgqueue size=MSGQUEUE, Max nice priority=NICE, Max realtime \
    priority=RTPRIO, Max realtime timeout=RTTIME";

/// All facts; `asked` may hold `sysctl=NAME` and `path=PATH` for more of them.
pub(crate) fn facts(argv: &[String], asked: &[String]) -> Json {
    let fds = open_fds();
    let status = status();
    let field = |name: &str| status.get(name).map(String::as_str);
    let mut facts = identity(&status);
    facts.extend(process(argv));
    facts.extend([
        ("capabilities".to_owned(), capabilities(&status)),
        ("no_new_privs".to_owned(), number(field("NoNewPrivs"))),
        ("seccomp".to_owned(), number(field("Seccomp"))),
        (
            "signals".to_owned(),
            Json::object([
                ("blocked", field("SigBlk").into()),
                ("ignored", field("SigIgn").into()),
                ("caught", field("SigCgt").into()),
            ]),
        ),
        ("rlimits".to_owned(), rlimits()),
        ("fds".to_owned(), fds),
        ("terminal".to_owned(), terminal()),
        ("namespaces".to_owned(), namespaces()),
        ("hostname".to_owned(), host_name(sys::gethostname)),
        ("domainname".to_owned(), host_name(sys::getdomainname)),
        ("uid_map".to_owned(), id_map("/proc/self/uid_map")),
        ("gid_map".to_owned(), id_map("/proc/self/gid_map")),
        ("setgroups".to_owned(), line("/proc/self/setgroups")),
        ("mounts".to_owned(), mounts()),
        ("cgroup".to_owned(), read("/proc/self/cgroup").map(|text| Json::list(text.lines())).into()),
        ("devices".to_owned(), devices()),
        ("paths".to_owned(), paths(asked)),
        ("sysctls".to_owned(), sysctls(asked)),
        ("scheduler".to_owned(), scheduler(&status)),
        ("keyring".to_owned(), keyring()),
        ("interfaces".to_owned(), interfaces()),
        ("processes".to_owned(), processes()),
    ]);
    Json::Object(facts)
}

pub(crate) fn read(path: &str) -> Option<String> {
    fs::read(path).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

pub(crate) fn line(path: &str) -> Json {
    read(path).map(|text| text.trim_end().to_owned()).into()
}

pub(crate) fn link(path: &str) -> Json {
    fs::read_link(path).ok().map(|target| target.to_string_lossy().into_owned()).into()
}

pub(crate) fn number(text: Option<&str>) -> Json {
    text.and_then(|text| text.parse::<i64>().ok()).into()
}

fn numbers(text: &str) -> Json {
    Json::list(text.split_whitespace().filter_map(|word| word.parse::<i64>().ok()))
}

fn status() -> BTreeMap<String, String> {
    let text = read("/proc/self/status").unwrap_or_default();
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect()
}

fn ids(status: &BTreeMap<String, String>, name: &str) -> Json {
    let Some(text) = status.get(name) else { return Json::Null };
    let names = ["real", "effective", "saved", "fs"];
    Json::object(names.into_iter().zip(text.split_whitespace().map(|id| number(Some(id)))))
}

fn identity(status: &BTreeMap<String, String>) -> Vec<(String, Json)> {
    let groups = status.get("Groups").map(|text| numbers(text));
    vec![
        ("uid".to_owned(), ids(status, "Uid")),
        ("gid".to_owned(), ids(status, "Gid")),
        ("groups".to_owned(), groups.unwrap_or(Json::Null)),
        ("umask".to_owned(), status.get("Umask").cloned().into()),
    ]
}

fn process(argv: &[String]) -> Vec<(String, Json)> {
    // SAFETY: these calls take numbers only and change nothing.
    let (ppid, pgid, sid) = unsafe { (sys::getppid(), sys::getpgid(0), sys::getsid(0)) };
    // SAFETY: prctl with a PR_GET_* option and a personality of all ones only report.
    let (dumpable, securebits, slack, personality) = unsafe {
        (
            sys::prctl(sys::PR_GET_DUMPABLE),
            sys::prctl(sys::PR_GET_SECUREBITS),
            sys::prctl(sys::PR_GET_TIMERSLACK),
            sys::personality(0xffff_ffff),
        )
    };
    let env = std::env::vars_os()
        .map(|(name, value)| format!("{}={}", name.to_string_lossy(), value.to_string_lossy()));
    let cwd = std::env::current_dir().ok().map(|path| path.to_string_lossy().into_owned());
    let facts = [
        ("pid", std::process::id().into()),
        ("ppid", ppid.into()),
        ("pgid", pgid.into()),
        ("sid", sid.into()),
        ("argv", Json::list(argv.iter().map(String::as_str))),
        ("env", Json::list(env)),
        ("cwd", cwd.into()),
        ("exe", link("/proc/self/exe")),
        ("root", link("/proc/self/root")),
        ("pid1_exe", link("/proc/1/exe")),
        ("dumpable", dumpable.into()),
        ("securebits", securebits.into()),
        ("timer_slack_ns", slack.into()),
        ("personality", personality.into()),
        ("oom_score_adj", number(read("/proc/self/oom_score_adj").as_deref().map(str::trim))),
        ("lsm_label", line("/proc/self/attr/current")),
        ("loginuid", line("/proc/self/loginuid")),
        (
            "timens_offsets",
            read("/proc/self/timens_offsets").map(|text| Json::list(text.lines().map(squeeze))).into(),
        ),
    ];
    facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn host_name(get: unsafe extern "C" fn(*mut c_char, usize) -> c_int) -> Json {
    let mut name = [0u8; 65];
    // SAFETY: both functions that are passed write at most the given length, which `name` has.
    let result = unsafe { get(name.as_mut_ptr().cast(), name.len()) };
    let text = CStr::from_bytes_until_nul(&name).ok().filter(|_| result == 0);
    text.map(|text| text.to_string_lossy().into_owned()).into()
}

fn squeeze(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn capabilities(status: &BTreeMap<String, String>) -> Json {
    let names: Vec<&str> = CAPABILITIES.split_whitespace().collect();
    let set = |name: &str| -> Json {
        let Some(bits) = status.get(name).and_then(|text| u64::from_str_radix(text, 16).ok()) else {
            return Json::Null;
        };
        Json::list(
            (0..64)
                .filter(|bit| bits & (1 << bit) != 0)
                .map(|bit| names.get(bit).map_or_else(|| format!("CAP_{bit}"), |name| format!("CAP_{name}"))),
        )
    };
    Json::object([
        ("bounding", set("CapBnd")),
        ("effective", set("CapEff")),
        ("permitted", set("CapPrm")),
        ("inheritable", set("CapInh")),
        ("ambient", set("CapAmb")),
    ])
}

fn rlimits() -> Json {
    let Some(text) = read("/proc/self/limits") else { return Json::Null };
    let limit = |word: &str| word.parse::<i64>().map_or_else(|_| Json::from(word), Json::Number);
    Json::object(RLIMITS.split(", ").filter_map(|resource| {
        let (title, name) = resource.split_once('=')?;
        let line = text.lines().find(|line| line.starts_with(title))?;
        let mut words = line[title.len()..].split_whitespace();
        Some((
            format!("RLIMIT_{name}"),
            Json::object([("soft", limit(words.next()?)), ("hard", limit(words.next()?))]),
        ))
    }))
}

/// Open fds with what they lead to; not the one that reads the folder, which has the highest number then.
pub(crate) fn open_fds() -> Json {
    let Ok(folder) = fs::read_dir("/proc/self/fd") else { return Json::Null };
    let mut fds: Vec<i64> =
        folder.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    fds.sort_unstable();
    Json::object(fds.into_iter().filter_map(|fd| {
        let target = fs::read_link(format!("/proc/self/fd/{fd}")).ok()?;
        Some((fd.to_string(), target.to_string_lossy().into_owned().into()))
    }))
}

/// Which of fds 0 to 2 are terminals, their size, the foreground group and the terminal's name.
pub(crate) fn terminal() -> Json {
    Json::object((0..3).map(|fd: c_int| {
        let mut size = sys::Winsize::default();
        // SAFETY: TIOCGWINSZ writes one `struct winsize`, which `size` is.
        let is_terminal = unsafe { sys::ioctl(fd, sys::TIOCGWINSZ, &raw mut size) } == 0;
        if !is_terminal {
            return (fd.to_string(), Json::Null);
        }
        let mut group: c_int = 0;
        // SAFETY: TIOCGPGRP writes one pid, which `group` is.
        let controls = unsafe { sys::ioctl(fd, sys::TIOCGPGRP, &raw mut group) } == 0;
        let told = Json::object([
            ("rows", i64::from(size.rows).into()),
            ("columns", i64::from(size.columns).into()),
            ("foreground_group", controls.then_some(group).into()),
            ("name", link(&format!("/proc/self/fd/{fd}"))),
        ]);
        (fd.to_string(), told)
    }))
}

/// The kinds of namespaces with their identity (`mnt:[4026531841]`).
pub(crate) fn namespaces() -> Json {
    let Ok(folder) = fs::read_dir("/proc/self/ns") else { return Json::Null };
    let mut names: Vec<String> =
        folder.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort_unstable();
    Json::object(names.into_iter().map(|name| {
        let target = link(&format!("/proc/self/ns/{name}"));
        (name, target)
    }))
}

fn id_map(path: &str) -> Json {
    read(path).map(|text| Json::list(text.lines().map(numbers))).into()
}

fn scheduler(status: &BTreeMap<String, String>) -> Json {
    // SAFETY: these calls take numbers only and change nothing.
    let (policy, nice, io) = unsafe {
        (sys::sched_getscheduler(0), sys::getpriority(0, 0), sys::syscall(sys::SYS_IOPRIO_GET, 1, 0))
    };
    let field = |name: &str| status.get(name).map(String::as_str).into();
    let mut attributes = sys::SchedAttr::default();
    // SAFETY: the kernel writes at most the size that it is told, which `attributes` has.
    let known = unsafe {
        sys::syscall(sys::SYS_SCHED_GETATTR, 0, &raw mut attributes, size_of::<sys::SchedAttr>(), 0)
    };
    let attribute =
        |value: u64| Json::Number(if known == 0 { i64::try_from(value).unwrap_or(-1) } else { -1 });
    Json::object([
        ("policy", policy.into()),
        ("nice", nice.into()),
        ("priority", attribute(attributes.priority.into())),
        ("flags", attribute(attributes.flags)),
        ("runtime", attribute(attributes.runtime)),
        ("deadline", attribute(attributes.deadline)),
        ("period", attribute(attributes.period)),
        ("memory_policy", memory_policy()),
        ("ioprio", Json::Number(io)),
        ("cpus", field("Cpus_allowed_list")),
        ("memory_nodes", field("Mems_allowed_list")),
    ])
}

/// Mode with its flags, and nodes, of the memory policy.
fn memory_policy() -> Json {
    let mut mode: c_int = 0;
    let mut nodes = [0u64; 16];
    // SAFETY: the kernel writes a number and 1024 bits.
    let known = unsafe {
        sys::syscall(
            sys::SYS_GET_MEMPOLICY,
            &raw mut mode,
            nodes.as_mut_ptr(),
            1024 as std::ffi::c_long,
            0,
            0,
        )
    };
    if known < 0 {
        return Json::object([("errno", sys::errno(known).into())]);
    }
    let is_set = |node: &i32| nodes[*node as usize / 64] >> (node % 64) & 1 != 0;
    Json::object([("mode", mode.into()), ("nodes", Json::list((0..1024).filter(is_set)))])
}

/// The session keyring: its id and the kernel's description of it (type;uid;gid;permissions;name).
fn keyring() -> Json {
    // SAFETY: KEYCTL_GET_KEYRING_ID takes numbers only; the last 0 forbids making one.
    let id = unsafe {
        sys::syscall(sys::SYS_KEYCTL, sys::KEYCTL_GET_KEYRING_ID, sys::KEY_SPEC_SESSION_KEYRING, 0)
    };
    if id < 0 {
        return Json::object([("errno", sys::errno(id).into())]);
    }
    let mut text = [0u8; 256];
    // SAFETY: KEYCTL_DESCRIBE writes at most the 256 bytes that `text` has.
    let length =
        unsafe { sys::syscall(sys::SYS_KEYCTL, sys::KEYCTL_DESCRIBE, id, text.as_mut_ptr(), text.len()) };
    let length = usize::try_from(length).unwrap_or(0).min(text.len());
    let text = String::from_utf8_lossy(&text[..length]);
    Json::object([("id", Json::Number(id)), ("description", text.trim_end_matches('\0').into())])
}
