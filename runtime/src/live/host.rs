use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use impresario_store::{Commit, Journal, PendingEffect, Receipt, StoreError, Writer, WriterEvents};
use parking_lot::Mutex;
use ractor::{Actor, ActorRef};
use tokio::sync::{Notify, mpsc, oneshot};

use super::{
    actor::{Supervisor, SupervisorMessage, WorkerMessage},
    bell::Bell,
    effects,
    spawn::task,
};
use crate::{
    Agent, AgentKey, AgentStatus, Clock, Failure, Reading, RunSeed, RuntimeError, RuntimeLimits, Troupe,
    home::{Ground, Home, homes, status},
    troupe::AnyPerformer,
    worker::{AnyWorker, CommitSink, Progress, Worker},
};

const WRITE_BEHIND_EVERY: Duration = Duration::from_secs(1);

/// What all actors of a host share.
pub(super) struct Stage {
    journal: Arc<Journal>,
    writer: Mutex<Option<Arc<Writer>>>,
    troupe: Troupe,
    seed: RunSeed,
    clock: Arc<dyn Clock>,
    homes: Vec<Home>,
    bells: Vec<Bell>,
    /// Why a worker fell, until its supervisor asks.
    falls: Mutex<Vec<Option<Failure>>>,
    progress: Notify,
    closing: AtomicBool,
    failed: AtomicBool,
}

impl Stage {
    pub(super) fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    pub(super) fn limits(&self) -> &RuntimeLimits {
        &self.troupe.limits
    }

    pub(super) fn performer(&self, name: &str) -> Option<Arc<dyn AnyPerformer>> {
        self.troupe.performers.get(name).map(Arc::clone)
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    pub(super) fn is_paused(&self, seat: usize) -> bool {
        self.homes.get(seat).is_some_and(Home::is_paused)
    }

    pub(super) fn start_worker(self: &Arc<Self>, seat: usize) -> Result<Box<dyn AnyWorker>, Failure> {
        let gone = || Failure { seq: 0, what: "no such worker".into(), retry: false };
        let home = self.homes.get(seat).ok_or_else(gone)?;
        let agent = self.troupe.agents.get(home.agent_index).ok_or_else(gone)?;
        let sink: Arc<dyn CommitSink> = Arc::new(Queue(Arc::clone(self)));
        home.start(Ground {
            agent: agent.as_ref(),
            journal: &self.journal,
            sink,
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
        let home = self.homes.get(seat)?;
        let failure = failure.unwrap_or_else(|| Failure { seq: home.cursor(), what: why.to_owned(), retry: false });
        home.failed(&failure, self.clock.now_ms(), &self.seed, self.limits())
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
    }

    /// Hands a commit to the writer; what becomes of it is in the log if it fails.
    pub(super) fn send(&self, commit: Commit) {
        let writer = self.writer.lock().clone();
        if let Some(Err(error)) = writer.map(|writer| writer.send(commit, None)) {
            tracing::debug!(%error, "the writer has closed");
        }
    }

    fn writer(&self) -> Result<Arc<Writer>, StoreError> {
        self.writer.lock().clone().ok_or(StoreError::Closed)
    }
}

/// The way of a worker's commits to the writer thread.
struct Queue(Arc<Stage>);

impl CommitSink for Queue {
    fn send(&self, commit: Commit, refused: &Arc<AtomicBool>) -> Result<(), StoreError> {
        let refused = Arc::clone(refused);
        let reply = Box::new(move |outcome: Result<Receipt, StoreError>| {
            if let Err(error) = outcome {
                tracing::error!(%error, "a step was refused");
                refused.store(true, Ordering::Release);
            }
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
}

struct Events {
    stage: Arc<Stage>,
    effects: mpsc::UnboundedSender<PendingEffect>,
}

impl WriterEvents for Events {
    fn now_ms(&self) -> i64 {
        self.stage.clock.now_ms()
    }

    fn appended(&self) {
        self.stage.bells.iter().for_each(Bell::ring);
    }

    fn effects(&self, effects: Vec<PendingEffect>) {
        for effect in effects {
            let _ = self.effects.send(effect);
        }
    }

    fn failed(&self, _: &StoreError) {
        self.stage.failed.store(true, Ordering::Release);
        self.stage.progress.notify_waiters();
    }
}

/// A troupe at work: on actors, in real time, until it is stopped.
pub struct Host {
    stage: Arc<Stage>,
    supervisor: ActorRef<SupervisorMessage>,
    /// The agents' own threads: their work never holds up the door.
    runtime: Mutex<Option<tokio::runtime::Runtime>>,
}

impl Host {
    /// Starts the troupe over `journal`, with `threads` threads for its agents.
    ///
    /// # Errors
    /// A troupe put together wrongly, no threads, or the store's error.
    pub fn start(
        journal: Arc<Journal>,
        troupe: Troupe,
        seed: RunSeed,
        clock: Arc<dyn Clock>,
        threads: usize,
    ) -> Result<Self, RuntimeError> {
        troupe.check()?;
        let homes = homes(&journal, &troupe.agents)?;
        let count = homes.len();
        let pending = journal.pending_effects()?;
        let stage = Arc::new(Stage {
            journal: Arc::clone(&journal),
            writer: Mutex::new(None),
            troupe,
            seed,
            clock,
            bells: homes.iter().map(|_| Bell::default()).collect(),
            falls: Mutex::new(homes.iter().map(|_| None).collect()),
            homes,
            progress: Notify::new(),
            closing: AtomicBool::new(false),
            failed: AtomicBool::new(false),
        });
        let (effects, performing) = mpsc::unbounded_channel();
        for effect in pending {
            let _ = effects.send(effect);
        }
        let events = Events { stage: Arc::clone(&stage), effects };
        *stage.writer.lock() = Some(Arc::new(Writer::start(journal, events)?));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .thread_name("agents")
            .enable_time()
            .build()
            .map_err(|error| RuntimeError::Setup(format!("no threads for the agents: {error}")))?;
        let _entered = runtime.enter();
        task(effects::dispatch(Arc::clone(&stage), performing));
        task(write_behind(Arc::clone(&stage)));
        let supervisor = Supervisor { stage: Arc::clone(&stage) };
        let (started, wait) = std::sync::mpsc::channel();
        task(async move {
            let spawned = Supervisor::spawn(None, supervisor, count).await;
            let _ = started.send(spawned.map(|(supervisor, _)| supervisor).map_err(|error| error.to_string()));
        });
        let supervisor = wait.recv().map_err(|error| error.to_string()).and_then(|spawned| spawned);
        let supervisor = supervisor.map_err(RuntimeError::Setup)?;
        drop(_entered);
        Ok(Self { stage, supervisor, runtime: Mutex::new(Some(runtime)) })
    }

    /// The journal.
    pub fn journal(&self) -> &Arc<Journal> {
        &self.stage.journal
    }

    /// The clock's present.
    pub fn now_ms(&self) -> i64 {
        self.stage.clock.now_ms()
    }

    /// Appends, and answers once the commit is in (on disk, if it asks for that).
    ///
    /// # Errors
    /// [`StoreError::Busy`] where too much waits already; the store's other errors.
    pub async fn submit(&self, commit: Commit) -> Result<Receipt, RuntimeError> {
        let (reply, answer) = oneshot::channel();
        let writer = self.stage.writer()?;
        writer.try_send(commit, Box::new(move |outcome| drop(reply.send(outcome))))?;
        Ok(answer.await.unwrap_or(Err(StoreError::Closed))?)
    }

    /// How many entries the slowest worker is behind.
    pub fn lag(&self) -> u64 {
        let head = self.stage.journal.head();
        self.stage.homes.iter().map(|home| head.saturating_sub(home.cursor())).max().unwrap_or_default()
    }

    /// Whether the door must say "busy".
    pub fn is_overloaded(&self) -> bool {
        self.lag() > self.stage.limits().lag_entries_max
    }

    /// Whether the journal has stopped on an error.
    pub fn has_failed(&self) -> bool {
        self.stage.failed.load(Ordering::Acquire)
    }

    /// Groups written and microseconds spent syncing.
    pub fn writer_counters(&self) -> (u64, u64) {
        self.stage.writer().map(|writer| writer.counters()).unwrap_or_default()
    }

    /// Asks the worker that serves `key`.
    ///
    /// # Errors
    /// No such agent, it is down, or it takes too long.
    pub async fn read<A: Agent, R: Send + 'static>(
        &self,
        key: &A::Key,
        look: impl FnOnce(&mut Reading<'_, A>) -> R + Send + 'static,
    ) -> Result<R, RuntimeError> {
        let workers = self.workers::<A>();
        self.read_worker(usize::from(key.partition()) % workers.max(1), look).await
    }

    /// How many workers an agent has here.
    pub fn workers<A: Agent>(&self) -> usize {
        self.seats_of(A::NAME).count()
    }

    fn seats_of(&self, agent: &str) -> impl Iterator<Item = usize> {
        let index = self.stage.troupe.agents.iter().position(|known| known.name() == agent);
        let homes = self.stage.homes.iter().enumerate();
        homes.filter(move |(_, home)| Some(home.agent_index) == index).map(|(seat, _)| seat)
    }

    /// Asks one worker.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub async fn read_worker<A: Agent, R: Send + 'static>(
        &self,
        worker: usize,
        look: impl FnOnce(&mut Reading<'_, A>) -> R + Send + 'static,
    ) -> Result<R, RuntimeError> {
        let seat = self.seats_of(A::NAME).nth(worker).ok_or_else(|| RuntimeError::UnknownAgent(A::NAME.to_owned()))?;
        let down = |why: &str| RuntimeError::Unavailable { agent: A::NAME.to_owned(), worker, why: why.to_owned() };
        let door = self.stage.bells.get(seat).and_then(Bell::door).ok_or_else(|| down("it is down"))?;
        let (reply, answer) = oneshot::channel();
        let question = WorkerMessage::Ask(Box::new(move |worker| {
            if let Some(worker) = worker.as_any().downcast_mut::<Worker<A>>() {
                let _ = reply.send(worker.read(look));
            }
        }));
        door.send_message(question).map_err(|_| down("it is down"))?;
        let limit = Duration::from_millis(self.stage.limits().query_ms_max);
        match tokio::time::timeout(limit, answer).await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(_)) => Err(down("it fell while it was asked")),
            Err(_) => Err(down("it takes too long")),
        }
    }

    /// Waits until every worker of `agent` has folded the entry at `seq`.
    ///
    /// # Errors
    /// [`RuntimeError::Busy`] when the time is up.
    pub async fn folded(&self, agent: &str, seq: u64, within: Duration) -> Result<(), RuntimeError> {
        let seats: Vec<_> = self.seats_of(agent).collect();
        let done = || seats.iter().all(|seat| self.stage.homes.get(*seat).is_none_or(|home| home.cursor() >= seq));
        self.wait_until(done, within).await
    }

    /// Waits until all is quiet: every worker at the journal's head.
    ///
    /// # Errors
    /// [`RuntimeError::Busy`] when the time is up.
    pub async fn settled(&self, within: Duration) -> Result<(), RuntimeError> {
        let quiet = || self.stage.homes.iter().all(|home| home.cursor() >= self.stage.journal.head());
        self.wait_until(quiet, within).await
    }

    async fn wait_until(&self, done: impl Fn() -> bool, within: Duration) -> Result<(), RuntimeError> {
        let waiting = async {
            loop {
                let progress = self.stage.progress.notified();
                if done() {
                    return;
                }
                // A worker may have gone on between the look and the wait: look again soon.
                let _ = tokio::time::timeout(Duration::from_millis(20), progress).await;
            }
        };
        tokio::time::timeout(within, waiting).await.map_err(|_| self.busy(within))
    }

    fn busy(&self, within: Duration) -> RuntimeError {
        let head = self.stage.journal.head();
        let behind = self.stage.homes.iter().filter(|home| home.cursor() < head);
        let behind: Vec<_> = behind.map(|home| format!("{} at {}", home.name, home.cursor())).collect();
        let waited_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        RuntimeError::Busy { waited_ms, head, behind: behind.join(", ") }
    }

    /// What can be seen of all agents.
    pub fn status(&self) -> Vec<AgentStatus> {
        status(&self.stage.homes, &self.stage.troupe.agents, self.stage.journal.head())
    }

    /// Holds an agent: it folds nothing until it is resumed.
    ///
    /// # Errors
    /// No such agent.
    pub fn pause(&self, agent: &str) -> Result<(), RuntimeError> {
        self.set_paused(agent, true)
    }

    /// Lets an agent go on, also one that was suspended for its failures.
    ///
    /// # Errors
    /// No such agent.
    pub fn resume(&self, agent: &str) -> Result<(), RuntimeError> {
        self.set_paused(agent, false)?;
        for seat in self.seats_of(agent) {
            let _ = self.supervisor.send_message(SupervisorMessage::Resume(seat));
            self.stage.ring(seat);
        }
        Ok(())
    }

    fn set_paused(&self, agent: &str, paused: bool) -> Result<(), RuntimeError> {
        let mut known = false;
        for seat in self.seats_of(agent) {
            known = true;
            if let Some(home) = self.stage.homes.get(seat) {
                home.pause(paused);
            }
        }
        if known { Ok(()) } else { Err(RuntimeError::UnknownAgent(agent.to_owned())) }
    }

    /// Stops: lets the agents come to rest for at most `drain`, writes all state, syncs, ends.
    /// Whoever submits from now on is told that the store has closed.
    ///
    /// # Errors
    /// The store's error; the state is then refolded at the next start.
    pub async fn stop(&self, drain: Duration) -> Result<(), RuntimeError> {
        if let Err(error) = self.settled(drain).await {
            tracing::warn!(%error, "stopping before the agents came to rest");
        }
        self.stage.closing.store(true, Ordering::Release);
        let now_ms = self.now_ms();
        for bell in &self.stage.bells {
            let Some(door) = bell.door() else { continue };
            let (done, wait) = oneshot::channel();
            if door.send_message(WorkerMessage::WriteBehind { now_ms, all: true, done: Some(done) }).is_ok() {
                let _ = tokio::time::timeout(drain.max(Duration::from_secs(5)), wait).await;
            }
        }
        let _ = self.supervisor.stop_and_wait(None, Some(Duration::from_secs(5))).await;
        if let Some(runtime) = self.runtime.lock().take() {
            runtime.shutdown_background();
        }
        let writer = self.stage.writer.lock().take();
        if let Some(writer) = writer {
            writer.close();
        }
        self.stage.journal.sync()?;
        Ok(())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stage.closing.store(true, Ordering::Release);
        self.supervisor.stop(None);
        if let Some(runtime) = self.runtime.lock().take() {
            runtime.shutdown_background();
        }
    }
}

/// Writes changed state as it comes due.
async fn write_behind(stage: Arc<Stage>) {
    while !stage.is_closing() {
        tokio::time::sleep(WRITE_BEHIND_EVERY).await;
        let now_ms = stage.clock.now_ms();
        for door in stage.bells.iter().filter_map(Bell::door) {
            let _ = door.send_message(WorkerMessage::WriteBehind { now_ms, all: false, done: None });
        }
    }
}
