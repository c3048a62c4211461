//! A worker: one agent's hold on its share of the key partitions.
//!
//! It reads the journal from its cursor, folds a bounded batch through the handlers, and commits
//! cursor, words, timers and effects as one step. Its states are a cache of the journal.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use impresario_store::{Commit, CursorMove, Entry, Journal, NameId, NewEntry, Seq, StoreError, codec};
use serde::{Deserialize, Serialize};

use crate::{
    Agent, AgentError, Failure, Reading, Routes, RunSeed, RuntimeLimits, Topic,
    journal_reader::Reader,
    routes::{Room, SharedBox},
    slots::Slots,
    step::{Context, Outputs},
    troupe::Disturbance,
};

/// Where a worker's commits go.
pub(crate) trait CommitSink: Send + Sync {
    /// Hands a commit over; a refusal comes back through `refused`.
    fn send(&self, commit: Commit, refused: &Arc<AtomicBool>) -> Result<(), StoreError>;
    /// Waits until everything handed over before is in.
    fn barrier(&self) -> Result<(), StoreError>;
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Nothing new to fold.
    Idle,
    /// There may be more.
    More,
}

/// An entry an agent could not fold, set aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The agent.
    pub agent: String,
    /// Which of its workers.
    pub worker: u32,
    /// The entry.
    pub entry: Seq,
    /// Why, without personal data.
    pub why: String,
}

impl Topic for DeadLetter {
    const NAME: &'static str = "letter.dead";
}

/// What is told of a worker while it runs, without stopping it.
#[derive(Debug, Default)]
pub(crate) struct Gauges {
    pub(crate) cursor: AtomicU64,
    /// The entry being folded.
    pub(crate) at: AtomicU64,
    pub(crate) folded: AtomicU64,
    pub(crate) said: AtomicU64,
    pub(crate) keys: AtomicU64,
    pub(crate) unwritten: AtomicU64,
    pub(crate) dead_letters: AtomicU64,
    pub(crate) busy_micros: AtomicU64,
}

/// A worker of any agent.
pub(crate) trait AnyWorker: Send {
    fn step(&mut self) -> Result<Progress, Failure>;
    /// Writes changed state: what is due, or all of it.
    fn write_behind(&mut self, now_ms: i64, all: bool) -> Result<(), StoreError>;
    /// Sets an entry aside when it comes.
    fn poison(&mut self, seq: Seq, why: String);
    fn cursor(&self) -> Seq;
    fn as_any(&mut self) -> &mut dyn std::any::Any;
}

pub(crate) struct Worker<A: Agent> {
    agent: Arc<A>,
    routes: Arc<Routes<A>>,
    /// Which route a topic takes, by its number.
    table: Vec<Option<usize>>,
    room: Room<A>,
    id: NameId,
    dead_owner: NameId,
    cursor: Seq,
    committed: Seq,
    floor: Seq,
    shared_changed: bool,
    dead: BTreeSet<Seq>,
    /// Entries to set aside when they come, and why.
    poison: BTreeMap<Seq, String>,
    sink: Arc<dyn CommitSink>,
    refused: Arc<AtomicBool>,
    limits: RuntimeLimits,
    disturbance: Option<Disturbance>,
    gauges: Arc<Gauges>,
}

pub(crate) struct WorkerParts {
    pub(crate) journal: Arc<Journal>,
    pub(crate) sink: Arc<dyn CommitSink>,
    pub(crate) limits: RuntimeLimits,
    pub(crate) disturbance: Option<Disturbance>,
    pub(crate) gauges: Arc<Gauges>,
    pub(crate) seed: RunSeed,
    pub(crate) worker: usize,
    pub(crate) workers: usize,
}

impl<A: Agent> Worker<A> {
    /// Starts a worker where its cursor stands, its state refolded from what was written behind.
    pub(crate) fn start(agent: Arc<A>, routes: Arc<Routes<A>>, parts: WorkerParts) -> Result<Self, Failure> {
        let WorkerParts { journal, sink, limits, disturbance, gauges, seed, worker, workers } = parts;
        let whole = |error: StoreError| failure(0, &error.into());
        let agent_id = journal.name(A::NAME).map_err(whole)?;
        let id = journal.name(&format!("{}/{worker}", A::NAME)).map_err(whole)?;
        let dead_owner = journal.name(&format!("{}/{worker}/dead", A::NAME)).map_err(whole)?;
        let mut table = Vec::new();
        for (index, route) in routes.by_topic.iter().enumerate() {
            let topic = usize::from(journal.name(&route.topic).map_err(whole)?.0);
            table.resize(table.len().max(topic + 1), None);
            if let Some(place) = table.get_mut(topic) {
                *place = Some(index);
            }
        }
        sink.barrier().map_err(whole)?;
        let context = Context::new(Reader::new(Arc::clone(&journal)), A::NAME, agent_id, (worker, workers), seed);
        let room = Room {
            slots: Slots::new(Arc::clone(&journal), agent_id),
            shared: None,
            outputs: Outputs::default(),
            context,
            replaying: false,
        };
        let mut worker = Self {
            agent,
            routes,
            table,
            room,
            id,
            dead_owner,
            cursor: 0,
            committed: 0,
            floor: 0,
            shared_changed: false,
            dead: BTreeSet::new(),
            poison: BTreeMap::new(),
            sink,
            refused: Arc::new(AtomicBool::new(false)),
            limits,
            disturbance,
            gauges,
        };
        worker.refold(&journal)?;
        Ok(worker)
    }

    /// Brings the state to the cursor: from the floor on, words discarded.
    fn refold(&mut self, journal: &Arc<Journal>) -> Result<(), Failure> {
        let whole = |error: StoreError| failure(0, &error.into());
        let mark = journal.mark(self.id).map_err(whole)?;
        self.floor = mark.as_ref().map_or(0, |mark| mark.floor);
        if let Some(make) = self.routes.make_shared {
            let stored = mark.as_ref().map(|mark| mark.shared.as_ref()).filter(|shared| !shared.is_empty());
            self.room.shared = Some(make(stored).map_err(whole)?);
        }
        let dead = journal.states(self.dead_owner, &[], usize::MAX).map_err(whole)?;
        self.dead = dead.iter().map(|row| row.seq).collect();
        self.gauges.dead_letters.store(self.dead.len() as u64, Ordering::Relaxed);
        let cursor = journal.cursor(self.id);
        self.room.replaying = true;
        let mut next = self.floor + 1;
        while next <= cursor {
            let chunk = journal.chunk(next).map_err(whole)?;
            let Some(chunk) = chunk else { break };
            for entry in chunk.from(next).iter().take_while(|entry| entry.seq <= cursor) {
                self.handle(entry).map_err(|error| failure(entry.seq, &error))?;
                next = entry.seq + 1;
            }
        }
        self.room.replaying = false;
        self.room.outputs = Outputs::default();
        self.cursor = cursor;
        self.committed = cursor;
        self.show();
        Ok(())
    }

    /// Folds one entry; true where it was this worker's.
    fn handle(&mut self, entry: &Entry) -> Result<bool, AgentError> {
        let index = self.table.get(usize::from(entry.topic.0)).copied().flatten();
        let routes = Arc::clone(&self.routes);
        let Some(route) = index.and_then(|index| routes.by_topic.get(index)) else { return Ok(false) };
        if entry.erased.is_some() || self.dead.contains(&entry.seq) {
            return Ok(false);
        }
        if let Some(disturb) = self.disturbance.as_ref().filter(|_| !self.room.replaying)
            && self.room.context.owns(entry.partition)
        {
            disturb(self.room.context.reader.journal(), A::NAME, entry);
        }
        if route.shared {
            self.before_shared()?;
        }
        let own = (route.handle)(&self.agent, &mut self.room, entry)?;
        if route.shared && own {
            self.shared_changed = true;
            self.floor = entry.seq;
        }
        Ok(own)
    }

    /// What all keys share is only ever written with every key's state before it.
    fn before_shared(&mut self) -> Result<(), AgentError> {
        let changed = self.room.slots.changed_len();
        let Room { slots, outputs, .. } = &mut self.room;
        slots.take_changed(changed, &mut outputs.writes)?;
        Ok(())
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        let outputs = std::mem::take(&mut self.room.outputs);
        let mut commit = Commit::new(self.room.context.agent_id);
        self.gauges.said.fetch_add(outputs.entries.len() as u64, Ordering::Relaxed);
        commit.entries = outputs.entries;
        commit.timers = outputs.timers;
        commit.effects = outputs.effects;
        commit.writes = outputs.writes;
        commit.cursor = Some(CursorMove { worker: self.id, expect: self.committed, to: self.cursor });
        self.committed = self.cursor;
        self.sink.send(commit, &self.refused)
    }

    fn put_mark(&mut self) -> Result<(), StoreError> {
        let shared = self.room.shared.as_deref().map(SharedBox::encode).transpose()?.unwrap_or_default();
        self.room.outputs.writes.push(Journal::mark_write(self.id, self.floor, &shared));
        self.shared_changed = false;
        Ok(())
    }

    fn show(&self) {
        self.gauges.cursor.store(self.cursor, Ordering::Release);
        self.gauges.keys.store(self.room.slots.len() as u64, Ordering::Relaxed);
        self.gauges.unwritten.store(self.room.slots.changed_len() as u64, Ordering::Relaxed);
    }

    /// The state, for a question.
    pub(crate) fn read<R>(&mut self, look: impl FnOnce(&mut Reading<'_, A>) -> R) -> R {
        let Room { slots, shared, context, .. } = &mut self.room;
        let shared = shared.as_deref().map(SharedBox::as_any);
        look(&mut Reading { slots, context, shared, seq: self.cursor })
    }

    /// Folds a bounded batch. On an error the room is spoilt: only what came before it is committed.
    fn batch(&mut self) -> Result<(Progress, bool), Failure> {
        let journal = Arc::clone(self.room.context.reader.journal());
        let mut folded = 0;
        let mut at_ms = 0;
        let mut passed = 0;
        'batch: while folded < self.limits.step_entries_max && passed < 16 * self.limits.step_entries_max {
            let chunk = self.room.context.reader.chunk(self.cursor + 1);
            let Some(chunk) = chunk.map_err(|error| failure(self.cursor + 1, &error.into()))? else { break };
            for entry in chunk.from(self.cursor + 1) {
                self.gauges.at.store(entry.seq, Ordering::Relaxed);
                if let Some(why) = self.poison.remove(&entry.seq) {
                    self.set_aside(entry, &why).map_err(|error| failure(entry.seq, &error.into()))?;
                    self.cursor = entry.seq;
                    folded += 1;
                    continue;
                }
                let marks = self.room.outputs.marks();
                match self.handle(entry) {
                    Ok(own) => folded += usize::from(own),
                    Err(error) => {
                        self.room.outputs.truncate(marks);
                        self.end_step(folded > 0, None).map_err(|error| failure(entry.seq, &error.into()))?;
                        return Err(failure(entry.seq, &error));
                    }
                }
                self.cursor = entry.seq;
                at_ms = entry.at_ms;
                passed += 1;
                let full = self.room.outputs.len() >= self.limits.step_outputs_max;
                if full || folded >= self.limits.step_entries_max {
                    break 'batch;
                }
            }
        }
        self.gauges.folded.fetch_add(folded as u64, Ordering::Relaxed);
        let idle = self.cursor == journal.head();
        self.end_step(folded > 0, Some(at_ms)).map_err(|error| failure(self.cursor, &error.into()))?;
        self.room.slots.evict(self.limits.state_keys_max);
        Ok((if idle { Progress::Idle } else { Progress::More }, folded > 0))
    }

    fn end_step(&mut self, folded: bool, at_ms: Option<i64>) -> Result<(), StoreError> {
        if let Some(at_ms) = at_ms {
            self.take_due(at_ms, false)?;
        }
        if self.shared_changed {
            self.put_mark()?;
        }
        let trailing = self.cursor - self.committed > self.limits.unwritten_entries_max;
        if folded || trailing || !self.room.outputs.writes.is_empty() {
            self.commit()?;
        }
        self.show();
        Ok(())
    }

    /// To the dead letters.
    fn set_aside(&mut self, entry: &Entry, why: &str) -> Result<(), StoreError> {
        let letter = DeadLetter {
            agent: A::NAME.to_owned(),
            worker: self.room.context.worker as u32,
            entry: entry.seq,
            why: why.to_owned(),
        };
        let body = codec::encode(DeadLetter::VERSION, &letter)?;
        let topic = self.room.context.reader.journal().name(DeadLetter::NAME)?;
        let key = entry.seq.to_be_bytes();
        self.room.outputs.writes.push(Journal::state_write(self.dead_owner, &key, entry.seq, &body));
        let letter = NewEntry { partition: entry.partition, topic, cause: entry.seq, dedup: 0, body, decoded: None };
        self.room.outputs.entries.push(letter);
        self.dead.insert(entry.seq);
        self.gauges.dead_letters.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(agent = A::NAME, seq = entry.seq, why, "an entry goes to the dead letters");
        Ok(())
    }

    fn take_due(&mut self, now_ms: i64, all: bool) -> Result<(), StoreError> {
        let Room { slots, outputs, .. } = &mut self.room;
        let due = if all { slots.changed_len() } else { slots.due(self.cursor, now_ms, &self.limits) };
        if due == 0 && !(all && self.floor != self.cursor) {
            return Ok(());
        }
        slots.take_changed(due, &mut outputs.writes)?;
        self.floor = slots.floor(self.cursor);
        self.put_mark()
    }
}

impl<A: Agent> AnyWorker for Worker<A> {
    fn step(&mut self) -> Result<Progress, Failure> {
        if self.refused.load(Ordering::Acquire) {
            let what = "a commit was refused: another worker holds this cursor".into();
            return Err(Failure { seq: self.cursor, what, retry: true });
        }
        let span = tracing::debug_span!("step", agent = A::NAME, worker = self.room.context.worker, from = self.cursor);
        let _entered = span.enter();
        self.batch().map(|(progress, _)| progress)
    }

    fn write_behind(&mut self, now_ms: i64, all: bool) -> Result<(), StoreError> {
        self.take_due(now_ms, all)?;
        if !self.room.outputs.writes.is_empty() {
            self.commit()?;
        }
        self.show();
        Ok(())
    }

    fn poison(&mut self, seq: Seq, why: String) {
        self.poison.insert(seq, why);
    }

    fn cursor(&self) -> Seq {
        self.cursor
    }

    fn as_any(&mut self) -> &mut dyn std::any::Any {
        self
    }
}

fn failure(seq: Seq, error: &AgentError) -> Failure {
    Failure { seq, what: error.to_string(), retry: matches!(error, AgentError::Retry(_)) }
}
