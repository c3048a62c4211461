//! An engine whose process can be killed: what was not synced is lost, over any engine below.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use impresario_runtime::store::{Durability, Engine, Op, StoreError, Usage, WriteBatch};
use parking_lot::Mutex;

type Overlay = BTreeMap<Vec<u8>, Option<Bytes>>;

/// Holds every write back until a sync, counts commits, and dies after one of them if asked to.
pub(crate) struct CutEngine {
    below: Arc<dyn Engine>,
    state: Mutex<State>,
}

struct State {
    unsynced: Overlay,
    commits: u64,
    dies_after: Option<u64>,
    dead: bool,
}

/// What a dead process leaves on disk of what it had not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsynced {
    /// Nothing, as after a power cut.
    Lost,
    /// All of it, as after a `kill -9`.
    Kept,
}

impl CutEngine {
    /// Over `below`, counting on from `commits`; it dies after commit number `dies_after`.
    pub(crate) fn new(below: Arc<dyn Engine>, commits: u64, dies_after: Option<u64>) -> Self {
        let state = State { unsynced: Overlay::new(), commits, dies_after, dead: false };
        Self { below, state: Mutex::new(state) }
    }

    pub(crate) fn commits(&self) -> u64 {
        self.state.lock().commits
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.state.lock().dead
    }

    /// The process dies: no write and no sync succeeds any more.
    pub(crate) fn kill(&self) {
        self.state.lock().dead = true;
    }

    /// What is left for the next process.
    pub(crate) fn leave(&self, unsynced: Unsynced) -> Result<Arc<dyn Engine>, StoreError> {
        let writes = std::mem::take(&mut self.state.lock().unsynced);
        if unsynced == Unsynced::Kept {
            self.below.commit(batch(writes), Durability::Synced)?;
        }
        Ok(Arc::clone(&self.below))
    }
}

fn batch(writes: Overlay) -> WriteBatch {
    let op = |(key, value)| match value {
        Some(value) => Op::Put(key, value),
        None => Op::Delete(key),
    };
    WriteBatch { expect: Vec::new(), ops: writes.into_iter().map(op).collect() }
}

fn died() -> StoreError {
    StoreError::Engine { what: "commit", error: "the process is dead".into() }
}

impl Engine for CutEngine {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        match self.state.lock().unsynced.get(key) {
            Some(value) => Ok(value.clone()),
            None => self.below.get(key),
        }
    }

    fn scan(&self, from: &[u8], to: Option<&[u8]>, limit: usize) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        let state = self.state.lock();
        let within = state.unsynced.range(from.to_vec()..);
        let within: Vec<_> = within.take_while(|(key, _)| to.is_none_or(|to| key.as_slice() < to)).collect();
        let gone = within.iter().filter(|(_, value)| value.is_none()).count();
        let asked = limit.saturating_add(gone);
        let rows = self.below.scan(from, to, asked)?;
        // Where there is more below, nothing past its last row may be told yet.
        let end = if rows.len() == asked { rows.last().map(|(key, _)| key.clone()) } else { None };
        let mut merged: BTreeMap<Bytes, Bytes> = rows.into_iter().collect();
        for (key, value) in within {
            if end.as_ref().is_some_and(|end| key.as_slice() > end.as_ref()) {
                break;
            }
            match value {
                Some(value) => merged.insert(Bytes::copy_from_slice(key), value.clone()),
                None => merged.remove(key.as_slice()),
            };
        }
        Ok(merged.into_iter().take(limit).collect())
    }

    fn last(&self, from: &[u8], to: Option<&[u8]>) -> Result<Option<(Bytes, Bytes)>, StoreError> {
        if to.is_some_and(|to| to <= from) {
            return Ok(None);
        }
        let state = self.state.lock();
        let above = match to {
            Some(to) => state.unsynced.range(from.to_vec()..to.to_vec()),
            None => state.unsynced.range(from.to_vec()..),
        };
        let above = above.rev().find_map(|(key, value)| Some((Bytes::copy_from_slice(key), value.clone()?)));
        let mut below = self.below.last(from, to)?;
        while let Some((key, _)) = &below {
            match state.unsynced.get(key.as_ref()) {
                Some(None) => below = self.below.last(from, Some(key))?,
                Some(Some(_)) => below = None,
                None => break,
            }
        }
        Ok(match (above, below) {
            (Some(above), Some(below)) => Some(if above.0 > below.0 { above } else { below }),
            (above, below) => above.or(below),
        })
    }

    fn commit(&self, batch: WriteBatch, durability: Durability) -> Result<(), StoreError> {
        for (key, expected) in &batch.expect {
            if self.get(key)? != *expected {
                return Err(StoreError::Conflict { key: format!("key {key:02x?} is not as expected") });
            }
        }
        let mut state = self.state.lock();
        if state.dead {
            return Err(died());
        }
        for op in batch.ops {
            match op {
                Op::Put(key, value) | Op::PutNew(key, value) => state.unsynced.insert(key, Some(value)),
                Op::Delete(key) => state.unsynced.insert(key, None),
            };
        }
        state.commits += 1;
        state.dead = state.dies_after == Some(state.commits);
        drop(state);
        match durability {
            Durability::Written => Ok(()),
            Durability::Synced => self.sync(),
        }
    }

    fn sync(&self) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        if state.dead {
            return Err(died());
        }
        let writes = std::mem::take(&mut state.unsynced);
        if writes.is_empty() {
            return Ok(());
        }
        self.below.commit(batch(writes), Durability::Synced)
    }

    fn room(&self) -> Result<(), StoreError> {
        self.below.room()
    }

    fn note_synced(&self, mark: u64) -> Result<(), StoreError> {
        if self.is_dead() { Err(died()) } else { self.below.note_synced(mark) }
    }

    fn noted(&self) -> Result<Option<u64>, StoreError> {
        self.below.noted()
    }

    fn usage(&self) -> Result<Usage, StoreError> {
        self.below.usage()
    }

    fn close(&self) -> Result<(), StoreError> {
        self.sync()?;
        self.below.close()
    }
}

#[cfg(test)]
mod tests {
    use impresario_runtime::store::MemoryEngine;

    use super::*;

    fn put(key: &str, value: &str) -> WriteBatch {
        let op = Op::Put(key.into(), Bytes::copy_from_slice(value.as_bytes()));
        WriteBatch { expect: Vec::new(), ops: vec![op] }
    }

    fn delete(key: &str) -> WriteBatch {
        WriteBatch { expect: Vec::new(), ops: vec![Op::Delete(key.into())] }
    }

    fn keys(rows: &[(Bytes, Bytes)]) -> String {
        rows.iter().map(|(key, _)| String::from_utf8_lossy(key).into_owned()).collect()
    }

    fn engine(dies_after: Option<u64>) -> CutEngine {
        CutEngine::new(Arc::new(MemoryEngine::new()), 0, dies_after)
    }

    #[test]
    fn unsynced_writes_cover_what_lies_below_page_by_page() {
        let engine = engine(None);
        for key in ["a", "c", "e", "g"] {
            engine.commit(put(key, "1"), Durability::Written).expect("a write");
        }
        engine.sync().expect("a sync");
        for key in ["b", "h"] {
            engine.commit(put(key, "2"), Durability::Written).expect("a write");
        }
        for key in ["c", "g"] {
            engine.commit(delete(key), Durability::Written).expect("a write");
        }
        assert_eq!(keys(&engine.scan(b"a", None, 99).expect("rows")), "abeh");
        for limit in 1..=4 {
            let rows = engine.scan(b"a", None, limit).expect("rows");
            assert_eq!(keys(&rows), "abeh"[..limit], "{limit} rows");
        }
        let last = |from: &str, to: Option<&str>| {
            let row = engine.last(from.as_bytes(), to.map(str::as_bytes)).expect("a row");
            row.map(|(key, _)| String::from_utf8_lossy(&key).into_owned())
        };
        assert_eq!(last("a", None).as_deref(), Some("h"));
        assert_eq!(last("a", Some("h")).as_deref(), Some("e"));
        assert_eq!(last("c", Some("d")), None);
        assert_eq!(last("a", Some("e")).as_deref(), Some("b"));
    }

    #[test]
    fn it_dies_after_the_commit_it_is_told_and_loses_what_was_not_synced() {
        for (unsynced, left) in [(Unsynced::Lost, "a"), (Unsynced::Kept, "ab")] {
            let engine = engine(Some(2));
            engine.commit(put("a", "1"), Durability::Synced).expect("a write");
            engine.commit(put("b", "1"), Durability::Written).expect("the last write");
            assert!(engine.is_dead());
            engine.sync().expect_err("dead");
            engine.commit(put("c", "1"), Durability::Written).expect_err("dead");
            let below = engine.leave(unsynced).expect("what is left");
            assert_eq!(keys(&below.scan(b"a", None, 9).expect("rows")), left);
        }
    }
}
