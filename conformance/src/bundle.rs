//! Bundles for tests: a folder with a rootfs around the probe, and a config.json that starts from the default one.

use std::{
    fs,
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
};

use rustix::io::Errno;
use serde_json::{Value, json};

use crate::{PROBE, PROBE_PATH, host::TempDir, spec::default_spec};

/// Folders of every rootfs.
const FOLDERS: [&str; 9] = ["bin", "dev", "etc", "proc", "root", "sys", "tmp", "usr", "var"];

/// Describes a bundle; [`BundleBuilder::build`] writes it.
#[derive(Clone, Debug)]
#[must_use]
pub struct BundleBuilder {
    name: String,
    spec: Value,
    files: Vec<(PathBuf, Vec<u8>, u32)>,
    folders: Vec<PathBuf>,
}

/// A bundle on disk, removed on drop.
#[derive(Debug)]
pub struct Bundle {
    folder: TempDir,
    spec: Value,
}

impl Bundle {
    /// Starts from the default configuration.
    pub fn builder() -> BundleBuilder {
        BundleBuilder::from_spec(default_spec())
    }

    /// The bundle of the default configuration with these edits.
    #[must_use]
    pub fn with(edit: impl FnOnce(&mut Value)) -> Self {
        Self::builder().edit(edit).build()
    }

    /// The bundle's folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The rootfs.
    #[must_use]
    pub fn rootfs(&self) -> PathBuf {
        self.path().join("rootfs")
    }

    /// Its configuration.
    #[must_use]
    pub fn spec(&self) -> &Value {
        &self.spec
    }

    /// Changes config.json of a bundle that exists.
    pub fn edit(&mut self, edit: impl FnOnce(&mut Value)) {
        edit(&mut self.spec);
        self.write_spec();
    }

    fn write_spec(&self) {
        let text = format!("{:#}\n", self.spec);
        write(&self.path().join("config.json"), text.as_bytes(), 0o644);
    }
}

impl BundleBuilder {
    /// Starts from this configuration.
    pub fn from_spec(spec: Value) -> Self {
        Self { name: "oci-conformance".to_owned(), spec, files: Vec::new(), folders: Vec::new() }
    }

    /// The arguments of the process.
    pub fn args<S: AsRef<str>>(self, args: impl IntoIterator<Item = S>) -> Self {
        let args: Vec<Value> = args.into_iter().map(|arg| json!(arg.as_ref())).collect();
        self.set("/process/args", args)
    }

    /// Sets the value at a JSON pointer; objects on the way are made, an index after the last one appends.
    ///
    /// # Panics
    /// When the pointer leads through a value that has no members.
    pub fn set(mut self, pointer: &str, value: impl Into<Value>) -> Self {
        *place(&mut self.spec, pointer) = value.into();
        self
    }

    /// Appends to the list at a JSON pointer, which is made if it is missing.
    ///
    /// # Panics
    /// When something else than a list is there.
    pub fn push(mut self, pointer: &str, value: impl Into<Value>) -> Self {
        let list = place(&mut self.spec, pointer);
        if list.is_null() {
            *list = json!([]);
        }
        match list {
            Value::Array(values) => values.push(value.into()),
            other => panic!("{pointer} is no list: {other}"),
        }
        self
    }

    /// Removes the member at a JSON pointer.
    pub fn remove(mut self, pointer: &str) -> Self {
        if let Some((parent, key)) = pointer.rsplit_once('/') {
            match self.spec.pointer_mut(parent) {
                Some(Value::Object(members)) => drop(members.remove(key)),
                Some(Value::Array(values)) => {
                    if let Some(index) = key.parse().ok().filter(|&index: &usize| index < values.len()) {
                        values.remove(index);
                    }
                }
                _ => {}
            }
        }
        self
    }

    /// Adds an environment entry `NAME=value`.
    pub fn env(self, entry: &str) -> Self {
        self.push("/process/env", entry)
    }

    /// Adds a namespace (`user`, `cgroup`, …), or one joined by path.
    pub fn namespace(self, kind: &str, path: Option<&str>) -> Self {
        let namespace =
            path.map_or_else(|| json!({ "type": kind }), |path| json!({ "type": kind, "path": path }));
        self.without_namespace(kind).push("/linux/namespaces", namespace)
    }

    /// Removes a namespace.
    pub fn without_namespace(self, kind: &str) -> Self {
        self.edit(|spec| {
            if let Some(namespaces) = spec["linux"]["namespaces"].as_array_mut() {
                namespaces.retain(|namespace| namespace["type"] != kind);
            }
        })
    }

    /// Adds a mount.
    pub fn mount(self, destination: &str, fs_type: &str, source: &str, options: &[&str]) -> Self {
        let mount =
            json!({ "destination": destination, "type": fs_type, "source": source, "options": options });
        self.push("/mounts", mount)
    }

    /// Changes the configuration as the closure likes.
    pub fn edit(mut self, edit: impl FnOnce(&mut Value)) -> Self {
        edit(&mut self.spec);
        self
    }

    /// A file in the bundle (`rootfs/etc/passwd`), 0644.
    pub fn file(self, path: impl Into<PathBuf>, content: impl Into<Vec<u8>>) -> Self {
        self.file_with_mode(path, content, 0o644)
    }

    /// A file in the bundle with this mode.
    pub fn file_with_mode(
        mut self,
        path: impl Into<PathBuf>,
        content: impl Into<Vec<u8>>,
        mode: u32,
    ) -> Self {
        self.files.push((path.into(), content.into(), mode));
        self
    }

    /// A folder in the bundle.
    pub fn folder(mut self, path: impl Into<PathBuf>) -> Self {
        self.folders.push(path.into());
        self
    }

    /// Part of the name of the bundle's folder.
    pub fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// Writes the bundle. `@BUNDLE@` in a text of the configuration becomes the path of its folder.
    ///
    /// # Panics
    /// When the file system does not let us.
    #[must_use]
    pub fn build(self) -> Bundle {
        let folder = TempDir::new(&self.name);
        let rootfs = folder.path().join("rootfs");
        FOLDERS.iter().for_each(|name| make_folder(&rootfs.join(name)));
        self.folders.iter().for_each(|name| make_folder(&folder.path().join(name)));
        for (path, content, mode) in &self.files {
            let path = folder.path().join(path);
            make_folder(path.parent().unwrap_or(folder.path()));
            write(&path, content, *mode);
        }
        write_probe(&rootfs.join(&PROBE_PATH[1..]));
        let mut spec = self.spec;
        insert_path(&mut spec, &folder.path().to_string_lossy());
        let bundle = Bundle { folder, spec };
        bundle.write_spec();
        bundle
    }
}

/// Finds or makes the place of a JSON pointer.
fn place<'a>(mut value: &'a mut Value, pointer: &str) -> &'a mut Value {
    for key in pointer.split('/').skip(1) {
        let key = key.replace("~1", "/").replace("~0", "~");
        if let Value::Array(values) = value {
            let Ok(index) = key.parse::<usize>() else { panic!("{key} in {pointer} is no index") };
            if index >= values.len() {
                values.push(Value::Null);
            }
            let last = values.len() - 1;
            value = &mut values[index.min(last)];
        } else {
            value = &mut value[key];
        }
    }
    value
}

fn insert_path(value: &mut Value, path: &str) {
    match value {
        Value::String(text) if text.contains("@BUNDLE@") => *text = text.replace("@BUNDLE@", path),
        Value::Array(values) => values.iter_mut().for_each(|value| insert_path(value, path)),
        Value::Object(members) => members.values_mut().for_each(|value| insert_path(value, path)),
        _ => {}
    }
}

fn make_folder(path: &Path) {
    if let Err(error) = fs::create_dir_all(path) {
        panic!("cannot make {}: {error}", path.display());
    }
}

/// Writes a file with exactly this mode, whatever the umask is.
fn write(path: &Path, content: &[u8], mode: u32) {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(mode);
    let written = options.open(path).and_then(|mut file| {
        file.write_all(content)?;
        file.set_permissions(fs::Permissions::from_mode(mode))
    });
    if let Err(error) = written {
        panic!("cannot write {}: {error}", path.display());
    }
}

/// Writes the probe and executes it once: a child that another thread of this test is just starting may have inherited
/// the fd that wrote it (until its exec), and then the container's exec would fail with ETXTBSY.
fn write_probe(path: &Path) {
    write(path, PROBE, 0o755);
    for _ in 0..10_000 {
        match Command::new(path).arg("true").status() {
            Err(error) if error.raw_os_error() == Some(Errno::TXTBSY.raw_os_error()) => {}
            Ok(status) if status.success() => return,
            other => panic!("cannot execute {}: {other:?}", path.display()),
        }
    }
    panic!("{} stays open for writing somewhere", path.display());
}

#[cfg(test)]
mod tests {
    use super::Bundle;

    #[test]
    fn edits_reach_the_file() {
        let bundle = Bundle::builder()
            .args(["/bin/probe", "true"])
            .set("/linux/resources/pids/limit", 7)
            .push("/linux/maskedPaths", "/x")
            .remove("/hostname")
            .namespace("user", None)
            .without_namespace("network")
            .mount("/mnt", "bind", "@BUNDLE@/files/a", &["bind"])
            .file("files/a", "text")
            .build();
        let text = std::fs::read_to_string(bundle.path().join("config.json")).unwrap();
        let spec: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(spec["process"]["args"][1], "true");
        assert_eq!(spec["linux"]["resources"]["pids"]["limit"], 7);
        assert_eq!(spec["linux"]["maskedPaths"][10], "/x");
        assert_eq!(spec["hostname"], serde_json::Value::Null);
        let kinds: Vec<_> =
            spec["linux"]["namespaces"].as_array().unwrap().iter().map(|n| &n["type"]).collect();
        assert_eq!(kinds, ["pid", "ipc", "uts", "mount", "user"]);
        let source = spec["mounts"][7]["source"].as_str().unwrap();
        assert_eq!(std::fs::read_to_string(source).unwrap(), "text");
    }

    #[test]
    fn a_bundle_is_removed_when_dropped() {
        let bundle = Bundle::builder().build();
        let path = bundle.path().to_owned();
        assert!(bundle.rootfs().join("bin/probe").is_file());
        drop(bundle);
        assert!(std::fs::symlink_metadata(path).is_err());
    }
}
