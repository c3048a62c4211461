use impresario_store::{Seq, StoreError};

/// Why a handler could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Not now; the entry comes again after a backoff.
    #[error("retry: {0}")]
    Retry(String),
    /// Never; the entry goes to the dead letters and the next one comes.
    #[error("rejected: {0}")]
    Reject(String),
}

impl From<StoreError> for AgentError {
    /// What the store can't read now, a restart may; a body that is no such type never will be.
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Codec(what) => Self::Reject(what),
            other => Self::Retry(other.to_string()),
        }
    }
}

/// What goes wrong in hosting agents.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The store's error.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no such agent.
    #[error("there is no agent `{0}`")]
    UnknownAgent(String),
    /// The agent is down or suspended and can't answer.
    #[error("agent `{agent}` worker {worker} does not answer: {why}")]
    Unavailable {
        /// The agent.
        agent: String,
        /// Which of its workers.
        worker: usize,
        /// Restarting, suspended, or too slow.
        why: String,
    },
    /// The agent has failed too often and is down until it is resumed.
    #[error("agent `{agent}` worker {worker} is suspended: {why}")]
    Suspended {
        /// The agent.
        agent: String,
        /// Which of its workers.
        worker: usize,
        /// Its last failure.
        why: String,
    },
    /// There is no such dead letter, or it was retried or dropped already.
    #[error("agent `{agent}` has no dead letter {seq}")]
    UnknownLetter {
        /// The agent.
        agent: String,
        /// The entry asked for.
        seq: Seq,
    },
    /// The text is no key of this agent.
    #[error("agent `{agent}` has no key of this form")]
    UnknownKey {
        /// The agent.
        agent: String,
    },
    /// Work was still under way when the time was up.
    #[error("after {waited_ms} ms the agents have not come to rest: head {head}, behind: {behind}")]
    Busy {
        /// How long was waited.
        waited_ms: u64,
        /// The journal's last entry.
        head: Seq,
        /// Which workers are where.
        behind: String,
    },
    /// The program is put together wrongly.
    #[error("{0}")]
    Setup(String),
}

/// Why a worker's step failed as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The entry it was at; 0 where no entry is to blame.
    pub seq: Seq,
    /// What happened, without personal data.
    pub what: String,
    /// Whose fault it was.
    pub kind: FailureKind,
}

impl Failure {
    /// The worker itself failed: at its start, in its store, or killed from outside.
    pub fn of_worker(what: impl Into<String>) -> Self {
        Self { seq: 0, what: what.into(), kind: FailureKind::Worker }
    }
}

/// Whose fault a failure was; what is done about it follows from that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The handling of the entry broke.
    Entry,
    /// The agent asked for the entry to come again.
    Retry,
    /// The agent refused the entry for good.
    Rejected,
    /// The agent's: it breaks at one entry after the other.
    Agent,
    /// No entry's: the worker could not start, its store is damaged, or it was killed.
    Worker,
}
