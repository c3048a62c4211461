//! The stage: what all actors of a host share.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use impresario_store::{Commit, Journal, PendingEffect, Receipt, StoreError, Writer, WriterEvents};
use parking_lot::Mutex;
use ractor::ActorRef;
use tokio::sync::{Notify, mpsc, oneshot};

use super::{
    bell::Bell,
    counts::EffectCounts,
    erase::Alarm,
    message::WorkerMessage,
    time::{JournalTime, Seen},
};
use crate::{
    Clock, Failure, RunSeed, RuntimeLimits, Troupe,
    clock::process_ms,
    home::{Ground, Home},
    troupe::AnyPerformer,
    worker::{AnyWorker, CommitSink, Fate, Progress},
};

/// What all actors of a host share.
pub(super) struct Stage {
    journal: Arc<Journal>,
    writer: Mutex<Option<Arc<Writer>>>,
    pub(super) troupe: Troupe,
    seed: RunSeed,
    time: JournalTime,
    pub(super) homes: Vec<Home>,
    pub(super) bells: Vec<Bell>,
    /// Why a worker fell, until its supervisor asks.
    falls: Mutex<Vec<Option<Failure>>>,
    effects: EffectCounts,
    pub(super) progress: Notify,
    pub(super) alarm: Alarm,
    pub(super) people_erased: AtomicU64,
    /// Entries forgotten with age since the start.
    pub(super) forgotten: AtomicU64,
    /// Nothing is taken from outside any more.
    shut: AtomicBool,
    /// Nobody is started any more.
    closing: AtomicBool,
    failed: AtomicBool,
}

impl Stage {
    pub(super) fn new(
        journal: Arc<Journal>,
        troupe: Troupe,
        seed: RunSeed,
        clock: Arc<dyn Clock>,
        homes: Vec<Home>,
    ) -> Self {
        Self {
            journal,
            writer: Mutex::new(None),
            troupe,
            seed,
            time: JournalTime::new(clock),
            bells: homes.iter().map(|_| Bell::default()).collect(),
            falls: Mutex::new(homes.iter().map(|_| None).collect()),
            homes,
            effects: EffectCounts::default(),
            progress: Notify::new(),
            alarm: Alarm::default(),
            people_erased: AtomicU64::new(0),
            forgotten: AtomicU64::new(0),
            shut: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            failed: AtomicBool::new(false),
        }
    }

    /// Starts the journal's writer; effects that were pending come first.
    pub(super) fn open(
        self: &Arc<Self>,
        pending: Vec<PendingEffect>,
    ) -> Result<mpsc::UnboundedReceiver<PendingEffect>, StoreError> {
        let (effects, performing) = mpsc::unbounded_channel();
        let events = Events { stage: Arc::clone(self), effects };
        events.effects_asked(pending.len());
        events.effects(pending);
        *self.writer.lock() = Some(Arc::new(Writer::start(Arc::clone(&self.journal), events)?));
        Ok(performing)
    }

    pub(super) fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    pub(super) fn limits(&self) -> &RuntimeLimits {
        &self.troupe.limits
    }

    pub(super) fn effects(&self) -> &EffectCounts {
        &self.effects
    }

    pub(super) fn now_ms(&self) -> i64 {
        self.time.clock.now_ms()
    }

    /// The instant the journal may be at now: the clock's, or that of a timer which is to come first.
    fn journal_ms(&self) -> i64 {
        let seen = Seen {
            clock_ms: self.time.clock.now_ms(),
            last_ms: self.journal.last_at(),
            next_due_ms: self.journal.next_due(),
            process_ms: process_ms(),
        };
        self.time.now_ms(&seen, self.limits(), || self.are_at_rest())
    }

    /// Whether timers that came due in between fire one after another, so that others must wait.
    pub(super) fn is_stepping(&self) -> bool {
        self.time.is_stepping(|| self.journal.next_due(), self.limits())
    }

    /// Whether every worker that is at work has folded all there is, and nothing of it is on its way.
    fn are_at_rest(&self) -> bool {
        let rests =
            |home: &Home| !home.is_at_work() || home.rests().is_some_and(|cursor| cursor >= self.journal.head());
        self.homes.iter().all(rests)
    }

    pub(super) fn performer(&self, name: &str) -> Option<Arc<dyn AnyPerformer>> {
        self.troupe.performers.get(name).map(Arc::clone)
    }

    /// Closes the door; true for the first who does.
    pub(super) fn shut(&self) -> bool {
        !self.shut.swap(true, Ordering::AcqRel)
    }

    pub(super) fn is_shut(&self) -> bool {
        self.shut.load(Ordering::Acquire)
    }

    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Release);
        self.alarm.ring();
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    pub(super) fn is_paused(&self, seat: usize) -> bool {
        self.homes.get(seat).is_some_and(Home::is_paused)
    }

    pub(super) fn start_worker(self: &Arc<Self>, seat: usize) -> Result<Box<dyn AnyWorker>, Failure> {
        let gone = || Failure::of_worker("there is no such worker");
        let home = self.homes.get(seat).ok_or_else(gone)?;
        let agent = self.troupe.agents.get(home.agent_index).ok_or_else(gone)?;
        home.start(Ground {
            agent: agent.as_ref(),
            journal: &self.journal,
            sink: Arc::new(Queue(Arc::clone(self))),
            limits: self.limits(),
            disturbance: self.troupe.disturbance.clone(),
            seed: self.seed,
        })
    }

    pub(super) fn step(&self, seat: usize, worker: &mut dyn AnyWorker) -> Result<Progress, Failure> {
        match self.homes.get(seat) {
            Some(home) => home.step(worker),
            None => Ok(Progress::Idle),
        }
    }

    pub(super) fn fell(&self, seat: usize, failure: Failure) {
        if let Some(place) = self.falls.lock().get_mut(seat) {
            *place = Some(failure);
        }
    }

    /// After how long a fallen worker starts again; `None` for never.
    pub(super) fn after_fall(&self, seat: usize, why: &str) -> Option<u64> {
        let failure = self.falls.lock().get_mut(seat).and_then(Option::take);
        // Who left no word was killed: no entry is to blame.
        let failure = failure.unwrap_or_else(|| Failure::of_worker(why));
        // Real time: a clock that stands with its data must not keep a worker down.
        self.homes.get(seat)?.failed(&failure, process_ms(), &self.seed, self.limits())
    }

    pub(super) fn resume_suspended(&self, seat: usize) -> bool {
        let suspended = self.homes.get(seat).filter(|home| home.is_suspended());
        if let Some(home) = suspended {
            home.resumed();
        }
        suspended.is_some()
    }

    pub(super) fn hang_bell(&self, seat: usize, door: ActorRef<WorkerMessage>) {
        if let Some(bell) = self.bells.get(seat) {
            bell.hang(door);
        }
    }

    pub(super) fn take_down_bell(&self, seat: usize) {
        if let Some(bell) = self.bells.get(seat) {
            bell.take_down();
        }
    }

    pub(super) fn bell_heard(&self, seat: usize) {
        if let Some(bell) = self.bells.get(seat) {
            bell.heard();
        }
    }

    pub(super) fn ring(&self, seat: usize) {
        if let Some(bell) = self.bells.get(seat) {
            bell.ring();
        }
    }

    pub(super) fn progressed(&self) {
        self.progress.notify_waiters();
        if self.time.is_behind() && self.are_at_rest() {
            self.wake_writer();
        }
    }

    /// Has the writer look at the time now.
    pub(super) fn wake_writer(&self) {
        if let Ok(writer) = self.writer() {
            let _ = writer.try_send(Commit::new(impresario_store::OUTSIDE), Box::new(|_| {}));
        }
    }

    pub(super) fn writer(&self) -> Result<Arc<Writer>, StoreError> {
        self.writer.lock().clone().ok_or(StoreError::Closed)
    }

    /// Ends the writer's thread: what waits is written and synced.
    pub(super) fn close_writer(&self) {
        let writer = self.writer.lock().take();
        if let Some(writer) = writer {
            writer.close();
        }
    }

    /// Appends, waiting for a place in the queue; for answers, which must not be lost.
    pub(super) async fn submit(&self, commit: Commit) -> Result<Receipt, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.writer()?.send(commit, Some(Box::new(move |outcome| drop(reply.send(outcome)))))?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }
}

/// The way of a worker's commits to the writer thread.
struct Queue(Arc<Stage>);

impl CommitSink for Queue {
    fn send(&self, commit: Commit, fate: &Arc<Fate>) -> Result<(), StoreError> {
        let (fate, stage) = (Arc::clone(fate), Arc::clone(&self.0));
        let reply = Box::new(move |outcome: Result<Receipt, StoreError>| {
            match outcome {
                Ok(_) => fate.is_in(),
                Err(error) => {
                    tracing::error!(%error, "a step was refused");
                    fate.is_refused(&error);
                }
            }
            stage.progressed();
        });
        self.0.writer()?.send(commit, Some(reply))
    }

    fn barrier(&self) -> Result<(), StoreError> {
        let (done, wait) = std::sync::mpsc::channel();
        let reply = Box::new(move |outcome| {
            let _ = done.send(outcome);
        });
        self.0.writer()?.send(Commit::new(impresario_store::OUTSIDE), Some(reply))?;
        wait.recv().unwrap_or(Err(StoreError::Closed)).map(|_| ())
    }

    fn age_ms(&self) -> i64 {
        process_ms()
    }
}

struct Events {
    stage: Arc<Stage>,
    effects: mpsc::UnboundedSender<PendingEffect>,
}

impl WriterEvents for Events {
    fn now_ms(&self) -> i64 {
        self.stage.journal_ms()
    }

    fn appended(&self) {
        self.stage.bells.iter().for_each(Bell::ring);
    }

    fn effects_asked(&self, count: usize) {
        self.stage.effects.pending.fetch_add(count as u64, Ordering::AcqRel);
    }

    fn effects(&self, effects: Vec<PendingEffect>) {
        for effect in effects {
            let _ = self.effects.send(effect);
        }
    }

    fn failed(&self, _: &StoreError) {
        self.stage.failed.store(true, Ordering::Release);
        self.stage.progressed();
    }
}
