//! What the tests share: small engines and journals, and entries to put in.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
        mpsc,
    },
};

use bytes::Bytes;
use impresario_store::{
    Commit, Durability, Engine, Entry, Journal, JournalLimits, MemoryEngine, NameId, NewEntry, OUTSIDE, PendingEffect,
    Receipt, Seq, SledEngine, SledOptions, StoreError, Writer, WriterEvents,
};
use parking_lot::Mutex;

/// 2026-05-04 08:00 UTC.
pub(crate) const NOON: i64 = 1_777_881_600_000;

/// Taken by tests that write much on sled: all engines of a process share its pool of seven threads.
pub(crate) static MUCH_WRITING: Mutex<()> = Mutex::new(());

/// Small and on any disk, however full.
pub(crate) fn sled_options() -> SledOptions {
    SledOptions { cache_bytes: 8 << 20, free_min_percent: 0, ..SledOptions::default() }
}

/// A child that another test starts holds this process's locks from its fork to its exec, so a
/// directory just let go of may still be locked for a moment.
pub(crate) fn sled(directory: &Path) -> SledEngine {
    for _ in 0..100_000 {
        match SledEngine::open(directory, &sled_options()) {
            Err(StoreError::Locked { .. }) => std::thread::yield_now(),
            Err(StoreError::Engine { error, .. }) if error.contains("lock") => std::thread::yield_now(),
            other => return other.expect("an engine"),
        }
    }
    panic!("{} stays locked", directory.display())
}

pub(crate) fn on_sled(directory: &Path) -> Arc<Journal> {
    open(Arc::new(sled(directory)))
}

pub(crate) fn open(engine: Arc<dyn Engine>) -> Arc<Journal> {
    Journal::open(engine, JournalLimits::default()).expect("a journal")
}

/// A journal in memory, and its engine to fork.
pub(crate) fn in_memory() -> (Arc<MemoryEngine>, Arc<Journal>) {
    let engine = Arc::new(MemoryEngine::new());
    (Arc::clone(&engine), open(engine))
}

pub(crate) fn entry(topic: NameId, body: impl AsRef<[u8]>) -> NewEntry {
    let body = Bytes::copy_from_slice(body.as_ref());
    NewEntry { partition: 3, topic, cause: 0, dedup: 0, fingerprint: 0, body, decoded: None }
}

/// A synced commit of one entry a body.
pub(crate) fn commit<B: AsRef<[u8]>>(topic: NameId, bodies: impl IntoIterator<Item = B>) -> Commit {
    let mut commit = Commit::new(OUTSIDE);
    commit.durability = Durability::Synced;
    commit.entries = bodies.into_iter().map(|body| entry(topic, body)).collect();
    commit
}

/// Commits one, which must be taken.
pub(crate) fn put(journal: &Journal, now_ms: i64, commit: Commit) -> Receipt {
    journal.commit_one(now_ms, commit).expect("a receipt").0
}

/// What `look` sees of every entry, in order; also checks that the places are consecutive.
pub(crate) fn each<T>(journal: &Journal, mut look: impl FnMut(&Entry) -> T) -> Vec<T> {
    let mut seen = Vec::new();
    let mut next: Seq = 1;
    while let Some(chunk) = journal.chunk(next).expect("a readable journal") {
        for entry in chunk.from(next) {
            assert_eq!(entry.seq, next);
            next += 1;
            seen.push(look(entry));
        }
    }
    assert_eq!(next, journal.head() + 1);
    seen
}

pub(crate) fn bodies(journal: &Journal) -> Vec<Bytes> {
    each(journal, |entry| entry.body.clone())
}

/// Bytes that nothing compresses, the same for the same seed.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut random = Random(seed);
    (0..length).map(|_| random.next() as u8).collect()
}

/// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

/// A writer's owner that keeps what it is told.
#[derive(Clone, Default)]
pub(crate) struct Owner(pub(crate) Arc<Told>);

pub(crate) struct Told {
    pub(crate) now_ms: AtomicI64,
    pub(crate) effects: Mutex<Vec<PendingEffect>>,
    pub(crate) failed: Mutex<Option<String>>,
    /// Called with every bell.
    pub(crate) on_bell: Mutex<Option<Box<dyn FnMut() + Send>>>,
}

impl Default for Told {
    fn default() -> Self {
        Self {
            now_ms: AtomicI64::new(NOON),
            effects: Mutex::default(),
            failed: Mutex::default(),
            on_bell: Mutex::default(),
        }
    }
}

impl WriterEvents for Owner {
    fn now_ms(&self) -> i64 {
        self.0.now_ms.load(Ordering::Acquire)
    }

    fn appended(&self) {
        if let Some(on_bell) = self.0.on_bell.lock().as_mut() {
            on_bell();
        }
    }

    fn effects_asked(&self, _: usize) {}

    fn effects(&self, effects: Vec<PendingEffect>) {
        self.0.effects.lock().extend(effects);
    }

    fn failed(&self, error: &StoreError) {
        *self.0.failed.lock() = Some(error.to_string());
    }
}

/// The answer to a commit sent to a writer.
pub(crate) type Answer = mpsc::Receiver<Result<Receipt, StoreError>>;

pub(crate) fn send(writer: &Writer, commit: Commit) -> Answer {
    let (reply, answer) = mpsc::channel();
    let reply = Box::new(move |outcome| {
        let _ = reply.send(outcome);
    });
    writer.send(commit, Some(reply)).expect("a place in the queue");
    answer
}
