//! `linux.resources` without devices to the files of control groups. Pure: `apply_limits.rs` writes them.
//!
//! Values are the specification's, which are those of cgroup v1; for v2 they are converted as engines and agents
//! expect it of runc. What cannot be converted is a problem with its JSON path, never dropped.

use std::collections::BTreeMap;

use super::{CgroupDirs, Limits, NeededControllers, limits_v1, limits_v2};
use crate::Problem;

/// Which files there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// v2.
    Unified,
    /// v1, with a v2 hierarchy beside it where `unified` can be written.
    Hybrid,
    /// v1 alone.
    Legacy,
}

impl Layout {
    pub(super) fn of(dirs: &CgroupDirs) -> Self {
        match dirs {
            CgroupDirs::Unified { .. } => Self::Unified,
            CgroupDirs::Legacy { dirs } if dirs.contains_key("") => Self::Hybrid,
            CgroupDirs::Legacy { .. } => Self::Legacy,
        }
    }
}

/// What it means that a file is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum IfMissing {
    /// The limit cannot be had.
    Refuse,
    /// The value is what a kernel without the file does anyway.
    Skip,
    /// Another file has the same meaning.
    Instead { file: &'static str, value: String },
}

/// One value for one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileWrite {
    /// `memory`; empty for the files that every cgroup has.
    pub(super) controller: String,
    /// In the v2 hierarchy.
    pub(super) in_v2: bool,
    pub(super) file: String,
    pub(super) value: String,
    pub(super) if_missing: IfMissing,
    /// Who asked.
    pub(super) config_path: String,
}

/// What limits come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Conversion {
    /// In order; `unified` last.
    pub(super) writes: Vec<FileWrite>,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
    /// Refuse a `memory.max` below what is in use (`checkBeforeUpdate`).
    pub(super) checks_memory_usage: bool,
}

/// Where a value goes, while it is being converted.
pub(super) struct Target<'a> {
    pub(super) conversion: &'a mut Conversion,
    pub(super) in_v2: bool,
}

impl Target<'_> {
    /// A value for `CONTROLLER.NAME`, asked for by `linux.resources.PATH`.
    pub(super) fn write(&mut self, file: &str, value: impl ToString, path: &str) {
        self.write_or(file, value, path, IfMissing::Refuse);
    }

    pub(super) fn write_or(&mut self, file: &str, value: impl ToString, path: &str, if_missing: IfMissing) {
        let controller = file.split('.').next().unwrap_or_default();
        self.conversion.writes.push(FileWrite {
            controller: controller.to_owned(),
            in_v2: self.in_v2,
            file: file.to_owned(),
            value: value.to_string(),
            if_missing,
            config_path: format!("linux.resources.{path}"),
        });
    }

    pub(super) fn problem(&mut self, path: &str, message: impl Into<String>) {
        self.conversion.problems.push(Problem::new(format!("linux.resources.{path}"), message));
    }

    pub(super) fn warn(&mut self, path: &str, message: impl Into<String>) {
        self.conversion.warnings.push(Problem::new(format!("linux.resources.{path}"), message));
    }
}

impl Limits {
    /// What cannot be done in these cgroups, whatever they hold: all problems at once.
    pub(crate) fn problems(&self, dirs: &CgroupDirs) -> Vec<Problem> {
        self.convert(Layout::of(dirs)).problems
    }

    /// What is ignored since it means nothing there.
    pub(crate) fn warnings(&self, dirs: &CgroupDirs) -> Vec<Problem> {
        self.convert(Layout::of(dirs)).warnings
    }

    /// The v2 controllers that have to be enabled for the cgroup.
    pub(crate) fn needed_controllers(&self, dirs: &CgroupDirs) -> NeededControllers {
        if self.is_empty() {
            return NeededControllers::new();
        }
        let writes = self.convert(Layout::of(dirs)).writes;
        let needed = writes.into_iter().filter(|write| {
            write.in_v2 && !write.controller.is_empty() && write.if_missing != IfMissing::Skip
        });
        needed.map(|write| (write.controller, write.config_path)).collect()
    }

    pub(super) fn convert(&self, layout: Layout) -> Conversion {
        let mut conversion = Conversion::default();
        let in_v2 = layout == Layout::Unified;
        let mut target = Target { conversion: &mut conversion, in_v2 };
        if let Some(resources) = &self.resources {
            check(resources, &mut target);
            match in_v2 {
                true => limits_v2::convert(resources, &mut target),
                false => limits_v1::convert(resources, &mut target),
            }
            convert_rdma(resources, &mut target);
        }
        if let Some(limit) = self.pids {
            let value = if limit < 0 { "max".to_owned() } else { limit.to_string() };
            target.write("pids.max", value, "pids.limit");
        }
        convert_hugepages(&self.hugepages, &mut target);
        convert_unified(&self.unified, layout, &mut target);
        conversion
    }
}

/// What is wrong in every layout.
fn check(resources: &oci_spec::runtime::LinuxResources, target: &mut Target<'_>) {
    if let Some(memory) = resources.memory() {
        let values = [
            ("memory.limit", memory.limit()),
            ("memory.swap", memory.swap()),
            ("memory.reservation", memory.reservation()),
        ];
        for (path, value) in values {
            match value {
                Some(0) => target.warn(path, "0 is taken for unset, as all engines mean it"),
                Some(value) if value < -1 => {
                    target.problem(path, format!("{value} is neither a size nor -1"))
                }
                _ => {}
            }
        }
        if let (Some(limit), Some(swap)) = (memory.limit(), memory.swap()) {
            if limit > 0 && swap > 0 && swap < limit {
                target.problem(
                    "memory.swap",
                    format!("{swap} is memory and swap together, less than the limit {limit}"),
                );
            }
        }
    }
    let Some(cpu) = resources.cpu() else { return };
    if let Some(idle) = cpu.idle().filter(|idle| !matches!(idle, 0 | 1)) {
        target.problem("cpu.idle", format!("{idle} is neither 0 nor 1"));
    }
    for (path, list) in [("cpu.cpus", cpu.cpus()), ("cpu.mems", cpu.mems())] {
        if let Some(list) = list.as_deref().filter(|list| !list.is_empty() && !is_list(list)) {
            target.problem(path, format!("{list:?} is no list of numbers and ranges"));
        }
    }
}

/// `0-3,7`, the list format of cpuset(7).
fn is_list(text: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.trim().split(',').all(|part| match part.split_once('-') {
        // The kernel also takes 0-31:2/8.
        Some((first, last)) => is_number(first) && last.split([':', '/']).all(is_number),
        None => is_number(part),
    })
}

fn convert_rdma(resources: &oci_spec::runtime::LinuxResources, target: &mut Target<'_>) {
    let devices: BTreeMap<_, _> = resources.rdma().iter().flatten().collect();
    for (device, limit) in devices {
        let path = format!("rdma[{device:?}]");
        let handles = limit.hca_handles().map(|count| format!(" hca_handle={count}")).unwrap_or_default();
        let objects = limit.hca_objects().map(|count| format!(" hca_object={count}")).unwrap_or_default();
        if handles.is_empty() && objects.is_empty() {
            target.problem(&path, "needs hcaHandles or hcaObjects");
            continue;
        }
        target.write("rdma.max", format!("{device}{handles}{objects}"), &path);
    }
}

/// Reservations are what the specification prefers; the limit on faults is set as well, as all runtimes do.
fn convert_hugepages(limits: &[(String, u64)], target: &mut Target<'_>) {
    let end = if target.in_v2 { "max" } else { "limit_in_bytes" };
    for (index, (size, limit)) in limits.iter().enumerate() {
        let path = format!("hugepageLimits[{index}]");
        if !is_page_size(size) {
            target.problem(&format!("{path}.pageSize"), format!("{size:?} is no page size like 2MB"));
            continue;
        }
        target.write(&format!("hugetlb.{size}.{end}"), limit, &path);
        // Since 5.7, and not for kernels without reservations.
        target.write_or(&format!("hugetlb.{size}.rsvd.{end}"), limit, &path, IfMissing::Skip);
    }
}

fn is_page_size(size: &str) -> bool {
    let number = ["KB", "MB", "GB"].iter().find_map(|unit| size.strip_suffix(unit));
    number.is_some_and(|number| {
        !number.starts_with('0') && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// Written last, so that they win over converted values. Whatever the key, it is a file of the cgroup itself.
fn convert_unified(unified: &BTreeMap<String, String>, layout: Layout, target: &mut Target<'_>) {
    for (file, value) in unified {
        let path = format!("linux.resources.unified[{file:?}]");
        let refuse = |message: &str| Problem::new(path.clone(), message);
        let Some((prefix, name)) =
            file.split_once('.').filter(|(prefix, name)| !prefix.is_empty() && !name.is_empty())
        else {
            target.conversion.problems.push(refuse("is no file of a cgroup, like memory.high"));
            continue;
        };
        if file.contains(['/', '\0']) {
            target.conversion.problems.push(refuse("must not hold a slash: it would lead out of the cgroup"));
            continue;
        }
        if layout == Layout::Legacy {
            target.conversion.problems.push(refuse("cgroup v2 is not mounted on this host"));
            continue;
        }
        // Files that every v2 cgroup has, whatever is enabled.
        let is_core = prefix == "cgroup" || name == "pressure" || prefix == "irq";
        target.conversion.writes.push(FileWrite {
            controller: if is_core { String::new() } else { prefix.to_owned() },
            in_v2: true,
            file: file.clone(),
            value: value.clone(),
            if_missing: IfMissing::Refuse,
            config_path: path,
        });
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Limits from the JSON of `linux.resources` without pids, hugepages and unified.
    pub(in crate::cgroup) fn limits(json: &str) -> Limits {
        Limits { resources: Some(serde_json::from_str(json).unwrap()), ..Limits::default() }
    }

    /// `file=value` of each write; problems and warnings as `!path` and `?path`.
    pub(in crate::cgroup) fn shown(limits: &Limits, layout: Layout) -> Vec<String> {
        let conversion = limits.convert(layout);
        let writes = conversion.writes.iter().map(|write| format!("{}={}", write.file, write.value));
        let problems = conversion.problems.iter().map(|problem| format!("!{}", problem.config_path));
        let warnings = conversion.warnings.iter().map(|warning| format!("?{}", warning.config_path));
        let cut = |text: String| text.replace("linux.resources.", "");
        writes.chain(problems).chain(warnings).map(cut).collect()
    }

    // spec: linux.pids.limit.zero
    #[test]
    fn pids_and_hugepages_and_unified() {
        let with_pids = |pids| Limits { pids, ..Limits::default() };
        let pages = |size: &str| Limits { hugepages: vec![(size.into(), 4096)], ..Limits::default() };
        let unified =
            |file: &str| Limits { unified: BTreeMap::from([(file.into(), "7".into())]), ..Limits::default() };
        use Layout::{Hybrid, Legacy, Unified};
        let rows: &[(Limits, Layout, &[&str])] = &[
            (with_pids(None), Unified, &[]),
            (with_pids(Some(0)), Unified, &["pids.max=0"]),
            (with_pids(Some(-1)), Legacy, &["pids.max=max"]),
            (with_pids(Some(20)), Legacy, &["pids.max=20"]),
            (pages("2MB"), Unified, &["hugetlb.2MB.max=4096", "hugetlb.2MB.rsvd.max=4096"]),
            (
                pages("1GB"),
                Legacy,
                &["hugetlb.1GB.limit_in_bytes=4096", "hugetlb.1GB.rsvd.limit_in_bytes=4096"],
            ),
            (pages("2mb"), Unified, &["!hugepageLimits[0].pageSize"]),
            (pages("../2MB"), Unified, &["!hugepageLimits[0].pageSize"]),
            (pages("2M"), Unified, &["!hugepageLimits[0].pageSize"]),
            (unified("pids.max"), Unified, &["pids.max=7"]),
            (unified("pids.max"), Hybrid, &["pids.max=7"]),
            (unified("pids.max"), Legacy, &[r#"!unified["pids.max"]"#]),
            (unified("../pids.max"), Unified, &[r#"!unified["../pids.max"]"#]),
            (unified("nested/pids.max"), Unified, &[r#"!unified["nested/pids.max"]"#]),
            (unified("pids"), Unified, &[r#"!unified["pids"]"#]),
            (unified(""), Unified, &[r#"!unified[""]"#]),
            (unified(".."), Unified, &[r#"!unified[".."]"#]),
        ];
        for (limits, layout, expected) in rows {
            assert_eq!(shown(limits, *layout), *expected, "{limits:?} {layout:?}");
        }
    }

    // spec: linux.unified.controllers-enabled
    #[test]
    fn unified_comes_last_and_names_its_controllers() {
        let mut limits = limits(r#"{"memory": {"limit": 4096}, "cpu": {"idle": 0}}"#);
        limits.pids = Some(10);
        for file in ["pids.max", "cgroup.max.depth", "cpu.pressure", "misc.max"] {
            limits.unified.insert(file.into(), "9".into());
        }
        let writes = shown(&limits, Layout::Unified);
        assert_eq!(writes.last().unwrap(), "pids.max=9");
        assert!(
            writes.iter().position(|write| write == "pids.max=10")
                < writes.iter().position(|w| w == "pids.max=9")
        );
        let unified = CgroupDirs::Unified { mount: "/c".into(), path: "/x".into() };
        let needed: Vec<String> = limits.needed_controllers(&unified).into_keys().collect();
        assert_eq!(needed, ["memory", "misc", "pids"]);
        let hybrid = CgroupDirs::Legacy { dirs: BTreeMap::from([(String::new(), "/c/u/x".into())]) };
        let needed = limits.needed_controllers(&hybrid);
        assert_eq!(needed.get("pids").map(String::as_str), Some("linux.resources.unified[\"pids.max\"]"));
        assert_eq!(needed.len(), 2);
    }

    #[test]
    fn values_that_are_wrong_everywhere_are_problems() {
        let rows: &[(&str, &[&str])] = &[
            (r#"{"memory": {"limit": 8192, "swap": 4096}}"#, &["!memory.swap"]),
            (r#"{"memory": {"limit": -2}}"#, &["!memory.limit"]),
            (r#"{"cpu": {"idle": 2}}"#, &["!cpu.idle"]),
            (r#"{"cpu": {"cpus": "x"}}"#, &["!cpu.cpus"]),
            (r#"{"cpu": {"mems": "0-"}}"#, &["!cpu.mems"]),
            (r#"{"rdma": {"mlx5_1": {}}}"#, &["!rdma[\"mlx5_1\"]"]),
        ];
        for (json, expected) in rows {
            for layout in [Layout::Unified, Layout::Legacy] {
                let shown = shown(&limits(json), layout);
                let problems: Vec<&String> = shown.iter().filter(|line| line.starts_with('!')).collect();
                assert_eq!(problems, *expected, "{json}");
            }
        }
        for good in ["0", "0-3", "0,2-4,7", "0-31:2/8", "1\n"] {
            assert!(is_list(good), "{good:?}");
        }
    }

    #[test]
    fn rdma_has_one_line_for_each_device() {
        let limits = limits(r#"{"rdma": {"b": {"hcaObjects": 2}, "a": {"hcaHandles": 3, "hcaObjects": 4}}}"#);
        let expected = ["rdma.max=a hca_handle=3 hca_object=4", "rdma.max=b hca_object=2"];
        assert_eq!(shown(&limits, Layout::Unified), expected);
        assert_eq!(shown(&limits, Layout::Legacy), expected);
    }
}
