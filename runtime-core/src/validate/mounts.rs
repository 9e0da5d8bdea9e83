//! `mounts`: what can be said without the meaning of options, which `plan` knows.

use crate::{Bundle, Problem};

pub(super) fn check(bundle: &Bundle) -> Vec<Problem> {
    let mounts = bundle.spec().mounts().iter().flatten().enumerate();
    mounts
        .filter(|(_, mount)| mount.destination().as_os_str().is_empty())
        .map(|(index, _)| Problem::new(format!("mounts[{index}].destination"), "must not be empty"))
        .collect()
}
