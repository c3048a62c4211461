//! Why sled 0.34.7 may hang for good, and what keeps it from doing so.
//!
//! All engines of a process share sled's one pool of threads (`threadpool.rs`), which write full buffers to
//! the log and cut the file's unused end off.
//!
//! - The pool is to grow where fewer than seven threads wait for work. But a thread at work counts itself
//!   off twice (in `recv_timeout` and again in `perform_work`), so where more threads work than wait the
//!   count falls below zero, wraps to a huge number, and the pool stays at its first seven threads just
//!   when it should grow.
//! - Whoever fills a buffer takes a segment for the next one under the lock of the segments
//!   (`SegmentAccountant::next`), and where that segment is one whose cutting off is still under way,
//!   waits for it with the lock held (`bump_tip`).
//! - A thread of the pool ends the writing of a buffer under the same lock (`sa_stabilize`).
//!
//! So where all seven threads end the writing of buffers while the cutting off they wait for is queued
//! behind them, none ever goes on. It takes seven buffers under way at once: of one engine, by writing
//! without waiting or by one batch of more than seven segments; or of several engines together. Hence:
//!
//! - an engine flushes before more than two segments are under way ([`UNFLUSHED_BYTES_MAX`]);
//! - a batch that is larger goes in part by part (`large.rs`);
//! - where a process has several engines, they take turns, and each flushes at the end of its turn.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Mutex, MutexGuard};

use super::pieces::SEGMENT_BYTES;

/// Bytes that may be on their way to the disk before a commit waits for them.
pub(super) const UNFLUSHED_BYTES_MAX: u64 = 2 * SEGMENT_BYTES as u64;

static ENGINES: AtomicUsize = AtomicUsize::new(0);
static TURN: Mutex<()> = Mutex::new(());

/// An engine's place in this process.
pub(super) struct Seat(());

impl Seat {
    pub(super) fn take() -> Self {
        ENGINES.fetch_add(1, Ordering::AcqRel);
        Self(())
    }

    /// The turn of this engine to write; `None` where it is the only one, and need not wait.
    pub(super) fn turn(&self) -> Option<MutexGuard<'static, ()>> {
        (ENGINES.load(Ordering::Acquire) > 1).then(|| TURN.lock())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        ENGINES.fetch_sub(1, Ordering::AcqRel);
    }
}
