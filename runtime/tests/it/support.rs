//! What the tests have in common.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use impresario_runtime::{
    Driver, RuntimeLimits, Topic, Troupe, each_entry, new_entry,
    store::{
        Commit, Durability, Engine, Journal, JournalLimits, MemoryEngine, OUTSIDE, Seq, StoreError, Usage, WriteBatch,
        codec,
    },
};
use parking_lot::Mutex;

pub(crate) const SEED: [u8; 32] = [5; 32];

pub(crate) fn memory() -> Arc<Journal> {
    open(Arc::new(MemoryEngine::new()))
}

pub(crate) fn open(engine: Arc<dyn Engine>) -> Arc<Journal> {
    Journal::open(engine, JournalLimits::default()).unwrap()
}

pub(crate) fn driver(troupe: Troupe) -> Driver {
    Driver::start(memory(), troupe, SEED, 0).unwrap()
}

/// A commit of one entry from outside.
pub(crate) fn said<T: Topic>(journal: &Journal, event: T) -> Commit {
    let mut commit = Commit::new(OUTSIDE);
    commit.entries.push(new_entry(journal, 0, event).unwrap());
    commit
}

/// All entries of a topic: place, cause, instant, body.
pub(crate) fn all<T: Topic>(journal: &Journal) -> Vec<(Seq, Seq, i64, T)> {
    let mut found = Vec::new();
    let Some(topic) = journal.known_name(T::NAME) else { return found };
    each_entry(journal, 1, |entry| {
        if entry.topic == topic {
            found.push((entry.seq, entry.cause, entry.at_ms, codec::decode(T::VERSION, &entry.body)?));
        }
        Ok::<(), StoreError>(())
    })
    .unwrap();
    found
}

pub(crate) fn bodies<T: Topic>(journal: &Journal) -> Vec<T> {
    all(journal).into_iter().map(|(_, _, _, body)| body).collect()
}

/// Every agent's every key with its state as a text, places left out, which differ where order may.
pub(crate) type People = BTreeMap<(String, String), String>;

pub(crate) fn people(driver: &mut Driver) -> People {
    let agents: Vec<_> = driver.status().iter().map(|status| (status.agent.clone(), status.workers.len())).collect();
    let mut people = People::new();
    for (agent, workers) in agents {
        for worker in 0..workers {
            for key in driver.key_texts(&agent, worker, None, usize::MAX).unwrap() {
                let mut state = driver.state_json(&agent, &key).unwrap().unwrap().state.unwrap();
                if let Some(fields) = state.as_object_mut() {
                    fields.remove("timer");
                }
                people.insert((agent.clone(), key), state.to_string());
            }
        }
    }
    people
}

/// Limits so small that everything that is seldom comes all the time.
pub(crate) fn tiny() -> RuntimeLimits {
    RuntimeLimits {
        step_entries_max: 3,
        step_outputs_max: 2,
        unwritten_keys_max: 3,
        unwritten_entries_max: 7,
        unwritten_ms_max: 700,
        write_keys_max: 1,
        checkpoint_keys_max: 4,
        state_keys_max: 2,
        ..RuntimeLimits::default()
    }
}

/// Takes an image of the data at every commit.
pub(crate) struct Filmed {
    engine: MemoryEngine,
    take: fn(&MemoryEngine) -> MemoryEngine,
    /// The one commit to be filmed; all where there is none.
    only: Option<usize>,
    commits: AtomicUsize,
    pub(crate) images: Mutex<Vec<MemoryEngine>>,
}

impl Filmed {
    pub(crate) fn new(engine: MemoryEngine, take: fn(&MemoryEngine) -> MemoryEngine) -> Self {
        Self { engine, take, only: None, commits: AtomicUsize::new(0), images: Mutex::default() }
    }

    /// Films the `nth` commit alone.
    pub(crate) fn once(engine: MemoryEngine, take: fn(&MemoryEngine) -> MemoryEngine, nth: usize) -> Self {
        Self { only: Some(nth), ..Self::new(engine, take) }
    }

    pub(crate) fn snapshot(&self) -> MemoryEngine {
        self.engine.snapshot()
    }
}

impl Engine for Filmed {
    fn get(&self, key: &[u8]) -> Result<Option<bytes::Bytes>, StoreError> {
        self.engine.get(key)
    }

    fn scan(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(bytes::Bytes, bytes::Bytes)>, StoreError> {
        self.engine.scan(from, to, limit)
    }

    fn last(&self, from: &[u8], to: Option<&[u8]>) -> Result<Option<(bytes::Bytes, bytes::Bytes)>, StoreError> {
        self.engine.last(from, to)
    }

    fn room(&self) -> Result<(), StoreError> {
        self.engine.room()
    }

    fn commit(&self, batch: WriteBatch, durability: Durability) -> Result<(), StoreError> {
        self.engine.commit(batch, durability)?;
        let number = self.commits.fetch_add(1, Ordering::Relaxed);
        if self.only.is_none_or(|only| only == number) {
            self.images.lock().push((self.take)(&self.engine));
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.engine.sync()
    }

    fn note_synced(&self, mark: u64) -> Result<(), StoreError> {
        self.engine.note_synced(mark)
    }

    fn noted(&self) -> Result<Option<u64>, StoreError> {
        self.engine.noted()
    }

    fn usage(&self) -> Result<Usage, StoreError> {
        self.engine.usage()
    }

    fn close(&self) -> Result<(), StoreError> {
        self.engine.close()
    }
}

/// An engine whose commits wait while its gate is shut.
#[derive(Default)]
pub(crate) struct Gated {
    engine: MemoryEngine,
    shut: AtomicBool,
}

impl Gated {
    pub(crate) fn shut(&self, shut: bool) {
        self.shut.store(shut, Ordering::Release);
    }
}

impl Engine for Gated {
    fn get(&self, key: &[u8]) -> Result<Option<bytes::Bytes>, StoreError> {
        self.engine.get(key)
    }

    fn scan(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(bytes::Bytes, bytes::Bytes)>, StoreError> {
        self.engine.scan(from, to, limit)
    }

    fn last(&self, from: &[u8], to: Option<&[u8]>) -> Result<Option<(bytes::Bytes, bytes::Bytes)>, StoreError> {
        self.engine.last(from, to)
    }

    fn room(&self) -> Result<(), StoreError> {
        self.engine.room()
    }

    fn commit(&self, batch: WriteBatch, durability: Durability) -> Result<(), StoreError> {
        while self.shut.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        self.engine.commit(batch, durability)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.engine.sync()
    }

    fn note_synced(&self, mark: u64) -> Result<(), StoreError> {
        self.engine.note_synced(mark)
    }

    fn noted(&self) -> Result<Option<u64>, StoreError> {
        self.engine.noted()
    }

    fn usage(&self) -> Result<Usage, StoreError> {
        self.engine.usage()
    }

    fn close(&self) -> Result<(), StoreError> {
        self.engine.close()
    }
}
