//! What the journal's one writer knows: the next place, the clock, timers, cursors, known ids.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;

use super::{
    block::{self, ChainHash},
    commit::{Commit, NewEntry, Receipt, RequestKey},
    dedup::{Dedup, Expired, Id, Known},
    entry::{Chunk, Entry, NameId, Seq},
    ids::{EffectId, TimerKey},
    keys,
    limits::JournalLimits,
    outbox::PendingEffect,
    requests::Requests,
    timers::{TimerOp, Timers, Waiting},
};
use crate::{Engine, Op, StoreError, WriteBatch};

const SCAN_ROWS: usize = 4_096;

/// Entries of one chunk: a larger one would be memory that the allocator asks the system for anew each time.
const CHUNK_ENTRIES: usize = 256;

pub(super) struct Core {
    next_seq: Seq,
    last_at: i64,
    chain: ChainHash,
    timers: Timers,
    dedup: Dedup,
    cursors: BTreeMap<NameId, Seq>,
    requests: Requests,
    /// Effects asked for and not yet answered.
    outbox: BTreeSet<EffectId>,
    limits: JournalLimits,
    waiting: Group,
}

/// What goes to the engine in one batch.
#[derive(Default)]
pub(super) struct Group {
    /// The newest entries, not a whole chunk yet.
    entries: Vec<Entry>,
    chunks: Vec<Arc<Chunk>>,
    /// So many chunks are seen by readers already.
    shown: usize,
    /// Bytes of the bodies of its entries.
    bytes: usize,
    /// Whether it holds rows of agents' state, which are read from the engine.
    has_state: bool,
    pub(super) effects: Vec<PendingEffect>,
    pub(super) batch: WriteBatch,
    ids: Vec<Id>,
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
            requests: Requests::new(&limits),
            outbox: BTreeSet::new(),
            limits,
            waiting: Group::default(),
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
            let loaded = keys::seq_from(key).and_then(|seq| core.dedup.load(seq, value));
            loaded.ok_or_else(|| damaged_row("known message ids", key))
        })?;
        each_row(engine, keys::CURSOR, |key, value| {
            let worker = keys::name_from(key).ok_or_else(|| damaged_row("cursors", key))?;
            let seq = value.as_ref().try_into().map(u64::from_be_bytes);
            core.cursors.insert(worker, seq.map_err(|_| damaged_row("cursors", key))?);
            Ok(())
        })?;
        each_row(engine, keys::REQUEST, |key, value| {
            core.requests.load(key, value).ok_or_else(|| damaged_row("known requests", key))
        })?;
        each_row(engine, keys::OUTBOX, |key, value| {
            core.outbox.insert(PendingEffect::decode(key, value)?.id);
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

    /// The chain's hash after the last entry that went to the engine.
    pub(super) fn chain_hash(&self) -> ChainHash {
        self.chain
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

    pub(super) fn timers_after(
        &self,
        after: Option<&TimerKey>,
        limit: usize,
    ) -> impl Iterator<Item = (&TimerKey, &Waiting)> {
        self.timers.after(after, limit)
    }

    pub(super) fn has_effect(&self, id: &EffectId) -> bool {
        self.outbox.contains(id)
    }

    pub(super) fn request(&self, key: &RequestKey) -> Option<Seq> {
        self.requests.get(key)
    }

    pub(super) fn cursor(&self, worker: NameId) -> Seq {
        self.cursors.get(&worker).copied().unwrap_or_default()
    }

    /// Fires timers due by `now_ms`, up to a group's worth; true where more are due.
    pub(super) fn fire_due(&mut self, now_ms: i64, group: &mut Group) -> bool {
        let before = group.len();
        while group.len() - before < self.limits.timers_per_group_max {
            let Some((key, waiting)) = self.timers.pop_due(now_ms) else { return false };
            self.last_at = self.last_at.max(key.due_ms).max(waiting.set_ms);
            let entry = NewEntry {
                partition: waiting.partition,
                topic: waiting.topic,
                cause: key.seq,
                dedup: 0,
                fingerprint: 0,
                body: waiting.body,
                decoded: None,
            };
            self.append(entry, NameId(key.writer), group);
            group.batch.ops.push(Op::Delete(keys::timer(&key)));
        }
        self.timers.next_due().is_some_and(|due| due <= now_ms)
    }

    /// The clock goes on; never back. True where a new generation of message ids begins: what has
    /// waited belongs to the one before, and is to be written before anything more.
    pub(super) fn pass_time(&mut self, now_ms: i64) -> bool {
        self.last_at = self.last_at.max(now_ms);
        self.dedup.turn(self.last_at, self.next_seq)
    }

    /// Ids past the horizon whose rows are still there.
    pub(super) fn expired(&mut self) -> &mut Expired {
        &mut self.dedup.expired
    }

    /// What has waited for more, to go on with.
    pub(super) fn take_waiting(&mut self) -> Group {
        std::mem::take(&mut self.waiting)
    }

    /// Keeps a group until there is more.
    pub(super) fn let_wait(&mut self, group: Group) {
        self.waiting = group;
    }

    /// Takes one commit into the group, whole; a refused one leaves no trace.
    pub(super) fn admit(&mut self, commit: Commit, group: &mut Group) -> Result<Receipt, StoreError> {
        if let Some(seq) = commit.request.and_then(|key| self.requests.get(&key)) {
            return Ok(Receipt { at_ms: self.last_at, repeated: Some(seq), ..Receipt::default() });
        }
        self.check(&commit)?;
        let mut receipt = Receipt { at_ms: self.last_at, ..Receipt::default() };
        for entry in commit.entries {
            if entry.dedup != 0 {
                let id = (entry.dedup, entry.fingerprint);
                let known = self.dedup.insert(id);
                if known != Known::New {
                    receipt.duplicates += 1;
                    receipt.changed += u32::from(known == Known::Changed);
                    continue;
                }
                group.ids.push(id);
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
            self.outbox.insert(pending.id);
            group.batch.ops.push(Op::PutNew(keys::effect(&pending.id), pending.encode()));
            group.effects.push(pending);
        }
        for id in &commit.settled {
            self.outbox.remove(id);
            group.batch.ops.push(Op::Delete(keys::effect(id)));
        }
        group.has_state |= commit.writes.iter().any(|op| !keys::is_meta(op.key()));
        group.batch.ops.extend(commit.writes);
        if let Some(key) = commit.request {
            group.batch.ops.push(self.requests.remember(key, receipt.first, self.last_at));
            group.batch.ops.extend(self.requests.forget(self.last_at));
        }
        Ok(receipt)
    }

    /// Whether the commit can be taken, whole: afterwards nothing refuses it any more.
    fn check(&self, commit: &Commit) -> Result<(), StoreError> {
        commit.check(&self.limits, self.next_seq)?;
        if let Some(cursor) = commit.cursor {
            let found = self.cursor(cursor.worker);
            if found != cursor.expect {
                let key = format!("cursor {} of worker {}, expected {}", found, cursor.worker.0, cursor.expect);
                return Err(StoreError::Conflict { key });
            }
        }
        if let Some(known) = commit.effects.iter().find(|effect| self.outbox.contains(&effect.id)) {
            return Err(StoreError::Conflict { key: format!("effect {} is in the outbox already", known.id) });
        }
        if let Some(gone) = commit.settled.iter().find(|id| !self.outbox.contains(id)) {
            return Err(StoreError::Conflict { key: format!("effect {gone} is not in the outbox: it was answered") });
        }
        Ok(())
    }

    fn append(&mut self, entry: NewEntry, writer: NameId, group: &mut Group) -> Seq {
        let seq = self.next_seq;
        self.next_seq += 1;
        let NewEntry { partition, topic, cause, dedup, fingerprint: _, body, decoded } = entry;
        group.bytes += body.len();
        group.push(Entry::new(seq, self.last_at, partition, topic, writer, cause, dedup, body, decoded));
        seq
    }

    fn set_timers(&mut self, timers: Vec<TimerOp>, group: &mut Group) {
        for timer in timers {
            match timer {
                TimerOp::Set { key, partition, topic, body } => {
                    let waiting = Waiting { set_ms: self.last_at, partition, topic, body };
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

    /// The group as one engine batch: blocks, known ids, cursors and the rest.
    pub(super) fn seal(&mut self, group: &mut Group) -> WriteBatch {
        let mut batch = std::mem::take(&mut group.batch);
        let entries: Vec<&Entry> = group.chunks.iter().flat_map(|chunk| &chunk.entries).chain(&group.entries).collect();
        let mut rest = entries.as_slice();
        while !rest.is_empty() {
            let count = block_len(rest, self.limits.block_raw_bytes);
            let (block, later) = rest.split_at(count);
            rest = later;
            self.chain = block::chain_after(&self.chain, block.iter().copied());
            let first = block.first().map_or(0, |entry| entry.seq);
            batch.ops.push(Op::PutNew(keys::block(first), block::encode(block, &self.chain)));
        }
        if !group.ids.is_empty() {
            let first = entries.first().map_or(self.next_seq, |entry| entry.seq);
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
        self.len() == 0 && self.batch.ops.is_empty() && self.cursors.is_empty()
    }

    /// Entries in it.
    pub(super) fn len(&self) -> usize {
        self.entries.len() + self.chunks.iter().map(|chunk| chunk.entries.len()).sum::<usize>()
    }

    /// Whether it may wait for others, up to `entries_max` of them and `bytes_max`, before the engine gets it.
    pub(super) fn may_wait(&self, entries_max: usize, bytes_max: usize) -> bool {
        !self.has_state && self.bytes < bytes_max && self.len() + self.batch.ops.len() < entries_max
    }

    fn push(&mut self, entry: Entry) {
        if self.entries.len() == CHUNK_ENTRIES {
            self.end_chunk();
        }
        if self.entries.is_empty() {
            self.entries.reserve_exact(CHUNK_ENTRIES);
        }
        self.entries.push(entry);
    }

    fn end_chunk(&mut self) {
        if !self.entries.is_empty() {
            let mut entries = std::mem::take(&mut self.entries);
            // Of a few entries a thousand chunks may be made a second, and kept a while.
            entries.shrink_to_fit();
            self.chunks.push(Arc::new(Chunk { entries }));
        }
    }

    /// The entries nobody has seen yet, for readers to see.
    pub(super) fn show(&mut self) -> impl Iterator<Item = Arc<Chunk>> {
        self.end_chunk();
        let from = std::mem::replace(&mut self.shown, self.chunks.len());
        self.chunks.iter().skip(from).map(Arc::clone)
    }
}

/// How many of `entries` make one block.
fn block_len(entries: &[&Entry], raw_bytes: usize) -> usize {
    let mut bytes = 0;
    let full = entries.iter().position(|entry| {
        bytes += entry.body.len() + 16;
        bytes > raw_bytes
    });
    full.unwrap_or(entries.len()).clamp(1, usize::from(u16::MAX))
}

fn damaged_row(space: &str, key: &[u8]) -> StoreError {
    StoreError::Damaged { place: space.to_owned(), what: format!("the row {key:02x?} is cut short") }
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
