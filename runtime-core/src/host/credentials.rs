//! Who the caller is: the calling thread's ids and capabilities, read at once from its status in /proc.

use crate::{Error, ErrorKind, Result};

/// Ids and capabilities of the calling thread, which is the one that starts containers.
const STATUS: &str = "/proc/thread-self/status";
const UID_MAP: &str = "/proc/self/uid_map";

/// Credentials of the calling process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) euid: u32,
    pub(crate) egid: u32,
    /// Effective capabilities as bits.
    pub(crate) effective: u64,
    /// Bounding set as bits.
    pub(crate) bounding: u64,
    /// The caller is in a user namespace other than the initial one.
    pub(crate) in_user_namespace: bool,
}

impl Credentials {
    /// Reads them from the kernel.
    ///
    /// # Errors
    /// When /proc is not mounted.
    pub(crate) fn of_this_process() -> Result<Self> {
        let map = match std::fs::read_to_string(UID_MAP) {
            Ok(map) => Some(map),
            // A kernel without user namespaces.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(unreadable(UID_MAP, error)),
        };
        let status = std::fs::read_to_string(STATUS).map_err(|error| unreadable(STATUS, error))?;
        parse(&status, map.as_deref()).ok_or_else(|| {
            Error::new(ErrorKind::Kernel, format!("cannot understand {STATUS}")).with_path(STATUS)
        })
    }

    /// Whether the caller may mount, make namespaces and write id maps without a new user namespace: CAP_SYS_ADMIN.
    pub(crate) fn is_privileged(&self) -> bool {
        self.effective & (1 << 21) != 0
    }
}

fn unreadable(path: &str, error: std::io::Error) -> Error {
    Error::from_io(format!("cannot read {path}"), error).with_path(path).with_hint("is /proc mounted?")
}

/// proc(5): `Uid:` and `Gid:` hold the real, effective, saved and filesystem id; `Cap…:` are hexadecimal.
fn parse(status: &str, uid_map: Option<&str>) -> Option<Credentials> {
    let value = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
    let effective_id = |name| value(name)?.split_whitespace().nth(1)?.parse().ok();
    let bits = |name| u64::from_str_radix(value(name)?.trim(), 16).ok();
    Some(Credentials {
        euid: effective_id("Uid:")?,
        egid: effective_id("Gid:")?,
        effective: bits("CapEff:")?,
        bounding: bits("CapBnd:")?,
        in_user_namespace: uid_map.is_some_and(|map| !map.split_whitespace().eq(["0", "0", "4294967295"])),
    })
}

#[cfg(test)]
mod tests {
    use super::{Credentials, parse};

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
            in_user_namespace: false,
        };
        assert!(expected.is_privileged());
        assert_eq!(parse(STATUS, Some("         0          0 4294967295\n")), Some(expected.clone()));
        assert_eq!(parse(STATUS, None), Some(expected.clone()));
        let nested = Some(Credentials { in_user_namespace: true, ..expected });
        assert_eq!(parse(STATUS, Some("0 1000 1\n")), nested);
        assert_eq!(parse(STATUS, Some("0 0 4294967294\n")), nested);
        assert_eq!(parse("Uid:\t0\n", None), None);
    }

    #[test]
    fn credentials_of_this_process_are_those_of_its_ids() {
        let credentials = Credentials::of_this_process().unwrap();
        assert_eq!(credentials.euid, rustix::process::geteuid().as_raw());
        assert_eq!(credentials.egid, rustix::process::getegid().as_raw());
        assert_eq!(credentials.effective & !credentials.bounding, 0);
    }
}
