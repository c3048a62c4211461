//! A worker's home: what outlives it when it fails.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use impresario_store::{Journal, Seq};
use parking_lot::Mutex;

use crate::{
    Condition, Failure, RunSeed, RuntimeLimits, Supervision, Verdict, WorkerStatus,
    troupe::{AnyAgent, Disturbance},
    worker::{AnyWorker, CommitSink, Gauges, Progress, WorkerParts},
};

/// Where one worker is started, and started again.
pub(crate) struct Home {
    pub(crate) name: String,
    pub(crate) agent_index: usize,
    pub(crate) worker: usize,
    workers: usize,
    gauges: Arc<Gauges>,
    record: Mutex<Record>,
    paused: AtomicBool,
    restarts: AtomicU64,
}

struct Record {
    supervision: Supervision,
    condition: Condition,
    last_error: Option<String>,
    /// Entries to set aside when they come again.
    poison: BTreeMap<Seq, String>,
}

pub(crate) struct Ground<'a> {
    pub(crate) agent: &'a dyn AnyAgent,
    pub(crate) journal: &'a Arc<Journal>,
    pub(crate) sink: Arc<dyn CommitSink>,
    pub(crate) limits: &'a RuntimeLimits,
    pub(crate) disturbance: Option<Disturbance>,
    pub(crate) seed: RunSeed,
}

impl Home {
    pub(crate) fn new(agent: &str, agent_index: usize, worker: usize, workers: usize) -> Self {
        let record = Record {
            supervision: Supervision::default(),
            condition: Condition::Running,
            last_error: None,
            poison: BTreeMap::new(),
        };
        Self {
            name: format!("{agent}/{worker}"),
            agent_index,
            worker,
            workers,
            gauges: Arc::default(),
            record: Mutex::new(record),
            paused: AtomicBool::new(false),
            restarts: AtomicU64::new(0),
        }
    }

    /// Starts the worker; a panic on the way is a failure like another.
    pub(crate) fn start(&self, ground: Ground<'_>) -> Result<Box<dyn AnyWorker>, Failure> {
        let parts = WorkerParts {
            journal: Arc::clone(ground.journal),
            sink: ground.sink,
            limits: ground.limits.clone(),
            disturbance: ground.disturbance,
            gauges: Arc::clone(&self.gauges),
            seed: ground.seed,
            worker: self.worker,
            workers: self.workers,
        };
        let started = catch_unwind(AssertUnwindSafe(|| ground.agent.start(parts)));
        let mut worker = started.unwrap_or_else(|panic| Err(self.panicked(panic.as_ref())))?;
        let mut record = self.record.lock();
        for (seq, why) in std::mem::take(&mut record.poison) {
            if seq > worker.cursor() {
                worker.poison(seq, why);
            }
        }
        record.condition = Condition::Running;
        Ok(worker)
    }

    /// One step, a panic caught.
    #[expect(clippy::disallowed_methods, reason = "a measure of work, never read by an agent")]
    pub(crate) fn step(&self, worker: &mut dyn AnyWorker) -> Result<Progress, Failure> {
        let start = std::time::Instant::now();
        let stepped = catch_unwind(AssertUnwindSafe(|| worker.step()));
        let micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.gauges.busy_micros.fetch_add(micros, Ordering::Relaxed);
        stepped.unwrap_or_else(|panic| Err(self.panicked(panic.as_ref())))
    }

    fn panicked(&self, panic: &(dyn std::any::Any + Send)) -> Failure {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        let what = format!("panicked: {}", text.unwrap_or_else(|| "no message".into()));
        Failure { seq: self.gauges.at.load(Ordering::Relaxed), what, retry: false }
    }

    /// Takes note of a failure; after how long to start again, or never.
    pub(crate) fn failed(&self, failure: &Failure, now_ms: i64, seed: &RunSeed, limits: &RuntimeLimits) -> Option<u64> {
        let mut record = self.record.lock();
        let rejected = failure.what.strip_prefix("rejected: ");
        let verdict = match rejected {
            // The agent itself says that this entry is not to come again.
            Some(_) => Verdict::Restart { after_ms: 0, set_aside: Some(failure.seq) },
            None => record.supervision.failed(&self.name, failure, now_ms, seed, limits),
        };
        record.last_error = Some(format!("entry {}: {}", failure.seq, failure.what));
        let after_ms = match verdict {
            Verdict::Restart { after_ms, set_aside } => {
                if let Some(seq) = set_aside {
                    record.poison.insert(seq, rejected.unwrap_or(&failure.what).to_owned());
                }
                record.condition = Condition::Restarting;
                self.restarts.fetch_add(1, Ordering::Relaxed);
                Some(after_ms)
            }
            Verdict::Suspend => {
                record.condition = Condition::Suspended;
                None
            }
        };
        tracing::warn!(worker = self.name, seq = failure.seq, why = failure.what, ?after_ms, "a worker has failed");
        after_ms
    }

    pub(crate) fn pause(&self, paused: bool) {
        self.paused.store(paused, Ordering::Release);
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Acquire)
    }

    pub(crate) fn is_suspended(&self) -> bool {
        self.record.lock().condition == Condition::Suspended
    }

    /// Forgets the failures of a suspended worker, which is to be started again.
    pub(crate) fn resumed(&self) {
        let mut record = self.record.lock();
        record.supervision.resumed();
        record.condition = Condition::Restarting;
    }

    pub(crate) fn cursor(&self) -> Seq {
        self.gauges.cursor.load(Ordering::Acquire)
    }

    pub(crate) fn status(&self, head: Seq) -> WorkerStatus {
        let record = self.record.lock();
        let cursor = self.cursor();
        let running = record.condition == Condition::Running;
        WorkerStatus {
            worker: self.worker,
            condition: if running && self.is_paused() { Condition::Paused } else { record.condition },
            cursor,
            lag: head.saturating_sub(cursor),
            folded: self.gauges.folded.load(Ordering::Relaxed),
            said: self.gauges.said.load(Ordering::Relaxed),
            keys: self.gauges.keys.load(Ordering::Relaxed),
            unwritten: self.gauges.unwritten.load(Ordering::Relaxed),
            busy_micros: self.gauges.busy_micros.load(Ordering::Relaxed),
            restarts: self.restarts.load(Ordering::Relaxed),
            dead_letters: self.gauges.dead_letters.load(Ordering::Relaxed),
            last_error: record.last_error.clone(),
        }
    }
}

/// Homes for all workers of a troupe, agent by agent.
pub(crate) fn homes(journal: &Journal, agents: &[Box<dyn AnyAgent>]) -> Result<Vec<Home>, crate::RuntimeError> {
    let mut homes = Vec::new();
    for (index, agent) in agents.iter().enumerate() {
        let workers = crate::Troupe::workers(journal, agent.as_ref())?;
        homes.extend((0..workers).map(|worker| Home::new(agent.name(), index, worker, workers)));
    }
    Ok(homes)
}

/// What can be seen of all agents.
pub(crate) fn status(homes: &[impl AsRef<Home>], agents: &[Box<dyn AnyAgent>], head: Seq) -> Vec<crate::AgentStatus> {
    let of = |index: usize| homes.iter().map(AsRef::as_ref).filter(move |home| home.agent_index == index);
    let agents = agents.iter().enumerate();
    agents
        .map(|(index, agent)| crate::AgentStatus {
            agent: agent.name().to_owned(),
            topics: agent.topics(),
            workers: of(index).map(|home| home.status(head)).collect(),
        })
        .collect()
}

impl AsRef<Home> for Home {
    fn as_ref(&self) -> &Home {
        self
    }
}
