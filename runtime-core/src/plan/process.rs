//! The process of the container: environment, ids, working directory, limits, the program.

use std::ffi::CString;

use orlop_init::wire::{OwnedOp, message::Barrier};

use super::{
    Decisions,
    draft::Draft,
    step::{HostOp, When, Why},
};

/// Where programs are looked for without a PATH in the environment.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// umask without `process.user.umask`: what images expect, and what other runtimes set.
const DEFAULT_UMASK: u32 = 0o022;

/// By number (resource.h).
const RLIMITS: [&str; 16] = [
    "RLIMIT_CPU",
    "RLIMIT_FSIZE",
    "RLIMIT_DATA",
    "RLIMIT_STACK",
    "RLIMIT_CORE",
    "RLIMIT_RSS",
    "RLIMIT_NPROC",
    "RLIMIT_NOFILE",
    "RLIMIT_MEMLOCK",
    "RLIMIT_AS",
    "RLIMIT_LOCKS",
    "RLIMIT_SIGPENDING",
    "RLIMIT_MSGQUEUE",
    "RLIMIT_NICE",
    "RLIMIT_RTPRIO",
    "RLIMIT_RTTIME",
];

/// The name of a limit's number.
pub(super) fn rlimit_name(resource: u32) -> &'static str {
    usize::try_from(resource).ok().and_then(|at| RLIMITS.get(at)).copied().unwrap_or("an unknown limit")
}

/// The environment as the program gets it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Environment {
    /// One entry for each name.
    pub(super) entries: Vec<String>,
    /// HOME is missing or empty: init takes it from the container's /etc/passwd.
    pub(super) needs_home: bool,
    /// What PATH says, or the default.
    pub(super) search: String,
}

/// `process.env`, then the caller's additions. Of several entries with one name the last counts, at the place of the
/// first.
pub(super) fn plan_environment(configured: &[String], added: &[String]) -> Environment {
    fn name(entry: &str) -> &str {
        entry.split_once('=').map_or(entry, |(name, _)| name)
    }
    let mut entries: Vec<String> = Vec::with_capacity(configured.len() + added.len() + 1);
    for entry in configured.iter().chain(added) {
        match entries.iter_mut().find(|known| name(known) == name(entry)) {
            Some(known) => known.clone_from(entry),
            None => entries.push(entry.clone()),
        }
    }
    let value =
        |wanted: &str| entries.iter().find(|entry| name(entry) == wanted).map(|entry| &entry[wanted.len()..]);
    let needs_home = value("HOME").is_none_or(|home| matches!(home, "" | "="));
    let search = value("PATH").map_or(DEFAULT_PATH, |path| path.trim_start_matches('=')).to_owned();
    if needs_home {
        entries.retain(|entry| name(entry) != "HOME");
    }
    Environment { entries, needs_home, search }
}

/// The entries for the kernel. A problem names the index, never the value.
pub(super) fn env(decisions: &Decisions<'_>, draft: &mut Draft) -> Vec<CString> {
    draft.texts("process.env", &decisions.environment.entries)
}

/// Ids that the user namespace does not have, and groups that a plain user cannot set.
pub(super) fn check_user(decisions: &Decisions<'_>, draft: &mut Draft) {
    let Some(process) = decisions.process() else { return };
    let (users, user) = (&decisions.users, process.user());
    if !users.maps_uid(user.uid()) {
        draft.problem("process.user.uid", format!("{} is not in {}", user.uid(), users.uids_are_in()));
    }
    if !users.maps_gid(user.gid()) {
        draft.problem("process.user.gid", format!("{} is not in {}", user.gid(), users.gids_are_in()));
    }
    for (index, &gid) in user.additional_gids().iter().flatten().enumerate() {
        let at = format!("process.user.additionalGids[{index}]");
        if decisions.bundle.keeps_original_groups() {
            draft.warning(at, "has no effect: the groups of the caller are kept");
        } else if !users.can_set_groups() {
            draft.problem(at, "cannot set any additional groups in a rootless container");
        } else if !users.maps_gid(gid) {
            draft.problem(at, format!("{gid} is not in {}", users.gids_are_in()));
        }
    }
}

/// The working directory exists before the root becomes read-only; the engines rely on it.
pub(super) fn make_cwd(decisions: &Decisions<'_>, draft: &mut Draft) {
    let Some(process) = decisions.process() else { return };
    if !process.cwd().is_absolute() {
        return draft.problem("process.cwd", format!("{:?} is not an absolute path", process.cwd()));
    }
    let path = draft.path("process.cwd", process.cwd());
    if path.as_bytes() != b"/" {
        draft.init(OwnedOp::MakeCwd { path }, Why::config("process.cwd"));
    }
}

/// Whether supplementary groups are set, be it to none.
fn sets_groups(decisions: &Decisions<'_>) -> bool {
    decisions.users.can_set_groups() && !decisions.bundle.keeps_original_groups()
}

/// The change of ids.
pub(super) fn set_user(decisions: &Decisions<'_>, draft: &mut Draft) {
    let Some(process) = decisions.process() else { return };
    let user = process.user();
    let op = OwnedOp::SetUser {
        uid: user.uid(),
        gid: user.gid(),
        groups: user.additional_gids().clone().unwrap_or_default(),
        set_groups: sets_groups(decisions),
        umask: user.umask().unwrap_or(DEFAULT_UMASK),
    };
    draft.init(op, Why::config("process.user"));
}

/// As the user and with root's capabilities still effective: so it works where only root may search (which runc tries
/// first) and where only the user may (a network or user's file system, which runc tries next).
pub(super) fn change_dir(decisions: &Decisions<'_>, draft: &mut Draft) {
    let Some(process) = decisions.process() else { return };
    let path = draft.path("process.cwd", process.cwd());
    draft.init(OwnedOp::Chdir { path }, Why::config("process.cwd"));
}

/// A missing program is an error of create, told while somebody listens; found as the user, with the final
/// capabilities, from the working directory.
pub(super) fn find_executable(decisions: &Decisions<'_>, draft: &mut Draft) {
    let args = decisions.args();
    if args.is_empty() {
        return draft.problem("process.args", "must name a program");
    }
    let op = OwnedOp::FindExecutable {
        name: draft.text("process.args[0]", &*args[0]),
        search: draft.text("process.env", &*decisions.environment.search),
    };
    draft.init(op, Why::config("process.args[0]"));
}

/// Whatever runs in the container from here on, hooks included, gains nothing by setuid files.
pub(super) fn no_new_privileges(decisions: &Decisions<'_>, draft: &mut Draft) {
    if decisions.process().and_then(oci_spec::runtime::Process::no_new_privileges).unwrap_or(false) {
        draft.init(OwnedOp::NoNewPrivileges {}, Why::config("process.noNewPrivileges"));
    }
}

/// Of the capability that prlimit(2) asks for when the target has other ids than the caller.
const CAP_SYS_RESOURCE: u64 = 1 << 24;

/// Last: a limit on files or processes must not hit the setting up. From outside, where init could not raise one; a
/// caller that could not either (inside another container) may not touch another user's limits, so there init does it.
pub(super) fn set_rlimits(decisions: &Decisions<'_>, draft: &mut Draft) {
    for (index, (name, soft, hard)) in decisions.bundle.fields().rlimits.iter().enumerate() {
        let at = format!("process.rlimits[{index}]");
        let Some(resource) = RLIMITS.iter().position(|known| known == name) else {
            draft.problem(format!("{at}.type"), format!("{name:?} is no resource limit of Linux"));
            continue;
        };
        let (name, soft, hard) = (RLIMITS[resource], *soft, *hard);
        let resource = u32::try_from(resource).unwrap_or(u32::MAX);
        if decisions.host.credentials.effective & CAP_SYS_RESOURCE == 0 {
            draft.init(OwnedOp::Rlimit { resource, soft, hard }, Why::Config(at));
        } else {
            let op = HostOp::Rlimit { resource, name, soft, hard };
            draft.host(When::At(Barrier::Ready), op, Why::Config(at));
        }
    }
}

/// Early, so that all that follows is counted as the container's.
pub(super) fn set_oom_score(decisions: &Decisions<'_>, draft: &mut Draft) {
    if let Some(value) = decisions.process().and_then(oci_spec::runtime::Process::oom_score_adj) {
        draft.host(
            When::At(Barrier::Placed),
            HostOp::OomScoreAdj { value },
            Why::config("process.oomScoreAdj"),
        );
    }
}

/// The program.
pub(super) fn execute(decisions: &Decisions<'_>, draft: &mut Draft) {
    let Some(process) = decisions.process() else { return };
    let op = OwnedOp::Exec {
        args: draft.texts("process.args", decisions.args()),
        env: env(decisions, draft),
        home_of: if decisions.environment.needs_home { process.user().uid() } else { u32::MAX },
        preserved_fds: decisions.options.preserved_fds,
        ignored_signals: 0,
    };
    draft.init(op, Why::config("process.args"));
}

#[cfg(test)]
mod tests {
    use super::{DEFAULT_PATH, RLIMITS, plan_environment};

    fn entries(entries: &[&str]) -> Vec<String> {
        entries.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_last_entry_of_a_name_counts_at_the_place_of_the_first() {
        let environment = plan_environment(&entries(&["A=1", "B=2", "A=3=x"]), &entries(&["B=4", "C=5"]));
        assert_eq!(environment.entries, ["A=3=x", "B=4", "C=5"]);
    }

    #[test]
    fn home_is_asked_for_when_missing_or_empty() {
        for (env, needs_home, kept) in [
            (&["HOME=/h"][..], false, 1),
            (&["HOME="], true, 0),
            (&["HOME"], true, 0),
            (&[], true, 0),
            (&["HOMER=x"], true, 1),
        ] {
            let environment = plan_environment(&entries(env), &[]);
            assert_eq!((environment.needs_home, environment.entries.len()), (needs_home, kept), "{env:?}");
        }
    }

    #[test]
    fn programs_are_searched_in_path_or_the_usual_places() {
        for (env, search) in [
            (&["PATH=/x:/y"][..], "/x:/y"),
            (&["PATH="], ""),
            (&["PATHS=/x"], DEFAULT_PATH),
            (&["PATH=/x", "PATH=/y"], "/y"),
        ] {
            assert_eq!(plan_environment(&entries(env), &[]).search, search, "{env:?}");
        }
    }

    #[test]
    fn limits_have_the_numbers_of_the_kernel() {
        for (number, name) in
            [(0, "RLIMIT_CPU"), (6, "RLIMIT_NPROC"), (7, "RLIMIT_NOFILE"), (15, "RLIMIT_RTTIME")]
        {
            assert_eq!(RLIMITS[number], name);
        }
    }
}
