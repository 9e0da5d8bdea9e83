//! What filters cost, for docs/src/design/seccomp.md. Not an assertion, since it depends on the machine:
//! `cargo test --release -p orlop --lib seccomp -- --ignored --nocapture`.

use std::{hint::black_box, io::Write as _, time::Instant};

use super::{
    DOCKER, PODMAN,
    libseccomp::Libseccomp,
    machine::{self, Call},
    of_engine, profile,
};
use crate::seccomp::{Filter, NATIVE, Profile, arches, compile, table::Row};

/// What `strace -c` shows most of in servers, shells and builds.
const COMMON: [&str; 24] = [
    "read",
    "write",
    "openat",
    "close",
    "newfstatat",
    "fstat",
    "mmap",
    "mprotect",
    "munmap",
    "brk",
    "ioctl",
    "futex",
    "epoll_wait",
    "poll",
    "recvfrom",
    "sendto",
    "recvmsg",
    "sendmsg",
    "accept4",
    "clock_nanosleep",
    "getpid",
    "rt_sigaction",
    "rt_sigprocmask",
    "clone",
];

#[test]
#[ignore = "measures"]
fn figures() {
    let mut out = std::io::stdout().lock();
    for (name, config) in [("Podman 4.3", PODMAN), ("Docker 20.10", DOCKER)] {
        let value = of_engine(config);
        let profile = profile(&value);
        let filter = compile(&profile).unwrap();
        let read = median(|| drop(black_box(Profile::from_json(black_box(&value)))));
        let build = median(|| drop(black_box(compile(black_box(&profile)))));
        writeln!(
            out,
            "{name}: read {read:.1} µs, compiled {build:.1} µs, {} instructions",
            filter.program.len()
        )
        .unwrap();
        steps(&mut out, &profile, &filter);
    }
}

fn median(mut run: impl FnMut()) -> f64 {
    let mut times: Vec<_> = (0..2001)
        .map(|_| {
            let began = Instant::now();
            run();
            began.elapsed()
        })
        .collect();
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1e6
}

/// Instructions that one call takes; libseccomp's without those that runc puts in front of it.
fn steps(out: &mut impl std::io::Write, profile: &Profile, filter: &Filter) {
    let reference =
        Libseccomp::find().and_then(|library| library.compile(profile, &arches(profile, NATIVE).unwrap()));
    let of = |row: &Row| {
        let number = row.number(NATIVE.column)?;
        let call = Call::new(NATIVE.audit, number, [0; 6], NATIVE.is_big_endian);
        let theirs = reference.as_ref().map_or(0, |reference| machine::run(&reference.program, &call).1);
        Some((machine::run(&filter.program, &call).1, theirs))
    };
    let all: Vec<_> = Row::all().filter_map(|row| of(&row)).collect();
    let common: Vec<_> =
        Row::all().filter(|row| COMMON.contains(&row.name())).filter_map(|row| of(&row)).collect();
    let length = reference.as_ref().map_or(0, |reference| reference.program.len());
    writeln!(out, "  libseccomp: {length} instructions").unwrap();
    for (which, steps) in [("all calls", all), ("common calls", common)] {
        let mean = |steps: Vec<u32>| f64::from(steps.iter().sum::<u32>()) / steps.len() as f64;
        let most = steps.iter().map(|(ours, _)| *ours).max().unwrap_or_default();
        let (ours, theirs): (Vec<_>, Vec<_>) = steps.into_iter().unzip();
        writeln!(out, "  {which}: {:.1} (at most {most}), libseccomp {:.1}", mean(ours), mean(theirs))
            .unwrap();
    }
}
