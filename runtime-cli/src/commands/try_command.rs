//! `try`: a throw-away sandbox for one command.

use std::{
    env, fs,
    io::IsTerminal,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use orlop::{Bundle, CreateOptions, Deadline, Delete, Runtime};
use rustix::process::geteuid;

use super::{Command, Group, PATIENCE};
use crate::{
    args::{Arity, Order, Parsed},
    config_file::write_config,
    failure::{Failure, Result, exit},
    foreground::{Ended, Foreground, become_subreaper},
    global::Globals,
    launch::Launch,
    output,
    sandbox::{FLAGS, Identity, Network, Options, Place, View, config_of},
};

/// Definition.
pub const COMMAND: Command = Command {
    name: "try",
    group: Group::Sandbox,
    about: "Run one command in a throw-away sandbox, without image, network or root",
    usage: "try [OPTIONS] [--] [COMMAND [ARGUMENT...]]",
    details: "Without COMMAND it runs a shell. The command sees the system of this machine and the current directory,\n\
              both read-only; home, /tmp, /var and /run are new, empty and gone afterwards. It is root of a user namespace\n\
              without any capability. The status of the command is passed on.\n\n\
              Examples:\n  \
              orlop try                          look around\n  \
              orlop try --rw . -- make           build without network and without your keys\n  \
              orlop try --timeout 10 ./script    end it after ten seconds",
    flags: FLAGS,
    order: Order::OperandsLast,
    arity: Arity::Any,
    run,
};

const DEFAULT_SHELL: &str = "/bin/sh";

fn run(globals: &Globals, args: &Parsed) -> Result<u8> {
    let began = Instant::now();
    globals.check_cgroup_manager()?;
    let mut options = Options::read(args)?;
    if options.command.is_empty() {
        options.command = vec![shell()];
    }
    let outcome = sandbox(globals, &options, began);
    outcome.map_err(|failure| with_remedy(failure, &options).context("orlop try failed").for_people())
}

fn sandbox(globals: &Globals, options: &Options, began: Instant) -> Result<u8> {
    let cwd = env::current_dir().map_err(|error| Failure::io("find the current directory", error))?;
    let home = caller_home();
    let identity = Identity::choose(options.writable.first().map(PathBuf::as_path))?;
    let view = View::of_host(options, home.as_deref(), &cwd, identity)?;
    // One of its own, so that nothing can be typed into ours; a pipe on one side makes no terminal.
    let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let variables = env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let config = config_of(options, &view, identity, variables, terminal);
    if let Some(dir) = &options.bundle {
        let place = Place::bundle(dir)?;
        write_config(place.dir(), &config)?;
        place.make_rootfs(&view, identity)?;
        return Ok(exit::SUCCESS);
    }
    let place = Place::temporary()?;
    place.make_rootfs(&view, identity)?;
    let bundle = Bundle::from_json(config.to_string().as_bytes(), place.dir())?;
    let runtime = Runtime::builder().root(place.state_root()).build()?;
    let ended = run_in_foreground(Launch::internal(globals, runtime, &place.id(), bundle), options, began)?;
    // The kernel gives 8 bits of status, and a signal is at most 64.
    let status = u8::try_from(ended.status.code()).unwrap_or(exit::FAILURE);
    Ok(if ended.timed_out { exit::TIMED_OUT } else { status })
}

fn run_in_foreground(launch: Launch<'_>, options: &Options, began: Instant) -> Result<Ended> {
    let mut foreground = Foreground::begin()?;
    become_subreaper()?;
    // A cgroup is only made when there is something to limit: the pid namespace ends everything anyway.
    let options_of_create =
        CreateOptions::new().started_by_this_handle().rootless(Some(true)).cgroup_for_limits_only();
    let launched = launch.create(options_of_create)?;
    let (launched, ended) = launched.or_undo(|launched| {
        foreground.use_terminal(launched.take_console())?;
        launched.container.start(Deadline::never())?;
        if !options.quiet {
            output::complain(summary(options, began.elapsed(), foreground.has_terminal()));
        }
        foreground.end_at(options.timeout.and_then(|timeout| Instant::now().checked_add(timeout)));
        foreground.wait_for(&launched.container)
    })?;
    drop(foreground);
    launched.container.delete(Delete::WhenStopped, Deadline::after(PATIENCE))?;
    Ok(ended)
}

/// What a person may rely on. In raw mode a line ends in CR LF.
fn summary(options: &Options, took: Duration, raw: bool) -> String {
    let network = match options.network {
        Network::None => "no network",
        Network::Host => "network of the host",
    };
    let millis = took.as_secs_f64() * 1000.0;
    let end = if raw { "\r\n" } else { "\n" };
    format!(
        "orlop: own user, pid, mount, ipc, uts and cgroup namespaces; {network}; system read-only; no capabilities, \
         no new privileges, a filter of system calls; started in {millis:.1} ms{end}"
    )
}

/// Limits need a cgroup, which a plain user seldom has: then they are refused by name.
fn with_remedy(failure: Failure, options: &Options) -> Failure {
    let limits = options.limits.names().join(", ");
    if limits.is_empty() || !failure.line().contains("cgroup") {
        return failure;
    }
    failure.context(format_args!("{limits} cannot be set without a cgroup of one's own")).or_hint(|| {
        "run it where a cgroup is delegated (systemd-run --user --scope -p Delegate=yes orlop try ...), as root, or \
         without the limit"
            .to_owned()
    })
}

/// The user's shell where the sandbox has it.
fn shell() -> String {
    let is_system = |shell: &String| ["/bin/", "/usr/"].iter().any(|dir| shell.starts_with(dir));
    env::var("SHELL").ok().filter(is_system).unwrap_or_else(|| DEFAULT_SHELL.to_owned())
}

/// `HOME`, else what /etc/passwd says.
fn caller_home() -> Option<PathBuf> {
    let variable = env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    let home = variable.or_else(|| {
        let users = fs::read_to_string("/etc/passwd").ok()?;
        home_of(&users, geteuid().as_raw())
    })?;
    // Compared with real paths.
    Some(fs::canonicalize(&home).unwrap_or(home))
}

fn home_of(users: &str, uid: u32) -> Option<PathBuf> {
    let uid = uid.to_string();
    let fields = users
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.get(2) == Some(&uid.as_str()))?;
    fields.get(5).map(|home| Path::new(home).to_owned())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::home_of;

    #[test]
    fn homes_come_from_the_sixth_field() {
        let users = "root:x:0:0:root:/root:/bin/sh\nanna:x:1000:1000::/home/anna:/bin/bash\nshort:x:7\n";
        assert_eq!(home_of(users, 1000), Some(PathBuf::from("/home/anna")));
        assert_eq!(home_of(users, 7), None);
        assert_eq!(home_of(users, 8), None);
    }
}
