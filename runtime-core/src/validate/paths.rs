//! `linux.maskedPaths`, `linux.readonlyPaths`, `linux.rootfsPropagation`.

use std::path::Path;

use super::{linux, why_not_absolute};
use crate::{Bundle, Problem};

/// Those of the specification, and the recursive ones that runc's users write.
const PROPAGATIONS: &[&str] =
    &["", "shared", "slave", "private", "unbindable", "rshared", "rslave", "rprivate", "runbindable"];

pub(super) fn check(bundle: &Bundle) -> Vec<Problem> {
    let Some(linux) = linux(bundle) else { return Vec::new() };
    let mut problems = Vec::new();
    for (at, paths) in [("maskedPaths", linux.masked_paths()), ("readonlyPaths", linux.readonly_paths())] {
        for (index, path) in paths.iter().flatten().enumerate() {
            if let Some(words) = why_not_absolute(Path::new(path)) {
                problems.push(Problem::new(format!("linux.{at}[{index}]"), words));
            }
        }
    }
    if let Some(value) = linux.rootfs_propagation().as_deref().filter(|value| !PROPAGATIONS.contains(value)) {
        let words = format!(
            "unknown rootfsPropagation {value:?}, expected one of shared, slave, private, unbindable"
        );
        problems.push(Problem::new("linux.rootfsPropagation", words));
    }
    problems
}
