//! `--pid-file`: decimal digits and nothing else, by rename, so that a reader never sees half of it.

use std::{
    ffi::OsStr,
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
};

use crate::failure::{Failure, Result};

/// Where the pid goes. The command never changes directory, so a relative path is the caller's.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    temporary: PathBuf,
}

impl PidFile {
    /// Checks the path's form.
    pub fn new(path: &OsStr) -> Result<Self> {
        let path = PathBuf::from(path);
        let Some(name) = path.file_name() else {
            return Err(Failure::new(format!("pid file {} is not the path of a file", path.display())));
        };
        // Our own pid makes the name unique, so that what a killed command left cannot be in the way.
        let mut temporary = OsStr::new(".").to_owned();
        temporary.push(name);
        temporary.push(format!(".{}", std::process::id()));
        Ok(Self { temporary: path.with_file_name(temporary), path })
    }

    /// Writes the pid.
    pub fn write(&self, pid: i32) -> Result<()> {
        self.write_temporary(pid).and_then(|()| fs::rename(&self.temporary, &self.path)).map_err(|error| {
            remove(&self.temporary);
            Failure::io(format_args!("write pid file {}", self.path.display()), error)
        })
    }

    fn write_temporary(&self, pid: i32) -> std::io::Result<()> {
        // A file of our pid is of a program that ended before us.
        remove(&self.temporary);
        let mut file = OpenOptions::new().write(true).create_new(true).open(&self.temporary)?;
        file.write_all(pid.to_string().as_bytes())
    }
}

/// Removes what may not be there; if it stays, the next step says so.
fn remove(path: &Path) {
    match fs::remove_file(path) {
        Ok(()) | Err(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::PidFile;

    #[test]
    fn the_file_holds_digits_and_no_temporary_file_stays() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("pid");
        fs::write(&path, "old").expect("write");
        PidFile::new(path.as_os_str()).expect("path").write(4711).expect("write");
        assert_eq!(fs::read_to_string(&path).expect("read"), "4711");
        assert_eq!(fs::read_dir(dir.path()).expect("list").count(), 1);
    }

    #[test]
    fn a_missing_directory_is_named_with_the_kernels_words() {
        let failure = PidFile::new("/nonexistent/pid".as_ref()).expect("path").write(1).expect_err("fails");
        assert_eq!(failure.line(), "write pid file /nonexistent/pid: no such file or directory");
        assert!(PidFile::new("/".as_ref()).is_err());
    }
}
