//! The driver: the same troupe on one thread and on a held clock, for replay, scenarios and imports.
//!
//! Nothing runs by itself. [`Driver::submit`] appends, [`Driver::settle`] lets every agent fold until
//! all is quiet, and [`Driver::advance_to`] moves time from one due timer to the next, settling
//! at each, so that a timer set by a timer comes at its own instant. Same journal, same seed, same
//! calls: same entries.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicI64, Ordering},
};

use impresario_store::{Commit, Durability, Entry, Journal, NewEntry, PendingEffect, Receipt, Seq, StoreError, codec};
use parking_lot::Mutex;

use crate::{
    Agent, AgentKey, AgentStatus, EffectCall, EffectError, EffectFailed, Reading, RunSeed, RuntimeError, Topic, Troupe,
    home::{Ground, Home, homes, status},
    troupe::Outcome,
    worker::{AnyWorker, CommitSink, Progress, Worker},
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
    fn send(&self, commit: Commit, refused: &Arc<AtomicBool>) -> Result<(), StoreError> {
        let committed = self.journal.commit_one(self.now_ms.load(Ordering::Acquire), commit);
        match committed {
            Ok((_, effects)) => {
                self.effects.lock().extend(effects);
                Ok(())
            }
            Err(error) => {
                refused.store(true, Ordering::Release);
                Err(error)
            }
        }
    }

    fn barrier(&self) -> Result<(), StoreError> {
        Ok(())
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
}

impl Driver {
    /// Starts the troupe over `journal`, at the journal's last instant or `now_ms`, the later.
    ///
    /// # Errors
    /// A troupe put together wrongly, or the store's error.
    pub fn start(journal: Arc<Journal>, troupe: Troupe, seed: RunSeed, now_ms: i64) -> Result<Self, RuntimeError> {
        troupe.check()?;
        let mut troupe = troupe;
        // Time passes at will here: state is written behind by entries and keys alone.
        troupe.limits.unwritten_ms_max = i64::MAX;
        let now_ms = journal.last_at().map_or(now_ms, |last| last.max(now_ms));
        let pending = journal.pending_effects()?;
        let sink = Arc::new(Direct {
            journal: Arc::clone(&journal),
            now_ms: AtomicI64::new(now_ms),
            effects: Mutex::new(pending),
        });
        let homes = homes(&journal, &troupe.agents)?;
        let seats = homes.into_iter().map(|home| Seat { home, worker: None, again_ms: Some(now_ms) }).collect();
        Ok(Self { journal, troupe, seed, sink, seats, rotate: 0 })
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

    /// Lets every agent fold until all is quiet, effects and jobs done.
    ///
    /// # Errors
    /// A suspended worker, or the store's error.
    pub fn settle(&mut self) -> Result<(), RuntimeError> {
        for _ in 0..SETTLE_STEPS_MAX {
            let mut quiet = !self.perform_effects()?;
            let count = self.seats.len();
            for index in 0..count {
                let seat = (index + self.rotate) % count.max(1);
                quiet &= self.step(seat)?;
            }
            if quiet && self.seats.iter().all(|seat| seat.home.cursor() >= self.journal.head()) {
                return Ok(());
            }
            if quiet && !self.wake_next()? {
                let down: Vec<_> = self.seats.iter().filter(|seat| seat.worker.is_none()).collect();
                let name = down.first().map_or_else(String::new, |seat| seat.home.name.clone());
                return Err(RuntimeError::Setup(format!("worker {name} is suspended")));
            }
        }
        Err(self.busy())
    }

    /// Moves time to the next restart of a worker that is down, firing what is due on the way.
    fn wake_next(&mut self) -> Result<bool, RuntimeError> {
        let Some(again) = self.seats.iter().filter_map(|seat| seat.again_ms).min() else { return Ok(false) };
        let again = self.journal.next_due().map_or(again, |due| due.min(again));
        self.pass_to(again)?;
        Ok(true)
    }

    /// Steps one worker; true where it had nothing to do.
    fn step(&mut self, index: usize) -> Result<bool, RuntimeError> {
        let now_ms = self.now_ms();
        let Some(seat) = self.seats.get_mut(index) else { return Ok(true) };
        if seat.worker.is_none() && seat.again_ms.is_some_and(|again| again <= now_ms) {
            seat.again_ms = None;
            let agent = self.troupe.agents.get(seat.home.agent_index);
            let agent = agent.ok_or_else(|| RuntimeError::UnknownAgent(seat.home.name.clone()))?;
            let sink: Arc<dyn CommitSink> = Arc::<Direct>::clone(&self.sink);
            let ground = Ground {
                agent: agent.as_ref(),
                journal: &self.journal,
                sink,
                limits: &self.troupe.limits,
                disturbance: self.troupe.disturbance.clone(),
                seed: self.seed,
            };
            match seat.home.start(ground) {
                Ok(worker) => seat.worker = Some(worker),
                Err(failure) => {
                    let after = seat.home.failed(&failure, now_ms, &self.seed, &self.troupe.limits);
                    seat.again_ms = after.map(|after| now_ms.saturating_add_unsigned(after));
                }
            }
        }
        let Some(worker) = seat.worker.as_mut() else { return Ok(true) };
        let head = self.journal.head();
        if worker.cursor() == head {
            return Ok(true);
        }
        match seat.home.step(worker.as_mut()) {
            Ok(progress) => Ok(progress == Progress::Idle && self.journal.head() == head),
            Err(failure) => {
                seat.worker = None;
                let after = seat.home.failed(&failure, now_ms, &self.seed, &self.troupe.limits);
                seat.again_ms = after.map(|after| now_ms.saturating_add_unsigned(after));
                Ok(after != Some(0))
            }
        }
    }

    fn perform_effects(&mut self) -> Result<bool, RuntimeError> {
        let pending = std::mem::take(&mut *self.sink.effects.lock());
        let any = !pending.is_empty();
        for effect in pending {
            let name = self.journal.name_of(effect.topic);
            let Some(performer) = self.troupe.performers.get(name.as_str()) else {
                self.answer_failed(&effect, &name, "nobody performs it", 0)?;
                continue;
            };
            let mut attempt = 0;
            loop {
                attempt += 1;
                let call = EffectCall { id: effect.id, attempt };
                let performed =
                    crate::live::block_on(performer.perform(effect.body.clone(), call, Arc::clone(&self.journal)));
                match performed {
                    Ok(outcome) => {
                        self.submit(answered(&self.journal, &effect, outcome)?)?;
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
        self.submit(commit)?;
        Ok(())
    }

    /// Moves time to `until_ms`, from one due timer to the next, settling at each.
    ///
    /// # Errors
    /// As [`Self::settle`].
    pub fn advance_to(&mut self, until_ms: i64) -> Result<(), RuntimeError> {
        self.settle()?;
        while let Some(due) = self.journal.next_due().filter(|due| *due <= until_ms) {
            self.pass_to(due)?;
            self.settle()?;
        }
        self.sink.now_ms.fetch_max(until_ms, Ordering::AcqRel);
        Ok(())
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

    /// What can be seen of all agents.
    pub fn status(&self) -> Vec<AgentStatus> {
        status(&self.seats, &self.troupe.agents, self.journal.head())
    }

    /// Writes all changed state, syncs, and gives the troupe back.
    ///
    /// # Errors
    /// The store's error.
    pub fn stop(mut self) -> Result<Troupe, RuntimeError> {
        let now_ms = self.now_ms();
        for seat in &mut self.seats {
            if let Some(worker) = seat.worker.as_mut() {
                worker.write_behind(now_ms, true)?;
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

/// An entry from outside, ready for a commit.
///
/// # Errors
/// The store's error.
pub fn new_entry<T: Topic>(journal: &Journal, dedup: u64, event: T) -> Result<NewEntry, StoreError> {
    Ok(NewEntry {
        partition: event.partition().unwrap_or_default(),
        topic: journal.name(T::NAME)?,
        cause: 0,
        dedup,
        body: codec::encode(T::VERSION, &event)?,
        decoded: Some(Arc::new(event)),
    })
}

pub(crate) fn answered(journal: &Journal, effect: &PendingEffect, outcome: Outcome) -> Result<Commit, StoreError> {
    let mut commit = Commit::new(impresario_store::OUTSIDE);
    commit.settled.push(effect.id);
    commit.durability = Durability::Synced;
    commit.entries.push(NewEntry {
        partition: outcome.partition.unwrap_or(effect.partition),
        topic: journal.name(outcome.topic)?,
        cause: effect.id.seq,
        dedup: 0,
        body: outcome.body,
        decoded: None,
    });
    Ok(commit)
}

pub(crate) fn given_up(
    journal: &Journal,
    effect: &PendingEffect,
    name: &str,
    why: &str,
    attempts: u32,
) -> Result<Commit, StoreError> {
    tracing::warn!(effect = name, id = %effect.id, why, attempts, "an effect is given up");
    let failed = EffectFailed { effect: name.to_owned(), id: effect.id.to_string(), why: why.to_owned(), attempts };
    let body = codec::encode(EffectFailed::VERSION, &failed)?;
    answered(journal, effect, Outcome { topic: EffectFailed::NAME, partition: None, body })
}

/// The entries of a journal from `from` on, one by one.
///
/// # Errors
/// Damage with its place, or the store's error; what `look` says.
pub fn each_entry<E: From<StoreError>>(
    journal: &Journal,
    from: Seq,
    mut look: impl FnMut(&Entry) -> Result<(), E>,
) -> Result<(), E> {
    let mut next = from.max(1);
    while let Some(chunk) = journal.chunk(next)? {
        for entry in chunk.from(next) {
            look(entry)?;
        }
        next = chunk.last() + 1;
    }
    Ok(())
}
