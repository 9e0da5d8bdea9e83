//! From the caller's program to a process in the container's namespaces: launcher, joins, clone, first barrier.

use orlop_init::wire::{OwnedOp, Slot, message::Barrier};

use super::{
    Decisions, cgroup,
    draft::Draft,
    id_maps::Users,
    namespaces::{Join, flags, kind_name},
    process,
    step::{HostOp, When, Why},
};

fn join(join: &Join, draft: &mut Draft) {
    let op = OwnedOp::JoinNamespace { namespace: join.slot, kind: join.kind };
    draft.init(op, Why::config(format!("linux.namespaces[{}].path", join.index)));
}

/// What the host opens and starts.
pub(super) fn launch(decisions: &Decisions<'_>, draft: &mut Draft) {
    cgroup::make(decisions, draft);
    super::intel_rdt::make(decisions, draft);
    for join in decisions.namespaces.opened() {
        let op = HostOp::OpenNamespace { slot: join.slot, path: join.path.clone(), kind: join.kind };
        draft.host(When::BeforeLaunch, op, Why::config(format!("linux.namespaces[{}].path", join.index)));
    }
    super::idmapped::make_namespaces(decisions, draft);
    if decisions.slots.start != Slot::NONE {
        let op = HostOp::MakeStartFifos { start: decisions.slots.start, answer: decisions.slots.answer };
        draft.host(When::BeforeLaunch, op, Why::Always("start comes from another command"));
    }
    draft.host(
        When::BeforeLaunch,
        HostOp::Launch,
        Why::Always("what shares the caller's memory enters nothing"),
    );
}

/// The launcher closes itself to members of whatever it enters. A plain user's maps are written through /proc by their
/// owner, who could not then: there init does it once they are.
pub(super) fn close_launcher(decisions: &Decisions<'_>, draft: &mut Draft) {
    if decisions.host.credentials.is_privileged() {
        draft.init(OwnedOp::SetDumpable { value: 0 }, Why::Always("closed to members of what is joined"));
    }
}

/// Namespaces that exist, in the order in which the kernel allows it.
pub(super) fn join_namespaces(decisions: &Decisions<'_>, draft: &mut Draft) {
    decisions.namespaces.joins.iter().for_each(|namespace| join(namespace, draft));
}

/// New namespaces that have to wait: the root of a cgroup namespace is where the process was placed, and the root
/// directory of an ipc namespace's mqueue belongs for ever to whoever made it, which must not be an unmapped user.
fn made_as_root(decisions: &Decisions<'_>) -> u32 {
    let caller = decisions.host.credentials.euid;
    let is_other_root = decisions.users.is_private() && decisions.users.host_root() != Some(caller);
    let waiting = if is_other_root { flags::CGROUP | flags::IPC } else { flags::CGROUP };
    decisions.namespaces.new & waiting
}

/// New namespaces with the clone, or by the launcher itself when a joined pid namespace has to be entered last.
pub(super) fn make_namespaces(decisions: &Decisions<'_>, draft: &mut Draft) {
    let namespaces = decisions.namespaces.new & !(flags::TIME | made_as_root(decisions));
    let why = Why::config("linux.namespaces");
    if decisions.namespaces.late_pid.is_some() {
        draft.init(OwnedOp::Unshare { flags: namespaces }, why);
    } else {
        draft.init(OwnedOp::Clone { namespaces, cgroup: cgroup::birth_slot(decisions) }, why);
    }
}

/// The host does what only it can do to the new process, and writes its pid down before it may go on.
pub(super) fn place(decisions: &Decisions<'_>, draft: &mut Draft) {
    super::id_maps::write_maps(decisions, draft);
    cgroup::place(decisions, draft);
    super::intel_rdt::join(decisions, draft);
    process::set_oom_score(decisions, draft);
    draft.barrier(Barrier::Placed, "the host knows the process before it goes on");
}

/// Root of the new user namespace; closed from now on where the launcher was not; the namespaces that waited for it.
pub(super) fn become_root(decisions: &Decisions<'_>, draft: &mut Draft) {
    let is_privileged = decisions.host.credentials.is_privileged();
    if decisions.users.is_private() {
        let drop_groups = match &decisions.users {
            // Whether a plain user may in somebody's namespace is not known.
            _ if decisions.bundle.keeps_original_groups() => false,
            Users::Joined => is_privileged,
            users => users.can_set_groups(),
        };
        draft.init(OwnedOp::BecomeRoot { drop_groups }, Why::config("linux.namespaces"));
    }
    if !is_privileged {
        draft.init(
            OwnedOp::SetDumpable { value: 0 },
            Why::Always("closed to others, now that the maps are written"),
        );
    }
    let waiting = made_as_root(decisions);
    if waiting != 0 {
        draft.init(OwnedOp::Unshare { flags: waiting }, Why::config("linux.namespaces"));
    }
}

/// A session of its own, unless the process that will lead it is still to be cloned.
pub(super) fn early_session(decisions: &Decisions<'_>, draft: &mut Draft) {
    if decisions.namespaces.late_pid.is_none() {
        draft.init(OwnedOp::NewSession {}, Why::Always("the caller's terminal stays out of reach"));
    }
}

/// The session keyring.
pub(super) fn keyring(decisions: &Decisions<'_>, draft: &mut Draft) {
    if !decisions.options.no_new_keyring {
        let name = draft.text("", format!("_ses.{}", decisions.id));
        draft.init(OwnedOp::SessionKeyring { name }, Why::Always("the caller's keys stay out of reach"));
    }
}

/// Loopback, host name, domain name.
pub(super) fn name_host(decisions: &Decisions<'_>, draft: &mut Draft) {
    if decisions.namespaces.is_new(flags::NETWORK) {
        draft.init(OwnedOp::LoopbackUp {}, Why::Always("a new network namespace has its loopback device"));
    }
    let spec = decisions.bundle.spec();
    for (at, name) in [("hostname", spec.hostname()), ("domainname", spec.domainname())] {
        let Some(name) = name.as_deref().filter(|name| !name.is_empty()) else { continue };
        if !decisions.namespaces.is_private(flags::UTS) {
            draft.problem(at, format!("unable to set {at} without a private UTS namespace"));
            continue;
        }
        let name = draft.text(at, name);
        let op = match at {
            "hostname" => OwnedOp::Hostname { name },
            _ => OwnedOp::Domainname { name },
        };
        draft.init(op, Why::config(at));
    }
}

/// `setns` to a pid namespace concerns children only: the launcher becomes no member, and nothing is forked from here
/// on until the clone. The last place where it has the capabilities to do so.
pub(super) fn choose_pid_namespace(decisions: &Decisions<'_>, draft: &mut Draft) {
    if let Some(late) = &decisions.namespaces.late_pid {
        join(late, draft);
    }
}

/// The member that appears in the joined pid namespace has the container's root, ids and capabilities, and no fd of the
/// host but channel and start signal: a racer there that traces it gains nothing it could not have from the container.
pub(super) fn enter_pid_namespace(decisions: &Decisions<'_>, draft: &mut Draft) {
    let Some(late) = &decisions.namespaces.late_pid else { return };
    let why = Why::config(format!("linux.namespaces[{}].path", late.index));
    draft.init(OwnedOp::Clone { namespaces: 0, cgroup: Slot::NONE }, why);
    draft.init(OwnedOp::NewSession {}, Why::Always("the caller's terminal stays out of reach"));
    if decisions.bundle.terminal() {
        draft.init(OwnedOp::ControllingTerminal {}, Why::config("process.terminal"));
    }
}

/// The start signal.
pub(super) fn await_start(decisions: &Decisions<'_>, draft: &mut Draft) {
    let why = match decisions.slots.start {
        Slot::NONE => Why::Option("run"),
        _ => Why::Always("start comes from another command"),
    };
    let (fifo, answer) = (decisions.slots.start, decisions.slots.answer);
    draft.init(OwnedOp::AwaitStart { fifo, answer }, why);
}

/// A word for messages.
pub(super) fn kinds(namespaces: u32) -> String {
    let all = [
        flags::USER,
        flags::MOUNT,
        flags::PID,
        flags::NETWORK,
        flags::IPC,
        flags::UTS,
        flags::CGROUP,
        flags::TIME,
    ];
    let names: Vec<&str> = all.into_iter().filter(|kind| namespaces & kind != 0).map(kind_name).collect();
    if names.is_empty() { "no".to_owned() } else { names.join(", ") }
}
