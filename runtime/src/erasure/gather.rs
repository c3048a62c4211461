//! Everything the journal holds of one person, to be handed to them.

use std::sync::Arc;

use impresario_store::{Entry, StoreError};

use super::{Ground, Through, find::subjects_of, sweep::came_of};
use crate::{RuntimeError, SubjectId, about::Abouts};

/// Shows `look` every entry of a person that is not erased, in order. The person is named by the number all
/// their others have become.
pub(crate) fn gather<E: From<RuntimeError> + From<StoreError>>(
    ground: &mut dyn Ground,
    person: SubjectId,
    mut look: impl FnMut(&Entry) -> Result<(), E>,
) -> Result<(), E> {
    let subjects = subjects_of(ground, [person].into_iter())?;
    let through: Through = subjects.into_iter().map(|(subject, _)| (subject, u64::MAX)).collect();
    let journal = Arc::clone(ground.journal());
    let abouts = Abouts::of(&journal, ground.troupe());
    let mut taken = Vec::new();
    crate::each_entry(&journal, 1, |entry| {
        if ground.is_closing() {
            return Err(StoreError::Closed.into());
        }
        if entry.erased.is_some() {
            return Ok(());
        }
        let holds = abouts.holds(entry.topic, &entry.body).unwrap_or_default();
        if holds.subjects.iter().any(|subject| through.contains_key(subject)) || came_of(entry, &taken, &abouts) {
            taken.push(entry.seq);
            look(entry)?;
        }
        Ok(())
    })
}
