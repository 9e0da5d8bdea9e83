//! The configuration of a process that joins a container: a `process` object, and what of the container's own
//! configuration holds for every process in it. It has the form of a whole config.json, so that all that is known about
//! one (form, validation, planning of a process) holds for it too.

use serde_json::{Map, Value, json};

use super::{Bundle, json};
use crate::{
    Error, ErrorKind, Result,
    options::{Changes, Program},
};

/// What a `process` object may leave to the container's own.
const INHERITED: &[&str] = &[
    "capabilities",
    "apparmorProfile",
    "selinuxLabel",
    "rlimits",
    "oomScoreAdj",
    "scheduler",
    "ioPriority",
    "execCPUAffinity",
];

/// What of `linux` holds for each process.
const OF_EVERY_PROCESS: &[&str] = &["seccomp", "personality", "memoryPolicy"];

impl Bundle {
    /// Puts the configuration of an exec together. `container` is the container's config.json as it was created.
    ///
    /// # Errors
    /// `InvalidConfig` with all problems of the process, by JSON paths that begin with `process`.
    pub(crate) fn for_exec(container: &[u8], program: &Program) -> Result<Self> {
        let mut container: Value = serde_json::from_slice(container).map_err(|source| {
            Error::new(ErrorKind::StateCorrupt, "the container's kept configuration cannot be read")
                .with_source(source)
        })?;
        let own = container["process"].take();
        let process = match program {
            Program::Command(changes) => changed(own, changes)?,
            Program::Process(text) => completed(text, &own)?,
        };
        let mut linux = Map::new();
        for &name in OF_EVERY_PROCESS {
            let value = container["linux"][name].take();
            if !value.is_null() {
                linux.insert(name.to_owned(), value);
            }
        }
        let config = json!({
            "ociVersion": container["ociVersion"].take(),
            "root": {"path": "/"},
            "process": process,
            "annotations": container["annotations"].take(),
            "linux": linux,
        });
        Self::from_value(config, "/".into(), Vec::new())
    }
}

/// The given object, with the container's values where it says nothing. `noNewPrivileges` is not among these: its
/// writers leave out what is false.
fn completed(text: &[u8], own: &Value) -> Result<Value> {
    let mut process = json::parse(text).map_err(|mut problems| {
        for problem in &mut problems {
            let separator = if problem.config_path.is_empty() { "" } else { "." };
            problem.config_path = format!("process{separator}{}", problem.config_path);
        }
        Error::invalid_config(problems)
    })?;
    if let Some(process) = process.as_object_mut() {
        for &name in INHERITED {
            let says_nothing = process.get(name).is_none_or(|value| match value {
                Value::Null => true,
                Value::String(text) => text.is_empty(),
                Value::Array(elements) => elements.is_empty(),
                _ => false,
            });
            if says_nothing && !own[name].is_null() {
                process.insert(name.to_owned(), own[name].clone());
            }
        }
        let umask = &own["user"]["umask"];
        if let Some(user) = process.get_mut("user").and_then(Value::as_object_mut) {
            if !umask.is_null() && user.get("umask").is_none_or(Value::is_null) {
                user.insert("umask".to_owned(), umask.clone());
            }
        }
    }
    Ok(process)
}

/// The container's own process with changes.
fn changed(own: Value, changes: &Changes) -> Result<Value> {
    let Value::Object(mut process) = own else {
        return Err(Error::new(
            ErrorKind::InvalidConfig,
            "the container's configuration has no process that could be changed",
        )
        .with_hint("give a whole process object (--process)"));
    };
    if changes.args.is_empty() {
        return Err(Error::new(ErrorKind::InvalidArgument, "exec args cannot be empty"));
    }
    process.insert("args".to_owned(), json!(changes.args));
    process.insert("terminal".to_owned(), json!(changes.terminal));
    process.remove("consoleSize");
    if let Some(cwd) = &changes.cwd {
        process.insert("cwd".to_owned(), json!(cwd.to_string_lossy()));
    }
    append(list_in(&mut process, "env"), &changes.env);
    change_user(object_in(&mut process, "user"), changes);
    add_capabilities(&mut process, &changes.capabilities);
    if let Some(on) = changes.no_new_privileges {
        process.insert("noNewPrivileges".to_owned(), json!(on));
    }
    for (name, value) in
        [("apparmorProfile", &changes.apparmor_profile), ("selinuxLabel", &changes.selinux_label)]
    {
        if let Some(value) = value.as_ref().filter(|value| !value.is_empty()) {
            process.insert(name.to_owned(), json!(value));
        }
    }
    Ok(Value::Object(process))
}

fn change_user(user: &mut Map<String, Value>, changes: &Changes) {
    if let Some((uid, gid)) = changes.user {
        user.insert("uid".to_owned(), json!(uid));
        if let Some(gid) = gid {
            user.insert("gid".to_owned(), json!(gid));
        }
    }
    append(list_in(user, "additionalGids"), &changes.additional_gids);
}

/// Nothing is added to the inheritable set (CVE-2022-29162), and so to the ambient one only where that set is used.
fn add_capabilities(process: &mut Map<String, Value>, names: &[String]) {
    if names.is_empty() {
        return;
    }
    let sets = object_in(process, "capabilities");
    let has_inheritable = sets.get("inheritable").and_then(Value::as_array).is_some();
    let ambient = has_inheritable.then_some("ambient");
    for set in ["bounding", "effective", "permitted"].into_iter().chain(ambient) {
        append(list_in(sets, set), names);
    }
}

fn append<T: serde::Serialize>(list: Option<&mut Vec<Value>>, more: &[T]) {
    if let Some(list) = list {
        list.extend(more.iter().map(|value| json!(value)));
    }
}

/// The list of this name, made if it is missing. None: something else is there, which the check of the form tells.
fn list_in<'v>(object: &'v mut Map<String, Value>, name: &str) -> Option<&'v mut Vec<Value>> {
    let value = object.entry(name).or_insert(Value::Null);
    if value.is_null() {
        *value = json!([]);
    }
    value.as_array_mut()
}

/// The object of this name, made if it is missing or something else (a container's own configuration was checked).
fn object_in<'v>(object: &'v mut Map<String, Value>, name: &str) -> &'v mut Map<String, Value> {
    let value = object.entry(name).or_insert(Value::Null);
    if !value.is_object() {
        *value = json!({});
    }
    match value {
        Value::Object(object) => object,
        _ => unreachable!("made an object above"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{changed, completed};
    use crate::{
        Bundle, ErrorKind, ExecOptions,
        options::{Changes, Program},
    };

    fn own() -> Value {
        json!({
            "terminal": true,
            "consoleSize": {"height": 1, "width": 1},
            "user": {"uid": 7, "gid": 8, "umask": 18},
            "args": ["sh"],
            "env": ["A=1"],
            "cwd": "/srv",
            "capabilities": {"bounding": ["CAP_KILL"], "inheritable": ["CAP_KILL"]},
            "rlimits": [{"type": "RLIMIT_CORE", "soft": 1, "hard": 2}],
            "noNewPrivileges": true,
        })
    }

    fn changes(options: ExecOptions) -> Changes {
        let Program::Command(changes) = options.program else { panic!("a command") };
        changes
    }

    #[test]
    fn a_command_changes_what_it_names_and_keeps_the_rest() {
        let options = ExecOptions::command(["id", "-u"])
            .env("B=2")
            .user(1000, None)
            .additional_gid(5)
            .capability("CAP_CHOWN")
            .no_new_privileges(false)
            .cwd("/tmp");
        let process = changed(own(), &changes(options)).unwrap();
        let expected = json!({
            "terminal": false,
            "user": {"uid": 1000, "gid": 8, "umask": 18, "additionalGids": [5]},
            "args": ["id", "-u"],
            "env": ["A=1", "B=2"],
            "cwd": "/tmp",
            "capabilities": {
                "bounding": ["CAP_KILL", "CAP_CHOWN"],
                "effective": ["CAP_CHOWN"],
                "permitted": ["CAP_CHOWN"],
                "ambient": ["CAP_CHOWN"],
                "inheritable": ["CAP_KILL"],
            },
            "rlimits": [{"type": "RLIMIT_CORE", "soft": 1, "hard": 2}],
            "noNewPrivileges": false,
        });
        assert_eq!(process, expected);
    }

    #[test]
    fn ambient_capabilities_are_added_only_beside_inheritable_ones() {
        let mut own = own();
        own["capabilities"].as_object_mut().unwrap().remove("inheritable");
        let process = changed(own, &changes(ExecOptions::command(["x"]).capability("CAP_CHOWN"))).unwrap();
        assert!(
            process["capabilities"]["ambient"].is_null() && process["capabilities"]["inheritable"].is_null()
        );
    }

    #[test]
    fn a_process_object_leaves_limits_capabilities_and_umask_to_the_container() {
        let text = json!({"user": {"uid": 1}, "args": ["x"], "cwd": "/", "rlimits": []}).to_string();
        let process = completed(text.as_bytes(), &own()).unwrap();
        let expected = json!({
            "user": {"uid": 1, "umask": 18},
            "args": ["x"],
            "cwd": "/",
            "capabilities": {"bounding": ["CAP_KILL"], "inheritable": ["CAP_KILL"]},
            "rlimits": [{"type": "RLIMIT_CORE", "soft": 1, "hard": 2}],
        });
        assert_eq!(process, expected);
    }

    #[test]
    fn all_problems_of_a_process_object_are_told_at_once() {
        let container = json!({"ociVersion": "1.3.0", "process": own()}).to_string();
        for (text, paths) in [
            (
                r#"{"args": "x", "user": {"uid": -1}}"#,
                &["process.user.uid", "process.args", "process.cwd"][..],
            ),
            (r#"{"cwd": "/", "cwd": "/"}"#, &["process.cwd"]),
            ("{", &["process"]),
            ("[]", &["process"]),
        ] {
            let program = ExecOptions::from_process(text).program;
            let error = Bundle::for_exec(container.as_bytes(), &program).unwrap_err();
            let mut found: Vec<&str> =
                error.problems().iter().map(|problem| problem.config_path.as_str()).collect();
            found.sort_unstable();
            let mut expected = paths.to_vec();
            expected.sort_unstable();
            assert_eq!(found, expected, "{text}: {error}");
        }
        let error =
            Bundle::for_exec(container.as_bytes(), &ExecOptions::command([""; 0]).program).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert_eq!(error.to_string(), "exec args cannot be empty");
    }
}
