//! `events`.

use std::{
    io::{self, Write},
    time::{Duration, Instant},
};

use orlop::{Container, Deadline, Event, Stats, Status};
use serde::Serialize;

use super::{Command, Group};
use crate::{
    args::{Arity, Flag, Order, Parsed},
    failure::{Failure, Result, exit},
    global::Globals,
};

const INTERVAL: Flag =
    Flag::value("interval", "DURATION", "time between statistics, such as 100ms (default 5s)");
const STATS: Flag = Flag::switch("stats", "print the statistics of now and end");

/// Definition.
pub const COMMAND: Command = Command {
    name: "events",
    group: Group::Inspect,
    about: "Print what a container uses and when it runs out of memory, as lines of JSON",
    usage: "events [OPTIONS] ID",
    details: "Ends when no process of the container is left. Times are in nanoseconds, sizes in bytes.",
    flags: &[&INTERVAL, &STATS],
    order: Order::Mixed,
    arity: Arity::Exactly(1),
    run,
};

/// One line, as runc has it.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Data<'a>>,
}

#[derive(Serialize)]
struct Data<'a> {
    #[serde(flatten)]
    stats: &'a Stats,
    /// An object for groups of Intel RDT, which there are none of.
    intel_rdt: Nothing,
    /// runc has the key, with nothing in it.
    network_interfaces: Option<Nothing>,
}

#[derive(Serialize)]
struct Nothing {}

fn run(globals: &Globals, args: &Parsed) -> Result<u8> {
    let word = args.value(&INTERVAL).map_or("5s".into(), |word| word.to_string_lossy());
    let interval = duration(&word).ok_or_else(|| {
        Failure::new(format!(
            "invalid value {word:?} for flag -interval: it is no duration such as 5s or 100ms"
        ))
    })?;
    let container = globals.runtime()?.container(&args.operand(0))?;
    if interval.is_zero() {
        return Err(Failure::new("duration interval must be greater than 0"));
    }
    if container.state()?.status == Status::Stopped {
        return Err(Failure::new(format!("container with id {} is not running", container.id())));
    }
    if args.is_set(&STATS) {
        print_stats(&container)?;
    } else {
        follow(&container, interval)?;
    }
    Ok(exit::SUCCESS)
}

fn follow(container: &Container, interval: Duration) -> Result<()> {
    let mut events = container.events()?;
    let mut next = Instant::now() + interval;
    loop {
        let left = next.saturating_duration_since(Instant::now());
        let is_read = match events.wait(Deadline::after(left))? {
            Some(Event::Ended) => return Ok(()),
            Some(Event::OutOfMemory) => {
                print(&Line { kind: "oom", id: container.id().as_str(), data: None })?
            }
            Some(_) => true,
            None => {
                next += interval;
                print_stats(container)?
            }
        };
        if !is_read {
            return Ok(());
        }
    }
}

fn print_stats(container: &Container) -> Result<bool> {
    let stats = container.stats()?;
    let data = Data { stats: &stats, intel_rdt: Nothing {}, network_interfaces: None };
    print(&Line { kind: "stats", id: container.id().as_str(), data: Some(data) })
}

/// Prints a line; false: nobody reads any more.
fn print(line: &Line<'_>) -> Result<bool> {
    let mut text = serde_json::to_vec(line).map_err(|error| Failure::io("write an event as JSON", error))?;
    text.push(b'\n');
    let mut stdout = io::stdout().lock();
    match stdout.write_all(&text).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::io("write to stdout", error)),
    }
}

/// A duration as Go writes it: `1h30m`, `1.5s`, `100ms`. One below 0 is as good as 0.
fn duration(text: &str) -> Option<Duration> {
    let (is_negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    match rest {
        "" => return None,
        "0" => return Some(Duration::ZERO),
        _ => {}
    }
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at(end);
        let end = behind.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(end);
        let nanoseconds: u64 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        sum = sum.checked_add(scaled(number, nanoseconds)?)?;
        rest = behind;
    }
    Some(if is_negative { Duration::ZERO } else { sum })
}

/// A decimal number of units.
fn scaled(number: &str, unit: u64) -> Option<Duration> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut part = 0;
    let mut weight = unit;
    for digit in fraction.chars() {
        weight /= 10;
        part += u64::from(digit.to_digit(10)?) * weight;
    }
    Some(Duration::from_nanos(whole.checked_mul(unit)?.checked_add(part)?))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::duration;

    #[test]
    fn durations_are_those_of_go() {
        for (text, milliseconds) in [
            ("5s", Some(5000)),
            ("100ms", Some(100)),
            ("1m30s", Some(90_000)),
            ("1.5s", Some(1500)),
            (".5s", Some(500)),
            ("1h", Some(3_600_000)),
            ("+2s", Some(2000)),
            ("-2s", Some(0)),
            ("0", Some(0)),
            ("0s", Some(0)),
            ("", None),
            ("5", None),
            ("s", None),
            (".s", None),
            ("1.2.3s", None),
            ("5 s", None),
            ("99999999999h", None),
        ] {
            assert_eq!(duration(text), milliseconds.map(Duration::from_millis), "{text:?}");
        }
        assert_eq!(duration("7us"), Some(Duration::from_micros(7)));
    }
}
