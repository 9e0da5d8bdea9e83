//! No option is parsed and ignored: a walk over the options of every command, as its help lists them. With each, what
//! the command does differs from what it does without, or it is refused by name.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use oci_conformance::{Bundle, PROBE_PATH, Runtime, host, host::TempDir, skip_unless};
use serde_json::{Value, json};

const ORLOP: &str = env!("CARGO_BIN_EXE_orlop");
const PATIENCE: Duration = Duration::from_secs(60);

/// How it is shown that an option is heard.
enum Shown {
    /// With these words in its place, the outcome is another.
    Differs(&'static [&'static str]),
    /// It ends with an error that has this word.
    Refused(&'static [&'static str], &'static str),
    /// By what it does, in this file of tests.
    In(&'static str),
}

use Shown::{Differs, In, Refused};

type Row = (&'static str, &'static [(&'static str, Shown)]);

const LAUNCH: &[(&str, Shown)] = &[
    ("bundle", Differs(&["--bundle", "/nonexistent"])),
    ("console-socket", Differs(&["--console-socket", "/nonexistent"])),
    ("pidfd-socket", Differs(&["--pidfd-socket", "/nonexistent"])),
    ("pid-file", Differs(&["--pid-file", "pid"])),
    ("no-new-keyring", Differs(&["--no-new-keyring"])),
    ("preserve-fds", Differs(&["--preserve-fds", "90"])),
];

const ROWS: &[Row] = &[
    ("create", LAUNCH),
    ("create", &[("no-pivot", In("../../runtime-core/src/plan/tests/mod.rs"))]),
    ("run", LAUNCH),
    (
        "run",
        &[
            ("no-pivot", In("../../runtime-core/src/plan/tests/mod.rs")),
            ("detach", Differs(&["--detach"])),
            ("keep", Differs(&["--keep"])),
            ("no-subreaper", In("flags.rs")),
        ],
    ),
    (
        "exec",
        &[
            ("process", Differs(&["--process", "/nonexistent"])),
            ("detach", Differs(&["--detach"])),
            ("tty", Differs(&["--tty"])),
            ("console-socket", Differs(&["--console-socket", "/nonexistent"])),
            ("pid-file", Differs(&["--pid-file", "pid"])),
            ("pidfd-socket", Differs(&["--pidfd-socket", "/nonexistent"])),
            ("env", Differs(&["--env", "NAME=value"])),
            ("cwd", Differs(&["--cwd", "/bin"])),
            ("user", Differs(&["--user", "7:7"])),
            ("additional-gids", Differs(&["--additional-gids", "9"])),
            ("cap", Differs(&["--cap", "CAP_SYS_PTRACE"])),
            ("no-new-privs", Differs(&["--no-new-privs"])),
            ("apparmor", Refused(&["--apparmor", "some-profile"], "pparmor")),
            ("process-label", Refused(&["--process-label", "a:b:c:d"], "elinux")),
            ("preserve-fds", Differs(&["--preserve-fds", "90"])),
            ("cgroup", Differs(&["--cgroup", "/nosuch"])),
            ("ignore-paused", In("exec_cgroups.rs")),
        ],
    ),
    ("kill", &[("all", In("verbs.rs"))]),
    ("delete", &[("force", Differs(&["--force"]))]),
    (
        "update",
        &[
            ("resources", In("verbs_update.rs")),
            ("blkio-weight", Refused(&["--blkio-weight", "5000"], "blockIO.weight")),
            ("cpu-period", In("verbs_update.rs")),
            ("cpu-quota", In("verbs_update.rs")),
            ("cpu-burst", In("verbs_update.rs")),
            ("cpu-share", In("verbs_update.rs")),
            ("cpu-idle", In("verbs_update.rs")),
            ("cpu-rt-period", In("verbs_update.rs")),
            ("cpu-rt-runtime", In("verbs_update.rs")),
            ("cpuset-cpus", In("verbs_update.rs")),
            ("cpuset-mems", In("verbs_update.rs")),
            ("memory", In("verbs_update.rs")),
            ("memory-reservation", In("verbs_update.rs")),
            ("memory-swap", In("verbs_update.rs")),
            ("kernel-memory", Refused(&["--kernel-memory", "-5"], "kernel-memory")),
            ("kernel-memory-tcp", In("verbs_update.rs")),
            ("pids-limit", In("verbs_update.rs")),
            ("devices", In("verbs_update.rs")),
            ("l3-cache-schema", Refused(&["--l3-cache-schema", "L3:0=f"], "Intel RDT/CAT")),
            ("mem-bw-schema", Refused(&["--mem-bw-schema", "MB:0=10"], "Intel RDT/MBA")),
        ],
    ),
    ("list", &[("format", Differs(&["--format", "json"])), ("quiet", Differs(&["--quiet"]))]),
    ("ps", &[("format", Differs(&["--format", "json"]))]),
    ("events", &[("interval", Refused(&["--interval", "0"], "interval")), ("stats", In("verbs_events.rs"))]),
    ("spec", &[("bundle", Differs(&["--bundle", "/nonexistent"])), ("rootless", Differs(&["--rootless"]))]),
    ("validate", &[("json", In("containers.rs"))]),
    (
        "explain",
        &[
            ("json", Differs(&["--json"])),
            ("no-pivot", Differs(&["--no-pivot"])),
            ("no-new-keyring", Differs(&["--no-new-keyring"])),
        ],
    ),
    (
        "try",
        &[
            ("rw", In("sandbox.rs")),
            ("ro", Differs(&["--ro", "/opt"])),
            ("net", Differs(&["--net", "host"])),
            ("memory", Differs(&["--memory", "nonsense"])),
            ("cpus", Differs(&["--cpus", "nonsense"])),
            ("pids", In("sandbox.rs")),
            ("timeout", In("sandbox.rs")),
            ("env", Differs(&["--env", "NAME=value"])),
            ("rootfs", In("sandbox.rs")),
            ("bundle", In("sandbox.rs")),
            ("quiet", In("sandbox.rs")),
        ],
    ),
];

/// Long names of options in a help text.
fn listed(help: &str) -> BTreeSet<String> {
    let name = |line: &str| {
        let words = line.strip_prefix("  ")?;
        let at = words.find("--").filter(|at| *at == 0 || words.starts_with('-'))?;
        Some(words[at + 2..].split_whitespace().next()?.to_owned())
    };
    let (_, options) = help.split_once("\nOptions").unwrap_or_default();
    options.lines().filter_map(name).collect()
}

fn help(words: &[&str]) -> String {
    let output = Command::new(ORLOP).args(words).output().expect("runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

fn commands() -> Vec<String> {
    let help = help(&["--help"]);
    let (commands, _) = help.split_once("\nGlobal options").expect("the global options");
    let names = commands.lines().filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next());
    names.map(str::to_owned).collect()
}

#[test]
fn every_option_has_its_row() {
    for command in commands() {
        let rows: BTreeSet<String> = ROWS
            .iter()
            .filter(|(name, _)| *name == command)
            .flat_map(|(_, options)| options.iter().map(|(option, _)| (*option).to_owned()))
            .collect();
        assert_eq!(rows, listed(&help(&[&command, "--help"])), "{command}");
    }
}

/// What a command does with an option: how it ends, what it says and what it leaves, without what no two runs share.
fn outcome(command: &str, option: &[&str]) -> String {
    let orlop = Runtime::new(ORLOP);
    let program: &[&str] = match command {
        "create" | "run" => &[PROBE_PATH, "each", "facts", "--", "exit", "3"],
        _ => &[PROBE_PATH, "sleep"],
    };
    let bundle = Bundle::builder().args(program).set("/process/noNewPrivileges", false).build();
    let container = orlop.container(&bundle);
    let temp = TempDir::new("flags");
    if matches!(command, "exec" | "kill" | "delete" | "update" | "list" | "ps" | "events") {
        drop(container.create(&[]).success());
        drop(container.start().success());
    }
    let mut words: Vec<String> = vec![command.to_owned()];
    match command {
        "create" | "run" => words.extend(["-b".into(), bundle.path().to_string_lossy().into()]),
        "try" => words.extend(["--bundle".into(), temp.path().join("b").to_string_lossy().into()]),
        _ => {}
    }
    words.extend(option.iter().map(|word| (*word).to_owned()));
    match command {
        "create" | "run" | "delete" | "update" | "ps" | "events" => words.push(container.id().to_owned()),
        "exec" => {
            words.extend([container.id(), PROBE_PATH, "each", "facts", "--", "exit", "3"].map(str::to_owned))
        }
        "explain" => words.push(bundle.path().to_string_lossy().into()),
        "try" => words.extend(["--", "true"].map(str::to_owned)),
        _ => {}
    }
    let mut call = orlop.command(&words);
    call.current_dir(temp.path());
    let output = oci_conformance::runtime::output(call, PATIENCE);
    if command == "create" && output.code() == 0 {
        drop(container.start().success());
        container.wait();
    }
    let mut told = [output.code().to_string(), stable(&output.stdout()), stable(&output.stderr())].join("\n");
    told.push_str(&format!("\npid file: {}", temp.path().join("pid").symlink_metadata().is_ok()));
    told.push_str(&format!("\nstate: {}", container.call("state", &[]).code()));
    for written in ["b/config.json", "config.json"] {
        told.push_str(&fs::read_to_string(temp.path().join(written)).unwrap_or_default());
    }
    let told = told
        .replace(container.id(), "ID")
        .replace(&*temp.path().to_string_lossy(), "TEMP")
        .replace(&*bundle.path().to_string_lossy(), "BUNDLE")
        .replace(&*orlop.root().to_string_lossy(), "ROOT");
    match command {
        // Pids, times, and columns as wide as they are.
        "list" | "ps" => {
            let words = told.split_whitespace().map(|word| word.replace(|c: char| c.is_ascii_digit(), ""));
            format!("{}\n{}", output.code(), words.collect::<Vec<_>>().join(" "))
        }
        _ => told,
    }
}

/// Of facts what two runs have in common, and of messages all but their time.
fn stable(text: &str) -> String {
    const FACTS: [&str; 9] = [
        "/env",
        "/cwd",
        "/uid",
        "/gid",
        "/groups",
        "/capabilities",
        "/no_new_privs",
        "/keyring/description",
        "/terminal",
    ];
    let line = |line: &str| match serde_json::from_str::<Value>(line) {
        Ok(facts @ Value::Object(_)) if facts.get("env").is_some() => {
            FACTS.map(|path| facts.pointer(path).map(Value::to_string).unwrap_or_default()).join("\n")
        }
        _ => line.split_once("level=").map_or(line, |(_, rest)| rest).to_owned(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_option_changes_something_or_is_refused() {
    skip_unless!(host::is_root(), "root");
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    for (command, options) in ROWS {
        let mut plain = None;
        for (option, shown) in *options {
            match shown {
                In(file) => {
                    let text = fs::read_to_string(tests.join(file)).expect(file);
                    let is_there =
                        text.contains(&format!("--{option}")) || text.contains(&option.replace('-', "_"));
                    assert!(is_there, "{command} --{option} is not in {file}");
                }
                Refused(words, said) => {
                    let with = outcome(command, words);
                    assert!(!with.starts_with("0\n") && with.contains(said), "{command} {words:?}: {with}");
                }
                Differs(words) => {
                    let without = plain.get_or_insert_with(|| {
                        let without = outcome(command, &[]);
                        assert!(!without.contains("Incorrect Usage"), "{command}: {without}");
                        assert_eq!(
                            outcome(command, &[]),
                            without,
                            "{command}: two runs differ without any option"
                        );
                        without
                    });
                    let with = outcome(command, words);
                    assert_ne!(with, *without, "{command} {words:?} changes nothing");
                }
            }
        }
    }
}

/// The parent that the kernel gives to what a hook of `run` leaves behind.
fn adopter(options: &[&str]) -> (i32, i32) {
    let orlop = Runtime::new(ORLOP);
    // The orphan waits until the hook is gone; a shell started after that knows the new parent.
    let orphan = "while kill -0 $1 2>/dev/null; do :; done; exec sh -c 'echo $PPID >@BUNDLE@/adopter.new; mv \
                  @BUNDLE@/adopter.new @BUNDLE@/adopter'";
    let mut bundle = Bundle::builder().args([PROBE_PATH, "sleep"]).file("orphan.sh", "").build();
    let dir = bundle.path().to_string_lossy().into_owned();
    fs::write(bundle.path().join("orphan.sh"), orphan.replace("@BUNDLE@", &dir)).expect("write");
    bundle.edit(|spec| {
        let script = format!("setsid sh {dir}/orphan.sh $$ </dev/null >/dev/null 2>&1 &");
        spec["hooks"] = json!({ "createRuntime": [{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"] }] });
    });
    let container = orlop.container(&bundle);
    let mut command = orlop.command(container.in_bundle("run", options));
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut running = command.spawn().expect("runs");
    let pid = i32::try_from(running.id()).expect("a pid");
    let deadline = Instant::now() + PATIENCE;
    let adopter = loop {
        match fs::read_to_string(bundle.path().join("adopter")) {
            Ok(text) => break text.trim().parse().expect("a pid"),
            Err(_) if Instant::now() < deadline => std::thread::yield_now(),
            Err(error) => panic!("no orphan: {error}"),
        }
    };
    drop(container.delete(&["--force"]));
    running.wait().expect("wait");
    (pid, adopter)
}

#[test]
fn run_adopts_orphans_unless_it_has_no_subreaper() {
    skip_unless!(host::is_root(), "root");
    let (run, adopter_of_orphan) = adopter(&[]);
    assert_eq!(adopter_of_orphan, run);
    let (run, adopter_of_orphan) = adopter(&["--no-subreaper"]);
    assert_ne!(adopter_of_orphan, run);
}
