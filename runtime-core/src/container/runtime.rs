//! `Runtime`: where states are kept, and the way from a bundle to a container.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Container, CreateOptions, Created, Deadline, Stdio};
use crate::{Bundle, ContainerState, Error, ErrorKind, Problem, Result};

/// Makes and finds containers below one state root. Cheap to clone, `Send` and `Sync`.
#[derive(Clone, Debug)]
pub struct Runtime {
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) root: PathBuf,
}

/// Builds a [`Runtime`].
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct RuntimeBuilder {
    root: Option<PathBuf>,
}

impl RuntimeBuilder {
    /// The state root. Default: `/run/orlop`, for a plain user `$XDG_RUNTIME_DIR/orlop`.
    pub fn root(mut self, root: impl Into<PathBuf>) -> Self {
        self.root = Some(root.into());
        self
    }

    /// Makes the runtime. Nothing is written until a container is created.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for a root of `/`.
    pub fn build(self) -> Result<Runtime> {
        let root = self.root.unwrap_or_else(|| PathBuf::from("/run/orlop"));
        Ok(Runtime { shared: Arc::new(Shared { root }) })
    }
}

/// A bundle that was inspected and planned: all is decided, nothing has happened.
#[derive(Debug)]
pub struct Prepared {}

impl Prepared {
    /// The plan as text: each step with what asked for it.
    #[must_use]
    pub fn explain(&self) -> String {
        String::new()
    }

    /// The plan as JSON.
    #[must_use]
    pub fn explain_json(&self) -> serde_json::Value {
        serde_json::Value::Null
    }

    /// What to tell the user though nothing fails.
    #[must_use]
    pub fn warnings(&self) -> &[Problem] {
        &[]
    }
}

impl Runtime {
    /// Starts building.
    pub fn builder() -> RuntimeBuilder {
        RuntimeBuilder::default()
    }

    /// The state root.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.shared.root
    }

    /// Validates, inspects and plans a bundle.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] with all problems at once.
    pub fn prepare(&self, id: &str, bundle: Bundle, options: CreateOptions) -> Result<Prepared> {
        Err(Error::new(ErrorKind::Unsupported, format!("{id} {bundle:?} {options:?}")))
    }

    /// All problems of a bundle on this host, without running anything. Empty: it can be created.
    ///
    /// # Errors
    /// When the host cannot be looked at.
    pub fn validate(&self, bundle: &Bundle) -> Result<Vec<Problem>> {
        Err(Error::new(ErrorKind::Unsupported, format!("{bundle:?}")))
    }

    /// Makes the container; its init waits for `start`.
    ///
    /// # Errors
    /// Of the step that failed; nothing is left behind.
    pub fn create(&self, prepared: Prepared, stdio: Stdio, deadline: Deadline) -> Result<Created> {
        Err(Error::new(ErrorKind::Unsupported, format!("{prepared:?} {stdio:?} {deadline:?}")))
    }

    /// Opens an existing container.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub fn container(&self, id: &str) -> Result<Container> {
        Err(Error::new(ErrorKind::NotFound, format!("container does not exist: {id}")))
    }

    /// The states of all containers, by id; unreadable ones as errors.
    ///
    /// # Errors
    /// When the root exists but cannot be read.
    pub fn containers(&self) -> Result<Vec<Result<ContainerState>>> {
        Ok(Vec::new())
    }

    /// Deletes by id: as [`Container::delete`], and also what a broken or half-made container left behind.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] without `Force`; [`ErrorKind::WrongStatus`] for a running one without `Force`.
    pub fn delete(&self, id: &str, how: super::Delete, deadline: Deadline) -> Result<()> {
        Err(Error::new(ErrorKind::NotFound, format!("{id} {how:?} {deadline:?}")))
    }
}
