//! Bytes to `serde_json::Value`, with duplicate names found: RFC 8259 leaves them open and the specification forbids
//! them, while serde_json takes the last one in silence, so that two readers of one file may see different containers.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::Problem;

/// Parses a document.
///
/// # Errors
/// Where the text is no JSON, or all names that are there twice.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, Vec<Problem>> {
    let mut duplicates = Vec::new();
    let mut source = serde_json::Deserializer::from_slice(bytes);
    let value = Tree { duplicates: &mut duplicates }
        .deserialize(&mut source)
        .and_then(|value| source.end().map(|()| value))
        .map_err(|error| vec![Problem::new("", format!("is not valid JSON: {error}"))])?;
    if duplicates.is_empty() {
        return Ok(value);
    }
    let message = "the name is there more than once in this object";
    Err(duplicates.into_iter().map(|path| Problem::new(path, message)).collect())
}

/// Builds a value. Paths of duplicates are put together on the way back up, so a document without them pays nothing.
struct Tree<'a> {
    duplicates: &'a mut Vec<String>,
}

impl Tree<'_> {
    /// Puts a step in front of the paths that were found below it.
    fn prefix(&mut self, known: usize, step: impl Fn() -> String) {
        for path in self.duplicates.iter_mut().skip(known) {
            let separator = if path.is_empty() || path.starts_with('[') { "" } else { "." };
            *path = format!("{}{separator}{path}", step());
        }
    }
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Value, D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        loop {
            let known = self.duplicates.len();
            let Some(value) = elements.next_element_seed(Tree { duplicates: self.duplicates })? else {
                return Ok(Value::Array(array));
            };
            self.prefix(known, || format!("[{}]", array.len()));
            array.push(value);
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            let known = self.duplicates.len();
            let value = entries.next_value_seed(Tree { duplicates: self.duplicates })?;
            if object.contains_key(&name) {
                self.duplicates.push(String::new());
            }
            self.prefix(known, || name.clone());
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::parse;

    #[test]
    fn values_are_those_of_serde_json() {
        let text = r#"{"a":[1,-2,18446744073709551615,1.5,null,true,"\u00e9"],"b":{"c":{}},"d":[]}"#;
        assert_eq!(parse(text.as_bytes()).unwrap(), serde_json::from_str::<Value>(text).unwrap());
        assert_eq!(parse(b" {} ").unwrap(), json!({}));
    }

    // spec: json.no-duplicate-names
    #[test]
    fn duplicate_names_are_found_with_their_path() {
        for (text, paths) in [
            (r#"{"a":1,"a":2}"#, vec!["a"]),
            (r#"{"mounts":[{}, {"type":"a","type":"b"}]}"#, vec!["mounts[1].type"]),
            (r#"[[{"a":1,"a":1}]]"#, vec!["[0][0].a"]),
            (r#"{"x":{"y":1,"y":2,"z":{"k":1,"k":1}},"x":0}"#, vec!["x.y", "x.z.k", "x"]),
        ] {
            let found: Vec<_> =
                parse(text.as_bytes()).unwrap_err().into_iter().map(|problem| problem.config_path).collect();
            assert_eq!(found, paths, "{text}");
        }
    }

    // spec: json.utf8
    #[test]
    fn what_is_no_json_is_refused_with_its_place() {
        for (text, words) in [
            (&b""[..], "EOF while parsing a value at line 1 column 0"),
            (b"{\"a\":1,}", "trailing comma at line 1 column 8"),
            (b"{} {}", "trailing characters at line 1 column 4"),
            (b"{\"a\":\"\xff\"}", "invalid unicode"),
            (b"// no\n{}", "expected value at line 1 column 1"),
        ] {
            let problems = parse(text).unwrap_err();
            assert!(problems[0].message.contains(words), "{words}: {problems:?}");
        }
        let deep = "[".repeat(100_000);
        assert!(parse(deep.as_bytes()).unwrap_err()[0].message.contains("recursion limit"));
    }
}
