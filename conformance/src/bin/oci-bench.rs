//! Measures how long `run` of a bundle takes under several runtimes, in interleaved rounds: machines are noisy, so only
//! the ratios of one run mean something.
//!
//! `oci-bench [--rounds N] [--bundle DIR] [--unified] NAME=PROGRAM…`
//!
//! Without `--bundle`: the default configuration around the probe, which does nothing and exits. With `--unified` all
//! of it happens in a mount namespace with cgroup2 at /sys/fs/cgroup.

use std::{
    ffi::OsString,
    io::{self, Write},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use oci_conformance::{Bundle, host};

struct Contender {
    name: String,
    program: PathBuf,
    root: host::TempDir,
    times: Vec<Duration>,
}

struct Options {
    rounds: u32,
    bundle: Option<PathBuf>,
    contenders: Vec<Contender>,
}

const USAGE: &str = "usage: oci-bench [--rounds N] [--bundle DIR] [--unified] NAME=PROGRAM…";

fn parse(args: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options { rounds: 200, bundle: None, contenders: Vec::new() };
    let mut args = args.peekable();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--rounds" => {
                options.rounds = args.next().and_then(|value| value.parse().ok()).ok_or(USAGE)?;
            }
            "--bundle" => options.bundle = Some(args.next().ok_or(USAGE)?.into()),
            _ => {
                let (name, program) = arg.split_once('=').ok_or(USAGE)?;
                options.contenders.push(Contender {
                    name: name.to_owned(),
                    program: program.into(),
                    root: host::TempDir::new(&format!("oci-bench-{name}")),
                    times: Vec::new(),
                });
            }
        }
    }
    if options.contenders.is_empty() { Err(USAGE.to_owned()) } else { Ok(options) }
}

fn run_once(contender: &Contender, bundle: &std::path::Path, round: u32) -> Result<Duration, String> {
    let mut command = Command::new(&contender.program);
    command.arg("--root").arg(contender.root.path()).arg("run").arg("--bundle").arg(bundle);
    command.arg(format!("oci-bench-{}-{}-{round}", contender.name, std::process::id()));
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let began = Instant::now();
    let status = command.status().map_err(|error| format!("{}: {error}", contender.program.display()))?;
    let took = began.elapsed();
    if status.success() { Ok(took) } else { Err(format!("{} in round {round}: {status}", contender.name)) }
}

fn quantile(sorted: &[Duration], of: usize) -> Duration {
    sorted[(sorted.len() - 1) * of / 100]
}

fn report(contenders: &mut [Contender]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    contenders.iter_mut().for_each(|contender| contender.times.sort());
    let first = contenders.first().map(|contender| quantile(&contender.times, 50)).unwrap_or_default();
    writeln!(
        out,
        "{:<12} {:>10} {:>10} {:>10} {:>10} {:>8}",
        "runtime", "min ms", "median", "p95", "max", "ratio"
    )?;
    for contender in contenders {
        let at = |of| quantile(&contender.times, of).as_secs_f64() * 1000.0;
        writeln!(
            out,
            "{:<12} {:>10.3} {:>10.3} {:>10.3} {:>10.3} {:>8.2}",
            contender.name,
            at(0),
            at(50),
            at(95),
            at(100),
            at(50) / (first.as_secs_f64() * 1000.0)
        )?;
    }
    Ok(())
}

fn measure(options: &mut Options) -> Result<(), String> {
    let own = Bundle::builder().args(["/bin/probe", "exit", "0"]).set("/process/terminal", false).build();
    let bundle = options.bundle.clone().unwrap_or_else(|| own.path().to_owned());
    let count = options.contenders.len();
    for round in 0..options.rounds + 2 {
        for turn in 0..count {
            // Each goes first equally often.
            let contender = &mut options.contenders[(turn + round as usize) % count];
            let took = run_once(contender, &bundle, round)?;
            // Two rounds to warm up.
            if round >= 2 {
                contender.times.push(took);
            }
        }
    }
    report(&mut options.contenders).map_err(|error| error.to_string())
}

fn main() -> ExitCode {
    let mut args: Vec<OsString> = std::env::args_os().collect();
    if let Some(at) = args.iter().position(|arg| arg == "--unified") {
        args.remove(at);
        let error = host::unified_view(&args[0]).args(&args[1..]).exec();
        let _unwritable = writeln!(io::stderr(), "unshare: {error}");
        return ExitCode::FAILURE;
    }
    let args = args.into_iter().skip(1).map(|arg| arg.to_string_lossy().into_owned());
    match parse(args).and_then(|mut options| measure(&mut options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            let _unwritable = writeln!(io::stderr(), "{message}");
            ExitCode::FAILURE
        }
    }
}
