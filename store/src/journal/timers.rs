use std::collections::BTreeMap;

use bytes::Bytes;

use super::{entry::NameId, ids::TimerKey, keys, varint};
use crate::StoreError;

/// A change of the timers.
pub enum TimerOp {
    /// Appends an entry when its instant comes.
    Set {
        /// Name and instant.
        key: TimerKey,
        /// Key partition of the entry.
        partition: u16,
        /// The entry's topic.
        topic: NameId,
        /// The entry's body.
        body: Bytes,
    },
    /// Forgets a timer; one that has fired is let be.
    Cancel(TimerKey),
}

/// What waits for its instant.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    /// Journal time when it was set: what was overdue then fires at this instant, also after a crash.
    pub(super) set_ms: i64,
    pub(super) partition: u16,
    pub(super) topic: NameId,
    pub(super) body: Bytes,
}

/// All pending timers, in order of firing.
#[derive(Default)]
pub(super) struct Timers {
    pending: BTreeMap<TimerKey, Waiting>,
}

impl Timers {
    pub(super) fn len(&self) -> usize {
        self.pending.len()
    }

    pub(super) fn next_due(&self) -> Option<i64> {
        self.pending.keys().next().map(|key| key.due_ms)
    }

    pub(super) fn insert(&mut self, key: TimerKey, waiting: Waiting) {
        self.pending.insert(key, waiting);
    }

    pub(super) fn remove(&mut self, key: &TimerKey) -> bool {
        self.pending.remove(key).is_some()
    }

    pub(super) fn pop_due(&mut self, now_ms: i64) -> Option<(TimerKey, Waiting)> {
        let first = self.pending.first_entry().filter(|entry| entry.key().due_ms <= now_ms)?;
        Some(first.remove_entry())
    }

    /// Up to `limit` of them after `after`, in order of firing.
    pub(super) fn after(&self, after: Option<&TimerKey>, limit: usize) -> impl Iterator<Item = (&TimerKey, &Waiting)> {
        use std::ops::Bound::{Excluded, Unbounded};
        self.pending.range((after.map_or(Unbounded, Excluded), Unbounded)).take(limit)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&TimerKey, &Waiting)> {
        self.pending.iter()
    }
}

impl Waiting {
    pub(super) fn encode(&self) -> Bytes {
        let mut value = Vec::with_capacity(self.body.len() + 14);
        value.extend_from_slice(&self.set_ms.to_be_bytes());
        varint::put(&mut value, u64::from(self.partition));
        varint::put(&mut value, u64::from(self.topic.0));
        value.extend_from_slice(&self.body);
        value.into()
    }

    pub(super) fn decode(key: &[u8], value: &Bytes) -> Result<(TimerKey, Self), StoreError> {
        let damaged = || StoreError::Damaged { place: "timers".into(), what: "a timer is cut short".into() };
        let timer = keys::timer_from(key).ok_or_else(damaged)?;
        let mut rest = value.as_ref();
        let set_ms = varint::take_array(&mut rest).map(i64::from_be_bytes).ok_or_else(damaged)?;
        let partition = varint::take(&mut rest).and_then(|n| u16::try_from(n).ok()).ok_or_else(damaged)?;
        let topic = varint::take(&mut rest).and_then(|n| u16::try_from(n).ok()).ok_or_else(damaged)?;
        Ok((timer, Self { set_ms, partition, topic: NameId(topic), body: value.slice_ref(rest) }))
    }
}
