//! `mounts`: what can be said without the meaning of options, which `plan` knows.

use oci_spec::runtime::Mount;

use super::id_maps::check_map;
use crate::{Bundle, Problem};

pub(super) fn check(bundle: &Bundle) -> Vec<Problem> {
    let mounts = bundle.spec().mounts().iter().flatten().enumerate();
    mounts.flat_map(|(index, mount)| check_mount(&format!("mounts[{index}]"), mount)).collect()
}

fn check_mount(at: &str, mount: &Mount) -> Vec<Problem> {
    let mut problems = Vec::new();
    if mount.destination().as_os_str().is_empty() {
        problems.push(Problem::new(format!("{at}.destination"), "must not be empty"));
    }
    let uids = mount.uid_mappings().as_deref().unwrap_or_default();
    let gids = mount.gid_mappings().as_deref().unwrap_or_default();
    for (name, maps, other) in [("uidMappings", uids, gids), ("gidMappings", gids, uids)] {
        let at = format!("{at}.{name}");
        if maps.is_empty() && !other.is_empty() {
            problems
                .push(Problem::new(at, "is missing: id-mapped mounts must have both uid and gid mappings"));
        } else {
            problems.extend(check_map(&at, maps));
        }
    }
    problems
}
