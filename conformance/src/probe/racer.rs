//! Looks at everything of every process it sees, again and again, as an attacker with CAP_SYS_PTRACE in a shared pid
//! namespace would: memory, root, working directory, program, mappings and fds. It looks for one file (the canary) and
//! for one text in memory (the secret) that only the host has, and tells what it found.

use std::{
    collections::BTreeSet,
    ffi::c_int,
    fs,
    io::{self, Write},
    os::unix::fs::{FileExt, FileTypeExt},
};

use crate::json::Json;

/// What is searched of one mapping.
const SEARCHED: usize = 1 << 20;

#[derive(Default)]
struct Seen {
    processes: BTreeSet<u32>,
    /// Processes whose memory could be opened.
    opened: BTreeSet<u32>,
    programs: BTreeSet<String>,
    mappings: BTreeSet<String>,
    fds: BTreeSet<String>,
    /// Ways by which the host was reached.
    reached: BTreeSet<String>,
}

/// Races until `stop` is there, then prints what it saw.
pub(crate) fn race(canary: &str, secret: &str, stop: &str) -> io::Result<c_int> {
    let canary = canary.trim_start_matches('/');
    let mut seen = Seen::default();
    writeln!(io::stdout(), "ready")?;
    while fs::symlink_metadata(stop).is_err() {
        let pids = fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        for pid in pids.filter(|&pid: &u32| pid != std::process::id()) {
            seen.processes.insert(pid);
            look_at(pid, canary, secret.as_bytes(), &mut seen);
        }
    }
    let told = Json::object([
        ("processes", Json::from(i64::try_from(seen.processes.len()).unwrap_or(i64::MAX))),
        ("opened", Json::from(i64::try_from(seen.opened.len()).unwrap_or(i64::MAX))),
        ("programs", Json::list(seen.programs)),
        ("mappings", Json::list(seen.mappings)),
        ("fds", Json::list(seen.fds)),
        ("reached", Json::list(seen.reached)),
    ]);
    writeln!(io::stdout(), "{told}")?;
    Ok(0)
}

/// A process may end or change at any point of this: what fails is passed over.
fn look_at(pid: u32, canary: &str, secret: &[u8], seen: &mut Seen) {
    let proc = format!("/proc/{pid}");
    for way in ["root", "cwd", "cwd/../../../../../../../.."] {
        if fs::symlink_metadata(format!("{proc}/{way}/{canary}")).is_ok() {
            seen.reached.insert(format!("the canary through {way}"));
        }
    }
    if let Ok(program) = fs::read_link(format!("{proc}/exe")) {
        seen.programs.insert(program.to_string_lossy().into_owned());
    }
    if let Ok(memory) = fs::OpenOptions::new().read(true).write(true).open(format!("{proc}/mem")) {
        seen.opened.insert(pid);
        search(&memory, &fs::read_to_string(format!("{proc}/maps")).unwrap_or_default(), secret, seen);
    }
    for fd in fs::read_dir(format!("{proc}/fd")).into_iter().flatten().filter_map(Result::ok) {
        let path = fd.path();
        let (Ok(metadata), Ok(text)) = (fs::metadata(&path), fs::read_link(&path)) else { continue };
        let kind = metadata.file_type();
        let kind = match kind {
            _ if kind.is_dir() => "directory",
            _ if kind.is_fifo() => "fifo",
            _ if kind.is_socket() => "socket",
            _ if kind.is_char_device() => "device",
            _ if kind.is_file() => "file",
            _ => "other",
        };
        seen.fds.insert(format!("{kind} {}", text.to_string_lossy()));
        let up = path.join("../../../../../../../..");
        if [path.join(canary), up.join(canary)].iter().any(|way| fs::symlink_metadata(way).is_ok()) {
            seen.reached.insert(format!("the canary through an fd of {}", text.to_string_lossy()));
        }
    }
}

/// Notes the files that are mapped, and searches what is writable.
fn search(memory: &fs::File, maps: &str, secret: &[u8], seen: &mut Seen) {
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (Some(range), Some(rights), Some(name)) = (words.next(), words.next(), words.nth(3).or(Some("")))
        else {
            continue;
        };
        if name.starts_with('/') {
            seen.mappings.insert(name.to_owned());
        }
        let ends = range.split_once('-').and_then(|(start, end)| {
            Some((u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?))
        });
        let Some((start, end)) = ends.filter(|_| rights.starts_with("rw")) else { continue };
        let mut bytes = vec![0; usize::try_from(end - start).unwrap_or(SEARCHED).min(SEARCHED)];
        let length = memory.read_at(&mut bytes, start).unwrap_or(0);
        if bytes[..length].windows(secret.len()).any(|window| window == secret) {
            seen.reached.insert(format!("the host's memory at {range} {name}"));
        }
    }
}
