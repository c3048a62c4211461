//! An operator's hands: what was said once counts once, what is held stays held, what came in is seen.

use serde_json::{Value, json};

use crate::{
    http::{Answer, Request},
    server::{Server, directory},
};

fn with_request_key(server: &Server, method: &str, path: &str, key: &str, body: &Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let request = Request::new(method, path).key(&server.admin_key).header("idempotency-key", key);
    request.body(body.as_bytes()).send(server.address)
}

fn segment(id: &str) -> Value {
    json!({ "id": id, "name": "S", "condition": { "feature": { "name": "orders", "op": ">=", "value": 1 } } })
}

#[test]
fn a_repeated_request_is_answered_the_same_also_while_its_agent_is_held() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    assert_eq!(server.control("POST", "/api/agents/segmentation/pause", "").status, 204);
    server.wait_for("/api/agents/segmentation", |agent| agent["workers"][0]["condition"] == "paused");
    for _ in 0..2 {
        let answer = with_request_key(&server, "POST", "/api/segments", "k1", &segment("buyers"));
        let problem = answer.json();
        assert_eq!((answer.status, &problem["code"]), (503, &json!("unavailable")), "{problem}");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("on record")), "{problem}");
        assert!(answer.header("retry-after").is_some());
    }
    assert_eq!(server.control("POST", "/api/agents/segmentation/resume", "").status, 204);
    let made = with_request_key(&server, "POST", "/api/segments", "k1", &segment("buyers"));
    assert_eq!((made.status, &made.json()["id"]), (201, &json!("buyers")), "{}", made.text());
    assert_eq!(server.get("/api/segments")["segments"].as_array().map(Vec::len), Some(1));
}

#[test]
fn every_writing_route_does_a_repeated_request_once() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    let goal = json!({ "id": "g", "name": "G", "metric": "churn_risk" });
    let (key, _) = server.make_key("viewer", "v");
    assert_eq!(server.control("POST", "/api/segments", &segment("s").to_string()).status, 201);
    assert_eq!(server.control("POST", "/api/goals", &goal.to_string()).status, 201);
    let changed = json!({ "name": "T", "condition": segment("s")["condition"] });
    let requests = [
        ("PUT", "/api/segments/s".to_owned(), changed, 200),
        ("DELETE", "/api/segments/s".to_owned(), Value::Null, 204),
        ("DELETE", "/api/goals/g".to_owned(), Value::Null, 204),
        ("DELETE", format!("/api/keys/{key}"), Value::Null, 204),
        ("POST", "/api/agents/rhythm/pause".to_owned(), Value::Null, 204),
        ("POST", "/api/agents/rhythm/resume".to_owned(), Value::Null, 204),
    ];
    for (method, path, body, status) in &requests {
        let first = with_request_key(&server, method, path, "once", body);
        assert_eq!(first.status, *status, "{method} {path}: {}", first.text());
        // Who is held never comes to rest; nobody has anything to say about it either.
        if !path.ends_with("/pause") {
            server.settle();
        }
        let head = server.get("/health/live")["head"].clone();
        let again = with_request_key(&server, method, path, "once", body);
        // How far the past has been looked at may have changed; which definition it is has not.
        let version = |answer: &Answer| if body.is_null() { Value::Null } else { answer.json()["version"].clone() };
        assert_eq!((again.status, version(&again)), (*status, version(&first)), "{method} {path}");
        assert_eq!(server.get("/health/live")["head"], head, "{method} {path} was done again");
    }
    // The same word for another thing is another request; without one, what is gone is gone.
    assert_eq!(with_request_key(&server, "DELETE", "/api/segments/t", "once", &Value::Null).status, 404);
    assert_eq!(server.control("DELETE", "/api/segments/s", "").status, 404);
    // A pause of the past holds nobody: it was resumed since.
    assert_eq!(with_request_key(&server, "POST", "/api/agents/rhythm/pause", "once", &Value::Null).status, 204);
    assert_eq!(server.get("/api/agents/rhythm")["workers"][0]["condition"], "running");
}

#[test]
fn an_agent_that_is_held_is_held_after_a_restart_too() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    assert_eq!(server.control("POST", "/api/agents/rhythm/pause", "").status, 204);
    let keys = server.keys();
    // Killed, not stopped: the word was on disk before it was answered.
    drop(server);
    let server = Server::start_again(&data, &keys);
    server.wait_for("/api/agents/rhythm", |agent| agent["workers"][0]["condition"] == "paused");
    assert_eq!(server.control("POST", "/api/agents/rhythm/resume", "").status, 204);
    server.settle();
    drop(server);
    let server = Server::start_again(&data, &keys);
    server.wait_for("/api/agents/rhythm", |agent| agent["workers"][0]["condition"] == "running");
}

#[test]
fn a_sources_last_events_are_seen_and_nothing_of_the_people() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    let event = |number: usize| {
        json!({ "type": "track", "userId": "anna", "event": "Order Completed", "messageId": format!("m{number}"),
            "properties": { "email": "anna@example.test" }, "timestamp": "2026-05-04T08:00:00Z" })
    };
    for number in 0..30 {
        assert_eq!(server.post("/v1/track", event(number).to_string()).status, 200);
    }
    let identify = json!({ "userId": "anna", "messageId": "i1", "traits": { "name": "Anna Nowak" } });
    assert_eq!(server.post("/v1/identify", identify.to_string()).status, 200);
    assert_eq!(server.post("/v1/track", event(29).to_string()).status, 200, "a duplicate");
    let source = server.source();
    let last = source["last_accepted"].as_array().expect("a list").clone();
    assert_eq!(last.len(), 20);
    assert_eq!((&last[19]["type"], &last[19]["message_id"]), (&json!("identify"), &json!("i1")));
    assert_eq!((&last[18]["name"], &last[18]["message_id"]), (&json!("Order Completed"), &json!("m29")));
    assert_eq!(last[18]["happened_at_ms"], 1_777_881_600_000_i64);
    assert!(!source.to_string().to_lowercase().contains("anna"), "{source}");
    // Of a large batch, its last few.
    let batch: Vec<_> = (100..200).map(event).collect();
    assert_eq!(server.post("/v1/batch", json!({ "batch": batch }).to_string()).status, 200);
    let last = server.source()["last_accepted"].as_array().expect("a list").clone();
    assert_eq!((last.len(), &last[19]["message_id"], &last[16]["message_id"]), (20, &json!("m199"), &json!("m196")));
}

#[test]
fn lists_by_id_come_in_pages_that_meet() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    for number in 0..7 {
        assert_eq!(server.control("POST", "/api/segments", &segment(&format!("s{number}")).to_string()).status, 201);
        let goal = json!({ "id": format!("g{number}"), "name": "G", "metric": "churn_risk" });
        assert_eq!(server.control("POST", "/api/goals", &goal.to_string()).status, 201);
        let (_, key) = server.make_key("ingest", &format!("k{number}"));
        let event = br#"{"userId":"u","event":"E"}"#;
        assert_eq!(Request::new("POST", "/v1/track").key(&key).body(event).send(server.address).status, 200);
    }
    for (path, list, id, count) in [
        ("/api/segments", "segments", "id", 14_usize),
        ("/api/goals", "goals", "id", 7),
        ("/api/keys", "keys", "id", 9),
        ("/api/sources", "sources", "source", 7),
    ] {
        let (mut seen, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let page = server.get(&format!("{path}?limit=3{cursor}"));
            let items = page[list].as_array().expect("a list");
            seen.extend(items.iter().map(|item| item[id].as_str().expect("an id").to_owned()));
            pages += 1;
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!((seen.len(), pages), (count, count.div_ceil(3)), "{path}");
        assert!(seen.is_sorted(), "{path}: {seen:?}");
        assert_eq!(server.get(path)[list].as_array().map(Vec::len), Some(count), "{path} whole");
        assert_eq!(server.control("GET", &format!("{path}?limit=1001"), "").status, 400);
        assert_eq!(server.control("GET", &format!("{path}?page=2"), "").status, 400);
    }
}
