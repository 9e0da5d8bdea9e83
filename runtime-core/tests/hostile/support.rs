//! What the attacks share: a library with a state root of its own, containers with their output in memory, a canary.

use std::{
    fs::File,
    io::{Read, Seek},
    os::fd::OwnedFd,
    path::PathBuf,
    time::Duration,
};

use oci_conformance::{
    Bundle as TestBundle,
    host::{TempDir, unique},
    leftovers::leftovers,
};
use orlop::{
    Bundle, Container, CreateOptions, Created, Deadline, Delete, Error, ExitStatus, Result, Runtime, Stdio,
};
use rustix::fs::MemfdFlags;

/// Longer than anything here takes: what exceeds it hangs.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub fn patience() -> Deadline<'static> {
    Deadline::after(PATIENCE)
}

/// How often a race is run.
pub fn rounds(short: u32, long: u32) -> u32 {
    if std::env::var_os("ORLOP_TEST_LONG").is_some() { long } else { short }
}

/// The library with its own state root.
pub struct Host {
    root: TempDir,
    pub runtime: Runtime,
}

/// How a container went.
#[derive(Debug)]
pub struct Ran {
    pub status: ExitStatus,
    pub output: String,
}

impl Host {
    pub fn new() -> Self {
        let root = TempDir::new("hostile-root");
        let runtime = Runtime::builder().root(root.path()).build().unwrap();
        Self { root, runtime }
    }

    pub fn create(&self, bundle: &TestBundle, id: &str, output: &File) -> Result<Container> {
        let opened = Bundle::open(bundle.path())?;
        let prepared = self.runtime.prepare(id, opened, CreateOptions::new())?;
        let Created { container, .. } = self.runtime.create(prepared, null_and(output), patience())?;
        Ok(container)
    }

    /// Creates, starts, waits, deletes; asserts that nothing is left.
    pub fn run(&self, bundle: &TestBundle) -> Result<Ran> {
        let id = unique("hostile");
        let ran = self.run_as(bundle, &id);
        self.assert_clean(&id, bundle);
        ran
    }

    /// Creates, starts, waits, deletes.
    pub fn run_as(&self, bundle: &TestBundle, id: &str) -> Result<Ran> {
        let mut output = memory();
        let container = self.create(bundle, id, &output)?;
        let ended = container.start(patience()).and_then(|()| container.wait(patience()));
        container.delete(Delete::Force, patience())?;
        Ok(Ran { status: ended?, output: content(&mut output) })
    }

    pub fn assert_clean(&self, id: &str, bundle: &TestBundle) {
        assert_eq!(leftovers(id, bundle.path(), self.root.path()), Vec::<String>::new());
    }
}

/// A container that a failing test does not leave behind.
pub struct Kept(pub Container);

impl Drop for Kept {
    fn drop(&mut self) {
        match self.0.delete(Delete::Force, patience()) {
            Ok(()) => {}
            Err(error) if std::thread::panicking() => drop::<Error>(error),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Nothing to read, and output in a file.
pub fn null_and(output: &File) -> Stdio {
    let twin = || OwnedFd::from(output.try_clone().unwrap());
    Stdio::fds(File::open("/dev/null").unwrap().into(), twin(), twin())
}

pub fn memory() -> File {
    rustix::fs::memfd_create("output", MemfdFlags::CLOEXEC).unwrap().into()
}

pub fn content(file: &mut File) -> String {
    let mut text = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut text).unwrap();
    String::from_utf8_lossy(&text).into_owned()
}

/// What the canary's file says.
pub const SECRET: &str = "the canary is alive\n";

/// A folder of the host that no container may reach, with a file `secret`.
pub struct Canary {
    folder: TempDir,
    before: Vec<String>,
}

impl Canary {
    pub fn new() -> Self {
        let folder = TempDir::new("canary");
        std::fs::write(folder.path().join("secret"), SECRET).unwrap();
        let before = listing(&folder);
        Self { folder, before }
    }

    pub fn path(&self) -> String {
        self.folder.path().to_str().unwrap().to_owned()
    }

    pub fn file(&self) -> PathBuf {
        self.folder.path().join("secret")
    }

    /// Nothing in it was made, changed, removed or mounted upon.
    pub fn assert_untouched(&self, attack: &str) {
        assert_eq!(listing(&self.folder), self.before, "{attack}");
        let mounts = oci_conformance::leftovers::mounts_below(self.folder.path());
        assert!(mounts.is_empty(), "{attack}: {mounts:?}");
    }
}

fn listing(folder: &TempDir) -> Vec<String> {
    use std::os::unix::fs::MetadataExt;
    let describe = |path: PathBuf| {
        let metadata = std::fs::symlink_metadata(&path).unwrap();
        let content = if metadata.is_file() { std::fs::read(&path).unwrap() } else { Vec::new() };
        format!("{} {:o} {} {content:?}", path.display(), metadata.mode(), metadata.uid())
    };
    let mut found: Vec<String> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| describe(entry.unwrap().path())).collect();
    found.push(describe(folder.path().to_owned()));
    found.sort();
    found
}
