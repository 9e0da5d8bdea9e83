//! What may be said at a point of the plan. Whoever joined an existing pid namespace may be steered by its members, so a
//! record is only acted on where the plan has it, and once.

use orlop_init::wire::OwnedOp;

use super::Event;
use crate::{
    Error, ErrorKind, Result,
    plan::{Plan, step::HostOp},
};

/// What was heard so far.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// The last step that was spoken of.
    reached: Option<u32>,
    has_listener: bool,
    has_console: bool,
    /// Whether `execve` is next.
    pub(super) is_executing: bool,
}

impl Heard {
    /// Whether the process that a step makes has spoken, or one after it.
    pub(super) fn is_beyond(&self, step: u32) -> bool {
        self.reached.is_some_and(|reached| reached > step)
    }

    /// Notes what was said.
    ///
    /// # Errors
    /// It is not the time for it, or was said before.
    pub(super) fn note(&mut self, plan: &Plan, event: &Event) -> Result<()> {
        let refused = |words: String| Err(Error::new(ErrorKind::Kernel, words));
        match *event {
            Event::Reached { step, .. } | Event::WantTree { step }
                if self.reached.is_some_and(|reached| step <= reached) =>
            {
                return refused(format!("init went back to step {step}"));
            }
            Event::Reached { step, barrier } if barrier_at(plan, step) != Some(barrier) => {
                return refused(format!("init waits at step {step}, which is no barrier {barrier}"));
            }
            Event::Reached { step, .. } | Event::WantTree { step } => self.reached = Some(step),
            Event::Listener { .. } if self.has_listener || !sends_listener(plan) => {
                return refused("init sent a listener of a filter that nobody asked for".to_owned());
            }
            Event::Listener { .. } => self.has_listener = true,
            Event::Console(_) if self.has_console || !plan.terminal => {
                return refused("init sent a terminal that nobody asked for".to_owned());
            }
            Event::Console(_) => self.has_console = true,
            Event::Executing if self.is_executing || last_barrier(plan) > self.reached => {
                return refused("init went on before it was told to".to_owned());
            }
            Event::Executing => self.is_executing = true,
            Event::Tree(_) | Event::RouteSocket(_) | Event::Failed(_) | Event::Gone => {}
        }
        Ok(())
    }
}

fn barrier_at(plan: &Plan, step: u32) -> Option<u32> {
    match plan.init.get(usize::try_from(step).ok()?)?.op {
        OwnedOp::Barrier { barrier } => Some(barrier),
        _ => None,
    }
}

fn last_barrier(plan: &Plan) -> Option<u32> {
    let at = plan.init.iter().rposition(|step| matches!(step.op, OwnedOp::Barrier { .. }))?;
    u32::try_from(at).ok()
}

fn sends_listener(plan: &Plan) -> bool {
    plan.host.iter().any(|step| matches!(step.op, HostOp::SendListener { .. }))
}

#[cfg(test)]
mod tests {
    use orlop_init::wire::message::Barrier;

    use super::{Event, Heard, OwnedOp, Plan};
    use crate::plan::step::{InitStep, Why};

    fn plan() -> Plan {
        let barrier = |barrier| OwnedOp::Barrier { barrier: barrier as u32 };
        let ops = [
            OwnedOp::NewSession {},
            barrier(Barrier::Placed),
            OwnedOp::PivotRoot {},
            barrier(Barrier::Ready),
        ];
        let init = ops.map(|op| InitStep { op, why: Why::Always("a test") }).to_vec();
        let (host, warnings) = (Vec::new(), Vec::new());
        Plan { host, init, slots: 0, cgroup: None, terminal: false, warnings }
    }

    fn said(events: &[Event]) -> Vec<bool> {
        let (plan, mut heard) = (plan(), Heard::default());
        events.iter().map(|event| heard.note(&plan, event).is_ok()).collect()
    }

    #[test]
    fn only_barriers_of_the_plan_are_reached_and_each_once() {
        let reached = |step, barrier| Event::Reached { step, barrier: barrier as u32 };
        let (placed, mounted, ready) = (Barrier::Placed, Barrier::Mounted, Barrier::Ready);
        assert_eq!(said(&[reached(1, placed), reached(3, ready)]), [true, true]);
        assert_eq!(said(&[reached(1, placed), reached(1, placed)]), [true, false]);
        assert_eq!(said(&[reached(1, mounted), reached(2, placed), reached(9, ready)]), [false; 3]);
    }

    #[test]
    fn nothing_is_executed_before_the_last_barrier() {
        let reached = |step, barrier| Event::Reached { step, barrier: barrier as u32 };
        assert_eq!(said(&[reached(1, Barrier::Placed), Event::Executing]), [true, false]);
        assert_eq!(
            said(&[reached(3, Barrier::Ready), Event::Executing, Event::Executing]),
            [true, true, false]
        );
    }

    #[test]
    fn what_nobody_asked_for_is_refused() {
        let fd = || std::fs::File::open("/dev/null").unwrap().into();
        assert_eq!(
            said(&[Event::Console(fd()), Event::Listener { step: 2, fd: None, number: 3 }]),
            [false, false]
        );
    }
}
