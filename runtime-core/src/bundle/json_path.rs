//! Places in a JSON document, written as `mounts[3].options[1]`. A place is a chain of borrowed links on the stack, so
//! that walking a document allocates nothing until something has to be reported.

use std::fmt;

/// A place in a JSON document.
#[derive(Clone, Copy, Debug)]
pub(crate) enum JsonPath<'a> {
    /// The document.
    Root,
    /// A property of the object at a place.
    Key(&'a Self, &'a str),
    /// An element of the array at a place.
    Index(&'a Self, usize),
}

impl<'a> JsonPath<'a> {
    /// The property `name` of the object here.
    pub(crate) fn key(&'a self, name: &'a str) -> Self {
        Self::Key(self, name)
    }

    /// The element `index` of the array here.
    pub(crate) fn index(&'a self, index: usize) -> Self {
        Self::Index(self, index)
    }
}

impl fmt::Display for JsonPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Key(parent, name) if is_plain(name) => match parent {
                Self::Root => f.write_str(name),
                _ => write!(f, "{parent}.{name}"),
            },
            Self::Key(parent, name) => write!(f, "{parent}[{name:?}]"),
            Self::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// Whether a property's name needs no quotes in a path.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::JsonPath;

    #[test]
    fn places_are_written_as_in_javascript() {
        let (root, linux) = (JsonPath::Root, JsonPath::Key(&JsonPath::Root, "linux"));
        let mounts = root.key("mounts");
        let third = mounts.index(3);
        let options = third.key("options");
        let sysctl = linux.key("sysctl");
        for (place, text) in [
            (root, ""),
            (linux, "linux"),
            (options.index(1), "mounts[3].options[1]"),
            (sysctl.key("net.ipv4.ip_forward"), "linux.sysctl[\"net.ipv4.ip_forward\"]"),
            (sysctl.key(""), "linux.sysctl[\"\"]"),
        ] {
            assert_eq!(place.to_string(), text);
        }
    }
}
