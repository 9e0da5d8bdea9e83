//! The image of all scenarios: busybox and a few files, made here, fetched from nowhere.

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use oci_conformance::host;

const PASSWD: &str =
    "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1::/:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n";
const GROUP: &str = "root:x:0:\ndaemon:x:1:\ntty:x:5:\nuser:x:1000:\nextra:x:2000:user\n";
const FOLDERS: [&str; 9] = ["bin", "etc", "tmp", "proc", "sys", "dev", "root", "home/user", "var/empty"];

/// The root file system as a folder and as a tar archive of it.
pub struct Image {
    /// Ready to be a `rootfs`.
    pub folder: PathBuf,
    /// For `import`.
    pub archive: PathBuf,
}

/// Makes it below a folder.
///
/// # Errors
/// When busybox is not installed, or a file or program fails.
pub fn make(below: &Path) -> io::Result<Image> {
    let busybox = host::find("busybox").ok_or_else(|| io::Error::other("busybox is not installed"))?;
    let folder = below.join("image");
    for name in FOLDERS {
        fs::create_dir_all(folder.join(name))?;
    }
    fs::copy(&busybox, folder.join("bin/busybox"))?;
    let list = Command::new(&busybox).arg("--list").output()?;
    for name in String::from_utf8_lossy(&list.stdout).lines().filter(|name| *name != "busybox") {
        symlink("busybox", folder.join("bin").join(name))?;
    }
    fs::write(folder.join("etc/passwd"), PASSWD)?;
    fs::write(folder.join("etc/group"), GROUP)?;
    fs::write(folder.join("etc/motd"), "base\n")?;
    fs::write(folder.join("bin/not-executable"), "#!/bin/sh\n")?;
    fs::set_permissions(folder.join("tmp"), std::os::unix::fs::PermissionsExt::from_mode(0o1777))?;
    let archive = below.join("image.tar");
    let status = Command::new("tar").arg("-C").arg(&folder).arg("-cf").arg(&archive).arg(".").status()?;
    if !status.success() {
        return Err(io::Error::other(format!("tar: {status}")));
    }
    Ok(Image { folder, archive })
}
