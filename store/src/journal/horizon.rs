//! Forgetting by age: old entries go out of their blocks for good, in small portions.
//!
//! Who reads the past must see the same whenever it is asked, before the bodies have gone or after, live or
//! when an entry is folded again after a crash. So it is told beforehand: a *horizon* says that to all entries
//! after its own place what lies before another place is gone. Bodies go only once nobody will fold an
//! entry again that comes before the horizon.

use super::{
    block::{self, Block},
    core::each_row,
    entry::{Entry, Seq},
    keys,
    shared::Journal,
};
use crate::{Durability, Engine, Op, StoreError, WriteBatch};

const HORIZON: &str = "horizon/";
const THINNED: &str = "thinned";
const AGAIN: &str = "thinned/again";

/// From one place on, what lies before another is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Horizon {
    /// The journal's last entry before it was told: later ones see nothing of what is gone.
    pub after: Seq,
    /// The first entry that is kept whole.
    pub before: Seq,
    /// No entry of this instant or later has gone, milliseconds since 1970 UTC.
    pub since_ms: i64,
}

/// All horizons of a journal, in order.
#[derive(Default)]
pub(super) struct Horizons(Vec<Horizon>);

impl Horizons {
    pub(super) fn open(engine: &dyn Engine) -> Result<Self, StoreError> {
        let mut all = Vec::new();
        each_row(engine, keys::META, |key, value| {
            let Some(after) = key.get(1..).and_then(|name| name.strip_prefix(HORIZON.as_bytes())) else {
                return Ok(());
            };
            let after = std::str::from_utf8(after).ok().and_then(|after| u64::from_str_radix(after, 16).ok());
            let (before, since_ms) = (word(value, 0), word(value, 8));
            let (Some(after), Some(before), Some(since_ms)) = (after, before, since_ms) else {
                return Err(StoreError::Damaged { place: "horizons".into(), what: "a row is cut short".into() });
            };
            all.push(Horizon { after, before, since_ms: since_ms as i64 });
            Ok(())
        })?;
        Ok(Self(all))
    }

    fn at(&self, seq: Seq) -> Option<Horizon> {
        let known = self.0.partition_point(|horizon| horizon.after < seq);
        known.checked_sub(1).and_then(|last| self.0.get(last)).copied()
    }
}

fn word(value: &[u8], from: usize) -> Option<u64> {
    value.get(from..from + 8).and_then(|word| word.try_into().ok()).map(u64::from_be_bytes)
}

/// What a portion came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Thinned {
    /// The place to go on from.
    pub next: Seq,
    /// Entries that were forgotten.
    pub entries: u64,
}

impl Journal {
    /// What the entry at `seq` must take as gone; `None` for nothing.
    pub fn horizon_at(&self, seq: Seq) -> Option<Horizon> {
        self.horizons.read().at(seq)
    }

    /// The newest horizon; `None` where nothing was ever forgotten by age.
    pub fn horizon(&self) -> Option<Horizon> {
        self.horizons.read().0.last().copied()
    }

    /// Up to where blocks have been thinned, as [`Self::thin`] was told.
    ///
    /// # Errors
    /// The engine's own error.
    pub fn thinned_to(&self) -> Result<Seq, StoreError> {
        Ok(self.meta(THINNED)?.and_then(|value| word(&value, 0)).unwrap_or(1))
    }

    /// From where blocks are to be thinned for a new horizon.
    ///
    /// # Errors
    /// The engine's own error.
    pub fn thin_from(&self) -> Result<Seq, StoreError> {
        let again = self.meta(AGAIN)?.and_then(|value| word(&value, 0));
        Ok(self.thinned_to()?.min(again.unwrap_or(Seq::MAX)))
    }

    /// The first entry of the block that the first entry of `since_ms` or later is in, or of the one before; the
    /// last block's where there is none. So all that lies before it is older.
    ///
    /// # Errors
    /// Damage, or the engine's own error.
    pub fn older_than(&self, since_ms: i64) -> Result<Seq, StoreError> {
        self.write_held()?;
        let (mut low, mut high) = (1, self.head());
        // The last block whose first entry is older, by halves: all blocks before it are older through and through.
        let mut found = 1;
        while low <= high {
            let (key, value) = self.block_of(low + (high - low) / 2)?;
            let first = keys::seq_from(&key).unwrap_or(low);
            if block::claimed_first_at(&value).is_some_and(|at_ms| at_ms < since_ms) {
                found = first;
                low = self.next_block(first)?;
            } else {
                high = first.saturating_sub(1);
            }
        }
        Ok(found)
    }

    fn next_block(&self, first: Seq) -> Result<Seq, StoreError> {
        let (_, end) = keys::space(keys::BLOCK);
        let next = self.engine.scan(&keys::block(first + 1), Some(&end), 1)?;
        Ok(next.first().and_then(|(key, _)| keys::seq_from(key)).unwrap_or(Seq::MAX))
    }

    /// Says that whatever comes from now on must take as gone what lies before `before` and is forgotten with
    /// age; durable on return. `None`, and nothing is said, where the journal has gone on from `head`, or it was
    /// said before.
    ///
    /// # Errors
    /// A full disk, or the engine's own error.
    pub fn tell_horizon(&self, head: Seq, before: Seq, since_ms: i64) -> Result<Option<Horizon>, StoreError> {
        let mut alone = self.hold_writing()?;
        let waiting = alone.take_waiting();
        self.put(&mut alone, waiting)?;
        let last = self.horizon().unwrap_or(Horizon { after: 0, before: 1, since_ms: i64::MIN });
        if alone.head() != head || before <= last.before || head <= last.after {
            return Ok(None);
        }
        let horizon = Horizon { after: head, before, since_ms };
        let value = [before.to_be_bytes(), since_ms.to_be_bytes()].concat();
        let ops = vec![Self::meta_write(&format!("{HORIZON}{head:016x}"), &value)];
        let put = self.engine.commit(WriteBatch { expect: Vec::new(), ops }, Durability::Written);
        put.map_err(|error| self.fail(error))?;
        self.horizons.write().0.push(horizon);
        drop(alone);
        self.sync()?;
        Ok(Some(horizon))
    }

    /// Forgets entries before the newest horizon, from the block of `from` on, at most so many blocks: all but
    /// those that `is_kept`. Their places stay. What sled's log holds of them goes with a compaction. Nobody must
    /// fold an entry again that comes before the horizon. `None` where all is done.
    ///
    /// # Errors
    /// Damage, a full disk, or the engine's own error.
    pub fn thin(
        &self,
        from: Seq,
        blocks_max: usize,
        is_kept: &mut dyn FnMut(&Entry) -> bool,
    ) -> Result<Option<Thinned>, StoreError> {
        let before = self.horizon().map_or(1, |horizon| horizon.before);
        let mut thinned = Thinned { next: from, entries: 0 };
        let mut ops = Vec::new();
        let mut touched = Vec::new();
        for _ in 0..blocks_max {
            if thinned.next >= before {
                break;
            }
            let (key, value) = self.block_of(thinned.next)?;
            let Block { mut chunk, chain, .. } = block::decode(&value, self.limits.block_raw_bytes_max)?;
            let mut entries = 0;
            for entry in chunk.entries.iter_mut().filter(|entry| entry.seq < before && !entry.is_forgotten()) {
                if !is_kept(entry) {
                    *entry = Entry::forgotten(entry.seq, entry.at_ms);
                    entries += 1;
                }
            }
            thinned.next = chunk.last() + 1;
            if entries > 0 {
                thinned.entries += entries;
                ops.push(Op::Put(key.to_vec(), block::encode_thinned(&chunk.entries, &chain)));
                touched.push((chunk.first(), chunk.last()));
            }
        }
        if thinned.next == from {
            return Ok(None);
        }
        let alone = self.hold_writing()?;
        ops.push(Self::meta_write(THINNED, &thinned.next.to_be_bytes()));
        let put = self.engine.commit(WriteBatch { expect: Vec::new(), ops }, Durability::Written);
        put.map_err(|error| self.fail(error))?;
        for (first, last) in touched {
            (first..=last).for_each(|seq| self.tail.forget(seq));
        }
        drop(alone);
        Ok(Some(thinned))
    }

    /// For the next horizon, blocks are looked at again from `to` on: an entry there was kept for a while. `None`
    /// where there is none.
    ///
    /// # Errors
    /// A full disk, or the engine's own error.
    pub fn thin_again_from(&self, to: Option<Seq>) -> Result<(), StoreError> {
        let alone = self.hold_writing()?;
        let op = to.map_or_else(|| Self::meta_delete(AGAIN), |to| Self::meta_write(AGAIN, &to.to_be_bytes()));
        let put = self.engine.commit(WriteBatch { expect: Vec::new(), ops: vec![op] }, Durability::Written);
        put.map_err(|error| self.fail(error))?;
        drop(alone);
        Ok(())
    }
}
