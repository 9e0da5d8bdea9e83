//! What later stages ask of a plan.

use orlop_init::wire::{OwnedOp, Slot, message::Barrier};

use super::step::{HostOp, HostStep, InitStep, Need, Plan, When, Why};
use crate::{cgroup::Placement, state::StartStep};

/// `CLONE_NEWPID` (clone(2)).
const CLONE_NEWPID: u32 = 0x2000_0000;

impl Plan {
    /// Index of the step with which the launcher ends.
    pub(crate) fn clone_step(&self) -> u32 {
        let at = self.init.iter().position(|step| matches!(step.op, OwnedOp::Clone { .. }));
        at.and_then(|at| u32::try_from(at).ok()).unwrap_or(0)
    }

    /// How many processes the launcher and its children make before a step.
    pub(crate) fn clones_before(&self, step: u32) -> usize {
        let steps = self.init.iter().zip(0..).take_while(|(_, at)| *at < step);
        steps.filter(|(init, _)| matches!(init.op, OwnedOp::Clone { .. })).count()
    }

    /// The same plan with the process moved into its cgroup instead of born there.
    pub(crate) fn moved(&self) -> Self {
        let mut plan = self.clone();
        if let Some(cgroup) = &mut plan.cgroup {
            cgroup.placement = Placement::Moved;
        }
        for step in &mut plan.init {
            if let OwnedOp::Clone { cgroup, .. } = &mut step.op {
                *cgroup = Slot::NONE;
            }
        }
        let why = Why::Always("the kernel refused CLONE_INTO_CGROUP");
        let first = plan.host.iter().position(|step| step.when == When::At(Barrier::Placed));
        let opened = plan.host.iter().find(|step| matches!(step.op, HostOp::OpenCgroup { .. }));
        let step = HostStep {
            when: When::At(Barrier::Placed),
            op: HostOp::MoveToCgroup,
            need: opened.map_or(Need::Required, |step| step.need),
            why: why.clone(),
        };
        plan.host.insert(first.unwrap_or(plan.host.len()), step);
        let placed = OwnedOp::Barrier { barrier: Barrier::Placed as u32 };
        if plan.init.iter().all(|step| step.op != placed) {
            // An exec without anything else to do there.
            let clone = self.clone_step() as usize;
            plan.init.insert(clone + 1, InitStep { op: placed, why });
        }
        plan
    }

    /// What the host's helper does for a step whose tree init cannot open itself.
    pub(crate) fn tree_op(&self, step: u32) -> Option<OwnedOp> {
        match &self.init.get(step as usize)?.op {
            OwnedOp::AttachRootfs { path, from_host: true } => Some(OwnedOp::SendTree {
                source: path.clone(),
                recursive: true,
                links: 0,
                idmap: Slot::NONE,
                idmap_recursive: false,
            }),
            OwnedOp::BindMount {
                source, recursive, from_host: true, links, idmap, idmap_recursive, ..
            } => Some(OwnedOp::SendTree {
                source: source.clone(),
                recursive: *recursive,
                links: *links,
                idmap: *idmap,
                idmap_recursive: *idmap_recursive,
            }),
            _ => None,
        }
    }

    /// Whether init is process 1 of a pid namespace of its own.
    pub(crate) fn own_pid_namespace(&self) -> bool {
        self.init.iter().any(
            |step| matches!(step.op, OwnedOp::Clone { namespaces, .. } if namespaces & CLONE_NEWPID != 0),
        )
    }

    /// Whether only the creating handle can give the start signal.
    pub(crate) fn started_by_handle(&self) -> bool {
        self.init.iter().any(|step| matches!(step.op, OwnedOp::AwaitStart { fifo: Slot::NONE, .. }))
    }

    /// The steps after the start signal, as a record keeps them.
    pub(crate) fn start_steps(&self) -> Vec<StartStep> {
        let await_start = self.init.iter().position(|step| matches!(step.op, OwnedOp::AwaitStart { .. }));
        let first = await_start.map_or(self.init.len(), |at| at + 1);
        let mut hooks = 0;
        self.init
            .iter()
            .enumerate()
            .skip(first)
            .map(|(index, step)| start_step(index, step, &mut hooks))
            .collect()
    }
}

fn start_step(index: usize, step: &InitStep, hooks: &mut u32) -> StartStep {
    let index = u32::try_from(index).unwrap_or(u32::MAX);
    match &step.op {
        OwnedOp::Hook { path, .. } => {
            let number = *hooks;
            *hooks += 1;
            StartStep::Hook { index, number, path: path.to_string_lossy().into_owned() }
        }
        OwnedOp::Exec { args, .. } => {
            let program = args.first().map(|arg| arg.to_string_lossy().into_owned()).unwrap_or_default();
            StartStep::Exec { index, program }
        }
        _ => {
            let config_path = match &step.why {
                Why::Config(path) => path.clone(),
                Why::Always(_) | Why::Option(_) => String::new(),
            };
            StartStep::Other { index, what: super::describe(step), config_path }
        }
    }
}
