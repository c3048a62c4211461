//! Whoever has stolen a write key can say what they like of as many people as they like. It brings no campaign past
//! what it may, opens no other door, and sending stops for them as for everybody.

use std::{collections::BTreeSet, path::Path, time::Instant};

use serde_json::{Value, json};

use crate::{
    http::Request,
    server::{Server, directory},
};

/// What the shop's campaign may.
const PEOPLE_MAX: usize = 20;
const MESSAGES_MAX: usize = 25;
/// People told of in one request.
const BATCH: usize = 100;

fn put(server: &Server, path: &str, body: &Value) {
    let answer = server.control("PUT", path, &body.to_string());
    assert!(matches!(answer.status, 200 | 201), "{path}: {}", answer.text());
}

/// A shop with a campaign that acts by itself, and a journey that is its own too.
fn open_shop(server: &Server) {
    put(server, "/api/messaging/policy", &json!({ "quiet_hours": {}, "caps": [] }));
    put(server, "/api/templates/hello", &json!({ "name": "Hello", "sms": { "text": "Hello" } }));
    let journey = json!({
        "name": "Welcome", "entry": { "event": { "name": "Signed Up" } }, "campaign": "win-back",
        "steps": [{ "id": "hello", "send": { "template": "hello", "channels": ["sms"] } }],
    });
    put(server, "/api/journeys/welcome", &journey);
    let goal = json!({
        "id": "win-back", "name": "Win back", "metric": "orders", "within": "30d", "channels": ["sms"],
        "templates": ["hello"], "offers": ["none"], "holdout": 0.0, "random_control": 0.0, "strategy": "uniform",
        "autonomy": "autonomous", "blast_radius": PEOPLE_MAX, "budget": { "messages": MESSAGES_MAX },
    });
    let set = server.control("POST", "/api/goals", &goal.to_string());
    assert_eq!(set.status, 201, "{}", set.text());
    server.wait_for("/api/goals/win-back", |goal| goal["campaign"]["status"] == "running");
}

/// The thief invents people who have agreed to everything, and has them sign up.
fn invent(server: &Server, people: std::ops::Range<usize>) {
    let all: Vec<usize> = people.collect();
    for some in all.chunks(BATCH) {
        let said = some.iter().flat_map(|number| {
            let user = format!("thief-{number}");
            let traits = json!({ "phone": format!("+4860{number:07}"), "consent": ["sms"] });
            [
                json!({ "type": "identify", "userId": user, "messageId": format!("i{number}"), "traits": traits }),
                json!({ "type": "track", "userId": user, "messageId": format!("t{number}"), "event": "Signed Up" }),
            ]
        });
        let batch = json!({ "batch": said.collect::<Vec<_>>() }).to_string();
        while server.post("/v1/batch", &batch).status != 200 {
            // Told to come again later, as any client is.
            server.settle();
        }
    }
}

/// Who got what: the names of the files in the outbox.
fn sent(data: &Path) -> BTreeSet<String> {
    let Ok(days) = std::fs::read_dir(data.join("outbox")) else { return BTreeSet::new() };
    let files = days.flatten().flat_map(|day| std::fs::read_dir(day.path()).expect("a day").flatten());
    let names = files.map(|file| file.file_name().into_string().expect("a name"));
    names.filter(|name| !name.ends_with(".part")).collect()
}

fn people_of(sent: &BTreeSet<String>) -> usize {
    let people: BTreeSet<_> = sent.iter().filter_map(|name| name.split('.').nth(1)).collect();
    people.len()
}

/// What a thief with a write key does with `people` invented people; milliseconds until a stop was acknowledged.
fn stolen_key(people: usize) -> u128 {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    open_shop(&server);
    for (method, path) in [
        ("POST", "/api/sending/resume"),
        ("POST", "/api/sending/stop"),
        ("PUT", "/api/messaging/policy"),
        ("PUT", "/api/templates/hello"),
        ("PUT", "/api/goals/win-back"),
        ("PUT", "/api/journeys/welcome"),
        ("GET", "/api/profiles/user_id:anna"),
        ("POST", "/api/keys"),
    ] {
        let answer = Request::new(method, path).key(&server.write_key).body(b"{}").send(server.address);
        assert!(matches!(answer.status, 401 | 403), "{method} {path}: {}", answer.status);
    }
    let few = PEOPLE_MAX / 4;
    invent(&server, 0..few);
    server.settle();
    let first = sent(&data);
    assert!(!first.is_empty() && people_of(&first) <= few, "{first:?}");
    let start = Instant::now();
    let stop = server.control("POST", "/api/sending/stop", &json!({ "why": "a stolen key" }).to_string());
    let stopped_ms = start.elapsed().as_millis();
    assert_eq!(stop.status, 200, "{}", stop.text());
    let before = sent(&data);
    invent(&server, few..people / 2);
    server.settle();
    assert_eq!(sent(&data), before, "nothing goes after the acknowledgement");
    let resumed = server.control("POST", "/api/sending/resume", "{}");
    assert_eq!(resumed.status, 200, "{}", resumed.text());
    invent(&server, people / 2..people);
    server.settle();
    let out = sent(&data);
    assert!(out.len() <= MESSAGES_MAX && people_of(&out) <= PEOPLE_MAX, "{} to {}", out.len(), people_of(&out));
    assert!(out.len() > before.len(), "sending went on");
    stopped_ms
}

#[test]
fn a_stolen_write_key_sends_no_more_than_the_campaign_may() {
    stolen_key(300);
}

#[test]
#[ignore = "20,000 invented people: cargo full s18"]
fn s18_a_stolen_write_key_sends_no_more_than_the_campaign_may() {
    let stopped_ms = stolen_key(20_000);
    assert!(stopped_ms <= 1_000, "{stopped_ms} ms");
}
