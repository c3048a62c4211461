//! Looking at a driver's agents by name, and an operator's hand on them.

use impresario_store::{Receipt, Seq};

use super::Driver;
use crate::{
    AgentStatus, Digest, KeyState, RuntimeError, WaitingLetter,
    digest::{StatesDigest, journal_digest},
    home::status,
    letters,
    worker::AnyWorker,
};

/// Pointers followed from one key to the key it has become.
const POINTERS_MAX: usize = 64;

impl Driver {
    /// What can be seen of all agents.
    pub fn status(&self) -> Vec<AgentStatus> {
        status(&self.seats, &self.troupe.agents, self.journal.head())
    }

    /// The state of a key, both by name; a key that has become another one is followed to it.
    ///
    /// # Errors
    /// No such agent, no key of that form, or the agent is down.
    pub fn state_json(&mut self, agent: &str, key: &str) -> Result<Option<KeyState>, RuntimeError> {
        let mut key = key.to_owned();
        let mut found = None;
        for _ in 0..POINTERS_MAX {
            let seats = self.seats_of(agent)?;
            let partition = self.partition_of(agent, &key)?;
            let worker = usize::from(partition) % seats.len().max(1);
            let seat = seats.get(worker).copied().unwrap_or_default();
            found = self.worker_at(agent, seat)?.state_json(&key).map_err(|error| unreadable(agent, &error))?;
            match found.as_ref().and_then(|state: &KeyState| state.moved_to.clone()) {
                Some(next) => key = next,
                None => break,
            }
        }
        Ok(found)
    }

    /// Up to `limit` keys with state of one worker of an agent, after the key `after`, as texts.
    ///
    /// # Errors
    /// No such agent or worker, or it is down.
    pub fn key_texts(
        &mut self,
        agent: &str,
        worker: usize,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, RuntimeError> {
        let seat = self.seats_of(agent)?.get(worker).copied().unwrap_or(usize::MAX);
        self.worker_at(agent, seat)?.key_texts(after, limit).map_err(|error| unreadable(agent, &error))
    }

    /// The dead letters of an agent that wait, after the entry `after`, at most `limit` (1,000).
    ///
    /// # Errors
    /// No such agent, or the store's error.
    pub fn dead_letters(&self, agent: &str, after: Seq, limit: usize) -> Result<Vec<WaitingLetter>, RuntimeError> {
        letters::list(&self.journal, agent, self.seats_of(agent)?.len(), after, limit)
    }

    /// Has a dead letter folded after all, at the journal's end.
    ///
    /// # Errors
    /// No such agent or letter, or the store's error.
    pub fn retry_letter(&mut self, agent: &str, seq: Seq) -> Result<Receipt, RuntimeError> {
        let commit = letters::again(&self.journal, agent, self.seats_of(agent)?.len(), seq, false)?;
        self.submit(commit)
    }

    /// Drops a dead letter for good.
    ///
    /// # Errors
    /// No such agent or letter, or the store's error.
    pub fn drop_letter(&mut self, agent: &str, seq: Seq) -> Result<Receipt, RuntimeError> {
        let commit = letters::again(&self.journal, agent, self.seats_of(agent)?.len(), seq, true)?;
        self.submit(commit)
    }

    /// Lets an agent go on that was suspended for its failures.
    ///
    /// # Errors
    /// No such agent.
    pub fn resume(&mut self, agent: &str) -> Result<(), RuntimeError> {
        let now_ms = self.now_ms();
        for seat in self.seats_of(agent)? {
            if let Some(seat) = self.seats.get_mut(seat).filter(|seat| seat.home.is_suspended()) {
                seat.home.resumed();
                seat.again_ms = Some(now_ms);
            }
        }
        Ok(())
    }

    /// What the run has come to, states in memory included.
    ///
    /// # Errors
    /// A worker that is down, or the store's error.
    pub fn digest(&mut self) -> Result<Digest, RuntimeError> {
        Ok(Digest { journal: journal_digest(&self.journal)?, states: self.states_digest()? })
    }

    /// A digest over the states of all agents.
    ///
    /// # Errors
    /// A worker that is down, or the store's error.
    pub fn states_digest(&mut self) -> Result<[u8; 32], RuntimeError> {
        let mut hasher = blake3::Hasher::new();
        let mut agents: Vec<_> = self.troupe.agents.iter().map(|agent| agent.name()).collect();
        agents.sort_unstable();
        for agent in agents {
            let mut states = StatesDigest::default();
            for (worker, seat) in self.seats_of(agent)?.into_iter().enumerate() {
                self.worker_at(agent, seat)?.each_body(&mut |key, body| states.add(worker, key, body))?;
            }
            states.end(agent, &mut hasher);
        }
        Ok(*hasher.finalize().as_bytes())
    }

    fn partition_of(&self, agent: &str, key: &str) -> Result<u16, RuntimeError> {
        let found = self.troupe.agents.iter().find(|known| known.name() == agent);
        let found = found.and_then(|known| known.partition_of(key));
        found.ok_or_else(|| RuntimeError::UnknownKey { agent: agent.to_owned() })
    }

    pub(super) fn seats_of(&self, agent: &str) -> Result<Vec<usize>, RuntimeError> {
        let index = self.troupe.agents.iter().position(|known| known.name() == agent);
        let index = index.ok_or_else(|| RuntimeError::UnknownAgent(agent.to_owned()))?;
        let seats = self.seats.iter().enumerate().filter(|(_, seat)| seat.home.agent_index == index);
        Ok(seats.map(|(seat, _)| seat).collect())
    }

    pub(super) fn worker_at(&mut self, agent: &str, seat: usize) -> Result<&mut dyn AnyWorker, RuntimeError> {
        let found = self.seats.get_mut(seat);
        let worker = found.as_ref().map_or(0, |seat| seat.home.worker);
        let down = || RuntimeError::Unavailable { agent: agent.to_owned(), worker, why: "it is down".into() };
        Ok(found.and_then(|seat| seat.worker.as_mut()).ok_or_else(down)?.as_mut())
    }
}

pub(crate) fn unreadable(agent: &str, error: &crate::AgentError) -> RuntimeError {
    RuntimeError::Unavailable { agent: agent.to_owned(), worker: 0, why: error.to_string() }
}
