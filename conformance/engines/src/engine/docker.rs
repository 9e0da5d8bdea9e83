//! dockerd with a containerd of its own.

use std::{fs, io, path::PathBuf, process::Command};

use super::PRELUDE;
use crate::session::{Setup, start_daemon, write_wrapper};

pub(super) fn set_up(setup: &mut Setup<'_>) -> io::Result<()> {
    let work = setup.work;
    for name in ["bin", "share"] {
        fs::create_dir(work.join(name))?;
    }
    let socket = work.join("docker.sock");
    let host = format!("unix://{}", socket.display());
    let folder = |name: &str| work.join(name).display().to_string();
    let mut daemon = Command::new("dockerd");
    daemon.args(["--host", &host, "--data-root", &folder("data"), "--exec-root", "/run/docker-exec"]);
    daemon.args(["--pidfile", "/run/docker.pid", "--config-file", &folder("daemon.json")]);
    daemon.args(["--storage-driver", "vfs", "--iptables=false", "--bridge=none"]);
    // Debian's daemon knows runc already and refuses to hear of it twice.
    let mut config = String::from("{\"features\": {\"buildkit\": false}");
    if setup.runtime.name != "runc" {
        let (name, program) = (&setup.runtime.name, setup.runtime.program.display());
        config += &format!(
            ", \"default-runtime\": \"{name}\", \"runtimes\": {{\"{name}\": {{\"path\": \"{program}\"}}}}"
        );
    }
    fs::write(work.join("daemon.json"), config + "}")?;
    setup.daemons.push(start_daemon(daemon, &work.join("dockerd.log"), &socket)?);
    write_wrapper(
        &work.join("bin/docker"),
        &format!("env DOCKER_HOST={host} DOCKER_CONFIG={} /usr/bin/docker", folder("config")),
    )?;
    setup.prelude = PRELUDE.to_owned();
    setup.prepare = format!("docker import {} bb:latest", setup.image.archive.display());
    setup.cleanup =
        "docker ps -aq | xargs -r docker rm -f; docker volume ls -q | xargs -r docker volume rm -f";
    setup.state = vec![
        PathBuf::from("/run/docker-exec/runtime-runc/moby"),
        PathBuf::from("/run/docker/runtime-runc/moby"),
    ];
    Ok(())
}
