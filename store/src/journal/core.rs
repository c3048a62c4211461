//! What the journal's one writer knows: the next place, the clock, timers, cursors, known ids.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;

use super::{
    block::{self, ChainHash},
    commit::{Commit, NewEntry, Receipt, RequestKey},
    dedup::Dedup,
    entry::{Entry, NameId, Seq},
    keys,
    limits::JournalLimits,
    outbox::PendingEffect,
    timers::{TimerKey, TimerOp, Timers, Waiting},
};
use crate::{Engine, Op, StoreError, WriteBatch};

const SCAN_ROWS: usize = 4_096;

pub(super) struct Core {
    next_seq: Seq,
    last_at: i64,
    chain: ChainHash,
    timers: Timers,
    dedup: Dedup,
    cursors: BTreeMap<NameId, Seq>,
    requests: BTreeMap<RequestKey, (Seq, i64)>,
    requests_by_age: BTreeMap<(i64, Seq), RequestKey>,
    limits: JournalLimits,
}

/// One group under construction.
#[derive(Default)]
pub(super) struct Group {
    pub(super) entries: Vec<Entry>,
    pub(super) effects: Vec<PendingEffect>,
    batch: WriteBatch,
    ids: Vec<u64>,
    cursors: BTreeMap<NameId, Seq>,
}

impl Core {
    pub(super) fn open(engine: &dyn Engine, limits: JournalLimits) -> Result<Self, StoreError> {
        let horizon_ms = i64::try_from(limits.dedup_horizon.as_millis()).unwrap_or(i64::MAX);
        let mut core = Self {
            next_seq: 1,
            last_at: i64::MIN,
            chain: ChainHash::default(),
            timers: Timers::default(),
            dedup: Dedup::new(horizon_ms, limits.dedup_ids_max),
            cursors: BTreeMap::new(),
            requests: BTreeMap::new(),
            requests_by_age: BTreeMap::new(),
            limits,
        };
        let (from, to) = keys::space(keys::BLOCK);
        if let Some((_, value)) = engine.last(&from, Some(&to))? {
            let last = block::decode(&value, core.limits.block_raw_bytes_max)?;
            core.next_seq = last.chunk.last() + 1;
            core.last_at = last.chunk.entries.last().map_or(i64::MIN, |entry| entry.at_ms);
            core.chain = last.chain;
        }
        each_row(engine, keys::TIMER, |key, value| {
            let (timer, waiting) = Waiting::decode(key, value)?;
            core.timers.insert(timer, waiting);
            Ok(())
        })?;
        each_row(engine, keys::DEDUP, |key, value| {
            core.dedup.load(keys::seq_from(key).unwrap_or_default(), value);
            Ok(())
        })?;
        each_row(engine, keys::CURSOR, |key, value| {
            let seq: Option<[u8; 8]> = value.as_ref().try_into().ok();
            if let (Some(worker), Some(seq)) = (keys::name_from(key), seq) {
                core.cursors.insert(worker, u64::from_be_bytes(seq));
            }
            Ok(())
        })?;
        each_row(engine, keys::REQUEST, |key, value| {
            let key = key.get(1..).and_then(|bytes| bytes.try_into().ok());
            if let (Some(key), Some(at)) = (key, value.get(8..16).and_then(|bytes| bytes.try_into().ok())) {
                let seq = value.get(0..8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes);
                core.remember(key, seq, i64::from_be_bytes(at));
            }
            Ok(())
        })?;
        Ok(core)
    }

    pub(super) fn head(&self) -> Seq {
        self.next_seq - 1
    }

    pub(super) fn last_at(&self) -> i64 {
        self.last_at
    }

    pub(super) fn next_due(&self) -> Option<i64> {
        self.timers.next_due()
    }

    pub(super) fn timers_len(&self) -> usize {
        self.timers.len()
    }

    pub(super) fn dedup_len(&self) -> usize {
        self.dedup.len()
    }

    pub(super) fn timers(&self) -> impl Iterator<Item = (&TimerKey, &Waiting)> {
        self.timers.iter()
    }

    pub(super) fn cursor(&self, worker: NameId) -> Seq {
        self.cursors.get(&worker).copied().unwrap_or_default()
    }

    /// Fires timers due by `now_ms`, up to a group's worth; true where more are due.
    pub(super) fn fire_due(&mut self, now_ms: i64, group: &mut Group) -> bool {
        while group.entries.len() < self.limits.timers_per_group_max {
            let Some((key, waiting)) = self.timers.pop_due(now_ms) else { return false };
            self.last_at = self.last_at.max(key.due_ms);
            let entry = NewEntry {
                partition: waiting.partition,
                topic: waiting.topic,
                cause: key.seq,
                dedup: 0,
                body: waiting.body,
                decoded: None,
            };
            self.append(entry, NameId(key.writer), group);
            group.batch.ops.push(Op::Delete(keys::timer(&key)));
        }
        self.timers.next_due().is_some_and(|due| due <= now_ms)
    }

    /// The clock goes on; never back.
    pub(super) fn pass_time(&mut self, now_ms: i64) {
        self.last_at = self.last_at.max(now_ms);
        if let Some((from, to)) = self.dedup.turn(self.last_at, self.next_seq) {
            tracing::debug!(from_seq = from, to_seq = to, "message ids past the horizon are forgotten");
        }
    }

    /// Takes one commit into the group, whole; a refused one leaves no trace.
    pub(super) fn admit(&mut self, commit: Commit, group: &mut Group) -> Result<Receipt, StoreError> {
        if let Some(seq) = commit.request.and_then(|key| self.requests.get(&key)).map(|(seq, _)| *seq) {
            return Ok(Receipt { at_ms: self.last_at, repeated: Some(seq), ..Receipt::default() });
        }
        if let Some(cursor) = commit.cursor {
            let found = self.cursor(cursor.worker);
            if found != cursor.expect {
                let key = format!("cursor {} of worker {}, expected {}", found, cursor.worker.0, cursor.expect);
                return Err(StoreError::Conflict { key });
            }
        }
        for entry in &commit.entries {
            if entry.body.len() > self.limits.body_bytes_max {
                return Err(StoreError::TooLarge {
                    what: "entry body".into(),
                    bytes: entry.body.len(),
                    max: self.limits.body_bytes_max,
                });
            }
        }
        let mut receipt = Receipt { at_ms: self.last_at, ..Receipt::default() };
        for entry in commit.entries {
            if entry.dedup != 0 {
                if !self.dedup.insert(entry.dedup) {
                    receipt.duplicates += 1;
                    continue;
                }
                group.ids.push(entry.dedup);
            }
            receipt.last = self.append(entry, commit.writer, group);
            if receipt.first == 0 {
                receipt.first = receipt.last;
            }
        }
        if let Some(cursor) = commit.cursor {
            self.cursors.insert(cursor.worker, cursor.to);
            group.cursors.insert(cursor.worker, cursor.to);
        }
        self.set_timers(commit.timers, group);
        for effect in commit.effects {
            let pending =
                PendingEffect { id: effect.id, partition: effect.partition, topic: effect.topic, body: effect.body };
            group.batch.ops.push(Op::PutNew(keys::effect(&pending.id), pending.encode()));
            group.effects.push(pending);
        }
        group.batch.ops.extend(commit.settled.iter().map(|id| Op::Delete(keys::effect(id))));
        group.batch.ops.extend(commit.writes);
        if let Some(key) = commit.request {
            let mut value = receipt.first.to_be_bytes().to_vec();
            value.extend_from_slice(&self.last_at.to_be_bytes());
            group.batch.ops.push(Op::Put(keys::request(&key), value.into()));
            self.remember(key, receipt.first, self.last_at);
            self.forget_requests(group);
        }
        Ok(receipt)
    }

    fn append(&mut self, entry: NewEntry, writer: NameId, group: &mut Group) -> Seq {
        let seq = self.next_seq;
        self.next_seq += 1;
        let NewEntry { partition, topic, cause, dedup, body, decoded } = entry;
        group.entries.push(Entry::new(seq, self.last_at, partition, topic, writer, cause, dedup, body, decoded));
        seq
    }

    fn set_timers(&mut self, timers: Vec<TimerOp>, group: &mut Group) {
        for timer in timers {
            match timer {
                TimerOp::Set { key, partition, topic, body } => {
                    let waiting = Waiting { partition, topic, body };
                    group.batch.ops.push(Op::Put(keys::timer(&key), waiting.encode()));
                    self.timers.insert(key, waiting);
                }
                TimerOp::Cancel(key) => {
                    if self.timers.remove(&key) {
                        group.batch.ops.push(Op::Delete(keys::timer(&key)));
                    }
                }
            }
        }
    }

    fn remember(&mut self, key: RequestKey, seq: Seq, at_ms: i64) {
        self.requests.insert(key, (seq, at_ms));
        self.requests_by_age.insert((at_ms, seq), key);
    }

    fn forget_requests(&mut self, group: &mut Group) {
        let horizon_ms = i64::try_from(self.limits.request_horizon.as_millis()).unwrap_or(i64::MAX);
        let oldest = self.last_at.saturating_sub(horizon_ms);
        while let Some((age, key)) = self.requests_by_age.first_key_value() {
            if age.0 >= oldest && self.requests.len() <= self.limits.requests_max {
                return;
            }
            let (age, key) = (*age, *key);
            self.requests_by_age.remove(&age);
            self.requests.remove(&key);
            group.batch.ops.push(Op::Delete(keys::request(&key)));
        }
    }

    /// The group as one engine batch: blocks, known ids, cursors and the rest.
    pub(super) fn seal(&mut self, group: &mut Group) -> WriteBatch {
        let mut batch = std::mem::take(&mut group.batch);
        let mut rest = group.entries.as_slice();
        while !rest.is_empty() {
            let count = block_len(rest, self.limits.block_raw_bytes);
            let (entries, later) = rest.split_at(count);
            rest = later;
            self.chain = block::chain_after(&self.chain, entries);
            let first = entries.first().map_or(0, |entry| entry.seq);
            batch.ops.push(Op::PutNew(keys::block(first), block::encode(entries, &self.chain)));
        }
        if !group.ids.is_empty() {
            let first = group.entries.first().map_or(self.next_seq, |entry| entry.seq);
            batch.ops.push(Op::PutNew(keys::dedup(first), Dedup::encode_ids(self.last_at, &group.ids)));
        }
        for (worker, seq) in &group.cursors {
            batch.ops.push(Op::Put(keys::cursor(*worker), Bytes::copy_from_slice(&seq.to_be_bytes())));
        }
        batch
    }
}

impl Group {
    /// Whether there is anything to write.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.batch.ops.is_empty() && self.cursors.is_empty()
    }
}

/// How many of `entries` make one block.
fn block_len(entries: &[Entry], raw_bytes: usize) -> usize {
    let mut bytes = 0;
    let full = entries.iter().position(|entry| {
        bytes += entry.body.len() + 16;
        bytes > raw_bytes
    });
    full.unwrap_or(entries.len()).clamp(1, usize::from(u16::MAX))
}

/// Reads a whole space in pages.
pub(super) fn each_row(
    engine: &dyn Engine,
    space: u8,
    mut visit: impl FnMut(&[u8], &Bytes) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let (from, to) = keys::space(space);
    let mut next = from.to_vec();
    loop {
        let rows = engine.scan(&next, Some(&to), SCAN_ROWS)?;
        for (key, value) in &rows {
            visit(key, value)?;
        }
        match rows.last() {
            Some((key, _)) if rows.len() == SCAN_ROWS => {
                next = key.to_vec();
                next.push(0);
            }
            _ => return Ok(()),
        }
    }
}

pub(super) type SharedEngine = Arc<dyn Engine>;
