//! The one printer: where an error, a warning or a debug line goes and in which form.
//!
//! With `--log` the file gets one line in one write (it is shared by all commands of an engine) and stderr the bare
//! message; without it stderr gets the line, or plain words when a person looks at it. Engines read the file as JSON
//! objects and blame the last one of level `error`, so a success writes nothing.

use std::{
    fs::File,
    io::{IsTerminal, Write},
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use rustix::fs::{Mode, OFlags};
use serde::Serialize;

use crate::{
    failure::{Failure, Result},
    output,
};

/// Form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// `time="…" level=error msg="…"`.
    #[default]
    Text,
    /// `{"level":"error","msg":"…","time":"…"}`.
    Json,
}

/// Where messages go.
#[derive(Debug, Default)]
pub struct Log {
    file: Option<File>,
    format: Format,
    debug: bool,
}

#[derive(Serialize)]
struct Line<'a> {
    level: &'a str,
    msg: &'a str,
    time: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
}

impl Log {
    /// Opens the log file, if any, before anything is done.
    pub fn open(path: Option<&Path>, format: Format, debug: bool) -> Result<Self> {
        let flags = OFlags::APPEND | OFlags::CREATE | OFlags::WRONLY | OFlags::SYNC | OFlags::CLOEXEC;
        let open = |path: &Path| {
            rustix::fs::open(path, flags, Mode::from(0o644))
                .map(File::from)
                .map_err(|errno| Failure::io(format_args!("open log file {}", path.display()), errno))
        };
        Ok(Self { file: path.map(open).transpose()?, format, debug })
    }

    /// Tells of the failure of the command.
    pub fn error(&self, failure: &Failure) {
        let message = failure.line();
        let line = self.line("error", &message, failure.hint());
        let for_a_person = failure.is_for_people() || std::io::stderr().is_terminal();
        match &self.file {
            Some(file) => {
                append(file, &line);
                if for_a_person {
                    output::complain(format!("{}\n", failure.paragraphs()));
                } else {
                    output::complain(format!("{message}\n"));
                }
            }
            None if for_a_person && self.format == Format::Text => {
                output::complain(format!("error: {}\n", failure.paragraphs()));
            }
            None => output::complain(line),
        }
    }

    /// Something unusual that is no error: told to a person and to who asked for debug lines, never to an engine,
    /// since Podman cannot read a log of two lines.
    pub fn warn(&self, message: &str) {
        if self.debug {
            self.write(&self.line("warning", message, None));
        } else if self.file.is_none() && std::io::stderr().is_terminal() {
            output::complain(format!("warning: {message}\n"));
        }
    }

    /// Whether `--debug` was given.
    pub const fn is_debug(&self) -> bool {
        self.debug
    }

    /// A line for `--debug`; the words are only made when it is on.
    pub fn debug(&self, message: impl FnOnce() -> String) {
        if self.debug {
            self.write(&self.line("debug", &message(), None));
        }
    }

    fn write(&self, line: &str) {
        match &self.file {
            Some(file) => append(file, line),
            None => output::complain(line),
        }
    }

    fn line(&self, level: &str, msg: &str, hint: Option<&str>) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let time = rfc3339(now);
        match self.format {
            Format::Text => format!("time=\"{time}\" level={level} msg={msg:?}\n"),
            Format::Json => {
                // Four strings always serialise.
                let line = serde_json::to_string(&Line { level, msg, time: &time, hint }).unwrap_or_default();
                line + "\n"
            }
        }
    }
}

/// One write, so that lines of commands running side by side do not mix. A failure has nowhere to go but stderr,
/// which has the message already.
fn append(mut file: &File, line: &str) {
    match file.write(line.as_bytes()) {
        Ok(_) | Err(_) => {}
    }
}

/// UTC time of a second since 1970, as RFC 3339.
fn rfc3339(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Civil date from days, counted from 1 March of year 0 so that the leap day is the last of its year.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::{Format, Log, rfc3339};

    #[test]
    fn times_are_civil_dates_in_utc() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_764_062_357, "2025-11-25T09:19:17Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(seconds), text);
        }
    }

    #[test]
    fn a_json_line_is_one_object_with_keys_in_order_of_runc() {
        let log = Log { file: None, format: Format::Json, debug: false };
        let line = log.line("error", "a \"b\"\nc", Some("look"));
        assert!(line.starts_with(r#"{"level":"error","msg":"a \"b\"\nc","time":""#), "{line}");
        assert!(line.ends_with("\"hint\":\"look\"}\n"), "{line}");
    }
}
