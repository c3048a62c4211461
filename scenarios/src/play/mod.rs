//! Playing a scenario: the stage, what is seen on it, and what is asked of it.

mod cut;
mod door;
mod expect;
mod invariants;
mod run;
mod seen;
mod stage;
pub(crate) mod state;
pub(crate) mod world;

pub use run::{Crash, Metrics, Outcome, RunOptions, run};
pub use stage::EngineChoice;
