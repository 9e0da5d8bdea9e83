//! From a seccomp profile of the configuration to a program for seccomp(2). Stands alone: JSON in, instructions out,
//! no system call made. The plan calls it; init loads what comes out.

// Its caller comes with the steps that load a filter.
#![allow(dead_code, reason = "the caller is not there yet")]

mod instruction;
mod profile;

use crate::Problem;

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

/// Builds the filter of a profile for this machine.
///
/// # Errors
/// When the rules contradict each other or do not fit into one program.
pub(crate) fn compile(profile: &Profile) -> Result<Filter, Vec<Problem>> {
    Err(vec![Problem::new("linux.seccomp", format!("no rules can be carried out yet: {profile:?}"))])
}
