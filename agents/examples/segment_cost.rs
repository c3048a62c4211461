//! What one profile change costs in segmentation: `cargo run --release -p impresario-agents --example segment_cost`.
//!
//! Prints a line of JSON for each set of segments: nanoseconds a change, by fastest round. What the journal and
//! the worker take without any segment is measured too, as `segments: 0`, and is in every other figure.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a measure is taken and shown, by hand alone"
)]

use std::{sync::Arc, time::Instant};

use impresario_agents::{
    segmentation::{Condition, SegmentDefined, Segmentation},
    vocabulary::{EventKind, Feature, KeptNode, ProfileChanged, RawJson, Tracked},
};
use impresario_runtime::{
    Driver, Troupe, new_entry,
    store::{Commit, Journal, JournalLimits, MemoryEngine, OUTSIDE},
};
use serde_json::json;

const PEOPLE: u64 = 5_000;
const ROUNDS: u64 = 8;
const START: i64 = 1_777_852_800_000;

fn main() {
    for (segments, windowed) in [(0, false), (10, false), (100, false), (1_000, false), (100, true)] {
        let nanos = measure(segments, windowed);
        println!("{}", json!({ "segments": segments, "half_windowed": windowed, "ns_per_change": nanos }));
    }
}

/// Of twenty segments one looks at the events that come.
fn condition(place: usize, segments: usize, windowed: bool) -> Condition {
    let looking = place * 5 < segments.min(25);
    let name = if looking { "Product Viewed".to_owned() } else { format!("Event {place}") };
    let window = if windowed && place.is_multiple_of(2) { json!({ "last": "30d" }) } else { json!({}) };
    let told = json!({ "event": { "name": name, "window": window, "op": ">=", "value": 3 + place % 5 } });
    serde_json::from_value(told).unwrap()
}

fn measure(segments: usize, windowed: bool) -> u64 {
    let journal = Journal::open(Arc::new(MemoryEngine::new()), JournalLimits::default()).unwrap();
    let mut driver = Driver::start(journal, Troupe::new().agent(Segmentation), [7; 32], START).unwrap();
    for place in 0..segments {
        let condition = condition(place, segments, windowed);
        let id = format!("s{place}").into_boxed_str();
        driver.say(SegmentDefined { name: id.clone(), id, condition, goal: None }).unwrap();
    }
    driver.settle().unwrap();
    let mut fastest = u128::MAX;
    for round in 0..ROUNDS {
        driver.advance_to(START + i64::try_from(round).unwrap() * 3_600_000).unwrap();
        let mut commits = Vec::new();
        for person in 0..PEOPLE {
            let tracked = event(person, driver.now_ms());
            let profile = tracked.node();
            let seq = driver.journal().head() + 1 + 2 * person;
            let features =
                vec![(Feature::EVENTS, 1), (Feature::LAST_SEEN_AT, driver.now_ms()), (Feature::PRODUCT_VIEWS, 1)];
            let changed = ProfileChanged { profile, event: seq, features, traits: Default::default(), rhythm: None };
            commits.push((tracked, changed));
        }
        for some in commits.chunks(250) {
            let mut commit = Commit::new(OUTSIDE);
            for (tracked, changed) in some {
                commit.entries.push(new_entry(driver.journal(), 0, tracked.clone()).unwrap());
                commit.entries.push(new_entry(driver.journal(), 0, changed.clone()).unwrap());
            }
            driver.submit(commit).unwrap();
        }
        let started = Instant::now();
        driver.settle().unwrap();
        fastest = fastest.min(started.elapsed().as_nanos());
    }
    u64::try_from(fastest).unwrap() / PEOPLE
}

fn event(person: u64, at_ms: i64) -> Tracked {
    Tracked {
        kind: EventKind::Track,
        message_id: format!("0190f0a2-7c9b-7d1e-8a3c-{person:012}").into(),
        user_id: Some(format!("user-{person}").into()),
        anonymous_id: None,
        previous_id: None,
        group_id: None,
        name: "Product Viewed".into(),
        at_ms,
        original_at_ms: None,
        sent_at_ms: None,
        received_at_ms: at_ms,
        properties: RawJson::from_checked(
            r#"{"product_id":"SHOE-42","name":"Runner","price":79.9,"category":"shoes"}"#,
        ),
        context: RawJson::default(),
        source: "bench".into(),
        kept_node: KeptNode::default(),
    }
}
