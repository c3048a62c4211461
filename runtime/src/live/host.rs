use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use impresario_store::{Commit, Journal, Receipt, StoreError};
use parking_lot::Mutex;
use ractor::{Actor, ActorRef};
use tokio::sync::{Semaphore, oneshot};

use super::{
    actor::{Supervisor, SupervisorMessage},
    bell::Bell,
    effects, erase,
    message::WorkerMessage,
    spawn::task,
    stage::Stage,
};
use crate::{Clock, RunSeed, RuntimeError, Troupe, hold, home::homes};

const WRITE_BEHIND_EVERY: Duration = Duration::from_secs(1);

/// How long the agents' threads may take to end what they are at.
const END_WITHIN: Duration = Duration::from_secs(5);

/// A troupe at work: on actors, in real time, until it is stopped.
///
/// Dropped without [`Self::stop`], it ends as a killed process would, but for what waits to be
/// written: state in memory is folded again at the next start.
pub struct Host {
    pub(super) stage: Arc<Stage>,
    pub(super) supervisor: ActorRef<SupervisorMessage>,
    /// Places for callers that wait for the agents.
    pacing: Semaphore,
    /// The agents' own threads: their work never holds up the door.
    runtime: Mutex<Option<tokio::runtime::Runtime>>,
    erasing: Mutex<Option<std::thread::JoinHandle<()>>>,
    /// One agent is held or resumed at a time, so that what is on record is what is so.
    pub(super) holding: tokio::sync::Mutex<()>,
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
        let homes = homes(&journal, &troupe.agents, &troupe.limits)?;
        // Here alone: a driver, which refolds and compares, folds all there is.
        for home in &homes {
            let agent = troupe.agents.get(home.agent_index).map_or("", |agent| agent.name());
            home.pause(hold::is_held(&journal, agent)?);
        }
        let count = homes.len();
        let pending = journal.pending_effects()?;
        // What a killed process has left may not be on disk yet, and what is performed must be.
        journal.sync()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .thread_name("agents")
            .enable_time()
            .build()
            .map_err(|error| RuntimeError::Setup(format!("no threads for the agents: {error}")))?;
        let stage = Arc::new(Stage::new(journal, troupe, seed, clock, homes));
        let performing = stage.open(pending)?;
        let entered = runtime.enter();
        task(effects::dispatch(Arc::clone(&stage), performing));
        task(write_behind(Arc::clone(&stage)));
        let supervisor = Supervisor { stage: Arc::clone(&stage) };
        let (started, wait) = std::sync::mpsc::channel();
        task(async move {
            let spawned = Supervisor::spawn(None, supervisor, count).await;
            let _ = started.send(spawned.map(|(supervisor, _)| supervisor).map_err(|error| error.to_string()));
        });
        drop(entered);
        let supervisor = wait.recv().map_err(|error| error.to_string()).and_then(|spawned| spawned);
        let supervisor = supervisor.map_err(|why| {
            stage.close_writer();
            RuntimeError::Setup(why)
        })?;
        let pacing = Semaphore::new(stage.limits().lag_waiters_max);
        let erasing = Mutex::new(Some(erase::start(Arc::clone(&stage))?));
        let (runtime, holding) = (Mutex::new(Some(runtime)), tokio::sync::Mutex::new(()));
        Ok(Self { stage, supervisor, pacing, runtime, erasing, holding })
    }

    /// The journal.
    pub fn journal(&self) -> &Arc<Journal> {
        self.stage.journal()
    }

    /// The clock's present.
    pub fn now_ms(&self) -> i64 {
        self.stage.now_ms()
    }

    /// Appends, and answers once the commit is in (on disk, if it asks for that).
    ///
    /// # Errors
    /// [`StoreError::Busy`] where too much waits already or many timers that came due in between are
    /// to come first, [`StoreError::Closed`] once the host is being stopped; the store's other errors.
    pub async fn submit(&self, commit: Commit) -> Result<Receipt, RuntimeError> {
        if self.stage.is_shut() {
            return Err(StoreError::Closed.into());
        }
        if self.stage.is_stepping() {
            self.stage.wake_writer();
            let within = Duration::from_millis(self.stage.limits().query_ms_max);
            self.wait_until(|| !self.stage.is_stepping(), within).await.map_err(|_| StoreError::Busy)?;
        }
        let (reply, answer) = oneshot::channel();
        let writer = self.stage.writer()?;
        writer.try_send(commit, Box::new(move |outcome| drop(reply.send(outcome))))?;
        Ok(answer.await.unwrap_or(Err(StoreError::Closed))?)
    }

    /// Waits until every worker of `agent` has folded the entry at `seq`.
    ///
    /// # Errors
    /// No such agent; [`RuntimeError::Busy`] when the time is up.
    pub async fn folded(&self, agent: &str, seq: u64, within: Duration) -> Result<(), RuntimeError> {
        let seats = self.seats_of(agent)?;
        let done = || seats.iter().all(|seat| self.stage.homes.get(*seat).is_none_or(|home| home.cursor() >= seq));
        self.wait_until(done, within).await
    }

    /// As [`Self::folded`], and until what the agent said of it is in the journal too.
    ///
    /// # Errors
    /// As [`Self::folded`].
    pub async fn said(&self, agent: &str, seq: u64, within: Duration) -> Result<(), RuntimeError> {
        self.folded(agent, seq, within).await?;
        let homes: Vec<_> = self.seats_of(agent)?.iter().filter_map(|seat| self.stage.homes.get(*seat)).collect();
        let sent: Vec<_> = homes.iter().map(|home| home.commits().0).collect();
        let done = || homes.iter().zip(&sent).all(|(home, sent)| home.commits().1 >= *sent);
        self.wait_until(done, within).await
    }

    /// Waits a little while the agents are far behind, so that callers keep to their pace. Whether the caller may
    /// go on: not where too many wait already.
    #[must_use]
    pub async fn pace(&self) -> bool {
        let limits = self.stage.limits();
        let is_easy = || self.lag() <= limits.lag_entries_easy;
        if is_easy() {
            return true;
        }
        let Ok(_place) = self.pacing.try_acquire() else { return false };
        let _ = self.wait_until(is_easy, Duration::from_millis(limits.lag_wait_ms_max)).await;
        true
    }

    /// Waits until all is quiet: every worker at the journal's head, nothing on its way there, and no
    /// effect unanswered.
    ///
    /// # Errors
    /// [`RuntimeError::Busy`] when the time is up.
    pub async fn settled(&self, within: Duration) -> Result<(), RuntimeError> {
        let done = || self.are_all_at_head() && self.stage.effects().pending.load(Ordering::Acquire) == 0;
        // An answer may come between the two looks, so the agents are looked at again.
        self.wait_until(|| done() && self.are_all_at_head(), within).await
    }

    fn are_all_at_head(&self) -> bool {
        let cursors: Option<Vec<_>> = self.stage.homes.iter().map(crate::home::Home::rests).collect();
        let head = self.journal().head();
        cursors.is_some_and(|cursors| cursors.iter().all(|cursor| *cursor >= head))
    }

    async fn wait_until(&self, done: impl Fn() -> bool, within: Duration) -> Result<(), RuntimeError> {
        let waiting = async {
            loop {
                let progress = self.stage.progress.notified();
                if done() {
                    return;
                }
                // Not everything that may change the answer says so: look again soon.
                let _ = tokio::time::timeout(Duration::from_millis(20), progress).await;
            }
        };
        tokio::time::timeout(within, waiting).await.map_err(|_| self.busy(within))
    }

    fn busy(&self, within: Duration) -> RuntimeError {
        let head = self.journal().head();
        let behind = self.stage.homes.iter().filter(|home| home.cursor() < head);
        let behind: Vec<_> = behind.map(|home| format!("{} at {}", home.name, home.cursor())).collect();
        let waited_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        RuntimeError::Busy { waited_ms, head, behind: behind.join(", ") }
    }

    /// Stops: closes the door, lets the agents come to rest and effects under way end for at most
    /// `drain`, writes all state, syncs, ends. Whoever submits from now on is told that the store has
    /// closed; effects not performed yet stay in the outbox.
    ///
    /// # Errors
    /// The store's error; the state is then refolded at the next start.
    pub async fn stop(&self, drain: Duration) -> Result<(), RuntimeError> {
        if !self.stage.shut() {
            return Ok(());
        }
        let attempting = || self.stage.effects().attempting.load(Ordering::Acquire) > 0;
        if let Err(error) = self.wait_until(|| !attempting() && self.are_all_at_head(), drain).await {
            tracing::warn!(%error, "stopping before the agents came to rest");
        }
        self.stage.close();
        self.write_all(drain).await;
        let _ = self.supervisor.stop_and_wait(None, Some(END_WITHIN)).await;
        self.end_threads();
        self.journal().sync()?;
        Ok(())
    }

    /// Has every worker write its state, side by side.
    async fn write_all(&self, within: Duration) {
        let mut waits = Vec::new();
        for door in self.stage.bells.iter().filter_map(Bell::door) {
            let (done, wait) = oneshot::channel();
            if door.send_message(WorkerMessage::WriteBehind { all: true, done: Some(done) }).is_ok() {
                waits.push(wait);
            }
        }
        for wait in waits {
            let _ = tokio::time::timeout(within.max(END_WITHIN), wait).await;
        }
    }

    /// Ends the agents' threads and the writer's, and waits for them: then nobody holds the journal.
    fn end_threads(&self) {
        let Some(runtime) = self.runtime.lock().take() else { return };
        // On a thread of its own: a runtime must not be waited for on another runtime's thread.
        let ending = std::thread::Builder::new().name("agents-end".into()).spawn(move || {
            runtime.shutdown_timeout(END_WITHIN);
        });
        if let Ok(ending) = ending {
            let _ = ending.join();
        }
        self.stage.close_writer();
        if let Some(erasing) = self.erasing.lock().take() {
            let _ = erasing.join();
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stage.shut();
        self.stage.close();
        self.supervisor.stop(None);
        self.end_threads();
    }
}

/// Writes changed state as it comes due.
async fn write_behind(stage: Arc<Stage>) {
    while !stage.is_closing() {
        tokio::time::sleep(WRITE_BEHIND_EVERY).await;
        for door in stage.bells.iter().filter_map(Bell::door) {
            let _ = door.send_message(WorkerMessage::WriteBehind { all: false, done: None });
        }
    }
}
