//! Writing a config.json.

use std::{
    fs::OpenOptions,
    io::{ErrorKind, Write},
    path::Path,
};

use serde::Serialize;

use crate::failure::{Failure, Result};

const CONFIG: &str = "config.json";

/// Writes a configuration, indented by tabs, where none is yet.
pub fn write_config(dir: &Path, config: &serde_json::Value) -> Result<()> {
    let mut text = Vec::new();
    let indent = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    config
        .serialize(&mut serde_json::Serializer::with_formatter(&mut text, indent))
        .map_err(|error| Failure::io("write the configuration as JSON", error))?;
    text.push(b'\n');
    let path = dir.join(CONFIG);
    let mut file =
        OpenOptions::new().write(true).create_new(true).open(&path).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => Failure::new(format!("File {CONFIG} exists. Remove it first")),
            _ => Failure::io(format_args!("open {}", path.display()), error),
        })?;
    file.write_all(&text).map_err(|error| Failure::io(format_args!("write {}", path.display()), error))
}
