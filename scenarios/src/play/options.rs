//! How a scenario is run, and what came of it.

use impresario_agents::{Casting, vocabulary::Millis};
use serde::Serialize;

use super::stage::EngineChoice;

/// How a scenario is run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Who plays.
    pub casting: Casting,
    /// On what its journal lies.
    pub engine: EngineChoice,
    /// Workers of each agent that has several.
    pub workers: usize,
    /// Whether the scenario's own faults happen.
    pub faults: bool,
    /// A death beside those of the scenario.
    pub crash: Option<Crash>,
    /// By how many places the order of workers is turned, beside the scenario's own.
    pub rotate: usize,
    /// Whether limits are so small that state is written, forgotten and read back all the time.
    pub tight: bool,
    /// Has events of the same instant come in another order, chosen by this number.
    pub shuffle: Option<u64>,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            casting: impresario_agents::troupe,
            engine: EngineChoice::Memory,
            workers: 2,
            faults: true,
            crash: None,
            rotate: 0,
            tight: false,
            shuffle: None,
        }
    }
}

/// A death of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crash {
    /// Right after which commit, from 1.
    pub after_commit: u64,
    /// Whether writes that were not synced are lost, as by a power cut; else they are all there, as
    /// after a `kill -9`.
    pub unsynced_lost: bool,
    /// Whether the clock goes on while the process is down, so that all that fell due since the journal's
    /// end is lived through at the start; else time stands until the new process is there.
    pub clock_goes_on: bool,
}

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// The scenario's name.
    pub scenario: String,
    /// What was not as expected, in words; empty for a scenario that turned out well.
    pub failures: Vec<String>,
    /// What happened, one line a thing.
    pub trace: String,
    /// People and memberships at the end, one line a thing.
    pub state: String,
    /// BLAKE3 of every entry of the journal and of the final state, in hexadecimal.
    pub digest: String,
    /// Figures of the run.
    pub metrics: Metrics,
    /// The arm that is best for all people together by their hidden ways, of the last plan that started.
    #[serde(skip)]
    pub(crate) best_arm: Option<u16>,
}

/// Figures of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Metrics {
    /// Events sent to the door.
    pub events_sent: u64,
    /// Events the journal holds.
    pub events_kept: u64,
    /// Events dropped because they were known.
    pub duplicates: u64,
    /// Entries of the journal.
    pub entries: u64,
    /// Commits to the store.
    pub commits: u64,
    /// Times the process died.
    pub deaths: u64,
    /// Times somebody entered a segment.
    pub entered: u64,
    /// Times somebody left a segment.
    pub left: u64,
    /// Entries set aside.
    pub dead_letters: u64,
    /// Expectations checked.
    pub expectations: u64,
    /// Messages sent.
    pub messages: u64,
    /// Orders made.
    pub orders: u64,
    /// How long it lasted in the scenario's own time.
    pub lasted_ms: Millis,
}
