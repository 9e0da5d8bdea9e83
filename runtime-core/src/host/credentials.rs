//! Who the caller is: the calling thread's ids and capabilities, read at once from its status in /proc.

use crate::{Error, ErrorKind, Result, sys};

/// Ids and capabilities of the calling thread, which is the one that starts containers.
const STATUS: &str = "/proc/thread-self/status";
const UID_MAP: &str = "/proc/self/uid_map";
const GID_MAP: &str = "/proc/self/gid_map";
const SETGROUPS: &str = "/proc/self/setgroups";

/// Credentials of the calling process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) euid: u32,
    pub(crate) egid: u32,
    /// Effective capabilities as bits.
    pub(crate) effective: u64,
    /// Bounding set as bits.
    pub(crate) bounding: u64,
    /// The caller's user namespace, where that is another one than the initial.
    pub(crate) user_namespace: Option<UserNamespace>,
}

/// What a user namespace has of ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UserNamespace {
    pub(crate) uids: Vec<IdRange>,
    pub(crate) gids: Vec<IdRange>,
    /// `setgroups(2)` is denied in it and in all below.
    pub(crate) denies_setgroups: bool,
}

impl UserNamespace {
    fn read(uid_map: &str) -> Result<Self> {
        let read = |path| sys::read_proc(path).map_err(|error| unreadable(path, error));
        let denies_setgroups = read(SETGROUPS)?.trim() == "deny";
        Ok(Self { uids: ranges(uid_map), gids: ranges(&read(GID_MAP)?), denies_setgroups })
    }
}

/// Ids that exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IdRange {
    pub(crate) first: u32,
    pub(crate) size: u32,
}

impl IdRange {
    /// Whether all these ids are in it: the kernel takes no line of a map that spans two.
    pub(crate) fn holds(self, first: u32, size: u32) -> bool {
        let end = |first: u32, size: u32| u64::from(first) + u64::from(size);
        first >= self.first && end(first, size) <= end(self.first, self.size)
    }
}

impl Credentials {
    /// Reads them from the kernel.
    ///
    /// # Errors
    /// When /proc is not mounted.
    pub(crate) fn of_this_process() -> Result<Self> {
        let map = match sys::read_proc(UID_MAP) {
            Ok(map) => Some(map),
            // A kernel without user namespaces.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(unreadable(UID_MAP, error)),
        };
        let status = sys::read_proc(STATUS).map_err(|error| unreadable(STATUS, error))?;
        let credentials = parse(&status).ok_or_else(|| {
            Error::new(ErrorKind::Kernel, format!("cannot understand {STATUS}")).with_path(STATUS)
        })?;
        let own = map.filter(|map| !is_whole(map)).map(|map| UserNamespace::read(&map));
        Ok(Self { user_namespace: own.transpose()?, ..credentials })
    }

    /// Whether the caller may mount, make namespaces and write id maps without a new user namespace: CAP_SYS_ADMIN.
    pub(crate) fn is_privileged(&self) -> bool {
        self.effective & (1 << 21) != 0
    }

    /// Whether the caller is in a user namespace other than the initial one.
    pub(crate) fn in_user_namespace(&self) -> bool {
        self.user_namespace.is_some()
    }
}

fn unreadable(path: &str, error: std::io::Error) -> Error {
    Error::from_io(format!("cannot read {path}"), error).with_path(path).with_hint("is /proc mounted?")
}

/// proc(5): `Uid:` and `Gid:` hold the real, effective, saved and filesystem id; `Cap…:` are hexadecimal.
fn parse(status: &str) -> Option<Credentials> {
    let value = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
    let effective_id = |name| value(name)?.split_whitespace().nth(1)?.parse().ok();
    let bits = |name| u64::from_str_radix(value(name)?.trim(), 16).ok();
    Some(Credentials {
        euid: effective_id("Uid:")?,
        egid: effective_id("Gid:")?,
        effective: bits("CapEff:")?,
        bounding: bits("CapBnd:")?,
        user_namespace: None,
    })
}

/// What the map of the initial user namespace looks like.
fn is_whole(map: &str) -> bool {
    map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// user_namespaces(7): first id inside, first id outside, length.
fn ranges(map: &str) -> Vec<IdRange> {
    let range = |line: &str| {
        let mut numbers = line.split_whitespace().map(str::parse);
        Some(IdRange { first: numbers.next()?.ok()?, size: numbers.nth(1)?.ok()? })
    };
    map.lines().filter_map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::{Credentials, IdRange, is_whole, parse, ranges};

    const STATUS: &str = "Name:\tx Uid:\nUid:\t1000\t1001\t1002\t1003\nGid:\t5\t6\t7\t8\n\
        CapInh:\t0000000000000000\nCapPrm:\t000001ffffffffff\nCapEff:\t0000000000200000\n\
        CapBnd:\t000001fffeffffff\nCapAmb:\t0000000000000000\n";

    #[test]
    fn effective_ids_and_sets_are_taken_from_a_status() {
        let expected = Credentials {
            euid: 1001,
            egid: 6,
            effective: 1 << 21,
            bounding: 0x1ff_feff_ffff,
            user_namespace: None,
        };
        assert!(expected.is_privileged());
        assert_eq!(parse(STATUS), Some(expected));
        assert_eq!(parse("Uid:\t0\n"), None);
    }

    #[test]
    fn a_map_of_all_ids_is_that_of_the_initial_user_namespace() {
        assert!(is_whole("         0          0 4294967295\n"));
        for map in ["0 1000 1\n", "0 0 4294967294\n", ""] {
            assert!(!is_whole(map), "{map:?}");
        }
        let range = |first, size| IdRange { first, size };
        assert_eq!(ranges(" 0 1000 1\n 1 100000 65536\n"), [range(0, 1), range(1, 65_536)]);
    }

    #[test]
    fn a_range_holds_what_lies_in_it_to_the_last_id() {
        let range = IdRange { first: 100, size: 10 };
        for (first, size, holds) in [(100, 10, true), (109, 1, true), (109, 2, false), (99, 2, false)] {
            assert_eq!(range.holds(first, size), holds, "{first} {size}");
        }
        assert!(!range.holds(u32::MAX, u32::MAX));
    }

    #[test]
    fn credentials_of_this_process_are_those_of_its_ids() {
        let credentials = Credentials::of_this_process().unwrap();
        assert_eq!(credentials.euid, rustix::process::geteuid().as_raw());
        assert_eq!(credentials.egid, rustix::process::getegid().as_raw());
        assert_eq!(credentials.effective & !credentials.bounding, 0);
    }
}
