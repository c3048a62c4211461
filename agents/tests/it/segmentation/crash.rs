//! The same script with the process killed again and again: the end is the same.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use impresario_agents::{
    profiles::Profiles,
    rhythm::Rhythm,
    segmentation::{SegmentDefined, SegmentRemoved, SegmentSizes, Segmentation},
    troupe,
    vocabulary::Tracked,
};
use impresario_runtime::{
    Agent, Driver, RuntimeError, Topic, each_entry,
    store::{Durability, Engine, Journal, JournalLimits, MemoryEngine, StoreError, Usage, WriteBatch},
};
use proptest::{collection::vec, prelude::*};

use super::{
    play::{Play, Step, standing},
    random::Script,
};
use crate::support::START;

/// A crash after so many commits, and whether what was not synced is lost.
#[derive(Clone, Debug)]
pub(super) struct Crash {
    commits: u64,
    power_cut: bool,
}

pub(super) fn crashes() -> impl Strategy<Value = Vec<Crash>> {
    vec((1_u64..60, prop::bool::weighted(0.3)).prop_map(|(commits, power_cut)| Crash { commits, power_cut }), 1..6)
}

/// An engine that commits so many times and never again.
struct Mortal {
    inner: MemoryEngine,
    commits_left: AtomicU64,
}

impl Engine for Mortal {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.inner.get(key)
    }

    fn scan(&self, from: &[u8], to: Option<&[u8]>, limit: usize) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        self.inner.scan(from, to, limit)
    }

    fn last(&self, from: &[u8], to: Option<&[u8]>) -> Result<Option<(Bytes, Bytes)>, StoreError> {
        self.inner.last(from, to)
    }

    fn room(&self) -> Result<(), StoreError> {
        self.inner.room()
    }

    fn commit(&self, batch: WriteBatch, durability: Durability) -> Result<(), StoreError> {
        let spend = |left: u64| left.checked_sub(1);
        if self.commits_left.fetch_update(Ordering::AcqRel, Ordering::Acquire, spend).is_err() {
            return Err(StoreError::Closed);
        }
        self.inner.commit(batch, durability)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.inner.sync()
    }

    fn note_synced(&self, mark: u64) -> Result<(), StoreError> {
        self.inner.note_synced(mark)
    }

    fn noted(&self) -> Result<Option<u64>, StoreError> {
        self.inner.noted()
    }

    fn usage(&self) -> Result<Usage, StoreError> {
        self.inner.usage()
    }

    fn close(&self) -> Result<(), StoreError> {
        self.inner.close()
    }
}

/// Plays a script as if nothing ever happened and with crashes, and compares.
pub(super) fn compare(script: &Script, crashes: &[Crash]) {
    let mut plain = Play::new(script);
    script.actions.iter().for_each(|action| plain.act(action));
    let mut engine = MemoryEngine::new();
    for crash in crashes {
        let mortal = Arc::new(Mortal { inner: engine.snapshot(), commits_left: AtomicU64::new(crash.commits) });
        match run(&mortal, script, &plain.steps) {
            Ok(driver) => return compare_ends(&mut plain, driver),
            Err(error) => assert_eq!(mortal.commits_left.load(Ordering::Acquire), 0, "{error}"),
        }
        engine = if crash.power_cut { mortal.inner.fork() } else { mortal.inner.snapshot() };
    }
    let immortal = Arc::new(Mortal { inner: engine, commits_left: AtomicU64::new(u64::MAX) });
    let driver = run(&immortal, script, &plain.steps).unwrap();
    compare_ends(&mut plain, driver);
}

fn run(engine: &Arc<Mortal>, script: &Script, steps: &[Step]) -> Result<Driver, RuntimeError> {
    let journal = Journal::open(Arc::clone(engine) as Arc<dyn Engine>, JournalLimits::default())?;
    let mut survived = 0;
    each_entry::<StoreError>(&journal, 1, |entry| {
        let name = journal.name_of(entry.topic);
        survived += usize::from([Tracked::NAME, SegmentDefined::NAME, SegmentRemoved::NAME].contains(&name.as_str()));
        Ok(())
    })?;
    let mut driver = Driver::start(journal, troupe(script.workers), [7; 32], START)?;
    driver.rotate(script.rotate);
    // What came before the last thing said that survived was done by then.
    let said = steps.iter().enumerate().filter(|(_, step)| !matches!(step, Step::AdvanceTo(_)));
    let done = said.map(|(place, _)| place + 1).take(survived).last().unwrap_or_default();
    steps[done..].iter().try_for_each(|step| step.take(&mut driver))?;
    Ok(driver)
}

fn compare_ends(plain: &mut Play, mut driver: Driver) {
    plain.compare();
    let found = standing(&mut driver);
    let wanted = standing(&mut plain.driver);
    assert_eq!(found, wanted, "who is in which segment, and since when");
    let (found, wanted) = (states(&mut driver), states(&mut plain.driver));
    for (place, state) in &wanted {
        assert_eq!(found.get(place), Some(state), "the state of {place:?}");
    }
    assert_eq!(found.len(), wanted.len(), "keys with state");
}

/// All states of all agents, by agent and key.
fn states(driver: &mut Driver) -> BTreeMap<(&'static str, String), String> {
    let mut found = BTreeMap::new();
    let agents = [
        (Profiles::NAME, driver.workers::<Profiles>()),
        (Segmentation::NAME, driver.workers::<Segmentation>()),
        (SegmentSizes::NAME, 1),
        (Rhythm::NAME, 1),
    ];
    for (agent, workers) in agents {
        for worker in 0..workers {
            for key in driver.key_texts(agent, worker, None, 1_000).unwrap() {
                let mut state = driver.state_json(agent, &key).unwrap().unwrap().state;
                if let Some(state) = &mut state {
                    without_places(state);
                }
                found.insert((agent, key), serde_json::to_string(&state).unwrap());
            }
        }
    }
    found
}

/// Without the places of merges: what several agents say at once lies in another order after a crash.
fn without_places(state: &mut serde_json::Value) {
    if let Some(held) = state.get_mut("z").and_then(|held| held.as_array_mut()) {
        held.iter_mut().for_each(|merge| *merge = merge.get(0_usize).cloned().unwrap_or_default());
    }
}
