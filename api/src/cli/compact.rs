//! `impresario compact`: makes the files of a data directory small again. The server must be stopped.

use std::{fmt, path::PathBuf};

use clap::Args;
use impresario_runtime::store::{Compacted, compact_with};
use serde::Serialize;

use super::{CommandError, Common, existing_path, output::Output, storage};

/// The arguments of `compact`.
#[derive(Args, Clone, Debug)]
pub struct CompactArgs {}

#[derive(Debug, Serialize)]
struct Report {
    data: PathBuf,
    #[serde(flatten)]
    compacted: Compacted,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mebibytes = |bytes: u64| bytes.div_ceil(1 << 20);
        let Compacted { before_bytes, after_bytes } = self.compacted;
        write!(
            f,
            "{}: {} MiB before, {} MiB now; what was erased or replaced is in no file any more",
            self.data.display(),
            mebibytes(before_bytes),
            mebibytes(after_bytes)
        )
    }
}

/// Runs `compact`.
///
/// # Errors
/// There is no such directory, it is in use, it is damaged, or the disk has no room for a copy of what
/// lives in it. The files are then as they were.
pub fn run(common: &Common, _: &CompactArgs, output: &Output) -> Result<(), CommandError> {
    let (config, data) = existing_path(common)?;
    let compacted = compact_with(&data, &storage(&config))?;
    output.answer(&Report { data, compacted });
    Ok(())
}
