//! One commit on its way into sled, and the count of what lives there.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::{
    OWN_KEYS, Op,
    pieces::{self, Stored},
    sled_engine::engine_error,
};
use crate::StoreError;

/// Bytes of sled's own with each row of its log, roughly.
const ROW_BYTES: usize = 64;

/// Where the bytes of living keys and values are kept count of.
pub(super) const LIVE_KEY: [u8; 1] = [OWN_KEYS];
/// The count is written with a commit after this many, or after so many bytes of change.
const LIVE_COMMITS_MAX: u64 = 16;
const LIVE_CHANGE_BYTES_MAX: u64 = 1 << 20;

/// Bytes of living keys and values.
pub(super) struct Live {
    pub(super) bytes: AtomicI64,
    written: AtomicI64,
    commits: AtomicU64,
}

/// What one commit writes, in as many parts as it must go in.
pub(super) struct Writes {
    parts: Vec<Part>,
    part_bytes_max: usize,
    /// Change of the living bytes.
    change: i64,
    pub(super) in_pieces: bool,
}

/// Writes that go into sled together.
#[derive(Default)]
pub(super) struct Part {
    pub(super) batch: sled::Batch,
    /// Bytes it adds to the log.
    pub(super) bytes: usize,
}

impl Writes {
    /// Takes the last write of each key; `before` tells what stands at it. A part of more than
    /// `part_bytes_max` is ended, and another begun.
    pub(super) fn of(
        ops: &[Op],
        part_bytes_max: usize,
        before: impl Fn(&[u8]) -> Result<Option<sled::IVec>, StoreError>,
    ) -> Result<Self, StoreError> {
        let mut writes = Self { parts: vec![Part::default()], part_bytes_max, change: 0, in_pieces: false };
        let mut last: HashMap<&[u8], (usize, bool), FixedState> =
            HashMap::with_capacity_and_hasher(ops.len(), FixedState::default());
        for (index, op) in ops.iter().enumerate() {
            last.entry(op.key()).and_modify(|last| *last = (index, true)).or_insert((index, false));
        }
        for (index, op) in ops.iter().enumerate() {
            let key = op.key();
            let Some((_, several)) = last.get(key).filter(|(last, _)| *last == index) else { continue };
            if *several || !matches!(op, Op::PutNew(..)) {
                writes.forget(key, before(key)?);
            }
            match op {
                Op::Put(_, value) | Op::PutNew(_, value) => writes.put(key, value),
                Op::Delete(_) => writes.row(key.len(), |batch| batch.remove(key)),
            }
        }
        Ok(writes)
    }

    /// The parts, in order.
    pub(super) fn parts(self) -> Vec<Part> {
        self.parts
    }

    fn row(&mut self, bytes: usize, write: impl FnOnce(&mut sled::Batch)) {
        if self.parts.last().is_none_or(|part| part.bytes > self.part_bytes_max) {
            self.parts.push(Part::default());
        }
        let Some(part) = self.parts.last_mut() else { return };
        write(&mut part.batch);
        part.bytes += bytes + ROW_BYTES;
    }

    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.change += (key.len() + value.len()) as i64;
        if !pieces::is_large(value) {
            self.row(key.len() + value.len(), |batch| batch.insert(key, pieces::whole(value)));
            return;
        }
        self.in_pieces = true;
        self.row(key.len(), |batch| batch.insert(key, pieces::head(value.len())));
        for (piece, index) in value.chunks(pieces::PIECE_BYTES).zip(0..) {
            self.row(key.len() + piece.len(), |batch| batch.insert(pieces::piece_key(key, index), piece));
        }
    }

    fn forget(&mut self, key: &[u8], stored: Option<sled::IVec>) {
        let Some(stored) = stored else { return };
        self.change -= (key.len() + Stored::value_bytes(&stored)) as i64;
        if let Some(Stored::InPieces(bytes)) = Stored::of(&stored) {
            self.in_pieces = true;
            for index in pieces::indexes(bytes) {
                self.row(key.len(), |batch| batch.remove(pieces::piece_key(key, index)));
            }
        }
    }
}

impl Live {
    /// The count as it was last written; counted anew where there is none.
    ///
    /// A crash loses the changes since: at most [`LIVE_CHANGE_BYTES_MAX`] and one commit.
    pub(super) fn read(tree: &sled::Tree) -> Result<Self, StoreError> {
        let bytes = live_bytes(tree)?;
        Ok(Self { bytes: bytes.into(), written: bytes.into(), commits: AtomicU64::new(0) })
    }

    /// Counts a commit in, and writes the count with it where it is time.
    pub(super) fn count(&self, writes: &mut Writes) {
        let now = self.bytes.fetch_add(writes.change, Ordering::Relaxed) + writes.change;
        let far = now.abs_diff(self.written.load(Ordering::Relaxed)) > LIVE_CHANGE_BYTES_MAX;
        if far || self.commits.fetch_add(1, Ordering::Relaxed) + 1 >= LIVE_COMMITS_MAX {
            self.commits.store(0, Ordering::Relaxed);
            self.written.store(now, Ordering::Relaxed);
            writes.row(LIVE_KEY.len(), |batch| batch.insert(LIVE_KEY.as_slice(), now.to_be_bytes().as_slice()));
        }
    }
}

fn live_bytes(tree: &sled::Tree) -> Result<i64, StoreError> {
    let written = tree.get(LIVE_KEY).map_err(engine_error("read"))?;
    if let Some(written) = written.and_then(|value| value.as_ref().try_into().ok()) {
        return Ok(i64::from_be_bytes(written));
    }
    let mut bytes = 0;
    for row in tree.range(..LIVE_KEY.as_slice()) {
        let (key, stored) = row.map_err(engine_error("scan"))?;
        bytes += (key.len() + Stored::value_bytes(&stored)) as i64;
    }
    Ok(bytes)
}
