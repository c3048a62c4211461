//! A worker: one agent's hold on its share of the key partitions.
//!
//! It reads the journal from its cursor, folds a bounded batch through the handlers, and commits
//! cursor, words, timers and effects as one step. Its states are a cache of the journal.

mod aside;
mod care;
mod parts;

use std::{
    any::Any,
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};

use impresario_store::{Commit, CursorMove, Entry, Journal, NameId, Seq, StoreError};

use care::Care;
pub(crate) use parts::*;

use crate::{
    Agent, AgentError, AgentKey, Failure, FailureKind, KeyState, Reading, Routes, RuntimeLimits, SubjectForgotten,
    SubjectId, Topic,
    disturbance::Disturbance,
    journal_reader::Reader,
    letters::{Letters, again_topic},
    routes::{Room, Route, SharedBox, Trouble, forget},
    slots::Slots,
    step::{Context, Folding, Outputs},
};

/// Entries whose states are touched together before they are folded.
const TOUCHED_AHEAD: usize = 32;

/// How many entries of others a step passes by at most, in steps' worth of its own.
const PASSED_PER_STEP: usize = 16;

pub(crate) struct Worker<A: Agent> {
    agent: Arc<A>,
    routes: Arc<Routes<A>>,
    /// Which route a topic takes, by its number.
    table: Vec<Option<usize>>,
    room: Room<A>,
    id: NameId,
    again: NameId,
    forgotten: NameId,
    /// Its keys are people, and it folds nothing that is left of the erased.
    of_people: bool,
    cursor: Seq,
    committed: Seq,
    floor: Seq,
    shared_changed: bool,
    letters: Letters,
    /// Entries to set aside when they come, and why.
    poison: BTreeMap<Seq, String>,
    sink: Arc<dyn CommitSink>,
    sent: u64,
    fate: Arc<Fate>,
    age_ms: i64,
    care: Care,
    limits: RuntimeLimits,
    disturbance: Option<Disturbance>,
    gauges: Arc<Gauges>,
}

impl<A: Agent> Worker<A> {
    /// Starts a worker where its cursor stands, its state refolded from what was written behind.
    pub(crate) fn start(agent: Arc<A>, routes: Arc<Routes<A>>, parts: WorkerParts) -> Result<Self, Failure> {
        let whole = |error: StoreError| Failure::of_worker(error.to_string());
        let mut worker = Self::arrive(agent, routes, parts).map_err(whole)?;
        worker.refold()?;
        Ok(worker)
    }

    fn arrive(agent: Arc<A>, routes: Arc<Routes<A>>, parts: WorkerParts) -> Result<Self, StoreError> {
        let WorkerParts { journal, sink, limits, disturbance, gauges, seed, worker, workers, careful } = parts;
        let agent_id = journal.name(A::NAME)?;
        let id = journal.name(&format!("{}/{worker}", A::NAME))?;
        let mut table = Vec::new();
        for (index, route) in routes.by_topic.iter().enumerate() {
            let topic = usize::from(journal.name(&route.topic)?.0);
            table.resize(table.len().max(topic + 1), None);
            if let Some(place) = table.get_mut(topic) {
                *place = Some(index);
            }
        }
        sink.barrier()?;
        let context = Context::new(Reader::new(Arc::clone(&journal)), A::NAME, agent_id, (worker, workers), seed);
        let mark = journal.mark(id)?;
        let mut shared = None;
        if let Some(make) = routes.make_shared {
            let stored = mark.as_ref().map(|mark| mark.shared.as_ref()).filter(|shared| !shared.is_empty());
            shared = Some(make(stored)?);
        }
        let cursor = journal.cursor(id);
        let room = Room {
            slots: Slots::open(Arc::clone(&journal), id)?,
            shared,
            outputs: Outputs::default(),
            context,
            replaying: false,
            passed_over: 0,
        };
        let fate = Fate::new(Arc::clone(&gauges));
        Ok(Self {
            agent,
            routes,
            table,
            room,
            id,
            again: journal.name(&again_topic(A::NAME))?,
            forgotten: journal.name(SubjectForgotten::NAME)?,
            of_people: A::Key::of_subject(SubjectId::default()).is_some() && !A::FOLDS_REMAINDERS,
            cursor,
            committed: cursor,
            floor: mark.map_or(0, |mark| mark.floor),
            shared_changed: false,
            letters: Letters::read(&journal, A::NAME, worker)?,
            poison: BTreeMap::new(),
            age_ms: sink.age_ms(),
            care: Care::of(careful, sink.age_ms(), limits.healthy_after_ms),
            sink,
            sent: 0,
            fate: Arc::new(fate),
            limits,
            disturbance,
            gauges,
        })
    }

    /// Brings the state to the cursor: from the floor on, words discarded.
    fn refold(&mut self) -> Result<(), Failure> {
        let span = tracing::debug_span!("refold", agent = A::NAME, worker = self.room.context.worker);
        let _entered = span.enter();
        let cursor = self.cursor;
        let mut next = self.floor + 1;
        self.gauges.refold.store(cursor.saturating_sub(self.floor), Ordering::Relaxed);
        self.room.replaying = true;
        while next <= cursor {
            let chunk = self.room.context.reader.chunk(next);
            let Some(chunk) = chunk.map_err(|error| Failure::of_worker(error.to_string()))? else { break };
            for (place, entry) in chunk.from(next).iter().take_while(|entry| entry.seq <= cursor).enumerate() {
                if place.is_multiple_of(TOUCHED_AHEAD) {
                    self.touch_ahead(chunk.from(entry.seq));
                }
                self.cursor = entry.seq;
                // What was folded once is folded again: if not, the program or the store is not what it was.
                self.handle(entry).map_err(|trouble| {
                    Failure::of_worker(format!("entry {} can't be folded again: {}", entry.seq, trouble.what))
                })?;
                next = entry.seq + 1;
            }
            self.room.slots.evict(self.limits.state_keys_max, self.sent);
        }
        self.room.replaying = false;
        self.cursor = cursor;
        let forgotten = self.letters.forget(self.floor);
        self.room.outputs.writes.extend(forgotten);
        self.show();
        Ok(())
    }

    /// Lets the processor fetch what the next entries need.
    fn touch_ahead(&self, entries: &[Entry]) {
        let mut read = 0_usize;
        for entry in entries.iter().take(TOUCHED_AHEAD) {
            let touch = self.route_of(entry).and_then(|route| route.touch.as_ref());
            if let Some(touch) = touch.filter(|_| entry.erased.is_none() && self.room.context.owns(entry.partition)) {
                read = read.wrapping_add(touch(&self.room, entry));
            }
        }
        std::hint::black_box(read);
    }

    fn route_of(&self, entry: &Entry) -> Option<&Route<A>> {
        let index = self.table.get(usize::from(entry.topic.0)).copied().flatten();
        index.and_then(|index| self.routes.by_topic.get(index))
    }

    /// Folds one entry; true where it was this worker's.
    fn handle(&mut self, entry: &Entry) -> Result<bool, Trouble> {
        // What was left of an erased entry is for sums over everybody.
        let gone = entry.erased.is_some() && (entry.body.is_empty() || self.of_people);
        if gone || self.letters.standing(entry.seq)?.is_some() {
            return Ok(false);
        }
        if entry.topic == self.again {
            return self.letter_again(entry);
        }
        let folding = Folding { entry, seq: entry.seq, now_ms: entry.at_ms, age_ms: self.age_ms };
        let forgot = entry.topic == self.forgotten && forget(&*self.agent, &mut self.room, &folding, self.sent + 1)?;
        Ok(self.fold(&folding)? || forgot)
    }

    fn fold(&mut self, folding: &Folding<'_>) -> Result<bool, Trouble> {
        let index = self.table.get(usize::from(folding.entry.topic.0)).copied().flatten();
        let Some(route) = index.and_then(|index| self.routes.by_topic.get(index)) else { return Ok(false) };
        if let Some(disturb) = self.disturbance.as_ref().filter(|_| !self.room.replaying)
            && self.room.context.owns(folding.entry.partition)
        {
            disturb(self.room.context.reader.journal(), A::NAME, folding.entry);
        }
        if route.shared {
            // What all keys share is only ever written with every key's state before it.
            let Room { slots, outputs, .. } = &mut self.room;
            slots.take_changed(usize::MAX, self.sent + 1, &mut outputs.writes)?;
        }
        let own = (route.handle)(&self.agent, &mut self.room, folding)?;
        if route.shared && own {
            self.shared_changed = true;
            self.floor = folding.seq;
        }
        Ok(own)
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
        self.sent += 1;
        self.gauges.hand_over();
        let sent = self.sink.send(commit, &self.fate);
        if sent.is_err() {
            self.gauges.answer();
        }
        sent
    }

    fn put_mark(&mut self) -> Result<(), StoreError> {
        let shared = self.room.shared.as_deref().map(SharedBox::encode).transpose()?.unwrap_or_default();
        self.room.outputs.writes.push(Journal::mark_write(self.id, self.floor, &shared));
        self.shared_changed = false;
        Ok(())
    }

    fn show(&self) {
        let slots = &self.room.slots;
        self.gauges.keys.store(slots.len() as u64, Ordering::Relaxed);
        self.gauges.unwritten.store(slots.unwritten() as u64, Ordering::Relaxed);
        self.gauges.passed_over.store(self.room.passed_over, Ordering::Relaxed);
        self.gauges.dead_letters.store(self.letters.waiting() as u64, Ordering::Relaxed);
        // Last: who sees the cursor sees the commit that is on its way.
        self.gauges.cursor.store(self.cursor, Ordering::Release);
    }

    /// The state, for a question.
    pub(crate) fn read<R>(&mut self, look: impl FnOnce(&mut Reading<'_, A>) -> R) -> R {
        let Room { slots, shared, context, .. } = &mut self.room;
        let shared = shared.as_deref().map(SharedBox::as_any);
        look(&mut Reading { slots, context, shared, seq: self.cursor })
    }

    /// Folds a bounded batch into one step.
    fn batch(&mut self) -> Result<Progress, Failure> {
        let confirmed = self.fate.confirmed();
        self.room.slots.confirmed(confirmed);
        self.age_ms = self.sink.age_ms();
        let mut folded = 0;
        let outcome = self.fold_some(&mut folded);
        let ended = self.end_step(outcome.is_ok());
        self.gauges.folded.fetch_add(folded as u64, Ordering::Relaxed);
        self.gauges.steps.fetch_add(1, Ordering::Relaxed);
        outcome?;
        ended.map_err(|error| commit_failure(&error))?;
        self.room.slots.evict(self.limits.state_keys_max, confirmed);
        let idle = self.cursor == self.room.context.reader.journal().head();
        Ok(if idle { Progress::Idle } else { Progress::More })
    }

    /// Folds entries until a limit is reached, there are no more, or one fails. Then what it brought
    /// forth is dropped, but its state is spoilt: the worker is not to go on.
    fn fold_some(&mut self, folded: &mut usize) -> Result<(), Failure> {
        let (own_max, passed_max) =
            (self.limits.step_entries_max, PASSED_PER_STEP.saturating_mul(self.limits.step_entries_max));
        let mut passed = 0;
        while *folded < own_max && passed < passed_max {
            let chunk = self.room.context.reader.chunk(self.cursor + 1);
            let Some(chunk) = chunk.map_err(|error| at(self.cursor + 1, error.into()))? else { break };
            for (place, entry) in chunk.from(self.cursor + 1).iter().enumerate() {
                if place.is_multiple_of(TOUCHED_AHEAD) {
                    self.touch_ahead(chunk.from(entry.seq));
                }
                if let Some(why) = self.poison.remove(&entry.seq) {
                    self.set_aside(entry, &why).map_err(|error| at(entry.seq, error.into()))?;
                    self.cursor = entry.seq;
                    // The letter is to be in before another entry can spoil the state.
                    return Ok(());
                }
                *folded += usize::from(self.fold_safely(entry)?);
                self.cursor = entry.seq;
                passed += 1;
                let full = self.room.outputs.len() >= self.limits.step_outputs_max;
                if full || *folded >= own_max || passed >= passed_max {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// What one entry may bring forth, so that with all before it it fits one commit.
    fn entry_outputs_max(&self) -> usize {
        let commit_max = self.room.context.reader.journal().limits().commit_entries_max;
        commit_max.saturating_sub(self.limits.step_outputs_max).max(1)
    }

    /// Commits what a batch brought forth; `whole` where no entry failed.
    fn end_step(&mut self, whole: bool) -> Result<(), StoreError> {
        if !whole && self.shared_changed {
            // What all keys share may be spoilt, and can't be written without it: fold it all again.
            self.room.outputs = Outputs::default();
            return Ok(());
        }
        if whole {
            self.take_due(false)?;
        }
        if self.shared_changed {
            self.put_mark()?;
        }
        // A cursor alone is no news: after a crash the same entries say the same nothing.
        let trailing = self.cursor - self.committed > self.limits.unwritten_entries_max;
        if trailing || !self.room.outputs.is_empty() {
            self.commit()?;
        }
        self.show();
        Ok(())
    }

    /// Takes changed keys into the step where they are due, or all of them, and moves the floor.
    fn take_due(&mut self, all: bool) -> Result<(), StoreError> {
        let Room { slots, outputs, .. } = &mut self.room;
        let count = if all { slots.all_due(&self.limits) } else { slots.due(self.cursor, self.age_ms, &self.limits) };
        slots.take_changed(count, self.sent + 1, &mut outputs.writes)?;
        let floor = slots.floor(self.cursor);
        // Where nothing changes, the floor still follows, at a distance: a refold stays short.
        let behind = floor.saturating_sub(self.floor) > self.limits.unwritten_entries_max;
        if count == 0 && !behind && !(all && self.floor != floor) {
            return Ok(());
        }
        self.floor = floor;
        self.put_mark()
    }
}

impl<A: Agent> AnyWorker for Worker<A> {
    fn step(&mut self) -> Result<Progress, Failure> {
        let refused = self.fate.refused();
        if let Some(why) = refused {
            return Err(Failure::of_worker(format!("a step was refused: {why}")));
        }
        let span = tracing::debug_span!(
            "step",
            agent = A::NAME,
            worker = self.room.context.worker,
            from_seq = self.cursor + 1,
            to_seq = tracing::field::Empty,
        );
        let _entered = span.enter();
        let progress = self.batch();
        span.record("to_seq", self.cursor);
        progress
    }

    fn write_behind(&mut self, all: bool) -> Result<(), Failure> {
        self.age_ms = self.sink.age_ms();
        let mut write = || {
            loop {
                self.take_due(all)?;
                if !self.room.outputs.is_empty() || (all && self.cursor != self.committed) {
                    self.commit()?;
                }
                self.show();
                if !all || self.room.slots.unwritten() == 0 {
                    return Ok(());
                }
            }
        };
        write().map_err(|error| commit_failure(&error))
    }

    fn poison(&mut self, seq: Seq, why: String) {
        self.poison.insert(seq, why);
    }

    fn cursor(&self) -> Seq {
        self.cursor
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }

    fn state_json(&mut self, key: &str) -> Result<Option<KeyState>, AgentError> {
        let Some(key) = A::Key::from_text(key) else { return Ok(None) };
        let Some(slot) = self.room.slots.find(&key)? else { return Ok(None) };
        let unreadable = |error: serde_json::Error| AgentError::Reject(error.to_string());
        let moved_to = slot.moved.as_ref().map(AgentKey::to_text);
        let state = match moved_to {
            None => Some(serde_json::to_value(&slot.state).map_err(unreadable)?),
            Some(_) => None,
        };
        Ok(Some(KeyState { key: key.to_text(), seq: slot.seq, state, moved_to }))
    }

    fn key_texts(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>, AgentError> {
        let after = after.and_then(A::Key::from_text).map(|key| crate::keys::just_after(&key)).unwrap_or_default();
        let Room { slots, context, .. } = &self.room;
        let keys = slots.keys_from(&after, limit, |key| context.owns(key.partition()))?;
        Ok(keys.iter().map(AgentKey::to_text).collect())
    }

    fn shared_json(&self) -> Result<Option<serde_json::Value>, AgentError> {
        let shared = self.room.shared.as_deref().map(SharedBox::to_json).transpose();
        shared.map_err(|error| AgentError::Reject(error.to_string()))
    }

    fn moved_to(&mut self, subject: SubjectId) -> Result<Option<SubjectId>, StoreError> {
        let Some(key) = A::Key::of_subject(subject) else { return Ok(None) };
        let slot = self.room.slots.find(&key)?;
        Ok(slot.and_then(|slot| slot.moved.as_ref()).and_then(AgentKey::subject))
    }

    fn each_body(&self, look: EachBody<'_>) -> Result<(), StoreError> {
        let Room { slots, context, shared, .. } = &self.room;
        if let Some(shared) = shared {
            look(None, &shared.encode()?);
        }
        slots.each_body(|key| context.owns(key.partition()), |key, body| look(Some(key), body))
    }
}

fn at(seq: Seq, trouble: Trouble) -> Failure {
    let Trouble { kind, what, .. } = trouble;
    // A damaged store is not this entry's fault, but where it was found helps.
    match kind {
        FailureKind::Worker => Failure::of_worker(format!("at entry {seq}: {what}")),
        _ => Failure { seq, what, kind },
    }
}

/// A stopped journal is waited for; a refused step is this worker's own failure.
fn commit_failure(error: &StoreError) -> Failure {
    let stopped = matches!(error, StoreError::Stopped { .. } | StoreError::Closed | StoreError::DiskFull { .. });
    let kind = if stopped { FailureKind::Retry } else { FailureKind::Worker };
    Failure { seq: 0, what: error.to_string(), kind }
}
