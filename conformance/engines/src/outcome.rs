//! How a scenario ended, in a form in which two runtimes can be compared.

use std::fmt;

/// What a script printed, and how it ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The shell's exit code; none when the time limit ended it.
    pub code: Option<i32>,
    /// Its output without what differs from run to run.
    pub output: String,
    /// What it said on stderr, as it was.
    pub errors: String,
    /// What was left on the machine after it.
    pub leftovers: Vec<String>,
}

impl Outcome {
    /// Whether an engine's user would notice no difference.
    pub fn is_like(&self, other: &Self) -> bool {
        self.code == other.code
            && self.output == other.output
            && self.error_classes() == other.error_classes()
            && self.leftovers.len() <= other.leftovers.len()
    }

    /// The kinds of error that engines and their users tell apart by the text, in the order of appearance.
    pub fn error_classes(&self) -> Vec<Class> {
        let mut classes: Vec<Class> = self.errors.lines().filter_map(Class::of).collect();
        classes.dedup();
        classes
    }
}

/// A kind of error message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Permission,
    NotFound,
    Other,
}

impl Class {
    /// Of a line that reports an error; none for warnings and for what is said beside.
    fn of(line: &str) -> Option<Self> {
        let line = line.to_lowercase();
        let is_error = line.contains("error") || line.starts_with("ctr:") || line.starts_with("docker:");
        // The last is Docker's client, which may or may not have begun to wait when a create failed.
        let beside = ["level=warning", "level=info", "error waiting for container: context canceled"];
        if !is_error || beside.iter().any(|text| line.contains(text)) {
            return None;
        }
        let has = |texts: &[&str]| texts.iter().any(|text| line.contains(text));
        Some(if has(&["permission denied", "operation not permitted", "is a directory"]) {
            Self::Permission
        } else if has(&["executable file not found", "no such file or directory", "not found"]) {
            Self::NotFound
        } else {
            Self::Other
        })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => writeln!(f, "exit code {code}")?,
            None => writeln!(f, "still running at its time limit")?,
        }
        let texts = [("output", &self.output), ("errors", &self.errors)];
        for (name, text) in texts.iter().filter(|(_, text)| !text.is_empty()) {
            writeln!(f, "{name}:")?;
            text.lines().try_for_each(|line| writeln!(f, "    {line}"))?;
        }
        self.leftovers.iter().try_for_each(|left| writeln!(f, "left behind: {left}"))
    }
}

/// Takes out of a text what differs from run to run: the scenario's own name, the runtime's, ids in hexadecimal.
pub fn normalize(text: &str, own_name: &str, runtime: &str, program: &str) -> String {
    let text = text.replace('\r', "").replace(own_name, "NAME").replace(program, "RUNTIME");
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        let mut word = String::new();
        for c in line.chars().chain(['\n']) {
            if c.is_ascii_alphanumeric() {
                word.push(c);
                continue;
            }
            out.push_str(match word.as_str() {
                word if is_id(word) => "ID",
                word if word == runtime => "RUNTIME",
                word => word,
            });
            word.clear();
            out.push(c);
        }
    }
    out
}

/// Container and image ids, whole or cut to twelve digits.
fn is_id(word: &str) -> bool {
    let is_hex = word.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c));
    is_hex && (word.len() == 64 || word.len() == 12)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(errors: &str) -> Outcome {
        Outcome { code: Some(0), output: String::new(), errors: errors.to_owned(), leftovers: Vec::new() }
    }

    #[test]
    fn what_differs_from_run_to_run_is_taken_out() {
        let text = "n1 0123456789ab is run by orlop at /x/orlop\r\nplain 0123 words\n";
        assert_eq!(
            normalize(text, "n1", "orlop", "/x/orlop"),
            "NAME ID is run by RUNTIME at RUNTIME\nplain 0123 words\n"
        );
    }

    #[test]
    fn classes_of_errors_are_told_apart() {
        let not_found =
            outcome("Error: runc: exec: \"x\": executable file not found in $PATH: OCI runtime error");
        assert_eq!(not_found.error_classes(), [Class::NotFound]);
        assert_eq!(outcome("Error: open /x: permission denied").error_classes(), [Class::Permission]);
        assert_eq!(outcome("time=1 level=warning msg=\"an error\"").error_classes(), []);
        assert!(!not_found.is_like(&outcome("")));
    }
}
