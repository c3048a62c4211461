//! Very many events, each up to a week late: everybody is who they would have been in order.

use impresario_agents::vocabulary::{EventKind, Millis, Tracked};
use impresario_runtime::{Driver, Troupe};
use serde_json::json;

use super::history::without_places;
use crate::support::{START, With, driver, event, journal, people as with_people, profile};

const DAY_MS: Millis = 86_400_000;
/// How late an event comes at most.
const LATE_MS: Millis = 7 * DAY_MS;
/// Over how long the events happened.
const PAST_DAYS: i64 = 60;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: i64) -> i64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % end as u64) as i64
    }
}

/// What people of a shop do, on two devices each, before and after they are known.
fn happened(count: usize, people: i64, seed: u64) -> Vec<Tracked> {
    let mut random = Random(seed);
    let mut events = Vec::with_capacity(count);
    for number in 0..count {
        let person = random.below(people);
        let at_ms = START - PAST_DAYS * DAY_MS + random.below(PAST_DAYS * DAY_MS);
        let (user, device) = (format!("u{person}"), format!("d{person}-{}", random.below(2)));
        let currency = ["EUR", "PLN"][random.below(2) as usize];
        let product = json!({ "product_id": format!("p{}", random.below(40)), "quantity": 1 + random.below(3) });
        let made = |kind, name: &str| Tracked { name: name.into(), ..event(kind, &format!("m{number}"), at_ms) };
        events.push(match random.below(20) {
            0 => made(EventKind::Identify, "").user(&user).anonymous(&device).properties(
                &json!({ "email": format!("{user}@example.test"), "plan": random.below(3), "city": format!("c{}", random.below(9)) }),
            ),
            1 => made(EventKind::Alias, "").user(&user).previous(&device),
            2..=4 => made(EventKind::Page, "Home").anonymous(&device).properties(&json!({ "url": "https://s.test/" })),
            5..=11 => made(EventKind::Track, "Product Viewed").anonymous(&device).properties(&product),
            12..=14 => made(EventKind::Track, "Product Added").user(&user).anonymous(&device).properties(&product),
            15 => made(EventKind::Track, "Product Removed").user(&user).properties(&product),
            16 | 17 => made(EventKind::Track, "Order Completed").user(&user).properties(&json!({
                "revenue": random.below(20_000) as f64 / 100.0, "currency": currency,
                "products": [product],
            })),
            18 => made(EventKind::Track, "Email Opened").user(&user),
            _ => made(EventKind::Track, "Push Notification Tapped").user(&user),
        });
    }
    events
}

fn played(events: &[Tracked], workers: usize, at_once: usize) -> Driver {
    let mut driver = driver(&journal(), with_people(Troupe::new(), workers));
    for some in events.chunks(at_once) {
        for event in some {
            driver.say(event.clone()).unwrap();
        }
        driver.settle().unwrap();
    }
    driver
}

fn shuffled_within_a_week(count: usize, people: i64) {
    let mut events = happened(count, people, 9);
    events.sort_by_key(|event| event.at_ms);
    let mut in_order = played(&events, 1, 256);
    let mut random = Random(10);
    let mut delivered: Vec<_> = events.iter().map(|event| (event.at_ms + random.below(LATE_MS), event)).collect();
    delivered.sort_by_key(|(at_ms, _)| *at_ms);
    let delivered: Vec<_> = delivered.into_iter().map(|(_, event)| event.clone()).collect();
    assert_ne!(delivered, events);
    let mut shuffled = played(&delivered, 3, 1_000);
    let mut folded = 0;
    let mut nodes: Vec<_> = events.iter().map(Tracked::node).collect();
    nodes.sort_unstable();
    nodes.dedup();
    let mut seen = std::collections::BTreeSet::new();
    for node in nodes {
        let expected = profile(&mut in_order, node).unwrap();
        let found = profile(&mut shuffled, node).unwrap();
        assert_eq!(without_places(&found), without_places(&expected), "{node}");
        if seen.insert(found.id) {
            folded += found.events as usize;
        }
    }
    assert_eq!(folded, count, "every event is somebody's");
}

#[test]
fn twenty_thousand_events_up_to_a_week_late_make_the_same_people() {
    shuffled_within_a_week(20_000, 400);
}

#[test]
#[ignore = "full size: cargo full r9"]
fn r9_a_million_events_up_to_a_week_late() {
    shuffled_within_a_week(1_000_000, 20_000);
}
