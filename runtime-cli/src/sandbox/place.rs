//! The directory a sandbox lives in: its state, and the root with the mount points. Removed when the value is dropped.

use std::{
    env, fs, io,
    os::unix::fs::{DirBuilderExt, chown, lchown},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use super::{Identity, View};
use crate::failure::{Failure, Result};

/// A name is tried again this often when somebody has it; each has the time in it.
const TRIES: u32 = 16;
const ROOTFS: &str = "rootfs";
/// `TMPFS_MAGIC` of linux/magic.h.
const TMPFS_MAGIC: u32 = 0x0102_1994;

/// The directory.
#[derive(Debug)]
pub struct Place {
    dir: PathBuf,
    /// A bundle that was asked for stays.
    temporary: bool,
}

impl Place {
    /// Makes a temporary one: where the user's run-time files go, else in memory. On a disk the mount points alone
    /// may take longer to make and remove than all the rest of a sandbox, and /run is not in memory everywhere.
    pub fn temporary() -> Result<Self> {
        let runtime_dir = env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from);
        let others: [PathBuf; 3] = ["/run".into(), "/dev/shm".into(), env::temp_dir()];
        let (in_memory, on_disk): (Vec<_>, Vec<_>) = others.into_iter().partition(|dir| is_in_memory(dir));
        let mut last = None;
        for parent in runtime_dir.into_iter().chain(in_memory).chain(on_disk) {
            match make_unique_below(&parent) {
                Ok(dir) => return Ok(Self { dir, temporary: true }),
                Err(error) => {
                    last = Some(Failure::io(format_args!("make a directory in {}", parent.display()), error))
                }
            }
        }
        Err(last.unwrap_or_else(|| Failure::new("no place for a temporary directory")))
    }

    /// Uses the directory of a bundle that is to be written.
    pub fn bundle(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir)
            .map_err(|error| Failure::io(format_args!("make {}", dir.display()), error))?;
        Ok(Self { dir: dir.to_owned(), temporary: false })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// An id that no other sandbox has: cgroups are named after it.
    pub fn id(&self) -> String {
        self.dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Where states are kept.
    pub fn state_root(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// Makes the root: symbolic links as the system has them. The container's root copies it, or makes mount points in
    /// it, so all of it belongs to that.
    pub fn make_rootfs(&self, view: &View, identity: Identity) -> Result<()> {
        let rootfs = self.dir.join(ROOTFS);
        let make = || {
            fs::DirBuilder::new().mode(0o755).create(&rootfs)?;
            for (name, target) in &view.links {
                let link = rootfs.join(name);
                std::os::unix::fs::symlink(target, &link)?;
                lchown(&link, Some(identity.uid), Some(identity.gid))?;
            }
            chown(&rootfs, Some(identity.uid), Some(identity.gid))
        };
        make().map_err(|error: io::Error| Failure::io(format_args!("make {}", rootfs.display()), error))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.temporary {
            // All mounts were in the container's mount namespace. What cannot be removed is empty directories.
            match fs::remove_dir_all(&self.dir) {
                Ok(()) | Err(_) => {}
            }
        }
    }
}

fn is_in_memory(dir: &Path) -> bool {
    // The kernel's magic numbers have 32 bits; f_type is wider on some architectures and signed on others.
    rustix::fs::statfs(dir).is_ok_and(|status| status.f_type as u32 == TMPFS_MAGIC)
}

fn make_unique_below(parent: &Path) -> io::Result<PathBuf> {
    let mut tries = 0;
    loop {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        let dir = parent.join(format!("orlop-try-{}-{:x}", std::process::id(), now));
        // Nobody else may look in.
        match fs::DirBuilder::new().mode(0o700).create(&dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && tries < TRIES => tries += 1,
            result => return result.map(|()| dir),
        }
    }
}
