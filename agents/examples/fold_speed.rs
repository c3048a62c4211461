//! How long folding one event into a profile takes: `cargo run --release -p impresario-agents --example fold_speed`.

#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a measure is taken and shown, by hand alone")]

use std::{hint::black_box, time::Instant};

use impresario_agents::{
    profiles::Profile,
    vocabulary::{EventKind, KeptNode, RawJson, Tracked},
};

const EVENTS: u64 = 400_000;
const PEOPLE: usize = 10_000;
const START: i64 = 1_777_852_800_000;

fn main() {
    let context = r#"{"library":{"name":"analytics.js","version":"2.11.1"},"locale":"pl-PL","timezone":"Europe/Warsaw","page":{"path":"/shoes","referrer":"https://shop.test/","title":"Shoes","url":"https://shop.test/shoes"},"userAgent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/129.0.0.0 Safari/537.36"}"#;
    let order = r#"{"order_id":"o-1","revenue":25.5,"currency":"EUR","products":[{"product_id":"p-1","quantity":2,"price":10},{"product_id":"p-2","price":5.5}]}"#;
    let view = r#"{"product_id":"SHOE-42","name":"Runner","price":79.9,"category":"shoes"}"#;
    let traits = r#"{"email":"anna@example.test","name":"Anna","plan":"gold","age":34,"address":{"city":"Gdynia","country":"PL"}}"#;
    for (name, kind, event, properties, context) in [
        ("track, plain, no context", EventKind::Track, "Signed In", r#"{"method":"link"}"#, "{}"),
        ("track, plain, browser context", EventKind::Track, "Signed In", r#"{"method":"link"}"#, context),
        ("page, browser context", EventKind::Page, "Shoes", r#"{"url":"https://shop.test/shoes"}"#, context),
        ("product viewed, browser context", EventKind::Track, "Product Viewed", view, context),
        ("order completed, no context", EventKind::Track, "Order Completed", order, "{}"),
        ("identify, five traits, no context", EventKind::Identify, "", traits, "{}"),
    ] {
        let nanos = measure(kind, event, properties, context);
        println!("{name:<36}{nanos:>7} ns/event");
    }
}

fn measure(kind: EventKind, name: &str, properties: &str, context: &str) -> u64 {
    let mut events: Vec<Tracked> = (0..PEOPLE).map(|person| event(kind, name, properties, context, person)).collect();
    let ids: Vec<_> = events.iter().map(Tracked::node).collect();
    let mut profiles: Vec<_> = (0..PEOPLE).map(|_| Profile::default()).collect();
    let mut folded = 0;
    let mut fastest = u128::MAX;
    while folded < EVENTS {
        for event in &mut events {
            event.at_ms += 3_600_000;
        }
        let started = Instant::now();
        for ((profile, event), id) in profiles.iter_mut().zip(&events).zip(&ids) {
            folded += 1;
            black_box(profile.fold(*id, *id, event, folded));
        }
        // The fastest round: what else the machine does is not the fold's doing.
        fastest = fastest.min(started.elapsed().as_nanos());
    }
    u64::try_from(fastest).unwrap_or(u64::MAX) / PEOPLE as u64
}

fn event(kind: EventKind, name: &str, properties: &str, context: &str, person: usize) -> Tracked {
    Tracked {
        kind,
        message_id: format!("0190f0a2-7c9b-7d1e-8a3c-{person:012}").into(),
        user_id: Some(format!("user-{person}").into()),
        anonymous_id: Some(format!("device-{person}").into()),
        previous_id: None,
        group_id: None,
        name: name.into(),
        at_ms: START,
        original_at_ms: None,
        sent_at_ms: None,
        received_at_ms: START,
        properties: RawJson::from_checked(properties),
        context: RawJson::from_checked(context),
        source: "bench".into(),
        kept_node: KeptNode::default(),
    }
}
