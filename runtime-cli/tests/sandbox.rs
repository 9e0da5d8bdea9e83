//! `orlop try`, as root and as a plain user: what comes out, and what does not get in.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use oci_conformance::{PROBE, host};

const ORLOP: &str = env!("CARGO_BIN_EXE_orlop");
/// Any user that is not root.
const PLAIN: u32 = 12_345;

/// A project directory with the probe in it, for one user.
struct Project {
    folder: host::TempDir,
    uid: u32,
}

/// One for root and one for a plain user; for a plain user only its own.
fn projects() -> Vec<Project> {
    if !host::user_namespaces() {
        host::skipped("user namespaces");
        return Vec::new();
    }
    let users = if host::is_root() { vec![0, PLAIN] } else { vec![rustix::process::getuid().as_raw()] };
    users.into_iter().map(Project::of).collect()
}

impl Project {
    fn of(uid: u32) -> Self {
        let folder = host::TempDir::new("try");
        let probe = folder.path().join("probe");
        fs::write(&probe, PROBE).expect("probe");
        fs::set_permissions(&probe, fs::Permissions::from_mode(0o755)).expect("mode");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("mode");
        if host::is_root() {
            for path in [folder.path(), &probe] {
                std::os::unix::fs::chown(path, Some(uid), Some(uid)).expect("chown");
            }
        }
        Self { folder, uid }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A copy of the program where the plain user can run it too.
    fn orlop(&self) -> PathBuf {
        let copy = self.path().join("orlop");
        if fs::symlink_metadata(&copy).is_err() {
            host::copy_program(ORLOP, &copy);
        }
        copy
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = if host::is_root() && self.uid != 0 {
            let mut command = Command::new("setpriv");
            let uid = self.uid.to_string();
            command.args(["--reuid", &uid, "--regid", &uid, "--clear-groups", "--"]).arg(self.orlop());
            command
        } else {
            Command::new(ORLOP)
        };
        command.arg("try").args(args).current_dir(self.path()).stdin(Stdio::null());
        command.env_remove("XDG_RUNTIME_DIR").env("HOME", "/home/somebody");
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("orlop runs")
    }

    /// What a quiet sandbox of the shell code prints.
    fn shell(&self, options: &[&str], code: &str) -> String {
        let args: Vec<&str> = options.iter().copied().chain(["-q", "--", "/bin/sh", "-c", code]).collect();
        let output = self.run(&args);
        assert!(output.status.success(), "uid {}: {code}: {output:?}", self.uid);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

#[test]
fn the_status_is_passed_on_and_one_line_is_told() {
    for project in projects() {
        for (code, status) in [("exit 0", 0), ("exit 7", 7)] {
            let output = project.run(&["/bin/sh", "-c", code]);
            assert_eq!(output.status.code(), Some(status), "{output:?}");
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(told.lines().count(), 1, "{told}");
            assert!(told.contains("no network") && told.contains("started in"), "{told}");
        }
        let output =
            project.run(&["-q", "--", "/bin/sh", "-c", "sh -c 'kill -TERM $$' 2>/dev/null; exit $?"]);
        assert_eq!((output.status.code(), output.stderr.len()), (Some(143), 0), "{output:?}");
    }
}

#[test]
fn a_command_that_is_not_there_is_named() {
    for project in projects() {
        let output = project.run(&["no-such-command"]);
        assert_eq!(output.status.code(), Some(1));
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            told.contains("orlop try failed") && told.contains("executable file not found in $PATH"),
            "{told}"
        );
    }
}

#[test]
fn it_is_root_without_capabilities_and_alone() {
    for project in projects() {
        assert_eq!(project.shell(&[], "id -u"), "0\n");
        let status = project.shell(&[], "grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status");
        let expected = "CapEff:\t0000000000000000\nCapBnd:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n";
        assert_eq!(status, expected);
        let processes = project.shell(&[], "echo /proc/[0-9]*");
        assert_eq!(processes.trim(), "/proc/1", "no other process is seen");
        let map = project.shell(&[], "cat /proc/self/uid_map");
        let map: Vec<&str> = map.split_whitespace().collect();
        let outside = if project.uid == 0 { "65534".to_owned() } else { project.uid.to_string() };
        assert_eq!(map, ["0", &outside, "1"], "root is nobody in particular");
    }
}

#[test]
fn the_filter_refuses_what_a_command_has_no_business_with() {
    // No errno of these calls with zeros is one of the filter's otherwise: EINVAL, EBADF or EFAULT.
    #[cfg(target_arch = "x86_64")]
    let [keyctl, bpf, mount, clone3, io_uring_setup, socket, unshare, ioctl] =
        ["250", "321", "165", "435", "425", "41", "272", "16"];
    #[cfg(target_arch = "aarch64")]
    let [keyctl, bpf, mount, clone3, io_uring_setup, socket, unshare, ioctl] =
        ["219", "280", "40", "435", "425", "198", "97", "29"];
    for project in projects() {
        for (call, expected) in [
            (format!("{keyctl} 0 -3 0"), "1"),
            (format!("{bpf} 100"), "1"),
            (format!("{mount} 0 0 0 0 0"), "1"),
            (format!("{clone3} 0 0"), "38"),
            (format!("{io_uring_setup} 0 0"), "38"),
            (format!("{socket} 40 1 0"), "97"),
            (format!("{socket} 1 1 0"), "0"),
            (format!("{unshare} {}", 0x1000_0000), "1"),
            (format!("{unshare} {}", 0x200), "0"),
            // TIOCSTI, also with bits that the kernel does not look at; TCGETS of what is no terminal.
            (format!("{ioctl} 0 {} 0", 0x5412), "1"),
            (format!("{ioctl} 0 {} 0", 0x1_0000_5412_u64), "1"),
            (format!("{ioctl} 0 {} 0", 0x5401), "25"),
        ] {
            assert_eq!(project.shell(&[], &format!("./probe call {call}")).trim(), expected, "{call}");
        }
    }
}

#[test]
fn secrets_of_the_machine_are_not_there() {
    for project in projects() {
        for secret in ["/etc/shadow", "/etc/gshadow"] {
            assert_eq!(project.shell(&[], &format!("cat {secret} 2>/dev/null || true")), "", "{secret}");
        }
        assert_eq!(
            project
                .shell(&[], "ls -A ~ /run /tmp/* /home/somebody 2>/dev/null | grep -v : || true")
                .lines()
                .filter(|line| line.contains("ssh"))
                .count(),
            0
        );
        let env = project
            .command(&["-q", "env"])
            .env("SSH_AUTH_SOCK", "/x")
            .env("TOKEN", "secret")
            .output()
            .expect("runs");
        let env = String::from_utf8_lossy(&env.stdout).into_owned();
        assert!(env.contains("PATH=") && env.contains("HOME=/home/somebody"), "{env}");
        assert!(!env.contains("secret") && !env.contains("SSH_AUTH_SOCK"), "{env}");
    }
}

#[test]
fn a_socket_of_the_host_cannot_be_reached() {
    for project in projects() {
        // The name is in a directory that the sandbox has too, but empty.
        let name = host::unique("orlop-try-test");
        let path = std::env::temp_dir().join(name);
        let listener = UnixListener::bind(&path).expect("bind");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).expect("mode");
        let seen = project.run(&["-q", "./probe", "connect", &path.to_string_lossy()]);
        fs::remove_file(&path).expect("remove");
        drop(listener);
        assert_eq!(String::from_utf8_lossy(&seen.stdout), "2\n", "ENOENT: {seen:?}");
    }
}

#[test]
fn the_directory_is_read_only_unless_asked() {
    for project in projects() {
        let denied = project.shell(&[], "touch file 2>/dev/null || echo denied");
        assert_eq!(denied, "denied\n");
        assert_eq!(project.shell(&["--rw", "."], "echo text > file && cat file"), "text\n");
        assert_eq!(fs::read_to_string(project.path().join("file")).expect("file"), "text\n");
        for place in ["/usr/x", "/etc/x", "/x", "/opt/x"] {
            let code = format!("touch {place} 2>/dev/null || echo denied");
            assert_eq!(project.shell(&["--rw", "."], &code), "denied\n", "{place}");
        }
        for place in ["/tmp/x", "/var/tmp/x", "/run/x", "~/x", "/dev/shm/x"] {
            assert_eq!(project.shell(&[], &format!("touch {place} && echo made")), "made\n", "{place}");
        }
    }
}

#[test]
fn its_root_is_nowhere_on_the_host() {
    for project in projects() {
        let root = project.shell(&[], "grep ' / / ' /proc/self/mountinfo");
        assert!(root.contains(" / / ro,") && root.contains(" - tmpfs "), "{root}");
        let bin = |root: &str| fs::read_link(format!("{root}/bin")).ok();
        assert_eq!(project.shell(&[], "readlink /bin || true").trim().is_empty(), bin("").is_none());
        let bundle = project.path().join("bundle");
        let written = project.run(&["--bundle", &bundle.to_string_lossy(), "true"]);
        assert!(written.status.success(), "{written:?}");
        let config = fs::read_to_string(bundle.join("config.json")).expect("config");
        assert!(!config.contains("tmpcopyup"), "other runtimes know no mount over the root: {config}");
    }
}

#[test]
fn there_is_no_network_but_loopback() {
    for project in projects() {
        let names = project.shell(&[], "ls /sys/class/net");
        assert!(names.contains("lo") && !names.contains("eth0"), "{names}");
    }
}

#[test]
fn time_runs_out_for_all_of_it() {
    for project in projects() {
        let began = Instant::now();
        let output = project.run(&["-q", "--timeout", "200ms", "/bin/sh", "-c", "sleep 60 & sleep 60"]);
        assert_eq!(output.status.code(), Some(124), "{output:?}");
        assert!(began.elapsed() < Duration::from_secs(30));
    }
}

#[test]
fn input_goes_in_and_output_comes_out() {
    for project in projects() {
        fs::write(project.path().join("text"), "typed\n").expect("write");
        let stdin = fs::File::open(project.path().join("text")).expect("open");
        let output = project.command(&["-q", "cat"]).stdin(stdin).output().expect("runs");
        assert_eq!(output.stdout, b"typed\n", "{output:?}");
    }
}

#[test]
fn nothing_is_left_behind() {
    for project in projects() {
        let runtime_dir = project.path().join("run");
        fs::create_dir(&runtime_dir).expect("directory");
        if host::is_root() {
            std::os::unix::fs::chown(&runtime_dir, Some(project.uid), None).expect("chown");
        }
        for command in ["true", "no-such-command"] {
            drop(
                project
                    .command(&["-q", command])
                    .env("XDG_RUNTIME_DIR", &runtime_dir)
                    .output()
                    .expect("runs"),
            );
            let left: Vec<_> = fs::read_dir(&runtime_dir).expect("list").collect();
            assert!(left.is_empty(), "{command}: {left:?}");
        }
    }
}

#[test]
fn another_system_is_taken_from_a_directory_and_left_alone() {
    for project in projects() {
        let rootfs = project.path().join("system");
        fs::create_dir_all(rootfs.join("bin")).expect("directory");
        fs::write(rootfs.join("bin/probe"), PROBE).expect("probe");
        fs::set_permissions(rootfs.join("bin/probe"), fs::Permissions::from_mode(0o755)).expect("mode");
        let output = project.run(&["-q", "--rootfs", "system", "/bin/probe", "echo", "inside"]);
        assert_eq!(output.stdout, b"inside\n", "{output:?}");
        assert_eq!(fs::read_dir(&rootfs).expect("list").count(), 1, "nothing was made in it");
    }
}

#[test]
fn limits_hold_or_are_refused_by_name() {
    for project in projects() {
        // The shell, its subshell and three more.
        let code = "(sleep 9 & sleep 9 & sleep 9 & sleep 9 & sleep 9 &) 2>&1";
        let output = project.run(&["-q", "--pids", "4", "/bin/sh", "-c", code]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        match told.is_empty() {
            true => assert!(said.contains("fork"), "the limit does not hold: {output:?}"),
            false => assert!(told.contains("--pids cannot be set without a cgroup"), "{told}"),
        }
    }
}
