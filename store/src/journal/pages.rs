//! Pages: how the states of a worker's keys lie in the engine.
//!
//! An insert into sled costs 7 to 18 microseconds whatever its size, so neighbouring keys share a value.
//! A page holds the rows of all keys from its own `low` key up to the next page's; a worker's first
//! page has the empty key. Pages are never removed, so `low` keys only become more.
//!
//! ```text
//! u8 format | varint rows | u16 fingerprint of each key | varint raw bytes | LZ4 of the rows
//! row: varint length and key; varint seq; varint length and body
//! ```

use bytes::Bytes;

use super::{
    core::each_row,
    entry::{NameId, Seq},
    keys,
    names::Names,
    shared::{Journal, StateRow},
    varint,
};
use crate::{Durability, Engine, Op, StoreError, VALUE_BYTES_MAX, WriteBatch};

const PAGE_FORMAT: u8 = 1;

/// Bytes of rows beyond which a page is split.
pub const PAGE_RAW_BYTES: usize = 8 * 1024;

/// What a page may claim when read back.
const PAGE_RAW_BYTES_MAX: usize = VALUE_BYTES_MAX;

/// A page as it lies in the engine.
pub struct Page {
    /// The first key it is for.
    pub low: Bytes,
    value: Bytes,
}

impl Page {
    /// Reads a page's key and value.
    fn of(key: &Bytes, value: Bytes) -> Self {
        Self { low: key.slice(3..), value }
    }

    /// The page that a write of [`page_writes`] puts there.
    pub fn written(write: &Op) -> Option<Self> {
        match write {
            Op::Put(key, value) if key.first() == Some(&keys::PAGE) && key.len() >= 3 => {
                Some(Self { low: Bytes::copy_from_slice(key.get(3..)?), value: value.clone() })
            }
            _ => None,
        }
    }

    /// All of its rows, in order of keys.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], or a format of a newer program.
    pub fn rows(&self) -> Result<Vec<StateRow>, StoreError> {
        let (count, packed) = self.open()?;
        let raw = Bytes::from(unpack(packed).ok_or_else(damaged)?);
        let mut rest = raw.as_ref();
        let mut rows = Vec::with_capacity(count.min(PAGE_RAW_BYTES));
        for _ in 0..count {
            let (key, seq, body) = take_row(&mut rest).ok_or_else(damaged)?;
            rows.push(StateRow { key: raw.slice_ref(key), seq, body: raw.slice_ref(body) });
        }
        if rest.is_empty() { Ok(rows) } else { Err(damaged()) }
    }

    /// The row of one key.
    ///
    /// # Errors
    /// As [`Self::rows`].
    pub fn row(&self, wanted: &[u8]) -> Result<Option<StateRow>, StoreError> {
        let (count, mut packed) = self.open()?;
        let prints = self.value.len() - packed.len() - count * 2;
        let prints = self.value.get(prints..prints + count * 2).unwrap_or_default();
        // Most keys asked for are new ones: they are told by two bytes each, with nothing unpacked.
        if !prints.chunks_exact(2).any(|print| print == fingerprint(wanted)) {
            return Ok(None);
        }
        let raw = Bytes::from(unpack(std::mem::take(&mut packed)).ok_or_else(damaged)?);
        let mut rest = raw.as_ref();
        for _ in 0..count {
            let (key, seq, body) = take_row(&mut rest).ok_or_else(damaged)?;
            if key == wanted {
                return Ok(Some(StateRow { key: raw.slice_ref(key), seq, body: raw.slice_ref(body) }));
            }
        }
        Ok(None)
    }

    /// How many rows there are, and what follows their fingerprints.
    fn open(&self) -> Result<(usize, &[u8]), StoreError> {
        let mut rest = self.value.as_ref();
        let [format] = varint::take_array(&mut rest).ok_or_else(damaged)?;
        if format != PAGE_FORMAT {
            let what = "a page of agents' state".to_owned();
            return Err(StoreError::UnknownFormat { what, found: format.into(), known: PAGE_FORMAT.into() });
        }
        let count = varint::take(&mut rest).and_then(|count| usize::try_from(count).ok()).ok_or_else(damaged)?;
        let prints = count.checked_mul(2).ok_or_else(damaged)?;
        varint::take_bytes(&mut rest, prints).ok_or_else(damaged)?;
        Ok((count, rest))
    }
}

/// Two bytes that tell most keys apart (FNV-1a, folded).
fn fingerprint(key: &[u8]) -> [u8; 2] {
    let step = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    let hash = key.iter().fold(0x811c_9dc5, step);
    ((hash ^ (hash >> 16)) as u16).to_le_bytes()
}

fn unpack(mut packed: &[u8]) -> Option<Vec<u8>> {
    let raw_bytes = usize::try_from(varint::take(&mut packed)?).ok().filter(|bytes| *bytes <= PAGE_RAW_BYTES_MAX)?;
    lz4_flex::block::decompress(packed, raw_bytes).ok().filter(|raw| raw.len() == raw_bytes)
}

fn take_row<'a>(rest: &mut &'a [u8]) -> Option<(&'a [u8], Seq, &'a [u8])> {
    let length = usize::try_from(varint::take(rest)?).ok()?;
    let key = varint::take_bytes(rest, length)?;
    let seq = varint::take(rest)?;
    let length = usize::try_from(varint::take(rest)?).ok()?;
    Some((key, seq, varint::take_bytes(rest, length)?))
}

fn damaged() -> StoreError {
    StoreError::Damaged { place: "agent state".into(), what: "a page is not as it was written".into() }
}

/// Writes the rows of one page, split where they have become too many.
///
/// `rows` are in order of keys and at or after `low`, and there may be none.
pub fn page_writes(worker: NameId, low: &[u8], rows: &[StateRow], writes: &mut Vec<Op>) {
    let row_bytes = |row: &StateRow| row.key.len() + row.body.len() + 12;
    let whole: usize = rows.iter().map(row_bytes).sum();
    let pieces = whole.div_ceil(PAGE_RAW_BYTES).max(1);
    // Halves, not full pages: the next rows will come between these.
    let piece_bytes = if pieces == 1 { whole } else { (whole / pieces).max(PAGE_RAW_BYTES / 2) };
    let mut rest = rows;
    let mut low = low;
    loop {
        let mut bytes = 0;
        let full = rest.iter().position(|row| {
            bytes += row_bytes(row);
            bytes > piece_bytes
        });
        let (piece, later) = rest.split_at(full.unwrap_or(rest.len()).max(1).min(rest.len()));
        writes.push(Op::Put(keys::page(worker, low), encode(piece)));
        let Some(next) = later.first() else { return };
        low = &next.key;
        rest = later;
    }
}

fn encode(rows: &[StateRow]) -> Bytes {
    let mut raw = Vec::with_capacity(rows.iter().map(|row| row.key.len() + row.body.len() + 24).sum());
    for row in rows {
        varint::put(&mut raw, row.key.len() as u64);
        raw.extend_from_slice(&row.key);
        varint::put(&mut raw, row.seq);
        varint::put(&mut raw, row.body.len() as u64);
        raw.extend_from_slice(&row.body);
    }
    let packed = lz4_flex::block::compress(&raw);
    let mut value = Vec::with_capacity(24 + rows.len() * 2 + packed.len());
    value.push(PAGE_FORMAT);
    varint::put(&mut value, rows.len() as u64);
    rows.iter().for_each(|row| value.extend_from_slice(&fingerprint(&row.key)));
    varint::put(&mut value, raw.len() as u64);
    value.extend_from_slice(&packed);
    value.into()
}

impl Journal {
    /// The page of `worker` that `key` belongs to; `None` where the worker has no pages yet.
    ///
    /// # Errors
    /// The engine's own error.
    pub fn page(&self, worker: NameId, key: &[u8]) -> Result<Option<Page>, StoreError> {
        let mut end = keys::page(worker, key);
        end.push(0);
        let found = self.engine.last(&keys::page(worker, &[]), Some(&end))?;
        Ok(found.map(|(key, value)| Page::of(&key, value)))
    }

    /// The first page of `worker` whose low key is after `low`.
    ///
    /// # Errors
    /// The engine's own error.
    pub fn page_after(&self, worker: NameId, low: &[u8]) -> Result<Option<Page>, StoreError> {
        let mut from = keys::page(worker, low);
        from.push(0);
        let end = keys::page(NameId(worker.0.saturating_add(1)), &[]);
        let rows = self.engine.scan(&from, Some(&end), 1)?;
        Ok(rows.into_iter().next().map(|(key, value)| Page::of(&key, value)))
    }

    /// The state of one key, as it was written behind.
    ///
    /// # Errors
    /// Damage, or the engine's own error.
    pub fn paged_state(&self, worker: NameId, key: &[u8]) -> Result<Option<StateRow>, StoreError> {
        match self.page(worker, key)? {
            Some(page) => page.row(key),
            None => Ok(None),
        }
    }
}

/// Removes states of the time when each key had a value of its own. State is a cache of the journal:
/// with its mark gone, a worker folds it anew.
pub(super) fn forget_old_states(engine: &dyn Engine, names: &Names) -> Result<(), StoreError> {
    let mut gone = Vec::new();
    each_row(engine, keys::OLD_WORKER, |key, _| {
        let worker = keys::name_from(key).and_then(|id| names.name_of(id)).unwrap_or_default();
        let agent = worker.split('/').next().and_then(|agent| names.get(agent));
        gone.push((key.to_vec(), agent));
        Ok(())
    })?;
    for (mark, agent) in gone {
        let Some(agent) = agent else { continue };
        loop {
            let (from, to) = (keys::state(agent, &[]), keys::state(NameId(agent.0.saturating_add(1)), &[]));
            let rows = engine.scan(&from, Some(&to), 1_024)?;
            let all = rows.len() < 1_024;
            let mut ops: Vec<Op> = rows.into_iter().map(|(key, _)| Op::Delete(key.to_vec())).collect();
            // The mark goes last: a crash in between begins again.
            ops.extend(all.then(|| Op::Delete(mark.clone())));
            engine.commit(WriteBatch { expect: Vec::new(), ops }, Durability::Written)?;
            if all {
                break;
            }
        }
    }
    Ok(())
}
