use serde::Serialize;
use serde_json::Value;

use impresario_store::Seq;

/// How a worker fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    /// At work, or waiting for entries.
    Running,
    /// Folding again what is not in its written state yet.
    Starting,
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
    /// Steps taken since the process started.
    pub steps: u64,
    /// Keys in memory.
    pub keys: u64,
    /// Changed keys not yet written behind.
    pub unwritten: u64,
    /// Entries passed over since the last start, because their key's state has gone to another key.
    pub passed_over: u64,
    /// Entries folded again at the last start.
    pub refolded: u64,
    /// Microseconds spent in steps since the process started.
    pub busy_micros: u64,
    /// Restarts since the process started.
    pub restarts: u64,
    /// Entries set aside that wait to be retried or dropped.
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

/// The state of one key of an agent, seen with no knowledge of its type.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KeyState {
    /// The key, as a text.
    pub key: String,
    /// The last entry folded into it.
    pub seq: Seq,
    /// The state; `None` where it has gone to another key.
    pub state: Option<Value>,
    /// Whose it has become.
    pub moved_to: Option<String>,
}

/// What can be counted of a whole host. All counters are since the process started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Metrics {
    /// The journal's last entry.
    pub head_seq: Seq,
    /// Journal time, milliseconds since 1970 UTC.
    pub journal_ms: Option<i64>,
    /// Timers that wait.
    pub timers: usize,
    /// Message ids remembered.
    pub dedup_ids: usize,
    /// Groups written.
    pub groups: u64,
    /// Microseconds spent syncing.
    pub sync_micros: u64,
    /// Commits that wait for the writer.
    pub queued_commits: usize,
    /// Effects asked for and not yet answered.
    pub effects_pending: u64,
    /// Effects being attempted now.
    pub effects_attempting: u64,
    /// Effects answered.
    pub effects_answered: u64,
    /// Effects given up, each visible as an entry.
    pub effects_failed: u64,
    /// Attempts at effects.
    pub effect_attempts: u64,
    /// How many entries the slowest worker at work is behind.
    pub lag_entries: u64,
    /// Whether the journal has stopped on an error.
    pub stopped: bool,
    /// The agents.
    pub agents: Vec<AgentMetrics>,
}

/// What can be counted of one agent, over its workers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AgentMetrics {
    /// Its name.
    pub agent: String,
    /// Entries folded.
    pub folded: u64,
    /// Entries said.
    pub said: u64,
    /// Steps taken.
    pub steps: u64,
    /// Microseconds spent in steps.
    pub busy_micros: u64,
    /// Restarts.
    pub restarts: u64,
    /// Keys in memory.
    pub keys: u64,
    /// Changed keys not yet written behind.
    pub unwritten: u64,
    /// Dead letters that wait.
    pub dead_letters: u64,
    /// Entries passed over because their key's state has gone to another key.
    pub passed_over: u64,
    /// How many entries its slowest worker is behind.
    pub lag_entries: u64,
    /// Workers that are down until they are resumed.
    pub suspended: u64,
}

impl AgentStatus {
    /// The sums over its workers.
    pub fn metrics(&self) -> AgentMetrics {
        let sum = |of: fn(&WorkerStatus) -> u64| self.workers.iter().map(of).sum();
        AgentMetrics {
            agent: self.agent.clone(),
            folded: sum(|worker| worker.folded),
            said: sum(|worker| worker.said),
            steps: sum(|worker| worker.steps),
            busy_micros: sum(|worker| worker.busy_micros),
            restarts: sum(|worker| worker.restarts),
            keys: sum(|worker| worker.keys),
            unwritten: sum(|worker| worker.unwritten),
            dead_letters: sum(|worker| worker.dead_letters),
            passed_over: sum(|worker| worker.passed_over),
            lag_entries: self.workers.iter().map(|worker| worker.lag).max().unwrap_or_default(),
            suspended: sum(|worker| u64::from(worker.condition == Condition::Suspended)),
        }
    }
}
