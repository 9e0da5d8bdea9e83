//! `process`.

use oci_spec::runtime::Process;

use crate::{Bundle, Problem};

/// getrlimit(2).
const RLIMITS: &[&str] = &[
    "RLIMIT_AS",
    "RLIMIT_CORE",
    "RLIMIT_CPU",
    "RLIMIT_DATA",
    "RLIMIT_FSIZE",
    "RLIMIT_LOCKS",
    "RLIMIT_MEMLOCK",
    "RLIMIT_MSGQUEUE",
    "RLIMIT_NICE",
    "RLIMIT_NOFILE",
    "RLIMIT_NPROC",
    "RLIMIT_RSS",
    "RLIMIT_RTPRIO",
    "RLIMIT_RTTIME",
    "RLIMIT_SIGPENDING",
    "RLIMIT_STACK",
];

/// proc_pid_oom_score_adj(5).
const OOM_SCORE_ADJ: std::ops::RangeInclusive<i32> = -1000..=1000;

pub(super) fn check(bundle: &Bundle) -> Vec<Problem> {
    let Some(process) = bundle.spec().process() else {
        return vec![Problem::new("process", "process property must not be empty")];
    };
    let mut problems = check_program(process);
    problems.extend(check_rlimits(&bundle.fields().rlimits));
    if let Some(umask) = process.user().umask().filter(|umask| *umask > 0o777) {
        problems.push(Problem::new("process.user.umask", format!("{umask} is above 511 (octal 777)")));
    }
    if let Some(score) = process.oom_score_adj().filter(|score| !OOM_SCORE_ADJ.contains(score)) {
        problems.push(Problem::new("process.oomScoreAdj", format!("{score} is not between -1000 and 1000")));
    }
    // Ignored without a terminal, whatever it is.
    let size = process.console_size().filter(|_| process.terminal() == Some(true));
    for (name, value) in
        size.into_iter().flat_map(|size| [("height", size.height()), ("width", size.width())])
    {
        if value > u64::from(u16::MAX) {
            let words = format!("{value} is more than a terminal can have, which is 65535");
            problems.push(Problem::new(format!("process.consoleSize.{name}"), words));
        }
    }
    problems
}

fn check_program(process: &Process) -> Vec<Problem> {
    let mut problems = Vec::new();
    if process.args().as_ref().is_none_or(Vec::is_empty) {
        problems.push(Problem::new("process.args", "args must not be empty"));
    }
    let cwd = process.cwd();
    if cwd.as_os_str().is_empty() {
        problems.push(Problem::new("process.cwd", "Cwd property must not be empty"));
    } else if !cwd.is_absolute() {
        problems.push(Problem::new("process.cwd", format!("Cwd must be an absolute path, found {cwd:?}")));
    }
    problems
}

fn check_rlimits(rlimits: &[(String, u64, u64)]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (index, (name, soft, hard)) in rlimits.iter().enumerate() {
        let at = |property: &str| format!("process.rlimits[{index}]{property}");
        if !RLIMITS.contains(&name.as_str()) {
            let near = RLIMITS.iter().find(|known| is_near(known, name));
            let hint = near.map(|near| format!(", did you mean {near}?")).unwrap_or_default();
            problems.push(Problem::new(at(".type"), format!("unknown rlimit {name:?}{hint}")));
        }
        if let Some(first) = rlimits[..index].iter().position(|(earlier, ..)| earlier == name) {
            let words = format!("duplicated rlimit {name:?}, already set by process.rlimits[{first}]");
            problems.push(Problem::new(at(".type"), words));
        }
        if soft > hard {
            problems.push(Problem::new(at(".soft"), format!("{soft} is above the hard limit {hard}")));
        }
    }
    problems
}

/// Whether a name was written as ulimit or a configuration file of another program has it.
fn is_near(known: &str, name: &str) -> bool {
    known.eq_ignore_ascii_case(name) || known["RLIMIT_".len()..].eq_ignore_ascii_case(name)
}
