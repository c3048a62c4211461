//! Backups: one file that holds a journal and all that belongs to it as of one commit.
//!
//! *What is in it.* Every row of the engine, whatever its meaning, as of one point between two commits:
//! entries, names, cursors, timers, effects, known ids, and the states as they were written behind. A
//! restored directory is what a crash at that point would have left, had all been on disk, and starts
//! the same way: agents fold again what their states lag behind. Entries alone would be smaller, but timers
//! and effects come of steps that are not taken twice, and folding a long journal from its first entry
//! takes long.
//!
//! *How it is taken while the journal is written.* The engine has no snapshots. So the rows are read
//! page by page while writing goes on, and from before the first page until the end every write is also
//! heard ([`super::tap`]) and written into the backup in between. Applied in the order they lie in the
//! file, reads and writes end at exactly what the engine held at the last write heard: a row no write
//! touched is as it was read, and one that a write touched is as the last write left it. Only the
//! last look at what was heard stops the journal, for as long as moving a list takes. Pages come with
//! pauses while others write, so that these keep their pace. Entries that are erased meanwhile would
//! have been copied already, so such a backup begins anew.
//!
//! ```text
//! "impresario backup\n" | u32 format
//! frames: u8 kind | u32 raw bytes | u32 stored bytes | 32 bytes hash | stored bytes
//! u64 where the last frame begins | "whole\n"
//! ```
//!
//! A frame's hash is BLAKE3 of the hash of the frame before it, its kind, both lengths and what it
//! stores: nothing can be changed, missing, or out of place without being found. The last frame is the
//! [`BackupSummary`]. A file whose end is missing is no backup; until it is whole it lies under a name
//! that ends in `.partial`.

mod file;
mod restore;
mod take;

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use serde::{Deserialize, Serialize};

pub use restore::restore;
pub use take::backup_summary;

use super::entry::Seq;

/// The format of a backup that this program writes.
pub const BACKUP_FORMAT: u32 = 1;

/// What a whole backup says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupSummary {
    /// The last entry in it.
    pub head: Seq,
    /// Journal time of it, milliseconds since 1970 UTC; none in an empty journal.
    #[serde(default)]
    pub at_ms: Option<i64>,
    /// Hash of the chain up to that entry, in hexadecimal.
    pub head_hash: String,
    /// Rows read and writes heard.
    pub rows: u64,
    /// Bytes of them, before compression.
    pub row_bytes: u64,
}

/// How far a backup or a restore is, and whether it is still wanted.
#[derive(Debug, Default)]
pub struct BackupProgress {
    bytes: Arc<AtomicU64>,
    cancelled: AtomicBool,
}

impl BackupProgress {
    /// Bytes of rows done so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The same, to be looked at by whoever shows it.
    pub fn counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.bytes)
    }

    /// Asks for its end; the backup fails then.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    fn set(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
    }
}
