//! One person is erased: nothing is held of them any more, everybody else is as they were, and the journal
//! folded anew says the same.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use impresario_agents::{
    identity::IdentityConflict,
    segmentation::{Members, Preview, SegmentDefined, members_at, preview},
    suppression::{AddressHash, Suppressions, WhySuppressed, verdict},
    troupe,
    vocabulary::{DAY_MS, EventKind, Identifier, IdentifierKind, ProfileId, Tracked},
};
use impresario_runtime::{
    Driver, each_entry,
    store::{Durability, Engine, Journal, JournalLimits, MemoryEngine, StoreError, Usage, WriteBatch, copy},
};
use serde_json::json;

use crate::support::{START, With, event, node, profile, said, send, track};

const SEED: [u8; 32] = [7; 32];
const HOUR_MS: i64 = 3_600_000;
/// What must be nowhere afterwards.
const CANARIES: [&str; 6] =
    ["canary.anna@example.test", "+48600111222", "Canaryna", "canary-own", "canary-token", "canary-user"];

fn identify(who: &str, message_id: &str, at_ms: i64, traits: &serde_json::Value) -> Tracked {
    event(EventKind::Identify, message_id, at_ms).user(who).properties(traits)
}

fn order(who: &str, message_id: &str, at_ms: i64) -> Tracked {
    track("Order Completed", who, message_id, at_ms, &json!({"total": 10, "currency": "EUR", "order_id": message_id}))
}

fn open(engine: Arc<dyn Engine>, workers: usize) -> Driver {
    let journal = Journal::open(engine, JournalLimits::default()).unwrap();
    Driver::start(journal, troupe(workers), SEED, START).unwrap()
}

fn define(driver: &mut Driver, id: &str, condition: serde_json::Value) {
    let condition = serde_json::from_value(condition).unwrap();
    driver.say(SegmentDefined { id: id.into(), name: id.into(), condition, goal: None }).unwrap();
    driver.settle().unwrap();
}

fn anna() -> ProfileId {
    node(IdentifierKind::UserId, "canary-user")
}

/// Anna, with a life before she was known and two devices, Bob, who sat at one of them, and Carl.
fn live_on(driver: &mut Driver) {
    define(driver, "buyers", json!({"event": {"name": "Order Completed", "op": ">=", "value": 1}}));
    define(
        driver,
        "lately",
        json!({"event": {"name": "Order Completed", "window": {"last": "7d"}, "op": ">=", "value": 1}}),
    );
    define(driver, "annas", json!({"trait": {"name": "email", "op": "contains", "value": "anna"}}));
    define(driver, "slipping", json!({"score": {"model": "churn_risk", "op": ">=", "value": 0.9}}));
    send(driver, [event(EventKind::Page, "a0", START).anonymous("shared-laptop")]);
    let traits = json!({"email": "Canary.Anna@example.test", "phone": "+48 600 111 222", "first_name": "Canaryna"});
    let context = json!({"device": {"token": "canary-token"}});
    send(
        driver,
        [identify("canary-user", "a1", START + HOUR_MS, &traits).anonymous("shared-laptop").context(&context)],
    );
    send(driver, [event(EventKind::Page, "a3", START + HOUR_MS).user("canary-user").anonymous("canary-own")]);
    send(driver, [event(EventKind::Page, "a2", START + 2 * HOUR_MS).anonymous("shared-laptop")]);
    send(
        driver,
        [identify("bob", "b1", START + 3 * HOUR_MS, &json!({"email": "bob@example.test"})).anonymous("shared-laptop")],
    );
    for day in 0..4 {
        let at_ms = START + DAY_MS * (day + 1);
        driver.advance_to(at_ms).unwrap();
        for who in ["canary-user", "bob", "carl"] {
            send(driver, [order(who, &format!("{who}-{day}"), at_ms)]);
        }
    }
    driver.advance_to(START + DAY_MS * 6).unwrap();
}

/// What is left to compare: every agent's every key with its state.
pub(crate) fn states(driver: &mut Driver) -> BTreeMap<(String, String), String> {
    let agents: Vec<_> = driver.status().iter().map(|status| (status.agent.clone(), status.workers.len())).collect();
    let mut found = BTreeMap::new();
    for (agent, workers) in agents {
        for worker in 0..workers {
            for key in driver.key_texts(&agent, worker, None, 10_000).unwrap() {
                let state = driver.state_json(&agent, &key).unwrap().unwrap();
                found.insert((agent.clone(), key), state.state.unwrap().to_string());
            }
        }
    }
    found
}

fn holds(haystack: &[u8], needle: &str) -> bool {
    let small = haystack.to_ascii_lowercase();
    let needle = needle.to_ascii_lowercase();
    small.windows(needle.len()).any(|window| window == needle.as_bytes())
}

/// Everything a driver and its engine hold, unpacked.
fn everything(driver: &mut Driver, engine: &MemoryEngine) -> Vec<u8> {
    let mut all = Vec::new();
    each_entry::<StoreError>(driver.journal(), 1, |entry| {
        all.extend_from_slice(&entry.body);
        Ok(())
    })
    .unwrap();
    for (_, _, body) in driver.journal().timers_after(None, usize::MAX) {
        all.extend_from_slice(&body);
    }
    for ((agent, key), state) in states(driver) {
        all.extend_from_slice(format!("{agent} {key} {state}").as_bytes());
    }
    let mut from = Vec::new();
    loop {
        let rows = engine.scan(&from, None, 512).unwrap();
        for (key, value) in &rows {
            all.extend_from_slice(key);
            all.extend_from_slice(value);
        }
        let Some((last, _)) = rows.last() else { return all };
        from = last.to_vec();
        from.push(0);
    }
}

fn check_erased(driver: &mut Driver, engine: &MemoryEngine, workers: usize) {
    let status = driver.erasure(anna().into()).unwrap().unwrap();
    assert!(status.done_ms.is_some(), "{status:?}");
    let all = everything(driver, engine);
    for canary in CANARIES {
        assert!(!holds(&all, canary), "{canary} is still there");
    }
    assert!(holds(&all, "bob@example.test"), "the look finds what is there");
    for (kind, text) in [
        (IdentifierKind::UserId, "canary-user"),
        (IdentifierKind::AnonymousId, "canary-own"),
        (IdentifierKind::AnonymousId, "shared-laptop"),
        (IdentifierKind::Email, CANARIES[0]),
        (IdentifierKind::Phone, CANARIES[1]),
        (IdentifierKind::DeviceToken, "canary-token"),
    ] {
        assert_eq!(profile(driver, node(kind, text)), None);
    }
    let sizes = |segment: &str, driver: &mut Driver| {
        let state = driver.state_json("segment-sizes", segment).unwrap().unwrap().state.unwrap();
        state.get("size").and_then(serde_json::Value::as_u64).unwrap()
    };
    assert_eq!((sizes("buyers", driver), sizes("lately", driver), sizes("annas", driver)), (2, 2, 0));
    let past: Members = members_at(driver.journal(), "buyers", START + DAY_MS * 4).unwrap();
    assert_eq!(past.len(), 2, "nor was she ever in it");
    let condition =
        serde_json::from_value(json!({"event": {"name": "Order Completed", "op": ">=", "value": 1}})).unwrap();
    let now = driver.now_ms();
    let tried: Preview = preview(driver.journal(), &BTreeMap::new(), &condition, now, 10).unwrap().unwrap();
    assert_eq!((tried.size, tried.people), (2, 2));
    let email = Identifier::new(IdentifierKind::Email, CANARIES[0]).unwrap();
    let address = AddressHash::of(&SEED, &email).unwrap();
    let known = driver.read::<Suppressions, _>(&address, |reading| reading.get(&address).unwrap().cloned()).unwrap();
    assert_eq!(verdict(known.as_ref()).unwrap_err().0, WhySuppressed::Erased);
    assert_eq!(driver.journal().verify(|_| {}).unwrap().damage, Vec::new());
    check_replay(driver, engine, workers);
}

/// The journal alone says the same.
fn check_replay(driver: &mut Driver, engine: &MemoryEngine, workers: usize) {
    let bare = MemoryEngine::new();
    driver.journal().sync().unwrap();
    copy(engine, &bare, false).unwrap();
    let mut again = open(Arc::new(bare), workers);
    again.settle().unwrap();
    assert_eq!(states(&mut again), states(driver));
    assert_eq!(again.states_digest().unwrap(), driver.states_digest().unwrap());
}

#[test]
fn nothing_is_held_of_an_erased_person_and_a_replay_does_not_bring_them_back() {
    for workers in [1, 3] {
        let engine = Arc::new(MemoryEngine::new());
        let mut driver = open(Arc::clone(&engine) as Arc<dyn Engine>, workers);
        live_on(&mut driver);
        assert!(!said::<IdentityConflict>(&driver).is_empty(), "Bob sat at Anna's laptop");
        let before = everything(&mut driver, &engine);
        for canary in CANARIES {
            assert!(holds(&before, canary), "{canary} was never there");
        }
        let of_others = |driver: &mut Driver| {
            let mut all = states(driver);
            let annas = anna().0.to_string();
            all.retain(|(agent, key), state| {
                let not_hers = *key != anna().to_string() && !(agent == "identity" && state.contains(&annas));
                agent != "segment-sizes" && not_hers && agent != "suppressions"
            });
            all
        };
        let others = of_others(&mut driver);
        driver.erase(anna().into()).unwrap();
        driver.erase(anna().into()).unwrap();
        driver.settle().unwrap();
        check_erased(&mut driver, &engine, workers);
        let status = driver.erasure(anna().into()).unwrap().unwrap();
        assert!(status.entries.is_some_and(|entries| entries > 20), "{status:?}");
        assert_eq!(of_others(&mut driver), others, "everybody else is as they were");
        // Time goes on, and so does everybody else.
        driver.advance_to(START + DAY_MS * 20).unwrap();
        check_erased_later(&mut driver, &engine, workers);
    }
}

/// She comes back as somebody new.
fn check_erased_later(driver: &mut Driver, engine: &MemoryEngine, workers: usize) {
    send(driver, [order("canary-user", "back", START + DAY_MS * 20)]);
    let back = profile(driver, anna()).unwrap();
    assert_eq!((back.events, back.identifiers.iter().count()), (1, 1));
    send(driver, [event(EventKind::Page, "device", START + DAY_MS * 20).anonymous("shared-laptop")]);
    assert_eq!(profile(driver, node(IdentifierKind::AnonymousId, "shared-laptop")).unwrap().events, 1);
    check_replay(driver, engine, workers);
    // And may be erased again.
    driver.erase(anna().into()).unwrap();
    driver.settle().unwrap();
    assert_eq!(profile(driver, anna()), None);
    check_replay(driver, engine, workers);
}

/// Takes an image of the data at every commit, once it is to.
pub(crate) struct Filmed {
    engine: MemoryEngine,
    pub(crate) rolling: AtomicBool,
    images: std::sync::Mutex<Vec<MemoryEngine>>,
}

impl Filmed {
    pub(crate) fn of(engine: MemoryEngine) -> Self {
        Self { engine, rolling: AtomicBool::new(false), images: std::sync::Mutex::default() }
    }

    pub(crate) fn take(&self) -> Vec<MemoryEngine> {
        std::mem::take(&mut *self.images.lock().unwrap())
    }
}

impl Engine for Filmed {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.engine.get(key)
    }

    fn scan(&self, from: &[u8], to: Option<&[u8]>, limit: usize) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        self.engine.scan(from, to, limit)
    }

    fn last(&self, from: &[u8], to: Option<&[u8]>) -> Result<Option<(Bytes, Bytes)>, StoreError> {
        self.engine.last(from, to)
    }

    fn room(&self) -> Result<(), StoreError> {
        self.engine.room()
    }

    fn commit(&self, batch: WriteBatch, durability: Durability) -> Result<(), StoreError> {
        self.engine.commit(batch, durability)?;
        if self.rolling.load(Ordering::Acquire) {
            let mut images = self.images.lock().unwrap();
            // In turn as a kill leaves it, and as a power cut does.
            let image = if images.len().is_multiple_of(2) { self.engine.snapshot() } else { self.engine.fork() };
            images.push(image);
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

#[test]
fn an_erasure_ends_wherever_a_crash_comes() {
    let filmed = Arc::new(Filmed::of(MemoryEngine::new()));
    let mut driver = open(Arc::clone(&filmed) as Arc<dyn Engine>, 2);
    live_on(&mut driver);
    driver.erase(anna().into()).unwrap();
    filmed.rolling.store(true, Ordering::Release);
    driver.settle().unwrap();
    filmed.rolling.store(false, Ordering::Release);
    let wanted = states(&mut driver);
    let images = filmed.take();
    assert!(images.len() > 5, "{} crashes", images.len());
    for (number, image) in images.into_iter().enumerate() {
        let image = Arc::new(image);
        let mut driver = open(Arc::clone(&image) as Arc<dyn Engine>, 2);
        driver.settle().unwrap();
        let found = states(&mut driver);
        for (place, state) in &wanted {
            // When she was suppressed depends on when the journal stood where.
            assert_eq!(found.get(place), Some(state), "after commit {number}: {place:?}");
        }
        assert_eq!(found.len(), wanted.len(), "after commit {number}");
        check_erased(&mut driver, &image, 2);
    }
}
