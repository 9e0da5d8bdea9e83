//! The kernel: its version and the abilities that change a plan. Asked at every create, so by few system calls.

use std::{fs, io};

use rustix::{fs::statfs, io::Errno};

/// `release` of uname(2), the first two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KernelVersion(pub(crate) u32, pub(crate) u32);

/// The last capability of kernels before `cap_last_cap` could be read is far below; this is CAP_CHECKPOINT_RESTORE, the
/// last one since 5.9.
const LAST_KNOWN_CAPABILITY: u32 = 40;

/// `SELINUX_MAGIC` of linux/magic.h.
const SELINUX_MAGIC: u32 = 0xf97c_ff8c;

/// Abilities of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kernel {
    pub(crate) version: KernelVersion,
    /// Highest capability number the kernel knows (`/proc/sys/kernel/cap_last_cap`).
    pub(crate) last_capability: u32,
    /// AppArmor is enabled (`/sys/module/apparmor/parameters/enabled` is Y).
    pub(crate) apparmor: bool,
    /// SELinux is enabled (selinuxfs is mounted).
    pub(crate) selinux: bool,
    /// `SECCOMP_FILTER_FLAG_*` that it knows; none: no filters.
    pub(crate) seccomp_flags: Option<u32>,
}

impl Kernel {
    /// Asks the running kernel.
    ///
    /// # Errors
    /// When it tells no version.
    pub(crate) fn probe() -> crate::Result<Self> {
        let system = rustix::system::uname();
        let release = system.release().to_string_lossy();
        let version = parse_release(&release).ok_or_else(|| {
            crate::Error::new(
                crate::ErrorKind::Kernel,
                format!("cannot tell the kernel's version from its release {release:?}"),
            )
        })?;
        Ok(Self {
            version,
            last_capability: last_capability(),
            apparmor: apparmor(),
            selinux: selinux(),
            seccomp_flags: crate::sys::seccomp::known_flags(),
        })
    }
}

/// The first two numbers of `6.18.1-arch1`, `5.4`, `6.1.0+`.
fn parse_release(release: &str) -> Option<KernelVersion> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some(KernelVersion(numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Where /proc is masked, the number of kernels in use is a good answer: what is too high is not in the bounding set.
fn last_capability() -> u32 {
    let text = fs::read_to_string("/proc/sys/kernel/cap_last_cap").unwrap_or_default();
    text.trim().parse().unwrap_or(LAST_KNOWN_CAPABILITY)
}

/// Without /sys there is no way to be told of a profile either.
fn apparmor() -> bool {
    let enabled: io::Result<String> = fs::read_to_string("/sys/module/apparmor/parameters/enabled");
    enabled.is_ok_and(|text| text.starts_with('Y'))
}

fn selinux() -> bool {
    let magic: Result<u32, Errno> = statfs("/sys/fs/selinux").map(|stat| stat.f_type as u32);
    magic == Ok(SELINUX_MAGIC)
}

#[cfg(test)]
mod tests {
    use super::{Kernel, KernelVersion, parse_release};

    #[test]
    fn two_numbers_of_a_release_are_its_version() {
        for (release, version) in [
            ("6.18.1", Some(KernelVersion(6, 18))),
            ("5.4", Some(KernelVersion(5, 4))),
            ("5.10.0-28-amd64", Some(KernelVersion(5, 10))),
            ("6.1+", Some(KernelVersion(6, 1))),
            ("7.0-rc1", Some(KernelVersion(7, 0))),
            ("6", None),
            ("", None),
            ("linux", None),
        ] {
            assert_eq!(parse_release(release), version, "{release}");
        }
        assert!(KernelVersion(5, 10) > KernelVersion(5, 9) && KernelVersion(6, 1) > KernelVersion(5, 10));
    }

    #[test]
    fn the_running_kernel_tells_its_abilities() {
        let kernel = Kernel::probe().unwrap();
        assert!(kernel.version >= KernelVersion(5, 4), "{kernel:?}");
        assert!((37..64).contains(&kernel.last_capability), "{kernel:?}");
    }
}
