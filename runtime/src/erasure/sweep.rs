//! Which entries are somebody's.

use std::{collections::BTreeMap, sync::Arc};

use impresario_store::{Entry, Seq, StoreError};

use super::{Ground, Through, find::newly_joined};
use crate::{RuntimeError, SubjectId, about::Abouts};

/// What a look at the whole journal has found.
pub(super) struct Swept {
    /// The entries that go, in order.
    pub(super) taken: Vec<Seq>,
    /// Subjects that have become one of the people, each with whose.
    pub(super) joined: BTreeMap<SubjectId, SubjectId>,
}

/// Looks for the entries of `through`: those that say whose they are, up to the entry at which that one is
/// forgotten, and what came of them, whenever it did.
pub(super) fn sweep(ground: &mut dyn Ground, through: &Through) -> Result<Swept, RuntimeError> {
    let journal = Arc::clone(ground.journal());
    let abouts = Abouts::of(&journal, ground.troupe());
    let mut swept = Swept { taken: Vec::new(), joined: BTreeMap::new() };
    crate::each_entry(&journal, 1, |entry| {
        if ground.is_closing() {
            return Err(StoreError::Closed.into());
        }
        if entry.erased.is_some() {
            return Ok(());
        }
        // What can't be read is nobody's: it was set aside when it came.
        let holds = abouts.holds(entry.topic, &entry.body).unwrap_or_default();
        let theirs = |subject: &SubjectId| through.get(subject).is_some_and(|through| entry.seq <= *through);
        let taken = holds.subjects.iter().any(theirs) || came_of(entry, &swept.taken, &abouts);
        if taken {
            swept.taken.push(entry.seq);
        }
        if let Some(joins) = holds.joins
            && (taken || joins.iter().any(theirs))
            && let Some((subject, with)) = newly_joined(ground, through, joins)?
        {
            swept.joined.insert(subject, with);
        }
        Ok::<(), RuntimeError>(())
    })?;
    Ok(swept)
}

/// Whether an entry came of one that is theirs, and is theirs with it.
pub(super) fn came_of(entry: &Entry, taken: &[Seq], abouts: &Abouts) -> bool {
    entry.cause != 0 && taken.binary_search(&entry.cause).is_ok() && abouts.is_personal(entry.topic)
}
