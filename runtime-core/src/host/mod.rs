//! What this host is and can do, found once by harmless calls before anything is started.

mod cgroups;
mod credentials;
mod kernel;

pub(crate) use cgroups::{CgroupHost, Hierarchy};
pub(crate) use credentials::Credentials;
pub(crate) use kernel::{Kernel, KernelVersion};

/// The input of `plan` that does not come from the bundle. Plain data, so that tests can make one by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostFacts {
    pub(crate) kernel: Kernel,
    pub(crate) credentials: Credentials,
    /// None: no cgroup file system is mounted where it is expected.
    pub(crate) cgroups: Option<CgroupHost>,
}

impl HostFacts {
    /// Looks at the host.
    pub(crate) fn gather() -> crate::Result<Self> {
        Ok(Self {
            kernel: Kernel::probe()?,
            credentials: Credentials::of_this_process()?,
            cgroups: CgroupHost::find()?,
        })
    }
}
