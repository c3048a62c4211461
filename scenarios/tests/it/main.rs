//! Every scenario file of the folder, the format's errors, and the faults themselves.

mod digest;
mod files;
mod format;
mod letters;
mod runner;

use std::path::PathBuf;

/// The folder of the scenario files.
fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The scenario of a file of the folder.
fn scenario(name: &str) -> impresario_scenarios::Scenario {
    let path = folder().join(format!("{name}.yaml"));
    impresario_scenarios::read_scenario(&path).unwrap_or_else(|error| panic!("{error}"))
}
