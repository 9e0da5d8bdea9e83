//! Files of this host that a bundle names: the rootfs, sources of bind mounts, programs of hooks.

use std::path::{Path, PathBuf};

use oci_spec::runtime::Hook;
use rustix::{
    fs::{Access, FileType},
    io::Errno,
};

use crate::{Bundle, Problem, error::errno_text};

/// The rootfs with symbolic links resolved: what is mounted has one name from here on.
pub(super) fn find_rootfs(bundle: &Bundle) -> Result<PathBuf, Problem> {
    let problem = |words: String| Problem::new("root.path", format!("invalid rootfs: {words}"));
    let Some(path) = bundle.rootfs() else {
        return Err(Problem::new("root", "root must be specified"));
    };
    let resolved = path.canonicalize().map_err(|error| {
        let words = error.raw_os_error().map_or_else(|| error.to_string(), errno_text);
        problem(format!("{}: {words}", path.display()))
    })?;
    match kind_of(&resolved) {
        Ok(FileType::Directory) => Ok(resolved),
        Ok(_) => Err(problem(format!("{} is not a directory", path.display()))),
        Err(errno) => Err(problem(format!("{}: {}", path.display(), errno_text(errno.raw_os_error())))),
    }
}

fn kind_of(path: &Path) -> Result<FileType, Errno> {
    Ok(FileType::from_raw_mode(rustix::fs::stat(path)?.st_mode))
}

/// All files that are missing or of a wrong kind, for a check without a start. A start tells the same when it comes to
/// them, and an engine may make them until then.
pub(crate) fn check_sources(bundle: &Bundle) -> Vec<Problem> {
    let mut problems: Vec<_> = find_rootfs(bundle).err().into_iter().collect();
    for (index, mount) in bundle.spec().mounts().iter().flatten().enumerate() {
        let is_bind =
            mount.options().iter().flatten().any(|option| matches!(option.as_str(), "bind" | "rbind"));
        let Some(source) = mount.source().as_ref().filter(|_| is_bind) else { continue };
        let source = bundle.dir().join(source);
        if let Err(errno) = rustix::fs::stat(&source) {
            let words = format!("{}: {}", source.display(), errno_text(errno.raw_os_error()));
            problems.push(Problem::new(format!("mounts[{index}].source"), words));
        }
    }
    for (kind, hooks) in host_hooks(bundle) {
        for (index, hook) in hooks.iter().enumerate() {
            if let Some(words) = why_not_executable(hook.path()) {
                problems.push(Problem::new(format!("hooks.{kind}[{index}].path"), words));
            }
        }
    }
    problems
}

/// Hooks whose path is one of this host. Those of `startContainer` are in the container.
fn host_hooks(bundle: &Bundle) -> impl Iterator<Item = (&'static str, &[Hook])> {
    let hooks = bundle.spec().hooks().as_ref();
    let lists = hooks.map(|hooks| {
        [
            ("prestart", hooks.prestart()),
            ("createRuntime", hooks.create_runtime()),
            ("createContainer", hooks.create_container()),
            ("poststart", hooks.poststart()),
            ("poststop", hooks.poststop()),
        ]
    });
    lists.into_iter().flatten().filter_map(|(kind, hooks)| Some((kind, hooks.as_deref()?)))
}

fn why_not_executable(path: &Path) -> Option<String> {
    let words = |what: String| Some(format!("{}: {what}", path.display()));
    match kind_of(path) {
        Ok(FileType::RegularFile) => {}
        Ok(_) => return words("is not a regular file".to_owned()),
        Err(errno) => return words(errno_text(errno.raw_os_error())),
    }
    match rustix::fs::access(path, Access::EXEC_OK) {
        Ok(()) => None,
        Err(errno) => words(format!("cannot be executed: {}", errno_text(errno.raw_os_error()))),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::{check_sources, find_rootfs};
    use crate::{Bundle, default_spec};

    // spec: config.root.path.exists bundle.rootfs.present
    #[test]
    fn the_rootfs_is_a_directory_under_its_own_name() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().canonicalize().unwrap();
        let bundle = Bundle::from_json(default_spec(false).to_string().as_bytes(), dir.path()).unwrap();
        let rootfs = dir.path().join("rootfs");
        let told = |words: &str| format!("root.path: invalid rootfs: {}{words}", rootfs.display());
        assert_eq!(find_rootfs(&bundle).unwrap_err().to_string(), told(": no such file or directory"));
        fs::write(&rootfs, "").unwrap();
        assert_eq!(find_rootfs(&bundle).unwrap_err().to_string(), told(" is not a directory"));
        fs::remove_file(&rootfs).unwrap();
        fs::create_dir(dir.path().join("image")).unwrap();
        std::os::unix::fs::symlink("image", &rootfs).unwrap();
        assert_eq!(find_rootfs(&bundle).unwrap(), real.join("image"));
    }

    #[test]
    fn missing_files_are_told_all_at_once() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("rootfs")).unwrap();
        let plain = dir.path().join("plain");
        fs::write(&plain, "").unwrap();
        let mut config = default_spec(false);
        config["mounts"] = json!([
            {"destination": "/a", "source": "plain", "options": ["bind"]},
            {"destination": "/b", "source": "none", "options": ["ro", "rbind"]},
            {"destination": "/c", "source": "none", "type": "tmpfs"},
        ]);
        config["hooks"] = json!({
            "prestart": [{"path": "/bin/sh"}, {"path": "/none"}],
            "createRuntime": [{"path": plain}],
            "poststop": [{"path": "/etc"}],
            "startContainer": [{"path": "/in/the/container"}],
        });
        let bundle = Bundle::from_json(config.to_string().as_bytes(), dir.path()).unwrap();
        let told: Vec<_> = check_sources(&bundle).iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                format!("mounts[1].source: {}: no such file or directory", dir.path().join("none").display()),
                "hooks.prestart[1].path: /none: no such file or directory".to_owned(),
                format!(
                    "hooks.createRuntime[0].path: {}: cannot be executed: permission denied",
                    plain.display()
                ),
                "hooks.poststop[0].path: /etc: is not a regular file".to_owned(),
            ]
        );
    }
}
