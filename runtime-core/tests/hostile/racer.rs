//! A member of a pid namespace with CAP_SYS_PTRACE that looks into every process it sees: of a container that joins the
//! namespace, and of processes that are added to its own container.

use std::{
    fs::{self, File},
    time::Instant,
};

use oci_conformance::{Bundle as TestBundle, BundleBuilder, host, host::unique, skip_unless};
use orlop::{Delete, ExecOptions, ExitStatus};
use serde_json::Value;

use crate::support::{Canary, Host, Kept, PATIENCE, content, memory, null_and, patience, rounds};

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

/// The racer at work.
struct Racer {
    id: String,
    bundle: TestBundle,
    container: Kept,
    output: File,
    canary: Canary,
    /// In the heap of this program, and in no memory of a container but the racer's own.
    secret: String,
}

impl Racer {
    fn start(host: &Host, describe: impl FnOnce(BundleBuilder) -> BundleBuilder) -> Self {
        let (id, canary) = (unique("racer"), Canary::new());
        let secret = unique("what-only-the-host-knows");
        let mut attack = TestBundle::builder()
            .name("racer")
            .args(["/bin/probe", "racer", canary.file().to_str().unwrap(), &secret, "/stop"])
            .set("/root/readonly", false);
        for set in ["bounding", "effective", "permitted"] {
            for capability in ["CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH", "CAP_DAC_OVERRIDE"] {
                attack = attack.push(&format!("/process/capabilities/{set}"), capability);
            }
        }
        let (bundle, mut output) = (describe(attack).build(), memory());
        let container = Kept(host.create(&bundle, &id, &output).unwrap());
        container.0.start(patience()).unwrap();
        let began = Instant::now();
        while !content(&mut output).starts_with("ready") {
            assert!(
                began.elapsed() < PATIENCE && container.0.try_wait().unwrap().is_none(),
                "the racer runs"
            );
            std::thread::yield_now();
        }
        Self { id, bundle, container, output, canary, secret }
    }

    /// Stops it; it has seen processes and reached nothing of the host.
    fn assert_harmless(mut self, host: &Host) {
        fs::write(self.bundle.rootfs().join("stop"), "").unwrap();
        assert_eq!(self.container.0.wait(patience()).unwrap(), ExitStatus::Exited(0));
        let told: Value = serde_json::from_str(content(&mut self.output).lines().last().unwrap()).unwrap();
        drop(self.container);
        host.assert_clean(&self.id, &self.bundle);
        assert!(!self.secret.is_empty());

        assert!(told["opened"].as_i64() > Some(10), "the racer was too slow to attack anything: {told}");
        assert_eq!(texts(&told["reached"]), Vec::<&str>::new());
        let is_containers =
            |path: &str| path.starts_with("/memfd:orlop-") || path.starts_with("/bin/probe") || path == "/";
        for program in texts(&told["programs"]).into_iter().chain(texts(&told["mappings"])) {
            assert!(is_containers(program), "{program} of the host was seen: {told}");
        }
        for fd in texts(&told["fds"]) {
            let (kind, link) = fd.split_once(' ').unwrap();
            let is_harmless = matches!(kind, "fifo" | "socket" | "other")
                || fd == "device /dev/null"
                || fd == "device /null"
                || fd.starts_with("device /dev/pts/")
                // What the program itself reads.
                || link.ends_with("/mountinfo")
                || link.starts_with("/memfd:output");
            assert!(is_harmless, "a process that can be seen has an fd that leads to {fd}: {told}");
        }
        self.canary.assert_untouched("racer");
    }
}

#[test]
fn a_racer_in_a_joined_pid_namespace_reaches_nothing_of_the_host() {
    skip_unless!(host::is_root(), "root");
    let host = Host::new();
    let racer = Racer::start(&host, |attack| attack);
    let bundle = TestBundle::builder()
        .name("raced")
        .namespace("pid", Some(&format!("/proc/{}/ns/pid", racer.container.0.pid())))
        .args(["/bin/probe", "true"])
        .build();
    let id = unique("raced");
    for _ in 0..rounds(200, 10_000) {
        let container = Kept(host.create(&bundle, &id, &memory()).unwrap());
        container.0.start(patience()).unwrap();
        assert_eq!(container.0.wait(patience()).unwrap(), ExitStatus::Exited(0));
        container.0.delete(Delete::WhenStopped, patience()).unwrap();
    }
    host.assert_clean(&id, &bundle);
    racer.assert_harmless(&host);
}

/// With a limit and an `oom_score_adj` the host has something to do to each process, while a racer may steer it.
#[test]
fn a_racer_reaches_nothing_of_the_host_through_processes_that_are_added() {
    skip_unless!(host::is_root(), "root");
    let host = Host::new();
    let racer = Racer::start(&host, |attack| attack.set("/process/oomScoreAdj", 500));
    added_while_racing(&racer);
    racer.assert_harmless(&host);
}

/// Its members have no rights over a process that was executed outside.
#[test]
fn a_racer_in_a_user_namespace_reaches_nothing_of_the_host_through_processes_that_are_added() {
    skip_unless!(host::is_root(), "root");
    let host = Host::new();
    let racer = Racer::start(&host, |attack| {
        let map = serde_json::json!([{ "containerID": 0, "hostID": 0, "size": 65536 }]);
        let attack = attack.namespace("user", None).set("/linux/uidMappings", map.clone());
        attack.set("/linux/gidMappings", map)
    });
    added_while_racing(&racer);
    racer.assert_harmless(&host);
}

fn added_while_racing(racer: &Racer) {
    for round in 0..rounds(200, 10_000) {
        // Long enough to be looked at.
        let command = ["/bin/probe", "read", "/proc/self/mountinfo"];
        let options = ExecOptions::command(command).terminal(round % 2 == 1);
        let executed = racer.container.0.exec(&options, null_and(&memory()), patience()).unwrap();
        assert_eq!(executed.process.wait(patience()).unwrap(), ExitStatus::Exited(0));
    }
}
