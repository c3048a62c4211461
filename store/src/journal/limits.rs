use std::time::Duration;

/// The journal's limits, all in one place.
#[derive(Clone, Debug)]
pub struct JournalLimits {
    /// Entries of one commit.
    pub commit_entries_max: usize,
    /// Entries in one group; more wait for the next.
    pub group_entries_max: usize,
    /// Bytes of bodies in one group.
    pub group_bytes_max: usize,
    /// Bytes of bodies in one block before compression; compressed it fits one 8 KiB value.
    pub block_raw_bytes: usize,
    /// Bytes a block may claim when read back: the largest body and some room.
    pub block_raw_bytes_max: usize,
    /// Bytes of one body.
    pub body_bytes_max: usize,
    /// Entries kept decoded in memory.
    pub tail_entries_max: usize,
    /// Bytes of bodies kept in memory.
    pub tail_bytes_max: usize,
    /// How long a message id is remembered at least.
    pub dedup_horizon: Duration,
    /// Message ids remembered at most; beyond, the oldest generation goes before its time.
    pub dedup_ids_max: usize,
    /// How long the key of a request is remembered.
    pub request_horizon: Duration,
    /// Request keys remembered at most.
    pub requests_max: usize,
    /// Commits waiting for the writer; a full queue answers "busy".
    pub queue_commits_max: usize,
    /// How long a commit from outside waits while more come than can be written; then it is answered "busy".
    pub queue_wait_max: Duration,
    /// Timers fired in one group.
    pub timers_per_group_max: usize,
    /// Rows of forgotten message ids removed with one group.
    pub expired_rows_per_group_max: usize,
}

impl Default for JournalLimits {
    fn default() -> Self {
        Self {
            commit_entries_max: 65_536,
            group_entries_max: 4_096,
            group_bytes_max: 1 << 20,
            block_raw_bytes: 13 * 1024,
            block_raw_bytes_max: 4 << 20,
            body_bytes_max: 1 << 20,
            tail_entries_max: 65_536,
            tail_bytes_max: 64 << 20,
            dedup_horizon: Duration::from_secs(24 * 3600),
            dedup_ids_max: 16_000_000,
            request_horizon: Duration::from_secs(24 * 3600),
            requests_max: 100_000,
            queue_commits_max: 16_384,
            queue_wait_max: Duration::from_millis(500),
            timers_per_group_max: 4_096,
            expired_rows_per_group_max: 64,
        }
    }
}
