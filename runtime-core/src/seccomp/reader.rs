//! Reads an object of the configuration property by property, and notes what is not as expected with its JSON path.

use serde_json::{Map, Value};

use crate::Problem;

/// An object of the document. Null stands for absence, as the Go types of the specification take it.
pub(super) struct Reader<'v> {
    object: Option<&'v Map<String, Value>>,
    path: String,
    problems: &'v mut Vec<Problem>,
}

impl<'v> Reader<'v> {
    pub(super) fn new(value: &'v Value, problems: &'v mut Vec<Problem>) -> Self {
        if !value.is_object() {
            problems.push(Problem::new("linux.seccomp", unexpected("an object", Some(value))));
        }
        Self { object: value.as_object(), path: "linux.seccomp".to_owned(), problems }
    }

    pub(super) fn problem(&mut self, name: &str, message: impl Into<String>) {
        self.problems.push(Problem::new(self.path_of(name), message));
    }

    pub(super) fn path_of(&self, name: &str) -> String {
        format!("{}.{name}", self.path)
    }

    pub(super) fn mistyped(&mut self, name: &str, expected: &str, found: Option<&Value>) {
        self.problem(name, unexpected(expected, found));
    }

    pub(super) fn value(&self, name: &str) -> Option<&'v Value> {
        self.object?.get(name).filter(|value| !value.is_null())
    }

    /// A string; None also where it is something else.
    pub(super) fn text(&mut self, name: &str) -> Option<&'v str> {
        let value = self.value(name)?;
        if !value.is_string() {
            self.mistyped(name, "a string", Some(value));
        }
        value.as_str()
    }

    pub(super) fn required_text(&mut self, name: &str) -> Option<&'v str> {
        self.require(name);
        self.text(name)
    }

    /// An integer from 0 to `most`.
    pub(super) fn number(&mut self, name: &str, most: u64, required: bool) -> Option<u64> {
        if required {
            self.require(name);
        }
        let value = self.value(name)?;
        let number = value.as_u64().filter(|number| *number <= most);
        if number.is_none() {
            self.mistyped(name, &format!("an integer from 0 to {most}"), Some(value));
        }
        number
    }

    /// How many elements a list has; none where it is absent.
    pub(super) fn list(&mut self, name: &str) -> usize {
        let Some(value) = self.value(name) else { return 0 };
        if !value.is_array() {
            self.mistyped(name, "a list", Some(value));
        }
        value.as_array().map_or(0, Vec::len)
    }

    /// None where it is absent or no list.
    pub(super) fn required_list(&mut self, name: &str) -> Option<usize> {
        self.require(name);
        let count = self.list(name);
        self.value(name)?.is_array().then_some(count)
    }

    pub(super) fn element_value(&self, name: &str, index: usize) -> Option<&'v Value> {
        self.value(name)?.get(index)
    }

    /// An element that is one of some words.
    pub(super) fn word<T>(
        &mut self,
        name: &str,
        index: usize,
        expected: &str,
        known: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let value = self.element_value(name, index);
        let found = value.and_then(Value::as_str).and_then(known);
        if found.is_none() {
            self.mistyped(&format!("{name}[{index}]"), expected, value);
        }
        found
    }

    /// An element that is an object.
    pub(super) fn element<T>(
        &mut self,
        name: &str,
        index: usize,
        read: impl FnOnce(&mut Reader<'_>) -> T,
    ) -> Option<T> {
        let value = self.element_value(name, index);
        let Some(Value::Object(object)) = value else {
            self.mistyped(&format!("{name}[{index}]"), "an object", value);
            return None;
        };
        let path = format!("{}.{name}[{index}]", self.path);
        Some(read(&mut Reader { object: Some(object), path, problems: self.problems }))
    }

    fn require(&mut self, name: &str) {
        if self.object.is_some() && self.value(name).is_none() {
            self.problem(name, "is required");
        }
    }
}

fn unexpected(expected: &str, found: Option<&Value>) -> String {
    match found {
        None => format!("expected {expected}, found nothing"),
        Some(Value::Array(_)) => format!("expected {expected}, found a list"),
        Some(Value::Object(_)) => format!("expected {expected}, found an object"),
        Some(value) => format!("expected {expected}, found {value}"),
    }
}
