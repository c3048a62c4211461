//! `impresario verify`: reads every block and checks the hash chain.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use clap::Args;
use impresario_runtime::store::VerifyReport;
use serde::Serialize;

use super::{CommandError, Common, existing, output::Output, progress};

/// Places of damage shown to a person.
const SHOWN_MAX: usize = 20;

/// The arguments of `verify`.
#[derive(Args, Clone, Debug)]
pub struct VerifyArgs {}

#[derive(Debug, Serialize)]
struct Report {
    data: String,
    whole: bool,
    #[serde(flatten)]
    found: VerifyReport,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let VerifyReport { blocks, entries, erased, forgotten, head_hash, damage } = &self.found;
        write!(f, "{entries} entries in {blocks} blocks, {erased} erased")?;
        if *forgotten > 0 {
            write!(f, ", {forgotten} forgotten with age")?;
        }
        writeln!(f)?;
        if damage.is_empty() {
            return write!(f, "The chain holds; its last hash is {head_hash}");
        }
        write!(f, "The journal is damaged in {} places:", damage.len())?;
        for place in damage.iter().take(SHOWN_MAX) {
            write!(f, "\n  entry {}: {}", place.first_seq, place.what)?;
        }
        if damage.len() > SHOWN_MAX {
            write!(f, "\n  and {} more; `--json` tells all", damage.len() - SHOWN_MAX)?;
        }
        Ok(())
    }
}

/// Runs `verify`.
///
/// # Errors
/// There is no such directory; "no" for damage.
pub fn run(common: &Common, _: &VerifyArgs, output: &Output) -> Result<(), CommandError> {
    let directory = existing(common)?;
    let journal = &directory.journal;
    let read = Arc::new(AtomicU64::new(0));
    let found = progress::shown(journal.head(), &read, "checking", || {
        journal.verify(|seq| read.store(seq, Ordering::Relaxed))
    })?;
    let places = found.damage.len();
    let data = common.data()?.display().to_string();
    output.answer(&Report { data, whole: places == 0, found });
    if places == 0 { Ok(()) } else { Err(CommandError::No(format!("{places} places are damaged"))) }
}
