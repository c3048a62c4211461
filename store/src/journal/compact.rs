use std::path::Path;

use super::{limits::JournalLimits, shared::Journal};
use crate::{Compacted, SledOptions, StoreError, engine::rewrite};

/// Writes what lives in a data directory into fresh files, which take the place of the old ones.
///
/// sled's files never shrink by themselves, and what was erased or replaced stays readable in them: after
/// this it is gone from every file. The directory must not be in use, and the disk must have room for
/// what lives once more. The copy is compared row by row and its hash chain is checked before it takes
/// the place of the old files. A crash or an error at any point leaves the old files or the new ones,
/// whole.
///
/// # Errors
/// [`StoreError::Locked`] while a process uses it, [`StoreError::NoRoom`], the system's, or damage in what
/// is read.
pub fn compact(path: &Path) -> Result<Compacted, StoreError> {
    compact_with(path, &SledOptions::default())
}

/// As [`compact`], with the engine opened by `options`.
///
/// # Errors
/// As [`compact`].
pub fn compact_with(path: &Path, options: &SledOptions) -> Result<Compacted, StoreError> {
    rewrite(path, options, |fresh| {
        let report = Journal::open(fresh, JournalLimits::default())?.verify(|_| {})?;
        match report.damage.into_iter().next() {
            None => Ok(()),
            Some(first) => Err(StoreError::Damaged {
                place: format!("journal entry {}", first.first_seq),
                what: format!("{}; the files stay as they were", first.what),
            }),
        }
    })
}
