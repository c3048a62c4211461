use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::{commit::RequestKey, entry::Seq, keys, limits::JournalLimits};
use crate::Op;

/// The requests that were answered, so that a repeated one changes nothing. Bounded by age and number.
pub(super) struct Requests {
    known: BTreeMap<RequestKey, (Seq, i64)>,
    by_age: BTreeSet<(i64, RequestKey)>,
    horizon_ms: i64,
    max: usize,
}

impl Requests {
    pub(super) fn new(limits: &JournalLimits) -> Self {
        let horizon_ms = i64::try_from(limits.request_horizon.as_millis()).unwrap_or(i64::MAX);
        Self { known: BTreeMap::new(), by_age: BTreeSet::new(), horizon_ms, max: limits.requests_max }
    }

    /// Where the first commit of this request went.
    pub(super) fn get(&self, key: &RequestKey) -> Option<Seq> {
        self.known.get(key).map(|(seq, _)| *seq)
    }

    /// The write that remembers a request.
    pub(super) fn remember(&mut self, key: RequestKey, seq: Seq, at_ms: i64) -> Op {
        self.insert(key, seq, at_ms);
        let mut value = seq.to_be_bytes().to_vec();
        value.extend_from_slice(&at_ms.to_be_bytes());
        Op::Put(keys::request(&key), value.into())
    }

    /// The writes that forget what is past the horizon, or too many.
    pub(super) fn forget(&mut self, now_ms: i64) -> Vec<Op> {
        let oldest = now_ms.saturating_sub(self.horizon_ms);
        let mut ops = Vec::new();
        while let Some(&(at_ms, key)) = self.by_age.first()
            && (at_ms < oldest || self.known.len() > self.max)
        {
            self.by_age.remove(&(at_ms, key));
            self.known.remove(&key);
            ops.push(Op::Delete(keys::request(&key)));
        }
        ops
    }

    /// Takes in a row read at start; `None` where it is not one.
    pub(super) fn load(&mut self, key: &[u8], value: &Bytes) -> Option<()> {
        let key = key.get(1..)?.try_into().ok()?;
        let seq = value.get(0..8)?.try_into().ok().map(u64::from_be_bytes)?;
        let at_ms = value.get(8..16)?.try_into().ok().map(i64::from_be_bytes)?;
        self.insert(key, seq, at_ms);
        Some(())
    }

    fn insert(&mut self, key: RequestKey, seq: Seq, at_ms: i64) {
        if let Some((_, before)) = self.known.insert(key, (seq, at_ms)) {
            self.by_age.remove(&(before, key));
        }
        self.by_age.insert((at_ms, key));
    }
}
