//! How an erasure stands: kept in the directory from the commit that asks for it to the one that ends it,
//! and then as a mark with no personal data.

use impresario_store::{Commit, Durability, Journal, OUTSIDE, Op, Seq, StoreError};
use serde::{Deserialize, Serialize};

use crate::{ErasureAsked, RuntimeError, SubjectId, entries::new_entry};

const PENDING: &str = "erasing/";
const DONE: &str = "erased/";

/// An erasure that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asked {
    pub(crate) person: SubjectId,
    /// The journal's last entry before it was.
    pub(crate) from: Seq,
    pub(crate) asked_ms: i64,
}

/// How an erasure stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasureStatus {
    /// Who: the number all others of the person had become.
    pub person: SubjectId,
    /// When it was asked for, milliseconds since 1970 UTC.
    pub asked_ms: i64,
    /// When it was done; `None` while it is under way.
    pub done_ms: Option<i64>,
    /// Entries erased, with those of the people erased in the same go; since the last crash, if there was one.
    pub entries: Option<u64>,
}

fn name(prefix: &str, person: SubjectId) -> String {
    format!("{prefix}{:016x}", person.0)
}

fn read<T: serde::de::DeserializeOwned>(value: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(value).map_err(|error| StoreError::Codec(format!("how an erasure stands: {error}")))
}

fn write(prefix: &str, person: SubjectId, value: &impl Serialize) -> Result<Op, StoreError> {
    let value = serde_json::to_vec(value).map_err(|error| StoreError::Codec(error.to_string()))?;
    Ok(Journal::meta_write(&name(prefix, person), &value))
}

/// The commit that asks for an erasure; `None` where it is under way already.
pub(crate) fn ask(journal: &Journal, person: SubjectId, now_ms: i64) -> Result<Option<Commit>, RuntimeError> {
    if is_pending(journal, person)?.is_some() {
        return Ok(None);
    }
    let asked = Asked { person, from: journal.head(), asked_ms: now_ms };
    let mut commit = Commit::new(OUTSIDE);
    commit.durability = Durability::Synced;
    commit.entries.push(new_entry(journal, 0, ErasureAsked { person })?);
    commit.writes.push(write(PENDING, person, &asked)?);
    Ok(Some(commit))
}

fn is_pending(journal: &Journal, person: SubjectId) -> Result<Option<Asked>, StoreError> {
    let found = journal.meta(&name(PENDING, person))?;
    found.filter(|value| !value.is_empty()).map(|value| read(&value)).transpose()
}

/// The erasures under way, at most so many.
pub(crate) fn pending(journal: &Journal, limit: usize) -> Result<Vec<Asked>, RuntimeError> {
    let mut found = Vec::new();
    journal.metas(PENDING, |_, value| {
        if !value.is_empty() && found.len() < limit {
            found.push(read(value)?);
        }
        Ok::<(), StoreError>(())
    })?;
    Ok(found)
}

/// The writes that end an erasure.
pub(crate) fn done(asked: &Asked, done_ms: i64, entries: u64) -> Result<Vec<Op>, StoreError> {
    let Asked { person, asked_ms, .. } = *asked;
    let status = ErasureStatus { person, asked_ms, done_ms: Some(done_ms), entries: Some(entries) };
    Ok(vec![Journal::meta_delete(&name(PENDING, person)), write(DONE, person, &status)?])
}

/// How the erasure of somebody stands; `None` where nobody asked for it.
pub(crate) fn status(journal: &Journal, person: SubjectId) -> Result<Option<ErasureStatus>, RuntimeError> {
    if let Some(Asked { asked_ms, .. }) = is_pending(journal, person)? {
        return Ok(Some(ErasureStatus { person, asked_ms, done_ms: None, entries: None }));
    }
    Ok(journal.meta(&name(DONE, person))?.map(|value| read(&value)).transpose()?)
}

/// Erasures after the person `after`, those under way first, in order of numbers.
pub(crate) fn list(
    journal: &Journal,
    after: Option<SubjectId>,
    limit: usize,
) -> Result<Vec<ErasureStatus>, RuntimeError> {
    let mut found = Vec::new();
    let is_after = |person: SubjectId| after.is_none_or(|after| person > after);
    for asked in pending(journal, usize::MAX)? {
        let Asked { person, asked_ms, .. } = asked;
        if is_after(person) {
            found.push(ErasureStatus { person, asked_ms, done_ms: None, entries: None });
        }
    }
    journal.metas(DONE, |_, value| {
        let status: ErasureStatus = read(value)?;
        if is_after(status.person) && !found.iter().any(|known| known.person == status.person) {
            found.push(status);
        }
        Ok::<(), StoreError>(())
    })?;
    found.sort_by_key(|status| status.person);
    found.truncate(limit);
    Ok(found)
}
