//! Making a data directory of a backup.

use std::path::Path;

use super::{
    BackupProgress, BackupSummary,
    file::{BackupReader, Part},
};
use crate::{
    SledOptions, StoreError,
    engine::{put_all, rebuild},
    journal::{limits::JournalLimits, shared::Journal},
};

/// Makes a data directory at `path`, which must be empty or not there, of the backup at `backup`.
///
/// Every part's hash is checked while it is read, and the hash chain of all entries afterwards; only
/// then does the directory hold data. Cut short by a crash, it is done again from the start.
///
/// # Errors
/// [`StoreError::Invalid`] where the directory is not empty; damage of the backup, with its place;
/// [`StoreError::NoRoom`]; or the system's. The directory holds no data then.
pub fn restore(
    backup: &Path,
    path: &Path,
    options: &SledOptions,
    progress: &BackupProgress,
) -> Result<BackupSummary, StoreError> {
    // What it says of its size is asked before the disk is filled.
    let claimed = BackupReader::peek(backup)?;
    rebuild(path, options, claimed.row_bytes, |fresh| {
        let mut reader = BackupReader::open(backup)?;
        let mut row_bytes = 0;
        let summary = loop {
            match reader.read_on()? {
                Part::Writes(ops) => {
                    row_bytes += ops.iter().map(|op| (op.key().len() + op.value_bytes()) as u64).sum::<u64>();
                    put_all(fresh.as_ref(), ops)?;
                    progress.set(row_bytes);
                }
                Part::End(summary) => break summary,
            }
        };
        let journal = Journal::open(fresh, JournalLimits::default())?;
        let found = journal.verify(|_| {})?;
        let damaged = |what: String| StoreError::Damaged { place: backup.display().to_string(), what };
        if let Some(first) = found.damage.first() {
            return Err(damaged(format!("at entry {}: {}", first.first_seq, first.what)));
        }
        if (journal.head(), &found.head_hash) != (summary.head, &summary.head_hash) {
            return Err(damaged(format!("its entries end at {}, it says {}", journal.head(), summary.head)));
        }
        Ok((summary.head, summary))
    })
}
