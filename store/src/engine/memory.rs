use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use parking_lot::RwLock;

use super::{Durability, Engine, Op, Usage, WriteBatch};
use crate::StoreError;

type Map = BTreeMap<Vec<u8>, Bytes>;

/// The in-memory twin: the same behaviour with no disk, and power cuts at will.
#[derive(Default)]
pub struct MemoryEngine {
    maps: RwLock<Maps>,
    full: AtomicBool,
}

#[derive(Clone, Default)]
struct Maps {
    now: Map,
    synced: Map,
    /// Writes since the last sync, so that a sync need not copy everything.
    unsynced: Vec<(Vec<u8>, Option<Bytes>)>,
    noted: Option<u64>,
    closed: bool,
}

impl MemoryEngine {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// What a power cut would leave: everything synced, nothing else.
    #[must_use]
    pub fn fork(&self) -> Self {
        let maps = self.maps.read();
        let synced = maps.synced.clone();
        let kept = Maps { now: synced.clone(), synced, noted: maps.noted, ..Maps::default() };
        Self { maps: RwLock::new(kept), full: AtomicBool::default() }
    }

    /// What a killed process would leave: everything committed.
    #[must_use]
    pub fn snapshot(&self) -> Self {
        let kept = Maps { closed: false, ..self.maps.read().clone() };
        Self { maps: RwLock::new(kept), full: AtomicBool::default() }
    }

    /// Pretends that the disk is full, or no longer.
    pub fn pretend_full(&self, full: bool) {
        self.full.store(full, Ordering::Release);
    }
}

impl Engine for MemoryEngine {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(self.maps.read().now.get(key).cloned())
    }

    fn scan(&self, from: &[u8], to: Option<&[u8]>, limit: usize) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        if to.is_some_and(|to| to <= from) {
            return Ok(Vec::new());
        }
        let maps = self.maps.read();
        let rows = maps.now.range(from.to_vec()..).take_while(|(key, _)| to.is_none_or(|to| key.as_slice() < to));
        Ok(rows.take(limit).map(|(key, value)| (Bytes::copy_from_slice(key), value.clone())).collect())
    }

    fn last(&self, from: &[u8], to: Option<&[u8]>) -> Result<Option<(Bytes, Bytes)>, StoreError> {
        let maps = self.maps.read();
        let found = match to {
            Some(to) if to <= from => None,
            Some(to) => maps.now.range(from.to_vec()..to.to_vec()).next_back(),
            None => maps.now.range(from.to_vec()..).next_back(),
        };
        Ok(found.map(|(key, value)| (Bytes::copy_from_slice(key), value.clone())))
    }

    fn room(&self) -> Result<(), StoreError> {
        if self.full.load(Ordering::Acquire) {
            return Err(StoreError::DiskFull { free_bytes: 0, needed_bytes: 1 });
        }
        Ok(())
    }

    fn commit(&self, batch: WriteBatch, durability: Durability) -> Result<(), StoreError> {
        batch.check()?;
        let mut maps = self.maps.write();
        if maps.closed {
            return Err(StoreError::Closed);
        }
        for (key, expected) in &batch.expect {
            if maps.now.get(key) != expected.as_ref() {
                return Err(StoreError::Conflict { key: format!("key {key:02x?} is not as expected") });
            }
        }
        for op in batch.ops {
            let (key, value) = match op {
                Op::Put(key, value) | Op::PutNew(key, value) => (key, Some(value)),
                Op::Delete(key) => (key, None),
            };
            match &value {
                Some(value) => maps.now.insert(key.clone(), value.clone()),
                None => maps.now.remove(&key),
            };
            maps.unsynced.push((key, value));
        }
        drop(maps);
        match durability {
            Durability::Written => Ok(()),
            Durability::Synced => self.sync(),
        }
    }

    fn sync(&self) -> Result<(), StoreError> {
        let mut maps = self.maps.write();
        if maps.closed {
            return Err(StoreError::Closed);
        }
        for (key, value) in std::mem::take(&mut maps.unsynced) {
            match value {
                Some(value) => maps.synced.insert(key, value),
                None => maps.synced.remove(&key),
            };
        }
        Ok(())
    }

    fn note_synced(&self, mark: u64) -> Result<(), StoreError> {
        self.maps.write().noted = Some(mark);
        Ok(())
    }

    fn noted(&self) -> Result<Option<u64>, StoreError> {
        Ok(self.maps.read().noted)
    }

    fn usage(&self) -> Result<Usage, StoreError> {
        let maps = self.maps.read();
        let bytes: usize = maps.now.iter().map(|(key, value)| key.len() + value.len()).sum();
        let bytes = bytes as u64;
        Ok(Usage { file_bytes: bytes, live_bytes: bytes, free_bytes: u64::MAX, disk_bytes: u64::MAX })
    }

    fn close(&self) -> Result<(), StoreError> {
        if !self.maps.read().closed {
            self.sync()?;
        }
        self.maps.write().closed = true;
        Ok(())
    }
}
