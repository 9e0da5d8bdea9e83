//! `stats` and `events`: what a container uses and what happens to it.

use super::{Container, pause::own_cgroup};
use crate::{
    Deadline, Result, Stats,
    cgroup::{Happening, Watch},
};

/// What happens to a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The kernel killed a process of it for want of memory.
    OutOfMemory,
    /// No process of it is left.
    Ended,
}

/// Tells what happens to a container, from its making on. What happens between two calls is not lost, but several
/// strikes of the OOM killer may be told as one.
#[derive(Debug)]
pub struct Events<'a> {
    container: &'a Container,
    watch: Watch,
}

impl Container {
    /// What it uses, as its cgroup counts it.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unsupported`] without a cgroup; when a file cannot be read.
    pub fn stats(&self) -> Result<Stats> {
        let (_, record) = self.load()?;
        own_cgroup(&record, "count what is used by")?.stats()
    }

    /// Begins to watch it.
    ///
    /// # Errors
    /// As [`Container::stats`].
    ///
    /// # Source
    /// Kernel documentation, cgroup-v2 `memory.events` and `cgroup.events`, cgroup-v1 memory, OOM control.
    pub fn events(&self) -> Result<Events<'_>> {
        let (_, record) = self.load()?;
        Ok(Events { container: self, watch: own_cgroup(&record, "watch")?.watch()? })
    }
}

impl Events<'_> {
    /// Waits for the next event; none when the deadline passed.
    ///
    /// # Errors
    /// When the kernel's events cannot be read.
    pub fn wait(&mut self, deadline: Deadline) -> Result<Option<Event>> {
        let happening = self.watch.wait(self.container, deadline.instant())?;
        Ok(happening.map(|happening| match happening {
            Happening::OutOfMemory => Event::OutOfMemory,
            Happening::Ended => Event::Ended,
        }))
    }
}
