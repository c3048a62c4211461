//! The limits of imports, all in one place.

/// Bytes of one row or line.
pub const RECORD_BYTES_MAX: usize = 64 << 10;
/// Rows of one import; each costs some memory, for what makes equal rows two.
pub const ROWS_MAX: u64 = 50_000_000;
/// Bytes of an id or a name in a table.
pub const TABLE_NAME_BYTES_MAX: usize = 512;
/// Rows in one commit, and so folded in one go.
pub const COMMIT_ROWS_MAX: usize = 1_000;
/// Rejected rows kept for the report; all are counted, and all go to the file of `--rejects`.
pub const REJECTS_KEPT_MAX: usize = 1_000;
/// Batches of parsed rows that wait for the journal.
pub const BATCHES_WAITING_MAX: usize = 8;
