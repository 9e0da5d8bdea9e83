//! The effects on the real kernel: every test in cgroups of its own, on v2 and, where there are hierarchies, on v1.

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use super::*;
use crate::{ErrorKind, host::CgroupHost};

/// A cgroup that no test leaves behind.
pub(super) struct TestCgroup {
    pub(super) cgroup: Cgroup,
    parents: Vec<PathBuf>,
}

impl std::ops::Deref for TestCgroup {
    type Target = Cgroup;

    fn deref(&self) -> &Cgroup {
        &self.cgroup
    }
}

impl Drop for TestCgroup {
    fn drop(&mut self) {
        let cleaned = self.cgroup.kill_all(soon()).and_then(|()| self.cgroup.remove(soon()));
        for parent in &self.parents {
            drop(std::fs::remove_dir(parent));
        }
        if !std::thread::panicking() {
            cleaned.unwrap();
        }
    }
}

pub(super) fn soon() -> Option<Instant> {
    Some(Instant::now() + Duration::from_secs(10))
}

#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn skip(reason: &str) {
    eprintln!("skipped: {reason}");
}

/// This machine's v2 hierarchy, wherever it is mounted.
pub(super) fn v2_mount() -> Option<PathBuf> {
    let mount = match CgroupHost::find().unwrap()? {
        CgroupHost::Unified { mount, .. } => mount,
        CgroupHost::Legacy { unified, .. } => unified?.mount,
    };
    Some(mount)
}

/// The cgroup `/orlop-test-NAME-PID/leaf` in the v2 hierarchy and in all v1 ones, as far as there are any.
pub(super) fn cgroups(name: &str) -> Vec<TestCgroup> {
    if !rustix::process::geteuid().is_root() {
        skip("needs root");
        return Vec::new();
    }
    let path = format!("orlop-test-{name}-{}", std::process::id());
    let mut found = Vec::new();
    if let Some(mount) = v2_mount() {
        let parents = vec![mount.join(&path)];
        let cgroup = Cgroup::new(CgroupDirs::Unified { mount, path: format!("/{path}/leaf").into() });
        found.push(TestCgroup { cgroup, parents });
    }
    if let Some(host @ CgroupHost::Legacy { .. }) = CgroupHost::find().unwrap() {
        // Another name: the v2 directory of a hybrid host would be the one above.
        let dirs =
            cgroup_dirs(&host, crate::host::CgroupRights::Full, Some(&format!("/{path}-all/leaf")), "")
                .unwrap();
        let parents = dirs.all().iter().map(|dir| dir.parent().unwrap().to_owned()).collect();
        found.push(TestCgroup { cgroup: Cgroup::new(dirs), parents });
    }
    if found.is_empty() {
        skip("no cgroup file system");
    }
    found
}

pub(super) struct Process(pub(super) Child);

impl Process {
    pub(super) fn start(script: &str) -> Self {
        let mut command = Command::new("sh");
        Self(command.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap())
    }

    pub(super) fn sleeping() -> Self {
        Self::start("exec sleep 1000")
    }

    pub(super) fn pid(&self) -> i32 {
        self.0.id().try_into().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        self.0.wait().unwrap();
    }
}

#[test]
fn create_makes_parents_and_undo_takes_all_back() {
    for cgroup in cgroups("create") {
        let created = cgroup.create(&NeededControllers::new()).unwrap();
        for dir in cgroup.dirs.all() {
            assert!(dir.is_dir(), "{dir:?}");
            assert!(
                created.made().contains(&dir) && created.made().contains(&dir.parent().unwrap().to_owned())
            );
        }
        created.undo(&cgroup, soon()).unwrap();
        for dir in cgroup.dirs.all() {
            assert!(!dir.parent().unwrap().is_dir(), "{dir:?}");
        }
    }
}

#[test]
fn place_shows_in_the_lists_and_an_occupied_cgroup_is_refused() {
    for cgroup in cgroups("place") {
        let _created = cgroup.create(&NeededControllers::new()).unwrap();
        assert!(!cgroup.is_populated().unwrap());
        let process = Process::sleeping();
        cgroup.place(process.pid()).unwrap();
        assert_eq!(cgroup.pids().unwrap(), [process.pid()]);
        assert!(cgroup.is_populated().unwrap());
        let error = cgroup.create(&NeededControllers::new()).unwrap_err();
        assert_eq!(error.to_string(), "container's cgroup is not empty: 1 process(es) found");
        assert_eq!(error.kind(), ErrorKind::Busy);
        assert_eq!(cgroup.pids().unwrap(), [process.pid()]);
    }
}

#[test]
fn existing_empty_cgroup_is_used_and_survives_undo() {
    for cgroup in cgroups("existing") {
        let _first = cgroup.create(&NeededControllers::new()).unwrap();
        let second = cgroup.create(&NeededControllers::new()).unwrap();
        assert!(second.made().is_empty());
        second.undo(&cgroup, soon()).unwrap();
        assert!(cgroup.dirs.all().iter().all(|dir| dir.is_dir()));
    }
}

#[test]
fn frozen_cgroup_is_refused() {
    for cgroup in cgroups("frozen") {
        let _created = cgroup.create(&NeededControllers::new()).unwrap();
        cgroup.freeze(soon()).unwrap();
        assert!(cgroup.is_frozen().unwrap());
        let error = cgroup.create(&NeededControllers::new()).unwrap_err();
        assert_eq!(error.to_string(), "container's cgroup unexpectedly frozen");
        cgroup.thaw(soon()).unwrap();
        assert!(!cgroup.is_frozen().unwrap());
    }
}

#[test]
fn freeze_stops_a_process_and_thaw_lets_it_go_on() {
    use std::io::{BufRead, BufReader, Write};
    for cgroup in cgroups("freeze") {
        let _created = cgroup.create(&NeededControllers::new()).unwrap();
        let mut process = Process::start("while read x; do echo $x; done");
        cgroup.place(process.pid()).unwrap();
        cgroup.freeze(soon()).unwrap();
        let mut input = process.0.stdin.take().unwrap();
        let output = process.0.stdout.take().unwrap();
        writeln!(input, "hello").unwrap();
        let mut poll = [rustix::event::PollFd::new(&output, rustix::event::PollFlags::IN)];
        let wait = files::poll(&mut poll, Some(Instant::now() + Duration::from_millis(50)));
        assert_eq!(wait.unwrap_err().kind(), ErrorKind::Timeout);
        cgroup.thaw(soon()).unwrap();
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).unwrap();
        assert_eq!(line, "hello\n");
    }
}

#[test]
fn kill_all_ends_frozen_and_nested_processes() {
    for cgroup in cgroups("kill") {
        let _created = cgroup.create(&NeededControllers::new()).unwrap();
        let mut processes: Vec<Process> = (0..40).map(|_| Process::sleeping()).collect();
        for process in &processes[1..] {
            cgroup.place(process.pid()).unwrap();
        }
        for dir in cgroup.dirs.all() {
            std::fs::create_dir(dir.join("nested")).unwrap();
            if let Some(dir) = Some(&dir).filter(|dir| dir.to_str().unwrap().contains("cpuset")) {
                for file in ["cpuset.cpus", "cpuset.mems"] {
                    files::write(&dir.join("nested").join(file), "0").unwrap();
                }
            }
            files::write(&dir.join("nested/cgroup.procs"), &processes[0].pid().to_string()).unwrap();
        }
        cgroup.freeze(soon()).unwrap();
        assert_eq!(cgroup.pids().unwrap().len(), 40);
        cgroup.kill_all(soon()).unwrap();
        assert!(!cgroup.is_populated().unwrap());
        for process in &mut processes {
            assert!(!process.0.wait().unwrap().success());
        }
        cgroup.remove(soon()).unwrap();
        assert!(cgroup.dirs.all().iter().all(|dir| !dir.is_dir()));
    }
}

#[test]
fn wait_empty_ends_with_the_last_process_and_at_the_deadline() {
    for cgroup in cgroups("wait") {
        cgroup.wait_empty(soon()).unwrap();
        let _created = cgroup.create(&NeededControllers::new()).unwrap();
        let mut process = Process::start("read x");
        cgroup.place(process.pid()).unwrap();
        let error = cgroup.wait_empty(Some(Instant::now() + Duration::from_millis(20))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(error.to_string().contains("1 process(es)"), "{error}");
        let remove = cgroup.remove(Some(Instant::now())).unwrap_err();
        assert_eq!(remove.kind(), ErrorKind::Timeout);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| cgroup.remove(soon()));
            drop(process.0.stdin.take());
            waiting.join().unwrap().unwrap();
        });
        process.0.wait().unwrap();
    }
}

#[test]
fn remove_takes_wide_and_deep_nests_and_missing_ones() {
    for cgroup in cgroups("nests") {
        cgroup.remove(soon()).unwrap();
        let _created = cgroup.create(&NeededControllers::new()).unwrap();
        for dir in cgroup.dirs.all() {
            let deep = (0..40).fold(dir.clone(), |deep, level| deep.join(level.to_string()));
            std::fs::create_dir_all(deep).unwrap();
            for wide in 0..20 {
                std::fs::create_dir_all(dir.join(format!("1/2/{wide}/a"))).unwrap();
            }
        }
        cgroup.remove(soon()).unwrap();
        assert!(cgroup.dirs.all().iter().all(|dir| !dir.is_dir()));
    }
}

#[test]
fn needed_controller_that_is_not_there_is_named() {
    for cgroup in cgroups("controllers") {
        let needed =
            NeededControllers::from([("nosuch".into(), "linux.resources.unified[nosuch.max]".into())]);
        let error = cgroup.create(&needed).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert_eq!(error.config_path(), Some("linux.resources.unified[nosuch.max]"));
        let words = ": cgroup controller nosuch is not available in /";
        assert!(error.to_string().contains(words), "{error}");
        assert!(cgroup.dirs.all().iter().all(|dir| !dir.is_dir()));
    }
}

#[test]
fn needed_controller_is_enabled_on_the_way() {
    let Some(mount) = v2_mount() else { return skip("no cgroup2") };
    let controllers = files::read(&mount.join("cgroup.controllers")).unwrap().unwrap_or_default();
    let Some(name) = controllers.split_ascii_whitespace().last() else { return skip("no v2 controllers") };
    for cgroup in cgroups("enable") {
        let needed = NeededControllers::from([(name.to_owned(), "linux.resources".to_owned())]);
        let _created = cgroup.create(&needed).unwrap();
        let dir = cgroup.dirs.v2().unwrap();
        let have = files::read(&dir.join("cgroup.controllers")).unwrap().unwrap();
        assert!(have.split_ascii_whitespace().any(|have| have == name), "{have}");
    }
}

// spec: linux.cgroup.chown.only-delegate-files linux.cgroup.chown.existing-listed linux.cgroup.chown.no-others
// spec: linux.cgroup.chown.v1-not
#[test]
fn delegate_gives_the_listed_files_and_no_others() {
    use std::os::unix::fs::MetadataExt;
    let owner = |path: PathBuf| std::fs::metadata(path).unwrap().uid();
    for cgroup in cgroups("delegate") {
        let _created = cgroup.create(&NeededControllers::new()).unwrap();
        cgroup.delegate(12345).unwrap();
        let dir = cgroup.dirs.v2().unwrap();
        let expected = if matches!(cgroup.dirs, CgroupDirs::Unified { .. }) { 12345 } else { 0 };
        assert_eq!(owner(dir.clone()), expected);
        assert_eq!(owner(dir.join("cgroup.procs")), expected);
        assert_eq!(owner(dir.join("cgroup.freeze")), 0);
    }
}

#[test]
fn open_dir_is_for_v2_only() {
    for cgroup in cgroups("open") {
        match cgroup.dirs {
            CgroupDirs::Legacy { .. } => assert!(cgroup.open_dir().unwrap().is_none()),
            CgroupDirs::Unified { .. } => {
                assert_eq!(cgroup.open_dir().unwrap_err().kind(), ErrorKind::NotFound);
                let _created = cgroup.create(&NeededControllers::new()).unwrap();
                assert!(cgroup.open_dir().unwrap().is_some());
            }
        }
    }
}
