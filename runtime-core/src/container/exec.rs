//! `exec`: a process joins the container. No lock is held and nothing is written down, so any number may do so at once.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Mutex,
};

use rustix::io::Errno;

use super::{Container, handle::wait_for, observe::observe};
use crate::{
    Bundle, CreateOptions, Deadline, Error, ErrorKind, ExecOptions, ExitStatus, Problem, Result, Status,
    Stdio,
    cgroup::{Cgroup, CgroupDirs},
    host::{CgroupRights, Credentials, HostFacts, Kernel},
    inspect::Target,
    plan::{self, ExecInput},
    spawn::{Creation, Exec, ExecCgroup, Made, Process, Purpose, paused},
    state::{Entry, Record},
    sys::pidfd,
    validate::validate,
};

/// What an exec gives.
#[derive(Debug)]
#[non_exhaustive]
pub struct Executed {
    /// The process.
    pub process: ExecProcess,
    /// The master of its terminal, where it has one.
    pub console: Option<OwnedFd>,
    /// What is unusual in the `process` object or cannot hold here, though nothing failed.
    pub warnings: Vec<Problem>,
}

/// A process that was added to a container. `Send` and `Sync`; dropping it neither kills nor waits.
#[derive(Debug)]
pub struct ExecProcess {
    pid: i32,
    pidfd: OwnedFd,
    status: Mutex<Option<ExitStatus>>,
}

impl Container {
    /// Runs a process in the container, created or running, and returns once its program was executed.
    ///
    /// Safe to call from any thread of a program with many; the process is a child of the calling process. Blocks on the
    /// process's steps only; the deadline ends it.
    ///
    /// # Errors
    /// [`ErrorKind::WrongStatus`] for a stopped container and for a paused one without
    /// [`ExecOptions::ignore_paused`]; [`ErrorKind::InvalidConfig`] with all problems of the process at once;
    /// [`ErrorKind::ExecFailed`] for a program that cannot be found or executed; [`ErrorKind::Timeout`].
    pub fn exec(&self, options: &ExecOptions, stdio: Stdio, deadline: Deadline) -> Result<Executed> {
        if stdio.preserved.len() != options.preserved_fds as usize {
            let (wanted, given) = (options.preserved_fds, stdio.preserved.len());
            let words = format!("{wanted} fds to preserve, but {given} were given");
            return Err(Error::new(ErrorKind::InvalidArgument, words));
        }
        let (entry, record) = self.load()?;
        let init = init_of(&entry, &record, options.ignore_paused)?;
        let bundle = Bundle::for_exec(&entry.load_config()?, &options.program)?;
        let problems = validate(&bundle);
        if !problems.is_empty() {
            return Err(Error::invalid_config(problems));
        }
        let host = HostFacts {
            kernel: Kernel::probe()?,
            credentials: Credentials::of_this_process()?,
            // Where the container's cgroup is stands in its record.
            cgroups: None,
            cgroup_rights: CgroupRights::None,
            resctrl: None,
        };
        let outcome = self.exec_with(options, &stdio, deadline, Facts { record, bundle, host, init: &init });
        outcome.map_err(|error| match pidfd::has_ended(&init) {
            // Whatever failed, failed of that.
            true if !matches!(error.kind(), ErrorKind::WrongStatus | ErrorKind::InvalidConfig) => {
                stopped().with_source(error)
            }
            _ => error,
        })
    }

    fn exec_with(
        &self,
        options: &ExecOptions,
        stdio: &Stdio,
        deadline: Deadline,
        facts: Facts<'_>,
    ) -> Result<Executed> {
        let Facts { record, bundle, host, init } = facts;
        let is_privileged = host.credentials.is_privileged();
        let target = Target::gather(record.pid, init, is_privileged, host.kernel.version)?;
        let cgroup = record.cgroup.clone().map(|dirs| exec_cgroup(dirs, &target, options)).transpose()?;
        let plan_options = CreateOptions::new()
            .preserved_fds(options.preserved_fds)
            .no_new_keyring(record.no_new_keyring)
            .started_by_this_handle();
        let plan = plan::plan_exec(ExecInput {
            id: &self.id,
            bundle: &bundle,
            target: &target,
            host: &host,
            options: &plan_options,
            cgroup: cgroup.as_ref().map(|(dirs, _)| dirs.clone()),
            has_rdt_group: record.rdt.is_some(),
        })?;
        tracing::debug!(plan = plan::explain_text(&plan), "exec");
        let warnings = bundle.warnings().iter().chain(&plan.warnings).cloned().collect();
        let exec = Exec {
            init: record.pid,
            cgroup: cgroup.map(|(_, cgroup)| cgroup),
            ignore_paused: options.ignore_paused,
        };
        let creation = Creation {
            launcher: &self.runtime.shared.launcher,
            plan,
            facts: &target.facts,
            stdio,
            purpose: Purpose::Exec(&exec),
            // The pid in it is the new process's from here on.
            record: Record { pid: 0, ..record },
            deadline,
            made: Made::default(),
        };
        let spawned = creation.run()?;
        let Process { pid, pidfd } = spawned.init;
        let process = ExecProcess { pid, pidfd, status: Mutex::new(None) };
        Ok(Executed { process, console: spawned.console, warnings })
    }
}

/// What an exec begins with.
struct Facts<'a> {
    record: Record,
    bundle: Bundle,
    host: HostFacts,
    init: &'a OwnedFd,
}

fn stopped() -> Error {
    Error::new(ErrorKind::WrongStatus, "cannot exec in a stopped container").with_status(Status::Stopped)
}

/// The container's init, where the status allows an exec.
fn init_of(entry: &Entry, record: &Record, ignore_paused: bool) -> Result<OwnedFd> {
    match observe(entry, record)? {
        (Status::Paused, _) if !ignore_paused => Err(paused()),
        (Status::Creating, _) => {
            let words = "cannot exec in a container that is being created";
            Err(Error::new(ErrorKind::WrongStatus, words).with_status(Status::Creating))
        }
        (_, Some(init)) => Ok(init),
        (_, None) => Err(stopped()),
    }
}

/// Where the process goes, and where else it may.
fn exec_cgroup(own: CgroupDirs, target: &Target, options: &ExecOptions) -> Result<(CgroupDirs, ExecCgroup)> {
    let wanted = own.below(&options.cgroups)?;
    let fallback = match (&own, &target.cgroup_of_init) {
        (CgroupDirs::Unified { mount, path }, Some(of_init))
            if options.cgroups.is_empty() && path != of_init =>
        {
            Some(CgroupDirs::Unified { mount: mount.clone(), path: of_init.clone() })
        }
        _ => None,
    };
    let cgroup = ExecCgroup {
        wanted: Cgroup::new(wanted.clone()),
        container: Cgroup::new(own),
        fallback: fallback.map(Cgroup::new),
    };
    Ok((wanted, cgroup))
}

impl ExecProcess {
    /// Pid in the caller's pid namespace; it may have ended.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Waits until the process has ended. Idempotent; any number of threads may wait.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`].
    pub fn wait(&self, deadline: Deadline) -> Result<ExitStatus> {
        wait_for(&self.pidfd, &self.status, deadline)
    }

    /// How the process ended, or none while it runs.
    ///
    /// # Errors
    /// As [`ExecProcess::wait`].
    pub fn try_wait(&self) -> Result<Option<ExitStatus>> {
        match pidfd::has_ended(&self.pidfd) {
            false => Ok(None),
            true => self.wait(Deadline::never()).map(Some),
        }
    }

    /// Sends a signal (a number; 0 probes) to this process alone.
    ///
    /// # Errors
    /// [`ErrorKind::WrongStatus`] when it has ended; [`ErrorKind::InvalidArgument`] for a number that is no signal.
    pub fn kill(&self, signal: i32) -> Result<()> {
        match pidfd::send_signal(self.pidfd.as_fd(), signal) {
            Ok(()) => Ok(()),
            Err(Errno::SRCH) => Err(Error::new(ErrorKind::WrongStatus, "process not running")),
            Err(Errno::INVAL) => {
                Err(Error::new(ErrorKind::InvalidArgument, format!("unknown signal \"{signal}\"")))
            }
            Err(errno) => Err(Error::from_errno(
                format!("unable to signal the process with signal {signal}"),
                errno.raw_os_error(),
            )),
        }
    }
}

impl AsFd for ExecProcess {
    /// Its pidfd: readable when it has ended, for any event loop.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}
