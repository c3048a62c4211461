//! The driver: the same troupe on one thread and on a held clock, for replay, scenarios and imports.
//!
//! Nothing runs by itself. [`Driver::submit`] appends, [`Driver::settle`] lets every agent fold until
//! all is quiet, and [`Driver::advance_to`] moves time from one due timer to the next, settling
//! at each, so that a timer set by a timer comes at its own instant. Same journal, same seed, same
//! calls: same entries.

mod erase;
mod observe;

pub(crate) use observe::unreadable;

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use impresario_store::{Commit, Journal, JournalLimits, MemoryEngine, PendingEffect, Receipt, StoreError, codec};
use parking_lot::Mutex;

use crate::{
    Agent, AgentKey, EffectCall, EffectError, Failure, Reading, RunSeed, RuntimeError, Topic, Troupe,
    entries::{answered, each_entry, given_up, new_entry},
    erasure::Erasing,
    home::{Ground, Home, homes},
    live::OwnRuntime,
    retention::Retaining,
    worker::{AnyWorker, CommitSink, Fate, Progress, Worker},
};

/// Steps after which a troupe that never comes to rest is taken for mad.
const SETTLE_STEPS_MAX: u64 = 10_000_000;

/// Commits straight into the journal, at the driver's instant.
struct Direct {
    journal: Arc<Journal>,
    now_ms: AtomicI64,
    effects: Mutex<Vec<PendingEffect>>,
}

impl CommitSink for Direct {
    fn send(&self, commit: Commit, fate: &Arc<Fate>) -> Result<(), StoreError> {
        let (_, effects) = self.journal.commit_one(self.now_ms.load(Ordering::Acquire), commit)?;
        self.effects.lock().extend(effects);
        fate.is_in();
        Ok(())
    }

    fn barrier(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn age_ms(&self) -> i64 {
        self.now_ms.load(Ordering::Acquire)
    }
}

struct Seat {
    home: Home,
    worker: Option<Box<dyn AnyWorker>>,
    /// When to start again; `None` while at work or suspended.
    again_ms: Option<i64>,
}

impl AsRef<Home> for Seat {
    fn as_ref(&self) -> &Home {
        &self.home
    }
}

/// A troupe on one thread and a held clock.
pub struct Driver {
    journal: Arc<Journal>,
    troupe: Troupe,
    seed: RunSeed,
    sink: Arc<Direct>,
    seats: Vec<Seat>,
    rotate: usize,
    /// Where time is to go: it gets there from one due timer to the next.
    until_ms: i64,
    outside: OwnRuntime,
    pub(super) erasing: Erasing,
    pub(super) retaining: Retaining,
}

impl Driver {
    /// Starts the troupe over `journal`, at its last instant; by the first [`Self::settle`] time goes on to
    /// `now_ms` from one due timer to the next, as it would have without the time in between.
    ///
    /// # Errors
    /// A troupe put together wrongly, or the store's error.
    pub fn start(journal: Arc<Journal>, troupe: Troupe, seed: RunSeed, now_ms: i64) -> Result<Self, RuntimeError> {
        troupe.check()?;
        let mut troupe = troupe;
        // Time passes at will here: state is written behind by entries and keys alone.
        troupe.limits.unwritten_ms_max = i64::MAX;
        let (until_ms, now_ms) = (now_ms, journal.last_at().unwrap_or(now_ms));
        let pending = journal.pending_effects()?;
        let sink = Arc::new(Direct {
            journal: Arc::clone(&journal),
            now_ms: AtomicI64::new(now_ms),
            effects: Mutex::new(pending),
        });
        let homes = homes(&journal, &troupe.agents, &troupe.limits)?;
        let seats = homes.into_iter().map(|home| Seat { home, worker: None, again_ms: Some(now_ms) }).collect();
        let (outside, erasing, retaining) = (OwnRuntime::default(), Erasing::default(), Retaining::default());
        let mut driver = Self { journal, troupe, seed, sink, seats, rotate: 0, until_ms, outside, erasing, retaining };
        for seat in 0..driver.seats.len() {
            driver.take_seat(seat)?;
        }
        Ok(driver)
    }

    /// Starts the troupe over an empty journal in memory, in 1970: for examples and tests.
    ///
    /// # Errors
    /// A troupe put together wrongly.
    pub fn in_memory(troupe: Troupe) -> Result<Self, RuntimeError> {
        Self::start(Journal::open(Arc::new(MemoryEngine::new()), JournalLimits::default())?, troupe, [0; 32], 0)
    }

    /// The present.
    pub fn now_ms(&self) -> i64 {
        self.sink.now_ms.load(Ordering::Acquire)
    }

    /// The journal.
    pub fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    /// Permutes the order in which workers are asked: what is right must not depend on it.
    pub fn rotate(&mut self, by: usize) {
        self.rotate = by;
    }

    /// Appends at the present instant.
    ///
    /// # Errors
    /// The store's error.
    pub fn submit(&mut self, commit: Commit) -> Result<Receipt, RuntimeError> {
        if self.now_ms() < self.until_ms {
            // What comes from outside comes after all that was due before.
            self.settle()?;
        }
        self.append(commit)
    }

    fn append(&self, commit: Commit) -> Result<Receipt, RuntimeError> {
        let (receipt, effects) = self.journal.commit_one(self.now_ms(), commit)?;
        self.sink.effects.lock().extend(effects);
        Ok(receipt)
    }

    /// Appends one entry from outside.
    ///
    /// # Errors
    /// The store's error.
    pub fn say<T: Topic>(&mut self, event: T) -> Result<Receipt, RuntimeError> {
        let mut commit = Commit::new(impresario_store::OUTSIDE);
        commit.entries.push(new_entry(&self.journal, 0, event)?);
        self.submit(commit)
    }

    /// Everything said on topic `T` so far with its instant, in order.
    ///
    /// # Errors
    /// A body that can't be read, or the store's error.
    pub fn said<T: Topic>(&self) -> Result<Vec<(i64, T)>, RuntimeError> {
        let topic = self.journal.known_name(T::NAME);
        let mut said = Vec::new();
        each_entry(&self.journal, 1, |entry| {
            if Some(entry.topic) == topic && entry.erased.is_none() {
                said.push((entry.at_ms, codec::decode(T::VERSION, &entry.body)?));
            }
            Ok::<(), StoreError>(())
        })?;
        Ok(said)
    }

    /// Lets every agent fold until all is quiet, effects and jobs done. Time goes on only where a failed
    /// worker waits for its restart, and to the instant the driver was started for.
    ///
    /// # Errors
    /// [`RuntimeError::Suspended`] where a worker is down for good and all others are quiet; the
    /// store's error.
    pub fn settle(&mut self) -> Result<(), RuntimeError> {
        let settled = self.settle_on_the_way();
        if settled.is_err() {
            // Time stays where somebody is down; it does not go on behind the caller's back later.
            self.until_ms = self.now_ms();
        }
        settled
    }

    fn settle_on_the_way(&mut self) -> Result<(), RuntimeError> {
        for _ in 0..SETTLE_STEPS_MAX {
            let mut quiet = !self.perform_effects()?;
            let count = self.seats.len();
            for index in 0..count {
                let seat = (index + self.rotate) % count.max(1);
                quiet &= self.step(seat)?;
            }
            quiet &= self.sink.effects.lock().is_empty();
            if !quiet || self.fire_overdue()? {
                continue;
            }
            if self.are_all_at_head() {
                if self.pass_on()? || self.go_on_erasing()? {
                    continue;
                }
                return Ok(());
            }
            if !self.wake_next()? {
                return Err(self.suspended());
            }
        }
        Err(self.busy())
    }

    fn are_all_at_head(&self) -> bool {
        self.seats.iter().all(|seat| seat.worker.is_some() && seat.home.cursor() >= self.journal.head())
    }

    /// What is due by now comes now, as it would live; true where something was.
    fn fire_overdue(&mut self) -> Result<bool, RuntimeError> {
        let now_ms = self.now_ms();
        let due = self.journal.next_due().is_some_and(|due| due <= now_ms);
        if due {
            self.pass_to(now_ms)?;
        }
        Ok(due)
    }

    /// Goes one step towards where time is to be; false where it is there.
    fn pass_on(&mut self) -> Result<bool, RuntimeError> {
        if self.now_ms() >= self.until_ms {
            return Ok(false);
        }
        match self.journal.next_due().filter(|due| *due <= self.until_ms) {
            Some(due) => self.pass_to(due)?,
            None => drop(self.sink.now_ms.fetch_max(self.until_ms, Ordering::AcqRel)),
        }
        Ok(true)
    }

    fn suspended(&self) -> RuntimeError {
        let Some(down) = self.seats.iter().find(|seat| seat.home.is_suspended()) else { return self.busy() };
        let (agent, worker) = (self.agent_of(down), down.home.worker);
        RuntimeError::Suspended { agent, worker, why: down.home.last_error() }
    }

    fn agent_of(&self, seat: &Seat) -> String {
        self.troupe.agents.get(seat.home.agent_index).map(|agent| agent.name().to_owned()).unwrap_or_default()
    }

    /// Moves time to the next restart of a worker that is down, firing what is due on the way.
    fn wake_next(&mut self) -> Result<bool, RuntimeError> {
        let Some(again) = self.seats.iter().filter_map(|seat| seat.again_ms).min() else { return Ok(false) };
        let again = self.journal.next_due().map_or(again, |due| due.min(again));
        self.pass_to(again)?;
        Ok(true)
    }

    /// Starts the worker of a seat where it is time.
    fn take_seat(&mut self, index: usize) -> Result<(), RuntimeError> {
        let now_ms = self.now_ms();
        let Some(seat) = self.seats.get_mut(index) else { return Ok(()) };
        if seat.worker.is_some() || seat.again_ms.is_none_or(|again| again > now_ms) {
            return Ok(());
        }
        seat.again_ms = None;
        let agent = self.troupe.agents.get(seat.home.agent_index);
        let agent = agent.ok_or_else(|| RuntimeError::UnknownAgent(seat.home.name.clone()))?;
        let ground = Ground {
            agent: agent.as_ref(),
            journal: &self.journal,
            sink: Arc::<Direct>::clone(&self.sink),
            limits: &self.troupe.limits,
            disturbance: self.troupe.disturbance.clone(),
            seed: self.seed,
        };
        match seat.home.start(ground) {
            Ok(worker) => seat.worker = Some(worker),
            Err(failure) => self.fell(index, &failure),
        }
        Ok(())
    }

    fn fell(&mut self, index: usize, failure: &Failure) {
        let now_ms = self.now_ms();
        let Some(seat) = self.seats.get_mut(index) else { return };
        seat.worker = None;
        let after = seat.home.failed(failure, now_ms, &self.seed, &self.troupe.limits);
        seat.again_ms = after.map(|after| now_ms.saturating_add_unsigned(after));
    }

    /// Steps one worker; true where it had nothing to do.
    fn step(&mut self, index: usize) -> Result<bool, RuntimeError> {
        self.take_seat(index)?;
        let head = self.journal.head();
        let Some(seat) = self.seats.get_mut(index) else { return Ok(true) };
        let Some(worker) = seat.worker.as_mut() else { return Ok(true) };
        if worker.cursor() == head || seat.home.is_paused() {
            return Ok(true);
        }
        match seat.home.step(worker.as_mut()) {
            Ok(progress) => Ok(progress == Progress::Idle && self.journal.head() == head),
            Err(failure) => {
                self.fell(index, &failure);
                Ok(false)
            }
        }
    }

    fn perform_effects(&mut self) -> Result<bool, RuntimeError> {
        let pending = std::mem::take(&mut *self.sink.effects.lock());
        let any = !pending.is_empty();
        if any {
            // What can't be taken back waits for the disk.
            self.journal.sync()?;
        }
        for effect in pending {
            if !self.journal.has_effect(&effect.id) {
                continue;
            }
            let name = self.journal.name_of(effect.topic);
            let Some(performer) = self.troupe.performers.get(name.as_str()) else {
                self.answer_failed(&effect, &name, "nobody performs it", 0)?;
                continue;
            };
            let mut attempt = 0;
            loop {
                attempt += 1;
                let call = EffectCall { id: effect.id, attempt };
                let journal = Arc::clone(&self.journal);
                let performed = self.outside.block_on(|| performer.perform(effect.body.clone(), call, journal));
                match performed {
                    Ok(outcome) => {
                        self.append(answered(&self.journal, &effect, outcome)?)?;
                        break;
                    }
                    Err(EffectError::Retry { .. }) if attempt < self.troupe.limits.effect_attempts_max => {}
                    Err(error) => {
                        self.answer_failed(&effect, &name, &error.to_string(), attempt)?;
                        break;
                    }
                }
            }
        }
        Ok(any)
    }

    fn answer_failed(
        &mut self,
        effect: &PendingEffect,
        name: &str,
        why: &str,
        attempts: u32,
    ) -> Result<(), RuntimeError> {
        let commit = given_up(&self.journal, effect, name, why, attempts)?;
        self.append(commit)?;
        Ok(())
    }

    /// Moves time to `until_ms`, from one due timer to the next, settling at each.
    ///
    /// # Errors
    /// As [`Self::settle`].
    pub fn advance_to(&mut self, until_ms: i64) -> Result<(), RuntimeError> {
        self.until_ms = self.until_ms.max(until_ms);
        self.settle()
    }

    /// The clock goes to `now_ms`; what is due by then is appended.
    fn pass_to(&mut self, now_ms: i64) -> Result<(), RuntimeError> {
        self.sink.now_ms.fetch_max(now_ms, Ordering::AcqRel);
        let (_, effects) = self.journal.commit(self.now_ms(), Vec::new())?;
        self.sink.effects.lock().extend(effects);
        Ok(())
    }

    /// Looks at the state of the worker that serves `key`.
    ///
    /// # Errors
    /// No such agent, or it is down.
    pub fn read<A: Agent, R>(
        &mut self,
        key: &A::Key,
        look: impl FnOnce(&mut Reading<'_, A>) -> R,
    ) -> Result<R, RuntimeError> {
        let workers = self.seats.iter().filter(|seat| is_of::<A>(seat)).count();
        let worker = usize::from(key.partition()) % workers.max(1);
        self.read_worker(worker, look)
    }

    /// Looks at the state of one worker.
    ///
    /// # Errors
    /// No such agent, or it is down.
    pub fn read_worker<A: Agent, R>(
        &mut self,
        worker: usize,
        look: impl FnOnce(&mut Reading<'_, A>) -> R,
    ) -> Result<R, RuntimeError> {
        let seat = self.seats.iter_mut().filter(|seat| is_of::<A>(seat)).nth(worker);
        let seat = seat.ok_or_else(|| RuntimeError::UnknownAgent(A::NAME.to_owned()))?;
        let found = seat.worker.as_mut().and_then(|worker| worker.as_any().downcast_mut::<Worker<A>>());
        let down = || RuntimeError::Unavailable { agent: A::NAME.to_owned(), worker, why: "it is down".into() };
        Ok(found.ok_or_else(down)?.read(look))
    }

    /// How many workers an agent has here.
    pub fn workers<A: Agent>(&self) -> usize {
        self.seats.iter().filter(|seat| is_of::<A>(seat)).count()
    }

    /// Writes all changed state, syncs, and gives the troupe back.
    ///
    /// # Errors
    /// The store's error.
    pub fn stop(mut self) -> Result<Troupe, RuntimeError> {
        for seat in &mut self.seats {
            if let Some(worker) = seat.worker.as_mut() {
                worker.write_behind(true).map_err(|failure| RuntimeError::Unavailable {
                    agent: seat.home.name.clone(),
                    worker: seat.home.worker,
                    why: failure.what,
                })?;
            }
        }
        self.journal.sync()?;
        Ok(self.troupe)
    }

    /// Drops everything in memory, as a killed process would, and gives the troupe back.
    pub fn abandon(self) -> Troupe {
        self.troupe
    }

    fn busy(&self) -> RuntimeError {
        let head = self.journal.head();
        let behind = self.seats.iter().filter(|seat| seat.home.cursor() < head);
        let behind: Vec<_> = behind.map(|seat| format!("{} at {}", seat.home.name, seat.home.cursor())).collect();
        RuntimeError::Busy { waited_ms: 0, head, behind: behind.join(", ") }
    }
}

fn is_of<A: Agent>(seat: &Seat) -> bool {
    seat.home.name.rsplit_once('/').is_some_and(|(agent, _)| agent == A::NAME)
}
