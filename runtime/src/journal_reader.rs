//! Reading the journal with the last few chunks at hand.

use std::{cell::RefCell, collections::VecDeque, sync::Arc};

use impresario_store::{Chunk, Journal, Seq, StoreError};

use crate::Topic;

/// Chunks kept at hand: what is said of an event comes some chunks after it.
const RECENT: usize = 16;

/// A reader of one worker: most looks back go to a chunk that was read just before.
pub(crate) struct Reader {
    journal: Arc<Journal>,
    recent: RefCell<VecDeque<Arc<Chunk>>>,
}

impl Reader {
    pub(crate) fn new(journal: Arc<Journal>) -> Self {
        Self { journal, recent: RefCell::default() }
    }

    pub(crate) fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    /// Whether what the entry at `seq` says is gone with age for the entry at `at`: the same before the body has
    /// gone and after.
    pub(crate) fn is_gone<T: Topic>(&self, at: Seq, seq: Seq, body: &T) -> bool {
        let goes = T::PERSONAL && !T::KEPT && body.subject().is_some() && body.joins().is_none();
        goes && self.journal.horizon_at(at).is_some_and(|horizon| seq < horizon.before)
    }

    pub(crate) fn chunk(&self, seq: Seq) -> Result<Option<Arc<Chunk>>, StoreError> {
        for chunk in self.recent.borrow().iter() {
            if chunk.first() <= seq && seq <= chunk.last() {
                return Ok(Some(Arc::clone(chunk)));
            }
        }
        let found = self.journal.chunk(seq)?;
        if let Some(chunk) = &found {
            let mut recent = self.recent.borrow_mut();
            recent.truncate(RECENT - 1);
            recent.push_front(Arc::clone(chunk));
        }
        Ok(found)
    }
}
