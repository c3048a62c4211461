//! The stage: a driver over a journal over an engine, with a process that can die and start again.

use std::{path::PathBuf, sync::Arc};

use impresario_agents::{
    Casting,
    vocabulary::{Deliver, Millis, ProfileChanged},
};
use impresario_runtime::{
    Driver, EffectCall, RunSeed, RuntimeError, RuntimeLimits, Topic,
    store::{Engine, Entry, Journal, JournalLimits, MemoryEngine, SledEngine, SledOptions, StoreError},
};
use parking_lot::Mutex;

use super::{
    crowd::Inbox,
    cut::{CutEngine, Unsynced},
};
use crate::ScenarioError;

/// Deaths in a row after which a process that can't come up again is given up.
const DEATHS_IN_A_ROW_MAX: usize = 1_000;

/// On what the journal of a run lies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum EngineChoice {
    /// In memory.
    #[default]
    Memory,
    /// On sled, in a directory of its own that is empty or not yet there.
    Sled(PathBuf),
}

/// How a stage is set up.
pub(crate) struct StagePlan {
    pub(crate) engine: EngineChoice,
    pub(crate) casting: Casting,
    pub(crate) workers: usize,
    pub(crate) rotate: usize,
    /// Whether limits are so small that state is written, forgotten and read back all the time.
    pub(crate) tight: bool,
    pub(crate) seed: RunSeed,
    pub(crate) start_ms: Millis,
    /// Numbers of the commits the process dies after, in order.
    pub(crate) deaths: Vec<u64>,
    pub(crate) unsynced: Unsynced,
    /// Whether the clock goes on while the process is down.
    pub(crate) clock_goes_on: bool,
    pub(crate) breaker: Arc<Breaker>,
    /// Where messages come to.
    pub(crate) inbox: Arc<Inbox>,
}

pub(crate) struct Stage {
    plan: StagePlan,
    cut: Arc<CutEngine>,
    driver: Option<Driver>,
    /// How often the process has died.
    pub(crate) deaths: u64,
}

/// Breaks agents at events that the scenario names.
#[derive(Default)]
pub(crate) struct Breaker(Mutex<Vec<Break>>);

pub(crate) struct Break {
    pub(crate) agent: String,
    /// Keyed hash of the event's message id.
    pub(crate) dedup: u64,
    /// How often still; `None` for ever.
    pub(crate) left: Option<u32>,
    /// Whether it has ever broken.
    pub(crate) struck: bool,
}

impl Breaker {
    pub(crate) fn new(breaks: Vec<Break>) -> Self {
        Self(Mutex::new(breaks))
    }

    /// Agents that were to break and have not.
    pub(crate) fn whole(&self) -> Vec<String> {
        self.0.lock().iter().filter(|one| !one.struck).map(|one| one.agent.clone()).collect()
    }

    /// Panics where `agent` is to break at `entry`, or at what came of it.
    fn disturb(&self, journal: &Journal, agent: &str, entry: &Entry) {
        let mut breaks = self.0.lock();
        let meant = breaks.iter_mut().filter(|one| one.agent == agent && one.left != Some(0));
        for one in meant {
            if event_of(journal, entry) != Some(one.dedup) {
                continue;
            }
            one.left = one.left.map(|left| left - 1);
            one.struck = true;
            drop(breaks);
            // Unwinds as a panic does, with no message on the terminal: it is part of the play.
            std::panic::resume_unwind(Box::new("broken by the scenario"));
        }
    }
}

/// The message id of the customer event that an entry is, or tells what came of.
fn event_of(journal: &Journal, entry: &Entry) -> Option<u64> {
    if entry.dedup != 0 {
        return Some(entry.dedup);
    }
    if journal.known_name(ProfileChanged::NAME) != Some(entry.topic) {
        return None;
    }
    let event = entry.decode::<ProfileChanged>(ProfileChanged::VERSION).ok()?.event;
    let chunk = journal.chunk(event).ok()??;
    chunk.get(event).map(|event| event.dedup)
}

impl Stage {
    pub(crate) fn open(plan: StagePlan) -> Result<Self, ScenarioError> {
        let below: Arc<dyn Engine> = match &plan.engine {
            EngineChoice::Memory => Arc::new(MemoryEngine::new()),
            EngineChoice::Sled(path) => open_sled(path)?,
        };
        let cut = Arc::new(CutEngine::new(below, 0, plan.deaths.first().copied()));
        let mut stage = Self { plan, cut, driver: None, deaths: 0 };
        let start_ms = stage.plan.start_ms;
        stage.live(start_ms, |_| Ok(()))?;
        Ok(stage)
    }

    /// Commits made so far, by all processes.
    pub(crate) fn commits(&self) -> u64 {
        self.cut.commits()
    }

    /// Agents that were to break and have not.
    pub(crate) fn unbroken(&self) -> Vec<String> {
        self.plan.breaker.whole()
    }

    /// The driver of the process that is alive.
    pub(crate) fn driver(&mut self) -> Result<&mut Driver, ScenarioError> {
        let dead = || ScenarioError::Runtime(RuntimeError::Setup("the process is dead".into()));
        self.driver.as_mut().ok_or_else(dead)
    }

    /// Does `what` at `at_ms`. Where the process dies over it, a new one is started, brought to that
    /// instant, and does it again: what was not acknowledged is not done.
    pub(crate) fn live<R>(
        &mut self,
        at_ms: Millis,
        mut what: impl FnMut(&mut Driver) -> Result<R, RuntimeError>,
    ) -> Result<R, ScenarioError> {
        for _ in 0..DEATHS_IN_A_ROW_MAX {
            let done = self.attempt(at_ms, &mut what);
            match done {
                Ok(_) if self.cut.is_dead() => self.bury()?,
                Ok(done) => return Ok(done),
                Err(_) if self.cut.is_dead() => self.bury()?,
                Err(error) => return Err(error),
            }
        }
        Err(RuntimeError::Setup("the process dies each time it starts".into()).into())
    }

    fn attempt<R>(
        &mut self,
        at_ms: Millis,
        what: &mut impl FnMut(&mut Driver) -> Result<R, RuntimeError>,
    ) -> Result<R, ScenarioError> {
        if self.driver.is_none() {
            let engine: Arc<dyn Engine> = Arc::<CutEngine>::clone(&self.cut);
            let journal = Journal::open(engine, JournalLimits::default())?;
            let breaker = Arc::clone(&self.plan.breaker);
            let limits = if self.plan.tight { tight() } else { RuntimeLimits::default() };
            let (inbox, kept) = (Arc::clone(&self.plan.inbox), Arc::clone(&journal));
            let troupe = (self.plan.casting)(self.plan.workers)
                .limits(limits)
                .effect(move |message: Deliver, call: EffectCall| {
                    let chunk = kept.chunk(call.id.seq).ok().flatten();
                    let let_through_ms = chunk.and_then(|chunk| Some(chunk.get(call.id.seq)?.at_ms));
                    std::future::ready(Ok(inbox.deliver(message, let_through_ms.unwrap_or(Millis::MAX))))
                })
                .disturbed(move |journal, agent, entry| breaker.disturb(journal, agent, entry));
            // Time stands where the journal ends; or it went on, and what was due since then comes first,
            // each at its instant.
            let end_ms = journal.last_at().unwrap_or(self.plan.start_ms);
            let from_ms = if self.plan.clock_goes_on { at_ms } else { end_ms };
            let mut driver = Driver::start(journal, troupe, self.plan.seed, from_ms)?;
            driver.rotate(self.plan.rotate);
            self.driver = Some(driver);
        }
        let driver = self.driver()?;
        if driver.now_ms() < at_ms {
            driver.advance_to(at_ms)?;
        }
        Ok(what(driver)?)
    }

    /// Kills the process now.
    pub(crate) fn kill(&mut self) -> Result<(), ScenarioError> {
        self.cut.kill();
        self.bury()
    }

    fn bury(&mut self) -> Result<(), ScenarioError> {
        self.driver = None;
        self.deaths += 1;
        let commits = self.cut.commits();
        let mut below = self.cut.leave(self.plan.unsynced)?;
        if let EngineChoice::Sled(path) = &self.plan.engine {
            // The new process opens the directory itself.
            below.close()?;
            drop(below);
            self.cut = Arc::new(CutEngine::new(Arc::new(MemoryEngine::new()), 0, None));
            below = open_sled(path)?;
        }
        let dies_after = self.plan.deaths.iter().copied().find(|after| *after > commits);
        self.cut = Arc::new(CutEngine::new(below, commits, dies_after));
        Ok(())
    }
}

fn tight() -> RuntimeLimits {
    RuntimeLimits {
        step_entries_max: 3,
        // One key at a time, the one that waits longest: the others' floor stays behind it.
        unwritten_keys_max: 3,
        unwritten_entries_max: 13,
        write_keys_max: 1,
        checkpoint_keys_max: 3,
        state_keys_max: 4,
        ..RuntimeLimits::default()
    }
}

fn open_sled(path: &std::path::Path) -> Result<Arc<dyn Engine>, StoreError> {
    let options = SledOptions { cache_bytes: 16 << 20, ..SledOptions::default() };
    Ok(Arc::new(SledEngine::open(path, &options)?))
}
