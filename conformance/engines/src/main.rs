//! Runs scenarios of Podman, Docker and containerd on OCI runtimes, each first with the runtimes that people know, then
//! with the one to be judged, and tells where they end differently.
//!
//! Everything happens in namespaces of its own and in a temporary folder; nothing of it is left afterwards. Needs root
//! and the engines' Debian packages.

mod engine;
mod image;
mod machine;
mod outcome;
mod scenario;
mod session;
mod table;

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::Parser;
use oci_conformance::host;

use engine::{ENGINES, Engine};
use session::{Runtime, Session};
use table::{Row, Table};

/// Compares OCI runtimes below real engines.
#[derive(Debug, Parser)]
struct Options {
    /// The runtime to be judged.
    #[arg(long, value_name = "NAME=PROGRAM", value_parser = parse_runtime)]
    subject: Runtime,
    /// Runtimes to compare it with; one that an engine does not start with here is left out, aloud.
    #[arg(long = "peer", value_name = "NAME=PROGRAM", value_parser = parse_runtime)]
    peers: Vec<Runtime>,
    /// Only scenarios with this text in their name.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Only the short form of the suite.
    #[arg(long)]
    short: bool,
    /// With cgroup2 at /sys/fs/cgroup.
    #[arg(long)]
    unified: bool,
    /// Also writes the table, as Markdown.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Tells every outcome, not only those that differ.
    #[arg(long, short)]
    verbose: bool,
    /// podman, docker, containerd; all of them when none is named.
    engines: Vec<String>,
}

fn parse_runtime(text: &str) -> Result<Runtime, String> {
    let (name, program) = text.split_once('=').ok_or("expected NAME=PROGRAM")?;
    let program = std::fs::canonicalize(program).map_err(|error| format!("{program}: {error}"))?;
    Ok(Runtime { name: name.to_owned(), program })
}

fn say(text: &str) {
    // Nobody is left to be told when that fails.
    drop(writeln!(io::stderr(), "{text}"));
}

/// One engine, all runtimes; the subject comes last.
fn run_engine(engine: &Engine, options: &Options, table: &mut Table) -> Result<(), String> {
    if let Some(missing) = engine.programs.iter().find(|program| host::find(program).is_none()) {
        say(&format!("skipped: {}: {missing} is not installed", engine.name));
        return Ok(());
    }
    let controllers = machine::controllers();
    let mut rows: Vec<Row> = Vec::new();
    for scenario in engine.scenarios()? {
        let is_asked_for = options.only.as_ref().is_none_or(|only| scenario.name.contains(only))
            && (scenario.is_short || !options.short);
        match scenario.needs.filter(|needs| !controllers.contains(*needs)) {
            _ if !is_asked_for => {}
            Some(needs) => say(&format!("skipped: {}: {}: needs {needs}", engine.name, scenario.name)),
            None => rows.push(Row::new(engine.name, scenario)),
        }
    }
    for (runtime, is_subject) in
        options.peers.iter().map(|peer| (peer, false)).chain([(&options.subject, true)])
    {
        match Session::start(runtime, engine.set_up) {
            Ok(mut session) => run_all(&mut session, runtime, engine, &mut rows)?,
            Err(error) if is_subject => {
                return Err(format!("{} with {}: {error}", engine.name, runtime.name));
            }
            Err(error) => say(&format!("skipped: {} with {}: {error}", engine.name, runtime.name)),
        }
    }
    table.rows.extend(rows);
    Ok(())
}

fn run_all(
    session: &mut Session,
    runtime: &Runtime,
    engine: &Engine,
    rows: &mut [Row],
) -> Result<(), String> {
    for row in rows {
        let outcome = session.run(&row.scenario).map_err(|error| error.to_string())?;
        say(&format!("{} with {}: {}: {:?}", engine.name, runtime.name, row.scenario.name, outcome.code));
        row.outcomes.push((runtime.name.clone(), outcome));
    }
    Ok(())
}

fn run(options: &Options) -> Result<bool, String> {
    machine::enter(options.unified).map_err(|error| error.to_string())?;
    if let Some(unknown) =
        options.engines.iter().find(|name| ENGINES.iter().all(|engine| engine.name != **name))
    {
        return Err(format!("no engine {unknown:?}"));
    }
    let mut table = Table::default();
    for engine in &ENGINES {
        if options.engines.is_empty() || options.engines.iter().any(|name| name == engine.name) {
            run_engine(engine, options, &mut table)?;
        }
    }
    let mut out = io::stdout().lock();
    table.print(&mut out, &options.subject.name, options.verbose).map_err(|error| error.to_string())?;
    if let Some(file) = &options.markdown {
        std::fs::write(file, table.to_markdown()).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(table.differences() == 0)
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            say(&message);
            ExitCode::FAILURE
        }
    }
}
