//! Scenarios: what people do, what goes wrong, and what must come of it, as files a marketer can read.

mod answers;
mod compare;
mod diff;
mod error;
mod format;
mod model;
mod play;
mod report;
mod show;
mod suite;

pub use error::{FormatError, ScenarioError};
pub use model::{Invariant, Scenario};
pub use play::{Crash, EngineChoice, Metrics, Outcome, RunOptions, run};
pub use suite::{Check, Golden, ReplayOptions, ScenarioReport, golden_path, read_scenario, replay, scenario_files};
