//! Playing a scenario: the stage, what is seen on it, and what is asked of it.

mod aims;
mod contacts;
mod crowd;
mod cut;
mod door;
mod expect;
mod guards;
mod invariants;
mod letters;
mod options;
mod run;
mod seen;
mod stage;
pub(crate) mod state;
pub(crate) mod world;

pub use options::{Crash, Metrics, Outcome, RunOptions};
pub use run::run;
pub use stage::EngineChoice;
