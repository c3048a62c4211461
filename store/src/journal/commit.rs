use std::{any::Any, sync::Arc};

use bytes::Bytes;

use super::{
    entry::{NameId, PARTITIONS, Seq},
    ids::EffectId,
    keys,
    limits::JournalLimits,
    timers::TimerOp,
};
use crate::{Durability, KEY_BYTES_MAX, Op, StoreError, VALUE_BYTES_MAX};

/// An entry on its way into the journal.
pub struct NewEntry {
    /// Key partition, below [`super::PARTITIONS`].
    pub partition: u16,
    /// What it is.
    pub topic: NameId,
    /// The entry it comes of; 0 for none.
    pub cause: Seq,
    /// Keyed hash of the client's message id; 0 for none. A repeated one is dropped.
    pub dedup: u64,
    /// Fingerprint of what the client said, by which a repeated id with another content is told; 0 for none.
    pub fingerprint: u32,
    /// Version byte and MessagePack.
    pub body: Bytes,
    /// The body as its Rust type, where the writer has it at hand.
    pub decoded: Option<Arc<dyn Any + Send + Sync>>,
}

/// A worker's cursor goes forward.
#[derive(Clone, Copy, Debug)]
pub struct CursorMove {
    /// The worker, by [`super::Journal::worker`].
    pub worker: NameId,
    /// Where the cursor must be; anything else refuses the commit.
    pub expect: Seq,
    /// Where it goes.
    pub to: Seq,
}

/// An effect or a job to be done outside, once the commit is durable.
pub struct NewEffect {
    /// Its id, given by the step that asks for it.
    pub id: EffectId,
    /// Key partition of the answer.
    pub partition: u16,
    /// Which effect.
    pub topic: NameId,
    /// Version byte and MessagePack.
    pub body: Bytes,
}

/// Sixteen bytes that name a request of an operator (a hash of its `Idempotency-Key`).
pub type RequestKey = [u8; 16];

/// What goes in together or not at all.
pub struct Commit {
    /// Who writes.
    pub writer: NameId,
    /// Entries, in order.
    pub entries: Vec<NewEntry>,
    /// The cursor of the worker whose step this is.
    pub cursor: Option<CursorMove>,
    /// Timers set and cancelled.
    pub timers: Vec<TimerOp>,
    /// Effects asked for.
    pub effects: Vec<NewEffect>,
    /// Effects whose answer is among the entries.
    pub settled: Vec<EffectId>,
    /// State written behind, floors, dead letters: plain writes of the state space.
    pub writes: Vec<Op>,
    /// The request this answers; a second commit of the same key changes nothing.
    pub request: Option<RequestKey>,
    /// Whether the caller waits for the disk.
    pub durability: Durability,
}

impl Commit {
    /// An empty commit of `writer` that does not wait for the disk.
    pub fn new(writer: NameId) -> Self {
        Self {
            writer,
            entries: Vec::new(),
            cursor: None,
            timers: Vec::new(),
            effects: Vec::new(),
            settled: Vec::new(),
            writes: Vec::new(),
            request: None,
            durability: Durability::Written,
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
            && self.cursor.is_none()
            && self.timers.is_empty()
            && self.effects.is_empty()
            && self.settled.is_empty()
            && self.writes.is_empty()
            && self.request.is_none()
    }

    /// Whether it can be written and read back, whatever the journal holds; `next_seq` is the place
    /// of the next entry.
    pub(super) fn check(&self, limits: &JournalLimits, next_seq: Seq) -> Result<(), StoreError> {
        let bounded = |what: &str, bytes: usize, max: usize| {
            let too_large = || StoreError::TooLarge { what: what.to_owned(), bytes, max };
            if bytes > max { Err(too_large()) } else { Ok(()) }
        };
        let invalid = |what: String| Err(StoreError::Invalid(what));
        bounded("number of entries of a commit", self.entries.len(), limits.commit_entries_max)?;
        let carried = |what: &str, body: &Bytes, partition: u16| {
            bounded(what, body.len(), limits.body_bytes_max)?;
            if partition >= PARTITIONS { invalid(format!("partition {partition} of {PARTITIONS}")) } else { Ok(()) }
        };
        for entry in &self.entries {
            carried("entry body", &entry.body, entry.partition)?;
            if entry.cause >= next_seq {
                return invalid(format!("an entry's cause {} is not before it", entry.cause));
            }
        }
        for timer in &self.timers {
            if let TimerOp::Set { key, partition, body, .. } = timer {
                carried("timer body", body, *partition)?;
                if key.seq >= next_seq {
                    return invalid(format!("a timer's cause {} is not in the journal", key.seq));
                }
            }
        }
        for effect in &self.effects {
            carried("effect body", &effect.body, effect.partition)?;
            if effect.id.seq >= next_seq {
                return invalid(format!("an effect's cause {} is not in the journal", effect.id.seq));
            }
        }
        if let Some(cursor) = self.cursor
            && (cursor.to < cursor.expect || cursor.to >= next_seq)
        {
            return invalid(format!("a cursor can't go from {} to {}", cursor.expect, cursor.to));
        }
        let own = [keys::STATE, keys::PAGE, keys::WORKER, keys::META];
        if self.writes.iter().any(|write| write.key().first().is_none_or(|space| !own.contains(space))) {
            return invalid("a write outside of the space of states, pages, marks and directory values".into());
        }
        let key_bytes = self.writes.iter().map(|write| write.key().len()).max().unwrap_or_default();
        bounded("key of a state", key_bytes, KEY_BYTES_MAX)?;
        let value_bytes = self.writes.iter().map(Op::value_bytes).max().unwrap_or_default();
        bounded("value of a state", value_bytes, VALUE_BYTES_MAX)
    }

    /// Bytes of all it carries.
    pub fn bytes(&self) -> usize {
        let timers = self.timers.iter().map(|timer| match timer {
            TimerOp::Set { body, .. } => body.len(),
            TimerOp::Cancel(_) => 0,
        });
        let effects = self.effects.iter().map(|effect| effect.body.len());
        let writes = self.writes.iter().map(|write| write.key().len() + write.value_bytes());
        let entries = self.entries.iter().map(|entry| entry.body.len());
        entries.chain(timers).chain(effects).chain(writes).sum()
    }
}

/// What became of a commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// The first entry's place; 0 where nothing was appended.
    pub first: Seq,
    /// The last entry's place; 0 where nothing was appended.
    pub last: Seq,
    /// Journal time of the entries.
    pub at_ms: i64,
    /// Entries dropped because their message id was known.
    pub duplicates: u32,
    /// Of them, those whose content was another than the first time.
    pub changed: u32,
    /// Where the first commit under the same request key went, if this is not the first.
    pub repeated: Option<Seq>,
}
