//! Paths beneath a root that the container's image controls.
//!
//! The kernel resolves them (`openat2` with `RESOLVE_IN_ROOT`): links are followed, none leads out of the root. A walk
//! of our own with the same result, one component at a time and each an fd, makes what is missing, and stands in
//! where openat2 is hidden or parallel renames disturb it too often. It never asks the kernel for `..`: the way back
//! is a stack of the fds that led here.
//! Answers are O_PATH fds; callers work on them, never on the path again.

use core::ffi::CStr;

use crate::sys::{
    Errno, Fd, RawFd,
    file::{
        self, O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_PATH, O_WRONLY, RESOLVE_IN_ROOT,
        RESOLVE_NO_MAGICLINKS, S_IFDIR, S_IFLNK,
    },
};

/// Bytes of a path with its NUL (`PATH_MAX`).
const PATH_MAX: usize = 4096;
/// As many links as the kernel follows (path_resolution(7)).
const LINKS_MAX: u32 = 40;
/// Directories between root and target in a walk of our own.
const DEPTH_MAX: usize = 128;
/// How often the kernel may be disturbed before the walk takes over.
const DISTURBED_MAX: u32 = 32;

/// A file name with its NUL.
#[derive(Clone, Copy)]
pub(crate) struct Name {
    bytes: [u8; 256],
}

impl Name {
    pub(crate) fn new(name: &[u8]) -> Result<Self, Errno> {
        let mut bytes = [0; 256];
        // One byte stays NUL.
        bytes[..255].get_mut(..name.len()).ok_or(Errno::ENAMETOOLONG)?.copy_from_slice(name);
        Ok(Self { bytes })
    }

    pub(crate) fn as_c_str(&self) -> &CStr {
        // The last byte is always NUL.
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or(c"")
    }
}

/// What is made of a missing path.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// ENOENT.
    Fails,
    /// A directory, with its parents.
    Directory,
    /// An empty file; its parents are directories.
    File,
}

/// Whether a link in the last place is followed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Last {
    Followed,
    Itself,
}

/// Resolves `path` beneath `root`.
pub(crate) fn resolve(root: RawFd, path: &CStr, last: Last, missing: Missing) -> Result<Fd, Errno> {
    let flags = O_PATH | if last == Last::Itself { O_NOFOLLOW } else { 0 };
    for _ in 0..DISTURBED_MAX {
        match file::openat2(root, path, flags, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS) {
            Err(Errno::EAGAIN) => {}
            Err(Errno::ENOENT) if missing != Missing::Fails => return make(root, path, last, missing),
            Err(errno) if errno.is_absent() => break,
            answer => return answer,
        }
    }
    Walk::new(root, path)?.run(last, missing)
}

/// Makes what is missing of `path`, which was found to be not there, and gives it.
pub(crate) fn make(root: RawFd, path: &CStr, last: Last, missing: Missing) -> Result<Fd, Errno> {
    match make_last(root, path, missing) {
        Some(made) => Ok(made),
        None => Walk::new(root, path)?.run(last, missing),
    }
}

/// The usual case in few calls: all is there but the last component. None: it is not so, the walk knows more.
fn make_last(root: RawFd, path: &CStr, missing: Missing) -> Option<Fd> {
    let (parent, name) = resolve_parent(root, path, Missing::Fails).ok()?;
    let (parent, name) = (parent.raw(), name.as_c_str());
    make_entry(parent, name, missing == Missing::File).ok()?;
    // What was put in its place meanwhile is for the walk.
    let wanted = if missing == Missing::File { 0 } else { O_DIRECTORY };
    let made = file::openat(parent, name, O_PATH | O_NOFOLLOW | wanted, 0).ok()?;
    (missing != Missing::File || file::fstat(made.raw()).ok()?.kind() != S_IFLNK).then_some(made)
}

/// Makes an empty file or a directory, with the mode other runtimes give to mount points; the umask is 0.
fn make_entry(parent: RawFd, name: &CStr, is_file: bool) -> Result<(), Errno> {
    if is_file {
        return file::openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o755).map(drop);
    }
    file::mkdirat(parent, name, 0o755)
}

/// Resolves the directory that `path` is an entry of, and gives the entry's name.
pub(crate) fn resolve_parent(root: RawFd, path: &CStr, missing: Missing) -> Result<(Fd, Name), Errno> {
    let (parent, name) = split_parent(path.to_bytes()).ok_or(Errno::EINVAL)?;
    let name = Name::new(name)?;
    let mut buffer = [0; PATH_MAX];
    buffer[..PATH_MAX - 1].get_mut(..parent.len()).ok_or(Errno::ENAMETOOLONG)?.copy_from_slice(parent);
    let parent = CStr::from_bytes_until_nul(&buffer).map_err(|_| Errno::ENAMETOOLONG)?;
    let parent = if parent.is_empty() { c"/" } else { parent };
    Ok((resolve(root, parent, Last::Followed, missing)?, name))
}

/// Cuts the last component off. None where it is no name of an entry.
fn split_parent(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = path.iter().rposition(|&byte| byte != b'/')? + 1;
    let path = &path[..end];
    let start = path.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
    let (parent, name) = path.split_at(start);
    (name != b"." && name != b"..").then_some((parent, name))
}

/// What is still to be walked: a path that ends at the buffer's end, so that a link's text can be put before it.
struct Rest {
    bytes: [u8; PATH_MAX],
    start: usize,
}

impl Rest {
    fn new(path: &[u8]) -> Result<Self, Errno> {
        let mut rest = Self { bytes: [0; PATH_MAX], start: PATH_MAX };
        rest.put_before(path)?;
        Ok(rest)
    }

    fn put_before(&mut self, text: &[u8]) -> Result<(), Errno> {
        let start = self.start.checked_sub(text.len()).ok_or(Errno::ENAMETOOLONG)?;
        self.bytes[start..self.start].copy_from_slice(text);
        self.start = start;
        Ok(())
    }

    /// The next component; none at the end.
    fn next(&mut self) -> Option<&[u8]> {
        let rest = &self.bytes[self.start..];
        let skipped = rest.iter().position(|&byte| byte != b'/')?;
        let rest = &rest[skipped..];
        let len = rest.iter().position(|&byte| byte == b'/').unwrap_or(rest.len());
        self.start += skipped + len;
        Some(&rest[..len])
    }

    fn is_at_end(&self) -> bool {
        self.bytes[self.start..].iter().all(|&byte| byte == b'/')
    }
}

struct Walk {
    root: RawFd,
    /// From the root down to where the walk is.
    stack: [Option<Fd>; DEPTH_MAX],
    depth: usize,
    rest: Rest,
}

impl Walk {
    fn new(root: RawFd, path: &CStr) -> Result<Self, Errno> {
        Ok(Self { root, stack: [const { None }; DEPTH_MAX], depth: 0, rest: Rest::new(path.to_bytes())? })
    }

    fn here(&self) -> RawFd {
        self.depth.checked_sub(1).and_then(|top| self.stack[top].as_ref()).map_or(self.root, Fd::raw)
    }

    fn push(&mut self, fd: Fd) -> Result<(), Errno> {
        *self.stack.get_mut(self.depth).ok_or(Errno::ENAMETOOLONG)? = Some(fd);
        self.depth += 1;
        Ok(())
    }

    fn pop(&mut self) -> Option<Fd> {
        self.depth = self.depth.checked_sub(1)?;
        self.stack[self.depth].take()
    }

    fn run(mut self, last: Last, missing: Missing) -> Result<Fd, Errno> {
        let mut links = 0;
        loop {
            let name = match self.rest.next() {
                None => break,
                Some(b".") => continue,
                Some(b"..") => {
                    self.pop();
                    continue;
                }
                Some(name) => Name::new(name)?,
            };
            let fd = self.enter(&name, missing)?;
            match file::fstat(fd.raw())?.kind() {
                S_IFDIR => self.push(fd)?,
                S_IFLNK if last == Last::Itself && self.rest.is_at_end() => return Ok(fd),
                S_IFLNK => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(Errno::ELOOP);
                    }
                    self.follow(fd.raw())?;
                }
                _ if self.rest.is_at_end() => return Ok(fd),
                _ => return Err(Errno::ENOTDIR),
            }
        }
        match self.pop() {
            Some(fd) => Ok(fd),
            None => file::openat(self.root, c".", O_PATH | O_DIRECTORY, 0),
        }
    }

    /// Opens the entry itself, made first if it is missing and that is asked for.
    fn enter(&self, name: &Name, missing: Missing) -> Result<Fd, Errno> {
        let name = name.as_c_str();
        let open = || file::openat(self.here(), name, O_PATH | O_NOFOLLOW, 0);
        match open() {
            Err(Errno::ENOENT) if missing != Missing::Fails => {}
            answer => return answer,
        }
        let is_file = missing == Missing::File && self.rest.is_at_end();
        match make_entry(self.here(), name, is_file) {
            // Somebody else made it meanwhile: whatever it is, it is looked at like any other.
            Ok(()) | Err(Errno::EEXIST) => open(),
            Err(errno) => Err(errno),
        }
    }

    /// Puts the link's text before the rest. What a magic link leads to is not asked: its text is walked.
    fn follow(&mut self, link: RawFd) -> Result<(), Errno> {
        let mut buffer = [0; PATH_MAX];
        let text = file::readlinkat(link, c"", &mut buffer)?;
        if text.is_empty() {
            return Err(Errno::ENOENT);
        }
        if text.starts_with(b"/") {
            while self.pop().is_some() {}
        }
        self.rest.put_before(b"/")?;
        self.rest.put_before(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{ffi::CString, fs, os::fd::AsRawFd, os::unix::fs::symlink, path::PathBuf, vec::Vec};

    #[test]
    fn parent_and_name_of_a_path() {
        for (path, expected) in [
            ("/dev/null", Some(("/dev/", "null"))),
            ("/dev//pts///", Some(("/dev//", "pts"))),
            ("/a", Some(("/", "a"))),
            ("a", Some(("", "a"))),
            ("/", None),
            ("", None),
            ("/a/..", None),
            ("/a/.", None),
        ] {
            let expected = expected.map(|(parent, name): (&str, &str)| (parent.as_bytes(), name.as_bytes()));
            assert_eq!(split_parent(path.as_bytes()), expected, "{path}");
        }
    }

    #[test]
    fn components_come_in_order_and_links_before_the_rest() {
        let mut rest = Rest::new(b"//a/b//c/").unwrap();
        assert_eq!(rest.next(), Some(&b"a"[..]));
        rest.put_before(b"x/y").unwrap();
        let mut seen: Vec<Vec<u8>> = Vec::new();
        while let Some(name) = rest.next() {
            seen.push(name.to_vec());
        }
        assert_eq!(seen, [&b"x"[..], b"y", b"b", b"c"].map(<[u8]>::to_vec));
        assert!(rest.is_at_end());
        assert_eq!(Rest::new(&[b'a'; PATH_MAX + 1]).err(), Some(Errno::ENAMETOOLONG));
    }

    #[test]
    fn names_longer_than_255_bytes_are_refused() {
        assert!(Name::new(&[b'a'; 255]).is_ok());
        assert_eq!(Name::new(&[b'a'; 256]).err(), Some(Errno::ENAMETOOLONG));
    }

    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(std::format!("orlop-init-{}-{name}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    /// Both ways of resolving, since the walk must answer as the kernel does.
    fn both(root: RawFd, path: &str) -> [Result<u64, Errno>; 2] {
        let path = CString::new(path).unwrap();
        let inode = |fd: Fd| file::fstat(fd.raw()).unwrap().inode;
        let kernel = resolve(root, &path, Last::Followed, Missing::Fails).map(inode);
        let walk = Walk::new(root, &path).unwrap().run(Last::Followed, Missing::Fails).map(inode);
        [kernel, walk]
    }

    #[test]
    fn links_stay_beneath_the_root() {
        use std::os::unix::fs::MetadataExt;
        let tree = Tree::new("links");
        let inside = tree.0.join("root/etc");
        fs::create_dir_all(&inside).unwrap();
        fs::write(inside.join("passwd"), "inside").unwrap();
        symlink("/etc", tree.0.join("root/absolute")).unwrap();
        symlink("../../../../etc", tree.0.join("root/upwards")).unwrap();
        symlink("loop", tree.0.join("root/loop")).unwrap();
        let root = fs::File::open(tree.0.join("root")).unwrap();
        let expected = fs::metadata(inside.join("passwd")).unwrap().ino();
        let root = root.as_raw_fd();
        for path in
            ["/etc/passwd", "absolute/passwd", "upwards/passwd", "/../../etc/./passwd", "etc/../etc/passwd"]
        {
            assert_eq!(both(root, path), [Ok(expected); 2], "{path}");
        }
        for (path, errno) in
            [("/loop", Errno::ELOOP), ("/etc/passwd/x", Errno::ENOTDIR), ("/nothing/x", Errno::ENOENT)]
        {
            assert_eq!(both(root, path), [Err(errno); 2], "{path}");
        }
    }

    #[test]
    fn missing_parts_are_made_beneath_the_root_through_dangling_links() {
        let tree = Tree::new("missing");
        let root_path = tree.0.join("root");
        fs::create_dir_all(root_path.join("etc")).unwrap();
        symlink("/run/resolve/stub.conf", root_path.join("etc/resolv.conf")).unwrap();
        let root = fs::File::open(&root_path).unwrap();
        let make = |path: &CStr, missing| resolve(root.as_raw_fd(), path, Last::Followed, missing).map(drop);
        assert_eq!(make(c"/etc/resolv.conf", Missing::File), Ok(()));
        assert!(root_path.join("run/resolve/stub.conf").is_file());
        assert_eq!(make(c"/a/b/../c", Missing::Directory), Ok(()));
        assert!(root_path.join("a/b").is_dir() && root_path.join("a/c").is_dir());
        assert_eq!(make(c"/run/resolve/stub.conf", Missing::Directory), Ok(()));
        assert_eq!(make(c"/run/resolve/stub.conf/x", Missing::Directory), Err(Errno::ENOTDIR));
    }
}
