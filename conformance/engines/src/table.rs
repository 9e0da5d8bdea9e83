//! Engine × scenario × runtime.

use std::io::{self, Write};

use crate::{outcome::Outcome, scenario::Scenario};

/// A scenario of an engine and how it ended with each runtime, the judged one last.
pub struct Row {
    engine: &'static str,
    /// What was run.
    pub scenario: Scenario,
    /// By the runtime's name.
    pub outcomes: Vec<(String, Outcome)>,
}

impl Row {
    /// Without outcomes.
    pub const fn new(engine: &'static str, scenario: Scenario) -> Self {
        Self { engine, scenario, outcomes: Vec::new() }
    }

    /// Whether the judged runtime ended like one of the others, or may do otherwise. Alone, it has nothing to be compared
    /// with.
    fn is_alike(&self) -> bool {
        let Some((subject, peers)) = self.outcomes.split_last() else { return true };
        let is_excused = self.scenario.may_differ.is_some();
        peers.is_empty() || is_excused || peers.iter().any(|(_, peer)| subject.1.is_like(peer))
    }

    fn word(&self, outcome: &Outcome) -> String {
        let code = outcome.code.map_or_else(|| "time limit".to_owned(), |code| format!("exit {code}"));
        let is_first = self.outcomes.first().is_some_and(|(_, first)| std::ptr::eq(first, outcome));
        match self.outcomes.first() {
            Some((_, first)) if !is_first && outcome.is_like(first) => "same".to_owned(),
            Some(_) if !is_first => match self.scenario.may_differ {
                Some(reason) => format!("{code} ({reason})"),
                None => format!("differs: {code}"),
            },
            _ => code,
        }
    }
}

/// See the module.
#[derive(Default)]
pub struct Table {
    /// In the order they ran.
    pub rows: Vec<Row>,
}

impl Table {
    /// How many rows the judged runtime ends like nobody else.
    pub fn differences(&self) -> usize {
        self.rows.iter().filter(|row| !row.is_alike()).count()
    }

    /// Tells the differences in full, then one line for each row.
    ///
    /// # Errors
    /// When nothing can be written.
    pub fn print(&self, out: &mut impl Write, subject: &str, is_verbose: bool) -> io::Result<()> {
        for row in self.rows.iter().filter(|row| is_verbose || !row.is_alike()) {
            writeln!(out, "---- {}: {}\n{}", row.engine, row.scenario.name, row.scenario.script)?;
            for (name, outcome) in &row.outcomes {
                writeln!(out, "-- {name}: {outcome}")?;
            }
        }
        for row in &self.rows {
            let words = row.outcomes.iter().map(|(name, outcome)| format!("{name}: {}", row.word(outcome)));
            let words: Vec<String> = words.collect();
            writeln!(out, "{:<10} {:<60} {}", row.engine, row.scenario.name, words.join(", "))?;
        }
        let (all, differences) = (self.rows.len(), self.differences());
        writeln!(out, "{all} scenarios, {differences} in which {subject} ends like none of the others")
    }

    /// The rows as the book shows them.
    pub fn to_markdown(&self) -> String {
        let mut text = String::from("| engine | scenario | outcome |\n| --- | --- | --- |\n");
        for row in &self.rows {
            let words = row.outcomes.iter().map(|(name, outcome)| format!("{name}: {}", row.word(outcome)));
            let words: Vec<String> = words.collect();
            text += &format!("| {} | {} | {} |\n", row.engine, row.scenario.name, words.join(", "));
        }
        text
    }
}
