use bytes::Bytes;
use foldhash::fast::FixedState;
use hashbrown::HashSet;

use super::entry::Seq;

/// The message ids of the last day or two, as 64-bit keyed hashes, in two generations.
///
/// A new generation starts when the current one spans the horizon, so an id is known for at least
/// one horizon and at most two. Memory is bounded: a full generation starts the next one early.
/// Two different ids share a hash with a chance of 2^-64; among ten million remembered ids a new
/// event is wrongly taken for a known one with a chance of 5e-13.
pub(super) struct Dedup {
    current: Generation,
    before: Generation,
    horizon_ms: i64,
    ids_max: usize,
}

#[derive(Default)]
struct Generation {
    ids: HashSet<u64, FixedState>,
    started_ms: Option<i64>,
    /// The first block of ids that belongs to it, for forgetting on disk.
    first_seq: Seq,
}

impl Dedup {
    pub(super) fn new(horizon_ms: i64, ids_max: usize) -> Self {
        // Two generations share the bound.
        Self { current: Generation::default(), before: Generation::default(), horizon_ms, ids_max: ids_max / 2 }
    }

    /// Whether `id` is new; it is known from now on.
    pub(super) fn insert(&mut self, id: u64) -> bool {
        !self.before.ids.contains(&id) && self.current.ids.insert(id)
    }

    /// Starts a new generation where it is time; the range of blocks of ids to forget.
    pub(super) fn turn(&mut self, now_ms: i64, next_seq: Seq) -> Option<(Seq, Seq)> {
        let started = *self.current.started_ms.get_or_insert(now_ms);
        let spent = now_ms.saturating_sub(started) >= self.horizon_ms || self.current.ids.len() >= self.ids_max;
        if !spent {
            return None;
        }
        let fresh = Generation { started_ms: Some(now_ms), first_seq: next_seq, ..Generation::default() };
        let left = std::mem::replace(&mut self.before, std::mem::replace(&mut self.current, fresh));
        Some((left.first_seq, self.before.first_seq))
    }

    pub(super) fn len(&self) -> usize {
        self.current.ids.len() + self.before.ids.len()
    }

    pub(super) fn encode_ids(at_ms: i64, ids: &[u64]) -> Bytes {
        let mut value = Vec::with_capacity(8 + ids.len() * 8);
        value.extend_from_slice(&at_ms.to_be_bytes());
        for id in ids {
            value.extend_from_slice(&id.to_be_bytes());
        }
        value.into()
    }

    /// Takes in a block of ids read at start.
    pub(super) fn load(&mut self, seq: Seq, value: &[u8]) {
        let mut words = value.chunks_exact(8).map(|word| word.try_into().map(u64::from_be_bytes).unwrap_or_default());
        let at_ms = words.next().unwrap_or_default() as i64;
        self.turn(at_ms, seq);
        for id in words {
            self.insert(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_known_for_a_horizon_and_forgotten_after_two() {
        let mut dedup = Dedup::new(1_000, 100);
        dedup.turn(0, 1);
        assert!(dedup.insert(7));
        assert!(!dedup.insert(7));
        dedup.turn(1_000, 10);
        assert!(!dedup.insert(7));
        assert_eq!(dedup.turn(2_000, 20), Some((0, 10)));
        assert!(dedup.insert(7));
    }

    #[test]
    fn memory_is_bounded() {
        let mut dedup = Dedup::new(i64::MAX, 10);
        for id in 1..1_000 {
            dedup.turn(0, id);
            dedup.insert(id);
            assert!(dedup.len() <= 10);
        }
    }
}
