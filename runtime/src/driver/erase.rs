//! Erasing people on a driver.

use std::sync::Arc;

use impresario_store::{Commit, Entry, Journal, Receipt, Seq, StoreError};

use super::Driver;
use crate::{
    ErasureStatus, RetentionStatus, RuntimeError, SubjectId, Troupe,
    erasure::{self, Ground, Turn},
    retention,
};

impl Driver {
    /// Asks for everything of a person to be erased; [`Self::settle`] does it. The person is named by the
    /// number all their others have become.
    ///
    /// # Errors
    /// The store's error.
    pub fn erase(&mut self, person: SubjectId) -> Result<(), RuntimeError> {
        if let Some(commit) = erasure::ask(&self.journal, person, self.now_ms())? {
            self.submit(commit)?;
        }
        self.erasing.look_again();
        Ok(())
    }

    /// How the erasure of a person stands; `None` where nobody asked for it.
    ///
    /// # Errors
    /// The store's error.
    pub fn erasure(&self, person: SubjectId) -> Result<Option<ErasureStatus>, RuntimeError> {
        erasure::status(&self.journal, person)
    }

    /// Shows `look` every entry of a person, in order. The person is named by the number all their others have
    /// become.
    ///
    /// # Errors
    /// The store's error, or a worker that is down; what `look` says.
    pub fn gather<E: From<RuntimeError> + From<StoreError>>(
        &mut self,
        person: SubjectId,
        look: impl FnMut(&Entry) -> Result<(), E>,
    ) -> Result<(), E> {
        erasure::gather(self, person, look)
    }

    /// Goes on with what is to be erased, then with what is to be forgotten with age; false where there is nothing.
    pub(super) fn go_on_erasing(&mut self) -> Result<bool, RuntimeError> {
        let mut erasing = std::mem::take(&mut self.erasing);
        let mut any = false;
        let turn = loop {
            match erasing.advance(self) {
                Ok(Turn::More) => any = true,
                other => break other,
            }
        };
        self.erasing = erasing;
        let turn = turn?;
        if any || turn == Turn::Wait {
            return Ok(true);
        }
        let mut retaining = std::mem::take(&mut self.retaining);
        let turn = loop {
            match retaining.advance(self) {
                Ok(Turn::More) => any = true,
                other => break other,
            }
        };
        self.retaining = retaining;
        turn.map(|_| any)
    }

    /// How retention by age stands; [`Self::settle`] goes on with it.
    ///
    /// # Errors
    /// The store's error.
    pub fn retention(&self) -> Result<RetentionStatus, RuntimeError> {
        retention::status(&self.journal, &self.troupe, self.retaining.forgotten())
    }
}

impl Ground for Driver {
    fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    fn troupe(&self) -> &Troupe {
        &self.troupe
    }

    fn moved_to(&mut self, subject: SubjectId) -> Result<Vec<SubjectId>, RuntimeError> {
        let mut found = Vec::new();
        let agents: Vec<_> = self.troupe.agents.iter().map(|agent| agent.name()).collect();
        for agent in agents {
            let known = self.troupe.agents.iter().find(|known| known.name() == agent);
            let Some(partition) = known.and_then(|known| known.partition_of_subject(subject)) else { continue };
            let seats = self.seats_of(agent)?;
            let seat = seats.get(usize::from(partition) % seats.len().max(1)).copied().unwrap_or_default();
            found.extend(self.worker_at(agent, seat)?.moved_to(subject)?);
        }
        Ok(found)
    }

    fn submit(&mut self, commit: Commit) -> Result<Receipt, RuntimeError> {
        Self::submit(self, commit)
    }

    fn behind(&self, seq: Seq) -> Vec<String> {
        let behind = self.seats.iter().filter(|seat| seat.home.cursor() < seq);
        behind.map(|seat| seat.home.name.clone()).collect()
    }

    fn write_out(&mut self, seq: Seq) -> Result<(), RuntimeError> {
        for seat in self.seats.iter_mut().filter(|seat| seat.home.cursor() >= seq) {
            let Some(worker) = seat.worker.as_mut() else { continue };
            worker.write_behind(true).map_err(|failure| RuntimeError::Unavailable {
                agent: seat.home.name.clone(),
                worker: seat.home.worker,
                why: failure.what,
            })?;
        }
        Ok(())
    }
}
