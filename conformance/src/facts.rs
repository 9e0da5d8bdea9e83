//! What the probe printed.

use serde_json::Value;

/// The probe's facts.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts(pub Value);

impl Facts {
    /// Reads the probe's output.
    ///
    /// # Panics
    /// When the text is no JSON object: the probe did not run, or something else wrote to its output.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match serde_json::from_str(text) {
            Ok(value @ Value::Object(_)) => Self(value),
            Ok(other) => panic!("the probe printed no object: {other}"),
            Err(error) => panic!("the probe printed no JSON ({error}): {text}"),
        }
    }

    /// The value at a JSON pointer (`/uid/real`); null where there is none.
    #[must_use]
    pub fn at(&self, pointer: &str) -> &Value {
        self.0.pointer(pointer).unwrap_or(&Value::Null)
    }

    /// The text at a JSON pointer, empty where there is none.
    #[must_use]
    pub fn text(&self, pointer: &str) -> &str {
        self.at(pointer).as_str().unwrap_or("")
    }

    /// The texts of the list at a JSON pointer.
    #[must_use]
    pub fn list(&self, pointer: &str) -> Vec<&str> {
        self.at(pointer).as_array().into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// The topmost mount on a path of the container.
    #[must_use]
    pub fn mount(&self, point: &str) -> Option<&Value> {
        self.at("/mounts").as_array()?.iter().rev().find(|mount| mount["point"] == point)
    }

    /// The value of an environment variable.
    #[must_use]
    pub fn env(&self, name: &str) -> Option<&str> {
        self.list("/env").into_iter().find_map(|entry| entry.strip_prefix(name)?.strip_prefix('='))
    }
}
