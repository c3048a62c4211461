//! What an agent asks of the world outside, and of the processor.

use std::{future::Future, pin::Pin, sync::Arc};

use impresario_store::{EffectId, Journal, Seq, StoreError};
use serde::{Deserialize, Serialize};

use crate::Topic;

/// Something done outside, at most once where the provider honours the id.
pub trait Effect: Topic {
    /// What comes of it, an entry of the journal.
    type Outcome: Topic;
}

/// Long work of the processor alone. The result is a function of the job and the journal up to the
/// entry that asked for it.
pub trait Job: Topic {
    /// What comes of it, an entry of the journal.
    type Outcome: Topic;

    /// Does the work, off the agents' threads.
    ///
    /// # Errors
    /// Says why it can't; the failure is an entry, `effect.failed`.
    fn run(self, past: &JobPast) -> Result<Self::Outcome, EffectError>;
}

/// What a job may look at.
pub struct JobPast {
    /// The entry that asked for it; nothing later may be looked at.
    pub seq: Seq,
    pub(crate) journal: Arc<Journal>,
}

impl JobPast {
    /// The journal up to [`Self::seq`], a topic at a time.
    ///
    /// # Errors
    /// What can't be read, as a failure that may be tried again.
    pub fn each<T: Topic>(&self, mut look: impl FnMut(Seq, i64, &T)) -> Result<(), EffectError> {
        let again = |error: StoreError| EffectError::Retry { why: error.to_string(), after_ms: None };
        let Some(topic) = self.journal.known_name(T::NAME) else { return Ok(()) };
        let mut next = 1;
        while next <= self.seq {
            let Some(chunk) = self.journal.chunk(next).map_err(again)? else { break };
            for entry in chunk.from(next).iter().take_while(|entry| entry.seq <= self.seq) {
                if entry.topic == topic && entry.erased.is_none() {
                    look(entry.seq, entry.at_ms, entry.decode(T::VERSION).map_err(again)?);
                }
            }
            next = chunk.last() + 1;
        }
        Ok(())
    }
}

/// What an effect's performer knows beside the effect.
#[derive(Clone, Debug)]
pub struct EffectCall {
    /// The same for every attempt, also after a crash: the provider's idempotency key.
    pub id: EffectId,
    /// 1 for the first attempt of this process.
    pub attempt: u32,
}

/// Why an effect was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EffectError {
    /// Not this time; it is tried again.
    #[error("{why}")]
    Retry {
        /// What happened, without personal data.
        why: String,
        /// When the provider asks to be tried again; else a backoff.
        after_ms: Option<u64>,
    },
    /// Never; the failure becomes an entry.
    #[error("{0}")]
    Fail(String),
}

/// An effect or job was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectFailed {
    /// Its topic.
    pub effect: String,
    /// Its id.
    pub id: String,
    /// Why, without personal data.
    pub why: String,
    /// How often it was tried.
    pub attempts: u32,
}

impl Topic for EffectFailed {
    const NAME: &'static str = "effect.failed";
}

/// The future of one attempt.
pub type Performing<T> = Pin<Box<dyn Future<Output = Result<T, EffectError>> + Send>>;
