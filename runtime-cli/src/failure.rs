//! What a command ends with when it fails, and the exit codes.

use std::fmt;

/// Exit codes (what a container's process exits with is passed on as it is).
pub mod exit {
    /// It worked.
    pub const SUCCESS: u8 = 0;
    /// Any failure of the runtime itself.
    pub const FAILURE: u8 = 1;
    /// No such command.
    pub const UNKNOWN_COMMAND: u8 = 3;
    /// `try --timeout` ended the command (as timeout(1) has it).
    pub const TIMED_OUT: u8 = 124;
    /// Any failure of `exec` itself.
    pub const EXEC_FAILURE: u8 = 255;
}

/// Why a command failed.
#[derive(Debug)]
pub struct Failure {
    /// One line, the cause last.
    message: String,
    /// How the problems of a configuration stand in the message; empty without problems.
    problems: Vec<String>,
    hint: Option<String>,
    /// What went wrong while cleaning up after it.
    cleanup: Vec<String>,
    code: u8,
    /// Of a command that only people use: told in paragraphs wherever stderr goes.
    for_people: bool,
}

/// What commands return.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    /// A failure in one sentence.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            problems: Vec::new(),
            hint: None,
            cleanup: Vec::new(),
            code: exit::FAILURE,
            for_people: false,
        }
    }

    /// A failed call: what was attempted and what the kernel said.
    pub fn io(attempted: impl fmt::Display, error: impl Into<std::io::Error>) -> Self {
        Self::new(format!("{attempted}: {}", errno_words(&error.into())))
    }

    /// Puts words in front.
    pub fn context(mut self, words: impl fmt::Display) -> Self {
        self.message = format!("{words}: {}", self.message);
        self
    }

    /// Says what is likely to help.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says what is likely to help where nothing better is known.
    pub fn or_hint(mut self, hint: impl FnOnce() -> String) -> Self {
        self.hint.get_or_insert_with(hint);
        self
    }

    /// Of a command that no engine calls.
    pub fn for_people(mut self) -> Self {
        self.for_people = true;
        self
    }

    /// Whether it is told in paragraphs wherever stderr goes.
    pub fn is_for_people(&self) -> bool {
        self.for_people
    }

    /// Has an exit code of its own.
    pub fn with_code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }

    /// Keeps a failure of the cleaning up.
    pub fn attach_cleanup(&mut self, failure: &Self) {
        self.cleanup.push(failure.message.clone());
    }

    /// The exit code.
    pub fn code(&self) -> u8 {
        self.code
    }

    /// What is likely to help.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// All in one line, as engines want it.
    pub fn line(&self) -> String {
        self.message.lines().collect::<Vec<_>>().join(" ")
    }

    /// For a person: problems, hint and what failed in the cleaning up on lines of their own.
    pub fn paragraphs(&self) -> String {
        let joined = self.problems.join("; ");
        let mut text = match self.message.strip_suffix(&joined) {
            Some(before) if self.problems.len() > 1 => {
                let mut text = before.trim_end().to_owned();
                for problem in &self.problems {
                    text.push_str("\n  ");
                    text.push_str(problem);
                }
                text
            }
            _ => self.message.clone(),
        };
        for failure in &self.cleanup {
            text.push_str("\ncleaning up failed: ");
            text.push_str(failure);
        }
        if let Some(hint) = &self.hint {
            text.push_str("\nhint: ");
            text.push_str(hint);
        }
        text
    }
}

impl From<orlop::Error> for Failure {
    fn from(error: orlop::Error) -> Self {
        Self {
            message: error.to_string(),
            problems: error.problems().iter().map(ToString::to_string).collect(),
            hint: error.hint().map(str::to_owned),
            cleanup: error.cleanup_failures().iter().map(ToString::to_string).collect(),
            code: exit::FAILURE,
            for_people: false,
        }
    }
}

/// The kernel's words as other runtimes print them: lower case and without the number.
fn errno_words(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::Failure;

    #[test]
    fn problems_stand_on_their_own_lines_only_for_a_person() {
        let mut failure =
            Failure::new("create failed: invalid configuration: a: one; b: two").with_hint("look");
        failure.problems = vec!["a: one".into(), "b: two".into()];
        assert_eq!(failure.line(), "create failed: invalid configuration: a: one; b: two");
        assert_eq!(
            failure.paragraphs(),
            "create failed: invalid configuration:\n  a: one\n  b: two\nhint: look"
        );
    }

    #[test]
    fn what_the_kernel_said_is_last_and_in_the_words_of_engines() {
        let failure = Failure::io("open /x", std::io::Error::from_raw_os_error(2)).context("create failed");
        assert_eq!(failure.line(), "create failed: open /x: no such file or directory");
    }
}
