//! What an agent is.

use std::sync::Arc;

use impresario_store::{Chunk, Seq, StoreError};
use serde::{Serialize, de::DeserializeOwned};

use crate::{AgentError, AgentKey, Keys, Routes, Step, Topic, journal_reader::Reader};

/// An actor that folds entries into state and says what comes of it.
///
/// Its handlers are pure: no clock, no chance, no I/O but through [`Step`]. Then the same journal
/// gives the same state and the same words, on every machine and after every crash.
pub trait Agent: Send + Sync + Sized + 'static {
    /// Stable name, one lowercase word.
    const NAME: &'static str;
    /// Whose state it keeps.
    type Key: AgentKey;
    /// The state of one key.
    type State: Serialize + DeserializeOwned + Default + Send + 'static;
    /// Version of the state's shape; raised when old state can't be read as the new type. States of an
    /// older version are forgotten at the start and folded again from the journal.
    const STATE_VERSION: u8 = 1;
    /// How its keys are written behind.
    const CHECKPOINT: Checkpoint = Checkpoint::ByKey;

    /// Whether it folds what is left of an erased person's entries ([`Topic::remainder`]) though its keys are
    /// people: where what it keeps of one person depends on what others did.
    const FOLDS_REMAINDERS: bool = false;

    /// Which topics it listens to.
    fn routes(routes: &mut Routes<Self>);

    /// Reads a little of every part of a state that a handler is about to need; changes nothing but the time
    /// it takes. The states of the next entries are touched before the first of them is folded, so that the
    /// processor fetches them from memory side by side, not one after the other.
    fn touch(state: &Self::State) -> usize {
        let _ = state;
        0
    }

    /// Folds the state of a key that has become `winner`'s into the winner's.
    ///
    /// # Errors
    /// The default refuses: silently losing state is worse than a dead letter.
    fn merge(&self, winner: &mut Self::State, loser: Self::State, step: &mut Step<'_>) -> Result<(), AgentError> {
        let _ = (winner, loser, step);
        Err(AgentError::Reject(format!("agent `{}` does not say how two states become one", Self::NAME)))
    }

    /// A person is erased: the state under `key` goes after this, by itself. Says what those must know who
    /// keep sums over it; most agents have nothing to say.
    ///
    /// # Errors
    /// As [`On::on`].
    fn forget(&self, key: &Self::Key, state: &mut Self::State, step: &mut Step<'_>) -> Result<(), AgentError> {
        let _ = (key, state, step);
        Ok(())
    }

    /// As [`Self::merge`], for an agent that must know the winner's key.
    ///
    /// # Errors
    /// As [`Self::merge`].
    fn merge_into(
        &self,
        key: &Self::Key,
        winner: &mut Self::State,
        loser: Self::State,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let _ = key;
        self.merge(winner, loser, step)
    }

    /// A state comes for a key that was begun anew ([`Keys::begin_anew`]) after the state had left for it.
    /// It is dropped unless the agent says what becomes of it.
    ///
    /// # Errors
    /// As [`On::on`].
    fn came_late(&self, late: Self::State, step: &mut Step<'_>) -> Result<(), AgentError> {
        let _ = (late, step);
        Ok(())
    }
}

/// How an agent's changed keys are written to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checkpoint {
    /// Each on its own, with the place of the last entry folded into it. For handlers that look at
    /// one key alone.
    ByKey,
    /// All together, as of one entry. For handlers that look at several keys to decide.
    Whole,
}

/// Handles a topic that belongs to one key.
pub trait On<T: Topic>: Agent {
    /// Folds `event` into `state`.
    ///
    /// # Errors
    /// [`AgentError::Retry`] to get it again later, [`AgentError::Reject`] to set it aside.
    fn on(&self, state: &mut Self::State, event: &Event<'_, T>, step: &mut Step<'_>) -> Result<(), AgentError>;
}

/// Handles a topic that concerns several keys of one worker: a sweep, a graph, a fill from history.
pub trait OnMany<T: Topic>: Agent {
    /// Folds `event` into whichever of `keys` it concerns.
    ///
    /// # Errors
    /// As [`On::on`].
    fn on_many(&self, keys: &mut Keys<'_, Self>, event: &Event<'_, T>, step: &mut Step<'_>) -> Result<(), AgentError>;
}

/// Handles a topic that every worker of the agent must know: a definition, a setting, a fit.
///
/// What it folds into is read by the other handlers through [`Step::shared`].
pub trait OnShared<T: Topic>: Agent {
    /// What all keys share.
    type Shared: Shared;

    /// Folds `event` into `shared`. Each worker does it; what one step publishes here, each
    /// worker's step publishes, so publish to [`Step::worker_partition`].
    ///
    /// # Errors
    /// As [`On::on`].
    fn on_shared(&self, shared: &mut Self::Shared, event: &Event<'_, T>, step: &mut Step<'_>)
    -> Result<(), AgentError>;
}

/// What all keys of a worker share.
pub trait Shared: Serialize + DeserializeOwned + Default + Send + Sync + 'static {
    /// Rebuilds what is not kept in the store, after a restart.
    fn restored(&mut self) {}
}

impl Shared for () {}

/// An entry of a known topic, as a handler sees it.
pub struct Event<'a, T> {
    /// Its place in the journal.
    pub seq: Seq,
    /// Journal time, milliseconds since 1970 UTC.
    pub at_ms: i64,
    /// The entry it came of; 0 for none.
    pub cause: Seq,
    /// What it says.
    pub body: &'a T,
    reader: Option<&'a Reader>,
}

impl<'a, T> Event<'a, T> {
    pub(crate) fn new(seq: Seq, at_ms: i64, cause: Seq, body: &'a T, reader: Option<&'a Reader>) -> Self {
        Self { seq, at_ms, cause, body, reader }
    }

    /// The entry this one came of, as `C`. An entry never changes, so looking back is pure.
    ///
    /// # Errors
    /// There is none, it is erased or forgotten with age, or it is another type.
    pub fn cause<C: Topic>(&self) -> Result<Held<C>, AgentError> {
        let reader = self.reader.ok_or_else(|| AgentError::Reject("a test event has no cause to read".into()))?;
        let held = Held::read(reader, self.cause)?;
        if reader.is_gone::<C>(self.seq, self.cause, held.body()?) {
            return Err(AgentError::Reject(format!("entry {} is forgotten with age", self.cause)));
        }
        Ok(held)
    }
}

impl<T> std::ops::Deref for Event<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.body
    }
}

/// An earlier entry, held in memory while it is looked at.
pub struct Held<T> {
    chunk: Arc<Chunk>,
    /// Its place in the journal.
    pub seq: Seq,
    /// Journal time, milliseconds since 1970 UTC.
    pub at_ms: i64,
    topic: std::marker::PhantomData<T>,
}

impl<T: Topic> Held<T> {
    pub(crate) fn read(reader: &Reader, seq: Seq) -> Result<Self, StoreError> {
        let missing = || StoreError::Codec(format!("there is no entry {seq}"));
        let chunk = reader.chunk(seq)?.ok_or_else(missing)?;
        let entry = chunk.get(seq).ok_or_else(missing)?;
        entry.decode::<T>(T::VERSION)?;
        let at_ms = entry.at_ms;
        Ok(Self { chunk, seq, at_ms, topic: std::marker::PhantomData })
    }

    /// What it says.
    ///
    /// # Errors
    /// None in practice: reading it has decoded it.
    pub fn body(&self) -> Result<&T, AgentError> {
        let entry = self.chunk.get(self.seq).ok_or_else(|| AgentError::Reject("the entry is gone".into()))?;
        entry.decode::<T>(T::VERSION).map_err(AgentError::from)
    }
}
