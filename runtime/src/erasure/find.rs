//! Which subjects are one person.
//!
//! The journal tells which subjects may have become which; where the states of a subject have really gone
//! is for the agents to say. So a subject is a person's if the journal has it joined to one of theirs, and
//! the pointers lead from it to them.

use std::sync::Arc;

use super::{Ground, Through};
use crate::{RuntimeError, SubjectId, about::Abouts};

/// Pointers followed from one subject; they go to a lower number, so they end.
const HOPS_MAX: usize = 64;

/// The subjects that have become one of these people, each with whom; the people themselves among them.
pub(super) fn subjects_of(
    ground: &mut dyn Ground,
    people: impl Iterator<Item = SubjectId>,
) -> Result<Vec<(SubjectId, SubjectId)>, RuntimeError> {
    let mut owners: hashbrown::HashMap<SubjectId, SubjectId, foldhash::fast::FixedState> =
        people.map(|person| (person, person)).collect();
    let journal = Arc::clone(ground.journal());
    let abouts = Abouts::of(&journal, ground.troupe());
    // From the end back: who has become somebody did so after what was joined to them.
    let mut next = journal.head();
    while let Some(chunk) = journal.chunk(next)? {
        if ground.is_closing() {
            return Err(impresario_store::StoreError::Closed.into());
        }
        for entry in chunk.entries.iter().rev().filter(|entry| entry.seq <= next && entry.erased.is_none()) {
            let Some([one, other]) = abouts.joins(entry.topic, &entry.body)? else { continue };
            let (known, new) = match (owners.contains_key(&one), owners.contains_key(&other)) {
                (true, false) => (one, other),
                (false, true) => (other, one),
                _ => continue,
            };
            let owner = owners.get(&known).copied().unwrap_or(known);
            if leads_to(ground, new, |subject| owners.get(&subject) == Some(&owner))? {
                owners.insert(new, owner);
            }
        }
        next = chunk.first().saturating_sub(1);
    }
    let mut found: Vec<_> = owners.into_iter().collect();
    found.sort_unstable();
    Ok(found)
}

/// Whether pointers lead from `subject` to one of whom `is_theirs` is true.
pub(super) fn leads_to(
    ground: &mut dyn Ground,
    subject: SubjectId,
    is_theirs: impl Fn(SubjectId) -> bool,
) -> Result<bool, RuntimeError> {
    let mut next = ground.moved_to(subject)?;
    for _ in 0..HOPS_MAX {
        if next.is_empty() {
            return Ok(false);
        }
        if next.iter().any(|subject| is_theirs(*subject)) {
            return Ok(true);
        }
        let mut further = Vec::new();
        for subject in next {
            further.extend(ground.moved_to(subject)?);
        }
        further.sort_unstable();
        further.dedup();
        next = further;
    }
    Ok(false)
}

/// A subject joined to one that is erased, which is not among those yet, if it has become theirs.
pub(super) fn newly_joined(
    ground: &mut dyn Ground,
    through: &Through,
    [one, other]: [SubjectId; 2],
) -> Result<Option<(SubjectId, SubjectId)>, RuntimeError> {
    let (known, new) = match (through.contains_key(&one), through.contains_key(&other)) {
        (true, false) => (one, other),
        (false, true) => (other, one),
        _ => return Ok(None),
    };
    Ok(leads_to(ground, new, |subject| through.contains_key(&subject))?.then_some((new, known)))
}
