//! `linux.seccomp`: which filter, and where in the order it is loaded.
//!
//! Everything after it is under it, so it is loaded as late as can be: as the last call before `execve`. Without
//! `no_new_privs` that takes CAP_SYS_ADMIN, which init then keeps (permitted, not effective) until the exec drops it.
//! Where a member of the container could trace init and so get at that capability, and where a listener must be handed
//! over while create listens, the filter is loaded earlier.

use std::path::PathBuf;

use orlop_init::wire::{OwnedOp, message::Barrier};

use super::{
    Decisions,
    capabilities::Sets,
    draft::Draft,
    step::{HostOp, When, Why},
};
use crate::{
    Bundle,
    host::{HostFacts, KernelVersion},
    seccomp,
    sys::seccomp as kernel,
};

const CAP_SYS_PTRACE: u64 = 1 << 19;
const CAP_SYS_ADMIN: u64 = 1 << 21;

/// By their names after `SECCOMP_FILTER_FLAG_`.
const FLAGS: [(u32, &str); 4] = [
    (kernel::FLAG_LOG, "LOG"),
    (kernel::FLAG_SPEC_ALLOW, "SPEC_ALLOW"),
    (kernel::FLAG_NEW_LISTENER, "NEW_LISTENER"),
    (kernel::FLAG_WAIT_KILLABLE_RECV, "WAIT_KILLABLE_RECV"),
];

/// Calls of the launcher between a filter without `no_new_privs` and the moment in which the process is known that the
/// agent is told of.
const BEFORE_THE_AGENT: [&str; 7] = ["capset", "clone", "clone3", "close", "prctl", "recvmsg", "sendmsg"];

/// Who is in the pid namespace that the process appears in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Company {
    /// Nobody: it is a new one.
    None,
    /// Processes of the same container, with no more capabilities than its.
    Own,
    /// Processes of which nothing is known.
    Foreign,
}

/// Where the filter is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Before the capabilities go, which loading needs.
    BeforeCapabilities,
    /// While create still listens.
    BeforeReady,
    /// As the last call before `execve`, by a capability that is kept for it.
    AtExecWithCapability,
    /// As the last call before `execve`.
    AtExec,
}

/// The filter of the container's process.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    program: Vec<u8>,
    flags: u32,
    pub(super) place: Place,
    listener: Option<(PathBuf, Option<String>)>,
}

impl Filter {
    /// Permitted capabilities that are kept for loading it.
    pub(super) fn kept_capabilities(&self) -> u64 {
        if self.place == Place::AtExecWithCapability { CAP_SYS_ADMIN } else { 0 }
    }
}

/// Compiles the profile and decides.
pub(super) fn decide(
    bundle: &Bundle,
    host: &HostFacts,
    (sets, company): (Sets, Company),
    draft: &mut Draft,
) -> Option<Filter> {
    let profile = bundle.fields().seccomp.as_ref()?;
    let Some(known_flags) = host.kernel.seccomp_flags else {
        draft.problem("linux.seccomp", "seccomp: config provided but seccomp not supported");
        return None;
    };
    let filter = match seccomp::compile(profile) {
        Ok(filter) => filter,
        Err(problems) => {
            draft.problems.extend(problems);
            return None;
        }
    };
    match bundle.fails_on_unknown_calls() {
        true => draft.problems.extend(filter.warnings),
        false => draft.warnings.extend(filter.warnings),
    }
    // Init has one thread, and the kernel takes no listener together with this flag.
    let mut flags = filter.flags & !kernel::FLAG_TSYNC;
    if filter.uses_notify {
        flags |= kernel::FLAG_NEW_LISTENER;
    }
    if flags & !known_flags != 0 {
        let unknown = FLAGS.iter().filter(|(flag, _)| flags & !known_flags & flag != 0);
        let names: Vec<_> = unknown.map(|(_, name)| *name).collect();
        let message = format!("this kernel does not know SECCOMP_FILTER_FLAG_{}", names.join(", "));
        draft.problem("linux.seccomp.flags", message);
    }
    tracing::debug!("seccomp filter flags: {flags}");
    let no_new_privs = bundle
        .spec()
        .process()
        .as_ref()
        .and_then(oci_spec::runtime::Process::no_new_privileges)
        .unwrap_or(false);
    let place = place(no_new_privs, filter.uses_notify, company, sets);
    if filter.uses_notify && company != Company::None && place == Place::BeforeCapabilities {
        for call in BEFORE_THE_AGENT.into_iter().filter(|call| profile.notifies(call)) {
            let message = format!(
                "SCMP_ACT_NOTIFY cannot be used for the {call} syscall by a process that joins a pid namespace \
                 with others"
            );
            draft.problem("linux.seccomp.syscalls", message);
        }
    }
    if filter.uses_notify && sends_listener(host) && profile.notifies("sendmsg") {
        draft.problem(
            "linux.seccomp.syscalls",
            "SCMP_ACT_NOTIFY cannot be used for the sendmsg syscall without CAP_SYS_PTRACE",
        );
    }
    let listener = filter.uses_notify.then(|| {
        let path = profile.listener_path.as_deref().unwrap_or_default();
        (PathBuf::from(path), profile.listener_metadata.clone())
    });
    let program = filter.program.iter().flat_map(|instruction| instruction.to_bytes()).collect();
    Some(Filter { program, flags, place, listener })
}

fn place(no_new_privs: bool, uses_notify: bool, company: Company, sets: Sets) -> Place {
    let needs_capability = !no_new_privs && sets.permitted & CAP_SYS_ADMIN == 0;
    let granted = sets.bounding | sets.permitted | sets.inheritable | sets.ambient;
    let can_trace = granted & CAP_SYS_PTRACE != 0;
    // Whoever may trace it would have a process without a filter, or the listener: so nobody sees it before.
    if company == Company::Foreign || company == Company::Own && can_trace {
        return Place::BeforeCapabilities;
    }
    let may_keep = company == Company::None && !can_trace;
    match (no_new_privs, uses_notify) {
        (true, true) => Place::BeforeReady,
        (true, false) => Place::AtExec,
        (false, true) => Place::BeforeCapabilities,
        (false, false) if !needs_capability || may_keep => Place::AtExecWithCapability,
        (false, false) => Place::BeforeCapabilities,
    }
}

/// Whether the host may not fetch it: pidfd_getfd(2), of a process that is not dumpable.
fn sends_listener(host: &HostFacts) -> bool {
    let can_trace = host.credentials.effective & CAP_SYS_PTRACE != 0;
    !can_trace || host.kernel.version < KernelVersion(5, 6)
}

fn load(decisions: &Decisions<'_>, at: Place, draft: &mut Draft) {
    let Some(filter) = decisions.filter.as_ref().filter(|filter| filter.place == at) else { return };
    let op = OwnedOp::Filter {
        program: filter.program.clone(),
        flags: filter.flags,
        send: sends_listener(decisions.host),
    };
    draft.init(op, Why::config("linux.seccomp"));
    if let Some((path, metadata)) = &filter.listener {
        let op = HostOp::SendListener { path: path.clone(), metadata: metadata.clone() };
        draft.host(When::At(Barrier::Listener), op, Why::config("linux.seccomp.listenerPath"));
    }
}

/// With the user's ids and all capabilities effective.
pub(super) fn load_before_capabilities(decisions: &Decisions<'_>, draft: &mut Draft) {
    load(decisions, Place::BeforeCapabilities, draft);
}

/// The last thing that init does before it waits.
pub(super) fn load_before_ready(decisions: &Decisions<'_>, draft: &mut Draft) {
    load(decisions, Place::BeforeReady, draft);
}

/// For the exec that follows.
pub(super) fn load_at_exec(decisions: &Decisions<'_>, draft: &mut Draft) {
    let Some(filter) = &decisions.filter else { return };
    let raise = match filter.place {
        Place::AtExec => false,
        Place::AtExecWithCapability => true,
        Place::BeforeCapabilities | Place::BeforeReady => return,
    };
    let op = OwnedOp::FilterAtExec { program: filter.program.clone(), flags: filter.flags, raise };
    draft.init(op, Why::config("linux.seccomp"));
}

#[cfg(test)]
mod tests {
    use super::{CAP_SYS_ADMIN, CAP_SYS_PTRACE, Company, Place, Sets, place};

    #[test]
    fn a_filter_is_loaded_as_late_as_can_be() {
        let (plain, tracing) = (Sets::default(), Sets { bounding: CAP_SYS_PTRACE, ..Sets::default() });
        let admin =
            Sets { permitted: CAP_SYS_ADMIN, bounding: CAP_SYS_ADMIN | CAP_SYS_PTRACE, ..Sets::default() };
        let alone = Company::None;
        for (no_new_privs, uses_notify, company, sets, expected) in [
            (true, false, alone, plain, Place::AtExec),
            (true, false, alone, tracing, Place::AtExec),
            (true, false, Company::Own, plain, Place::AtExec),
            (true, false, Company::Own, tracing, Place::BeforeCapabilities),
            (true, false, Company::Foreign, plain, Place::BeforeCapabilities),
            (true, true, Company::Own, plain, Place::BeforeReady),
            (true, true, Company::Own, tracing, Place::BeforeCapabilities),
            (false, false, alone, plain, Place::AtExecWithCapability),
            (false, false, alone, tracing, Place::BeforeCapabilities),
            (false, false, Company::Own, plain, Place::BeforeCapabilities),
            (false, false, alone, admin, Place::AtExecWithCapability),
            (false, false, Company::Own, admin, Place::BeforeCapabilities),
            (false, true, alone, plain, Place::BeforeCapabilities),
        ] {
            let found = place(no_new_privs, uses_notify, company, sets);
            assert_eq!(found, expected, "{no_new_privs} {uses_notify} {company:?} {sets:?}");
        }
    }
}
