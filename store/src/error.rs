use std::io;

/// What goes wrong in the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The engine's own error.
    #[error("the engine could not {what}: {error}")]
    Engine {
        /// What was tried.
        what: &'static str,
        /// The engine's words.
        error: String,
    },
    /// A file or thread could not be had.
    #[error("could not {what}: {error}")]
    Io {
        /// What was tried, on which file.
        what: String,
        /// The system's error.
        error: io::Error,
    },
    /// Another process holds the data directory.
    #[error("the data directory {directory} is in use by process {pid}; stop that process or name another directory")]
    Locked {
        /// The directory.
        directory: String,
        /// Who holds it, as far as known.
        pid: String,
    },
    /// The data is of a format this program does not know.
    #[error(
        "{what} has format {found}, this program knows up to {known}; use the program that wrote it, or a newer one"
    )]
    UnknownFormat {
        /// The directory, or a block.
        what: String,
        /// What it says.
        found: u32,
        /// What is known.
        known: u32,
    },
    /// The data is not what was written.
    #[error("{place} is damaged: {what}")]
    Damaged {
        /// Where.
        place: String,
        /// What is wrong.
        what: String,
    },
    /// Something was not as the commit expected; nothing was changed.
    #[error("nothing was written: {key}")]
    Conflict {
        /// What was found, and what was expected.
        key: String,
    },
    /// What was asked can never be; nothing was changed.
    #[error("nothing was written: {0}")]
    Invalid(String),
    /// Too little of the disk is free; nothing was changed.
    #[error("{free_bytes} bytes of the disk are free, writing stops below {needed_bytes}")]
    DiskFull {
        /// What is free.
        free_bytes: u64,
        /// What must be.
        needed_bytes: u64,
    },
    /// The disk has no room for what was asked; nothing was changed.
    #[error("{what} needs {needed_bytes} free bytes of the disk, {free_bytes} are; nothing was changed")]
    NoRoom {
        /// What.
        what: &'static str,
        /// What is free.
        free_bytes: u64,
        /// What must be.
        needed_bytes: u64,
    },
    /// Something is larger than may be; nothing was changed.
    #[error("{what} of {bytes} bytes is larger than {max}")]
    TooLarge {
        /// What.
        what: String,
        /// How large it is.
        bytes: usize,
        /// How large it may be.
        max: usize,
    },
    /// A body is not what it should be.
    #[error("{0}")]
    Codec(String),
    /// Too much waits already; try again later.
    #[error("too much waits to be written")]
    Busy,
    /// An earlier error has stopped the store.
    #[error("the store has stopped: {first}")]
    Stopped {
        /// That error.
        first: String,
    },
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
}
