/// The runtime's limits, all in one place.
#[derive(Clone, Debug)]
pub struct RuntimeLimits {
    /// Entries a worker folds in one step.
    pub step_entries_max: usize,
    /// Entries, timers and effects one step may bring forth.
    pub step_outputs_max: usize,
    /// Changed keys of one worker that may wait to be written behind.
    pub unwritten_keys_max: usize,
    /// Entries by which written state may trail the cursor; bounds recovery.
    pub unwritten_entries_max: u64,
    /// How long a changed key may wait to be written behind.
    pub unwritten_ms_max: i64,
    /// Keys written behind in one commit.
    pub write_keys_max: usize,
    /// Changed keys at which an agent with one checkpoint for all keys writes them all.
    pub checkpoint_keys_max: usize,
    /// Keys of one worker kept in memory.
    pub state_keys_max: usize,
    /// Entries a worker may be behind before callers are held up a little: within what the journal keeps
    /// decoded in memory, so that agents don't fall back to reading blocks.
    pub lag_entries_easy: u64,
    /// How long callers are held up at most.
    pub lag_wait_ms_max: u64,
    /// Callers held up at once; more are told "busy", for each of them costs memory and is woken often.
    pub lag_waiters_max: usize,
    /// Entries a worker may be behind before the door says "busy".
    pub lag_entries_max: u64,
    /// First delay of a restart.
    pub backoff_ms_min: u64,
    /// Longest delay of a restart.
    pub backoff_ms_max: u64,
    /// Time without failure after which the delays begin anew.
    pub healthy_after_ms: i64,
    /// Failures within the window that suspend a worker.
    pub failures_max: usize,
    /// The window failures are counted in.
    pub failures_window_ms: i64,
    /// Times one entry may fail before it goes to the dead letters.
    pub entry_attempts_max: u32,
    /// Key partitions whose entries break one after the other, with none folded in between, at which the agent
    /// itself is taken for broken and suspended.
    pub broken_partitions_max: usize,
    /// The same by entries, of however few partitions.
    pub broken_entries_max: usize,
    /// Effects performed at once.
    pub effects_at_once_max: usize,
    /// Attempts at one effect before it is given up, visibly.
    pub effect_attempts_max: u32,
    /// How late a timer may fire together with others on a clock that moves by itself. Where they are later,
    /// after downtime or a step of the clock, they fire one instant after another.
    pub timers_late_ms_max: i64,
    /// How long one such instant waits for the agents to come to rest.
    pub rest_wait_ms_max: i64,
    /// How long catching up may go instant by instant; what is left then is fired in a thousand steps.
    pub exact_ms_max: i64,
    /// After how many days what people have done is forgotten; never, where there is none.
    pub retention_days: Option<u32>,
    /// Whether states of an older version of an agent are folded again though part of the journal is forgotten.
    pub refold_from_kept: bool,
    /// How long a query may take.
    pub query_ms_max: u64,
}

impl Default for RuntimeLimits {
    fn default() -> Self {
        Self {
            step_entries_max: 2_048,
            step_outputs_max: 4_096,
            unwritten_keys_max: 500_000,
            unwritten_entries_max: 1_500_000,
            unwritten_ms_max: 600_000,
            write_keys_max: 512,
            checkpoint_keys_max: 2_048,
            state_keys_max: 2_000_000,
            lag_entries_easy: 32_768,
            lag_wait_ms_max: 500,
            lag_waiters_max: 256,
            lag_entries_max: 1_000_000,
            backoff_ms_min: 100,
            backoff_ms_max: 30_000,
            healthy_after_ms: 60_000,
            failures_max: 5,
            failures_window_ms: 60_000,
            entry_attempts_max: 3,
            broken_partitions_max: 16,
            broken_entries_max: 1_000,
            effects_at_once_max: 64,
            effect_attempts_max: 8,
            timers_late_ms_max: 1_000,
            rest_wait_ms_max: 10_000,
            exact_ms_max: 10_000,
            retention_days: None,
            refold_from_kept: false,
            query_ms_max: 5_000,
        }
    }
}
