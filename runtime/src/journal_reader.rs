//! Reading the journal with the last two chunks at hand.

use std::{cell::RefCell, sync::Arc};

use impresario_store::{Chunk, Journal, Seq, StoreError};

/// A reader of one worker: most looks back go to the chunk just read or the one before.
pub(crate) struct Reader {
    journal: Arc<Journal>,
    recent: RefCell<[Option<Arc<Chunk>>; 2]>,
}

impl Reader {
    pub(crate) fn new(journal: Arc<Journal>) -> Self {
        Self { journal, recent: RefCell::default() }
    }

    pub(crate) fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    pub(crate) fn chunk(&self, seq: Seq) -> Result<Option<Arc<Chunk>>, StoreError> {
        for chunk in self.recent.borrow().iter().flatten() {
            if chunk.first() <= seq && seq <= chunk.last() {
                return Ok(Some(Arc::clone(chunk)));
            }
        }
        let found = self.journal.chunk(seq)?;
        if let Some(chunk) = &found {
            let mut recent = self.recent.borrow_mut();
            recent.swap(0, 1);
            if let Some(first) = recent.first_mut() {
                *first = Some(Arc::clone(chunk));
            }
        }
        Ok(found)
    }
}
