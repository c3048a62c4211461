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
    Condition, DeadLetter, ErasureAsked, Failure, FailureKind, RunSeed, RuntimeError, RuntimeLimits, SubjectErased,
    SubjectForgotten, Supervision, Topic, Verdict, WorkerStatus,
    disturbance::Disturbance,
    letters::again_topic,
    troupe::AnyAgent,
    worker::{AnyWorker, CommitSink, Gauges, Progress, WorkerParts, panic_text},
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
    /// It fell at an entry: from now on it is careful for a while after each start.
    fell_at_entry: bool,
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
            condition: Condition::Starting,
            last_error: None,
            poison: BTreeMap::new(),
            fell_at_entry: false,
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
        let careful = {
            let record = self.record.lock();
            record.fell_at_entry.then(|| record.supervision.at_entry().unwrap_or_default())
        };
        let parts = WorkerParts {
            journal: Arc::clone(ground.journal),
            sink: ground.sink,
            limits: ground.limits.clone(),
            disturbance: ground.disturbance,
            gauges: Arc::clone(&self.gauges),
            seed: ground.seed,
            worker: self.worker,
            workers: self.workers,
            careful,
        };
        self.record.lock().condition = Condition::Starting;
        let started = catch_unwind(AssertUnwindSafe(|| ground.agent.start(parts)));
        let mut worker = started.unwrap_or_else(|panic| Err(Failure::of_worker(panic_text(panic.as_ref()))))?;
        let mut record = self.record.lock();
        // Kept until it is behind the cursor: the worker may fail again before it comes there.
        record.poison.retain(|seq, _| *seq > worker.cursor());
        record.poison.iter().for_each(|(seq, why)| worker.poison(*seq, why.clone()));
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
        stepped.unwrap_or_else(|panic| Err(Failure::of_worker(panic_text(panic.as_ref()))))
    }

    /// Takes note of a failure; after how long to start again, or never.
    pub(crate) fn failed(&self, failure: &Failure, now_ms: i64, seed: &RunSeed, limits: &RuntimeLimits) -> Option<u64> {
        let mut record = self.record.lock();
        let folded = self.gauges.folded.load(Ordering::Relaxed);
        let verdict = record.supervision.failed(&self.name, failure, folded, now_ms, seed, limits);
        record.fell_at_entry |= matches!(failure.kind, FailureKind::Entry | FailureKind::Rejected);
        record.last_error = Some(format!("entry {}: {}", failure.seq, failure.what));
        let after_ms = match verdict {
            Verdict::Restart { after_ms, set_aside } => {
                if let Some(seq) = set_aside {
                    record.poison.insert(seq, failure.what.clone());
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

    pub(crate) fn last_error(&self) -> String {
        self.record.lock().last_error.clone().unwrap_or_default()
    }

    /// Whether it is to keep up: neither held nor down for good.
    pub(crate) fn is_at_work(&self) -> bool {
        !self.is_paused() && !self.is_suspended()
    }

    /// Its cursor, if nothing of it is on its way to the journal. Who compares it with the head reads
    /// the head afterwards: it counts what was on its way before.
    pub(crate) fn rests(&self) -> Option<Seq> {
        let cursor = self.cursor();
        (self.gauges.on_the_way.load(Ordering::Acquire) == 0).then_some(cursor)
    }

    /// How many commits it has handed over, and how many of these are answered.
    pub(crate) fn commits(&self) -> (u64, u64) {
        (self.gauges.sent.load(Ordering::Acquire), self.gauges.answered.load(Ordering::Acquire))
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
            steps: self.gauges.steps.load(Ordering::Relaxed),
            passed_over: self.gauges.passed_over.load(Ordering::Relaxed),
            refolded: self.gauges.refold.load(Ordering::Relaxed),
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
pub(crate) fn homes(
    journal: &Journal,
    agents: &[Box<dyn AnyAgent>],
    limits: &RuntimeLimits,
) -> Result<Vec<Home>, RuntimeError> {
    // Names get their numbers here, in the troupe's order: an agent's number is part of what it says
    // (the names of timers and effects), so it must not depend on which worker comes first.
    for agent in agents {
        journal.name(agent.name())?;
    }
    for agent in agents {
        agent.topics().iter().try_for_each(|topic| journal.name(topic).map(drop))?;
        journal.name(&again_topic(agent.name()))?;
    }
    for topic in [DeadLetter::NAME, ErasureAsked::NAME, SubjectForgotten::NAME, SubjectErased::NAME] {
        journal.name(topic)?;
    }
    let mut homes = Vec::new();
    for (index, agent) in agents.iter().enumerate() {
        let workers = crate::Troupe::workers(journal, agent.as_ref())?;
        crate::versions::settle(journal, agent.as_ref(), workers, limits.refold_from_kept)?;
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
