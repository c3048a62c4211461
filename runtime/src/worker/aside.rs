//! Entries set aside, and those that come again.

use std::sync::atomic::Ordering;

use impresario_store::{Entry, NewEntry, StoreError, codec};

use super::Worker;
use crate::{
    Agent, AgentError, DeadLetter, Topic,
    letters::{LetterAgain, Standing},
    routes::Trouble,
    step::Folding,
};

impl<A: Agent> Worker<A> {
    /// A letter comes again: folded here, at the place of the entry that brings it, or dropped.
    pub(super) fn letter_again(&mut self, entry: &Entry) -> Result<bool, Trouble> {
        if !self.room.context.owns(entry.partition) {
            return Ok(false);
        }
        let again = entry.decode::<LetterAgain>(1).map_err(AgentError::from)?;
        let retry = match self.letters.standing(again.entry)? {
            Some(Standing::Waiting) if self.room.replaying => false,
            Some(Standing::Waiting) => {
                if again.drop {
                    let write = self.letters.put(again.entry, Standing::Dropped, "")?;
                    self.room.outputs.writes.push(write);
                }
                !again.drop
            }
            Some(Standing::Retried(at)) => at == entry.seq,
            Some(Standing::Dropped) | None => false,
        };
        if retry {
            let chunk = self.room.context.reader.chunk(again.entry)?;
            if let Some(letter) = chunk.as_ref().and_then(|chunk| chunk.get(again.entry))
                && letter.erased.is_none()
            {
                self.fold(&Folding { entry: letter, seq: entry.seq, now_ms: entry.at_ms, age_ms: self.age_ms })?;
            }
            if !self.room.replaying {
                let write = self.letters.put(again.entry, Standing::Retried(entry.seq), "")?;
                self.room.outputs.writes.push(write);
            }
        }
        self.gauges.dead_letters.store(self.letters.waiting() as u64, Ordering::Relaxed);
        Ok(true)
    }

    /// To the dead letters.
    pub(super) fn set_aside(&mut self, entry: &Entry, why: &str) -> Result<(), StoreError> {
        // Where the retry of a letter fails, that letter still waits: it needs no second one.
        let is_retry = entry.topic == self.again;
        let standing = if is_retry { Standing::Dropped } else { Standing::Waiting };
        let write = self.letters.put(entry.seq, standing, why)?;
        self.room.outputs.writes.push(write);
        let worker = self.room.context.worker;
        if !is_retry {
            let letter =
                DeadLetter { agent: A::NAME.to_owned(), worker: worker as u32, entry: entry.seq, why: why.to_owned() };
            let topic = self.room.context.reader.journal().name(DeadLetter::NAME)?;
            let body = codec::encode(DeadLetter::VERSION, &letter)?;
            let (partition, cause) = (entry.partition, entry.seq);
            self.room.outputs.entries.push(NewEntry {
                partition,
                topic,
                cause,
                dedup: 0,
                fingerprint: 0,
                body,
                decoded: None,
            });
        }
        tracing::warn!(agent = A::NAME, worker, seq = entry.seq, why, "an entry goes to the dead letters");
        Ok(())
    }
}
