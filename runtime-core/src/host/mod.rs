//! What this host is and can do, found once by harmless calls before anything is started.

mod cgroups;
mod credentials;
mod kernel;
mod resctrl;

pub(crate) use cgroups::{CgroupHost, CgroupRights, Hierarchy};
pub(crate) use credentials::{Credentials, IdRange, UserNamespace};
pub(crate) use kernel::{Kernel, KernelVersion};

/// The input of `plan` that does not come from the bundle. Plain data, so that tests can make one by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostFacts {
    pub(crate) kernel: Kernel,
    pub(crate) credentials: Credentials,
    /// None: no cgroup file system is mounted where it is expected.
    pub(crate) cgroups: Option<CgroupHost>,
    /// Where the caller may make cgroups, as far as nobody names one.
    pub(crate) cgroup_rights: CgroupRights,
    /// Where resctrl is mounted.
    pub(crate) resctrl: Option<std::path::PathBuf>,
}

impl HostFacts {
    /// Looks at the host.
    pub(crate) fn gather() -> crate::Result<Self> {
        let credentials = Credentials::of_this_process()?;
        let cgroups = CgroupHost::find()?;
        let is_root = credentials.euid == 0 && !credentials.in_user_namespace();
        let cgroup_rights = match &cgroups {
            // Root's failure is told where it happens.
            _ if is_root => CgroupRights::Full,
            Some(cgroups) => CgroupRights::of_caller(cgroups),
            None => CgroupRights::None,
        };
        Ok(Self { kernel: Kernel::probe()?, credentials, cgroups, cgroup_rights, resctrl: resctrl::find() })
    }
}
