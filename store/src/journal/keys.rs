//! Where things lie in the engine: one ordered key space, the first byte says whose.

use super::{
    entry::{NameId, Seq},
    ids::{EffectId, TimerKey},
};

pub(super) const BLOCK: u8 = b'j';
pub(super) const CURSOR: u8 = b'c';
pub(super) const DEDUP: u8 = b'd';
pub(super) const NAME: u8 = b'n';
pub(super) const OUTBOX: u8 = b'o';
pub(super) const REQUEST: u8 = b'r';
pub(super) const STATE: u8 = b's';
pub(super) const TIMER: u8 = b't';
pub(super) const PAGE: u8 = b'p';
pub(super) const WORKER: u8 = b'v';
/// Marks of a time when each key's state had a value of its own.
pub(super) const OLD_WORKER: u8 = b'w';
pub(super) const META: u8 = b'm';

/// Whether a key is of the directory itself, and not of an agent's state.
pub(super) fn is_meta(key: &[u8]) -> bool {
    key.first() == Some(&META)
}

/// The bounds of one space.
pub(super) fn space(first: u8) -> ([u8; 1], [u8; 1]) {
    ([first], [first + 1])
}

pub(super) fn block(seq: Seq) -> Vec<u8> {
    with_seq(BLOCK, seq)
}

pub(super) fn dedup(seq: Seq) -> Vec<u8> {
    with_seq(DEDUP, seq)
}

fn with_seq(first: u8, seq: Seq) -> Vec<u8> {
    let mut key = Vec::with_capacity(9);
    key.push(first);
    key.extend_from_slice(&seq.to_be_bytes());
    key
}

pub(super) fn seq_from(key: &[u8]) -> Option<Seq> {
    key.get(1..9).and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes)
}

pub(super) fn name(id: NameId) -> Vec<u8> {
    with_name(NAME, id)
}

pub(super) fn cursor(worker: NameId) -> Vec<u8> {
    with_name(CURSOR, worker)
}

pub(super) fn worker(worker: NameId) -> Vec<u8> {
    with_name(WORKER, worker)
}

fn with_name(first: u8, id: NameId) -> Vec<u8> {
    let [high, low] = id.0.to_be_bytes();
    vec![first, high, low]
}

pub(super) fn name_from(key: &[u8]) -> Option<NameId> {
    key.get(1..3).and_then(|bytes| bytes.try_into().ok()).map(|bytes| NameId(u16::from_be_bytes(bytes)))
}

pub(super) fn state(owner: NameId, key: &[u8]) -> Vec<u8> {
    let mut full = Vec::with_capacity(3 + key.len());
    full.push(STATE);
    full.extend_from_slice(&owner.0.to_be_bytes());
    full.extend_from_slice(key);
    full
}

pub(super) fn page(worker: NameId, low: &[u8]) -> Vec<u8> {
    let mut full = Vec::with_capacity(3 + low.len());
    full.push(PAGE);
    full.extend_from_slice(&worker.0.to_be_bytes());
    full.extend_from_slice(low);
    full
}

pub(super) fn request(key: &[u8; 16]) -> Vec<u8> {
    let mut full = Vec::with_capacity(17);
    full.push(REQUEST);
    full.extend_from_slice(key);
    full
}

pub(super) fn timer(key: &TimerKey) -> Vec<u8> {
    let mut full = Vec::with_capacity(21);
    full.push(TIMER);
    // The sign bit flipped makes instants before 1970 sort first.
    full.extend_from_slice(&(key.due_ms as u64 ^ (1 << 63)).to_be_bytes());
    full.extend_from_slice(&key.seq.to_be_bytes());
    full.extend_from_slice(&key.writer.to_be_bytes());
    full.extend_from_slice(&key.index.to_be_bytes());
    full
}

pub(super) fn timer_from(key: &[u8]) -> Option<TimerKey> {
    let due: [u8; 8] = key.get(1..9)?.try_into().ok()?;
    Some(TimerKey {
        due_ms: (u64::from_be_bytes(due) ^ (1 << 63)) as i64,
        seq: u64::from_be_bytes(key.get(9..17)?.try_into().ok()?),
        writer: u16::from_be_bytes(key.get(17..19)?.try_into().ok()?),
        index: u16::from_be_bytes(key.get(19..21)?.try_into().ok()?),
    })
}

pub(super) fn effect(id: &EffectId) -> Vec<u8> {
    let mut full = Vec::with_capacity(13);
    full.push(OUTBOX);
    full.extend_from_slice(&id.seq.to_be_bytes());
    full.extend_from_slice(&id.writer.to_be_bytes());
    full.extend_from_slice(&id.index.to_be_bytes());
    full
}

pub(super) fn effect_from(key: &[u8]) -> Option<EffectId> {
    Some(EffectId {
        seq: u64::from_be_bytes(key.get(1..9)?.try_into().ok()?),
        writer: u16::from_be_bytes(key.get(9..11)?.try_into().ok()?),
        index: u16::from_be_bytes(key.get(11..13)?.try_into().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_sort_by_instant_then_by_cause() {
        let key = |due_ms, seq| timer(&TimerKey { due_ms, seq, writer: 0, index: 0 });
        let sorted = [key(-5, 9), key(0, 7), key(0, 8), key(i64::MAX, 1)];
        assert!(sorted.is_sorted());
        let there = TimerKey { due_ms: -1, seq: 3, writer: 4, index: 5 };
        assert_eq!(timer_from(&timer(&there)), Some(there));
    }
}
