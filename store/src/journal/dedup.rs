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
    /// What is forgotten here and still has rows on disk.
    pub(super) expired: Expired,
}

/// Rows of ids that may go: those of groups from one place to before another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Expired {
    pub(super) from: Seq,
    pub(super) to: Seq,
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
        Self {
            current: Generation::default(),
            before: Generation::default(),
            horizon_ms,
            ids_max: ids_max / 2,
            expired: Expired::default(),
        }
    }

    /// Whether `id` is new; it is known from now on.
    pub(super) fn insert(&mut self, id: u64) -> bool {
        !self.before.ids.contains(&id) && self.current.ids.insert(id)
    }

    /// Starts a new generation where it is time; whether it did.
    pub(super) fn turn(&mut self, now_ms: i64, next_seq: Seq) -> bool {
        let started = *self.current.started_ms.get_or_insert(now_ms);
        let known_ms = now_ms.saturating_sub(started);
        let full = self.current.ids.len() >= self.ids_max;
        if known_ms < self.horizon_ms && !full {
            return false;
        }
        if known_ms < self.horizon_ms {
            let (ids, horizon_ms) = (self.len(), self.horizon_ms);
            tracing::warn!(ids, known_ms, horizon_ms, "too many message ids: some are forgotten before the horizon");
        }
        let fresh = Generation { started_ms: Some(now_ms), first_seq: next_seq, ..Generation::default() };
        self.before = std::mem::replace(&mut self.current, fresh);
        self.expired.to = self.before.first_seq;
        true
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

    /// Takes in a row of ids read at start; `None` where it is not one.
    pub(super) fn load(&mut self, seq: Seq, value: &[u8]) -> Option<()> {
        let (words, rest) = value.as_chunks::<8>();
        let (at_ms, ids) = words.split_first().filter(|_| rest.is_empty())?;
        self.turn(i64::from_be_bytes(*at_ms), seq);
        for id in ids {
            self.insert(u64::from_be_bytes(*id));
        }
        Some(())
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
        dedup.turn(2_000, 20);
        assert_eq!(dedup.expired, Expired { from: 0, to: 10 });
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
