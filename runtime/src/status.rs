use serde::Serialize;

use impresario_store::Seq;

/// How a worker fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    /// At work, or waiting for entries.
    Running,
    /// Failed, and starting again after a backoff.
    Restarting,
    /// Failed too often; down until an operator resumes it.
    Suspended,
    /// Held by an operator.
    Paused,
}

/// What can be seen of one worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WorkerStatus {
    /// Which of the agent's workers.
    pub worker: usize,
    /// How it fares.
    pub condition: Condition,
    /// The last entry it has folded.
    pub cursor: Seq,
    /// How many entries it is behind the journal.
    pub lag: u64,
    /// Entries folded since the process started.
    pub folded: u64,
    /// Entries said since the process started.
    pub said: u64,
    /// Keys in memory.
    pub keys: u64,
    /// Changed keys not yet written behind.
    pub unwritten: u64,
    /// Microseconds spent in steps since the process started.
    pub busy_micros: u64,
    /// Restarts since the process started.
    pub restarts: u64,
    /// Entries set aside, ever.
    pub dead_letters: u64,
    /// The last failure.
    pub last_error: Option<String>,
}

/// What can be seen of one agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AgentStatus {
    /// Its name.
    pub agent: String,
    /// The topics it listens to.
    pub topics: Vec<String>,
    /// Its workers.
    pub workers: Vec<WorkerStatus>,
}
