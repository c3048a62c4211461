//! The dearest definitions there can be, looked at for one person.

use std::fmt;

use impresario_agents::{
    segmentation::{SegmentDefined, Segmentation},
    vocabulary::{EventKind, ProfileChanged, RawJson, Tracked},
};
use impresario_runtime::{
    Driver, RuntimeError, Troupe, new_entry,
    store::{Commit, Journal, JournalLimits, MemoryEngine, OUTSIDE},
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::bench::processor_of_thread;

const START_MS: i64 = 1_777_852_800_000;
/// Events after those, each of which is measured.
const MORE: u64 = 20;
/// More than there ever are: each event happened after the one before it.
const MANY: u64 = 1_000_000;
const EVENTS_A_COMMIT: u64 = 500;

/// What one more event of a person with many costs beside one definition.
#[derive(Debug, Serialize)]
pub(super) struct Worst {
    definition: &'static str,
    events: u64,
    /// Processor time by event, in milliseconds: folding it, and looking at the person again.
    ms_a_person: f64,
}

impl fmt::Display for Worst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { definition, events, ms_a_person } = self;
        write!(f, "{ms_a_person:.2} ms a person with {events} events: {definition}")
    }
}

pub(super) fn measure(events: u64) -> Result<Vec<Worst>, RuntimeError> {
    let rolling = |aggregate: &str, place: usize, last: &str| {
        json!({ "event": { "name": "Tap", "aggregate": aggregate, "property": format!("p{place}"),
            "window": { "last": last }, "op": ">=", "value": 1_000_000 + place } })
    };
    let distinct: Vec<Value> = (0..10).map(|place| rolling("distinct", place, "3650d")).collect();
    let sums: Vec<Value> = (0..10).map(|place| rolling("sum", place, "3650d")).collect();
    let sequences: Vec<Value> = (0..10)
        .map(|place| {
            json!({ "sequence": { "first": { "name": "Tap" }, "then": { "name": format!("Never {place}") },
                "within": "1ms", "window": { "last": format!("{}d", 3_650 + place) } } })
        })
        .collect();
    // As many property tests as there may be; each finds its text at the very end.
    let filters: Vec<Value> = (0..10)
        .map(|place| {
            let part = format!("{}b", "a".repeat(200 + place));
            let filter = json!({ "property": "text", "op": "contains", "value": part });
            json!({ "event": { "name": "Tap", "where": vec![filter; 20], "op": ">=", "value": 1_000_000 } })
        })
        .collect();
    let plain = properties(String::new());
    let long = properties(format!("{}b", "a".repeat(30_000)));
    Ok(vec![
        one("ten rolling windows over different values", &json!({ "any": distinct }), &plain, events)?,
        one("ten rolling sums", &json!({ "any": sums }), &plain, events)?,
        one("ten sequences", &json!({ "any": sequences }), &plain, events)?,
        one("200 searches of a long text", &json!({ "any": filters }), &long, 0)?,
    ])
}

fn properties(text: String) -> impl Fn(u64) -> String {
    move |event| {
        let fields: Vec<String> =
            (0..10).map(|place| format!("\"p{place}\":\"{:0>100}\"", event * 10 + place)).collect();
        let text = if text.is_empty() { String::new() } else { format!(",\"text\":\"{text}\"") };
        format!("{{{}{text}}}", fields.join(","))
    }
}

fn one(
    definition: &'static str,
    condition: &Value,
    properties: &impl Fn(u64) -> String,
    events: u64,
) -> Result<Worst, RuntimeError> {
    let journal = Journal::open(std::sync::Arc::new(MemoryEngine::new()), JournalLimits::default())?;
    let mut driver = Driver::start(journal, Troupe::new().agent(Segmentation), [7; 32], START_MS)?;
    let wrong = |error: serde_json::Error| RuntimeError::Setup(error.to_string());
    let condition = serde_json::from_value(condition.clone()).map_err(wrong)?;
    driver.say(SegmentDefined { id: "worst".into(), name: "Worst".into(), condition, goal: None })?;
    driver.settle()?;
    let mut number = 0;
    while number < events {
        let count = EVENTS_A_COMMIT.min(events - number);
        submit(&mut driver, number, count, properties)?;
        driver.settle()?;
        number += count;
    }
    let mut spent = Vec::new();
    for _ in 0..MORE {
        submit(&mut driver, number, 1, properties)?;
        number += 1;
        let before = processor_of_thread();
        driver.settle()?;
        spent.push(processor_of_thread().saturating_sub(before).as_secs_f64() * 1_000.0);
    }
    Ok(Worst { definition, events, ms_a_person: super::median(spent) })
}

/// Events of one person, each with the change it makes.
fn submit(
    driver: &mut Driver,
    first: u64,
    count: u64,
    properties: &impl Fn(u64) -> String,
) -> Result<(), RuntimeError> {
    let mut commit = Commit::new(OUTSIDE);
    let next = driver.journal().head() + 1;
    for place in 0..count {
        let number = first + place;
        let at_ms = START_MS - 10 * i64::try_from(MANY.saturating_sub(number)).unwrap_or_default();
        let tracked = Tracked {
            kind: EventKind::Track,
            message_id: format!("worst-{number}").into(),
            user_id: Some("worst".into()),
            anonymous_id: None,
            previous_id: None,
            group_id: None,
            name: "Tap".into(),
            at_ms,
            original_at_ms: None,
            sent_at_ms: None,
            received_at_ms: at_ms,
            properties: RawJson::from_checked(properties(number)),
            context: RawJson::default(),
            source: "bench".into(),
            kept_node: Default::default(),
        };
        let profile = tracked.node();
        let event = next + 2 * place;
        let changed = ProfileChanged { profile, event, features: Vec::new(), traits: Default::default(), rhythm: None };
        commit.entries.push(new_entry(driver.journal(), 0, tracked)?);
        commit.entries.push(new_entry(driver.journal(), 0, changed)?);
    }
    driver.submit(commit).map(drop)
}
