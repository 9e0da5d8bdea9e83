//! The folder of a container below the state root: made exclusively, locked by `flock` on its own description,
//! `state.json` replaced by rename. Everything goes through the folder's fd.

use std::{
    io::Read,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, FlockOperation, Mode, OFlags, RenameFlags},
    io::Errno,
};

use super::{ContainerId, Record};
use crate::{Error, ErrorKind, Result, cgroup::CgroupDirs};

const STATE: &str = "state.json";
const NEW_STATE: &str = "state.json.new";
/// The configuration as it was created, for processes that join later.
const CONFIG: &str = "config.json";
/// FIFO of the start signal.
pub(crate) const START_FIFO: &str = "exec.fifo";
/// FIFO of the answer to the start signal.
pub(crate) const ANSWER_FIFO: &str = "answer.fifo";
/// The largest record that is read; ours are a few KiB.
const RECORD_MAX: u64 = 16 << 20;

/// All containers of one root.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    root: PathBuf,
}

/// One container's folder.
#[derive(Debug)]
pub(crate) struct Entry {
    path: PathBuf,
    dir: OwnedFd,
}

/// What a folder holds.
#[derive(Debug)]
pub(crate) enum Loaded {
    Record(Box<Record>),
    /// No record yet: the creating command was killed at once, or is at work this very moment.
    Empty,
}

impl Store {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Makes the folder, which claims the id.
    pub(crate) fn create(&self, id: &ContainerId) -> Result<Entry> {
        let path = self.root.join(id.as_str());
        // The common case first: the root exists.
        let made = match rustix::fs::mkdir(&path, Mode::RWXU) {
            Err(Errno::NOENT) => {
                self.create_root()?;
                rustix::fs::mkdir(&path, Mode::RWXU)
            }
            result => result,
        };
        match made {
            Ok(()) => Entry::open(path),
            Err(Errno::EXIST) => {
                Err(Error::new(ErrorKind::AlreadyExists, "container with given ID already exists")
                    .with_path(path))
            }
            Err(errno) => Err(errno_error("cannot make the state folder", &path, errno)),
        }
    }

    fn create_root(&self) -> Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.root).map_err(|source| {
            let denied = source.kind() == std::io::ErrorKind::PermissionDenied;
            let error = Error::from_io(format!("cannot make the state root {}", self.root.display()), source)
                .with_path(&self.root);
            match denied {
                true => error.with_hint("a plain user needs one of its own: $XDG_RUNTIME_DIR set, or --root"),
                false => error,
            }
        })
    }

    /// Opens the folder of an existing container.
    pub(crate) fn open(&self, id: &ContainerId) -> Result<Entry> {
        Entry::open(self.root.join(id.as_str()))
    }

    /// Ids of all folders, sorted. A root that does not exist has none.
    pub(crate) fn ids(&self) -> Result<Vec<ContainerId>> {
        let entries = match std::fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => {
                return Err(Error::from_io(format!("cannot list {}", self.root.display()), source)
                    .with_path(&self.root));
            }
        };
        let mut ids: Vec<ContainerId> =
            entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
        ids.sort();
        Ok(ids)
    }
}

fn errno_error(attempted: &str, path: &Path, errno: Errno) -> Error {
    Error::from_errno(format!("{attempted} {}", path.display()), errno.raw_os_error()).with_path(path)
}

impl Entry {
    fn open(path: PathBuf) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        match rustix::fs::open(&path, flags, Mode::empty()) {
            Ok(dir) => Ok(Self { path, dir }),
            Err(Errno::NOENT | Errno::NOTDIR) => {
                Err(Error::new(ErrorKind::NotFound, "container does not exist").with_path(path))
            }
            Err(errno) => Err(errno_error("cannot open the state folder", &path, errno)),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the lock if nobody holds it. It goes with the entry, also when the process is killed.
    pub(crate) fn try_lock(&self) -> Result<bool> {
        match rustix::fs::flock(&self.dir, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(errno) => Err(errno_error("cannot lock", &self.path, errno)),
        }
    }

    /// Whether some other entry holds the lock; ours is as before.
    pub(crate) fn is_locked_by_another(&self) -> Result<bool> {
        let other = Self::open(self.path.clone())?;
        Ok(!other.try_lock()?)
    }

    /// Another owner of the same open description, and so of the same lock.
    pub(crate) fn duplicate(&self) -> Result<Self> {
        let dir = self.dir.try_clone().map_err(|source| {
            Error::from_io(format!("cannot duplicate the fd of {}", self.path.display()), source)
        })?;
        Ok(Self { path: self.path.clone(), dir })
    }

    /// Waits for the lock. Holders keep it while they work on the container, never while its program runs.
    pub(crate) fn lock(&self) -> Result<()> {
        loop {
            match rustix::fs::flock(&self.dir, FlockOperation::LockExclusive) {
                Ok(()) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno_error("cannot lock", &self.path, errno)),
            }
        }
    }

    /// Whether the folder still is the one at its path (it may have been deleted while we waited for the lock).
    pub(crate) fn is_current(&self) -> bool {
        match (rustix::fs::fstat(&self.dir), rustix::fs::lstat(&self.path)) {
            (Ok(ours), Ok(there)) => (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino),
            _ => false,
        }
    }

    /// Reads the record.
    pub(crate) fn load(&self) -> Result<Loaded> {
        let Some(bytes) = self.read_state()? else { return Ok(Loaded::Empty) };
        serde_json::from_slice(&bytes).map(|record| Loaded::Record(Box::new(record))).map_err(|source| {
            Error::new(
                ErrorKind::StateCorrupt,
                format!("the state {} cannot be read", self.path.join(STATE).display()),
            )
            .with_path(self.path.join(STATE))
            .with_source(source)
            .with_hint("delete --force removes the container")
        })
    }

    /// The cgroup in a record that cannot be read as a whole (of another version, or damaged). None: it is not told.
    pub(crate) fn salvage_cgroup(&self) -> Result<Option<CgroupDirs>> {
        #[derive(serde::Deserialize)]
        struct Salvaged {
            cgroup: Option<CgroupDirs>,
        }
        let bytes = self.read_state()?.unwrap_or_default();
        Ok(serde_json::from_slice(&bytes).ok().and_then(|salvaged: Salvaged| salvaged.cgroup))
    }

    fn read_state(&self) -> Result<Option<Vec<u8>>> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = match rustix::fs::openat(&self.dir, STATE, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(errno_error("cannot open", &self.path.join(STATE), errno)),
        };
        let mut bytes = Vec::with_capacity(4096);
        std::fs::File::from(file).take(RECORD_MAX).read_to_end(&mut bytes).map_err(|source| {
            Error::from_io(format!("cannot read {}", self.path.join(STATE).display()), source)
        })?;
        Ok(Some(bytes))
    }

    /// Replaces the record.
    pub(crate) fn save(&self, record: &Record) -> Result<()> {
        let bytes = serde_json::to_vec(record).map_err(|source| {
            Error::new(ErrorKind::StateCorrupt, "the state cannot be written as JSON").with_source(source)
        })?;
        self.write_file(NEW_STATE, &bytes)
            .and_then(|()| self.put_in_place())
            .map_err(|errno| errno_error("cannot write", &self.path.join(STATE), errno))
    }

    /// An exchange, since on ext4 a rename over a file begins to write the new one to the disk at once, which takes as
    /// long as all other work on the state. Without a record yet, and where there is no exchange, a rename.
    fn put_in_place(&self) -> Result<(), Errno> {
        match rustix::fs::renameat_with(&self.dir, NEW_STATE, &self.dir, STATE, RenameFlags::EXCHANGE) {
            Ok(()) => rustix::fs::unlinkat(&self.dir, NEW_STATE, AtFlags::empty()),
            Err(_) => rustix::fs::renameat(&self.dir, NEW_STATE, &self.dir, STATE),
        }
    }

    /// Keeps the configuration.
    pub(crate) fn save_config(&self, json: &[u8]) -> Result<()> {
        self.write_file(CONFIG, json)
            .map_err(|errno| errno_error("cannot write", &self.path.join(CONFIG), errno))
    }

    /// The configuration as it was created.
    pub(crate) fn load_config(&self) -> Result<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = rustix::fs::openat(&self.dir, CONFIG, flags, Mode::empty())
            .map_err(|errno| errno_error("cannot open", &self.path.join(CONFIG), errno))?;
        let mut bytes = Vec::with_capacity(16 << 10);
        std::fs::File::from(file).take(RECORD_MAX).read_to_end(&mut bytes).map_err(|source| {
            Error::from_io(format!("cannot read {}", self.path.join(CONFIG).display()), source)
        })?;
        Ok(bytes)
    }

    fn write_file(&self, name: &str, bytes: &[u8]) -> Result<(), Errno> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = rustix::fs::openat(&self.dir, name, flags, Mode::RUSR | Mode::WUSR)?;
        let mut rest = bytes;
        while !rest.is_empty() {
            let written = rustix::io::write(&file, rest)?;
            rest = rest.get(written..).unwrap_or_default();
        }
        Ok(())
    }

    /// Makes a FIFO and opens it for reading and writing, which waits for nobody and never sees an end.
    pub(crate) fn make_fifo(&self, name: &str) -> Result<OwnedFd> {
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(&self.dir, name, fifo, Mode::RUSR | Mode::WUSR, 0)
            .and_then(|()| {
                let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
                rustix::fs::openat(&self.dir, name, flags, Mode::empty())
            })
            .map_err(|errno| errno_error("cannot make the FIFO", &self.path.join(name), errno))
    }

    /// Opens a FIFO for reading or for writing, without waiting; ENXIO of a writer: nobody reads.
    pub(crate) fn open_fifo(&self, name: &str, write: bool) -> Result<OwnedFd, Errno> {
        let access = if write { OFlags::WRONLY } else { OFlags::RDONLY };
        let flags = access | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        rustix::fs::openat(&self.dir, name, flags, Mode::empty())
    }

    /// Removes a file of the folder; one that is missing is as good.
    pub(crate) fn remove_file(&self, name: &str) -> Result<()> {
        match rustix::fs::unlinkat(&self.dir, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno_error("cannot remove", &self.path.join(name), errno)),
        }
    }

    /// Removes the folder with the files that we make. Anything else in it (a notify socket) goes too.
    pub(crate) fn remove(&self) -> Result<()> {
        for name in [START_FIFO, ANSWER_FIFO, NEW_STATE, CONFIG, STATE] {
            self.remove_file(name)?;
        }
        if !self.is_current() {
            // Gone already, and another container may have taken the id meanwhile.
            return Ok(());
        }
        let removed = match rustix::fs::rmdir(&self.path) {
            Err(Errno::NOTEMPTY) => std::fs::remove_dir_all(&self.path),
            result => result.map_err(std::io::Error::from),
        };
        match removed {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::from_io(format!("cannot remove {}", self.path.display()), source)
                    .with_path(&self.path))
            }
            _ => Ok(()),
        }
    }
}

impl AsFd for Entry {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Loaded, Store};
    use crate::{
        ErrorKind,
        state::{Phase, RECORD_VERSION, Record},
    };

    fn record(id: &str) -> Record {
        Record {
            version: RECORD_VERSION,
            id: id.to_owned(),
            oci_version: "1.3.0".to_owned(),
            phase: Phase::Creating,
            pid: 0,
            start_time: 0,
            bundle: "/b".into(),
            rootfs: "/b/rootfs".into(),
            created: "2026-01-01T00:00:00.000000000Z".to_owned(),
            annotations: BTreeMap::from([("k".to_owned(), "v=w".to_owned())]),
            owner_uid: 0,
            cgroup: None,
            memory: crate::state::AskedMemory::default(),
            own_pid_namespace: true,
            no_new_keyring: false,
            start_steps: Vec::new(),
            poststart: Vec::new(),
            rdt: None,
            poststop: Vec::new(),
        }
    }

    #[test]
    fn an_id_is_claimed_once_and_saved_records_come_back() {
        let temp = tempfile::tempdir().unwrap();
        let store = Store::new(temp.path().join("deep/root"));
        let id = "a".parse().unwrap();
        assert_eq!(store.open(&id).unwrap_err().kind(), ErrorKind::NotFound);
        let entry = store.create(&id).unwrap();
        assert_eq!(store.create(&id).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert!(matches!(entry.load().unwrap(), Loaded::Empty));
        entry.save(&record("a")).unwrap();
        let again = store.open(&id).unwrap();
        let Loaded::Record(loaded) = again.load().unwrap() else { panic!("no record") };
        assert_eq!(*loaded, record("a"));
        assert_eq!(store.ids().unwrap(), std::slice::from_ref(&id));
        entry.remove().unwrap();
        assert!(!again.is_current());
        assert_eq!(store.open(&id).unwrap_err().kind(), ErrorKind::NotFound);
        let successor = store.create(&id).unwrap();
        successor.save(&record("a")).unwrap();
        again.remove().unwrap();
        assert!(matches!(successor.load().unwrap(), Loaded::Record(_)), "the id's next container stays");
    }

    #[test]
    fn the_lock_belongs_to_one_entry() {
        let temp = tempfile::tempdir().unwrap();
        let store = Store::new(temp.path().to_owned());
        let id = "a".parse().unwrap();
        let entry = store.create(&id).unwrap();
        let other = store.open(&id).unwrap();
        assert!(entry.try_lock().unwrap());
        assert!(!other.try_lock().unwrap());
        drop(entry);
        assert!(other.try_lock().unwrap());
    }

    #[test]
    fn a_broken_record_is_told_as_such() {
        let temp = tempfile::tempdir().unwrap();
        let store = Store::new(temp.path().to_owned());
        let id = "a".parse().unwrap();
        let entry = store.create(&id).unwrap();
        std::fs::write(entry.path().join("state.json"), "{\"version\":1").unwrap();
        assert_eq!(entry.load().unwrap_err().kind(), ErrorKind::StateCorrupt);
    }
}
