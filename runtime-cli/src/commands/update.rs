//! `update`.

use std::{ffi::OsStr, io::Read, path::Path};

use orlop::{Deadline, Update};
use serde_json::{Map, Value, json};

use super::{Command, Group, PATIENCE};
use crate::{
    args::{Arity, Flag, Order, Parsed},
    failure::{Failure, Result, exit},
    global::Globals,
};

const RESOURCES: Flag = Flag::value(
    "resources",
    "FILE",
    "limits as JSON (the form of linux.resources), from standard input with -; all options but --devices are ignored",
)
.short('r');
const DEVICES: Flag = Flag::switch(
    "devices",
    "with --resources: put its device rules in place of the old ones, which are left alone otherwise",
);
const L3_CACHE: Flag = Flag::value("l3-cache-schema", "SCHEMA", "Intel RDT: not supported yet, refused");
const MEM_BW: Flag = Flag::value("mem-bw-schema", "SCHEMA", "Intel RDT: not supported yet, refused");

/// What the value of an option is.
#[derive(Clone, Copy)]
enum Kind {
    /// An integer that may be negative.
    Signed,
    /// An integer from 0.
    Unsigned,
    /// Bytes, with a suffix or without; −1 is no limit.
    Bytes,
    /// A list of numbers.
    List,
}

/// An option and the property of `linux.resources` that it stands for.
struct Limit {
    flag: Flag,
    at: (&'static str, &'static str),
    kind: Kind,
}

const fn limit(
    name: &'static str,
    value: &'static str,
    help: &'static str,
    at: (&'static str, &'static str),
    kind: Kind,
) -> Limit {
    Limit { flag: Flag::value(name, value, help), at, kind }
}

const LIMITS: &[Limit] = &[
    limit("blkio-weight", "N", "weight of block I/O, 10 to 1000", ("blockIO", "weight"), Kind::Unsigned),
    limit(
        "cpu-period",
        "MICROSECONDS",
        "length of the period of --cpu-quota",
        ("cpu", "period"),
        Kind::Unsigned,
    ),
    limit(
        "cpu-quota",
        "MICROSECONDS",
        "processor time in each period; -1: no limit",
        ("cpu", "quota"),
        Kind::Signed,
    ),
    limit(
        "cpu-burst",
        "MICROSECONDS",
        "unused quota that may be used later",
        ("cpu", "burst"),
        Kind::Unsigned,
    ),
    limit(
        "cpu-share",
        "N",
        "weight against other cgroups; 1024 is the default of most",
        ("cpu", "shares"),
        Kind::Unsigned,
    ),
    limit(
        "cpu-idle",
        "N",
        "1: run only when nothing else does (SCHED_IDLE); 0: do not",
        ("cpu", "idle"),
        Kind::Signed,
    ),
    limit(
        "cpu-rt-period",
        "MICROSECONDS",
        "period of --cpu-rt-runtime (cgroup v1)",
        ("cpu", "realtimePeriod"),
        Kind::Unsigned,
    ),
    limit(
        "cpu-rt-runtime",
        "MICROSECONDS",
        "realtime processor time in each period (cgroup v1)",
        ("cpu", "realtimeRuntime"),
        Kind::Signed,
    ),
    limit("cpuset-cpus", "LIST", "processors to run on, such as 0-3,7", ("cpu", "cpus"), Kind::List),
    limit("cpuset-mems", "LIST", "memory nodes to use", ("cpu", "mems"), Kind::List),
    limit(
        "memory",
        "BYTES",
        "limit on memory; suffixes k, m, g, t, p; -1: none, for swap too",
        ("memory", "limit"),
        Kind::Bytes,
    ),
    limit(
        "memory-reservation",
        "BYTES",
        "memory that is kept for it under pressure; -1: none",
        ("memory", "reservation"),
        Kind::Bytes,
    ),
    limit(
        "memory-swap",
        "BYTES",
        "limit on memory and swap together; -1: none",
        ("memory", "swap"),
        Kind::Bytes,
    ),
    limit(
        "kernel-memory",
        "BYTES",
        "obsolete: told as a warning, kernels since 5.4 have no such limit",
        ("memory", "kernel"),
        Kind::Bytes,
    ),
    limit(
        "kernel-memory-tcp",
        "BYTES",
        "limit on TCP buffers (cgroup v1)",
        ("memory", "kernelTCP"),
        Kind::Bytes,
    ),
    limit(
        "pids-limit",
        "N",
        "number of processes and threads; -1: no limit",
        ("pids", "limit"),
        Kind::Signed,
    ),
];

/// Definition.
pub const COMMAND: Command = Command {
    name: "update",
    group: Group::Lifecycle,
    about: "Set new limits for a container",
    usage: "update [OPTIONS] ID",
    details: "What is not given stays as it is. When one limit is refused, all old ones hold.",
    flags: &FLAGS,
    order: Order::Mixed,
    arity: Arity::Exactly(1),
    run,
};

const FLAGS: [&Flag; LIMITS.len() + 4] = {
    let mut flags = [&RESOURCES; LIMITS.len() + 4];
    let mut at = 0;
    while at < LIMITS.len() {
        flags[at + 1] = &LIMITS[at].flag;
        at += 1;
    }
    flags[at + 1] = &DEVICES;
    flags[at + 2] = &L3_CACHE;
    flags[at + 3] = &MEM_BW;
    flags
};

fn run(globals: &Globals, args: &Parsed) -> Result<u8> {
    let container = globals.runtime()?.container(&args.operand(0))?;
    for (flag, words) in [
        (&L3_CACHE, "Intel RDT/CAT: l3 cache schema is not enabled"),
        (&MEM_BW, "Intel RDT/MBA: memory bandwidth schema is not enabled"),
    ] {
        if args.value(flag).is_some_and(|schema| !schema.is_empty()) {
            return Err(Failure::new(words)
                .with_hint(format!("--{} is not supported by this version of orlop yet", flag.name)));
        }
    }
    let json = match args.value(&RESOURCES).filter(|file| !file.is_empty()) {
        Some(file) => read(file)?,
        None if args.is_set(&DEVICES) => {
            return Err(Failure::new("--devices needs --resources, which has the rules"));
        }
        None => from_options(args)?.to_string().into_bytes(),
    };
    let update = Update::from_json(&json)?;
    let update = if args.is_set(&DEVICES) { update.with_devices() } else { update };
    for warning in container.update(&update, Deadline::after(PATIENCE))? {
        globals.log.warn(&warning.to_string());
    }
    Ok(exit::SUCCESS)
}

fn read(file: &OsStr) -> Result<Vec<u8>> {
    let mut json = Vec::new();
    if file == "-" {
        std::io::stdin()
            .lock()
            .read_to_end(&mut json)
            .map_err(|error| Failure::io("read the resources from standard input", error))?;
        return Ok(json);
    }
    std::fs::read(file)
        .map_err(|error| Failure::io(format_args!("open {}", Path::new(file).display()), error))
}

fn from_options(args: &Parsed) -> Result<Value> {
    let mut resources = Map::new();
    for Limit { flag, at: (section, name), kind } in LIMITS {
        let Some(text) = args.value(flag).filter(|text| !text.is_empty()) else { continue };
        let text = text.to_string_lossy();
        let value = match kind {
            Kind::Signed => text.parse::<i64>().ok().map(Value::from),
            Kind::Unsigned => text.parse::<u64>().ok().map(Value::from),
            Kind::Bytes if text == "-1" => Some(json!(-1)),
            Kind::Bytes => bytes(&text).map(Value::from),
            Kind::List => Some(Value::from(text.as_ref())),
        };
        let expected = match kind {
            Kind::Bytes => "a number of bytes such as 536870912 or 512m",
            _ => "a number",
        };
        let value = value.ok_or_else(|| {
            Failure::new(format!("invalid value for {}: {text:?} is not {expected}", flag.name))
        })?;
        let section = resources.entry(*section).or_insert_with(|| json!({}));
        section[*name] = value;
    }
    Ok(Value::Object(resources))
}

/// `512m`, `1.5GiB`, `10 kb`: powers of 1024, as Docker's tools have them.
fn bytes(text: &str) -> Option<i64> {
    let lower = text.to_ascii_lowercase();
    let end = lower.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(lower.len());
    let (number, unit) = lower.split_at(end);
    let unit = unit.trim_start();
    let unit = unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')).unwrap_or(unit);
    let power = match unit {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return None,
    };
    let unit = 1_i64 << (10 * power);
    if let Ok(whole) = number.parse::<i64>() {
        return whole.checked_mul(unit);
    }
    let number: f64 = number.parse().ok().filter(|number: &f64| number.is_finite())?;
    #[expect(clippy::cast_precision_loss, reason = "a power of two")]
    let value = number * unit as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "compared before")]
    let value = (value < i64::MAX as f64).then_some(value as i64);
    value
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn sizes_are_those_of_dockers_tools() {
        for (text, value) in [
            ("0", Some(0)),
            ("4096", Some(4096)),
            ("4096b", Some(4096)),
            ("1k", Some(1024)),
            ("512m", Some(512 << 20)),
            ("512M", Some(512 << 20)),
            ("2g", Some(2 << 30)),
            ("2GiB", Some(2 << 30)),
            ("2 gb", Some(2 << 30)),
            ("1.5k", Some(1536)),
            ("1t", Some(1 << 40)),
            ("1p", Some(1 << 50)),
            ("", None),
            ("m", None),
            ("-2", None),
            ("1x", None),
            ("1.2.3k", None),
            ("9223372036854775807", Some(i64::MAX)),
            ("9223372036854775808", None),
            ("9223372036854775807k", None),
        ] {
            assert_eq!(bytes(text), value, "{text:?}");
        }
    }
}
