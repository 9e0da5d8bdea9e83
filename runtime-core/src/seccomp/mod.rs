//! From a seccomp profile of the configuration to a program for seccomp(2). Stands alone: JSON in, instructions out,
//! no system call made. The plan calls it; init loads what comes out.
//!
//! The way: `profile` (read and checked) → `rules` (by number, for each architecture; `table` knows the numbers) →
//! `conditions` (in the order in which they are tried) → `ranges` and `dispatch`, with `arguments` (a graph of
//! comparisons) → `layout` (instructions).

mod arch;
mod arguments;
mod conditions;
mod dispatch;
mod graph;
mod instruction;
mod layout;
mod profile;
mod ranges;
mod reader;
mod rules;
mod table;
mod words;
#[cfg(test)]
mod tests;

use crate::Problem;

use arch::{Arch, NATIVE};

pub(crate) use instruction::Instruction;
pub(crate) use profile::Profile;

/// What seccomp(2) is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filter {
    /// At most 4096 instructions (`BPF_MAXINSNS`).
    pub(crate) program: Vec<Instruction>,
    /// `SECCOMP_FILTER_FLAG_*` that the profile asks for; `NEW_LISTENER` is the loader's to add.
    pub(crate) flags: u32,
    /// Some rule has the action `SCMP_ACT_NOTIFY`.
    pub(crate) uses_notify: bool,
    /// Names of system calls that are not known, and the like.
    pub(crate) warnings: Vec<Problem>,
}

/// The words that `linux.seccomp` may have in this build, each list sorted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SeccompWords {
    /// `SCMP_ACT_*`.
    pub actions: Vec<&'static str>,
    /// `SCMP_CMP_*`.
    pub operators: Vec<&'static str>,
    /// `SCMP_ARCH_*`.
    pub architectures: Vec<&'static str>,
    /// `SECCOMP_FILTER_FLAG_*`.
    pub known_flags: Vec<&'static str>,
    /// Those of them that the running kernel has.
    pub supported_flags: Vec<&'static str>,
}

/// All words. `supported`: the flags of the kernel, none: it has no filters.
pub(crate) fn words(supported: Option<u32>) -> SeccompWords {
    let sorted = |names: &mut dyn Iterator<Item = &'static str>| {
        let mut names: Vec<_> = names.collect();
        names.sort_unstable();
        names
    };
    let is_supported =
        |name: &&str| supported.is_some_and(|known| words::flag(name).is_some_and(|flag| flag & !known == 0));
    SeccompWords {
        actions: sorted(&mut words::action_names()),
        operators: sorted(&mut words::operator_names()),
        architectures: sorted(&mut arch::arch_names()),
        known_flags: sorted(&mut words::flag_names()),
        supported_flags: sorted(&mut words::flag_names().filter(is_supported)),
    }
}

/// Builds the filter of a profile for this machine.
///
/// # Errors
/// When the rules contradict each other or do not fit into one program.
pub(crate) fn compile(profile: &Profile) -> Result<Filter, Vec<Problem>> {
    compile_for(profile, NATIVE)
}

fn compile_for(profile: &Profile, native: Arch) -> Result<Filter, Vec<Problem>> {
    let arches = arches(profile, native)?;
    let mut problems = Vec::new();
    let mut ruled = Vec::with_capacity(arches.len());
    for arch in arches {
        match rules::verdicts(profile, arch) {
            Ok(verdicts) => ruled.push((arch, verdicts)),
            Err(found) => problems.extend(found),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut graph = graph::Graph::default();
    let first = dispatch::dispatch(&mut graph, &ruled, profile.default);
    let program = layout::program(&graph, first).map_err(|layout::TooLong| {
        let message = "has more rules than fit into one filter of the kernel (4096 instructions)";
        vec![Problem::new("linux.seccomp.syscalls", message)]
    })?;
    let warnings = profile.rules.iter().flat_map(|rule| rule.unknown.clone()).collect();
    Ok(Filter { program, flags: profile.flags, uses_notify: profile.uses_notify(), warnings })
}

/// The architectures of the filter, each once. The own one is always among them.
fn arches(profile: &Profile, native: Arch) -> Result<Vec<Arch>, Vec<Problem>> {
    let mut arches = vec![native];
    let mut problems = Vec::new();
    for (index, arch) in profile.arches.iter().enumerate() {
        if arch.is_big_endian != native.is_big_endian {
            let path = format!("linux.seccomp.architectures[{index}]");
            let message = format!("{} has another byte order than this machine", arch.name);
            problems.push(Problem::new(path, message));
        } else if !arches.contains(arch) {
            arches.push(*arch);
        }
    }
    if problems.is_empty() { Ok(arches) } else { Err(problems) }
}
