//! The door's limits, under a hostile hand: refused by name, with no memory spent on it.

use std::io::Write;

use serde_json::{Value, json};

use crate::{
    http::{Answer, Request},
    server::{Server, directory},
};

const MIB: usize = 1 << 20;
/// What the server may grow by over all of this. One such body unpacked would be more.
const GROWTH_MIB_MAX: u64 = 64;

/// A gzip bomb: 10 MiB that become 10 GiB, made of one member repeated.
fn bomb() -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let zeros = vec![b'0'; 16 * MIB];
    writer.write_all(&zeros).expect("packed");
    let member = writer.finish().expect("packed");
    member.iter().copied().cycle().take(member.len() * 640).collect()
}

#[test]
fn bombs_and_giants_are_refused_and_cost_no_memory() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    assert_eq!(server.post("/v1/track", br#"{"userId":"u","event":"E"}"#).status, 200);
    server.settle();
    let bomb = bomb();
    assert!(bomb.len() > 9 * MIB, "{}", bomb.len());
    let small_bomb = &bomb[..bomb.len() / 640 * 30];
    assert!(small_bomb.len() < 500 * 1024, "{}", small_bomb.len());
    let deep = [b"{\"batch\":".to_vec(), vec![b'['; 499 * 1024]].concat();
    let before_mib = server.memory_mib();
    for _ in 0..20 {
        for (body, statuses) in [(bomb.as_slice(), &[413][..]), (small_bomb, &[413]), (&deep, &[400])] {
            let answer = Request::new("POST", "/v1/batch").key(&server.write_key).body(body).try_send(server.address);
            // A body refused by its length is not read: its sender may see the connection close instead.
            if let Ok(Answer { status, .. }) = answer {
                assert!(statuses.contains(&status), "{status} for {} bytes", body.len());
            } else {
                assert!(body.len() > MIB);
            }
        }
        // Control routes unpack too.
        let control = Request::new("POST", "/api/segments").key(&server.admin_key).body(&small_bomb[..100 * 1024]);
        assert_eq!(control.send(server.address).status, 413);
    }
    let grown_mib = server.memory_mib().saturating_sub(before_mib);
    assert!(grown_mib <= GROWTH_MIB_MAX, "the server grew by {grown_mib} MiB");
    assert_eq!(server.source()["accepted"], 1);
}

#[test]
fn each_limit_is_as_large_as_it_says_and_not_one_larger() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    let reason = |event: &Value| {
        let answer = server.post("/v1/track", event.to_string());
        if answer.status == 200 {
            "taken".to_owned()
        } else {
            answer.json()["code"].as_str().expect("a code").to_owned()
        }
    };
    // The event, `properties` and what is in it: 32 levels of objects and arrays.
    let nested = |depth: usize| {
        let text = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        json!({ "userId": "u", "event": "E", "properties": { "a": serde_json::from_str::<Value>(&text).expect("JSON") } })
    };
    assert_eq!([reason(&nested(30)), reason(&nested(31))], ["taken", "too_deep"]);
    let wide = |keys: usize| {
        let all: serde_json::Map<_, _> = (0..keys).map(|key| (format!("k{key}"), json!(1))).collect();
        json!({ "userId": "u", "event": "E", "properties": all })
    };
    assert_eq!([reason(&wide(255)), reason(&wide(256))], ["taken", "too_many_keys"]);
    let large = |bytes: usize| {
        let mut event = json!({ "userId": "u", "event": "E", "properties": { "a": "" } });
        let rest = bytes - event.to_string().len();
        event["properties"]["a"] = json!("x".repeat(rest));
        assert_eq!(event.to_string().len(), bytes);
        event
    };
    assert_eq!([reason(&large(32 * 1024)), reason(&large(32 * 1024 + 1))], ["taken", "too_large"]);
    let batch = |bytes: usize| {
        let event = json!({ "type": "track", "userId": "u", "event": "E" }).to_string();
        let body = format!("{{\"batch\":[{event}]}}");
        format!("{body}{}", " ".repeat(bytes - body.len()))
    };
    assert_eq!(server.post("/v1/batch", batch(500 * 1024)).status, 200);
    assert_eq!(server.post("/v1/batch", batch(500 * 1024 + 1)).status, 413);
}

#[test]
fn a_field_nobody_knows_is_named_on_every_route_that_writes() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    let document = Request::new("GET", "/api/openapi.json").send(server.address).json();
    let mut asked = 0;
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("methods") {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            if path.starts_with("/v1/") || operation["requestBody"].is_null() {
                continue;
            }
            asked += 1;
            // Whatever else is missing, what nobody knows is told first: fields are read in their order.
            let path = path.replace("{id}", "x").replace("{name}", "x").replace("{seq}", "1");
            let answer = server.control(&method.to_uppercase(), &path, r#"{"colour_of_money":1}"#);
            let problem = answer.json();
            let named = problem["detail"].as_str().is_some_and(|detail| detail.contains("colour_of_money"));
            assert!(answer.status == 400 && named, "{method} {path} ({schema}): {problem}");
        }
    }
    assert!(asked >= 5, "{asked} routes take a body");
    // Queries too; and what a client may not say of itself is not taken from it.
    for path in ["/api/segments", "/api/goals", "/api/keys", "/api/sources", "/api/profiles"] {
        let answer = server.control("GET", &format!("{path}?colour=red"), "");
        assert!(answer.status == 400 && answer.text().contains("colour"), "{path}: {}", answer.text());
    }
    for forbidden in ["goal", "version", "size", "ready"] {
        let mut segment = json!({ "id": "s", "name": "S", "condition": { "sample": { "percent": 1 } } });
        segment[forbidden] = json!("x");
        let answer = server.control("POST", "/api/segments", &segment.to_string());
        assert!(answer.status == 400 && answer.text().contains(forbidden), "{forbidden}: {}", answer.text());
    }
}
