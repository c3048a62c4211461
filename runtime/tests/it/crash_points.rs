//! Crashes at named points: before and after each kind of write, each sync, each decision of an agent and
//! each call of a provider. Afterwards everybody is where they would have been, the provider was called
//! for every effect, and what the journal, the states and the timers say of each other agrees.
//!
//! The points are found from outside, by what a batch holds: production code has no seam for it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use impresario_runtime::{Driver, RuntimeLimits, Troupe, store::*};
use parking_lot::Mutex;

use crate::{
    crash::{Input, play},
    effects::{Count, Order, Seller, Send, Sent},
    support::*,
    toys::{self, Account},
};

/// Rounds of the whole test, each with its own seed.
const ROUNDS: u64 = 2;
const FULL_ROUNDS: u64 = 20;

/// What a batch does, by the spaces of its keys.
fn kinds(batch: &WriteBatch) -> BTreeSet<&'static str> {
    let mut kinds = BTreeSet::new();
    let mut timers_set = 0;
    for op in &batch.ops {
        let deletes = matches!(op, Op::Delete(_));
        kinds.insert(match (op.key().first(), deletes) {
            (Some(b'j'), _) => "append",
            (Some(b'd'), _) => "message ids",
            (Some(b'c'), _) => "apply",
            (Some(b'o'), false) => "outbox write",
            (Some(b'o'), true) => "receipt",
            (Some(b't'), false) => {
                timers_set += 1;
                "timer set"
            }
            (Some(b't'), true) => "timer fired or cancelled",
            (Some(b'n'), _) => "name",
            (Some(b'p' | b's'), false) => "state write",
            (Some(b'p' | b's'), true) => "state removal",
            (Some(b'v'), _) => "mark",
            (Some(b'm'), _) => "directory value",
            other => panic!("a kind of row this test does not know: {other:?}"),
        });
    }
    if kinds.contains("apply") && kinds.contains("append") {
        kinds.insert("apply with words");
    }
    if kinds.contains("apply") && kinds.contains("state write") {
        kinds.insert("apply with states");
    }
    if timers_set > 0 && kinds.contains("timer fired or cancelled") {
        kinds.insert("timer set anew");
    }
    kinds
}

/// A point, at which of its passings an image is taken, and how.
type Wanted = (String, usize, fn(&MemoryEngine) -> MemoryEngine);

/// Takes an image at the `nth` time a point is passed.
struct Points {
    engine: MemoryEngine,
    wanted: Option<Wanted>,
    passed: Mutex<BTreeMap<String, usize>>,
    image: Mutex<Option<MemoryEngine>>,
}

impl Points {
    fn new(engine: MemoryEngine, wanted: Option<Wanted>) -> Arc<Self> {
        Arc::new(Self { engine, wanted, passed: Mutex::default(), image: Mutex::default() })
    }

    fn pass(&self, point: &str) {
        let mut passed = self.passed.lock();
        let count = passed.entry(point.to_owned()).or_default();
        *count += 1;
        if let Some((wanted, nth, take)) = &self.wanted
            && wanted == point
            && nth == count
        {
            *self.image.lock() = Some(take(&self.engine));
        }
    }
}

impl Engine for Points {
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
        let kinds = kinds(&batch);
        kinds.iter().for_each(|kind| self.pass(&format!("before {kind}")));
        self.engine.commit(batch, durability)?;
        kinds.iter().for_each(|kind| self.pass(&format!("after {kind}")));
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.pass("before sync");
        self.engine.sync()?;
        self.pass("after sync");
        Ok(())
    }

    fn note_synced(&self, mark: u64) -> Result<(), StoreError> {
        self.pass("before the mark of the sync");
        self.engine.note_synced(mark)?;
        self.pass("after the mark of the sync");
        Ok(())
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

/// What the provider was asked to send, over all lives of the process.
type Provider = Arc<Mutex<BTreeMap<u32, usize>>>;

fn troupe(points: &Arc<Points>, provider: &Provider, limits: &RuntimeLimits) -> Troupe {
    let (deciding, calling) = (Arc::clone(points), Arc::clone(points));
    let provider = Arc::clone(provider);
    toys::troupe(2)
        .agent(Seller)
        .job::<Count>()
        .effect(move |send: Send, _| {
            let (points, provider) = (Arc::clone(&calling), Arc::clone(&provider));
            async move {
                points.pass("before effect call");
                *provider.lock().entry(send.0).or_default() += 1;
                points.pass("after effect call");
                Ok(Sent(send.0))
            }
        })
        .disturbed(move |_, _, _| deciding.pass("before decide"))
        .limits(limits.clone())
}

/// A story with everything in it, whose amounts and people the seed chooses.
fn story(seed: u64) -> Vec<Input> {
    let mut number = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut below = move |end: u64| {
        number ^= number << 13;
        number ^= number >> 7;
        number ^= number << 17;
        number % end
    };
    let mut story = vec![Input::Rate(2)];
    for step in 0..24 {
        let key = 1 + below(8);
        story.push(match step % 8 {
            0 | 3 => Input::Deposit { account: key, amount: 40 + below(40) as i64 },
            1 => Input::Claim { node: key, owner: 1 + below(8) },
            2 => Input::Link { one: key, other: 1 + below(8) },
            4 => Input::Wait(200 + below(1_500) as i64),
            5 => Input::Join { loser: key + 1, winner: key },
            6 => Input::Sync,
            _ => Input::Rate(1 + below(4) as i64),
        });
    }
    story.extend([Input::Wait(5_000), Input::Sync]);
    story
}

/// Plays the story with orders in it; each order has an id, so that it may be given again.
fn play_all(driver: &mut Driver, story: &[Input]) {
    for order in 1..=4_u32 {
        let mut commit = Commit::new(OUTSIDE);
        let dedup = 1_000 + u64::from(order);
        commit.entries.push(impresario_runtime::new_entry(driver.journal(), dedup, Order(order)).unwrap());
        commit.durability = Durability::Synced;
        driver.submit(commit).unwrap();
        driver.settle().unwrap();
    }
    play(driver, story);
}

fn start(points: &Arc<Points>, provider: &Provider, limits: &RuntimeLimits) -> Driver {
    let engine: Arc<dyn Engine> = Arc::<Points>::clone(points);
    Driver::start(open(engine), troupe(points, provider, limits), SEED, 0).unwrap()
}

/// Everything that waits is waited for by whoever set it, nothing else waits, and the chain holds.
fn agree(driver: &mut Driver, what: &str) {
    let mut waiting: Vec<_> = driver.journal().timers().into_iter().map(|(key, _)| key).collect();
    let mut kept = Vec::new();
    for worker in 0..2 {
        for key in driver.key_texts("ledger", worker, None, usize::MAX).unwrap() {
            let state = driver.state_json("ledger", &key).unwrap().unwrap().state.unwrap();
            let account: Account = serde_json::from_value(state).unwrap();
            kept.extend(account.timer);
        }
    }
    waiting.sort_unstable();
    kept.sort_unstable();
    assert_eq!(waiting, kept, "{what}: timers of the journal and of the states");
    let report = driver.journal().verify(|_| {}).unwrap();
    assert_eq!(report.damage, Vec::new(), "{what}");
    assert!(driver.journal().pending_effects().unwrap().is_empty(), "{what}: every effect was answered");
    let head = driver.journal().head();
    let cursors: Vec<_> = driver.status().into_iter().flat_map(|agent| agent.workers).map(|w| w.cursor).collect();
    assert!(cursors.iter().all(|cursor| *cursor == head), "{what}: {cursors:?} of {head}");
}

/// Crashes at every point; the points there were.
fn crash_everywhere(seed: u64, times: usize) -> BTreeSet<String> {
    let story = story(seed);
    let limits = if seed.is_multiple_of(2) { tiny() } else { RuntimeLimits { unwritten_entries_max: 5, ..tiny() } };
    let whole = Points::new(MemoryEngine::new(), None);
    let provider = Provider::default();
    let mut driver = start(&whole, &provider, &limits);
    play_all(&mut driver, &story);
    let expected = people(&mut driver);
    agree(&mut driver, "without a crash");
    drop(driver);
    assert_eq!(provider.lock().values().copied().collect::<Vec<_>>(), [1; 4], "called once without a crash");
    let passed = whole.passed.lock().clone();
    let mut random = seed;
    for (point, count) in &passed {
        for _ in 0..times {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let nth = 1 + (random >> 33) as usize % count;
            // In turn as a kill leaves it and as a power cut does.
            let take = if random >> 63 == 0 { MemoryEngine::snapshot } else { MemoryEngine::fork };
            let what = format!("seed {seed}, {point}, time {nth} of {count}");
            let crashed = Points::new(MemoryEngine::new(), Some((point.clone(), nth, take)));
            let provider = Provider::default();
            let mut driver = start(&crashed, &provider, &limits);
            play_all(&mut driver, &story);
            drop(driver);
            let image = crashed.image.lock().take().unwrap_or_else(|| panic!("{what}: was not passed again"));
            // The first life called the provider up to the crash at the most; count the second alone.
            let before: BTreeMap<u32, usize> = provider.lock().clone();
            let after = Provider::default();
            let again = Points::new(image, None);
            let mut driver = start(&again, &after, &limits);
            driver.settle().unwrap();
            agree(&mut driver, &what);
            play_all(&mut driver, &story);
            assert_eq!(people(&mut driver), expected, "{what}");
            agree(&mut driver, &what);
            let sent: Vec<_> = all::<Sent>(driver.journal()).into_iter().map(|(_, _, _, sent)| sent.0).collect();
            assert_eq!(sent.iter().collect::<BTreeSet<_>>().len(), sent.len(), "{what}: one receipt a message");
            assert_eq!(sent.len(), 4, "{what}: every message has its receipt");
            assert!(after.lock().values().all(|calls| *calls == 1), "{what}: {before:?} {after:?}");
        }
    }
    passed.into_keys().collect()
}

fn rounds(rounds: u64, times: usize) {
    let mut points = BTreeSet::new();
    for seed in 1..=rounds {
        points.extend(crash_everywhere(seed, times));
    }
    assert!(points.len() >= 25, "{} points: {points:?}", points.len());
}

#[test]
fn a_crash_at_any_named_point_comes_out_where_it_would_have() {
    rounds(ROUNDS, 1);
}

#[test]
#[ignore = "full size: cargo full r2"]
fn r2_crash_points() {
    rounds(FULL_ROUNDS, 3);
}
