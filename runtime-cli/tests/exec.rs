//! `exec`: what engines and people do with it, seen from inside and from outside.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    io::{Read, Write},
    process::Stdio,
    time::Duration,
};

use oci_conformance::{
    Bundle, BundleBuilder, ConsoleSocket, Container, Facts, PROBE_PATH, Runtime, host, runtime::read_until,
    skip_unless,
};
use serde_json::{Value, json};

const ORLOP: &str = env!("CARGO_BIN_EXE_orlop");
const PATIENCE: Duration = Duration::from_secs(20);

fn sleeper() -> BundleBuilder {
    Bundle::builder().args([PROBE_PATH, "sleep"])
}

fn running<'a>(runtime: &'a Runtime, bundle: &Bundle) -> Container<'a> {
    let container = runtime.container(bundle);
    drop(container.create(&[]).success());
    drop(container.start().success());
    container
}

fn process_file(bundle: &Bundle, process: &Value) -> String {
    let path = bundle.path().join("process.json");
    fs::write(&path, process.to_string()).unwrap();
    path.to_string_lossy().into_owned()
}

fn process(args: &[&str]) -> Value {
    json!({ "args": args, "cwd": "/", "user": { "uid": 0, "gid": 0 }, "env": ["PATH=/bin"] })
}

#[test]
fn the_status_is_passed_on() {
    skip_unless!(host::is_root(), "root");
    let (orlop, bundle) = (Runtime::new(ORLOP), sleeper().build());
    let container = running(&orlop, &bundle);
    for (words, code) in [
        (&["true"][..], 0),
        (&["exit", "42"], 42),
        (&["exit", "255"], 255),
        (&["signal", "9"], 137),
        (&["signal", "15"], 143),
    ] {
        let command = [&[PROBE_PATH], words].concat();
        assert_eq!(container.exec(&[], &command).code(), code, "{words:?}");
    }
    let output = container.exec(&[], &[PROBE_PATH, "echo", "--help", "-d"]).success();
    assert_eq!((output.stdout().as_str(), output.stderr().as_str()), ("--help -d\n", ""));
    drop(container);
}

#[test]
fn failures_have_255_and_the_words_that_engines_look_for() {
    skip_unless!(host::is_root(), "root");
    let bundle = sleeper()
        .file("rootfs/etc/plain", "text")
        .file_with_mode("rootfs/script", "#!/no/such/shell\n", 0o755)
        .file_with_mode("rootfs/garbage", "garbage", 0o755)
        .build();
    let orlop = Runtime::new(ORLOP);
    let container = running(&orlop, &bundle);
    let pid_file = bundle.path().join("pid");
    let pid_option = format!("--pid-file={}", pid_file.display());
    let start = "exec failed: unable to start container process: ";
    for (options, command, words) in [
        (&[][..], &["nosuch"][..], &*format!("{start}exec: \"nosuch\": executable file not found in $PATH")),
        (&[], &[""], &format!("{start}exec: \"\": executable file not found in $PATH")),
        (&[], &["/nosuch"], &format!("{start}exec: \"/nosuch\": stat /nosuch: no such file or directory")),
        (&[], &["/bin"], &format!("{start}exec: \"/bin\": is a directory: permission denied")),
        (&[], &["/etc/plain"], &format!("{start}exec: \"/etc/plain\": permission denied")),
        (&[], &["/script"], "exec failed: exec /script: no such file or directory"),
        (&[], &["/garbage"], "exec failed: exec /garbage: exec format error"),
        (&["-d"], &["/script"], "exec failed: exec /script: no such file or directory"),
        (
            &["--cwd", "/nosuch"],
            &["probe"],
            &format!(
                "{start}chdir to cwd (\"/nosuch\") set in config.json failed: no such file or directory"
            ),
        ),
        (&["-u", "root"], &["probe"], "exec failed: bad uid: \"root\" is no number from 0 to 4294967294"),
        (&["-u", "1:x"], &["probe"], "exec failed: bad gid: \"x\" is no number from 0 to 4294967294"),
        (&[], &[], "exec failed: exec args cannot be empty"),
        (&["-dt"], &["probe"], ""),
        (
            &["-d", "-t"],
            &["probe"],
            "exec failed: cannot allocate tty if runc will detach without setting console socket",
        ),
        (
            &["--console-socket", "/nosuch"],
            &["probe"],
            "exec failed: cannot use console socket if runc will not detach or allocate tty",
        ),
        (&["--cgroup", ".."], &["probe"], "exec failed: bad sub cgroup path: .."),
        (&["--cgroup", "whaaat:/"], &["probe"], "exec failed: unknown controller whaaat"),
        (&["--process", "/nosuch"], &[], "exec failed: open /nosuch: no such file or directory"),
        (
            &["--preserve-fds", "900"],
            &["probe"],
            "exec failed: unable to stat preserved-fd 0 (of 900): bad file descriptor",
        ),
    ] {
        let output = container.exec(&[&[&*pid_option], options].concat(), command);
        let told = output.stderr();
        // As after every unknown option: the help on stdout, and code 1.
        let code = if words.is_empty() { 1 } else { 255 };
        assert_eq!(output.code(), code, "{options:?} {command:?}: {told}");
        let escaped = words.replace('"', "\\\"");
        assert!(told.contains(&format!("msg=\"{escaped}")), "{options:?} {command:?}: {told}");
        assert!(fs::symlink_metadata(&pid_file).is_err(), "{options:?} {command:?} left a pid file");
    }
    assert!(orlop.call(["exec", "nosuch", "true"]).failure(255).contains("container does not exist"));
    assert_eq!(processes(&container), 1, "nothing of them is left");
    drop(container.kill("KILL").success());
    container.wait();
    assert!(container.exec(&[], &["probe"]).failure(255).contains("cannot exec in a stopped container"));
}

/// How many processes are in the container.
fn processes(container: &Container<'_>) -> usize {
    let text = container.call("ps", &["--format", "json"]).success().stdout();
    serde_json::from_str::<Vec<i32>>(&text).unwrap().len()
}

#[test]
fn all_problems_of_a_process_file_are_told_at_once() {
    skip_unless!(host::is_root(), "root");
    let (orlop, bundle) = (Runtime::new(ORLOP), sleeper().build());
    let container = running(&orlop, &bundle);
    let file = process_file(
        &bundle,
        &json!({ "args": [PROBE_PATH, 1], "user": { "uid": -1 }, "rlimits": [{ "type": "RLIMIT_CORE" }] }),
    );
    let told = container.exec(&["--process", &file], &[]).failure(255);
    for path in ["process.args[1]", "process.user.uid", "process.cwd", "process.rlimits[0].soft"] {
        assert!(told.contains(path), "{path}: {told}");
    }
    let file = process_file(&bundle, &json!({ "args": [], "cwd": "x", "user": { "umask": 4096 } }));
    let told = container.exec(&["--process", &file], &[]).failure(255);
    for words in ["args must not be empty", "Cwd must be an absolute path", "process.user.umask"] {
        assert!(told.contains(words), "{words}: {told}");
    }
}

#[test]
fn options_change_the_process_and_nothing_else() {
    skip_unless!(host::is_root(), "root");
    let bundle = sleeper()
        .env("KEPT=1")
        .env("CHANGED=1")
        .set("/process/user/umask", 0o027)
        .file("rootfs/etc/passwd", "app:x:1000:1000::/srv/app:/bin/sh\n")
        .build();
    let orlop = Runtime::new(ORLOP);
    let container = running(&orlop, &bundle);
    let exec =
        |options: &[&str]| Facts::parse(&container.exec(options, &[PROBE_PATH, "facts"]).success().stdout());
    let plain = exec(&[]);
    assert_eq!(
        (plain.env("KEPT"), plain.env("CHANGED"), plain.env("HOME")),
        (Some("1"), Some("1"), Some("/"))
    );
    let options =
        ["-u", "1000:1001", "-g", "5", "-g", "6", "-e", "CHANGED=2", "--env", "NEW=3", "--cwd", "/tmp"];
    let changed = exec(&options);
    assert_eq!(
        (changed.env("KEPT"), changed.env("CHANGED"), changed.env("NEW")),
        (Some("1"), Some("2"), Some("3"))
    );
    assert_eq!(changed.env("HOME"), Some("/srv/app"));
    for (pointer, value) in [
        ("/uid/real", json!(1000)),
        ("/gid/effective", json!(1001)),
        ("/groups", json!([5, 6])),
        ("/cwd", json!("/tmp")),
        ("/umask", json!("0027")),
    ] {
        assert_eq!(*changed.at(pointer), value, "{pointer}");
    }
    assert_eq!(*exec(&["-u", "7"]).at("/gid/real"), json!(0), "the group stays");
    let capable = exec(&["--cap", "CAP_SYS_PTRACE", "-c", "CAP_CHOWN"]);
    for set in ["bounding", "effective", "permitted"] {
        let names = capable.list(&format!("/capabilities/{set}"));
        assert!(names.contains(&"CAP_SYS_PTRACE") && names.contains(&"CAP_CHOWN"), "{set}: {names:?}");
    }
    assert_eq!(capable.list("/capabilities/inheritable"), [""; 0], "CVE-2022-29162");
}

#[test]
fn a_detached_process_runs_on_with_its_pid_in_the_file() {
    skip_unless!(host::is_root(), "root");
    let (orlop, bundle) = (Runtime::new(ORLOP), sleeper().build());
    let container = running(&orlop, &bundle);
    let pid_file = bundle.path().join("pid");
    let file = process_file(&bundle, &process(&[PROBE_PATH, "sleep"]));
    let options = ["--pid-file", &*pid_file.to_string_lossy(), "--process", &file, "--detach"];
    let output = container.exec(&options, &[]).success();
    assert_eq!(output.stderr(), "");
    let pid = fs::read_to_string(&pid_file).unwrap();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.starts_with("Name:\tprobe\n"), "{status}");
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    assert_eq!((fields[2], fields[3]), (&*pid, &*pid), "it leads its group and its session");
    assert_eq!(processes(&container), 2);
    assert_eq!(container.state()["status"], "running");
    drop(container.kill("KILL").success());
    container.wait();
    drop(container.delete(&[]).success());
    assert_eq!(container.leftovers(), Vec::<String>::new());
    let rest = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    assert!(rest.is_empty(), "it ended with its pid namespace");
}

#[test]
fn a_terminal_is_sent_to_the_console_socket() {
    skip_unless!(host::is_root(), "root");
    let (orlop, bundle) = (Runtime::new(ORLOP), sleeper().build());
    let container = running(&orlop, &bundle);
    let socket = ConsoleSocket::new();
    let path = socket.path().to_string_lossy().into_owned();
    let mut object = process(&[PROBE_PATH, "each", "tty", "--", "cat"]);
    object["terminal"] = json!(true);
    object["consoleSize"] = json!({ "height": 33, "width": 77 });
    object["user"] = json!({ "uid": 1000, "gid": 1000 });
    let file = process_file(&bundle, &object);
    let output = container.exec(&["--process", &file, "--console-socket", &path, "-d"], &[]);
    let (mut master, name) = socket.receive(PATIENCE);
    drop(output.success());
    assert_eq!(name, "/dev/ptmx");
    let told: Value = serde_json::from_str(read_until(&master, "}}\r\n", PATIENCE).trim()).unwrap();
    for fd in ["0", "1", "2"] {
        assert_eq!((&told[fd]["rows"], &told[fd]["columns"]), (&json!(33), &json!(77)), "{told}");
        assert!(told[fd]["foreground_group"].as_i64() > Some(1), "it controls the session: {told}");
    }
    master.write_all(b"typed\n").unwrap();
    read_until(&master, "typed\r\ntyped\r\n", PATIENCE);
    master.write_all(&[4]).unwrap();
    let mut rest = Vec::new();
    // EIO: the other end is closed.
    assert!(master.read_to_end(&mut rest).is_err());
}

#[test]
fn input_goes_in_and_fds_that_were_asked_for() {
    skip_unless!(host::is_root(), "root");
    let (orlop, bundle) = (Runtime::new(ORLOP), sleeper().build());
    let container = running(&orlop, &bundle);
    let mut command = orlop.command(container.exec_args(&[], &[PROBE_PATH, "cat"]));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"through a pipe\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.stdout, b"through a pipe\n");
    let facts = Facts::parse(&container.exec(&[], &[PROBE_PATH, "facts"]).success().stdout());
    let mut fds: Vec<&String> = facts.at("/fds").as_object().unwrap().keys().collect();
    fds.sort();
    assert_eq!(fds, ["0", "1", "2"]);
}

#[test]
fn a_created_container_takes_processes() {
    skip_unless!(host::is_root(), "root");
    let (orlop, bundle) = (Runtime::new(ORLOP), sleeper().build());
    let container = orlop.container(&bundle);
    drop(container.create(&[]).success());
    assert_eq!(container.exec(&[], &[PROBE_PATH, "echo", "in"]).success().stdout(), "in\n");
    assert_eq!(container.state()["status"], "created");
    drop(container.start().success());
}
