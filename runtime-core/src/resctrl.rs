//! Resource groups of resctrl (`linux.intelRdt`; Intel RDT and its kin of AMD and Arm): a folder of its file system is a
//! class of service with shares of caches and memory bandwidth, one in its `mon_groups` is watched by itself. Processes
//! are written to `tasks`, children follow.
//!
//! The decisions come from `plan`, as plain data; what is done and undone here is told by `RdtRecord`.

use std::path::{Path, PathBuf};

use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags},
    io::Errno,
};
use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind, Result};

/// Folder of the monitoring groups of a class.
const MON_GROUPS: &str = "mon_groups";

/// What has to hold of the folder of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existence {
    /// Made, or used as it is: that of the container alone, or of a class that is shared.
    Any,
    /// Prepared by somebody else.
    Required,
}

/// The group of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RdtGroup {
    /// Where resctrl is mounted.
    pub root: PathBuf,
    /// Folder of the class of service.
    pub dir: PathBuf,
    /// Whether it may be missing.
    pub existence: Existence,
    /// The class has a name of its own: what it is set to is compared instead of changed, and it stays.
    pub is_shared: bool,
    /// For `schemata`, in order: JSON path and lines.
    pub schemata: Vec<(String, String)>,
    /// Name of the monitoring group.
    pub monitored_as: Option<String>,
}

/// What was made, kept in the state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RdtRecord {
    /// Folders whose `tasks` take the container's processes: the class, and in it the monitoring group.
    pub(crate) dirs: Vec<PathBuf>,
    /// Those that go with the container, the innermost first.
    pub(crate) made: Vec<PathBuf>,
}

impl RdtGroup {
    /// Makes folders, sets or compares what the class may use.
    ///
    /// # Errors
    /// Of the first step that fails; nothing of it is left.
    pub(crate) fn make(&self) -> Result<RdtRecord> {
        let mut record = RdtRecord { dirs: vec![self.dir.clone()], made: Vec::new() };
        match self.make_into(&mut record) {
            Ok(()) => Ok(record),
            Err(mut error) => {
                if let Err(failure) = record.remove() {
                    error.attach_cleanup(failure);
                }
                Err(error)
            }
        }
    }

    fn make_into(&self, record: &mut RdtRecord) -> Result<()> {
        let is_new = match self.existence {
            Existence::Any => self.make_dir(&self.dir)?,
            Existence::Required => {
                let found = rustix::fs::stat(&self.dir).map_err(|errno| {
                    let error = self.failure(format!("cannot find the class {}", self.dir.display()), errno);
                    error.with_hint("a closID without a schema names a class that somebody has prepared")
                });
                found.map(|_| false)?
            }
        };
        if is_new && !self.is_shared {
            record.made.push(self.dir.clone());
        }
        for (at, lines) in &self.schemata {
            match self.is_shared && !is_new {
                true => self.compare(at, lines)?,
                false => self.write_schemata(at, lines)?,
            }
        }
        if let Some(name) = &self.monitored_as {
            let dir = self.dir.join(MON_GROUPS).join(name);
            self.make_dir(&dir)?;
            record.made.insert(0, dir.clone());
            record.dirs.push(dir);
        }
        Ok(())
    }

    /// Whether it was not there.
    fn make_dir(&self, dir: &Path) -> Result<bool> {
        match rustix::fs::mkdir(dir, Mode::from_raw_mode(0o755)) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(errno) => Err(self.failure(format!("cannot make {}", dir.display()), errno)),
        }
    }

    fn write_schemata(&self, at: &str, lines: &str) -> Result<()> {
        let path = self.dir.join("schemata");
        // The kernel wants the end of a line.
        write(&path, &format!("{lines}\n")).map_err(|errno| {
            let words = format!("{at}: cannot write {lines:?} to {}", path.display());
            self.failure(words, errno).with_config_path(at)
        })
    }

    /// A class that exists is used by others as well; one that is set otherwise is not what was asked for.
    fn compare(&self, at: &str, lines: &str) -> Result<()> {
        let path = self.dir.join("schemata");
        let present = std::fs::read_to_string(&path)
            .map_err(|source| Error::from_io(format!("cannot read {}", path.display()), source))?;
        let Some(line) = lines.lines().find(|line| !holds(&present, line)) else { return Ok(()) };
        let words = format!("{at}: {line:?} is not what the class {} is set to", self.dir.display());
        Err(Error::new(ErrorKind::InvalidConfig, words).with_config_path(at).with_path(path))
    }

    fn failure(&self, words: String, errno: Errno) -> Error {
        let error = Error::from_errno(words, errno.raw_os_error()).with_config_path("linux.intelRdt");
        // The kernel's own words on the last failure.
        let told = std::fs::read_to_string(self.root.join("info/last_cmd_status")).unwrap_or_default();
        match told.trim() {
            "" | "ok" => error,
            told => error.with_hint(format!("resctrl says: {told}")),
        }
    }
}

impl RdtRecord {
    /// Makes a process a member; its children will be.
    pub(crate) fn assign(&self, pid: i32) -> Result<()> {
        self.dirs.iter().try_for_each(|dir| {
            let path = dir.join("tasks");
            write(&path, &pid.to_string()).map_err(|errno| {
                let words = format!("cannot write pid {pid} to {}", path.display());
                Error::from_errno(words, errno.raw_os_error()).with_config_path("linux.intelRdt")
            })
        })
    }

    /// Removes what was made. What is gone already is fine, so that a delete can be repeated.
    pub(crate) fn remove(&self) -> Result<()> {
        self.made.iter().try_for_each(|dir| match rustix::fs::unlinkat(CWD, dir, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => {
                Err(Error::from_errno(format!("cannot remove {}", dir.display()), errno.raw_os_error()))
            }
        })
    }
}

fn write(path: &Path, text: &str) -> Result<(), Errno> {
    let flags = OFlags::WRONLY | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = rustix::fs::open(path, flags, Mode::empty())?;
    rustix::io::write(&file, text.as_bytes()).map(drop)
}

/// Whether `schemata` has every domain of a line (`L3:0=7f0;1=1f`) set to the same value.
fn holds(schemata: &str, line: &str) -> bool {
    let Some((resource, wanted)) = domains(line) else { return false };
    let lines = schemata.lines().filter_map(domains);
    let present: Vec<_> = lines.filter(|(name, _)| *name == resource).flat_map(|(_, found)| found).collect();
    wanted.iter().all(|domain| present.contains(domain))
}

/// Resource, and domain and value of each part. Bandwidths are decimal, all others are masks in hexadecimal.
fn domains(line: &str) -> Option<(&str, Vec<(u64, u64)>)> {
    let (resource, parts) = line.trim().split_once(':')?;
    let radix = if matches!(resource, "MB" | "SMBA") { 10 } else { 16 };
    let part = |part: &str| {
        let (domain, value) = part.split_once('=')?;
        let value = value.trim().trim_start_matches("0x");
        Some((domain.trim().parse().ok()?, u64::from_str_radix(value, radix).ok()?))
    };
    let parts = parts.split(';').filter(|part| !part.trim().is_empty()).map(part);
    Some((resource.trim(), parts.collect::<Option<_>>()?))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A stand-in: folders and files as resctrl has them, but for those that it makes by itself in a new folder.
    fn resctrl() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("info")).unwrap();
        fs::write(root.path().join("info/last_cmd_status"), "unknown resource\n").unwrap();
        for class in ["", "gold"] {
            fs::create_dir_all(root.path().join(class).join(MON_GROUPS)).unwrap();
            fs::write(root.path().join(class).join("tasks"), "").unwrap();
            fs::write(root.path().join(class).join("schemata"), "    MB:0= 20;1=100\n    L3:0=00ff;1=7ff\n")
                .unwrap();
        }
        root
    }

    fn group(root: &tempfile::TempDir, class: &str) -> RdtGroup {
        RdtGroup {
            root: root.path().to_owned(),
            dir: root.path().join(class),
            existence: Existence::Any,
            is_shared: true,
            schemata: Vec::new(),
            monitored_as: None,
        }
    }

    fn read(root: &tempfile::TempDir, path: &str) -> String {
        fs::read_to_string(root.path().join(path)).unwrap()
    }

    // spec: linux.intelrdt.tasks linux.intelrdt.closid.default-clos linux.intelrdt.closid-only-must-exist
    // spec: linux.intelrdt.closid-only-assigned linux.intelrdt.closid-only-missing-error
    // spec: linux.intelrdt.none-not-written
    #[test]
    fn a_prepared_class_gets_the_process() {
        let root = resctrl();
        for class in ["gold", ""] {
            let group = RdtGroup { existence: Existence::Required, ..group(&root, class) };
            let record = group.make().unwrap();
            record.assign(17).unwrap();
            assert_eq!(read(&root, format!("{class}/tasks").trim_start_matches('/')), "17");
            assert!(record.made.is_empty());
            record.remove().unwrap();
            assert!(root.path().join("gold").is_dir());
        }
        let missing = RdtGroup { existence: Existence::Required, ..group(&root, "silver") };
        let error = missing.make().unwrap_err();
        assert_eq!((error.errno(), error.config_path()), (Some(2), Some("linux.intelRdt")));
        assert!(!root.path().join("silver").is_dir());
    }

    // spec: linux.intelrdt.closid-set-existing-compared linux.intelrdt.closid-set-mismatch-error
    #[test]
    fn a_class_that_is_shared_is_compared_and_not_changed() {
        let root = resctrl();
        let before = read(&root, "gold/schemata");
        for (line, is_same) in [
            ("L3:0=ff;1=7FF", true),
            ("L3:1=0x7ff", true),
            ("MB:1=100;0=20", true),
            ("L3:0=ff\nMB:0=20", true),
            ("L3:0=fe", false),
            ("MB:0=10", false),
            ("L2:0=f", false),
            ("L3:7=ff", false),
            ("nonsense", false),
        ] {
            let schemata = vec![("linux.intelRdt.schemata".to_owned(), line.to_owned())];
            let made = RdtGroup { schemata, ..group(&root, "gold") }.make();
            assert_eq!(made.is_ok(), is_same, "{line}: {made:?}");
            if let Err(error) = made {
                assert_eq!(error.config_path(), Some("linux.intelRdt.schemata"));
            }
        }
        assert_eq!(read(&root, "gold/schemata"), before);
    }

    // spec: linux.intelrdt.delete-own linux.intelrdt.delete-not-foreign
    #[test]
    fn the_own_class_of_a_container_comes_and_goes_with_it() {
        let root = resctrl();
        let own = RdtGroup { is_shared: false, ..group(&root, "c1") };
        let record = own.make().unwrap();
        assert_eq!(record.made, [root.path().join("c1")]);
        record.remove().unwrap();
        assert!(!root.path().join("c1").is_dir());
        record.remove().unwrap();
        // One that was there is used, and stays.
        fs::create_dir(root.path().join("c2")).unwrap();
        let record = RdtGroup { is_shared: false, ..group(&root, "c2") }.make().unwrap();
        assert!(record.made.is_empty());
    }

    // spec: linux.intelrdt.both-schemas-written linux.intelrdt.both-schemas-order linux.intelrdt.one-schema-written
    // spec: linux.intelrdt.schemata-written
    #[test]
    fn lines_are_written_in_their_order_and_the_last_one_stands() {
        let root = resctrl();
        let line = |at: &str, text: &str| (format!("linux.intelRdt.{at}"), text.to_owned());
        let schemata = vec![
            line("l3CacheSchema", "L3:0=1"),
            line("memBwSchema", "MB:0=50"),
            line("schemata", "L3:0=3\nMB:0=70"),
        ];
        RdtGroup { is_shared: false, schemata, ..group(&root, "gold") }.make().unwrap();
        assert_eq!(read(&root, "gold/schemata"), "L3:0=3\nMB:0=70\n");
    }

    #[test]
    fn a_failed_make_leaves_nothing_and_says_what_resctrl_says() {
        let root = resctrl();
        // A folder of the stand-in has no schemata: the write fails.
        let schemata = vec![("linux.intelRdt.schemata".to_owned(), "L3:0=1".to_owned())];
        let error = RdtGroup { is_shared: false, schemata, ..group(&root, "c1") }.make().unwrap_err();
        assert_eq!(error.config_path(), Some("linux.intelRdt.schemata"));
        assert_eq!(error.hint(), Some("resctrl says: unknown resource"));
        assert!(!root.path().join("c1").is_dir());
    }

    // spec: linux.intelrdt.mon.created linux.intelrdt.mon.name linux.intelrdt.mon.removed
    #[test]
    fn a_monitoring_group_is_the_containers_own_in_any_class() {
        let root = resctrl();
        let record = RdtGroup { monitored_as: Some("c1".to_owned()), ..group(&root, "gold") }.make().unwrap();
        let dir = root.path().join("gold/mon_groups/c1");
        assert_eq!(record.dirs, [root.path().join("gold"), dir.clone()]);
        fs::write(dir.join("tasks"), "").unwrap();
        record.assign(9).unwrap();
        assert_eq!(
            (read(&root, "gold/tasks"), read(&root, "gold/mon_groups/c1/tasks")),
            ("9".into(), "9".into())
        );
        fs::remove_file(dir.join("tasks")).unwrap();
        record.remove().unwrap();
        assert!(!dir.is_dir() && root.path().join("gold").is_dir());
    }

    // spec: linux.intelrdt.mon.failure-error
    #[test]
    fn a_monitoring_group_that_cannot_be_made_is_an_error() {
        let root = resctrl();
        // The stand-in makes no mon_groups in a new folder.
        let group = RdtGroup { is_shared: false, monitored_as: Some("c1".to_owned()), ..group(&root, "c1") };
        let error = group.make().unwrap_err();
        assert_eq!((error.errno(), error.config_path()), (Some(2), Some("linux.intelRdt")));
        assert!(!root.path().join("c1").is_dir());
    }
}
