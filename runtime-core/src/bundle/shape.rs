//! The form of a configuration: whether every value has the type, range and presence that the specification asks for.
//! The tables are in `schema.rs`; this walks a document along them and reports everything at once.
//!
//! What leaves here holds no null (the Go types of the specification take null as absent, and producers write it) and
//! no property that the specification does not know, so that nothing later can act on it.

use serde_json::{Map, Value};

use super::json_path::JsonPath;
use crate::Problem;

/// What a value has to be.
pub(super) enum Shape {
    Bool,
    /// A string that the kernel can take: without NUL.
    Text,
    /// One of these strings; the text with `{}` for the value says that it is another.
    Word(&'static [&'static str], &'static str),
    /// An integer from … to ….
    Int(i128, i128),
    List(&'static Shape),
    /// An object of any names.
    Map(&'static Shape),
    Object(&'static [Property]),
    /// An object, and a rule about its properties together.
    Ruled(&'static [Property], Rule),
    /// An object that is not looked into.
    Opaque,
    /// A property of another platform: dropped with a warning.
    Foreign,
}

/// What is missing in an object though each property alone is right: the property to blame and the words.
pub(super) type Rule = fn(&Map<String, Value>) -> Option<(&'static str, &'static str)>;

/// A property of an object.
pub(super) struct Property {
    pub(super) name: &'static str,
    pub(super) shape: &'static Shape,
    pub(super) presence: Presence,
}

/// Whether a property has to be there.
pub(super) enum Presence {
    Optional,
    Required,
    /// Required, and engines know its absence by these words.
    RequiredElse(&'static str),
    /// Required by the text, yet other runtimes go on: the warning.
    Expected(&'static str),
}

/// What the walk found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
}

impl Findings {
    fn problem(&mut self, at: &JsonPath<'_>, message: impl Into<String>) {
        self.problems.push(Problem::new(at.to_string(), message));
    }

    fn warning(&mut self, at: &JsonPath<'_>, message: impl Into<String>) {
        self.warnings.push(Problem::new(at.to_string(), message));
    }
}

/// Checks a document, and drops from it what is null or unknown.
pub(super) fn findings(document: &mut Value, shape: &Shape) -> Findings {
    let mut findings = Findings::default();
    check(document, shape, &JsonPath::Root, &mut findings);
    findings
}

fn check(value: &mut Value, shape: &Shape, at: &JsonPath<'_>, findings: &mut Findings) {
    match (shape, value) {
        (Shape::Bool, Value::Bool(_)) | (Shape::Opaque, Value::Object(_)) | (Shape::Foreign, _) => {}
        (Shape::Text, Value::String(text)) => {
            if text.contains('\0') {
                findings.problem(at, "contains a NUL character, which no string for the kernel can");
            }
        }
        (Shape::Word(words, complaint), Value::String(text)) => {
            if !words.contains(&text.as_str()) {
                let known: Vec<_> = words.iter().filter(|word| !word.is_empty()).copied().collect();
                let complaint = complaint.replace("{}", &format!("{text:?}"));
                findings.problem(at, format!("{complaint}, expected one of {}", known.join(", ")));
            }
        }
        (Shape::Int(min, max), Value::Number(number)) => {
            let value = number.as_u64().map(i128::from).or_else(|| number.as_i64().map(i128::from));
            if !value.is_some_and(|value| (*min..=*max).contains(&value)) {
                findings.problem(at, format!("expected {}, found {number}", described(shape)));
            }
        }
        (Shape::List(inner), Value::Array(elements)) => {
            for (index, element) in elements.iter_mut().enumerate() {
                check(element, inner, &at.index(index), findings);
            }
        }
        (Shape::Map(inner), Value::Object(entries)) => {
            for (name, entry) in entries.iter_mut() {
                if name.is_empty() || name.contains('\0') {
                    findings.problem(&at.key(name), "a name is not empty and has no NUL character");
                }
                check(entry, inner, &at.key(name), findings);
            }
        }
        (Shape::Object(properties), Value::Object(object)) => {
            check_object(object, properties, at, findings);
        }
        (Shape::Ruled(properties, rule), Value::Object(object)) => {
            check_object(object, properties, at, findings);
            if let Some((name, message)) = rule(object) {
                findings.problem(&at.key(name), message);
            }
        }
        (shape, value) => {
            findings.problem(at, format!("expected {}, found {}", described(shape), kind(value)));
        }
    }
}

fn check_object(
    object: &mut Map<String, Value>,
    properties: &'static [Property],
    at: &JsonPath<'_>,
    findings: &mut Findings,
) {
    let mut misspelled: Vec<(&'static str, String)> = Vec::new();
    object.retain(|name, value| {
        if value.is_null() {
            return false;
        }
        let place = at.key(name);
        let Some(property) = properties.iter().find(|property| property.name == name) else {
            match properties.iter().find(|property| property.name.eq_ignore_ascii_case(name)) {
                Some(near) => {
                    findings.warning(&place, format!("unknown property, did you mean {}?", near.name));
                    misspelled.push((near.name, name.to_owned()));
                }
                None => findings.warning(&place, "unknown property"),
            }
            return false;
        };
        if matches!(property.shape, Shape::Foreign) {
            findings.warning(&place, "has no effect on Linux");
            return false;
        }
        check(value, property.shape, &place, findings);
        true
    });
    for property in properties.iter().filter(|property| !object.contains_key(property.name)) {
        let place = at.key(property.name);
        let spelled = || misspelled.iter().find(|(name, _)| *name == property.name);
        let (Presence::Required | Presence::RequiredElse(_), Some((_, found))) =
            (&property.presence, spelled())
        else {
            report_absence(property, &place, findings);
            continue;
        };
        findings.problem(
            &place,
            format!("expected {}, found only {found:?}: the case matters", described(property.shape)),
        );
    }
}

fn report_absence(property: &Property, place: &JsonPath<'_>, findings: &mut Findings) {
    match property.presence {
        Presence::Optional => {}
        Presence::Required => {
            findings.problem(place, format!("expected {}, found nothing", described(property.shape)));
        }
        Presence::RequiredElse(words) => findings.problem(place, words),
        Presence::Expected(words) => findings.warning(place, words),
    }
}

/// A shape in words, for "expected …".
fn described(shape: &Shape) -> String {
    match shape {
        Shape::Bool => "true or false".to_owned(),
        Shape::Text | Shape::Word(..) => "a string".to_owned(),
        Shape::Int(min, max) => format!("an integer from {min} to {max}"),
        Shape::List(_) => "an array".to_owned(),
        Shape::Map(_) | Shape::Object(_) | Shape::Ruled(..) | Shape::Opaque | Shape::Foreign => {
            "an object".to_owned()
        }
    }
}

/// What a value is. Strings are not shown: they may be part of an environment.
fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(_) => "a string".to_owned(),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}
