//! A failed step of launcher or init in words: what was attempted, on which path, for which part of the configuration,
//! what the kernel said. The wording is the one that engines look for.

mod hints;

use std::ffi::CStr;

use orlop_init::wire::{OwnedOp, message::Detail};

use super::{
    Plan,
    explain::describe,
    step::{InitStep, Why},
};
use crate::{Error, ErrorKind, error::errno_text};

const EPERM: i32 = 1;
const ENOENT: i32 = 2;
const EACCES: i32 = 13;

/// What init told of its failure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FailureReport<'a> {
    /// Index in the plan.
    pub(crate) step: u32,
    pub(crate) errno: i32,
    pub(crate) detail: Detail,
    /// Of a failed hook.
    pub(crate) output: &'a [u8],
}

/// The error for a step that failed.
pub(crate) fn failure(plan: &Plan, report: &FailureReport<'_>) -> Error {
    let step = usize::try_from(report.step).ok().and_then(|index| plan.init.get(index));
    let Some(step) = step else {
        return Error::from_errno(
            format!("init failed in step {}, which the plan does not have", report.step),
            report.errno,
        );
    };
    let error = match report.detail.what() {
        Detail::MALFORMED => Error::new(ErrorKind::Kernel, "init cannot read its plan"),
        Detail::CHANNEL => {
            Error::from_errno(format!("cannot {}: the channel to the host", describe(step)), report.errno)
        }
        Detail::SIGNALLED => {
            let message =
                format!("container init was ended by signal {} before its start", report.detail.number());
            Error::new(ErrorKind::WrongStatus, message)
        }
        _ => render(step, report),
    };
    let error = match hints::hint(step, report) {
        Some(hint) => error.with_hint(hint),
        None => error,
    };
    annotate(error, step)
}

/// The facts beside the message.
fn annotate(error: Error, step: &InitStep) -> Error {
    let error = error.with_step(describe(step));
    let error = match &step.why {
        Why::Config(path) => error.with_config_path(path),
        Why::Always(_) | Why::Option(_) => error,
    };
    match path_of(&step.op) {
        Some(path) => error.with_path(text(path)),
        None => error,
    }
}

fn render(step: &InitStep, report: &FailureReport<'_>) -> Error {
    match &step.op {
        OwnedOp::FindExecutable { name, .. } => look_up(&text(name), report),
        OwnedOp::Exec { .. } if report.detail.what() == Detail::FILTER => filter_error(report.errno),
        OwnedOp::Exec { args, .. } => {
            let program = args.first().map(|arg| text(arg)).unwrap_or_default();
            Error::from_errno(format!("exec {program}"), report.errno).with_kind(ErrorKind::ExecFailed)
        }
        OwnedOp::Hook { path, .. } => hook(step, &text(path), report),
        OwnedOp::Chdir { path } => chdir(&text(path), report),
        OwnedOp::NewMount { source, target, .. } | OwnedOp::BindMount { source, target, .. } => {
            mount(step, (&text(source), &text(target)), report)
        }
        _ => {
            let what =
                detail_words(&step.op, report.detail).map(|words| format!(": {words}")).unwrap_or_default();
            let asked = asked_by(step);
            Error::from_errno(format!("cannot {}{asked}{what}", describe(step)), report.errno)
        }
    }
}

/// A filter that the kernel did not take when the program was to be executed.
pub(crate) fn filter_error(errno: i32) -> Error {
    let error = Error::from_errno("error loading seccomp filter into kernel", errno);
    let error = error.with_config_path("linux.seccomp");
    match hints::filter(errno) {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

fn asked_by(step: &InitStep) -> String {
    match &step.why {
        Why::Config(path) => format!(" ({path})"),
        Why::Option(option) => format!(" ({option})"),
        Why::Always(_) => String::new(),
    }
}

/// Why the program is not started, as engines and people grep it.
fn look_up(name: &str, report: &FailureReport<'_>) -> Error {
    let error = match (report.detail.what(), report.errno) {
        (Detail::NOT_IN_PATH, _) => {
            Error::new(ErrorKind::ExecFailed, format!("exec: {name:?}: executable file not found in $PATH"))
        }
        // What execve(2) says of a directory; engines tell by the last words that it is the user's mistake.
        (Detail::IS_DIRECTORY, _) => Error::from_errno(format!("exec: {name:?}: is a directory"), EACCES),
        (_, ENOENT) => Error::from_errno(format!("exec: {name:?}: stat {name}"), ENOENT),
        (_, errno) => Error::from_errno(format!("exec: {name:?}"), errno),
    };
    error.with_kind(ErrorKind::ExecFailed).context("unable to start container process")
}

fn chdir(path: &str, report: &FailureReport<'_>) -> Error {
    let attempted = format!("chdir to cwd ({path:?}) set in config.json failed");
    let error = match report.detail.what() {
        Detail::OUTSIDE_ROOT => {
            Error::new(ErrorKind::InvalidConfig, format!("{attempted}: it lies outside the container's root"))
        }
        _ => Error::from_errno(attempted, report.errno),
    };
    error.context("unable to start container process")
}

fn mount(step: &InitStep, (source, target): (&str, &str), report: &FailureReport<'_>) -> Error {
    let what = mount_words(step, report)
        .or_else(|| detail_words(&step.op, report.detail))
        .unwrap_or_else(|| "mount".to_owned());
    let asked = asked_by(step);
    Error::from_errno(
        format!("error mounting {source:?} to rootfs at {target:?}{asked}: {what}"),
        report.errno,
    )
    .context("unable to start container process: error during container init")
}

/// What proc and sysfs alone are refused for.
fn mount_words(step: &InitStep, report: &FailureReport<'_>) -> Option<String> {
    let OwnedOp::NewMount { fs_type, no_symlink: true, .. } = &step.op else { return None };
    let kind = text(fs_type);
    match (report.detail.what(), report.errno) {
        (Detail::MISMATCH, _) => Some(format!("filesystem {kind:?} must be mounted on ordinary directory")),
        (Detail::COVERED, EPERM) => Some(format!(
            "the kernel allows no new {kind} while parts of the one that the runtime sees are covered, as in a container"
        )),
        _ => None,
    }
}

/// `error running createContainer hook #0: …`; kind and index are in the JSON path that asked.
fn hook(step: &InitStep, path: &str, report: &FailureReport<'_>) -> Error {
    let (kind, index) = match &step.why {
        Why::Config(at) => at
            .strip_prefix("hooks.")
            .and_then(|at| at.strip_suffix(']'))
            .and_then(|at| at.split_once('['))
            .unwrap_or(("", "")),
        Why::Always(_) | Why::Option(_) => ("", ""),
    };
    let number = report.detail.number();
    let ended = match report.detail.what() {
        Detail::HOOK_STATUS => format!("exit status {number}"),
        Detail::HOOK_SIGNAL => format!("signal: {number}"),
        Detail::HOOK_TIMEOUT => match &step.op {
            OwnedOp::Hook { timeout_ms, .. } => {
                format!("hook ran past specified timeout of {:.1}s", *timeout_ms as f64 / 1000.0)
            }
            _ => "hook ran past specified timeout".to_owned(),
        },
        _ => format!("fork/exec {path}: {}", errno_text(report.errno)),
    };
    let output = String::from_utf8_lossy(report.output);
    // Init reads both through one pipe. Engines know the two words; what is told of a failure is mostly stderr.
    let output = output.trim_end();
    Error::new(
        ErrorKind::HookFailed,
        format!("error running {kind} hook #{index}: {ended}, stdout: , stderr: {output}"),
    )
}

/// The part of the step that failed.
fn detail_words(op: &OwnedOp, detail: Detail) -> Option<String> {
    let words = match detail.what() {
        Detail::FS_TYPE => match op {
            OwnedOp::NewMount { fs_type, .. } => return Some(format!("fsopen {:?}", text(fs_type))),
            _ => "fsopen",
        },
        Detail::OPTION => return Some(option_words(op, detail)),
        Detail::SUPERBLOCK => "make the file system",
        Detail::SOURCE => "open the source",
        Detail::TARGET => "make or open the target",
        Detail::ATTACH => "attach it",
        Detail::ATTRIBUTES => "set its flags",
        Detail::PROPAGATION => "set its propagation",
        Detail::MISMATCH => "what is there is something else",
        Detail::COVERED => "make its mount",
        Detail::IDMAP => "set its id map, which not every file system supports",
        Detail::LINK => "copy the link",
        Detail::OWNER => "set owner and mode",
        Detail::OPEN => "open",
        Detail::WRITE => "write",
        Detail::TERMINAL => "open the terminal",
        Detail::UID => "setresuid",
        Detail::GID => "setresgid",
        Detail::GROUPS => "setgroups",
        _ => return None,
    };
    Some(words.to_owned())
}

fn option_words(op: &OwnedOp, detail: Detail) -> String {
    let (OwnedOp::NewMount { options, .. } | OwnedOp::Remount { options, .. }) = op else {
        return "option".to_owned();
    };
    match option_of(options, detail) {
        Some(option) => format!("option {:?}", text(option)),
        None => "option".to_owned(),
    }
}

fn option_of(options: &[std::ffi::CString], detail: Detail) -> Option<&CStr> {
    usize::try_from(detail.number()).ok().and_then(|index| options.get(index)).map(|option| &**option)
}

/// The file a step is about.
fn path_of(op: &OwnedOp) -> Option<&CStr> {
    match op {
        OwnedOp::AttachRootfs { path, .. }
        | OwnedOp::Symlink { path, .. }
        | OwnedOp::Remove { path }
        | OwnedOp::DeviceNode { path, .. }
        | OwnedOp::MaskPath { path }
        | OwnedOp::ReadonlyPath { path }
        | OwnedOp::Hook { path, .. }
        | OwnedOp::Chdir { path }
        | OwnedOp::MakeCwd { path } => Some(path),
        OwnedOp::NewMount { target, .. }
        | OwnedOp::BindProc { target, .. }
        | OwnedOp::BindMount { target, .. }
        | OwnedOp::Remount { target, .. } => Some(target),
        OwnedOp::FindExecutable { name, .. } => Some(name),
        OwnedOp::Exec { args, .. } => args.first().map(|arg| &**arg),
        _ => None,
    }
}

fn text(text: &CStr) -> String {
    text.to_string_lossy().into_owned()
}
