//! A member of a joined pid namespace with CAP_SYS_PTRACE that looks into every process it sees.

use std::{fs, time::Instant};

use oci_conformance::{Bundle as TestBundle, host, host::unique, skip_unless};
use orlop::{Delete, ExitStatus};
use serde_json::Value;

use crate::support::{Canary, Host, Kept, PATIENCE, content, memory, patience, rounds};

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

#[test]
fn a_racer_in_a_joined_pid_namespace_reaches_nothing_of_the_host() {
    skip_unless!(host::is_root(), "root");
    let (host, canary) = (Host::new(), Canary::new());
    // In the heap of this program, and in no memory of a container but the racer's own.
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
    let attack = attack.build();
    let (racer_id, id) = (unique("racer"), unique("raced"));
    let mut output = memory();
    let racer = Kept(host.create(&attack, &racer_id, &output).unwrap());
    racer.0.start(patience()).unwrap();
    let began = Instant::now();
    while !content(&mut output).starts_with("ready") {
        assert!(began.elapsed() < PATIENCE && racer.0.try_wait().unwrap().is_none(), "the racer runs");
        std::thread::yield_now();
    }

    let bundle = TestBundle::builder()
        .name("raced")
        .namespace("pid", Some(&format!("/proc/{}/ns/pid", racer.0.pid())))
        .args(["/bin/probe", "true"])
        .build();
    for _ in 0..rounds(200, 10_000) {
        let container = Kept(host.create(&bundle, &id, &memory()).unwrap());
        container.0.start(patience()).unwrap();
        assert_eq!(container.0.wait(patience()).unwrap(), ExitStatus::Exited(0));
        container.0.delete(Delete::WhenStopped, patience()).unwrap();
    }
    host.assert_clean(&id, &bundle);

    fs::write(attack.rootfs().join("stop"), "").unwrap();
    assert_eq!(racer.0.wait(patience()).unwrap(), ExitStatus::Exited(0));
    let told: Value = serde_json::from_str(content(&mut output).lines().last().unwrap()).unwrap();
    drop(racer);
    host.assert_clean(&racer_id, &attack);
    assert!(!secret.is_empty());

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
            || link.starts_with("/memfd:output");
        assert!(is_harmless, "a process that can be seen has an fd that leads to {fd}: {told}");
    }
    canary.assert_untouched("racer");
}
