//! The engine: a narrow door of data to an ordered key-value store.
//!
//! Data, not closures, goes through it, so that another engine can take sled's place: what one must
//! do is what the conformance suite in `tests/it/` asks of both.

mod directory;
mod memory;
mod sled_engine;

use bytes::Bytes;

pub use directory::{DIRECTORY_FORMAT, compact};
pub use memory::MemoryEngine;
pub use sled_engine::{SledEngine, SledOptions};

use crate::StoreError;

/// An ordered map of byte strings that survives.
pub trait Engine: Send + Sync + 'static {
    /// The value of `key`.
    ///
    /// # Errors
    /// The engine's own, or damage.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError>;

    /// Up to `limit` pairs with `from <= key < to`, in key order; `to = None` reads to the end.
    ///
    /// # Errors
    /// The engine's own, or damage.
    fn scan(&self, from: &[u8], to: Option<&[u8]>, limit: usize) -> Result<Vec<(Bytes, Bytes)>, StoreError>;

    /// The last pair with `from <= key < to`.
    ///
    /// # Errors
    /// The engine's own, or damage.
    fn last(&self, from: &[u8], to: Option<&[u8]>) -> Result<Option<(Bytes, Bytes)>, StoreError>;

    /// All of the batch or nothing, also after a crash. Only one thread commits at a time.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where an expectation does not hold, [`StoreError::DiskFull`], or the
    /// engine's own, after which every later commit fails.
    fn commit(&self, batch: WriteBatch, durability: Durability) -> Result<(), StoreError>;

    /// Makes everything committed so far durable.
    ///
    /// # Errors
    /// The engine's own, after which every later commit fails.
    fn sync(&self) -> Result<(), StoreError>;

    /// Sizes on disk.
    ///
    /// # Errors
    /// The system's.
    fn usage(&self) -> Result<Usage, StoreError>;

    /// Flushes and syncs; no commit comes after it.
    ///
    /// # Errors
    /// The engine's own.
    fn close(&self) -> Result<(), StoreError>;
}

/// Writes that go in together.
#[derive(Default)]
pub struct WriteBatch {
    /// What keys must hold for the batch to go in.
    pub expect: Vec<(Vec<u8>, Option<Bytes>)>,
    /// The writes, in order; of two on one key the later one counts.
    pub ops: Vec<Op>,
}

/// One write.
pub enum Op {
    /// Sets a key's value.
    Put(Vec<u8>, Bytes),
    /// Sets the value of a key that never had one: spares the look for what it replaces.
    PutNew(Vec<u8>, Bytes),
    /// Forgets a key.
    Delete(Vec<u8>),
}

/// What a commit waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Readers see it; a later sync makes it durable.
    Written,
    /// It is on disk.
    Synced,
}

/// Sizes on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Usage {
    /// Bytes of the engine's files.
    pub file_bytes: u64,
    /// Bytes of keys and values, as far as known without reading them all.
    pub live_bytes: u64,
    /// Free bytes of the disk.
    pub free_bytes: u64,
    /// Bytes of the disk.
    pub disk_bytes: u64,
}

/// The file may be this many times the live data before the operator is told to compact it.
pub const AMPLIFICATION_ALARM: f64 = 6.0;

impl Usage {
    /// How many times the live data the file is; 1 for nearly empty ones.
    pub fn amplification(&self) -> f64 {
        const SMALL: u64 = 64 << 20;
        if self.file_bytes < SMALL {
            return 1.0;
        }
        self.file_bytes as f64 / self.live_bytes.max(1) as f64
    }

    /// Whether the operator is to be told to compact.
    pub fn wants_compaction(&self) -> bool {
        self.amplification() > AMPLIFICATION_ALARM
    }
}
