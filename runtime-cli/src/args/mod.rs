//! The command line: definitions of flags and commands, the parser, the help made from the definitions.
//!
//! The grammar is the one of Go's `flag` package, since engines are written against runc: `-long` equals `--long`, a
//! value may begin with a dash, the last of a repeated option wins, and the wording of errors is matched by callers.

mod help;
mod parse;

use std::ffi::{OsStr, OsString};

pub use help::{command_help, program_help};
pub use parse::{Stopped, bool_word, parse};

/// One option. Parsing, help and later man page and completions come from this.
#[derive(Debug)]
pub struct Flag {
    /// Long name without dashes.
    pub name: &'static str,
    /// One-letter name.
    pub short: Option<char>,
    /// What the value is, in capitals; none for a switch.
    pub value: Option<&'static str>,
    /// One line: what it does, unit and default.
    pub help: &'static str,
}

impl Flag {
    /// An option without value.
    pub const fn switch(name: &'static str, help: &'static str) -> Self {
        Self { name, short: None, value: None, help }
    }

    /// An option with a value.
    pub const fn value(name: &'static str, value: &'static str, help: &'static str) -> Self {
        Self { name, short: None, value: Some(value), help }
    }

    /// Also has a one-letter name.
    pub const fn short(mut self, short: char) -> Self {
        self.short = Some(short);
        self
    }

    fn is_named(&self, name: &str) -> bool {
        let mut chars = name.chars();
        self.name == name || (self.short.is_some() && chars.next() == self.short && chars.next().is_none())
    }
}

/// Where options may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Before and after operands.
    Mixed,
    /// Everything from the first operand on belongs to somebody else.
    OperandsLast,
}

/// How many operands a command takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    /// This many.
    Exactly(usize),
    /// From the first number to the second.
    Between(usize, usize),
    /// This many or more.
    AtLeast(usize),
    /// As many as one likes.
    Any,
}

impl Arity {
    /// The words for a wrong number of operands, as runc has them.
    pub fn check(self, program: &str, command: &str, count: usize) -> Result<(), String> {
        let (which, number) = match self {
            Self::Exactly(number) if count != number => ("exactly", number),
            Self::Between(min, _) | Self::AtLeast(min) if count < min => ("a minimum of", min),
            Self::Between(_, max) if count > max => ("a maximum of", max),
            _ => return Ok(()),
        };
        Err(format!("{program}: \"{command}\" requires {which} {number} argument(s)"))
    }
}

/// What was found on a command line.
#[derive(Debug, Default)]
pub struct Parsed {
    options: Vec<(&'static str, OsString)>,
    /// What is no option.
    pub operands: Vec<OsString>,
}

impl Parsed {
    /// Whether a switch is on.
    pub fn is_set(&self, flag: &Flag) -> bool {
        self.value(flag).is_some_and(|value| value == "true")
    }

    /// The value of an option; the last one where it was repeated.
    pub fn value(&self, flag: &Flag) -> Option<&OsStr> {
        self.options.iter().rev().find(|(name, _)| *name == flag.name).map(|(_, value)| value.as_os_str())
    }

    /// All values of an option in their order.
    pub fn values(&self, flag: &Flag) -> impl Iterator<Item = &OsStr> {
        self.options.iter().filter(move |(name, _)| *name == flag.name).map(|(_, value)| value.as_os_str())
    }

    /// An operand as text; what is not UTF-8 cannot be an id, a signal or a verb and is refused by them.
    pub fn operand(&self, index: usize) -> std::borrow::Cow<'_, str> {
        self.operands.get(index).map_or(std::borrow::Cow::Borrowed(""), |operand| operand.to_string_lossy())
    }
}
