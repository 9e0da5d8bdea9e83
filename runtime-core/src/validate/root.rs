//! `root`, `hostname`, `domainname`.

use oci_spec::runtime::LinuxNamespaceType;

use super::has_namespace;
use crate::{Bundle, Problem};

/// `__NEW_UTS_LEN` of linux/utsname.h.
const MAX_NAME: usize = 64;

pub(super) fn check(bundle: &Bundle) -> Vec<Problem> {
    let spec = bundle.spec();
    let mut problems = Vec::new();
    match spec.root() {
        Some(root) if root.path().as_os_str().is_empty() => {
            problems.push(Problem::new("root.path", "must not be empty"));
        }
        Some(_) => {}
        None => problems.push(Problem::new("root", "root must be specified")),
    }
    for (field, name) in [("hostname", spec.hostname()), ("domainname", spec.domainname())] {
        let Some(name) = name.as_deref().filter(|name| !name.is_empty()) else { continue };
        if !has_namespace(bundle, LinuxNamespaceType::Uts) {
            problems.push(Problem::new(
                field,
                "unable to set without a private UTS namespace: add {\"type\": \"uts\"} to linux.namespaces",
            ));
        }
        if name.len() > MAX_NAME {
            problems.push(Problem::new(field, format!("has {} bytes, Linux takes {MAX_NAME}", name.len())));
        }
    }
    problems
}
