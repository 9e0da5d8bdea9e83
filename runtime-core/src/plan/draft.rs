//! A plan in the making: chapters append steps to it, and problems where the configuration cannot be carried out.
//! `finish` gives the plan or all problems at once.

use std::{ffi::CString, os::unix::ffi::OsStrExt, path::Path};

use orlop_init::wire::{OwnedOp, message::Barrier};

use super::step::{HostOp, HostStep, InitStep, Need, When, Why};
use crate::Problem;

/// What the chapters write to.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) host: Vec<HostStep>,
    pub(super) init: Vec<InitStep>,
    pub(super) warnings: Vec<Problem>,
    pub(super) problems: Vec<Problem>,
}

impl Draft {
    /// Appends a step of launcher or init.
    pub(super) fn init(&mut self, op: OwnedOp, why: Why) {
        self.init.push(InitStep { op, why });
    }

    /// Appends a step of the host.
    pub(super) fn host(&mut self, when: When, op: HostOp, why: Why) {
        self.host.push(HostStep { when, op, why, need: Need::Required });
    }

    /// Appends the place where init waits for the host.
    pub(super) fn barrier(&mut self, barrier: Barrier, why: &'static str) {
        self.init(OwnedOp::Barrier { barrier: barrier as u32 }, Why::Always(why));
    }

    pub(super) fn problem(&mut self, at: impl Into<String>, message: impl Into<String>) {
        self.problems.push(Problem::new(at, message));
    }

    pub(super) fn warning(&mut self, at: impl Into<String>, message: impl Into<String>) {
        self.warnings.push(Problem::new(at, message));
    }

    /// A string for the kernel. One with a NUL byte is a problem, and empty then.
    pub(super) fn text(&mut self, at: &str, text: impl Into<Vec<u8>>) -> CString {
        CString::new(text).unwrap_or_else(|_| {
            self.problem(at, "has a NUL byte");
            CString::default()
        })
    }

    /// A path of the host.
    pub(super) fn path(&mut self, at: &str, path: &Path) -> CString {
        self.text(at, path.as_os_str().as_bytes())
    }

    /// Several strings, `at[0]`, `at[1]`…
    pub(super) fn texts<S: AsRef<str>>(
        &mut self,
        at: &str,
        texts: impl IntoIterator<Item = S>,
    ) -> Vec<CString> {
        texts
            .into_iter()
            .enumerate()
            .map(|(index, text)| self.text(&format!("{at}[{index}]"), text.as_ref()))
            .collect()
    }
}
