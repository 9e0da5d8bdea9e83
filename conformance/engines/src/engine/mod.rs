//! The engines: how each is set up beside whatever else runs on the machine.

mod containerd;
mod docker;
mod podman;

use std::io;

use crate::{
    scenario::{self, Scenario},
    session::Setup,
};

/// An engine and its scenarios.
pub struct Engine {
    /// As on the command line and in the table.
    pub name: &'static str,
    /// Programs that must be installed.
    pub programs: &'static [&'static str],
    /// Sets it up.
    pub set_up: fn(&mut Setup<'_>) -> io::Result<()>,
    text: &'static str,
}

impl Engine {
    /// Its scenarios, in order.
    ///
    /// # Errors
    /// See [`scenario::parse`].
    pub fn scenarios(&self) -> Result<Vec<Scenario>, String> {
        scenario::parse(self.text)
    }
}

/// All of them.
pub const ENGINES: [Engine; 3] = [
    Engine {
        name: "podman",
        programs: &["podman", "conmon"],
        set_up: podman::set_up,
        text: include_str!("../../scenarios/podman.txt"),
    },
    Engine {
        name: "docker",
        programs: &["dockerd", "docker", "containerd"],
        set_up: docker::set_up,
        text: include_str!("../../scenarios/docker.txt"),
    },
    Engine {
        name: "containerd",
        programs: &["containerd", "ctr"],
        set_up: containerd::set_up,
        text: include_str!("../../scenarios/containerd.txt"),
    },
];

/// What all scenarios may use.
const PRELUDE: &str = r#"
set -u
export LC_ALL=C PATH="$WORK/bin:$PATH:/usr/sbin:/sbin"
# Runs a command and tells its exit code.
code() { "$@"; echo "exit $?"; }
# Repeats a command until it succeeds, for what engines do in the background; gives up after ten seconds.
until_true() { i=0; until "$@" >/dev/null 2>&1; do i=$((i+1)); [ $i -lt 100 ] || { echo "gave up: $*"; return 1; }; sleep 0.1; done; }
"#;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn scenarios_have_names_of_their_own() {
        for engine in &super::ENGINES {
            let scenarios = engine.scenarios().expect("well-formed");
            let names: BTreeSet<&str> = scenarios.iter().map(|scenario| scenario.name).collect();
            assert!(!names.is_empty() && names.len() == scenarios.len(), "{}", engine.name);
        }
    }
}
