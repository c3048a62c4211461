//! Failing entries: set aside without a restart by a worker that is careful.
//!
//! A worker that goes on after a failed entry must have the states it touched as they were. To remember
//! them costs something, so the first failure costs a restart, and only then, until it has been well for
//! a while, does the worker remember. So a storm of bad entries costs little more than the entries.

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
};

use impresario_store::{Entry, Seq, StoreError};

use super::{Worker, at, panic_text};
use crate::{
    Agent, AgentError, Failure, FailureKind, RuntimeLimits,
    routes::{Room, SharedBox, Trouble},
};

/// How careful a worker is.
#[derive(Debug)]
pub(super) struct Care {
    until_ms: i64,
    for_ms: i64,
    /// The entry it fell at before it started, and how often.
    failed: (Seq, u32),
    /// Entries that broke with none folded in between, and the key partitions they are of.
    broken_in_a_row: usize,
    broken_partitions: BTreeSet<u16>,
}

impl Care {
    pub(super) fn of(failed: Option<(Seq, u32)>, now_ms: i64, for_ms: i64) -> Self {
        let until_ms = if failed.is_some() { now_ms.saturating_add(for_ms) } else { i64::MIN };
        let failed = failed.unwrap_or_default();
        Self { until_ms, for_ms, failed, broken_in_a_row: 0, broken_partitions: BTreeSet::new() }
    }

    fn folded(&mut self) {
        if self.broken_in_a_row > 0 {
            self.broken_in_a_row = 0;
            self.broken_partitions.clear();
        }
    }

    /// Whether so many entries of so many keys have broken, one after the other, that the agent is to blame. One
    /// person's many entries say nothing of the others.
    fn is_agent_broken(&mut self, partition: u16, limits: &RuntimeLimits) -> bool {
        self.broken_in_a_row += 1;
        self.broken_partitions.insert(partition);
        self.broken_in_a_row >= limits.broken_entries_max
            || self.broken_partitions.len() >= limits.broken_partitions_max
    }
}

/// What all keys share, as it was before an entry.
type SharedBefore = Option<Vec<u8>>;

impl<A: Agent> Worker<A> {
    /// Folds one entry; a panic is a failure like another. An entry that can't be read is set aside at
    /// once, one that is rejected or has failed often enough where nothing of it is left in any state.
    pub(super) fn fold_safely(&mut self, entry: &Entry) -> Result<bool, Failure> {
        let careful = self.age_ms < self.care.until_ms;
        let mut failures = if entry.seq == self.care.failed.0 { self.care.failed.1 } else { 0 };
        let store_failed = |error: StoreError| at(entry.seq, error.into());
        let for_all = self.may_change_shared(entry);
        if for_all {
            // These writes are of earlier entries: they stay whatever becomes of this one.
            let Room { slots, outputs, .. } = &mut self.room;
            slots.take_changed(usize::MAX, self.sent + 1, &mut outputs.writes).map_err(store_failed)?;
        }
        loop {
            let marks = self.room.outputs.marks();
            let before = if careful { self.remember(for_all).map_err(store_failed)? } else { None };
            let outcome = catch_unwind(AssertUnwindSafe(|| self.handle(entry)));
            let mut trouble = match outcome {
                Ok(Ok(own)) if self.room.outputs.entries.len() - marks[0] <= self.entry_outputs_max() => {
                    self.room.slots.forget_undo();
                    if own {
                        self.care.folded();
                    }
                    return Ok(own);
                }
                Ok(Ok(_)) => AgentError::Reject("more entries come of one than a step may say".into()).into(),
                Ok(Err(trouble)) => trouble,
                Err(panic) => Trouble { kind: FailureKind::Entry, what: panic_text(panic.as_ref()), spoilt: true },
            };
            self.room.outputs.truncate(marks);
            if careful && trouble.spoilt {
                self.take_back(before).map_err(store_failed)?;
                trouble.spoilt = false;
                self.care.until_ms = self.age_ms.saturating_add(self.care.for_ms);
            }
            self.room.slots.forget_undo();
            failures += 1;
            match trouble.kind {
                _ if trouble.spoilt => return Err(at(entry.seq, trouble)),
                FailureKind::Rejected => {}
                FailureKind::Entry if failures < self.limits.entry_attempts_max => continue,
                FailureKind::Entry => {
                    if self.care.is_agent_broken(entry.partition, &self.limits) {
                        return Err(Failure { seq: entry.seq, what: trouble.what, kind: FailureKind::Agent });
                    }
                }
                _ => return Err(at(entry.seq, trouble)),
            }
            self.set_aside(entry, &trouble.what).map_err(store_failed)?;
            return Ok(false);
        }
    }

    /// Whether an entry may change what all keys share.
    fn may_change_shared(&self, entry: &Entry) -> bool {
        let route = self.table.get(usize::from(entry.topic.0)).copied().flatten();
        let shared = route.and_then(|route| self.routes.by_topic.get(route)).is_some_and(|route| route.shared);
        shared || (entry.topic == self.again && self.room.shared.is_some())
    }

    /// Remembers what an entry may touch.
    fn remember(&mut self, for_all: bool) -> Result<SharedBefore, StoreError> {
        self.room.slots.begin_undo();
        self.room.shared.as_deref().filter(|_| for_all).map(SharedBox::encode).transpose()
    }

    /// Everything is as it was before the entry.
    fn take_back(&mut self, shared: SharedBefore) -> Result<(), StoreError> {
        self.room.slots.undo()?;
        if let (Some(make), Some(before)) = (self.routes.make_shared, shared) {
            self.room.shared = Some(make(Some(&before))?);
        }
        Ok(())
    }
}
