//! A data directory, opened: the journal in it and the seed that makes it its own.

use std::{path::Path, sync::Arc};

use impresario_runtime::{
    RunSeed, RuntimeError, run_seed,
    store::{Journal, JournalLimits, SledEngine, SledOptions},
};

/// Where the data lies when nobody says otherwise.
pub const DEFAULT_DIRECTORY: &str = "impresario-data";

/// A data directory this process holds.
pub struct DataDirectory {
    /// Its journal.
    pub journal: Arc<Journal>,
    /// Its seed, made at the first opening.
    pub seed: RunSeed,
}

impl DataDirectory {
    /// Opens the directory at `path`, made where there is none.
    ///
    /// # Errors
    /// Another process holds it, its format is unknown, damage, or the system's error.
    pub fn open(path: &Path, storage: &SledOptions, limits: JournalLimits) -> Result<Self, RuntimeError> {
        let engine = Arc::new(SledEngine::open(path, storage)?);
        let journal = Journal::open(engine, limits)?;
        let chance = random_bytes().map_err(RuntimeError::Setup)?;
        let seed = run_seed(&journal, || chance)?;
        Ok(Self { journal, seed })
    }
}

/// 256 bits of the system's chance: seeds and keys, nothing that must replay.
pub(crate) fn random_bytes() -> Result<[u8; 32], String> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(|error| format!("the system gives no random bytes: {error}"))?;
    Ok(bytes)
}
