//! The journal: one durable, totally ordered list of entries, and what commits with them.
//!
//! A [`Commit`] is the unit of atomicity: entries, a worker's cursor, timers, effects and state
//! written behind go in together or not at all. Several commits make a *group*, written as
//! compressed [`block`]s in one engine batch, so that one sync serves many callers.
//!
//! The journal is also the clock's gate: before an entry of instant T is appended, every timer
//! due at or before T is appended, at its own instant. What time causes and what events cause is
//! one order.

mod backup;
pub mod block;
mod commit;
mod compact;
mod copy;
mod core;
mod dedup;
mod entry;
mod erase;
mod forget;
mod horizon;
mod ids;
mod keys;
mod limits;
mod names;
mod outbox;
mod pages;
mod read;
mod requests;
mod shared;
mod syncer;
mod tail;
mod tap;
mod timers;
mod varint;
mod verify;
mod writer;

pub use backup::{BACKUP_FORMAT, BackupProgress, BackupSummary, backup_summary, restore};
pub use commit::{Commit, CursorMove, NewEffect, NewEntry, Receipt, RequestKey};
pub use compact::{compact, compact_with};
pub use copy::copy;
pub use entry::{BodyHash, Chunk, Entry, NameId, OUTSIDE, PARTITIONS, Seq, partition_of};
pub use horizon::{Horizon, Thinned};
pub use ids::{EffectId, TimerKey};
pub use limits::JournalLimits;
pub use outbox::PendingEffect;
pub use pages::{PAGE_RAW_BYTES, Page, page_writes};
pub use shared::{GroupOutcome, Journal, StateRow, WorkerMark};
pub use timers::TimerOp;
pub use verify::{Damage, VerifyReport};
pub use writer::{CommitReply, Writer, WriterEvents};
