//! `Runtime`: where states are kept, and the way from a bundle to a container.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use super::{
    Container, Created,
    observe::{observe, public_state},
    remove,
    update::asked_memory,
};
use crate::{
    Bundle, ContainerId, ContainerState, CreateOptions, Deadline, Delete, Error, ErrorKind, Problem, Result,
    Stdio,
    host::HostFacts,
    inspect::{self, BundleFacts},
    plan::{self, Plan, step::HookKind},
    spawn::{Creation, Launcher, Purpose},
    state::{AskedMemory, Loaded, Phase, RECORD_VERSION, Record, Store},
    validate::validate,
};

/// Makes and finds containers below one state root. Cheap to clone, `Send` and `Sync`.
#[derive(Clone, Debug)]
pub struct Runtime {
    pub(super) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) launcher: Launcher,
}

/// Builds a [`Runtime`].
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct RuntimeBuilder {
    root: Option<PathBuf>,
}

impl RuntimeBuilder {
    /// The state root. Default: `/run/orlop`.
    pub fn root(mut self, root: impl Into<PathBuf>) -> Self {
        self.root = Some(root.into());
        self
    }

    /// Makes the runtime. Nothing is written until a container is created.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for a root that is `/` or not absolute.
    pub fn build(self) -> Result<Runtime> {
        let root = self.root.unwrap_or_else(|| PathBuf::from("/run/orlop"));
        if !root.is_absolute() {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("the state root {} is not an absolute path", root.display()),
            ));
        }
        if root.components().nth(1).is_none() {
            return Err(Error::new(ErrorKind::InvalidArgument, "the state root should not be set to /"));
        }
        Ok(Runtime { shared: Arc::new(Shared { store: Store::new(root), launcher: Launcher::default() }) })
    }
}

/// A bundle that was inspected and planned: all is decided, nothing has happened. Owns the fds of what the bundle names.
#[derive(Debug)]
pub struct Prepared {
    id: ContainerId,
    bundle: Bundle,
    facts: BundleFacts,
    plan: Plan,
    preserved_fds: u32,
    no_new_keyring: bool,
}

impl Prepared {
    /// The plan as text: each step with what asked for it.
    #[must_use]
    pub fn explain(&self) -> String {
        plan::explain_text(&self.plan)
    }

    /// The plan as JSON.
    #[must_use]
    pub fn explain_json(&self) -> serde_json::Value {
        plan::explain_json(&self.plan)
    }

    /// What to tell the user though nothing fails.
    #[must_use]
    pub fn warnings(&self) -> &[Problem] {
        &self.plan.warnings
    }

    fn record(&self) -> Record {
        let now = SystemTime::now();
        let hooks = |kind| plan::hook_records(&self.bundle, kind);
        Record {
            version: RECORD_VERSION,
            id: self.id.to_string(),
            oci_version: self.bundle.oci_version().to_owned(),
            phase: Phase::Creating,
            pid: 0,
            start_time: 0,
            bundle: self.bundle.dir().to_owned(),
            rootfs: self.facts.rootfs.clone(),
            created: humantime::format_rfc3339_nanos(now).to_string(),
            annotations: self.bundle.fields().annotations.clone(),
            owner_uid: rustix::process::geteuid().as_raw(),
            cgroup: self.plan.cgroup.as_ref().map(|cgroup| cgroup.dirs.clone()),
            rdt: None,
            memory: asked_memory(AskedMemory::default(), &self.bundle),
            own_pid_namespace: self.plan.own_pid_namespace(),
            no_new_keyring: self.no_new_keyring,
            start_steps: self.plan.start_steps(),
            poststart: hooks(HookKind::Poststart),
            poststop: hooks(HookKind::Poststop),
        }
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
        self.shared.store.root()
    }

    /// Validates, inspects and plans a bundle.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] with all problems at once; [`ErrorKind::Unsupported`] for what this version or this
    /// host cannot do.
    pub fn prepare(&self, id: &str, bundle: Bundle, options: CreateOptions) -> Result<Prepared> {
        let id: ContainerId = id.parse()?;
        let problems = validate(&bundle);
        if !problems.is_empty() {
            return Err(Error::invalid_config(problems));
        }
        let host = HostFacts::gather()?;
        let facts = BundleFacts::gather(&bundle, &host)?;
        let plan = plan::plan(&id, &bundle, &facts, &host, &options)?;
        let CreateOptions { preserved_fds, no_new_keyring, .. } = options;
        Ok(Prepared { id, bundle, facts, plan, preserved_fds, no_new_keyring })
    }

    /// All problems of a bundle on this host, without running anything. Empty: it can be created.
    ///
    /// # Errors
    /// When the host cannot be looked at.
    pub fn validate(&self, bundle: &Bundle) -> Result<Vec<Problem>> {
        let mut problems = validate(bundle);
        let host = HostFacts::gather()?;
        let id: ContainerId = "validate".parse()?;
        let planned = BundleFacts::gather(bundle, &host)
            .and_then(|facts| plan::plan(&id, bundle, &facts, &host, &CreateOptions::new()));
        let of_host = match planned {
            Ok(_) => Vec::new(),
            Err(error) if !error.problems().is_empty() => error.problems().to_vec(),
            Err(error) => vec![Problem::new(error.config_path().unwrap_or_default(), error.to_string())],
        };
        for problem in of_host.into_iter().chain(inspect::check_sources(bundle)) {
            // What is wrong by itself is wrong on this host as well, in other words.
            if problems.iter().all(|known| known.config_path != problem.config_path) {
                problems.push(problem);
            }
        }
        Ok(problems)
    }

    /// Makes the container; its init waits for `start`.
    ///
    /// Blocks on init's steps and on hooks; the deadline ends both and undoes what was made.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`], or of the step that failed; nothing is left behind.
    pub fn create(&self, prepared: Prepared, stdio: Stdio, deadline: Deadline) -> Result<Created> {
        if stdio.preserved.len() != prepared.preserved_fds as usize {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!(
                    "{} fds to preserve, but {} were given",
                    prepared.preserved_fds,
                    stdio.preserved.len()
                ),
            ));
        }
        let record = prepared.record();
        let entry = self.shared.store.create(&prepared.id)?;
        let claimed = entry.lock().and_then(|()| match entry.is_current() {
            true => entry.save(&record).and_then(|()| entry.save_config(prepared.bundle.json())),
            // The folder was seen empty before we had the lock: to a delete it is what a killed create left.
            false => Err(Error::new(ErrorKind::Busy, "container was deleted while it was being created")),
        });
        if let Err(mut error) = claimed {
            if let Err(failure) = entry.remove() {
                error.attach_cleanup(failure);
            }
            return Err(error);
        }
        let Prepared { id, facts, plan, .. } = prepared;
        let started_by_handle = plan.started_by_handle();
        let creation = Creation {
            launcher: &self.shared.launcher,
            plan,
            facts: &facts,
            stdio: &stdio,
            purpose: Purpose::Create(&entry),
            record,
            deadline,
            made: crate::spawn::Made::default(),
        };
        let spawned = creation.run()?;
        let container = Container::created(
            self.clone(),
            id,
            &spawned.record,
            spawned.init,
            started_by_handle.then_some(spawned.channel),
        );
        Ok(Created { container, console: spawned.console })
    }

    /// Opens an existing container.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::StateCorrupt`].
    pub fn container(&self, id: &str) -> Result<Container> {
        let id: ContainerId = id.parse()?;
        let entry = self.shared.store.open(&id)?;
        match entry.load()? {
            Loaded::Record(record) => Container::reopened(self.clone(), id, &record),
            Loaded::Empty => Err(Error::new(ErrorKind::NotFound, "container does not exist")
                .with_path(entry.path())
                .with_hint("a create was cut short; delete removes what is left")),
        }
    }

    /// The states of all containers, by id; unreadable ones as errors. What vanishes meanwhile is left out.
    ///
    /// # Errors
    /// When the root exists but cannot be read.
    pub fn containers(&self) -> Result<Vec<Result<ContainerState>>> {
        let ids = self.shared.store.ids()?;
        Ok(ids.iter().filter_map(|id| self.state_of(id).transpose()).collect())
    }

    fn state_of(&self, id: &ContainerId) -> Result<Option<ContainerState>> {
        let entry = match self.shared.store.open(id) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            entry => entry?,
        };
        match entry.load() {
            Ok(Loaded::Record(record)) => Ok(Some(public_state(&record, observe(&entry, &record)?.0))),
            Ok(Loaded::Empty) => Ok(None),
            Err(error) => Err(error.context(format_args!("container {id}"))),
        }
    }

    /// Deletes by id: a stopped or created container, and also what a broken or half-made one left behind.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] without `Force`; [`ErrorKind::WrongStatus`] for a running one without `Force`.
    pub fn delete(&self, id: &str, how: Delete, deadline: Deadline) -> Result<()> {
        remove::delete(self, &id.parse()?, how, deadline)
    }
}
