//! containerd, by its own client.

use std::{fs, io, path::PathBuf, process::Command};

use super::PRELUDE;
use crate::session::{Setup, start_daemon, write_wrapper};

pub(super) fn set_up(setup: &mut Setup<'_>) -> io::Result<()> {
    let work = setup.work;
    for name in ["bin", "share"] {
        fs::create_dir(work.join(name))?;
    }
    let folder = work.display();
    let socket = PathBuf::from("/run/oci-engines-containerd/containerd.sock");
    let config = format!(
        r#"version = 2
root = "{folder}/root"
state = "/run/oci-engines-containerd/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "{}"
"#,
        socket.display()
    );
    fs::write(work.join("config.toml"), config)?;
    let mut daemon = Command::new("containerd");
    daemon.arg("--config").arg(work.join("config.toml"));
    setup.daemons.push(start_daemon(daemon, &work.join("containerd.log"), &socket)?);
    write_wrapper(&work.join("bin/ctr"), &format!("/usr/bin/ctr --address {}", socket.display()))?;
    // What every `ctr run` of a scenario begins with.
    let run = format!(
        "run_in_rootfs() {{ ctr run --runc-binary {} --snapshotter native \"$@\"; }}\nROOTFS={}\n",
        setup.runtime.program.display(),
        setup.image.folder.display()
    );
    setup.prelude = PRELUDE.to_owned() + &run;
    setup.prepare = "ctr version".to_owned();
    setup.cleanup =
        "ctr tasks ls -q | xargs -r ctr tasks rm -f; ctr containers ls -q | xargs -r ctr containers rm";
    setup.state = vec![PathBuf::from("/run/containerd/runc/default")];
    Ok(())
}
