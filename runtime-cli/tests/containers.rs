//! The commands with containers, as root: what engines do and rely on, from outside.

use std::{
    fs,
    io::{Read, Write},
    os::{fd::OwnedFd, unix::net::UnixDatagram},
    process::{Child, Command, Stdio},
    time::Duration,
};

use oci_conformance::{Bundle, PROBE_PATH, Runtime, console::ConsoleSocket, host, runtime::readable};
use serde_json::Value;

const ORLOP: &str = env!("CARGO_BIN_EXE_orlop");
const PATIENCE: Duration = Duration::from_secs(20);

fn orlop() -> Option<Runtime> {
    if !host::is_root() {
        host::skipped("root");
        return None;
    }
    Some(Runtime::new(ORLOP))
}

fn probe(words: &[&str]) -> Bundle {
    Bundle::builder().args([PROBE_PATH].iter().chain(words)).build()
}

/// Ends a child that a failed test leaves.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        if !matches!(self.0.try_wait(), Ok(Some(_))) {
            self.0.kill().expect("kill");
            self.0.wait().expect("wait");
        }
    }
}

impl Running {
    fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.0), signal).expect("kill");
    }

    /// Reads stdout until the word came.
    fn wait_for(&mut self, word: &str) {
        let stdout = self.0.stdout.as_mut().expect("stdout is a pipe");
        let mut seen = Vec::new();
        while !seen.ends_with(word.as_bytes()) {
            assert!(readable(&*stdout, PATIENCE), "no {word:?} after {:?}", String::from_utf8_lossy(&seen));
            let mut byte = [0];
            assert_eq!(
                stdout.read(&mut byte).expect("read"),
                1,
                "end after {:?}",
                String::from_utf8_lossy(&seen)
            );
            seen.push(byte[0]);
        }
    }

    fn exit_code(mut self) -> Option<i32> {
        self.0.wait().expect("wait").code()
    }
}

// spec: runtime.scope.creator-can-operate runtime.state.ociversion.required runtime.state.id.required
// spec: runtime.state.status.required runtime.state.pid.created runtime.state.bundle.required
// spec: runtime.state.returns-state runtime.operations.all-supported runtime.create.makes-container
// spec: runtime.create.args-not-applied runtime.start.running-errors runtime.start.runs-program
// spec: runtime.kill.signal-delivered runtime.kill.stopped-errors runtime.delete.running-errors
// spec: runtime.delete.not-stopped-no-effect runtime.delete.removes-resources lifecycle.environment.created
// spec: lifecycle.environment.program-not-run lifecycle.program.run lifecycle.destroy.undoes-create
// spec: bundle.config.file.is-read-from-given-directory
#[test]
fn a_container_goes_through_its_life() {
    let Some(orlop) = orlop() else { return };
    let bundle = probe(&["sleep"]);
    let container = orlop.container(&bundle);
    let pid_file = bundle.path().join("pid");
    let created = container.create(&["--pid-file", &pid_file.to_string_lossy()]).success();
    assert_eq!((created.stdout(), created.stderr()), (String::new(), String::new()), "success is silent");
    let pid = fs::read_to_string(&pid_file).expect("pid file");
    assert!(pid.bytes().all(|byte| byte.is_ascii_digit()), "{pid:?}");

    let text = container.call("state", &[]).success().stdout();
    assert!(text.starts_with("{\n  \"ociVersion\"") && text.ends_with("\n}"), "{text}");
    let state: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(state["status"], "created");
    assert_eq!(state["pid"].to_string(), pid);
    assert_eq!(state["bundle"], *bundle.path().to_string_lossy());
    assert_eq!(state["owner"], "");

    drop(container.start().success());
    assert_eq!(container.state()["status"], "running");
    assert!(container.start().failure(1).contains("cannot start an already running container"));
    let refused = container.delete(&[]).failure(1);
    assert!(
        refused.contains("cannot delete container") && refused.contains("not stopped: running"),
        "{refused}"
    );
    drop(container.kill("0").success());
    let pidfd = container.pidfd();
    drop(container.kill("KILL").success());
    assert!(readable(pidfd, PATIENCE), "KILL ends it");
    let state = container.state();
    assert_eq!((&state["status"], &state["pid"]), (&"stopped".into(), &0.into()));
    assert!(container.kill("TERM").failure(1).contains("container not running"));
    drop(container.call("kill", &["--all"]).success());
    drop(container.delete(&[]).success());
    assert!(container.delete(&[]).failure(1).contains("does not exist"));
    drop(container.delete(&["--force"]).success());
    assert_eq!(container.leftovers(), Vec::<String>::new());
}

#[test]
fn list_knows_status_and_owner() {
    let Some(orlop) = orlop() else { return };
    let bundle = probe(&["sleep"]);
    let container = orlop.container(&bundle);
    drop(container.create(&[]).success());
    let table = orlop.call(["list"]).success().stdout();
    let row = table.lines().nth(1).expect("a row");
    assert!(row.starts_with(container.id()) && row.contains("created") && row.ends_with("root"), "{table}");
    let json: Value =
        serde_json::from_str(&orlop.call(["list", "-f", "json"]).success().stdout()).expect("JSON");
    assert_eq!((&json[0]["id"], &json[0]["owner"]), (&container.id().into(), &"root".into()));
    assert_eq!(orlop.call(["list", "-q"]).success().stdout(), format!("{}\n", container.id()));
}

// spec: runtime.state.id.unique runtime.create.duplicate-id-errors runtime.create.duplicate-id-no-new-container
#[test]
fn an_id_is_used_once() {
    let Some(orlop) = orlop() else { return };
    let bundle = probe(&["sleep"]);
    let container = orlop.container(&bundle);
    drop(container.create(&[]).success());
    assert!(container.create(&[]).failure(1).contains("container with given ID already exists"));
    assert_eq!(container.state()["status"], "created", "the loser takes nothing away");
}

#[test]
fn term_ends_a_created_container_which_then_can_be_deleted() {
    let Some(orlop) = orlop() else { return };
    let bundle = probe(&["sleep"]);
    let container = orlop.container(&bundle);
    drop(container.create(&[]).success());
    let pidfd = container.pidfd();
    drop(container.kill("SIGTERM").success());
    assert!(readable(pidfd, PATIENCE), "TERM ends it");
    assert_eq!(container.state()["status"], "stopped");
    assert!(container.start().failure(1).contains("cannot start a container that has stopped"));
    drop(container.delete(&[]).success());
    drop(container.create(&[]).success());
    drop(container.delete(&[]).success());
    assert_eq!(container.leftovers(), Vec::<String>::new());
}

#[test]
fn run_passes_the_status_on_and_leaves_nothing() {
    let Some(orlop) = orlop() else { return };
    for (words, code) in [(&["true"][..], 0), (&["exit", "7"], 7), (&["exit", "255"], 255)] {
        let bundle = probe(words);
        let container = orlop.container(&bundle);
        assert_eq!(container.run(&[]).code(), code, "{words:?}");
        assert_eq!(container.leftovers(), Vec::<String>::new());
    }
}

// spec: runtime.create.unappliable-no-container lifecycle.environment.failure-error runtime.errors.no-side-effects
#[test]
fn run_of_a_missing_program_fails_with_the_words_of_engines() {
    let Some(orlop) = orlop() else { return };
    for (program, words) in [
        ("nosuch", "exec: \"nosuch\": executable file not found in $PATH"),
        ("/nosuch", "exec: \"/nosuch\": stat /nosuch: no such file or directory"),
    ] {
        let bundle = Bundle::builder().args([program]).build();
        let container = orlop.container(&bundle);
        let message = container.run(&[]).failure(1);
        assert!(
            message.contains("orlop run failed: ") && message.replace('\\', "").contains(words),
            "{message}"
        );
        let message = container.create(&[]).failure(1);
        assert!(
            message.contains("orlop create failed: ") && message.replace('\\', "").contains(words),
            "{message}"
        );
        assert_eq!(container.leftovers(), Vec::<String>::new());
    }
}

#[test]
fn hooks_of_the_host_have_the_umask_of_the_caller() {
    let Some(orlop) = orlop() else { return };
    let told = tempfile::NamedTempFile::new().expect("temporary file");
    let script = format!("umask > {}", told.path().display());
    let hook = serde_json::json!([{"path": "/bin/sh", "args": ["sh", "-c", script]}]);
    let own = Command::new("/bin/sh").args(["-c", "umask"]).output().expect("sh").stdout;
    for kind in ["prestart", "createRuntime", "createContainer", "poststart", "poststop"] {
        fs::write(told.path(), "").expect("write");
        let bundle = Bundle::builder()
            .args([PROBE_PATH, "true"])
            .edit(|spec| spec["hooks"] = serde_json::json!({kind: hook}))
            .build();
        drop(orlop.container(&bundle).run(&[]).success());
        assert_eq!(fs::read(told.path()).expect("read"), own, "{kind}");
    }
}

#[test]
fn another_users_limits_need_no_right_of_the_caller_but_to_lower() {
    let Some(orlop) = orlop() else { return };
    // As in a container that runs containers.
    let orlop = orlop.wrapped_in(["setpriv", "--bounding-set", "-sys_resource", "--"]);
    let bundle = |hard: u64| {
        let limit = serde_json::json!([{"type": "RLIMIT_NOFILE", "soft": 3, "hard": hard}]);
        let user = serde_json::json!({"uid": 1000, "gid": 1000});
        let edit = |spec: &mut Value| {
            spec["process"]["user"] = user;
            spec["process"]["rlimits"] = limit;
        };
        Bundle::builder().args([PROBE_PATH, "true"]).edit(edit).build()
    };
    drop(orlop.container(&bundle(7)).run(&[]).success());
    let message = orlop.container(&bundle(1 << 40)).run(&[]).failure(1);
    assert!(message.contains("cannot set RLIMIT_NOFILE to 3 of 1099511627776"), "{message}");
}

#[test]
fn delete_ends_what_outlives_init_in_a_pid_namespace_of_others() {
    let Some(orlop) = orlop() else { return };
    for options in [&[][..], &["--force"]] {
        let bundle = Bundle::builder().args([PROBE_PATH, "spawn", "2"]).without_namespace("pid").build();
        let container = orlop.container(&bundle);
        let (created, stdout) = container.create_piped(&[]);
        drop(created.success());
        drop(container.start().success());
        oci_conformance::runtime::read_until(&stdout, "\n", PATIENCE);
        drop(container.kill("TERM").success());
        container.wait();
        drop(container.delete(options).success());
        assert_eq!(container.leftovers(), Vec::<String>::new());
    }
}

#[test]
fn run_detached_returns_and_run_keep_keeps() {
    let Some(orlop) = orlop() else { return };
    let bundle = probe(&["sleep"]);
    let container = orlop.container(&bundle);
    drop(container.run(&["--detach"]).success());
    assert_eq!(container.state()["status"], "running");
    let bundle = probe(&["exit", "3"]);
    let container = orlop.container(&bundle);
    assert_eq!(container.run(&["--keep"]).code(), 3);
    assert_eq!(container.state()["status"], "stopped");
    drop(container.delete(&[]).success());
}

#[test]
fn run_forwards_signals_and_reports_the_one_that_ended_it() {
    let Some(orlop) = orlop() else { return };
    for (words, signal, code) in [
        (&["wait-term"][..], rustix::process::Signal::TERM, 0),
        (&["sleep"], rustix::process::Signal::TERM, 137),
    ] {
        let bundle = probe(words);
        let container = orlop.container(&bundle);
        let mut command = orlop.command(container.in_bundle("run", &[]));
        let mut run = Running(command.stdout(Stdio::piped()).spawn().expect("spawn"));
        run.wait_for("ready\n");
        run.signal(rustix::process::Signal::WINCH);
        run.signal(signal);
        if code == 137 {
            // As pid 1 it has no handler for TERM, so the kernel drops it.
            drop(container.kill("KILL").success());
        }
        assert_eq!(run.exit_code(), Some(code), "{words:?}");
        assert_eq!(container.leftovers(), Vec::<String>::new());
    }
}

#[test]
fn run_inherits_stdio() {
    let Some(orlop) = orlop() else { return };
    let bundle = probe(&["cat"]);
    let container = orlop.container(&bundle);
    let mut command = orlop.command(container.in_bundle("run", &[]));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("spawn");
    child.stdin.take().expect("stdin").write_all(b"through\n").expect("write");
    let output = child.wait_with_output().expect("wait");
    assert!(output.status.success());
    assert_eq!(output.stdout, b"through\n");
}

#[test]
fn a_created_container_holds_nothing_of_its_creators_captured_output() {
    let Some(orlop) = orlop() else { return };
    // With a terminal the output of create is a pipe that an engine reads to its end.
    let bundle = Bundle::builder().args([PROBE_PATH, "tty"]).set("/process/terminal", true).build();
    let container = orlop.container(&bundle);
    let socket = ConsoleSocket::new();
    let path = socket.path();
    let words = container.in_bundle("create", &["--console-socket", &path.to_string_lossy()]);
    let output = orlop.command(words).stdout(Stdio::piped()).stderr(Stdio::piped()).output().expect("spawn");
    assert!(output.status.success(), "{output:?}");
    let (master, payload) = socket.receive(PATIENCE);
    assert_eq!(payload, "/dev/ptmx");
    drop(container.start().success());
    let seen = oci_conformance::runtime::read_until(&master, "}}\r\n", PATIENCE);
    assert!(seen.contains("/dev/pts/0"), "{seen}");
}

#[test]
fn a_console_socket_that_does_not_answer_is_an_early_error() {
    let Some(orlop) = orlop() else { return };
    let bundle = Bundle::builder().args([PROBE_PATH, "tty"]).set("/process/terminal", true).build();
    let container = orlop.container(&bundle);
    let message = container.create(&["--console-socket", "/nonexistent/socket"]).failure(1);
    assert!(message.contains("console socket /nonexistent/socket"), "{message}");
    let message = container.create(&[]).failure(1);
    assert!(message.contains("cannot allocate tty"), "{message}");
    let bundle = probe(&["true"]);
    let socket = ConsoleSocket::new();
    let path = socket.path();
    for verb in ["create", "run"] {
        let words = orlop.container(&bundle).in_bundle(verb, &["--console-socket", &path.to_string_lossy()]);
        let message = orlop.call(words).failure(1);
        assert!(message.contains("cannot use console socket"), "{message}");
    }
    assert_eq!(container.leftovers(), Vec::<String>::new());
}

#[test]
fn preserved_fds_arrive_at_their_numbers_and_others_do_not() {
    let Some(orlop) = orlop() else { return };
    let bundle = probe(&["read", "/proc/self/fd/4"]);
    let file = bundle.path().join("text");
    fs::write(&file, "from outside\n").expect("write");
    // 3 and 4, and 5 that was not asked for.
    let redirections = format!("3<{0} 4<{0} 5<{0}", file.display());
    let words = orlop.container(&bundle).in_bundle("run", &["--preserve-fds", "2"]);
    let output = after_shell(&orlop, "", &redirections, words).output().expect("spawn");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout, b"from outside\n");

    let bundle =
        probe(&["each", "access", "/proc/self/fd/3", "r", "--", "access", "/proc/self/fd/5", "r", "--"]);
    let words = orlop.container(&bundle).in_bundle("run", &["--preserve-fds", "2"]);
    let output = after_shell(&orlop, "", &redirections, words).output().expect("spawn");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n2\n", "3 is there, 5 is not");
}

#[test]
fn a_hole_in_the_preserved_fds_is_an_error() {
    let Some(orlop) = orlop() else { return };
    let bundle = probe(&["true"]);
    let words = orlop.container(&bundle).in_bundle("run", &["--preserve-fds", "1"]);
    // The log file must not fill the hole.
    let log = bundle.path().join("log");
    let output =
        Command::new(ORLOP).arg("--log").arg(log).arg("--root").arg(orlop.root()).args(words).output();
    let output = output.expect("spawn");
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("unable to stat preserved-fd 0 (of 1)"), "{message}");
}

#[test]
fn activation_sockets_come_first_and_are_announced() {
    let Some(orlop) = orlop() else { return };
    let bundle = probe(&["env"]);
    let words = orlop.container(&bundle).in_bundle("run", &[]);
    // LISTEN_PID has to be the pid of the runtime, which the shell becomes.
    let mut command = after_shell(&orlop, "LISTEN_PID=$$", "3</dev/null", words);
    command.env("LISTEN_FDS", "1").env("LISTEN_FDNAMES", "web").env("SECRET", "x");
    let output = command.output().expect("spawn");
    let env = String::from_utf8_lossy(&output.stdout);
    for entry in ["LISTEN_FDS=1", "LISTEN_PID=1", "LISTEN_FDNAMES=web"] {
        assert!(env.lines().any(|line| line == entry), "{entry}: {output:?}");
    }
    assert!(!env.contains("SECRET"), "{env}");
}

#[test]
fn readiness_is_passed_to_the_service_manager() {
    let Some(orlop) = orlop() else { return };
    let bundle = probe(&["each", "notify", "STATUS=x\nREADY=1", "--", "sleep"]);
    let manager = bundle.path().join("manager.sock");
    let socket = UnixDatagram::bind(&manager).expect("bind");
    let container = orlop.container(&bundle);
    let mut command = orlop.command(container.in_bundle("run", &["-d"]));
    let run = Running(command.env("NOTIFY_SOCKET", &manager).spawn().expect("spawn"));
    let receive = || {
        assert!(readable(&socket, PATIENCE), "the manager is told nothing");
        let mut datagram = [0; 256];
        let length = socket.recv(&mut datagram).expect("receive");
        String::from_utf8_lossy(&datagram[..length]).into_owned()
    };
    assert_eq!(receive(), "READY=1");
    assert!(receive().starts_with("MAINPID="));
    assert_eq!(receive(), "BARRIER=1");
    assert_eq!(run.exit_code(), Some(0));
    assert_eq!(container.state()["status"], "running");
    drop(container.delete(&["--force"]).success());
    assert_eq!(fs::read_dir(orlop.root()).expect("root").count(), 0, "the notify socket is gone too");
}

#[test]
fn a_run_in_the_foreground_connects_terminals() {
    let Some(orlop) = orlop() else { return };
    let bundle = Bundle::builder().args([PROBE_PATH, "tty"]).set("/process/terminal", true).build();
    let container = orlop.container(&bundle);
    let (master, slave) = terminal_pair();
    let size = rustix::termios::Winsize { ws_row: 33, ws_col: 111, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(&master, size).expect("size");
    let mode = format!("{:?}", rustix::termios::tcgetattr(&slave).expect("mode"));
    let mut command = orlop.command(container.in_bundle("run", &[]));
    let twin = || slave.try_clone().expect("duplicate");
    command.stdin(twin()).stdout(twin()).stderr(twin());
    let run = Running(command.spawn().expect("spawn"));
    drop(command);
    let seen = oci_conformance::runtime::read_until(
        &fs::File::from(master.try_clone().expect("dup")),
        "}",
        PATIENCE,
    );
    assert!(seen.contains("33") && seen.contains("111"), "{seen}");
    assert_eq!(run.exit_code(), Some(0));
    let after = format!("{:?}", rustix::termios::tcgetattr(&slave).expect("mode"));
    assert_eq!(after, mode, "the mode of our terminal is restored");
}

#[test]
fn validate_tells_every_problem_with_its_path() {
    let Some(orlop) = orlop() else { return };
    let bundle =
        Bundle::builder().set("/process/cwd", "relative").set("/linux/maskedPaths/0", "relative").build();
    let path = bundle.path().to_string_lossy().into_owned();
    let output = orlop.call(["validate", &path]);
    assert_eq!(output.code(), 1);
    for place in ["process.cwd: ", "linux.maskedPaths[0]: "] {
        assert!(output.stdout().lines().any(|line| line.starts_with(place)), "{place}: {}", output.stdout());
    }
    let json: Value =
        serde_json::from_str(&orlop.call(["validate", "--json", &path]).stdout()).expect("JSON");
    assert!(json.as_array().is_some_and(|problems| problems.len() >= 2), "{json}");
    assert!(
        orlop.call(["validate", &probe(&["true"]).path().to_string_lossy()]).success().stdout().is_empty()
    );
}

#[test]
fn explain_does_nothing() {
    let Some(orlop) = orlop() else { return };
    let bundle = probe(&["true"]);
    let path = bundle.path().to_string_lossy().into_owned();
    let text = orlop.call(["explain", &path]).success().stdout();
    assert!(text.contains("mounts[0]") && text.contains("/proc"), "{text}");
    let json = orlop.call(["explain", "--json", &path]).success().stdout();
    assert!(serde_json::from_str::<Value>(&json).is_ok(), "{json}");
    assert_eq!(orlop.call(["list", "-q"]).success().stdout(), "");
}

fn terminal_pair() -> (OwnedFd, OwnedFd) {
    use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags).expect("terminal");
    grantpt(&master).and_then(|()| unlockpt(&master)).expect("unlock");
    let slave = ioctl_tiocgptpeer(&master, flags).expect("other end");
    (master, slave)
}

/// The runtime's command after shell code, such as redirections of fds and assignments before `exec`.
fn after_shell(orlop: &Runtime, before: &str, redirections: &str, words: Vec<std::ffi::OsString>) -> Command {
    let mut command = Command::new("/bin/sh");
    let script = format!("{before} exec \"$@\" {redirections}");
    command.args(["-c", &script, "sh", ORLOP, "--root"]).arg(orlop.root()).args(words).stdin(Stdio::null());
    command
}
