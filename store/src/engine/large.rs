//! Batches that are larger than what sled bears at once: part by part, and yet all or nothing.
//!
//! The batch is written down beside the data first, in parts; then a mark says that it is whole; then its
//! writes go in, in parts; then mark and copy go. Commits become durable in order, so after a crash there
//! is either no mark, and nothing of the batch has gone in, or the mark, and all of it goes in again at
//! the next opening. Readers of other threads may see such a batch come in part by part.
//!
//! ```text
//! 0xf1 | u32 index    up to 7 KiB of the batch: u8 put or delete | u16 key length | key | u32 length | value
//! 0xf2                u64 bytes of the batch
//! ```

use bytes::Bytes;

use super::{
    Op,
    pieces::SEGMENT_BYTES,
    sled_engine::engine_error,
    writes::{LIVE_KEY, Writes},
};
use crate::StoreError;

/// A batch of more goes in part by part: four segments, before which all others are flushed.
pub(super) const LARGE_BYTES: usize = 4 * SEGMENT_BYTES;
/// Bytes of one part.
pub(super) const PART_BYTES: usize = SEGMENT_BYTES;
/// Bytes of one row of the copy.
const ROW_BYTES: usize = 7 << 10;

const COPY: u8 = 0xf1;
const WHOLE: [u8; 1] = [0xf2];
const PUT: u8 = 0;
const DELETE: u8 = 1;

/// Whether a batch is to go in part by part.
pub(super) fn is_large(ops: &[Op]) -> bool {
    let mut bytes = 0;
    ops.iter().any(|op| {
        bytes += op.key().len() + op.value_bytes();
        bytes > LARGE_BYTES
    })
}

/// Writes the batch down. `make_way` is called before each part with its bytes.
pub(super) fn write_down(
    tree: &sled::Tree,
    ops: &[Op],
    make_way: impl Fn(usize) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let copy = encode(ops);
    let mut rows = copy.chunks(ROW_BYTES).zip(0_u32..).peekable();
    while rows.peek().is_some() {
        let mut part = sled::Batch::default();
        let mut bytes = 0;
        while let Some((row, index)) = rows.next_if(|_| bytes < PART_BYTES) {
            part.insert(&key(index), row);
            bytes += row.len() + 64;
        }
        make_way(bytes)?;
        tree.apply_batch(part).map_err(engine_error("write a large batch down"))?;
    }
    let marked = tree.insert(WHOLE, &(copy.len() as u64).to_be_bytes());
    marked.map(drop).map_err(engine_error("mark a large batch"))
}

/// The batch is in: its copy goes.
pub(super) fn strike(tree: &sled::Tree) -> Result<(), StoreError> {
    // The mark first: without it what is left of the copy is nothing.
    tree.remove(WHOLE).map_err(engine_error("strike a large batch"))?;
    remove_copy(tree)
}

fn remove_copy(tree: &sled::Tree) -> Result<(), StoreError> {
    for row in tree.range([COPY].as_slice()..WHOLE.as_slice()) {
        let (key, _) = row.map_err(engine_error("scan"))?;
        tree.remove(key).map_err(engine_error("strike a large batch"))?;
    }
    Ok(())
}

/// Puts in what a crash has left of a large batch, or forgets it where it was never whole.
pub(super) fn finish(db: &sled::Db, tree: &sled::Tree) -> Result<(), StoreError> {
    let Some(marked) = tree.get(WHOLE).map_err(engine_error("read"))? else { return remove_copy(tree) };
    let damaged = |what: &str| StoreError::Damaged {
        place: "a large batch that a crash has left half-way".into(),
        what: what.to_owned(),
    };
    let mut copy = Vec::new();
    for row in tree.range([COPY].as_slice()..WHOLE.as_slice()) {
        copy.extend_from_slice(&row.map_err(engine_error("scan"))?.1);
    }
    if marked.as_ref() != (copy.len() as u64).to_be_bytes() {
        return Err(damaged("it is not as long as it was"));
    }
    let ops = decode(&Bytes::from(copy)).ok_or_else(|| damaged("a write in it is cut short"))?;
    // Some of it is counted in already: the living bytes are counted anew.
    tree.remove(LIVE_KEY).map_err(engine_error("write"))?;
    let writes = Writes::of(&ops, PART_BYTES, |key| tree.get(key).map_err(engine_error("read")))?;
    for part in writes.parts() {
        tree.apply_batch(part.batch).map_err(engine_error("apply a batch"))?;
        db.flush().map_err(engine_error("flush"))?;
    }
    strike(tree)
}

fn key(index: u32) -> [u8; 5] {
    let [first, second, third, fourth] = index.to_be_bytes();
    [COPY, first, second, third, fourth]
}

fn encode(ops: &[Op]) -> Vec<u8> {
    let mut copy = Vec::with_capacity(ops.iter().map(|op| op.key().len() + op.value_bytes() + 7).sum());
    for op in ops {
        let value = match op {
            Op::Put(_, value) | Op::PutNew(_, value) => Some(value),
            Op::Delete(_) => None,
        };
        copy.push(if value.is_some() { PUT } else { DELETE });
        copy.extend_from_slice(&(op.key().len() as u16).to_be_bytes());
        copy.extend_from_slice(op.key());
        if let Some(value) = value {
            copy.extend_from_slice(&(value.len() as u32).to_be_bytes());
            copy.extend_from_slice(value);
        }
    }
    copy
}

fn decode(copy: &Bytes) -> Option<Vec<Op>> {
    let mut ops = Vec::new();
    let mut rest = copy.as_ref();
    while let Some((kind, after)) = rest.split_first() {
        let (length, after) = after.split_first_chunk::<2>()?;
        let (key, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        rest = after;
        ops.push(match *kind {
            PUT => {
                let (length, after) = rest.split_first_chunk::<4>()?;
                let (value, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
                rest = after;
                Op::Put(key.to_vec(), copy.slice_ref(value))
            }
            DELETE => Op::Delete(key.to_vec()),
            _ => return None,
        });
    }
    Some(ops)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Durability, Engine, SledEngine, SledOptions, WriteBatch},
        *,
    };

    fn open(path: &std::path::Path) -> SledEngine {
        let options = SledOptions { cache_bytes: 8 << 20, free_min_percent: 0, ..SledOptions::default() };
        SledEngine::open(path, &options).expect("an engine")
    }

    /// Before: small and large values. The batch: more than is borne at once, over and beside them.
    fn before() -> Vec<Op> {
        let large = |fill: u8| Bytes::from(vec![fill; 100_000]);
        let mut ops: Vec<_> = (0..40_u8).map(|number| Op::Put(vec![b's', number], large(number))).collect();
        ops.push(Op::Put(b"small".to_vec(), "before".into()));
        ops.push(Op::Put(b"gone".to_vec(), "before".into()));
        ops
    }

    fn batch() -> Vec<Op> {
        let large = |fill: u8| Bytes::from(vec![fill; 300_000]);
        let mut ops: Vec<_> = (20..60_u8).map(|number| Op::Put(vec![b's', number], large(number ^ 0x55))).collect();
        ops.extend([Op::Put(b"small".to_vec(), "after".into()), Op::Delete(b"gone".to_vec())]);
        ops.extend((0..10_u8).map(|number| Op::Delete(vec![b's', number])));
        assert!(is_large(&ops) && !is_large(&ops[..20]));
        ops
    }

    fn rows(engine: &SledEngine) -> Vec<(Bytes, Bytes)> {
        engine.scan(b"", None, usize::MAX).expect("rows")
    }

    #[test]
    fn a_crash_anywhere_in_a_large_batch_leaves_all_of_it_or_nothing() {
        let whole = tempfile::tempdir().expect("a directory");
        let engine = open(whole.path());
        engine.commit(WriteBatch { expect: Vec::new(), ops: before() }, Durability::Synced).expect("a commit");
        let old = rows(&engine);
        engine.commit(WriteBatch { expect: Vec::new(), ops: batch() }, Durability::Synced).expect("a commit");
        let new = rows(&engine);
        let live = engine.usage().expect("sizes").live_bytes;
        assert!(new != old && engine.tree().range([COPY].as_slice()..[0xf3].as_slice()).next().is_none());
        drop(engine);
        let parts = Writes::of(&batch(), PART_BYTES, |_| Ok(None)).expect("writes").parts().len();
        assert!(parts > 3, "{parts}");
        // Killed after so many of its parts, with the mark; `None`: while it was being written down.
        for done in [None, Some(0), Some(1), Some(parts / 2), Some(parts)] {
            let directory = tempfile::tempdir().expect("a directory");
            let engine = open(directory.path());
            engine.commit(WriteBatch { expect: Vec::new(), ops: before() }, Durability::Synced).expect("a commit");
            write_down(engine.tree(), &batch(), |_| Ok(())).expect("it is written down");
            match done {
                None => drop(engine.tree().remove(WHOLE).expect("no mark")),
                Some(done) => {
                    let writes = Writes::of(&batch(), PART_BYTES, |key| Ok(engine.tree().get(key).expect("a read")));
                    for part in writes.expect("writes").parts().into_iter().take(done) {
                        engine.tree().apply_batch(part.batch).expect("a part");
                    }
                }
            }
            drop(engine);
            let engine = open(directory.path());
            assert_eq!(rows(&engine), if done.is_none() { old.clone() } else { new.clone() }, "{done:?}");
            assert!(engine.tree().range([COPY].as_slice()..[0xf3].as_slice()).next().is_none(), "{done:?}");
            if done.is_some() {
                assert_eq!(engine.usage().expect("sizes").live_bytes, live, "{done:?}");
            }
            drop(engine);
            assert_eq!(rows(&open(directory.path())).len(), if done.is_none() { old.len() } else { new.len() });
        }
    }
}
