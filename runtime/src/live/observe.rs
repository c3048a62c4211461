//! Looking at a host's agents, and an operator's hand on them.

use std::{sync::atomic::Ordering, time::Duration};

use impresario_store::{Receipt, RequestKey, Seq};
use ractor::ActorRef;
use tokio::sync::oneshot;

use super::{actor::SupervisorMessage, bell::Bell, host::Host, message::WorkerMessage};
use crate::{
    Agent, AgentError, AgentKey, AgentStatus, KeyState, Metrics, Reading, RuntimeError, WaitingLetter, hold,
    home::{Home, status},
    letters,
    worker::{AnyWorker, Worker},
};

/// Pointers followed from one key to the key it has become.
const POINTERS_MAX: usize = 64;

/// How often, and how many times, a worker is looked for that is about to be at home.
const COMING_HOME_LOOK: Duration = Duration::from_millis(10);
const COMING_HOME_LOOKS: usize = 100;

impl Host {
    /// How many entries the slowest worker at work is behind.
    pub fn lag(&self) -> u64 {
        let head = self.journal().head();
        // One that is held or suspended catches up later; it must not close the door for all.
        let at_work = self.stage.homes.iter().filter(|home| home.is_at_work());
        at_work.map(|home| head.saturating_sub(home.cursor())).max().unwrap_or_default()
    }

    /// Whether the door must say "busy".
    pub fn is_overloaded(&self) -> bool {
        self.lag() > self.stage.limits().lag_entries_max
    }

    /// Whether the journal has stopped on an error.
    pub fn has_failed(&self) -> bool {
        self.stage.has_failed()
    }

    /// Groups written and microseconds spent syncing.
    pub fn writer_counters(&self) -> (u64, u64) {
        self.stage.writer().map(|writer| writer.counters()).unwrap_or_default()
    }

    /// What can be seen of all agents.
    pub fn status(&self) -> Vec<AgentStatus> {
        status(&self.stage.homes, &self.stage.troupe.agents, self.journal().head())
    }

    /// What can be counted.
    pub fn metrics(&self) -> Metrics {
        let (groups, sync_micros) = self.writer_counters();
        let (journal, effects) = (self.journal(), self.stage.effects());
        Metrics {
            head_seq: journal.head(),
            journal_ms: journal.last_at(),
            timers: journal.timers_len(),
            dedup_ids: journal.dedup_len(),
            groups,
            sync_micros,
            queued_commits: self.stage.writer().map(|writer| writer.queued()).unwrap_or_default(),
            effects_pending: effects.pending.load(Ordering::Relaxed),
            effects_attempting: effects.attempting.load(Ordering::Relaxed),
            effects_answered: effects.answered.load(Ordering::Relaxed),
            effects_failed: effects.failed.load(Ordering::Relaxed),
            effect_attempts: effects.attempts.load(Ordering::Relaxed),
            lag_entries: self.lag(),
            stopped: self.has_failed(),
            agents: self.status().iter().map(AgentStatus::metrics).collect(),
        }
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

    /// Asks one worker.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub async fn read_worker<A: Agent, R: Send + 'static>(
        &self,
        worker: usize,
        look: impl FnOnce(&mut Reading<'_, A>) -> R + Send + 'static,
    ) -> Result<R, RuntimeError> {
        let asked = self.ask(A::NAME, worker, move |worker| {
            worker.as_any().downcast_mut::<Worker<A>>().map(|worker| worker.read(look))
        });
        asked.await?.ok_or_else(|| RuntimeError::UnknownAgent(A::NAME.to_owned()))
    }

    /// How many workers an agent has here.
    pub fn workers<A: Agent>(&self) -> usize {
        self.seats_of(A::NAME).map(|seats| seats.len()).unwrap_or_default()
    }

    /// The state of a key, both by name; a key that has become another one is followed to it.
    ///
    /// # Errors
    /// No such agent, no key of that form; the agent is down or takes too long.
    pub async fn state_json(&self, agent: &str, key: &str) -> Result<Option<KeyState>, RuntimeError> {
        let workers = self.seats_of(agent)?.len().max(1);
        let mut key = key.to_owned();
        let mut found: Option<KeyState> = None;
        for _ in 0..POINTERS_MAX {
            let worker = usize::from(self.partition_of(agent, &key)?) % workers;
            let asked = key.clone();
            found = self.ask_json(agent, worker, move |worker| worker.state_json(&asked)).await?;
            match found.as_ref().and_then(|state| state.moved_to.clone()) {
                Some(next) => key = next,
                None => break,
            }
        }
        Ok(found)
    }

    /// Up to `limit` keys with state of one worker of an agent, after the key `after`, as texts.
    ///
    /// # Errors
    /// No such agent or worker; it is down or takes too long.
    pub async fn key_texts(
        &self,
        agent: &str,
        worker: usize,
        after: Option<String>,
        limit: usize,
    ) -> Result<Vec<String>, RuntimeError> {
        self.ask_json(agent, worker, move |worker| worker.key_texts(after.as_deref(), limit)).await
    }

    /// What all keys of an agent share, as its first worker has it.
    ///
    /// # Errors
    /// No such agent; it is down or takes too long.
    pub async fn shared_json(&self, agent: &str) -> Result<Option<serde_json::Value>, RuntimeError> {
        self.ask_json(agent, 0, |worker| worker.shared_json()).await
    }

    async fn ask_json<R: Send + 'static>(
        &self,
        agent: &str,
        worker: usize,
        look: impl FnOnce(&mut dyn AnyWorker) -> Result<R, AgentError> + Send + 'static,
    ) -> Result<R, RuntimeError> {
        self.ask(agent, worker, look).await?.map_err(|error| crate::driver::unreadable(agent, &error))
    }

    async fn ask<R: Send + 'static>(
        &self,
        agent: &str,
        worker: usize,
        look: impl FnOnce(&mut dyn AnyWorker) -> R + Send + 'static,
    ) -> Result<R, RuntimeError> {
        let down = |why: &str| RuntimeError::Unavailable { agent: agent.to_owned(), worker, why: why.to_owned() };
        let seat = self.seats_of(agent)?.get(worker).copied().ok_or_else(|| down("there is no such worker"))?;
        let door = self.door_of(seat).await.ok_or_else(|| down("it is down"))?;
        let (reply, answer) = oneshot::channel();
        let question = Box::new(move |worker: &mut dyn AnyWorker| drop(reply.send(look(worker))));
        door.send_message(WorkerMessage::Ask(question)).map_err(|_| down("it is down"))?;
        let limit = Duration::from_millis(self.stage.limits().query_ms_max);
        match tokio::time::timeout(limit, answer).await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(_)) => Err(down("it fell while it was asked")),
            Err(_) => Err(down("it takes too long")),
        }
    }

    /// The door of a worker; one that is about to be at home (at a start, or after a fall) is waited for a little.
    async fn door_of(&self, seat: usize) -> Option<ActorRef<WorkerMessage>> {
        for _ in 0..COMING_HOME_LOOKS {
            if let Some(door) = self.stage.bells.get(seat).and_then(Bell::door) {
                return Some(door);
            }
            if self.stage.is_closing() || self.stage.homes.get(seat).is_none_or(Home::is_suspended) {
                return None;
            }
            tokio::time::sleep(COMING_HOME_LOOK).await;
        }
        None
    }

    /// The dead letters of an agent that wait, after the entry `after`, at most `limit` (1,000), in order.
    ///
    /// # Errors
    /// No such agent, or the store's error.
    pub fn dead_letters(&self, agent: &str, after: Seq, limit: usize) -> Result<Vec<WaitingLetter>, RuntimeError> {
        letters::list(self.journal(), agent, self.seats_of(agent)?.len(), after, limit)
    }

    /// One dead letter that waits, with what its entry says; null where that is erased.
    ///
    /// # Errors
    /// No such agent or letter, or the store's error.
    pub fn dead_letter(&self, agent: &str, seq: Seq) -> Result<(WaitingLetter, serde_json::Value), RuntimeError> {
        letters::one(self.journal(), agent, self.seats_of(agent)?.len(), seq)
    }

    /// Has a dead letter folded after all, at the journal's end. A repeated `request` changes nothing.
    ///
    /// # Errors
    /// No such agent or letter, or the store's error.
    pub async fn retry_letter(
        &self,
        agent: &str,
        seq: Seq,
        request: Option<RequestKey>,
    ) -> Result<Receipt, RuntimeError> {
        self.letter_again(agent, seq, false, request).await
    }

    /// Drops a dead letter for good.
    ///
    /// # Errors
    /// No such agent or letter, or the store's error.
    pub async fn drop_letter(
        &self,
        agent: &str,
        seq: Seq,
        request: Option<RequestKey>,
    ) -> Result<Receipt, RuntimeError> {
        self.letter_again(agent, seq, true, request).await
    }

    async fn letter_again(
        &self,
        agent: &str,
        seq: Seq,
        drop: bool,
        request: Option<RequestKey>,
    ) -> Result<Receipt, RuntimeError> {
        let mut commit = letters::again(self.journal(), agent, self.seats_of(agent)?.len(), seq, drop)?;
        commit.request = request;
        self.submit(commit).await
    }

    /// Holds an agent: it folds nothing until it is resumed, in this process or a later one. On record, with
    /// `by` whom; a repeated `request` changes nothing.
    ///
    /// # Errors
    /// No such agent, or the store's error.
    pub async fn pause(&self, agent: &str, by: &str, request: Option<RequestKey>) -> Result<(), RuntimeError> {
        let seats = self.seats_of(agent)?;
        let _one_at_a_time = self.holding.lock().await;
        let kept = self.submit(hold::commit(self.journal(), agent, by, true, request)?).await?;
        if kept.repeated.is_none() {
            self.set_paused(&seats, true);
        }
        Ok(())
    }

    /// Lets an agent go on, also one that was suspended for its failures. On record as [`Self::pause`] is.
    ///
    /// # Errors
    /// No such agent, or the store's error.
    pub async fn resume(&self, agent: &str, by: &str, request: Option<RequestKey>) -> Result<(), RuntimeError> {
        let seats = self.seats_of(agent)?;
        let _one_at_a_time = self.holding.lock().await;
        let kept = self.submit(hold::commit(self.journal(), agent, by, false, request)?).await?;
        if kept.repeated.is_some() {
            return Ok(());
        }
        self.set_paused(&seats, false);
        for seat in seats {
            let _ = self.supervisor.send_message(SupervisorMessage::Resume(seat));
            self.stage.ring(seat);
        }
        Ok(())
    }

    /// Kills the actor of one worker, whatever it is at: a fault, to see it started again.
    ///
    /// # Errors
    /// No such agent or worker, or it is down already.
    pub fn kill(&self, agent: &str, worker: usize) -> Result<(), RuntimeError> {
        let down = || RuntimeError::Unavailable { agent: agent.to_owned(), worker, why: "it is down".into() };
        let seat = self.seats_of(agent)?.get(worker).copied().ok_or_else(down)?;
        let door = self.stage.bells.get(seat).and_then(Bell::door).ok_or_else(down)?;
        door.kill();
        Ok(())
    }

    fn set_paused(&self, seats: &[usize], paused: bool) {
        seats.iter().filter_map(|seat| self.stage.homes.get(*seat)).for_each(|home| home.pause(paused));
    }

    fn partition_of(&self, agent: &str, key: &str) -> Result<u16, RuntimeError> {
        let found = self.stage.troupe.agents.iter().find(|known| known.name() == agent);
        let found = found.and_then(|known| known.partition_of(key));
        found.ok_or_else(|| RuntimeError::UnknownKey { agent: agent.to_owned() })
    }

    pub(super) fn seats_of(&self, agent: &str) -> Result<Vec<usize>, RuntimeError> {
        let index = self.stage.troupe.agents.iter().position(|known| known.name() == agent);
        let index = index.ok_or_else(|| RuntimeError::UnknownAgent(agent.to_owned()))?;
        let homes = self.stage.homes.iter().enumerate();
        Ok(homes.filter(|(_, home): &(usize, &Home)| home.agent_index == index).map(|(seat, _)| seat).collect())
    }
}
