//! The user's program: found, then executed.

use core::ffi::CStr;

use super::{Failure, Init, ids};
use crate::{
    sys::{
        Errno, file,
        file::{AT_FDCWD, O_NONBLOCK, O_RDONLY, S_IFREG},
        memory::{self, Strings},
        process, signal,
    },
    wire::{
        Malformed, Op, PlanReader,
        message::{Detail, Kind, Message},
    },
};

/// Bytes of a path with its NUL (`PATH_MAX`).
const PATH_MAX: usize = 4096;

/// The path of the program, once it is found.
pub(super) struct Executable([u8; PATH_MAX]);

impl Executable {
    pub(super) const fn none() -> Self {
        Self([0; PATH_MAX])
    }

    fn set(&mut self, parts: [&[u8]; 3]) -> Result<(), Errno> {
        self.0[0] = 0;
        let mut at = 0;
        for part in parts {
            // The last byte stays NUL.
            self.0[..PATH_MAX - 1]
                .get_mut(at..at + part.len())
                .ok_or(Errno::ENAMETOOLONG)?
                .copy_from_slice(part);
            at += part.len();
        }
        self.0[at] = 0;
        Ok(())
    }

    fn path(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or(c"")
    }
}

/// The step *FindExecutable*, with the rights that the user will have: the plan's next *SetUser* says whose.
pub(super) fn find(
    executable: &mut Executable,
    name: &'static CStr,
    search: &'static CStr,
    rest: &PlanReader<'static>,
) -> Result<(), Failure> {
    let mut rest = *rest;
    while let Some((_, op)) = rest.next_step()? {
        if let Op::SetUser { uid, gid, groups, set_groups, .. } = op {
            let groups = if set_groups { Some(ids::numbers(&groups)?) } else { None };
            return as_user(uid, gid, groups, || find_in(executable, name.to_bytes(), search.to_bytes()));
        }
    }
    find_in(executable, name.to_bytes(), search.to_bytes())
}

/// Does something with the file system ids of the user: with another than root the capabilities that override file
/// permissions are off meanwhile (setfsuid(2)).
fn as_user(
    uid: u32,
    gid: u32,
    groups: Option<&[u32]>,
    look: impl FnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut own = [0; 256];
    // With more groups than that the user's own decide all the same.
    let own = process::get_groups(&mut own).ok();
    let groups = groups.filter(|groups| own.is_some_and(|own| own != *groups));
    if let Some(groups) = groups {
        process::set_groups(groups)?;
    }
    let own_gid = process::setfsgid(gid as i32)?;
    let own_uid = process::setfsuid(uid as i32)?;
    let found = look();
    process::setfsuid(own_uid as i32)?;
    process::setfsgid(own_gid as i32)?;
    if let (Some(_), Some(own)) = (groups, own) {
        process::set_groups(own)?;
    }
    found
}

/// Looks a name up as `execvp` does: with a slash it is the path itself, else each directory of `search` is asked.
fn find_in(executable: &mut Executable, name: &[u8], search: &[u8]) -> Result<(), Failure> {
    if name.contains(&b'/') {
        executable.set([name, b"", b""])?;
        return check_executable(executable.path());
    }
    let mut failure = Failure::new(Errno::ENOENT, Detail::NOT_IN_PATH);
    if name.is_empty() {
        return Err(failure);
    }
    for directory in search.split(|&byte| byte == b':') {
        let directory = if directory.is_empty() { b"." } else { directory };
        if executable.set([directory, b"/", name]).is_err() {
            continue;
        }
        match check_executable(executable.path()) {
            Ok(()) => return Ok(()),
            Err(found @ Failure { errno: Errno::EACCES, .. }) => failure = found,
            Err(_) => {}
        }
    }
    Err(failure)
}

fn check_executable(path: &CStr) -> Result<(), Failure> {
    let status = file::statx(AT_FDCWD, path, 0)?;
    if status.is_dir() {
        return Err(Failure::new(Errno::EISDIR, Detail::IS_DIRECTORY));
    }
    if status.kind() != S_IFREG {
        return Err(Failure::new(Errno::EACCES, Detail::MISMATCH));
    }
    Ok(file::may_execute(path)?)
}

/// The step *Exec*: comes back only to tell a failure.
pub(super) fn exec(init: &mut Init, op: &Op<'static>) -> Result<(), Failure> {
    let Op::Exec { args, env, home_of, preserved_fds, ignored_signals } = *op else {
        return Err(Malformed.into());
    };
    let home = if home_of == u32::MAX { None } else { Some(home_variable(home_of)?) };
    let args = Strings::new(&args, None)?;
    let env = Strings::new(&env, home)?;
    let first = i32::try_from(preserved_fds).ok().and_then(|count| count.checked_add(3)).ok_or(Malformed)?;
    match file::cloexec_from(first) {
        // Before 5.11: all fds of this program are close-on-exec already.
        Ok(()) | Err(Errno::ENOSYS | Errno::EINVAL | Errno::EPERM) => {}
        Err(errno) => return Err(errno.into()),
    }
    if ignored_signals != 0 {
        signal::set_dispositions(ignored_signals);
    }
    if !init.has_own_umask {
        // Ours is 0, with which a hook's files would be everybody's to write.
        file::umask(init.umask);
    }
    init.conversation.send(Message::new(Kind::Executing), None)?;
    signal::set_mask(0);
    // Nothing but execve is under it.
    if let Some(filter) = init.filter {
        filter.load()?;
    }
    let errno = process::execve(init.executable.path(), &args, &env);
    // Where the filter forbids even that, the status tells it.
    let _untold = init.conversation.send_failed(errno.into());
    // The statuses of a shell that cannot find, or cannot execute, a program.
    process::exit(if matches!(errno, Errno::ENOENT | Errno::ENOTDIR) { 127 } else { 126 })
}

/// `HOME=` and the user's directory by the container's /etc/passwd, else `/`.
fn home_variable(uid: u32) -> Result<&'static CStr, Errno> {
    const PREFIX: &[u8] = b"HOME=";
    let variable = memory::zeroed(PREFIX.len() + PATH_MAX)?;
    variable[..PREFIX.len()].copy_from_slice(PREFIX);
    variable[PREFIX.len()] = b'/';
    let home = &mut variable[PREFIX.len()..];
    if let Ok(passwd) = file::openat(AT_FDCWD, c"/etc/passwd", O_RDONLY | O_NONBLOCK, 0) {
        // Not a FIFO or device that the image put there: reading such could last for ever.
        if file::fstat(passwd.raw())?.kind() == S_IFREG {
            copy_home(uid, home, |buffer| file::read(passwd.raw(), buffer))?;
        }
    }
    CStr::from_bytes_until_nul(variable).map_err(|_| Errno::EINVAL)
}

/// Copies the directory of the first entry of `uid` to `home`. Lines longer than the buffer are no entries.
fn copy_home(
    uid: u32,
    home: &mut [u8],
    mut read: impl FnMut(&mut [u8]) -> Result<usize, Errno>,
) -> Result<(), Errno> {
    let mut buffer = [0; PATH_MAX];
    let mut filled = 0;
    let mut is_cut = false;
    loop {
        let len = read(&mut buffer[filled..])?;
        filled += len;
        let at_end = len == 0;
        let mut start = 0;
        while let Some(line) = next_line(&buffer[start..filled], at_end) {
            let found = if is_cut { None } else { home_in_line(line, uid) };
            if let Some(found) = found.filter(|found| found.len() < home.len()) {
                home[..found.len()].copy_from_slice(found);
                home[found.len()] = 0;
                return Ok(());
            }
            is_cut = false;
            start += line.len() + 1;
            if start >= filled {
                start = filled;
                break;
            }
        }
        if at_end {
            return Ok(());
        }
        buffer.copy_within(start..filled, 0);
        filled -= start;
        if filled == buffer.len() {
            is_cut = true;
            filled = 0;
        }
    }
}

/// A line without its end, if it is there wholly.
fn next_line(text: &[u8], at_end: bool) -> Option<&[u8]> {
    match text.iter().position(|&byte| byte == b'\n') {
        Some(end) => Some(&text[..end]),
        None => (at_end && !text.is_empty()).then_some(text),
    }
}

/// The directory in a line of passwd(5), if it is of the user.
fn home_in_line(line: &[u8], uid: u32) -> Option<&[u8]> {
    let mut fields = line.split(|&byte| byte == b':');
    let number = core::str::from_utf8(fields.nth(2)?).ok()?.parse::<u32>().ok()?;
    let home = fields.nth(2)?;
    (number == uid && !home.is_empty()).then_some(home)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;

    #[test]
    fn home_is_the_sixth_field_of_the_first_line_of_the_user() {
        for (line, expected) in [
            ("app:x:1000:1000:An app:/srv/app:/bin/sh", Some("/srv/app")),
            ("app:x:1000:1000::/srv/app", Some("/srv/app")),
            ("app:x:1000:1000:An app::/bin/sh", None),
            ("app:x:1001:1000:An app:/srv/app:/bin/sh", None),
            ("app:x:abc:1000:An app:/srv/app:/bin/sh", None),
            ("app:x:1000", None),
            ("", None),
        ] {
            assert_eq!(home_in_line(line.as_bytes(), 1000), expected.map(str::as_bytes), "{line}");
        }
    }

    fn home_in_file(text: &str, uid: u32, chunk: usize) -> String {
        let mut rest = text.as_bytes();
        let mut home = [0; PATH_MAX];
        home[0] = b'/';
        copy_home(uid, &mut home, |buffer| {
            let len = rest.len().min(chunk).min(buffer.len());
            buffer[..len].copy_from_slice(&rest[..len]);
            rest = &rest[len..];
            Ok(len)
        })
        .unwrap();
        let home = CStr::from_bytes_until_nul(&home).unwrap();
        String::from_utf8(home.to_bytes().to_vec()).unwrap()
    }

    #[test]
    fn home_is_found_however_the_file_is_read() {
        let long = "x".repeat(10_000);
        let text = std::format!(
            "root:x:0:0::/root:/bin/sh\n\nlong:{long}:7:7::/cut:\na:x:7:7::/seven:\nb:x:7:7::/again:\nc:x:8:8::/last:"
        );
        for chunk in [1, 7, 100, 4096, 100_000] {
            for (uid, home) in [(0, "/root"), (7, "/seven"), (8, "/last"), (9, "/")] {
                assert_eq!(home_in_file(&text, uid, chunk), home, "uid {uid}, {chunk} bytes at a time");
            }
        }
        assert_eq!(home_in_file("", 0, 10), "/");
    }

    #[test]
    fn programs_are_looked_up_as_by_execvp() {
        let in_path = |name: &str, search: &str| {
            let mut executable = Executable::none();
            find_in(&mut executable, name.as_bytes(), search.as_bytes())
                .map(|()| String::from_utf8(executable.path().to_bytes().to_vec()).unwrap())
                .map_err(|failure| (failure.errno, failure.detail))
        };
        let long = std::format!("/{}:/bin", "x".repeat(PATH_MAX));
        let not_found = Err((Errno::ENOENT, Detail::NOT_IN_PATH));
        let rows = [
            ("sh", "/nonexistent:/bin", Ok("/bin/sh")),
            ("sh", &long, Ok("/bin/sh")),
            ("/bin/sh", "", Ok("/bin/sh")),
            ("no-such-program", "/usr/bin:/bin", not_found),
            ("", "/bin", not_found),
            ("bin", "/", not_found),
            ("/bin", "", Err((Errno::EISDIR, Detail::IS_DIRECTORY))),
            ("/no/such", "", Err((Errno::ENOENT, Detail::NONE))),
            ("/etc/passwd", "", Err((Errno::EACCES, Detail::NONE))),
            ("passwd", "/etc", Err((Errno::EACCES, Detail::NONE))),
            ("/dev/null", "", Err((Errno::EACCES, Detail::MISMATCH))),
        ];
        for (name, search, expected) in rows {
            assert_eq!(in_path(name, search), expected.map(String::from), "{name} in {search}");
        }
    }
}
