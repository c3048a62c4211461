//! The engine as a journal writes to it: a backup under way hears of every write.

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use parking_lot::Mutex;

use super::keys;
use crate::{Durability, Engine, Op, StoreError, Usage, WriteBatch};

/// Bytes that may wait for a backup to write them down; a backup that is slower is given up.
const HEARD_BYTES_MAX: usize = 128 << 20;
/// Bytes of one write beside its key and value.
const OP_BYTES: usize = 64;

/// An engine whose writes can be listened to.
pub(super) struct Tap {
    engine: Arc<dyn Engine>,
    listening: AtomicBool,
    heard: Mutex<Heard>,
}

/// What was written since it was last asked for.
#[derive(Default)]
pub(super) struct Heard {
    /// The writes, in their order.
    pub(super) ops: Vec<Op>,
    bytes: usize,
    /// Why nothing more is heard.
    pub(super) lost: Option<&'static str>,
}

impl Tap {
    pub(super) fn new(engine: Arc<dyn Engine>) -> Self {
        Self { engine, listening: AtomicBool::new(false), heard: Mutex::default() }
    }

    /// Listens from now on; false where somebody listens already. To be called where nothing is written.
    pub(super) fn listen(&self) -> bool {
        let mut heard = self.heard.lock();
        if self.listening.swap(true, Ordering::AcqRel) {
            return false;
        }
        *heard = Heard::default();
        true
    }

    /// What was written since the last time.
    pub(super) fn heard(&self) -> Heard {
        mem::take(&mut self.heard.lock())
    }

    /// Listens no more.
    pub(super) fn end(&self) {
        self.listening.store(false, Ordering::Release);
        *self.heard.lock() = Heard::default();
    }

    fn hear(&self, ops: Vec<Op>) {
        let mut heard = self.heard.lock();
        if heard.lost.is_some() {
            return;
        }
        // A block is written once; whoever writes it again erases entries, which a backup must not keep.
        if ops.iter().any(|op| matches!(op, Op::Put(key, _) if key.first() == Some(&keys::BLOCK))) {
            heard.lost = Some("entries were erased meanwhile");
        }
        heard.bytes += ops.iter().map(|op| op.key().len() + op.value_bytes() + OP_BYTES).sum::<usize>();
        if heard.bytes > HEARD_BYTES_MAX {
            heard.lost = Some("its disk is slower than what is being written");
        }
        if heard.lost.is_some() {
            heard.ops = Vec::new();
        } else {
            heard.ops.extend(ops);
        }
    }
}

impl Engine for Tap {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.engine.get(key)
    }

    fn scan(&self, from: &[u8], to: Option<&[u8]>, limit: usize) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        self.engine.scan(from, to, limit)
    }

    fn last(&self, from: &[u8], to: Option<&[u8]>) -> Result<Option<(Bytes, Bytes)>, StoreError> {
        self.engine.last(from, to)
    }

    fn room(&self) -> Result<(), StoreError> {
        self.engine.room()
    }

    fn commit(&self, batch: WriteBatch, durability: Durability) -> Result<(), StoreError> {
        if !self.listening.load(Ordering::Acquire) {
            return self.engine.commit(batch, durability);
        }
        let ops = batch.ops.clone();
        self.engine.commit(batch, durability)?;
        // Heard after it is in: what a scan finds and what is heard later then end as the engine does.
        self.hear(ops);
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.engine.sync()
    }

    fn note_synced(&self, mark: u64) -> Result<(), StoreError> {
        self.engine.note_synced(mark)
    }

    fn noted(&self) -> Result<Option<u64>, StoreError> {
        self.engine.noted()
    }

    fn usage(&self) -> Result<Usage, StoreError> {
        self.engine.usage()
    }

    fn close(&self) -> Result<(), StoreError> {
        self.engine.close()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryEngine;

    #[test]
    fn a_backup_that_is_too_slow_hears_no_more() {
        let tap = Tap::new(Arc::new(MemoryEngine::new()));
        let value = Bytes::from(vec![0; 1 << 20]);
        let op = || Op::Put(vec![keys::STATE, 1], value.clone());
        tap.hear(vec![op()]);
        assert!(tap.listen() && !tap.listen(), "one at a time");
        assert!(tap.heard().ops.is_empty(), "what came before is not heard");
        (0..127).for_each(|_| tap.hear(vec![op()]));
        let heard = tap.heard();
        assert_eq!((heard.ops.len(), heard.lost), (127, None));
        (0..129).for_each(|_| tap.hear(vec![op()]));
        let heard = tap.heard();
        assert!(heard.ops.is_empty() && heard.lost.is_some_and(|why| why.contains("slower")));
        tap.end();
        assert!(tap.listen());
    }
}
