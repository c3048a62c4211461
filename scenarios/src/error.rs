use std::path::PathBuf;

use impresario_runtime::{RuntimeError, store::StoreError};

/// What keeps a scenario from being read or played. That it does not turn out as expected is no
/// error: that is in its [`Outcome`](crate::Outcome).
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The file can't be read or written.
    #[error("{path}: {error}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// The system's words.
        error: std::io::Error,
    },
    /// The file says something that can't be.
    #[error("{path}:{error}", path = path.display())]
    Format {
        /// Which.
        path: PathBuf,
        /// Where and what.
        error: FormatError,
    },
    /// The troupe could not play on.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The store's error.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where a scenario file is wrong, and what is wrong there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: {what}")]
pub struct FormatError {
    /// The line, from 1; 0 where it is not known.
    pub line: u64,
    /// The column, from 1; 0 where it is not known.
    pub column: u64,
    /// What is wrong.
    pub what: String,
}
