//! Hooks (config.md, POSIX-platform Hooks): who runs which, what they are told, in which environment.
//!
//! `prestart`, `createRuntime` and `poststart` are run by the host, `createContainer` and `startContainer` by init.
//! A hook without `env` gets the runtime's environment on the host, and that of the process in the container.

use std::{collections::BTreeMap, path::Path};

use oci_spec::runtime::Hook;
use orlop_init::wire::{OwnedOp, message::Barrier};

use super::{
    Decisions,
    draft::Draft,
    step::{HookKind, HostOp, When, Why},
};
use crate::{Bundle, Status, bundle::hook_outputs, state::HookRecord};

/// Digits of the largest pid (`PID_MAX_LIMIT` is 4194304), with room.
const PID_DIGITS: usize = 10;

/// The hooks of one kind, as plans and states keep them.
pub(crate) fn hook_records(bundle: &Bundle, kind: HookKind) -> Vec<HookRecord> {
    let Some(hooks) = bundle.spec().hooks() else { return Vec::new() };
    let hooks = match kind {
        HookKind::Prestart => hooks.prestart(),
        HookKind::CreateRuntime => hooks.create_runtime(),
        HookKind::CreateContainer => hooks.create_container(),
        HookKind::StartContainer => hooks.start_container(),
        HookKind::Poststart => hooks.poststart(),
        HookKind::Poststop => hooks.poststop(),
    };
    hooks.iter().flatten().map(record).collect()
}

fn record(hook: &Hook) -> HookRecord {
    HookRecord {
        path: hook.path().clone(),
        args: hook.args().clone().unwrap_or_default(),
        env: hook.env().clone(),
        timeout_secs: hook.timeout().and_then(|seconds| u64::try_from(seconds).ok()),
    }
}

/// What a container's state says to hooks.
#[derive(Clone, Copy)]
struct HookState<'a> {
    oci_version: &'a str,
    id: &'a str,
    status: Status,
    bundle: &'a Path,
    annotations: &'a BTreeMap<String, String>,
}

impl HookState<'_> {
    /// One compact JSON object with blanks where the digits of the pid go, and their offset. Only the hook's pid
    /// namespace knows the number; blanks after a number are fine in JSON.
    fn to_template(self) -> (Vec<u8>, usize) {
        let text = |text: &str| serde_json::Value::from(text).to_string();
        let before = format!(
            "{{\"ociVersion\":{},\"id\":{},\"status\":{},\"pid\":",
            text(self.oci_version),
            text(self.id),
            text(self.status.as_str())
        );
        let mut after = format!(",\"bundle\":{}", text(&self.bundle.to_string_lossy()));
        if !self.annotations.is_empty() {
            let annotations: Vec<String> = self
                .annotations
                .iter()
                .map(|(name, value)| format!("{}:{}", text(name), text(value)))
                .collect();
            after.push_str(&format!(",\"annotations\":{{{}}}", annotations.join(",")));
        }
        (format!("{before}{:PID_DIGITS$}{after}}}", "").into_bytes(), before.len())
    }
}

/// Whether the host has hooks to run between the mounts and the change of root.
pub(super) fn has_host_hooks(bundle: &Bundle) -> bool {
    [HookKind::Prestart, HookKind::CreateRuntime]
        .into_iter()
        .any(|kind| !hook_records(bundle, kind).is_empty())
}

/// `prestart` and `createRuntime`, with the namespaces and mounts made and the old root still there.
pub(super) fn run_before_pivot(decisions: &Decisions<'_>, draft: &mut Draft) {
    run_on_host(decisions, HookKind::Prestart, When::At(Barrier::Mounted), draft);
    run_on_host(decisions, HookKind::CreateRuntime, When::At(Barrier::Mounted), draft);
}

/// `poststart`.
pub(super) fn run_after_start(decisions: &Decisions<'_>, draft: &mut Draft) {
    run_on_host(decisions, HookKind::Poststart, When::AfterStart, draft);
}

fn run_on_host(decisions: &Decisions<'_>, kind: HookKind, when: When, draft: &mut Draft) {
    let hooks = hook_records(decisions.bundle, kind);
    check(&hooks, kind, draft);
    if !hooks.is_empty() {
        draft.host(when, HostOp::RunHooks { kind, hooks }, Why::config(format!("hooks.{}", kind.name())));
    }
}

/// `createContainer` or `startContainer`: one step for each hook.
pub(super) fn run_in_container(decisions: &Decisions<'_>, kind: HookKind, draft: &mut Draft) {
    let hooks = hook_records(decisions.bundle, kind);
    check(&hooks, kind, draft);
    let status = match kind {
        HookKind::StartContainer => Status::Created,
        _ => Status::Creating,
    };
    let outputs = hook_outputs(decisions.bundle.annotations());
    if !hooks.is_empty() && outputs != [None; 2] {
        let words =
            "its output does not go to the file of an annotation: it runs in the container's namespaces";
        draft.warning(format!("hooks.{}", kind.name()), words);
    }
    let (state, pid_at) = HookState {
        oci_version: decisions.bundle.oci_version(),
        id: decisions.id.as_str(),
        status,
        bundle: decisions.bundle.dir(),
        annotations: &decisions.bundle.fields().annotations,
    }
    .to_template();
    for (index, hook) in hooks.iter().enumerate() {
        let at = format!("hooks.{}[{index}]", kind.name());
        let path = draft.path(&format!("{at}.path"), &hook.path);
        let args = match hook.args.as_slice() {
            [] => vec![path.clone()],
            args => draft.texts(&format!("{at}.args"), args),
        };
        let env = match &hook.env {
            None => super::process::env(decisions, draft),
            Some(env) => draft.texts(&format!("{at}.env"), env),
        };
        let op = OwnedOp::Hook {
            path,
            args,
            env,
            state: state.clone(),
            pid_at: u32::try_from(pid_at).unwrap_or(u32::MAX),
            pid_len: PID_DIGITS as u32,
            timeout_ms: hook.timeout_secs.map_or(0, |seconds| seconds.saturating_mul(1000)),
        };
        draft.init(op, Why::Config(at));
    }
}

fn check(hooks: &[HookRecord], kind: HookKind, draft: &mut Draft) {
    for (index, hook) in hooks.iter().enumerate() {
        if !hook.path.is_absolute() {
            let at = format!("hooks.{}[{index}].path", kind.name());
            draft.problem(at, format!("{:?} is not an absolute path", hook.path));
        }
    }
}
