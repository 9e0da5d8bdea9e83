//! Reading config.json: bytes → JSON → its form checked → the types of the spec crate and what those lack.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Component, Path, PathBuf},
};

use rustix::fs::{Mode, OFlags};
use serde_json::Value;

use super::{
    Bundle, Fields, json, schema,
    shape::{self, Findings},
    typed,
};
use crate::{Error, ErrorKind, Result};

/// The largest config.json that is read. Those of engines have some tens of KiB.
const MAX_BYTES: u64 = 16 << 20;

impl Bundle {
    /// Reads `config.json` of the bundle at `dir`. A relative path is taken from the current directory, once.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] with all problems of form at once; [`ErrorKind::NotFound`] when there is no
    /// config.json.
    ///
    /// # Source
    /// runtime-spec 1.3, bundle.md.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = absolute(dir.as_ref())?;
        Self::parse(read_config(&dir)?, dir)
    }

    /// Takes a configuration from memory; relative paths in it are below `dir`.
    ///
    /// # Errors
    /// As [`Bundle::open`].
    pub fn from_json(json: &[u8], dir: impl AsRef<Path>) -> Result<Self> {
        Self::parse(json.to_vec(), absolute(dir.as_ref())?)
    }

    /// A configuration that says nothing but `linux.resources`, which is what `update` takes.
    pub(crate) fn of_resources(resources: Value) -> Result<Self> {
        let config = serde_json::json!({
            "ociVersion": "1.3.0",
            "root": { "path": "rootfs" },
            "linux": { "resources": resources },
        });
        // There is no file to name.
        Self::from_value(config, PathBuf::from("/"), Vec::new())
            .map_err(|error| Error::invalid_config(error.problems().to_vec()))
    }

    fn parse(json: Vec<u8>, dir: PathBuf) -> Result<Self> {
        let config = json::parse(&json)
            .map_err(|problems| Error::invalid_config(problems).with_path(dir.join("config.json")))?;
        Self::from_value(config, dir, json)
    }

    /// Checks the form of a document and takes it apart. `json` is its text, which is kept for later commands.
    pub(super) fn from_value(mut config: Value, dir: PathBuf, json: Vec<u8>) -> Result<Self> {
        let refused = |problems| Error::invalid_config(problems).with_path(dir.join("config.json"));
        let Findings { problems, mut warnings } = shape::findings(&mut config, &schema::CONFIG);
        if !problems.is_empty() {
            return Err(refused(problems));
        }
        let fields = Fields::take(&mut config, &mut warnings);
        let spec = typed::spec_of(&config).map_err(|problem| refused(vec![problem]))?;
        Ok(Self { dir, json, spec, fields, warnings })
    }
}

/// An absolute path without `.` and `..`, links kept: what the state and hooks are told.
fn absolute(dir: &Path) -> Result<PathBuf> {
    let from_root = if dir.is_absolute() {
        dir.to_owned()
    } else {
        std::env::current_dir()
            .map_err(|error| Error::from_io("cannot tell the current directory", error))?
            .join(dir)
    };
    let mut clean = PathBuf::from("/");
    for component in from_root.components() {
        match component {
            Component::ParentDir => {
                clean.pop();
            }
            Component::Normal(name) => clean.push(name),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Ok(clean)
}

fn read_config(dir: &Path) -> Result<Vec<u8>> {
    let path = dir.join("config.json");
    let failed = |error| Error::from_io(format!("cannot read {}", path.display()), error).with_path(&path);
    let mut file = match open_without_waiting(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(not_found(dir, &path)),
        Err(error) => return Err(failed(error)),
    };
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        let message = format!("{} is not a regular file", path.display());
        return Err(Error::new(ErrorKind::InvalidConfig, message).with_path(path));
    }
    let mut json = Vec::with_capacity(usize::try_from(metadata.len().min(MAX_BYTES)).unwrap_or_default() + 1);
    Read::by_ref(&mut file).take(MAX_BYTES + 1).read_to_end(&mut json).map_err(failed)?;
    if json.len() as u64 > MAX_BYTES {
        let message = format!("{} is larger than {} MiB", path.display(), MAX_BYTES >> 20);
        return Err(Error::new(ErrorKind::InvalidConfig, message).with_path(path));
    }
    Ok(json)
}

/// A FIFO of that name would block an ordinary open until somebody writes.
fn open_without_waiting(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}

/// Engines know the first sentence; that the directory itself is missing is another mistake.
fn not_found(dir: &Path, path: &Path) -> Error {
    match fs::metadata(dir) {
        Ok(_) => Error::new(ErrorKind::NotFound, "JSON specification file config.json not found")
            .with_path(path)
            .with_hint(format!("a bundle is a directory with a config.json; none is in {}", dir.display())),
        Err(error) => Error::from_io(format!("cannot open the bundle {}", dir.display()), error)
            .with_kind(ErrorKind::NotFound)
            .with_path(dir),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::{Bundle, MAX_BYTES, absolute};
    use crate::ErrorKind;

    const MINIMAL: &str = r#"{"ociVersion":"1.0.2","root":{"path":"rootfs"}}"#;

    #[test]
    fn paths_become_absolute_and_clean() {
        let here = std::env::current_dir().unwrap();
        for (dir, expected) in [
            ("/a/b", "/a/b".into()),
            ("/a/./b//../c/", "/a/c".into()),
            ("/../..", "/".into()),
            ("x/../y", here.join("y")),
            ("", here.clone()),
            (".", here.clone()),
        ] {
            assert_eq!(absolute(Path::new(dir)).unwrap(), expected, "{dir}");
        }
    }

    #[test]
    fn a_bundle_is_read_from_its_directory() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("b")).unwrap();
        fs::write(dir.path().join("b/config.json"), MINIMAL).unwrap();
        std::os::unix::fs::symlink("b", dir.path().join("link")).unwrap();
        let bundle = Bundle::open(dir.path().join("link/.")).unwrap();
        assert_eq!(bundle.dir(), dir.path().join("link"));
        assert_eq!(bundle.rootfs(), Some(dir.path().join("link/rootfs")));
        assert_eq!(bundle.oci_version(), "1.0.2");
        assert!(bundle.warnings().is_empty() && !bundle.terminal());
    }

    #[test]
    fn a_missing_config_has_the_words_engines_know() {
        let dir = tempfile::tempdir().unwrap();
        let error = Bundle::open(dir.path()).unwrap_err();
        assert_eq!(error.to_string(), "JSON specification file config.json not found");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let error = Bundle::open(dir.path().join("none")).unwrap_err();
        assert!(error.to_string().ends_with("/none: no such file or directory"), "{error}");
        assert_eq!((error.kind(), error.errno()), (ErrorKind::NotFound, Some(2)));
    }

    #[test]
    fn what_is_no_file_or_too_large_is_refused_without_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("config.json");
        fs::create_dir(&config).unwrap();
        assert!(Bundle::open(dir.path()).unwrap_err().to_string().ends_with("is not a regular file"));
        fs::remove_dir(&config).unwrap();
        nix::unistd::mkfifo(&config, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(Bundle::open(dir.path()).unwrap_err().to_string().ends_with("is not a regular file"));
        fs::remove_file(&config).unwrap();
        fs::File::create(&config).unwrap().set_len(MAX_BYTES + 1).unwrap();
        assert!(Bundle::open(dir.path()).unwrap_err().to_string().ends_with("is larger than 16 MiB"));
    }
}
