use std::collections::BTreeSet;

use super::{
    block,
    entry::{Entry, Seq},
    keys,
    shared::Journal,
};
use crate::{Durability, Op, StoreError, WriteBatch};

impl Journal {
    /// Forgets the bodies of these entries. Place, instant, names and the body's hash stay, so the
    /// chain holds. Durable on return; what sled's log still holds of them goes with a compaction.
    ///
    /// Answers how many bodies were there to forget. Cut short by a crash, it is to be called again.
    ///
    /// # Errors
    /// Damage, a full disk, or the engine's own error.
    pub fn erase(&self, seqs: &BTreeSet<Seq>) -> Result<u64, StoreError> {
        self.erase_but(seqs, |_| bytes::Bytes::new())
    }

    /// As [`Self::erase`], but of each entry there stays what `left` says of it: a body of the same topic
    /// with nothing in it that is to be forgotten, empty for nothing. The chain does not guard it.
    ///
    /// # Errors
    /// As [`Self::erase`].
    pub fn erase_but(&self, seqs: &BTreeSet<Seq>, left: impl Fn(&Entry) -> bytes::Bytes) -> Result<u64, StoreError> {
        let mut alone = self.hold_writing()?;
        let waiting = alone.take_waiting();
        self.put(&mut alone, waiting)?;
        let mut erased = 0;
        let head = self.head();
        // Later ones first: a crash then leaves what came first, and nothing that came of what is gone.
        let mut rest = seqs.iter().rev().filter(|seq| (1..=head).contains(*seq));
        let mut next = rest.next();
        while let Some(seq) = next {
            let (key, value) = self.block_of(*seq)?;
            let block::Block { mut chunk, chain, thinned } = block::decode(&value, self.limits.block_raw_bytes_max)?;
            let first = chunk.first();
            for entry in chunk.entries.iter_mut().filter(|entry| seqs.contains(&entry.seq) && entry.erased.is_none()) {
                let left = left(entry);
                entry.erase(left);
                erased += 1;
            }
            let value = if thinned {
                block::encode_thinned(&chunk.entries, &chain)
            } else {
                block::encode(&chunk.entries.iter().collect::<Vec<_>>(), &chain)
            };
            let ops = vec![Op::Put(key.to_vec(), value)];
            let put = self.engine.commit(WriteBatch { expect: Vec::new(), ops }, Durability::Written);
            put.map_err(|error| self.fail(error))?;
            chunk.entries.iter().for_each(|entry| self.tail.forget(entry.seq));
            next = rest.find(|seq| **seq < first);
        }
        drop(alone);
        self.sync()?;
        Ok(erased)
    }

    /// The block that holds `seq`, with its key.
    pub(super) fn block_of(&self, seq: Seq) -> Result<(bytes::Bytes, bytes::Bytes), StoreError> {
        let (from, to) = (keys::block(0), keys::block(seq + 1));
        let found = self.engine.last(&from, Some(&to))?;
        found.ok_or_else(|| missing(seq))
    }
}

pub(super) fn missing(seq: Seq) -> StoreError {
    StoreError::Damaged { place: format!("journal entry {seq}"), what: "its block is missing".into() }
}
