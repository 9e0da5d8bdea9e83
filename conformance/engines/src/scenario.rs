//! Scenarios: small shell scripts with a name, many in one text.
//!
//! ```text
//! # What stands before the first scenario is for the reader.
//! == exit status of the command
//! podman run --rm bb sh -c 'exit 3'; echo "exit $?"
//!
//! == two containers share a network  [short, needs memory]
//! …
//!
//! == what a peer gets wrong  [may differ: the specification demands a warning only]
//! …
//! ```
//!
//! What a script prints and how it ends is compared between runtimes.

/// One script and what is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Unique within its engine.
    pub name: &'static str,
    /// The shell's input.
    pub script: &'static str,
    /// Belongs to the short form of the suite.
    pub is_short: bool,
    /// A cgroup controller without which it cannot run.
    pub needs: Option<&'static str>,
    /// Why the judged runtime may end in another way.
    pub may_differ: Option<&'static str>,
}

/// Cuts a text into its scenarios.
///
/// # Errors
/// The line that has no name or an unknown mark.
pub fn parse(text: &'static str) -> Result<Vec<Scenario>, String> {
    let mut scenarios = Vec::new();
    let mut rest = text;
    while let Some(at) = find_heading(rest) {
        let (heading, body) = rest[at + 3..].split_once('\n').unwrap_or((&rest[at + 3..], ""));
        let end = find_heading(body).unwrap_or(body.len());
        scenarios.push(scenario(heading.trim(), body[..end].trim())?);
        rest = &body[end..];
    }
    Ok(scenarios)
}

/// Where the next line that begins with `== ` begins.
fn find_heading(text: &str) -> Option<usize> {
    if text.starts_with("== ") { Some(0) } else { text.find("\n== ").map(|at| at + 1) }
}

fn scenario(heading: &'static str, script: &'static str) -> Result<Scenario, String> {
    let (name, marks) = match heading.split_once('[') {
        Some((name, marks)) => (name.trim(), marks.trim_end_matches(']')),
        None => (heading, ""),
    };
    if name.is_empty() {
        return Err(format!("a scenario has no name: {heading:?}"));
    }
    let mut scenario = Scenario { name, script, is_short: false, needs: None, may_differ: None };
    for mark in marks.split(',').map(str::trim).filter(|mark| !mark.is_empty()) {
        match mark.split_once(' ') {
            None if mark == "short" => scenario.is_short = true,
            Some(("needs", controller)) => scenario.needs = Some(controller),
            Some(("may", reason)) if reason.starts_with("differ: ") => {
                scenario.may_differ = reason.strip_prefix("differ: ");
            }
            _ => return Err(format!("{name}: unknown mark {mark:?}")),
        }
    }
    Ok(scenario)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_at_its_headings() {
        let found =
            parse("# words\n== one\na\nb\n\n== two  [short, needs memory]\nc == d\n").expect("well-formed");
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].name, found[0].script, found[0].is_short), ("one", "a\nb", false));
        assert_eq!((found[1].name, found[1].script), ("two", "c == d"));
        assert_eq!((found[1].is_short, found[1].needs), (true, Some("memory")));
        let found = parse("== one [short, may differ: it is a fault of theirs]\n").expect("well-formed");
        assert_eq!(found[0].may_differ, Some("it is a fault of theirs"));
    }

    #[test]
    fn an_unknown_mark_is_an_error() {
        assert!(parse("== one [slow]\ntrue\n").is_err());
        assert!(parse("== [short]\ntrue\n").is_err());
    }
}
