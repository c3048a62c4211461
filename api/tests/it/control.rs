//! The control API: segments, goals, profiles, agents, and the document that tells of them.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    http::{Answer, Request},
    server::{Server, directory},
};

fn buy(server: &Server, who: &str, times: usize) {
    let order = |number: usize| {
        let id = format!("{who}-{number}");
        let properties = json!({ "order_id": id, "revenue": 12.5, "currency": "EUR" });
        json!({ "type": "track", "userId": who, "event": "Order Completed", "messageId": id, "properties": properties })
    };
    let batch: Vec<_> = (0..times).map(order).collect();
    assert_eq!(server.post("/v1/batch", json!({ "batch": batch }).to_string()).status, 200);
}

fn with_request_key(server: &Server, path: &str, key: &str, body: &Value) -> Answer {
    let body = body.to_string();
    let request = Request::new("POST", path).key(&server.admin_key).header("idempotency-key", key);
    request.body(body.as_bytes()).send(server.address)
}

#[test]
fn a_segment_is_tried_defined_filled_changed_and_removed() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    buy(&server, "anna", 3);
    buy(&server, "bob", 1);
    server.settle();
    let orders = |count: u32| {
        let window = json!({ "last": "30d" });
        json!({ "event": { "name": "Order Completed", "op": ">=", "value": count, "window": window } })
    };
    let trial = json!({ "condition": orders(2) }).to_string();
    let preview = server.control("POST", "/api/segments/preview", &trial).json();
    assert_eq!((&preview["size"], &preview["people"]), (&json!(1), &json!(2)), "{preview}");
    let anna = server.get("/api/profiles/user_id:anna")["id"].clone();
    assert_eq!(preview["sample"], json!([anna]));
    let later = json!({ "condition": orders(2), "at": "2099-01-01T00:00:00Z" }).to_string();
    assert_eq!(server.control("POST", "/api/segments/preview", &later).json()["size"], 0);

    let body = json!({ "id": "regulars", "name": "Regulars", "condition": orders(2) });
    let made = with_request_key(&server, "/api/segments", "k1", &body);
    assert_eq!((made.status, &made.json()["id"]), (201, &json!("regulars")), "{}", made.text());
    let filled = server.wait_for("/api/segments/regulars", |segment| segment["ready"] == true && segment["size"] == 1);
    assert_eq!((&filled["progress"], &filled["entered"], &filled["left"]), (&json!(1.0), &json!(1), &json!(0)));
    let members = server.get("/api/segments/regulars/members");
    assert_eq!(members["members"].as_array().map(Vec::len), Some(1));
    assert_eq!(members["members"][0]["profile"], anna);
    assert_eq!(server.get("/api/profiles/user_id:anna")["segments"][0]["segment"], "regulars");
    assert_eq!(server.get("/api/segments/regulars/members?at=2020-01-01")["members"], json!([]));
    let now = server.get("/api/segments/regulars/members?at=2999-01-01T00:00:00Z");
    assert_eq!(now["members"][0]["profile"], anna);

    // The same request again is answered the same; another one under its key, or id, is refused.
    let again = with_request_key(&server, "/api/segments", "k1", &body);
    assert_eq!((again.status, again.json()["version"].clone()), (201, filled["version"].clone()));
    let other = json!({ "id": "regulars", "name": "Regulars", "condition": orders(9) });
    assert_eq!(with_request_key(&server, "/api/segments", "k1", &other).status, 409);
    assert_eq!(with_request_key(&server, "/api/segments", "k2", &other).status, 409);

    let changed = json!({ "name": "Buyers", "condition": orders(1) }).to_string();
    let put = server.control("PUT", "/api/segments/regulars", &changed);
    assert_eq!((put.status, &put.json()["name"]), (200, &json!("Buyers")), "{}", put.text());
    let grown = server.wait_for("/api/segments/regulars", |segment| segment["size"] == 2);
    assert!(grown["version"].as_u64() > filled["version"].as_u64());
    // What is as it was makes no new version.
    assert_eq!(server.control("PUT", "/api/segments/regulars", &changed).json()["version"], grown["version"]);
    let history = server.get("/api/segments/regulars/history");
    assert_eq!((&history["size"], &history["days"][0]["size"]), (&json!(2), &json!(2)), "{history}");

    assert_eq!(server.control("DELETE", "/api/segments/regulars", "").status, 204);
    assert_eq!(server.control("GET", "/api/segments/regulars", "").status, 404);
    assert_eq!(server.control("DELETE", "/api/segments/regulars", "").status, 404);
    server.settle();
    assert_eq!(server.get("/api/profiles/user_id:anna")["segments"], json!([]));
}

#[test]
fn a_goal_makes_its_segment_and_takes_it_away() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    let audience = json!({ "feature": { "name": "orders", "op": ">=", "value": 1 } });
    let body =
        json!({ "id": "slipping", "name": "Slipping", "metric": "churn_risk", "threshold": 0.8, "audience": audience });
    let set = with_request_key(&server, "/api/goals", "g1", &body);
    assert_eq!((set.status, &set.json()["segment"]), (201, &json!("slipping")), "{}", set.text());
    assert_eq!(with_request_key(&server, "/api/goals", "g1", &body).json(), set.json());
    assert_eq!(with_request_key(&server, "/api/goals", "g2", &body).status, 409);
    let goals = server.get("/api/goals");
    assert_eq!((&goals["goals"][0]["threshold"], &goals["goals"][0]["audience"]), (&json!(0.8), &audience));
    let segment = server.get("/api/segments/slipping");
    assert_eq!((&segment["goal"], &segment["condition"]["all"][1]), (&json!("slipping"), &audience));
    // What serves a goal goes with it, not before.
    assert_eq!(server.control("DELETE", "/api/segments/slipping", "").status, 409);
    let changed = json!({ "name": "S", "condition": audience }).to_string();
    assert_eq!(server.control("PUT", "/api/segments/slipping", &changed).status, 409);
    assert_eq!(server.control("DELETE", "/api/goals/slipping", "").status, 204);
    assert_eq!(server.control("GET", "/api/goals/slipping", "").status, 404);
    assert_eq!(server.control("GET", "/api/segments/slipping", "").status, 404);
    // The default threshold is nine in ten.
    let plain = json!({ "id": "slipping", "name": "Again", "metric": "churn_risk" });
    assert_eq!(with_request_key(&server, "/api/goals", "g3", &plain).json()["threshold"], 0.9);
}

#[test]
fn an_id_that_is_a_path_of_its_own_is_refused() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    let segment = json!({ "id": "preview", "name": "x", "condition": { "sample": { "percent": 1 } } });
    let goal = json!({ "id": "preview", "name": "x", "metric": "churn_risk" });
    for (path, body) in [("/api/segments", segment), ("/api/goals", goal)] {
        let answer = server.control("POST", path, &body.to_string());
        assert_eq!((answer.status, answer.json()["code"].as_str()), (400, Some("invalid_body")), "{}", answer.text());
    }
}

#[test]
fn lists_come_in_pages_that_meet() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    let people: Vec<_> =
        (0..40).map(|number| json!({ "type": "page", "userId": format!("u{number}"), "name": "Home" })).collect();
    assert_eq!(server.post("/v1/batch", json!({ "batch": people }).to_string()).status, 200);
    let everybody =
        json!({ "id": "all", "name": "All", "condition": { "feature": { "name": "events", "op": ">=", "value": 1 } } });
    assert_eq!(with_request_key(&server, "/api/segments", "k", &everybody).status, 201);
    server.wait_for("/api/segments/all", |segment| segment["size"] == 40);
    let lists = [
        ("/api/profiles?limit=7", "profiles", "id"),
        ("/api/segments/all/members?limit=7", "members", "profile"),
        ("/api/segments/all/members?limit=7&at=2999-01-01", "members", "profile"),
    ];
    for (path, list, id) in lists {
        let mut seen = BTreeSet::new();
        let mut pages = 0;
        let mut cursor = String::new();
        loop {
            let page = server.get(&format!("{path}{cursor}"));
            let items = page[list].as_array().expect("a list");
            assert!(items.len() <= 7);
            assert!(items.iter().all(|item| seen.insert(item[id].to_string())), "{path}: somebody comes twice");
            pages += 1;
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(seen.len(), 40, "{path}");
        assert!((6..=8).contains(&pages), "{path}: {pages} pages");
    }
    let events: Vec<_> =
        (0..9).map(|number| json!({ "type": "track", "userId": "u1", "event": format!("E{number}") })).collect();
    assert_eq!(server.post("/v1/batch", json!({ "batch": events }).to_string()).status, 200);
    server.settle();
    let first = server.get("/api/profiles/user_id:u1/timeline?limit=6");
    let next = first["next"].as_str().expect("a next page");
    let second = server.get(&format!("/api/profiles/user_id:u1/timeline?limit=6&cursor={next}"));
    assert_eq!(
        (first["events"].as_array().map(Vec::len), second["events"].as_array().map(Vec::len)),
        (Some(6), Some(4))
    );
    assert!(second["next"].is_null());
}

#[test]
fn a_person_is_found_by_any_identifier_also_one_that_was_joined() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    let external = json!({ "externalIds": [{ "id": "s-1", "type": "salesforce", "collection": "users" }] });
    let batch = json!({ "batch": [
        { "type": "page", "anonymousId": "a1", "name": "Home" },
        { "type": "identify", "anonymousId": "a1", "userId": "u1", "traits": { "email": "Anna@Example.test", "phone": "+48 600 000 001" }, "context": external },
    ] });
    assert_eq!(server.post("/v1/batch", batch.to_string()).status, 200);
    server.settle();
    let person = server.get("/api/profiles/user_id:u1");
    let id = person["id"].as_str().expect("an id").to_owned();
    assert_eq!(person["features"]["events"], 2, "{person}");
    for name in
        [id.as_str(), "anonymous_id:a1", "email:anna@example.test", "email:ANNA%40example.test", "phone:%2B48600000001"]
    {
        assert_eq!(server.get(&format!("/api/profiles/{name}"))["id"], id.as_str(), "{name}");
    }
    let kinds: BTreeSet<_> =
        person["identifiers"].as_array().expect("a list").iter().map(|known| known["kind"].to_string()).collect();
    let external =
        kinds.iter().find(|kind| kind.starts_with("\"external:")).expect("an external id").trim_matches('"').to_owned();
    assert_eq!(server.get(&format!("/api/profiles/{external}:s-1"))["id"], id.as_str());
}

#[test]
fn agents_are_seen_held_and_let_go_on() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    let agents = server.get("/api/agents");
    let names: Vec<_> =
        agents["agents"].as_array().expect("agents").iter().map(|agent| agent["agent"].clone()).collect();
    for name in ["profiles", "segmentation", "segment-sizes", "rhythm", "goals"] {
        assert!(names.contains(&json!(name)), "{names:?}");
        assert_eq!(server.get(&format!("/api/agents/{name}/dead-letters"))["dead_letters"], json!([]));
    }
    assert_eq!(server.control("POST", "/api/agents/profiles/pause", "").status, 204);
    buy(&server, "anna", 1);
    let held = server.wait_for("/api/agents/profiles", |agent| agent["workers"][0]["condition"] == "paused");
    assert!(
        held["workers"].as_array().is_some_and(|workers| workers.iter().all(|worker| worker["condition"] == "paused"))
    );
    assert_eq!(server.control("GET", "/api/profiles/user_id:anna", "").status, 404);
    // Events are still taken in, so it is ready; what is wrong is said, with how far behind it is.
    let ready = server.get("/health/ready");
    assert_eq!((&ready["status"], &ready["lag"], &ready["lag_of_all"]), (&json!("degraded"), &json!(0), &json!(1)));
    assert_eq!(ready["problems"], json!(["agent profiles is paused by an operator: 1 entries behind"]));
    assert_eq!(server.control("POST", "/api/agents/profiles/resume", "").status, 204);
    server.settle();
    let ready = server.get("/health/ready");
    assert_eq!((&ready["status"], &ready["problems"], &ready["lag_of_all"]), (&json!("ok"), &json!([]), &json!(0)));
    assert_eq!(server.get("/api/profiles/user_id:anna")["features"]["orders"], 1);
    assert_eq!(server.control("POST", "/api/agents/nobody/pause", "").status, 404);
    let id = server.get("/api/profiles/user_id:anna")["id"].as_str().expect("an id").to_owned();
    let state = server.get(&format!("/api/agents/profiles/states/{id}"));
    assert_eq!((&state["key"], state["state"].is_object()), (&json!(id), true), "{state}");
    assert_eq!(server.control("GET", "/api/agents/profiles/states/p_0000000000000001", "").status, 404);
    assert_eq!(server.control("POST", "/api/agents/profiles/dead-letters/1/retry", "").status, 404);
    assert_eq!(server.control("DELETE", "/api/agents/profiles/dead-letters/x", "").status, 400);
}

#[test]
fn metrics_are_counted_and_well_formed() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    buy(&server, "anna", 2);
    server.post("/v1/track", b"{}");
    server.settle();
    let answer = server.control("GET", "/metrics", "");
    assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with("text/plain; version=0.0.4")));
    let text = answer.text();
    for line in [
        "impresario_events_accepted_total{source=\"default\"} 2",
        "impresario_events_rejected_total{source=\"default\",reason=\"missing_id\"} 1",
        "impresario_agent_condition{agent=\"profiles\",worker=\"0\",condition=\"running\"} 1",
        "impresario_lag_entries 0",
    ] {
        assert!(text.lines().any(|known| known == line), "{line} is not in\n{text}");
    }
    let mut helped = BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            assert!(helped.insert(rest.split(' ').next().unwrap_or_default().to_owned()), "{line} comes twice");
        } else if !line.starts_with('#') {
            let name = line.split(['{', ' ']).next().unwrap_or_default();
            assert!(helped.contains(name), "{line} comes with no help");
            assert!(line.rsplit(' ').next().is_some_and(|value| value.parse::<u64>().is_ok()), "{line}");
        }
    }
    assert!(!text.contains("anna"));
}

#[test]
fn the_document_tells_of_every_shape_it_names() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    let document = Request::new("GET", "/api/openapi.json").send(server.address).json();
    let schemas = document["components"]["schemas"].as_object().expect("schemas");
    let mut named = BTreeSet::new();
    names(&document, &mut named);
    for name in &named {
        assert!(schemas.contains_key(name), "{name} is named and not told of");
    }
    assert!(named.len() > 30, "{named:?}");
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("methods") {
            let text = operation["summary"].as_str().or(operation["description"].as_str());
            assert!(text.is_some_and(|text| !text.is_empty()), "{method} {path} says nothing of itself");
            assert!(operation["responses"].as_object().is_some_and(|all| !all.is_empty()), "{method} {path}");
        }
    }
}

fn names(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(name) = fields.get("$ref").and_then(Value::as_str) {
                found.insert(name.trim_start_matches("#/components/schemas/").to_owned());
            }
            fields.values().for_each(|inner| names(inner, found));
        }
        Value::Array(list) => list.iter().for_each(|inner| names(inner, found)),
        _ => {}
    }
}
