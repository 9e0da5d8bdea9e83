//! One create: the host steps in order, init's answers between them.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Instant,
};

use orlop_init::wire::{OwnedOp, Slot, message::Barrier};
use rustix::io::Errno;

use super::{
    Conversation, Event, Exec, Failure, HookCall, KILL_WAIT, Launcher, Process, attributes,
    heard::Heard,
    id_maps::{MapCaller, MapKind, Target, write_at},
    net_devices::NetDevices,
    run_hooks, run_poststop,
    trees::{Setting, Trees},
    user_namespace::make_user_namespace,
};
use crate::{
    Deadline, Error, ErrorKind, Result, Status, Stdio,
    cgroup::{Cgroup, CreatedCgroup, Placement},
    inspect::BundleFacts,
    plan::{
        self, Plan,
        step::{HostOp, HostStep, Need, When},
    },
    state::{ANSWER_FIFO, Entry, Phase, Record, START_FIFO, start_time},
    sys::{
        channel::Channel,
        pidfd::{self, Ended},
    },
};

/// A create at work. Owns what was made so far; [`Creation::run`] undoes it on failure.
pub(crate) struct Creation<'a> {
    pub(crate) launcher: &'a Launcher,
    pub(crate) plan: Plan,
    pub(crate) facts: &'a BundleFacts,
    pub(crate) stdio: &'a Stdio,
    pub(crate) purpose: Purpose<'a>,
    pub(crate) record: Record,
    pub(crate) deadline: Deadline<'a>,
    pub(crate) made: Made,
}

/// What the process is made for.
pub(crate) enum Purpose<'a> {
    /// A new container with this folder.
    Create(&'a Entry),
    /// A process in a container that exists.
    Exec(&'a Exec),
}

/// What exists and must go when the create fails.
#[derive(Debug, Default)]
pub(crate) struct Made {
    cgroup: Option<(Cgroup, CreatedCgroup)>,
    slots: Vec<Option<OwnedFd>>,
    pub(super) conversation: Option<Conversation>,
    console: Option<OwnedFd>,
    net_devices: Option<NetDevices>,
    /// Of the filter, until the agent has it.
    pub(super) listener: Option<OwnedFd>,
    /// Opens trees that init may not.
    trees: Trees,
    /// Hooks may have set things up outside: `poststop` hooks must run.
    hooks_began: bool,
}

/// A container that waits for its start.
#[derive(Debug)]
pub(crate) struct Spawned {
    pub(crate) record: Record,
    pub(crate) init: Process,
    pub(crate) channel: Channel,
    pub(crate) console: Option<OwnedFd>,
}

/// How one try ended.
enum Try {
    Ready,
    /// The kernel refused the birth in the cgroup; the process must be moved there.
    NotBornIn,
}

impl Creation<'_> {
    /// Performs the plan.
    pub(crate) fn run(mut self) -> Result<Spawned> {
        match self.perform() {
            Ok(spawned) => Ok(spawned),
            Err(mut error) => {
                self.undo(&mut error);
                Err(error)
            }
        }
    }

    fn perform(&mut self) -> Result<Spawned> {
        self.made.slots.resize_with(self.plan.slots as usize, || None);
        self.run_steps(When::BeforeLaunch)?;
        if let Try::NotBornIn = self.converse()? {
            self.close_cgroup_dir()?;
            self.plan = self.plan.moved();
            if let Some(mut refused) = self.made.conversation.take() {
                refused.kill();
            }
            if let Try::NotBornIn = self.converse()? {
                return Err(Error::new(ErrorKind::Kernel, "init was killed before its first step"));
            }
        }
        self.finish()
    }

    /// Init closes the directory that it is born in; one that it is moved into it would keep until the program is
    /// executed, within reach of a `cwd` or `args[0]` below /proc/self/fd.
    fn close_cgroup_dir(&mut self) -> Result<()> {
        let slot = self.plan.host.iter().find_map(|step| match step.op {
            HostOp::OpenCgroup { slot } => Some(slot),
            _ => None,
        });
        slot.map_or(Ok(()), |slot| self.fill(slot, super::launcher::open_null()?))
    }

    fn finish(&mut self) -> Result<Spawned> {
        let parts = self.made.conversation.take().map(Conversation::into_parts);
        let Some((Some(init), channel)) = parts else {
            return Err(Error::new(ErrorKind::Kernel, "the launcher made no init"));
        };
        Ok(Spawned { record: self.record.clone(), init, channel, console: self.made.console.take() })
    }

    /// Launches and answers until init is ready.
    fn converse(&mut self) -> Result<Try> {
        let (launched, channel) = self.launch()?;
        let clones = self.plan.clones_before(u32::MAX);
        self.made.conversation = Some(Conversation::new(launched, channel, clones));
        // How far init came with its own hooks is not known when it dies.
        self.made.hooks_began |= self.plan.init.iter().any(|step| matches!(step.op, OwnedOp::Hook { .. }));
        let clone_step = self.plan.clone_step();
        let mut heard = Heard::default();
        loop {
            let event = self.next_event()?;
            heard.note(&self.plan, &event)?;
            match event {
                Event::Reached { step, barrier } => {
                    self.await_clones(self.plan.clones_before(step))?;
                    if self.reach(barrier)? {
                        return Ok(Try::Ready);
                    }
                }
                Event::WantTree { step } => self.send_tree(step)?,
                Event::Listener { step, fd, number } => {
                    self.await_clones(self.plan.clones_before(step))?;
                    self.take_listener(fd, number)?;
                }
                Event::Console(console) => self.made.console = Some(console),
                Event::Failed(failure)
                    if !heard.is_beyond(clone_step) && self.is_birth_refused(&failure, clone_step) =>
                {
                    return Ok(Try::NotBornIn);
                }
                Event::Failed(failure) => return Err(plan::failure(&self.plan, &failure.as_report())),
                Event::Executing if self.exec().is_some() => {
                    self.await_clones(self.plan.clones_before(u32::MAX))?;
                }
                // The program was executed, which closed the last end; or the process ended before it could be.
                Event::Gone if heard.is_executing && !self.conversation()?.never_executed() => {
                    return Ok(Try::Ready);
                }
                Event::Executing | Event::RouteSocket(_) | Event::Tree(_) => {
                    return Err(Error::new(ErrorKind::Kernel, "init went on before it was started"));
                }
                Event::Gone => match self.end_of_init() {
                    // Killed by a cgroup.kill of the past (Linux 6.18): see docs, cgroups.
                    Ended::Signaled(9)
                        if !heard.is_beyond(clone_step) && self.is_first_clone() && self.born_in() =>
                    {
                        return Ok(Try::NotBornIn);
                    }
                    ended => return Err(self.died(ended)),
                },
            }
        }
    }

    fn next_event(&mut self) -> Result<Event> {
        match self.purpose {
            Purpose::Create(_) => {
                let deadline = self.deadline;
                self.conversation()?.next(deadline)
            }
            Purpose::Exec(exec) => exec.next_event(self),
        }
    }

    pub(super) fn conversation(&mut self) -> Result<&mut Conversation> {
        self.made.conversation.as_mut().ok_or_else(|| Error::new(ErrorKind::Kernel, "nothing was launched"))
    }

    pub(super) fn exec(&self) -> Option<&Exec> {
        match self.purpose {
            Purpose::Exec(exec) => Some(exec),
            Purpose::Create(_) => None,
        }
    }

    fn is_first_clone(&self) -> bool {
        self.made.conversation.as_ref().is_some_and(|conversation| conversation.clones() == 1)
    }

    /// The word on a process may come after its first record.
    fn await_clones(&mut self, count: usize) -> Result<()> {
        let deadline = self.deadline;
        match self.conversation()?.await_clones(count, deadline)? {
            true => Ok(()),
            false => Err(Error::new(ErrorKind::Kernel, "the launcher ended before it told of init")),
        }
    }

    fn launch(&self) -> Result<(crate::sys::launch::Launched, Channel)> {
        let slots: Vec<BorrowedFd<'_>> = self
            .made
            .slots
            .iter()
            .map(|slot| slot.as_ref().map(AsFd::as_fd))
            .collect::<Option<_>>()
            .ok_or_else(|| Error::new(ErrorKind::Kernel, "a slot of the plan was not filled"))?;
        let ops = self.plan.init.iter().map(|step| &step.op);
        self.launcher.launch(ops, self.stdio, &slots)
    }

    fn born_in(&self) -> bool {
        self.plan.cgroup.as_ref().is_some_and(|cgroup| cgroup.placement == Placement::BornIn)
    }

    /// EBUSY: controllers are enabled inside; EOPNOTSUPP: threaded; EACCES: judged with other credentials than a move;
    /// ENOSYS, EPERM, EINVAL, E2BIG: an old kernel, or an outer profile that hides `clone3(2)`.
    fn is_birth_refused(&self, failure: &Failure, clone_step: u32) -> bool {
        let refusals = [
            Errno::BUSY,
            Errno::OPNOTSUPP,
            Errno::ACCESS,
            Errno::NOSYS,
            Errno::PERM,
            Errno::INVAL,
            Errno::TOOBIG,
        ];
        self.born_in()
            && failure.step == clone_step
            && refusals.contains(&Errno::from_raw_os_error(failure.errno))
    }

    /// Host steps of a barrier; true when it was the last one of a create.
    fn reach(&mut self, barrier: u32) -> Result<bool> {
        let barrier = match barrier {
            number if number == Barrier::Placed as u32 => Barrier::Placed,
            number if number == Barrier::Mounted as u32 => Barrier::Mounted,
            number if number == Barrier::Ready as u32 => Barrier::Ready,
            other => {
                return Err(Error::new(
                    ErrorKind::Kernel,
                    format!("init waits at the unknown barrier {other}"),
                ));
            }
        };
        self.record_speaker()?;
        self.run_steps(When::At(barrier))?;
        self.conversation()?.proceed(barrier)?;
        if barrier != Barrier::Placed {
            // All mounts are made.
            self.made.trees = Trees::default();
        }
        Ok(barrier == Barrier::Ready)
    }

    /// The pid is on disk before the process may go on. With a joined pid namespace it is the launcher's at first.
    pub(super) fn record_speaker(&mut self) -> Result<()> {
        let Some(process) = self.conversation()?.speaker() else { return Ok(()) };
        let pid = process.pid;
        let started = start_time(pid);
        // What was read is only known to be of this process while it lives: its pid may be another's by now.
        let has_ended = pidfd::has_ended(&process.pidfd);
        let (false, Some((started, _))) = (has_ended, started) else {
            let ended = self.end_of_init();
            return Err(self.died(ended));
        };
        if (self.record.pid, self.record.start_time) == (pid, started) {
            return Ok(());
        }
        (self.record.pid, self.record.start_time) = (pid, started);
        match self.purpose {
            Purpose::Create(entry) => entry.save(&self.record),
            Purpose::Exec(_) => Ok(()),
        }
    }

    pub(super) fn run_steps(&mut self, when: When) -> Result<()> {
        let steps: Vec<HostStep> = self.plan.host.iter().filter(|step| step.when == when).cloned().collect();
        for step in steps {
            match self.run_step(&step) {
                Ok(()) => {}
                Err(error) if step.need == Need::BestEffort => {
                    tracing::debug!(%error, step = plan::describe_host(&step), "a step that may fail did");
                }
                Err(error) => {
                    let description = plan::describe_host(&step);
                    return Err(match error.step() {
                        Some(_) => error,
                        None => error.with_step(description),
                    });
                }
            }
        }
        Ok(())
    }

    fn run_step(&mut self, step: &HostStep) -> Result<()> {
        match &step.op {
            HostOp::MakeCgroup => self.make_cgroup(),
            HostOp::OpenNamespace { slot, path, kind } => self.pass_namespace(*slot, path, *kind),
            HostOp::OpenCgroup { slot } => {
                let dir = match self.purpose {
                    Purpose::Create(_) => self.cgroup()?.open_dir()?,
                    Purpose::Exec(exec) => exec.open_cgroup()?,
                };
                let dir = dir.ok_or_else(|| {
                    Error::new(ErrorKind::Unsupported, "no process can be born in a cgroup of this layout")
                })?;
                self.fill(*slot, dir)
            }
            HostOp::MakeUserNamespace { slot, uids, gids } => {
                let namespace = make_user_namespace(self.launcher, uids, gids, self.deadline)?;
                self.fill(*slot, namespace)
            }
            HostOp::MakeStartFifos { start, answer } => {
                let Purpose::Create(entry) = self.purpose else { return Ok(()) };
                let start_fifo = entry.make_fifo(START_FIFO)?;
                self.fill(*start, start_fifo)?;
                let answer_fifo = entry.make_fifo(ANSWER_FIFO)?;
                self.fill(*answer, answer_fifo)
            }
            // Performed by `converse`; listed for explain.
            HostOp::Launch => Ok(()),
            HostOp::WriteIdMaps { uids, gids, deny_setgroups, uids_by, gids_by } => {
                let process = Target { proc: &self.open_proc()?, pid: self.record.pid };
                let caller = MapCaller { launcher: self.launcher, deadline: self.deadline };
                if *deny_setgroups {
                    write_at(process.proc, "setgroups", "deny")?;
                }
                caller.write_map(&process, MapKind::Uid, uids, *uids_by)?;
                caller.write_map(&process, MapKind::Gid, gids, *gids_by)
            }
            HostOp::MakeRdtGroup { group } => {
                self.record.rdt = Some(group.make()?);
                match self.purpose {
                    Purpose::Create(entry) => entry.save(&self.record),
                    Purpose::Exec(_) => Ok(()),
                }
            }
            HostOp::JoinRdtGroup => self.record.rdt.iter().try_for_each(|rdt| rdt.assign(self.record.pid)),
            HostOp::MoveToCgroup => {
                let pid = self.record.pid;
                match self.purpose {
                    Purpose::Create(_) => self.cgroup()?.place(pid),
                    Purpose::Exec(exec) => exec.place(pid),
                }
            }
            HostOp::ApplyLimits { limits } => self.cgroup()?.apply_limits(limits),
            HostOp::ApplyDeviceRules { rules } => self.cgroup()?.apply_device_rules(rules),
            HostOp::DelegateCgroup { uid } => self.cgroup()?.delegate(*uid),
            HostOp::OomScoreAdj { value } => self.set_oom_score_adj(*value),
            HostOp::Rlimit { resource, name, soft, hard } => self.set_rlimit(*resource, name, *soft, *hard),
            HostOp::CheckProfile { name } => attributes::check_profile(name),
            HostOp::Scheduler { scheduler } => attributes::set_scheduler(self.record.pid, *scheduler),
            HostOp::IoPriority { value } => attributes::set_io_priority(self.record.pid, *value),
            HostOp::MoveNetDevice { name, name_inside } => self.move_net_device(name, name_inside),
            HostOp::SendListener { path, metadata } => self.send_listener(path, metadata.as_deref()),
            HostOp::RunHooks { kind, hooks } => {
                self.made.hooks_began = true;
                let pid = Some(self.record.pid);
                let call = HookCall {
                    kind: *kind,
                    record: &self.record,
                    status: Status::Creating,
                    pid,
                    deadline: self.deadline,
                };
                run_hooks(self.launcher, hooks, call)
            }
            HostOp::SaveState => {
                let Purpose::Create(entry) = self.purpose else { return Ok(()) };
                self.record.phase = Phase::Created;
                entry.save(&self.record)
            }
        }
    }

    fn make_cgroup(&mut self) -> Result<()> {
        let Some(planned) = &self.plan.cgroup else { return Ok(()) };
        let cgroup = Cgroup::new(planned.dirs.clone());
        let limits = self.plan.host.iter().find_map(|step| match &step.op {
            HostOp::ApplyLimits { limits } => Some(limits),
            _ => None,
        });
        let needed = limits.map(|limits| limits.needed_controllers(&planned.dirs)).unwrap_or_default();
        let created = cgroup.create(&needed);
        // What engines and their tests look for.
        let created = created.map_err(|error| error.context("unable to apply cgroup configuration"))?;
        self.made.cgroup = Some((cgroup, created));
        Ok(())
    }

    pub(super) fn cgroup(&self) -> Result<&Cgroup> {
        match &self.made.cgroup {
            Some((cgroup, _)) => Ok(cgroup),
            None => Err(Error::new(ErrorKind::Kernel, "the container has no cgroup")),
        }
    }

    fn fill(&mut self, slot: Slot, fd: OwnedFd) -> Result<()> {
        let place = self.made.slots.get_mut(slot.0 as usize);
        let place = place.ok_or_else(|| Error::new(ErrorKind::Kernel, "the plan names an unknown slot"))?;
        *place = Some(fd);
        Ok(())
    }

    /// The fd that `inspect` opened and checked, so that nothing is looked up twice.
    fn pass_namespace(&mut self, slot: Slot, path: &std::path::Path, kind: u32) -> Result<()> {
        let mut opened = self.facts.namespaces.iter().chain(&self.facts.members_mounts);
        let joined = opened.find(|joined| joined.kind == kind && joined.path == path);
        let fd = joined.and_then(|joined| joined.fd.as_ref()).map(OwnedFd::try_clone);
        match fd {
            Some(Ok(fd)) => self.fill(slot, fd),
            Some(Err(source)) => {
                Err(Error::from_io(format!("cannot duplicate the namespace {}", path.display()), source))
            }
            None => {
                Err(Error::new(ErrorKind::Kernel, format!("the namespace {} was not opened", path.display())))
            }
        }
    }

    fn move_net_device(&mut self, name: &str, name_inside: &str) -> Result<()> {
        let devices = match self.made.net_devices.take() {
            Some(devices) => devices,
            None => NetDevices::open(self.launcher, self.facts, &self.open_proc()?, self.deadline)?,
        };
        self.made.net_devices.insert(devices).move_in(name, name_inside)
    }

    fn send_tree(&mut self, step: u32) -> Result<()> {
        let mut trees = std::mem::take(&mut self.made.trees);
        let process = self.open_proc()?;
        let setting = Setting {
            launcher: self.launcher,
            plan: &self.plan,
            slots: &self.made.slots,
            deadline: self.deadline,
        };
        let tree = trees.open(step, &setting, process)?;
        self.made.trees = trees;
        self.conversation()?.send_tree(step, tree)
    }

    /// Takes everything back; failures of that are attached to the first one.
    fn undo(&mut self, error: &mut Error) {
        self.made.trees = Trees::default();
        let entry = match self.purpose {
            Purpose::Create(entry) => entry,
            Purpose::Exec(exec) => return exec.undo(&mut self.made),
        };
        if let Some(mut conversation) = self.made.conversation.take() {
            conversation.kill();
        }
        self.made.slots.clear();
        if let Some(devices) = self.made.net_devices.take() {
            devices.give_back(error);
        }
        if let Some((cgroup, created)) = self.made.cgroup.take() {
            // What was there before stays.
            if let Err(failure) = created.undo(&cgroup, Some(Instant::now() + KILL_WAIT)) {
                error.attach_cleanup(failure);
            }
        }
        if let Some(Err(failure)) = self.record.rdt.take().map(|rdt| rdt.remove()) {
            error.attach_cleanup(failure);
        }
        if self.made.hooks_began {
            // Whatever ended the create, these have a time of their own.
            run_poststop(self.launcher, &self.record, Deadline::after(KILL_WAIT));
        }
        if let Err(failure) = entry.remove() {
            error.attach_cleanup(failure);
        }
    }
}
