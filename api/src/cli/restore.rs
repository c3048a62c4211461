//! `impresario restore`: makes a data directory of a backup.

use std::{fmt, path::PathBuf};

use clap::Args;
use impresario_runtime::store::{BackupProgress, BackupSummary, backup_summary, restore};
use serde::Serialize;

use super::{CommandError, Common, output::Output, progress, storage};

/// The arguments of `restore`.
#[derive(Args, Clone, Debug)]
pub struct RestoreArgs {
    /// The backup's file
    #[arg(value_name = "BACKUP")]
    pub backup: PathBuf,
}

#[derive(Debug, Serialize)]
struct Report {
    data: PathBuf,
    #[serde(flatten)]
    restored: BackupSummary,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BackupSummary { head, head_hash, .. } = &self.restored;
        writeln!(f, "{}: {head} entries and all that belongs to them", self.data.display())?;
        write!(f, "  the chain holds; its last hash is {head_hash}")
    }
}

/// Runs `restore`.
///
/// # Errors
/// The directory is not empty, the backup is not whole or is damaged, or the disk has no room.
pub fn run(common: &Common, args: &RestoreArgs, output: &Output) -> Result<(), CommandError> {
    let config = common.config()?;
    let data = PathBuf::from(&config.data);
    let whole = backup_summary(&args.backup)?.row_bytes;
    let far = BackupProgress::default();
    let restored =
        progress::shown(whole, &far.counter(), "restoring", || restore(&args.backup, &data, &storage(&config), &far))?;
    output.answer(&Report { data, restored });
    Ok(())
}
