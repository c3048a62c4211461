//! Entries on their way into the journal, and read back from it.

use std::sync::Arc;

use impresario_store::{Commit, Durability, Entry, Journal, NewEntry, PendingEffect, Seq, StoreError, codec};

use crate::{EffectFailed, Topic, troupe::Outcome};

/// An entry from outside, ready for a commit.
///
/// # Errors
/// The store's error.
pub fn new_entry<T: Topic>(journal: &Journal, dedup: u64, event: T) -> Result<NewEntry, StoreError> {
    Ok(NewEntry {
        partition: event.partition().unwrap_or_default(),
        topic: journal.name(T::NAME)?,
        cause: 0,
        dedup,
        fingerprint: 0,
        body: codec::encode(T::VERSION, &event)?,
        decoded: Some(Arc::new(event)),
    })
}

pub(crate) fn answered(journal: &Journal, effect: &PendingEffect, outcome: Outcome) -> Result<Commit, StoreError> {
    let mut commit = Commit::new(impresario_store::OUTSIDE);
    commit.settled.push(effect.id);
    commit.durability = Durability::Synced;
    commit.entries.push(NewEntry {
        partition: outcome.partition.unwrap_or(effect.partition),
        topic: journal.name(outcome.topic)?,
        cause: effect.id.seq,
        dedup: 0,
        fingerprint: 0,
        body: outcome.body,
        decoded: None,
    });
    Ok(commit)
}

pub(crate) fn given_up(
    journal: &Journal,
    effect: &PendingEffect,
    name: &str,
    why: &str,
    attempts: u32,
) -> Result<Commit, StoreError> {
    tracing::warn!(effect = name, id = %effect.id, why, attempts, "an effect is given up");
    let failed = EffectFailed { effect: name.to_owned(), id: effect.id.to_string(), why: why.to_owned(), attempts };
    let body = codec::encode(EffectFailed::VERSION, &failed)?;
    answered(journal, effect, Outcome { topic: EffectFailed::NAME, partition: None, body })
}

/// The entries of a journal from `from` on, one by one.
///
/// # Errors
/// Damage with its place, or the store's error; what `look` says.
pub fn each_entry<E: From<StoreError>>(
    journal: &Journal,
    from: Seq,
    mut look: impl FnMut(&Entry) -> Result<(), E>,
) -> Result<(), E> {
    let mut next = from.max(1);
    while let Some(chunk) = journal.chunk(next)? {
        for entry in chunk.from(next) {
            look(entry)?;
        }
        next = chunk.last() + 1;
    }
    Ok(())
}
