//! Podman, with storage, networks and events in the session's folder.

use std::{fs, io, path::PathBuf};

use super::PRELUDE;
use crate::session::{Setup, write_wrapper};

/// Limits are low: a machine may forbid to raise the ones it was started with.
fn configuration(setup: &Setup<'_>) -> String {
    let (work, name) = (setup.work.display(), &setup.runtime.name);
    let program = setup.runtime.program.display();
    format!(
        r#"[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
events_logfile_path = "{work}/events.log"
runtime = "{name}"
runtime_supports_json = ["crun", "runc", "{name}"]
[engine.runtimes]
{name} = ["{program}"]
[network]
network_config_dir = "{work}/networks"
"#
    )
}

pub(super) fn set_up(setup: &mut Setup<'_>) -> io::Result<()> {
    let work = setup.work;
    for name in ["bin", "networks", "share"] {
        fs::create_dir(work.join(name))?;
    }
    fs::write(work.join("containers.conf"), configuration(setup))?;
    fs::write(work.join("policy.json"), r#"{"default":[{"type":"insecureAcceptAnything"}]}"#)?;
    let folder = work.display();
    write_wrapper(
        &work.join("bin/podman"),
        &format!(
            "env CONTAINERS_CONF={folder}/containers.conf /usr/bin/podman --root {folder}/store --runroot /run/podman-run \
             --tmpdir /run/podman-tmp --storage-driver vfs --cgroup-manager cgroupfs"
        ),
    )?;
    setup.prelude = PRELUDE.to_owned();
    setup.prepare = format!("podman import -q {} bb:latest", setup.image.archive.display());
    setup.cleanup =
        "podman pod rm -fa -t 0; podman rm -fa -t 0; podman volume rm -fa; podman network prune -f";
    setup.state = vec![PathBuf::from("/run").join(&setup.runtime.name)];
    Ok(())
}
