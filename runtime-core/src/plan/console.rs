//! Standard input, output and error: a terminal of the container's own, or the caller's fds.

use orlop_init::wire::OwnedOp;

use super::{Decisions, draft::Draft, step::Why};

/// Makes the terminal in the container's devpts. With a joined pid namespace its session is led by a process that does
/// not exist yet, so the controlling terminal comes later.
pub(super) fn open(decisions: &Decisions<'_>, draft: &mut Draft) {
    if !decisions.bundle.terminal() {
        return;
    }
    let Some(process) = decisions.process() else { return };
    let size = process.console_size();
    let mut cells = |name: &str, value: Option<u64>| {
        u16::try_from(value.unwrap_or(0)).map(u32::from).unwrap_or_else(|_| {
            draft.problem(format!("process.consoleSize.{name}"), "is larger than 65535");
            0
        })
    };
    let height = cells("height", size.map(|size| size.height()));
    let width = cells("width", size.map(|size| size.width()));
    let is_sized = height != 0 && width != 0;
    let op = OwnedOp::Console {
        height: if is_sized { height } else { 0 },
        width: if is_sized { width } else { 0 },
        uid: process.user().uid(),
        bind_console: !decisions.is_exec,
        controlling: decisions.namespaces.late_pid.is_none(),
    };
    draft.init(op, Why::config("process.terminal"));
}

/// Inherited pipes and files belong to the user, so that /dev/stdout can be opened by name. While init is still root.
pub(super) fn own_stdio(decisions: &Decisions<'_>, draft: &mut Draft) {
    if let (false, Some(process)) = (decisions.bundle.terminal(), decisions.process()) {
        draft.init(OwnedOp::OwnStdio { uid: process.user().uid() }, Why::config("process.user.uid"));
    }
}
