//! `processes`: who is in the container.

use super::{Container, pause::own_cgroup};
use crate::Result;

impl Container {
    /// Pids of all processes of the container, those in cgroups that it made included, in the caller's pid namespace and
    /// in ascending order. None once it has stopped.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] when it was deleted; [`crate::ErrorKind::Unsupported`] without a cgroup, which is
    /// what tells who belongs to it.
    pub fn processes(&self) -> Result<Vec<i32>> {
        let (_, record) = self.load()?;
        own_cgroup(&record, "list the processes of")?.pids()
    }
}
