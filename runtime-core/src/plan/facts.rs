//! What later stages ask of a plan.

use orlop_init::wire::{OwnedOp, Slot, message::Barrier};

use super::step::{HostOp, HostStep, InitStep, Need, Plan, When, Why};
use crate::{cgroup::Placement, state::StartStep};

/// `CLONE_NEWPID` (clone(2)).
const CLONE_NEWPID: u32 = 0x2000_0000;

/// Trees that are sent unasked: few enough to lie in a socket's buffer together with their fds.
const EAGER_TREES_MAX: usize = 64;

impl Plan {
    /// Index of the step with which the launcher ends.
    pub(crate) fn clone_step(&self) -> u32 {
        let at = self.init.iter().position(|step| matches!(step.op, OwnedOp::Clone { .. }));
        at.and_then(|at| u32::try_from(at).ok()).unwrap_or(0)
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
        let first = plan.host.iter().position(|step| step.when == When::At(Barrier::Placed));
        let step = HostStep {
            when: When::At(Barrier::Placed),
            op: HostOp::MoveToCgroup,
            why: Why::Always("the kernel refused CLONE_INTO_CGROUP"),
            need: Need::Required,
        };
        plan.host.insert(first.unwrap_or(plan.host.len()), step);
        plan
    }

    /// How many of the trees the host sends before init asks.
    pub(crate) fn eager_trees(&self) -> u32 {
        let trees = self.init.iter().filter(|step| step.tree.is_some()).count();
        u32::try_from(trees.min(EAGER_TREES_MAX)).unwrap_or(0)
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
