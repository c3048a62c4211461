use bytes::Bytes;
use foldhash::fast::FixedState;
use hashbrown::{HashMap, hash_map};

use super::entry::Seq;

/// The message ids of the last day or two, as 64-bit keyed hashes, in two generations.
///
/// A new generation starts when the current one spans the horizon, so an id is known for at least
/// one horizon and at most two. Memory is bounded: a full generation starts the next one early.
/// Two different ids share a hash with a chance of 2^-64; among ten million remembered ids a new
/// event is wrongly taken for a known one with a chance of 5e-13.
///
/// With each id goes a fingerprint of what the client said, so that an id that comes again with another
/// content can be told. 13 bytes a place of a table that is between seven sixteenths and seven eighths
/// full: 15 to 30 bytes an id.
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

/// A message id on its way to be remembered: its hash and the fingerprint of what the client said.
pub(super) type Id = (u64, u32);

/// The hash in halves, so that no room is lost between it and the fingerprint.
type Halves = [u32; 2];

/// What is known of a message id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing: it is known from now on.
    New,
    /// It came before, with the same content or without one told.
    Same,
    /// It came before with another content.
    Changed,
}

/// The last byte of a row of ids with fingerprints; rows without have none.
const WITH_FINGERPRINTS: u8 = 1;

#[derive(Default)]
struct Generation {
    ids: HashMap<Halves, u32, FixedState>,
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

    /// What is known of `id`; it is known from now on.
    pub(super) fn insert(&mut self, (id, fingerprint): Id) -> Known {
        let halves = [(id >> 32) as u32, id as u32];
        let known = match self.before.ids.get(&halves) {
            Some(known) => *known,
            None => match self.current.ids.entry(halves) {
                hash_map::Entry::Occupied(known) => *known.get(),
                hash_map::Entry::Vacant(vacant) => {
                    vacant.insert(fingerprint);
                    return Known::New;
                }
            },
        };
        let told = known != 0 && fingerprint != 0;
        if told && known != fingerprint { Known::Changed } else { Known::Same }
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

    pub(super) fn encode_ids(at_ms: i64, ids: &[Id]) -> Bytes {
        let mut value = Vec::with_capacity(9 + ids.len() * 12);
        value.extend_from_slice(&at_ms.to_be_bytes());
        for (id, fingerprint) in ids {
            value.extend_from_slice(&id.to_be_bytes());
            value.extend_from_slice(&fingerprint.to_be_bytes());
        }
        value.push(WITH_FINGERPRINTS);
        value.into()
    }

    /// Takes in a row of ids read at start; `None` where it is not one.
    pub(super) fn load(&mut self, seq: Seq, value: &[u8]) -> Option<()> {
        let (at_ms, rest) = value.split_first_chunk::<8>()?;
        self.turn(i64::from_be_bytes(*at_ms), seq);
        let (ids, with_fingerprints) = match rest {
            [ids @ .., WITH_FINGERPRINTS] if ids.len() % 12 == 0 => (ids, true),
            ids if ids.len() % 8 == 0 => (ids, false),
            _ => return None,
        };
        for row in ids.chunks_exact(if with_fingerprints { 12 } else { 8 }) {
            let (id, fingerprint) = row.split_first_chunk::<8>()?;
            let fingerprint = fingerprint.try_into().map_or(0, u32::from_be_bytes);
            self.insert((u64::from_be_bytes(*id), fingerprint));
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
        assert_eq!(dedup.insert((7, 1)), Known::New);
        assert_eq!(dedup.insert((7, 1)), Known::Same);
        dedup.turn(1_000, 10);
        assert_eq!(dedup.insert((7, 1)), Known::Same);
        dedup.turn(2_000, 20);
        assert_eq!(dedup.expired, Expired { from: 0, to: 10 });
        assert_eq!(dedup.insert((7, 1)), Known::New);
    }

    #[test]
    fn an_id_with_another_content_is_told_also_from_a_row_and_in_old_rows_none_is() {
        let mut dedup = Dedup::new(1_000, 100);
        dedup.turn(0, 1);
        assert_eq!(dedup.insert((7, 1)), Known::New);
        assert_eq!(dedup.insert((7, 2)), Known::Changed);
        assert_eq!(dedup.insert((7, 0)), Known::Same, "none is told");
        let mut loaded = Dedup::new(1_000, 100);
        // Odd and even numbers of ids, and ids that end in the mark of a row.
        for ids in [vec![(7, 1)], vec![(8, 1), (0x0101, 0x0101)], vec![(9, 3), (10, 0), (11, 1)]] {
            loaded.load(1, &Dedup::encode_ids(0, &ids)).expect("a row");
            for (id, fingerprint) in ids {
                assert_eq!(loaded.insert((id, fingerprint)), Known::Same);
                assert_eq!(loaded.insert((id, 99)), if fingerprint == 0 { Known::Same } else { Known::Changed });
            }
        }
        let mut loaded = Dedup::new(1_000, 100);
        let old: Vec<u8> = [0_u64, 21, 0x0101].iter().flat_map(|word| word.to_be_bytes()).collect();
        loaded.load(1, &old).expect("an old row");
        assert_eq!((loaded.insert((21, 5)), loaded.insert((0x0101, 5))), (Known::Same, Known::Same));
        assert!(loaded.load(1, &old[..21]).is_none() && loaded.load(1, &old[..7]).is_none());
    }

    #[test]
    fn an_id_takes_forty_bytes_at_most() {
        let mut dedup = Dedup::new(i64::MAX, usize::MAX);
        dedup.turn(0, 1);
        for id in 1..200_000_u64 {
            dedup.insert((id.wrapping_mul(0x9e37_79b9_7f4a_7c15), 1));
            let bytes = dedup.current.ids.allocation_size() as u64;
            assert!(id < 1_000 || bytes <= 40 * id, "{bytes} bytes for {id} ids");
        }
    }

    #[test]
    fn memory_is_bounded() {
        let mut dedup = Dedup::new(i64::MAX, 10);
        for id in 1..1_000 {
            dedup.turn(0, id);
            dedup.insert((id, 0));
            assert!(dedup.len() <= 10);
        }
    }
}
