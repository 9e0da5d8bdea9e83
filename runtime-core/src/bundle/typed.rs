//! A checked document as the types of the spec crate. Where the crate is stricter about a value than the tables, the
//! part at fault is searched for then and only then: a deserializer that keeps track of its place would be a sixth of
//! the whole program, in memory at every start.

use oci_spec::runtime::Spec;
use serde::Deserialize;
use serde_json::Value;

use super::json_path::JsonPath;
use crate::Problem;

/// The types of a document.
///
/// # Errors
/// What the crate says, with the place of the smallest part that it says it about.
pub(super) fn spec_of(document: &Value) -> Result<Spec, Problem> {
    Spec::deserialize(document)
        .map_err(|error| Problem::new(fault(document, "", &JsonPath::Root), error.to_string()))
}

/// The smallest part without which the document is right, beginning with the one at `pointer` (RFC 6901).
fn fault(document: &Value, pointer: &str, at: &JsonPath<'_>) -> String {
    match document.pointer(pointer) {
        Some(Value::Object(entries)) => {
            for name in entries.keys() {
                if is_right_without(document, pointer, |part| part.as_object_mut()?.remove(name)) {
                    let step = name.replace('~', "~0").replace('/', "~1");
                    return fault(document, &format!("{pointer}/{step}"), &at.key(name));
                }
            }
        }
        Some(Value::Array(elements)) => {
            for index in 0..elements.len() {
                if is_right_without(document, pointer, |part| Some(part.as_array_mut()?.remove(index))) {
                    return fault(document, &format!("{pointer}/{index}"), &at.index(index));
                }
            }
        }
        _ => {}
    }
    at.to_string()
}

fn is_right_without(
    document: &Value,
    pointer: &str,
    remove: impl FnOnce(&mut Value) -> Option<Value>,
) -> bool {
    let mut rest = document.clone();
    rest.pointer_mut(pointer).and_then(remove).is_some() && Spec::deserialize(&rest).is_ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::spec_of;
    use crate::default_spec;

    #[test]
    fn the_part_at_fault_is_named() {
        for (pointer, value, place) in [
            ("/process/oomScoreAdj", json!("x"), "process.oomScoreAdj"),
            ("/process/args", json!(["a", 1]), "process.args[1]"),
            ("/linux/sysctl", json!({"a": "b", "net/x": 1}), "linux.sysctl[\"net/x\"]"),
            // Without its required part the object is wrong too.
            ("/linux/namespaces", json!([{"type": "pid"}, {"type": "no"}]), "linux.namespaces[1]"),
            ("/root/path", json!(1), "root.path"),
        ] {
            let mut document = default_spec(false);
            let (parent, name) = pointer.rsplit_once('/').unwrap();
            document.pointer_mut(parent).unwrap()[name] = value;
            let problem = spec_of(&document).unwrap_err();
            assert_eq!(problem.config_path, place, "{problem}");
        }
        assert_eq!(spec_of(&Value::Null).unwrap_err().config_path, "");
    }
}
