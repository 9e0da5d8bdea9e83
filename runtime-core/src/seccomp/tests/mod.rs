//! Tests of the compiler as a whole.

use serde_json::Value;

use super::Profile;

mod agree;
mod figures;
mod generate;
mod kernel;
mod libseccomp;
mod machine;
mod model;
mod words;

const PODMAN: &str = include_str!("../../../tests/fixtures/engines/podman-4.3.json");
const DOCKER: &str = include_str!("../../../tests/fixtures/engines/docker-20.10.json");

fn profile(value: &Value) -> Profile {
    Profile::from_json(value).unwrap_or_else(|problems| panic!("{problems:?}")).expect("a profile")
}

/// The profile of an engine's configuration.
fn of_engine(config: &str) -> Value {
    let config: Value = serde_json::from_str(&config.replace("@HOOK@", "/usr/bin/true")).unwrap();
    config["linux"]["seccomp"].clone()
}
