//! `hooks`: each has an absolute path and a positive timeout.

use oci_spec::runtime::Hook;

use super::why_not_absolute;
use crate::{Bundle, Problem};

pub(super) fn check(bundle: &Bundle) -> Vec<Problem> {
    let Some(hooks) = bundle.spec().hooks() else { return Vec::new() };
    [
        ("prestart", hooks.prestart()),
        ("createRuntime", hooks.create_runtime()),
        ("createContainer", hooks.create_container()),
        ("startContainer", hooks.start_container()),
        ("poststart", hooks.poststart()),
        ("poststop", hooks.poststop()),
    ]
    .into_iter()
    .flat_map(|(kind, hooks)| {
        hooks.iter().flatten().enumerate().map(move |(index, hook)| (kind, index, hook))
    })
    .flat_map(|(kind, index, hook)| check_hook(&format!("hooks.{kind}[{index}]"), hook))
    .collect()
}

fn check_hook(at: &str, hook: &Hook) -> Vec<Problem> {
    let path = why_not_absolute(hook.path()).map(|words| Problem::new(format!("{at}.path"), words));
    let timeout = hook.timeout().filter(|timeout| *timeout <= 0).map(|timeout| {
        Problem::new(format!("{at}.timeout"), format!("{timeout} is not a positive number of seconds"))
    });
    path.into_iter().chain(timeout).collect()
}
