//! Answers about the past, kept while their pages are asked for.

use std::{collections::VecDeque, sync::Arc};

use impresario_agents::segmentation::Members;
use parking_lot::Mutex;

/// Answers kept at most.
const KEPT_MAX: usize = 4;

/// The last few answers to who was in a segment at an instant of the past. The past does not change.
#[derive(Default)]
pub(crate) struct PastMembers(Mutex<VecDeque<Kept>>);

struct Kept {
    segment: Box<str>,
    at_ms: i64,
    members: Arc<Members>,
}

impl PastMembers {
    pub(crate) fn get(&self, segment: &str, at_ms: i64) -> Option<Arc<Members>> {
        let kept = self.0.lock();
        let found = kept.iter().find(|kept| kept.at_ms == at_ms && *kept.segment == *segment)?;
        Some(Arc::clone(&found.members))
    }

    /// Somebody is no more, and was never there.
    pub(crate) fn forget(&self) {
        self.0.lock().clear();
    }

    pub(crate) fn keep(&self, segment: Box<str>, at_ms: i64, members: Arc<Members>) {
        let mut kept = self.0.lock();
        kept.push_back(Kept { segment, at_ms, members });
        if kept.len() > KEPT_MAX {
            kept.pop_front();
        }
    }
}
