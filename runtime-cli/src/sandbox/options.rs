//! Options of `try`.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    args::{Flag, Parsed},
    failure::{Failure, Result},
};

const RW: Flag = Flag::value("rw", "PATH", "make this path visible and writable; repeatable");
const RO: Flag = Flag::value("ro", "PATH", "make this path visible; repeatable");
const NET: Flag = Flag::value(
    "net",
    "none|host",
    "only loopback (default), or all of the host's, with its abstract sockets",
);
const MEMORY: Flag = Flag::value("memory", "BYTES", "limit memory; K, M and G are powers of 1024");
const CPUS: Flag = Flag::value("cpus", "N", "limit processor time to N processors; fractions are allowed");
const PIDS: Flag = Flag::value("pids", "N", "limit the number of processes and threads");
const TIMEOUT: Flag =
    Flag::value("timeout", "TIME", "end everything after this time, with status 124; 10, 500ms, 2m");
const ENV: Flag = Flag::value("env", "NAME[=VALUE]", "set a variable, or pass it on; repeatable").short('e');
const ROOTFS: Flag =
    Flag::value("rootfs", "DIR", "use the system in this directory, not that of this machine");
const BUNDLE: Flag = Flag::value("bundle", "DIR", "write an OCI bundle there and run nothing");
const QUIET: Flag = Flag::switch("quiet", "do not tell on stderr what is isolated").short('q');

/// All of them.
pub const FLAGS: &[&Flag] =
    &[&RW, &RO, &NET, &MEMORY, &CPUS, &PIDS, &TIMEOUT, &ENV, &ROOTFS, &BUNDLE, &QUIET];

/// Which network the command has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Loopback.
    None,
    /// Ours.
    Host,
}

/// Limits that need a cgroup.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    /// Bytes.
    pub memory: Option<i64>,
    /// Thousandths of a processor.
    pub milli_cpus: Option<u64>,
    /// Processes and threads.
    pub pids: Option<i64>,
}

impl Limits {
    /// As they were written, for messages.
    pub fn names(&self) -> Vec<&'static str> {
        let asked =
            [self.memory.map(|_| "--memory"), self.milli_cpus.map(|_| "--cpus"), self.pids.map(|_| "--pids")];
        asked.into_iter().flatten().collect()
    }
}

/// What was asked for.
#[derive(Debug)]
pub struct Options {
    /// Writable paths, resolved.
    pub writable: Vec<PathBuf>,
    /// Readable paths, resolved.
    pub readable: Vec<PathBuf>,
    /// Network.
    pub network: Network,
    /// Limits.
    pub limits: Limits,
    /// Time until the end.
    pub timeout: Option<Duration>,
    /// `NAME` or `NAME=value`.
    pub env: Vec<String>,
    /// Another system.
    pub rootfs: Option<PathBuf>,
    /// Where to write a bundle.
    pub bundle: Option<PathBuf>,
    /// Nothing is told.
    pub quiet: bool,
    /// The command; empty: a shell.
    pub command: Vec<String>,
}

impl Options {
    /// Understands them.
    pub fn read(args: &Parsed) -> Result<Self> {
        let paths = |flag| args.values(flag).map(resolve).collect::<Result<Vec<_>>>();
        let number = |flag: &'static Flag, parse: fn(&str) -> Option<u64>| {
            args.value(flag).map(|value| parse_value(flag, value, parse)).transpose()
        };
        let signed = |value: Option<u64>| value.map(|value| i64::try_from(value).unwrap_or(i64::MAX));
        Ok(Self {
            writable: paths(&RW)?,
            readable: paths(&RO)?,
            network: match args.value(&NET).and_then(OsStr::to_str) {
                None if args.value(&NET).is_none() => Network::None,
                Some("none") => Network::None,
                Some("host") => Network::Host,
                _ => return Err(Failure::new("--net is none or host")),
            },
            limits: Limits {
                memory: signed(number(&MEMORY, bytes)?),
                milli_cpus: number(&CPUS, thousandths)?,
                pids: signed(number(&PIDS, count)?),
            },
            timeout: args.value(&TIMEOUT).map(|value| parse_value(&TIMEOUT, value, duration)).transpose()?,
            env: args.values(&ENV).map(text).collect::<Result<_>>()?,
            rootfs: args.value(&ROOTFS).map(resolve).transpose()?,
            bundle: args.value(&BUNDLE).map(PathBuf::from),
            quiet: args.is_set(&QUIET),
            command: args.operands.iter().map(|word| text(word)).collect::<Result<_>>()?,
        })
    }
}

/// A configuration is JSON, which holds UTF-8 only.
fn text(word: &OsStr) -> Result<String> {
    word.to_str().map(str::to_owned).ok_or_else(|| Failure::new(format!("{word:?} is not UTF-8")))
}

fn resolve(path: &OsStr) -> Result<PathBuf> {
    let path = Path::new(path);
    fs::canonicalize(path).map_err(|error| Failure::io(format_args!("find {}", path.display()), error))
}

fn parse_value<T>(flag: &Flag, value: &OsStr, parse: fn(&str) -> Option<T>) -> Result<T> {
    let wanted = flag.value.unwrap_or_default();
    value.to_str().and_then(parse).ok_or_else(|| {
        let value = value.to_string_lossy();
        Failure::new(format!("invalid value \"{value}\" for --{}: not {wanted}", flag.name))
            .with_hint(format!("--{} {wanted}: {}", flag.name, flag.help))
    })
}

fn count(word: &str) -> Option<u64> {
    word.parse().ok().filter(|count| *count > 0)
}

/// Bytes with a suffix.
fn bytes(word: &str) -> Option<u64> {
    let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match word[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return None,
    };
    count(digits)?.checked_mul(1 << shift)
}

/// A decimal number in thousandths.
fn thousandths(word: &str) -> Option<u64> {
    let (whole, fraction) = word.split_once('.').unwrap_or((word, ""));
    if fraction.len() > 3
        || whole.len() + fraction.len() == 0
        || !fraction.bytes().all(|byte| byte.is_ascii_digit())
    {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let fraction: u64 = format!("{fraction:0<3}").parse().ok()?;
    whole.checked_mul(1000)?.checked_add(fraction).filter(|cpus| *cpus > 0)
}

/// Numbers with units one after the other: `1m30s`; a bare number is seconds.
fn duration(word: &str) -> Option<Duration> {
    if let Some(seconds) = count(word) {
        return Some(Duration::from_secs(seconds));
    }
    let mut total = Duration::ZERO;
    let mut rest = word;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at(digits);
        let unit = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let number: u64 = number.parse().ok()?;
        total = total.checked_add(match &tail[..unit] {
            "ms" => Duration::from_millis(number),
            "s" => Duration::from_secs(number),
            "m" => Duration::from_secs(number.checked_mul(60)?),
            "h" => Duration::from_secs(number.checked_mul(3600)?),
            _ => return None,
        })?;
        rest = &tail[unit..];
    }
    (!total.is_zero()).then_some(total)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{bytes, duration, thousandths};

    #[test]
    fn amounts_have_units() {
        for (word, amount) in [
            ("512", Some(512)),
            ("512M", Some(512 << 20)),
            ("1g", Some(1 << 30)),
            ("2KiB", Some(2048)),
            ("", None),
            ("0", None),
            ("M", None),
            ("-1", None),
            ("1X", None),
            ("99999999999T", None),
        ] {
            assert_eq!(bytes(word), amount, "{word}");
        }
        for (word, amount) in [
            ("2", Some(2000)),
            ("0.5", Some(500)),
            (".25", Some(250)),
            ("0", None),
            ("", None),
            (".", None),
            ("1.2345", None),
        ] {
            assert_eq!(thousandths(word), amount, "{word}");
        }
    }

    #[test]
    fn times_are_seconds_or_have_units() {
        for (word, millis) in
            [("10", Some(10_000)), ("500ms", Some(500)), ("1m30s", Some(90_000)), ("2h", Some(7_200_000))]
        {
            assert_eq!(duration(word), millis.map(Duration::from_millis), "{word}");
        }
        for word in ["", "0", "0s", "s", "10x", "10s5", "-1"] {
            assert_eq!(duration(word), None, "{word}");
        }
    }
}
