//! Hooks in the runtime's namespaces: `prestart`, `createRuntime`, `poststart`, `poststop`.

use std::{
    os::unix::ffi::OsStrExt,
    path::Path,
    time::{Duration, Instant},
};

use serde::Serialize;

use super::{
    launcher::Launcher,
    program::{self, Finished, Program, text, texts},
};
use crate::{
    Deadline, Error, ErrorKind, Result, Status,
    bundle::hook_outputs,
    plan::step::HookKind,
    state::{HookRecord, Record},
    sys::pidfd::Ended,
};

/// The state as hooks read it on stdin (runtime.md, State): one compact object.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HookState<'a> {
    oci_version: &'a str,
    id: &'a str,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<i32>,
    bundle: &'a Path,
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    annotations: &'a std::collections::BTreeMap<String, String>,
}

impl<'a> HookState<'a> {
    pub(super) fn new(record: &'a Record, status: Status, pid: Option<i32>) -> Self {
        Self {
            oci_version: &record.oci_version,
            id: &record.id,
            status,
            pid,
            bundle: &record.bundle,
            annotations: &record.annotations,
        }
    }
}

/// Which hooks, and what they are told.
#[derive(Clone, Copy)]
pub(crate) struct HookCall<'a> {
    pub(crate) kind: HookKind,
    pub(crate) record: &'a Record,
    pub(crate) status: Status,
    pub(crate) pid: Option<i32>,
    /// Of the whole command; each hook may have a shorter one.
    pub(crate) deadline: Deadline<'a>,
}

/// Runs hooks one after the other; the first failure ends it.
pub(crate) fn run_hooks(launcher: &Launcher, hooks: &[HookRecord], call: HookCall<'_>) -> Result<()> {
    if hooks.is_empty() {
        return Ok(());
    }
    let record = call.record;
    let state = HookState::new(record, call.status, call.pid);
    let state = serde_json::to_vec(&state).map_err(|source| {
        Error::new(ErrorKind::StateCorrupt, "the state cannot be written as JSON").with_source(source)
    })?;
    hooks.iter().enumerate().try_for_each(|(index, hook)| {
        let name = call.kind.name();
        // A time beyond what the clock can tell is no limit.
        let own = hook.timeout_secs.and_then(|secs| Instant::now().checked_add(Duration::from_secs(secs)));
        let limit = own.map_or(call.deadline, |own| call.deadline.no_later_than(own));
        program(hook, record)
            .and_then(|program| program::run(launcher, &program, &state, limit))
            .and_then(|finished| check(&finished))
            .map_err(|error| {
                let is_over = call.deadline.instant().is_some_and(|deadline| Instant::now() >= deadline);
                let error = match hook.timeout_secs {
                    Some(secs) if error.kind() == ErrorKind::Timeout && !is_over => Error::new(
                        ErrorKind::HookFailed,
                        format!("hook ran past specified timeout of {secs}.0s"),
                    ),
                    _ => error,
                };
                let kind = match error.kind() {
                    ErrorKind::Cancelled => ErrorKind::Cancelled,
                    _ if is_over => ErrorKind::Timeout,
                    _ => ErrorKind::HookFailed,
                };
                error
                    .context(format_args!("error running {name} hook #{index}"))
                    .with_kind(kind)
                    .with_path(&hook.path)
                    .with_config_path(format!("hooks.{name}[{index}]"))
            })
    })
}

/// The hook as a program: without `args` its path is the only one.
fn program<'a>(hook: &'a HookRecord, record: &'a Record) -> Result<Program<'a>> {
    let (cwd, outputs) = (record.bundle.as_path(), hook_outputs(&record.annotations));
    let args = match hook.args.as_slice() {
        [] => vec![text(hook.path.as_os_str().as_bytes())?],
        args => texts(args)?,
    };
    let env = match &hook.env {
        Some(env) => texts(env)?,
        // The specification is silent; scripts count on PATH, and other runtimes hand on their own.
        None => std::env::vars_os()
            .map(|(name, value)| text([name.as_bytes(), b"=", value.as_bytes()].concat()))
            .collect::<Result<_>>()?,
    };
    Ok(Program { name: &hook.path, search: "", args, env, cwd, outputs })
}

/// runc's words for a hook that did not succeed.
fn check(finished: &Finished) -> Result<()> {
    let outcome = match finished.ended {
        Ended::Exited(0) => return Ok(()),
        Ended::Exited(code) => format!("exit status {code}"),
        Ended::Signaled(signal) => format!("signal {signal}"),
        Ended::Unknown => "its exit status was taken by another wait of this process".to_owned(),
    };
    let Finished { stdout, stderr, .. } = finished;
    Err(Error::new(ErrorKind::HookFailed, format!("{outcome}, stdout: {stdout}, stderr: {stderr}")))
}

/// Failures of poststop hooks are warnings (runtime.md, Lifecycle, step 13): all of them run, none beyond the deadline.
pub(crate) fn run_poststop(launcher: &Launcher, record: &Record, deadline: Deadline<'_>) {
    let call = HookCall { kind: HookKind::Poststop, record, status: Status::Stopped, pid: None, deadline };
    for hook in &record.poststop {
        if let Err(error) = run_hooks(launcher, std::slice::from_ref(hook), call) {
            tracing::warn!(id = record.id, %error, "poststop hook failed");
        }
    }
}
