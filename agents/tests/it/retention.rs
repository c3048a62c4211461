//! What people did long ago is forgotten: everybody is as they were, windows move on, the journal is whole, and
//! the files hold nothing of it.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, atomic::Ordering},
};

use impresario_agents::{
    segmentation::{SegmentDefined, members_at},
    troupe,
    vocabulary::{DAY_MS, EventKind, IdentifierKind, ProfileId, Tracked},
};
use impresario_runtime::{
    Driver, RetentionStatus, each_entry,
    store::{Engine, Journal, JournalLimits, MemoryEngine, SledEngine, SledOptions, StoreError, compact},
};
use serde_json::json;

use crate::{
    erasure::{Filmed, states},
    support::{START, With, event, node, profile, send, track},
};

const SEED: [u8; 32] = [7; 32];
const OLD: &str = "canary-of-long-ago";
const PEOPLE: [&str; 3] = ["anna", "bob", "carl"];

fn open(engine: Arc<dyn Engine>, days: Option<u32>) -> Driver {
    let journal = Journal::open(engine, JournalLimits::default()).unwrap();
    Driver::start(journal, troupe(2).retention_days(days), SEED, START).unwrap()
}

fn define(driver: &mut Driver, id: &str, condition: serde_json::Value) {
    let condition = serde_json::from_value(condition).unwrap();
    driver.say(SegmentDefined { id: id.into(), name: id.into(), condition, goal: None }).unwrap();
    driver.settle().unwrap();
}

fn orders(last: Option<&str>, at_least: u32) -> serde_json::Value {
    match last {
        Some(last) => {
            json!({"event": {"name": "Order Completed", "window": {"last": last}, "op": ">=", "value": at_least}})
        }
        None => json!({"event": {"name": "Order Completed", "op": ">=", "value": at_least}}),
    }
}

fn order(who: &str, day: i64, note: &str) -> Tracked {
    let id = format!("{who}-{day}");
    let said = json!({"total": 10 + day, "currency": "EUR", "order_id": id, "note": note});
    track("Order Completed", who, &id, START + day * DAY_MS, &said)
}

/// Segments, an old life of which the notes are to go, and a visitor who turns out to be Anna.
fn begin(driver: &mut Driver) {
    define(driver, "ever", orders(None, 2));
    define(driver, "lately", orders(Some("7d"), 1));
    define(driver, "quarter", orders(Some("90d"), 3));
    define(driver, "slipping", json!({"score": {"model": "churn_risk", "op": ">=", "value": 0.9}}));
    send(driver, [event(EventKind::Page, "first", START).anonymous("laptop").properties(&json!({"note": OLD}))]);
    send(driver, [event(EventKind::Identify, "login", START).user("anna").anonymous("laptop")]);
    for day in 0..20 {
        driver.advance_to(START + day * DAY_MS).unwrap();
        let who = PEOPLE.into_iter().enumerate().filter(|(place, _)| day % (*place as i64 + 2) == 0);
        send(driver, who.map(|(_, who)| order(who, day, OLD)).collect::<Vec<_>>());
        send(
            driver,
            (0..40).map(|visit| {
                let at_ms = START + day * DAY_MS + visit;
                let said = json!({"note": OLD, "page": format!("{visit}-{day}-{}", visit * 7_919 % 1_000)});
                track("Viewed", "bob", &format!("v{day}-{visit}"), at_ms, &said)
            }),
        );
    }
}

fn go_on(driver: &mut Driver, day: i64) {
    driver.advance_to(START + day * DAY_MS).unwrap();
    send(driver, [order(PEOPLE[day as usize % 3], day, "of late")]);
}

fn notes(driver: &Driver) -> (usize, usize) {
    let (mut old, mut new) = (0, 0);
    each_entry::<StoreError>(driver.journal(), 1, |entry| {
        let holds = |note: &str| entry.body.windows(note.len()).any(|window| window == note.as_bytes());
        old += usize::from(holds(OLD));
        new += usize::from(holds("of late"));
        Ok(())
    })
    .unwrap();
    (old, new)
}

fn sizes(driver: &mut Driver) -> BTreeMap<&'static str, u64> {
    let size = |segment| {
        let state = driver.state_json("segment-sizes", segment).unwrap().unwrap().state.unwrap();
        (segment, state.get("size").and_then(serde_json::Value::as_u64).unwrap())
    };
    ["ever", "lately", "quarter", "slipping"].into_iter().map(size).collect()
}

fn check_whole(driver: &Driver) {
    let report = driver.journal().verify(|_| {}).unwrap();
    assert_eq!(report.damage, Vec::new());
    assert_eq!(report.entries, driver.journal().head());
}

#[test]
fn everybody_stays_as_they_are_while_what_they_did_goes() {
    let (forgetting, keeping) = (Arc::new(MemoryEngine::new()), Arc::new(MemoryEngine::new()));
    let mut driver = open(Arc::clone(&forgetting) as Arc<dyn Engine>, Some(30));
    let mut twin = open(keeping, None);
    begin(&mut driver);
    begin(&mut twin);
    assert_eq!(driver.retention().unwrap().kept_since_ms, None);
    let mut gone = 0;
    for day in 20..130 {
        go_on(&mut driver, day);
        go_on(&mut twin, day);
        assert_eq!(sizes(&mut driver), sizes(&mut twin), "on day {day}");
        if day % 10 == 0 {
            assert_eq!(states(&mut driver), states(&mut twin), "on day {day}");
            let RetentionStatus { forgotten, waiting, held_by, .. } = driver.retention().unwrap();
            assert_eq!((waiting, held_by), (0, Vec::new()));
            assert!(forgotten > gone || day < 40, "day {day}: {forgotten}");
            gone = forgotten;
            check_whole(&driver);
        }
        if day == 77 {
            // Killed: what was not written is folded again, from what is kept.
            drop(driver.abandon());
            driver = open(Arc::clone(&forgetting) as Arc<dyn Engine>, Some(30));
            driver.settle().unwrap();
            assert_eq!(states(&mut driver), states(&mut twin));
            gone = 0;
        }
    }
    assert_eq!(driver.journal().head(), twin.journal().head(), "it adds nothing to the journal");
    let (old, new) = notes(&driver);
    assert!(old == 0 && (25..=40).contains(&new), "{old} old, {new} new");
    assert_eq!(notes(&twin).1, 110);
    // Who was where, long ago, is told as before.
    for day in [5, 12, 60, 120] {
        for segment in ["ever", "lately", "quarter"] {
            let at = START + day * DAY_MS;
            let told = members_at(driver.journal(), segment, at).unwrap();
            assert_eq!(told, members_at(twin.journal(), segment, at).unwrap(), "{segment} on day {day}");
        }
    }
    let late = Arc::clone(driver.journal());
    let kept_since = driver.retention().unwrap().kept_since_ms.unwrap();
    assert_eq!(kept_since, START + 99 * DAY_MS);
    // A new segment sees what is kept, and tells since when.
    let in_euros = |at_least: u32| {
        let of = json!([{"property": "currency", "op": "=", "value": "EUR"}]);
        json!({"event": {"name": "Order Completed", "where": of, "op": ">=", "value": at_least}})
    };
    define(&mut driver, "new", in_euros(15));
    define(&mut driver, "new-but-few", in_euros(9));
    // What was measured all along is told of all the past.
    define(&mut driver, "as-ever", orders(None, 15));
    assert_eq!(late.horizon_at(late.head()).unwrap().since_ms, kept_since);
    let now = driver.now_ms();
    assert_eq!(members_at(&late, "new", now).unwrap().len(), 0, "there were 15, and are not any more");
    assert_eq!(members_at(&late, "new-but-few", now).unwrap().len(), 3);
    assert_eq!(members_at(&late, "as-ever", now).unwrap().len(), 3);
    // Two who became one long ago are found to be one, and forgotten as one.
    let (laptop, anna) = (node(IdentifierKind::AnonymousId, "laptop"), node(IdentifierKind::UserId, "anna"));
    assert!(profile(&mut driver, laptop).is_some());
    driver.erase(anna.into()).unwrap();
    driver.settle().unwrap();
    assert_eq!((profile(&mut driver, laptop), profile(&mut driver, anna)), (None, None));
    let held =
        states(&mut driver).into_iter().any(|((agent, key), _)| agent == "profiles" && is(&key, &[laptop, anna]));
    assert!(!held);
    check_whole(&driver);
}

fn is(key: &str, any: &[ProfileId]) -> bool {
    any.iter().any(|profile| profile.to_string() == key)
}

#[test]
fn it_ends_wherever_a_crash_comes() {
    let filmed = Arc::new(Filmed::of(MemoryEngine::new()));
    let mut driver = open(Arc::clone(&filmed) as Arc<dyn Engine>, Some(30));
    let mut twin = open(Arc::new(MemoryEngine::new()), None);
    begin(&mut driver);
    begin(&mut twin);
    go_on(&mut twin, 52);
    driver.advance_to(START + 49 * DAY_MS).unwrap();
    driver.journal().sync().unwrap();
    filmed.rolling.store(true, Ordering::Release);
    go_on(&mut driver, 52);
    filmed.rolling.store(false, Ordering::Release);
    let wanted = states(&mut twin);
    assert_eq!(states(&mut driver), wanted);
    let images = filmed.take();
    assert!(images.len() > 20, "{} crashes", images.len());
    for (number, image) in images.into_iter().enumerate() {
        let mut driver = open(Arc::new(image), Some(30));
        driver.settle().unwrap();
        driver.advance_to(START + 52 * DAY_MS).unwrap();
        if driver.journal().head() < twin.journal().head() {
            // The crash came before the last order was in.
            let known = driver.said::<Tracked>().unwrap().iter().any(|(_, event)| *event.message_id == *"bob-52");
            if !known {
                send(&mut driver, [order("bob", 52, "of late")]);
            }
        }
        assert_eq!(states(&mut driver), wanted, "after commit {number}");
        assert_eq!(notes(&driver).0, 0, "after commit {number}");
        assert_eq!(driver.retention().unwrap().waiting, 0);
        check_whole(&driver);
    }
}

fn file_bytes(folder: &Path) -> (u64, bool) {
    let (mut bytes, mut found) = (0, false);
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let (inner, holds) = file_bytes(&path);
            bytes += inner;
            found |= holds;
            continue;
        }
        let content = std::fs::read(&path).unwrap();
        bytes += content.len() as u64;
        found |= content.windows(OLD.len()).any(|window| window == OLD.as_bytes());
    }
    (bytes, found)
}

#[test]
fn the_files_are_small_and_hold_nothing_of_it_once_compacted() {
    let size_after = |days: Option<u32>| {
        let folder = tempfile::tempdir().unwrap();
        let engine = Arc::new(SledEngine::open(folder.path(), &SledOptions::default()).unwrap());
        let mut driver = open(Arc::clone(&engine) as Arc<dyn Engine>, days);
        begin(&mut driver);
        go_on(&mut driver, 60);
        let wanted = states(&mut driver);
        let live = engine.usage().unwrap().live_bytes;
        drop(driver.stop().unwrap());
        engine.close().unwrap();
        drop(engine);
        compact(folder.path()).unwrap();
        let size = file_bytes(folder.path());
        let engine = Arc::new(SledEngine::open(folder.path(), &SledOptions::default()).unwrap());
        let mut driver = open(Arc::clone(&engine) as Arc<dyn Engine>, days);
        driver.settle().unwrap();
        assert_eq!(states(&mut driver), wanted);
        check_whole(&driver);
        (size, live)
    };
    let ((kept, holds), live_kept) = size_after(None);
    let ((small, still), live_small) = size_after(Some(30));
    assert!(holds, "the look finds what is there");
    assert!(!still, "what is forgotten is still in a file");
    assert!(small < kept && live_small < live_kept, "{small} of {kept} bytes, {live_small} of {live_kept} alive");
}
