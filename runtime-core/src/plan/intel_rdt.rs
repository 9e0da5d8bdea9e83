//! `linux.intelRdt`: which class of service of resctrl, whether it is the container's own, and what it is set to.

use oci_spec::runtime::LinuxIntelRdt;
use orlop_init::wire::message::Barrier;

use super::{
    Decisions,
    draft::Draft,
    step::{HostOp, When, Why},
};
use crate::resctrl::{Existence, RdtGroup};

/// Before the launcher: what cannot be had fails early.
pub(super) fn make(decisions: &Decisions<'_>, draft: &mut Draft) {
    let Some(rdt) = decisions.linux().and_then(|linux| linux.intel_rdt().as_ref()) else { return };
    let replaced = [("enableCMT", rdt.enable_cmt()), ("enableMBM", rdt.enable_mbm())];
    for (name, _) in replaced.into_iter().filter(|(_, value)| **value == Some(true)) {
        let words = "has no effect since runtime-spec 1.3: use enableMonitoring";
        draft.warning(format!("linux.intelRdt.{name}"), words);
    }
    let Some(root) = &decisions.host.resctrl else {
        return draft.problem("linux.intelRdt", "no resctrl file system is mounted on this host");
    };
    let group = group(rdt, root, decisions.id.as_str());
    draft.host(When::BeforeLaunch, HostOp::MakeRdtGroup { group }, Why::config("linux.intelRdt"));
}

/// While init waits at its first barrier: what it makes from there on is in the group.
pub(super) fn join(decisions: &Decisions<'_>, draft: &mut Draft) {
    if decisions.linux().is_some_and(|linux| linux.intel_rdt().is_some()) {
        draft.host(When::At(Barrier::Placed), HostOp::JoinRdtGroup, Why::config("linux.intelRdt"));
    }
}

fn group(rdt: &LinuxIntelRdt, root: &std::path::Path, id: &str) -> RdtGroup {
    let class = rdt.clos_id().as_deref().filter(|name| !name.is_empty());
    let schemata = schemata(rdt);
    let existence = match class {
        Some(_) if schemata.is_empty() => Existence::Required,
        _ => Existence::Any,
    };
    let dir = match class {
        Some("/") => root.to_owned(),
        class => root.join(class.unwrap_or(id)),
    };
    let is_monitored = *rdt.enable_monitoring() == Some(true);
    RdtGroup {
        root: root.to_owned(),
        dir,
        existence,
        is_shared: class.is_some(),
        schemata,
        monitored_as: is_monitored.then(|| id.to_owned()),
    }
}

/// In the order of the specification: the older fields first, so that `schemata` wins.
fn schemata(rdt: &LinuxIntelRdt) -> Vec<(String, String)> {
    let line = |name: &str, text: Option<&str>| {
        let text = text.map(str::trim_end).filter(|text| !text.is_empty())?;
        Some((format!("linux.intelRdt.{name}"), text.to_owned()))
    };
    let listed = rdt.schemata().as_deref().unwrap_or_default();
    let listed: Vec<&str> = listed.iter().map(String::as_str).filter(|line| !line.is_empty()).collect();
    [
        line("l3CacheSchema", rdt.l3_cache_schema().as_deref()),
        line("memBwSchema", rdt.mem_bw_schema().as_deref()),
        line("schemata", Some(&listed.join("\n"))),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::{Value, json};

    use super::{Existence, group};

    // spec: linux.intelrdt.closid-unset-container-id linux.intelrdt.closid-set-missing-created
    // spec: linux.intelrdt.rules-applied
    #[test]
    fn fields_decide_on_folder_and_lines() {
        let l3 = |text: &str| ("linux.intelRdt.l3CacheSchema".to_owned(), text.to_owned());
        let mb = |text: &str| ("linux.intelRdt.memBwSchema".to_owned(), text.to_owned());
        let all = |text: &str| ("linux.intelRdt.schemata".to_owned(), text.to_owned());
        for (rdt, dir, existence, is_shared, schemata, monitored_as) in [
            (json!({}), "/r/c1", Existence::Any, false, vec![], None),
            (json!({"closID": ""}), "/r/c1", Existence::Any, false, vec![], None),
            (json!({"closID": "gold"}), "/r/gold", Existence::Required, true, vec![], None),
            (json!({"closID": "/"}), "/r", Existence::Required, true, vec![], None),
            (
                json!({"closID": "gold", "memBwSchema": "MB:0=20", "l3CacheSchema": "L3:0=f"}),
                "/r/gold",
                Existence::Any,
                true,
                vec![l3("L3:0=f"), mb("MB:0=20")],
                None,
            ),
            (
                json!({"schemata": ["L3:0=f", "MB:0=20"], "l3CacheSchema": "L3:0=1\n", "enableMonitoring": true}),
                "/r/c1",
                Existence::Any,
                false,
                vec![l3("L3:0=1"), all("L3:0=f\nMB:0=20")],
                Some("c1".to_owned()),
            ),
        ] {
            let text: Value = rdt.clone();
            let found = group(&serde_json::from_value(rdt).unwrap(), Path::new("/r"), "c1");
            assert_eq!(found.dir, Path::new(dir), "{text}");
            assert_eq!((found.existence, found.is_shared), (existence, is_shared), "{text}");
            assert_eq!((found.schemata, found.monitored_as), (schemata, monitored_as), "{text}");
        }
    }
}
