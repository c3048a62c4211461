//! What a worker is made of and what is told of it, whatever its agent.

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use impresario_store::{Commit, Journal, Seq, StoreError};
use parking_lot::Mutex;

use crate::{AgentError, Failure, KeyState, RunSeed, RuntimeLimits, SubjectId, disturbance::Disturbance};

/// Where a worker's commits go.
pub(crate) trait CommitSink: Send + Sync {
    /// Hands a commit over; what becomes of it is told to `fate`.
    fn send(&self, commit: Commit, fate: &Arc<Fate>) -> Result<(), StoreError>;
    /// Waits until everything handed over before is in.
    fn barrier(&self) -> Result<(), StoreError>;
    /// The time by which the age of unwritten state is measured.
    fn age_ms(&self) -> i64;
}

/// What has become of the commits of one worker.
#[derive(Debug)]
pub(crate) struct Fate {
    confirmed: AtomicU64,
    refused: Mutex<Option<String>>,
    gauges: Arc<Gauges>,
}

impl Fate {
    pub(crate) fn new(gauges: Arc<Gauges>) -> Self {
        Self { confirmed: AtomicU64::new(0), refused: Mutex::new(None), gauges }
    }

    /// How many of them are in.
    pub(crate) fn confirmed(&self) -> u64 {
        self.confirmed.load(Ordering::Acquire)
    }

    /// Why one was refused, if one was.
    pub(crate) fn refused(&self) -> Option<String> {
        self.refused.lock().clone()
    }

    /// The next of its commits is in.
    pub(crate) fn is_in(&self) {
        self.confirmed.fetch_add(1, Ordering::AcqRel);
        self.gauges.answer();
    }

    /// The next of its commits was refused; nothing of this worker is accepted any more.
    pub(crate) fn is_refused(&self, error: &StoreError) {
        self.refused.lock().get_or_insert(error.to_string());
        self.gauges.answer();
    }
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Nothing new to fold.
    Idle,
    /// There may be more.
    More,
}

/// What is told of a worker while it runs, without stopping it.
#[derive(Debug, Default)]
pub(crate) struct Gauges {
    pub(crate) cursor: AtomicU64,
    /// Commits handed over and not yet answered.
    pub(crate) on_the_way: AtomicU64,
    /// Commits handed over.
    pub(crate) sent: AtomicU64,
    /// Of these, how many are answered; they are in order.
    pub(crate) answered: AtomicU64,
    pub(crate) folded: AtomicU64,
    pub(crate) said: AtomicU64,
    pub(crate) steps: AtomicU64,
    pub(crate) keys: AtomicU64,
    pub(crate) unwritten: AtomicU64,
    pub(crate) refold: AtomicU64,
    pub(crate) passed_over: AtomicU64,
    pub(crate) dead_letters: AtomicU64,
    pub(crate) busy_micros: AtomicU64,
}

impl Gauges {
    /// One commit more was handed over.
    pub(crate) fn hand_over(&self) {
        self.sent.fetch_add(1, Ordering::AcqRel);
        self.on_the_way.fetch_add(1, Ordering::AcqRel);
    }

    /// The next of them is in, or refused.
    pub(crate) fn answer(&self) {
        self.answered.fetch_add(1, Ordering::AcqRel);
        self.on_the_way.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Takes a key's bytes and what would be written for it; no key for what all keys share.
pub(crate) type EachBody<'a> = &'a mut dyn FnMut(Option<&[u8]>, &[u8]);

/// A worker of any agent.
pub(crate) trait AnyWorker: Send {
    fn step(&mut self) -> Result<Progress, Failure>;
    /// Writes changed state: what is due, or all of it.
    fn write_behind(&mut self, all: bool) -> Result<(), Failure>;
    /// Sets an entry aside when it comes.
    fn poison(&mut self, seq: Seq, why: String);
    fn cursor(&self) -> Seq;
    fn as_any(&mut self) -> &mut dyn Any;
    /// The state of the key that `key` says, with no knowledge of its type.
    fn state_json(&mut self, key: &str) -> Result<Option<KeyState>, AgentError>;
    /// Keys with state after the one that `after` says, as texts.
    fn key_texts(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>, AgentError>;
    fn shared_json(&self) -> Result<Option<serde_json::Value>, AgentError>;
    /// Which subject a subject's state has become.
    fn moved_to(&mut self, subject: SubjectId) -> Result<Option<SubjectId>, StoreError>;
    /// Every key's bytes and what would be written for it now; what all keys share under no key.
    fn each_body(&self, look: EachBody<'_>) -> Result<(), StoreError>;
}

pub(crate) struct WorkerParts {
    pub(crate) journal: Arc<Journal>,
    pub(crate) sink: Arc<dyn CommitSink>,
    pub(crate) limits: RuntimeLimits,
    pub(crate) disturbance: Option<Disturbance>,
    pub(crate) gauges: Arc<Gauges>,
    pub(crate) seed: RunSeed,
    pub(crate) worker: usize,
    pub(crate) workers: usize,
    /// It fell at an entry before: the entry and how often it has failed.
    pub(crate) careful: Option<(Seq, u32)>,
}

/// What a caught panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("panicked: {}", text.unwrap_or_else(|| "no message".into()))
}
