//! Erasing people on a host, on a thread of its own.

use std::{
    sync::{Arc, atomic::Ordering},
    thread::JoinHandle,
    time::Duration,
};

use impresario_store::{Commit, Entry, Journal, Receipt, Seq, StoreError};
use parking_lot::{Condvar, Mutex};

use super::{bell::Bell, host::Host, message::WorkerMessage, stage::Stage};
use crate::{
    ErasureStatus, RetentionStatus, RuntimeError, SubjectId, Troupe,
    erasure::{self, Erasing, Ground, Turn},
    retention::{self, Retaining},
    worker::AnyWorker,
};

/// Between two portions: others commit meanwhile.
const PORTION_PAUSE: Duration = Duration::from_millis(2);
/// Between two looks at agents that are waited for.
const AGENTS_PAUSE: Duration = Duration::from_millis(50);
/// Before what failed is tried again.
const FAILURE_PAUSE: Duration = Duration::from_secs(1);
/// The longest nap with nothing to do.
const IDLE: Duration = Duration::from_secs(60);

/// Wakes the thread that erases.
#[derive(Default)]
pub(super) struct Alarm {
    rung: Mutex<bool>,
    heard: Condvar,
}

impl Alarm {
    pub(super) fn ring(&self) {
        *self.rung.lock() = true;
        self.heard.notify_all();
    }

    /// Naps until it is rung or the time is up; whether it was rung.
    fn nap(&self, at_most: Duration) -> bool {
        let mut rung = self.rung.lock();
        if !*rung {
            self.heard.wait_for(&mut rung, at_most);
        }
        std::mem::take(&mut *rung)
    }
}

/// Starts the thread; what was asked for before a crash comes first.
pub(super) fn start(stage: Arc<Stage>) -> Result<JoinHandle<()>, RuntimeError> {
    let started = std::thread::Builder::new().name("erasing".into()).spawn(move || run(&stage));
    started.map_err(|error| RuntimeError::Setup(format!("no thread to erase people on: {error}")))
}

fn run(stage: &Arc<Stage>) {
    let mut ground = OnStage(Arc::clone(stage));
    let mut erasing = Erasing::default();
    let mut retaining = Retaining::default();
    while !stage.is_closing() {
        // Nobody is erased and nothing forgotten with age at once: who looks for a person's entries finds them.
        let turn = match erasing.advance(&mut ground) {
            Ok(Turn::Idle) => retaining.advance(&mut ground),
            other => other,
        };
        let pause = match turn {
            Ok(Turn::More) => PORTION_PAUSE,
            Ok(Turn::Wait) => AGENTS_PAUSE,
            Ok(Turn::Idle) => IDLE,
            Err(RuntimeError::Store(StoreError::Closed | StoreError::Stopped { .. })) => return,
            Err(error) => {
                tracing::warn!(%error, "erasing people, or forgetting with age, is tried again");
                FAILURE_PAUSE
            }
        };
        stage.forgotten.store(retaining.forgotten(), Ordering::Release);
        stage.people_erased.store(erasing.people_erased(), Ordering::Release);
        if stage.alarm.nap(pause) {
            erasing.look_again();
        }
    }
}

struct OnStage(Arc<Stage>);

impl OnStage {
    fn ask<R: Send + 'static>(
        &self,
        agent: usize,
        worker: usize,
        look: impl FnOnce(&mut dyn AnyWorker) -> R + Send + 'static,
    ) -> Result<R, RuntimeError> {
        let name = self.0.troupe.agents.get(agent).map(|agent| agent.name().to_owned()).unwrap_or_default();
        let down = |why: &str| RuntimeError::Unavailable { agent: name.clone(), worker, why: why.to_owned() };
        let homes = self.0.homes.iter().enumerate();
        let seat = homes.filter(|(_, home)| home.agent_index == agent).nth(worker).map(|(seat, _)| seat);
        let door = seat.and_then(|seat| self.0.bells.get(seat)).and_then(Bell::door);
        let door = door.ok_or_else(|| down("it is down"))?;
        let (reply, answer) = std::sync::mpsc::channel();
        let question = Box::new(move |worker: &mut dyn AnyWorker| drop(reply.send(look(worker))));
        door.send_message(WorkerMessage::Ask(question)).map_err(|_| down("it is down"))?;
        let limit = Duration::from_millis(self.0.limits().query_ms_max);
        answer.recv_timeout(limit).map_err(|_| down("it takes too long"))
    }
}

impl Ground for OnStage {
    fn journal(&self) -> &Arc<Journal> {
        self.0.journal()
    }

    fn troupe(&self) -> &Troupe {
        &self.0.troupe
    }

    fn moved_to(&mut self, subject: SubjectId) -> Result<Vec<SubjectId>, RuntimeError> {
        let mut found = Vec::new();
        for (index, agent) in self.0.troupe.agents.iter().enumerate() {
            let Some(partition) = agent.partition_of_subject(subject) else { continue };
            let workers = self.0.homes.iter().filter(|home| home.agent_index == index).count();
            let worker = usize::from(partition) % workers.max(1);
            found.extend(self.ask(index, worker, move |worker| worker.moved_to(subject))??);
        }
        Ok(found)
    }

    fn submit(&mut self, commit: Commit) -> Result<Receipt, RuntimeError> {
        let (done, wait) = std::sync::mpsc::channel();
        let reply = Box::new(move |outcome| drop(done.send(outcome)));
        self.0.writer()?.send(commit, Some(reply))?;
        Ok(wait.recv().unwrap_or(Err(StoreError::Closed))?)
    }

    fn behind(&self, seq: Seq) -> Vec<String> {
        let behind = self.0.homes.iter().filter(|home| home.cursor() < seq);
        behind.map(|home| home.name.clone()).collect()
    }

    fn write_out(&mut self, seq: Seq) -> Result<(), RuntimeError> {
        for (home, bell) in self.0.homes.iter().zip(&self.0.bells) {
            if home.cursor() >= seq
                && let Some(door) = bell.door()
            {
                // Where it has just fallen, its supervisor starts it again.
                let _ = door.send_message(WorkerMessage::WriteBehind { all: true, done: None });
            }
        }
        Ok(())
    }

    fn is_closing(&self) -> bool {
        self.0.is_closing()
    }
}

/// Looks for everything of one person, off the agents' threads.
pub struct Gatherer(OnStage);

impl Gatherer {
    /// Shows `look` every entry of a person, in order: reads the whole journal. The person is named by the
    /// number all their others have become.
    ///
    /// # Errors
    /// The store's error, or an agent that does not answer; what `look` says.
    pub fn gather<E: From<RuntimeError> + From<StoreError>>(
        &mut self,
        person: SubjectId,
        look: impl FnMut(&Entry) -> Result<(), E>,
    ) -> Result<(), E> {
        erasure::gather(&mut self.0, person, look)
    }
}

impl Host {
    /// Whoever looks for everything of one person.
    pub fn gatherer(&self) -> Gatherer {
        Gatherer(OnStage(Arc::clone(&self.stage)))
    }

    /// Asks for everything of a person to be erased, which is done in the background, also after a crash. The
    /// person is named by the number all their others have become. Answers how it stands.
    ///
    /// # Errors
    /// The store's error.
    pub async fn erase(&self, person: SubjectId) -> Result<ErasureStatus, RuntimeError> {
        if let Some(commit) = erasure::ask(self.journal(), person, self.now_ms())? {
            self.submit(commit).await?;
        }
        self.stage.alarm.ring();
        let status = self.erasure(person)?;
        status.ok_or_else(|| RuntimeError::Setup("an erasure that was asked for is not there".into()))
    }

    /// How the erasure of a person stands; `None` where nobody asked for it.
    ///
    /// # Errors
    /// The store's error.
    pub fn erasure(&self, person: SubjectId) -> Result<Option<ErasureStatus>, RuntimeError> {
        erasure::status(self.journal(), person)
    }

    /// Erasures under way and done, of people after `after`, at most `limit`, in order of their numbers.
    ///
    /// # Errors
    /// The store's error.
    pub fn erasures(&self, after: Option<SubjectId>, limit: usize) -> Result<Vec<ErasureStatus>, RuntimeError> {
        erasure::list(self.journal(), after, limit)
    }

    /// How many people were erased since the start.
    pub fn people_erased(&self) -> u64 {
        self.stage.people_erased.load(Ordering::Acquire)
    }

    /// How retention by age stands.
    ///
    /// # Errors
    /// The store's error.
    pub fn retention(&self) -> Result<RetentionStatus, RuntimeError> {
        retention::status(self.journal(), &self.stage.troupe, self.stage.forgotten.load(Ordering::Acquire))
    }

    /// The workers that an erasure waits for: those that are not at the journal's end.
    pub fn behind(&self) -> Vec<String> {
        OnStage(Arc::clone(&self.stage)).behind(self.journal().head())
    }
}
