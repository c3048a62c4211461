//! The engine: a narrow door of data to an ordered key-value store.
//!
//! Data, not closures, goes through it, so that another engine can take sled's place: what one must
//! do is what the conformance suite in `tests/it/` asks of both.

mod compaction;
mod directory;
mod disk;
mod large;
mod memory;
mod pieces;
mod pool;
mod sled_engine;
mod writes;

use bytes::Bytes;

pub use compaction::Compacted;
pub(crate) use compaction::{put_all, rebuild, rewrite};
pub use directory::DIRECTORY_FORMAT;
pub(crate) use directory::sync_directory;
pub use disk::{Disk, SystemDisk};
pub use memory::MemoryEngine;
pub use sled_engine::{FREE_ENOUGH_BYTES, SledEngine, SledOptions, free_needed_bytes};

use crate::StoreError;

/// Bytes of one key.
pub const KEY_BYTES_MAX: usize = 1_024;

/// Bytes of one value.
pub const VALUE_BYTES_MAX: usize = 64 << 20;

/// Keys from here on are the engine's own; no key of a caller begins with such a byte.
const OWN_KEYS: u8 = 0xf0;

/// An ordered map of byte strings that survives.
///
/// Commits become durable in their order: after a crash an engine holds the effect of the first
/// so many commits, whole, and of no other. Keys are 1 to [`KEY_BYTES_MAX`] bytes and begin with a
/// byte below `0xf0`.
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

    /// Whether there is room on the disk for more. Asked before anything is prepared: a full disk
    /// refuses and leaves no trace, and all goes on once there is room again.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], or the system's.
    fn room(&self) -> Result<(), StoreError>;

    /// All of the batch or nothing, also after a crash. Only one thread commits at a time.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where an expectation does not hold, [`StoreError::TooLarge`] or
    /// [`StoreError::Invalid`] for a key that can't be; or the engine's own, after which every later
    /// commit fails.
    fn commit(&self, batch: WriteBatch, durability: Durability) -> Result<(), StoreError>;

    /// Makes everything committed so far durable.
    ///
    /// # Errors
    /// The engine's own, after which every later commit fails.
    fn sync(&self) -> Result<(), StoreError>;

    /// Remembers, apart from the data itself, how far it was synced: `mark` only grows. Costs no
    /// sync of its own, so that after a power cut an older mark may be found, never a newer one.
    ///
    /// # Errors
    /// The system's.
    fn note_synced(&self, mark: u64) -> Result<(), StoreError>;

    /// The last mark, where there is one. Data that ends before it has lost its end.
    ///
    /// # Errors
    /// The system's.
    fn noted(&self) -> Result<Option<u64>, StoreError>;

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
#[derive(Clone, Debug)]
pub enum Op {
    /// Sets a key's value.
    Put(Vec<u8>, Bytes),
    /// Sets the value of a key that never had one: spares the look for what it replaces.
    PutNew(Vec<u8>, Bytes),
    /// Forgets a key.
    Delete(Vec<u8>),
}

impl Op {
    /// The key it writes.
    pub fn key(&self) -> &[u8] {
        match self {
            Self::Put(key, _) | Self::PutNew(key, _) | Self::Delete(key) => key,
        }
    }

    /// Bytes of the value it writes.
    pub fn value_bytes(&self) -> usize {
        match self {
            Self::Put(_, value) | Self::PutNew(_, value) => value.len(),
            Self::Delete(_) => 0,
        }
    }
}

impl WriteBatch {
    /// Whether all its keys and values can be.
    fn check(&self) -> Result<(), StoreError> {
        let expected = self.expect.iter().map(|(key, _)| key.as_slice());
        for key in self.ops.iter().map(Op::key).chain(expected) {
            if key.len() > KEY_BYTES_MAX {
                return Err(StoreError::TooLarge { what: "key".into(), bytes: key.len(), max: KEY_BYTES_MAX });
            }
            if key.first().is_none_or(|first| *first >= OWN_KEYS) {
                return Err(StoreError::Invalid(format!("the key {key:02x?} is empty or of the engine's own space")));
            }
        }
        for op in &self.ops {
            let bytes = op.value_bytes();
            if bytes > VALUE_BYTES_MAX {
                return Err(StoreError::TooLarge { what: "value".into(), bytes, max: VALUE_BYTES_MAX });
            }
        }
        Ok(())
    }
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
