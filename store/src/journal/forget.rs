use super::{entry::NameId, keys, shared::Journal};
use crate::{Durability, Op, StoreError, WriteBatch};

const ROWS: usize = 512;

impl Journal {
    /// Forgets all that was written behind of an agent's states, and how far its workers' were written: who
    /// starts over it folds the journal again from its first entry. Names, cursors, timers and effects
    /// stay. Cut short by a crash, it is to be called again.
    ///
    /// # Errors
    /// A full disk, or the engine's own error.
    pub fn forget_states(&self, owner: NameId, workers: &[NameId]) -> Result<(), StoreError> {
        let mut alone = self.hold_writing()?;
        let waiting = alone.take_waiting();
        self.put(&mut alone, waiting)?;
        // The marks first: states that are further than a mark says are folded over, never the other way.
        self.forget(workers.iter().map(|worker| keys::worker(*worker)))?;
        // Pages are their workers'; values of their own, as they once were, the agent's.
        for name in workers.iter().chain([&owner]) {
            let [high, low] = name.0.to_be_bytes();
            for space in [keys::PAGE, keys::STATE] {
                let from = vec![space, high, low];
                let to = match name.0.checked_add(1) {
                    Some(next) => [&[space], next.to_be_bytes().as_slice()].concat(),
                    None => vec![space + 1],
                };
                loop {
                    let rows = self.engine.scan(&from, Some(&to), ROWS)?;
                    if rows.is_empty() {
                        break;
                    }
                    self.forget(rows.into_iter().map(|(key, _)| key.to_vec()))?;
                }
            }
        }
        drop(alone);
        self.sync()
    }

    fn forget(&self, keys: impl Iterator<Item = Vec<u8>>) -> Result<(), StoreError> {
        let batch = WriteBatch { expect: Vec::new(), ops: keys.map(Op::Delete).collect() };
        self.engine.commit(batch, Durability::Written).map_err(|error| self.fail(error))
    }
}
