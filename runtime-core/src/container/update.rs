//! `update`: new limits for a container that exists.

use std::time::Instant;

use serde_json::{Map, Value, json};

use super::{Container, observe::observe, pause::own_cgroup, remove};
use crate::{
    Bundle, Deadline, Error, ErrorKind, Problem, Result, Status,
    bundle::parse_json,
    plan::{device_rules, limits},
    spawn::KILL_WAIT,
    state::AskedMemory,
    validate::validate_resources,
};

/// New limits, in the form of `linux.resources` of the configuration. What they leave out stays as it is.
#[derive(Clone, Debug)]
pub struct Update {
    resources: Value,
    with_devices: bool,
}

impl Update {
    /// Reads the JSON of a `linux.resources` object.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] with all that is wrong in its form, with paths below `linux.resources`.
    ///
    /// # Source
    /// runtime-spec 1.3, config-linux.md, Control groups.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        let below = |problem: Problem| match problem.config_path.as_str() {
            "" => Problem::new("linux.resources", problem.message),
            path => Problem::new(format!("linux.resources.{path}"), problem.message),
        };
        let resources = parse_json(json)
            .map_err(|problems| Error::invalid_config(problems.into_iter().map(below).collect()))?;
        Bundle::of_resources(resources.clone())?;
        Ok(Self { resources, with_devices: false })
    }

    /// Puts the device rules of the object in place of those in force. Else they are left alone, as by all runtimes:
    /// engines repeat the list of their own configuration, which lacks what others allowed since (a GPU's hook).
    #[must_use]
    pub fn with_devices(mut self) -> Self {
        self.with_devices = true;
        self
    }

    fn ignored_devices(&self) -> Option<Problem> {
        let has_rules = self.resources["devices"].as_array().is_some_and(|rules| !rules.is_empty());
        (has_rules && !self.with_devices)
            .then(|| Problem::new("linux.resources.devices", "is left as it is by an update"))
    }
}

impl Container {
    /// Sets new limits. Gives what was ignored, since it means nothing here.
    ///
    /// # Errors
    /// [`ErrorKind::WrongStatus`] when it has stopped; [`ErrorKind::InvalidConfig`] with all that is wrong;
    /// [`ErrorKind::Unsupported`] for a controller that is not there; of the first file that the kernel refused. In each
    /// case the old values hold; what could not be taken back is among [`Error::cleanup_failures`].
    pub fn update(&self, update: &Update, deadline: Deadline) -> Result<Vec<Problem>> {
        let (entry, record) = self.load()?;
        check_status(observe(&entry, &record)?.0)?;
        // Two updates at a time would take each other's values for the old ones.
        remove::lock(&entry, deadline.instant().unwrap_or_else(|| Instant::now() + KILL_WAIT))?;
        if !entry.is_current() {
            return Err(Error::new(ErrorKind::NotFound, "container does not exist"));
        }
        let (_, mut record) = self.load()?;
        check_status(observe(&entry, &record)?.0)?;
        let mut resources = update.resources.clone();
        let completed = complete_memory(&mut resources, record.memory);
        let bundle = Bundle::of_resources(resources)?;
        let mut problems = validate_resources(&bundle);
        let devices = update.with_devices.then(|| device_rules(&bundle, &mut problems));
        if !problems.is_empty() {
            let error = Error::invalid_config(problems);
            return Err(match completed {
                Some(hint) if error.config_path() == Some("linux.resources.memory.swap") => {
                    error.with_hint(hint)
                }
                _ => error,
            });
        }
        let cgroup = own_cgroup(&record, "update")?;
        let limits = limits(&bundle);
        cgroup.update(&limits, devices.as_deref())?;
        record.memory = asked_memory(record.memory, &bundle);
        entry.save(&record)?;
        let ignored = record.cgroup.iter().flat_map(|dirs| limits.warnings(dirs));
        let unusual = bundle.warnings().iter().filter(|warning| warning.config_path.starts_with("linux."));
        Ok(unusual.cloned().chain(ignored).chain(update.ignored_devices()).collect())
    }
}

fn check_status(status: Status) -> Result<()> {
    match status {
        Status::Created | Status::Running | Status::Paused => Ok(()),
        _ => Err(Error::new(ErrorKind::WrongStatus, "container not running").with_status(status)),
    }
}

/// A number that asks for something: engines write 0 for "not set".
fn asked(memory: &Map<String, Value>, name: &str) -> Option<i64> {
    memory.get(name).and_then(Value::as_i64).filter(|value| *value != 0)
}

/// Swap is told as the sum with memory, so one of the two says nothing without the other: the one that is left out is
/// what was asked for before. Gives a hint for when the two do not go together.
fn complete_memory(resources: &mut Value, before: AskedMemory) -> Option<String> {
    let memory = resources.get_mut("memory").and_then(Value::as_object_mut)?;
    match (asked(memory, "limit"), asked(memory, "swap")) {
        // A limit that is taken away takes that of the sum with it.
        (Some(limit), None) if limit > 0 => {
            let swap = before.swap?;
            memory.insert("swap".to_owned(), json!(swap));
            Some(format!("memory.swap is {swap} from before; an update of it in the same call raises both"))
        }
        (None, Some(swap)) if swap > 0 => {
            memory.insert("limit".to_owned(), json!(before.limit?));
            None
        }
        _ => None,
    }
}

/// What holds once the limits of a configuration do.
pub(super) fn asked_memory(before: AskedMemory, bundle: &Bundle) -> AskedMemory {
    let resources = bundle.spec().linux().as_ref().and_then(|linux| linux.resources().as_ref());
    let Some(memory) = resources.and_then(|resources| resources.memory().as_ref()) else { return before };
    let is_set = |value: &i64| *value != 0;
    let limit = memory.limit().filter(is_set);
    let swap = memory.swap().filter(is_set);
    AskedMemory {
        limit: limit.or(before.limit),
        swap: if limit == Some(-1) { swap } else { swap.or(before.swap) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_swap_are_completed_by_what_was_asked_before() {
        let before = |limit, swap| AskedMemory { limit, swap };
        let none = before(None, None);
        let both = before(Some(100), Some(300));
        for (memory, asked_before, completed, after) in [
            (r#"{"limit": 200}"#, none, (Some(200), None), before(Some(200), None)),
            (r#"{"limit": 200}"#, both, (Some(200), Some(300)), before(Some(200), Some(300))),
            (
                r#"{"limit": 200}"#,
                before(Some(100), Some(-1)),
                (Some(200), Some(-1)),
                before(Some(200), Some(-1)),
            ),
            (r#"{"limit": -1}"#, both, (Some(-1), None), before(Some(-1), None)),
            (r#"{"swap": 200}"#, both, (Some(100), Some(200)), before(Some(100), Some(200))),
            (r#"{"swap": 200}"#, none, (None, Some(200)), before(None, Some(200))),
            (r#"{"swap": -1}"#, both, (None, Some(-1)), before(Some(100), Some(-1))),
            (r#"{"limit": 0, "swap": 0}"#, both, (None, None), both),
            (r#"{"reservation": 7}"#, both, (None, None), both),
        ] {
            let mut resources = json!({ "memory": serde_json::from_str::<Value>(memory).unwrap() });
            complete_memory(&mut resources, asked_before);
            let object = resources["memory"].as_object().unwrap();
            assert_eq!((asked(object, "limit"), asked(object, "swap")), completed, "{memory}");
            let bundle = Bundle::of_resources(resources).unwrap();
            assert_eq!(asked_memory(asked_before, &bundle), after, "{memory}");
        }
    }

    #[test]
    fn the_form_is_checked_with_paths() {
        let paths = |json: &str| -> Vec<String> {
            let error = Update::from_json(json.as_bytes()).unwrap_err();
            error.problems().iter().map(|problem| problem.config_path.clone()).collect()
        };
        assert_eq!(paths("{"), ["linux.resources"]);
        assert_eq!(paths("[]"), ["linux.resources"]);
        assert_eq!(paths(r#"{"cpu": {"quota": 1, "quota": 2}}"#), ["linux.resources.cpu.quota"]);
        assert_eq!(
            paths(r#"{"memory": {"limit": "1g"}, "cpu": {"shares": -1}}"#),
            ["linux.resources.cpu.shares", "linux.resources.memory.limit"]
        );
        assert!(Update::from_json(b"{}").is_ok());
    }
}
