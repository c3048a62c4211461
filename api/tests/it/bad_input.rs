//! Bad input: a named error or a counted rejection with its reason, never a panic, never half of it.

use std::io::Write;

use serde_json::{Value, json};

use crate::{
    http::Request,
    server::{Server, directory, program},
};

const KIB: usize = 1_024;

fn event(extra: &Value) -> Value {
    let mut event = json!({ "type": "track", "userId": "u1", "event": "Seen" });
    let (event_fields, extra) = (event.as_object_mut().expect("an object"), extra.as_object().expect("an object"));
    event_fields.extend(extra.clone());
    event_fields.retain(|_, value| *value != json!("<none>"));
    event
}

fn deep(depth: usize) -> Value {
    // Parsed rather than built: dropping a value this deep is fine, and so is reading it.
    serde_json::from_str(&format!("{}{}", "[".repeat(depth), "]".repeat(depth))).expect("JSON")
}

/// Each bad event, the code it is counted under, and what names the culprit.
fn bad_events() -> Vec<(Value, &'static str, &'static str)> {
    let keys: serde_json::Map<_, _> = (0..300).map(|key| (format!("k{key}"), json!(1))).collect();
    vec![
        (json!(5), "not_an_object", "object"),
        (json!(["track", "m", "u1"]), "not_an_object", "object"),
        (json!(null), "not_an_object", "object"),
        (event(&json!({ "userId": 5 })), "wrong_type", "userId"),
        (event(&json!({ "anonymousId": ["a"] })), "wrong_type", "anonymousId"),
        (event(&json!({ "event": {} })), "wrong_type", "event"),
        (event(&json!({ "messageId": 1 })), "wrong_type", "messageId"),
        (event(&json!({ "timestamp": 1_700_000_000 })), "wrong_type", "timestamp"),
        (event(&json!({ "properties": [] })), "wrong_type", "properties"),
        (event(&json!({ "context": "x" })), "wrong_type", "context"),
        (event(&json!({ "type": "identify", "traits": 1 })), "wrong_type", "traits"),
        (event(&json!({ "userId": "<none>" })), "missing_id", "userId"),
        (event(&json!({ "userId": null, "anonymousId": null })), "missing_id", "userId"),
        (event(&json!({ "userId": "" })), "missing_id", "userId"),
        (event(&json!({ "event": "<none>" })), "missing_field", "event"),
        (event(&json!({ "type": "<none>" })), "missing_field", "type"),
        (event(&json!({ "type": "alias" })), "missing_field", "previousId"),
        (event(&json!({ "type": "group" })), "missing_field", "groupId"),
        (event(&json!({ "type": "buy" })), "unknown_type", "type"),
        (event(&json!({ "messageId": "m".repeat(101) })), "message_id_too_long", "messageId"),
        (event(&json!({ "userId": "u".repeat(513) })), "text_too_long", "userId"),
        (event(&json!({ "event": "e".repeat(513) })), "text_too_long", "event"),
        (event(&json!({ "userId": "u\0" })), "nul_character", "userId"),
        (event(&json!({ "messageId": "\0" })), "nul_character", "messageId"),
        (event(&json!({ "timestamp": "yesterday" })), "bad_timestamp", "timestamp"),
        (event(&json!({ "sentAt": "2026-02-30T00:00:00Z" })), "bad_timestamp", "sentAt"),
        (event(&json!({ "originalTimestamp": "" })), "bad_timestamp", "originalTimestamp"),
        (event(&json!({ "properties": { "a": deep(31) } })), "too_deep", "deep"),
        (event(&json!({ "properties": { "a": deep(110) } })), "too_deep", "deep"),
        (event(&json!({ "properties": keys.clone() })), "too_many_keys", "keys"),
        (event(&json!({ "context": { "inner": keys } })), "too_many_keys", "keys"),
        (event(&json!({ "properties": { "a": "x".repeat(33 * KIB) } })), "event_too_large", "large"),
        (event(&json!({ "event": "Order Completed", "properties": { "revenue": -5 } })), "negative_revenue", "money"),
        (
            event(&json!({ "event": "Order Completed", "properties": { "total": "-5.00" } })),
            "negative_revenue",
            "money",
        ),
    ]
}

/// Bad events that only text can hold.
const BAD_TEXTS: [(&str, &str, &str); 6] = [
    (r#"{"type":"track","userId":"u1","event":"\ud800"}"#, "lone_surrogate", "surrogate"),
    (r#"{"type":"track","userId":"\udc00","event":"E"}"#, "lone_surrogate", "surrogate"),
    (r#"{"type":"track","userId":"u1","event":"E","properties":{"a":"x\ud83d"}}"#, "lone_surrogate", "surrogate"),
    (r#"{"type":"track","userId":"u1","event":"E","properties":{"a":1e999}}"#, "number_out_of_range", "number"),
    (r#"{"type":"track","userId":"u1","event":"E","context":{"a":-2E+400}}"#, "number_out_of_range", "number"),
    (r#"{"type":"track","userId":"u1","userId":"u2","event":"E"}"#, "repeated_field", "twice"),
];

#[test]
fn in_a_batch_the_good_are_taken_and_the_bad_are_counted_with_their_reasons() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    let mut bad: Vec<(String, &str, &str)> =
        bad_events().into_iter().map(|(event, code, names)| (event.to_string(), code, names)).collect();
    bad.extend(BAD_TEXTS.map(|(text, code, names)| (text.to_owned(), code, names)));
    for (place, (text, code, names)) in bad.iter().enumerate() {
        let good = format!(r#"{{"type":"track","userId":"good","event":"E","messageId":"good-{place}"}}"#);
        let body = format!(r#"{{"batch":[{good},{text},{good}]}}"#);
        let answer = server.post("/v1/batch", &body);
        assert_eq!((answer.status, answer.text().as_str()), (200, r#"{"success":true}"#), "{text}");
        let source = server.source();
        assert_eq!(source["accepted"], place + 1, "{text}");
        assert_eq!(source["duplicates"], place + 1, "{text}");
        assert_eq!(source["rejected"], place + 1, "{text}");
        let last = source["last_rejections"].as_array().and_then(|all| all.last()).expect("a rejection").clone();
        assert_eq!(last["reason"], *code, "{text}: {last}");
        assert!(last["detail"].as_str().is_some_and(|detail| detail.contains(names)), "{text}: {last}");
    }
    let source = server.source();
    let counted: u64 =
        source["rejected_by_reason"].as_object().expect("counts").values().filter_map(Value::as_u64).sum();
    assert_eq!(counted, bad.len() as u64);
    // The last few are shown, and no more is kept of them than an id and a reason.
    assert_eq!(source["last_rejections"].as_array().map(Vec::len), Some(20));
    assert!(!source.to_string().contains("u1"), "{source}");
    server.settle();
    let profile = server.get("/api/profiles/user_id:good");
    assert_eq!(profile["features"]["events"], bad.len());
    assert_eq!(server.control("GET", "/api/profiles/user_id:u1", "").status, 404);
    // What was counted is still known after a stop.
    let keys = server.keys();
    server.stop();
    assert_eq!(Server::start_again(&data, &keys).source()["rejected"], bad.len());
}

#[test]
fn a_single_bad_event_is_refused_by_name() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    let mut refused = 0;
    for (event, code, names) in bad_events() {
        let Some(fields) = event.as_object() else { continue };
        // Alone, the path says which call it is.
        let kind = fields.get("type").and_then(Value::as_str).unwrap_or("track");
        if !["track", "identify", "alias", "group"].contains(&kind) || fields.get("type").is_none() {
            continue;
        }
        let text = event.to_string();
        let answer = server.post(&format!("/v1/{kind}"), &text);
        let problem = answer.json();
        if text.len() > 32 * KIB {
            assert_eq!((answer.status, &problem["code"]), (413, &json!("too_large")));
            continue;
        }
        refused += 1;
        assert_eq!((answer.status, &problem["code"]), (400, &json!(code)), "{text}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert_eq!(problem["detail"], problem["message"]);
        assert!(problem["message"].as_str().is_some_and(|message| message.contains(names)), "{problem}");
        assert_eq!(problem["status"], 400);
        assert_eq!(problem["type"], format!("urn:impresario:problem:{code}"));
    }
    let source = server.source();
    assert_eq!((&source["accepted"], &source["rejected"]), (&json!(0), &json!(refused)));
}

#[test]
fn a_request_that_is_wrong_as_a_whole_writes_nothing() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    let good = r#"{"type":"track","userId":"u1","event":"E"}"#;
    let many = format!(r#"{{"batch":[{}{good}]}}"#, format!("{good},").repeat(2_500));
    let large = format!(r#"{{"batch":[{}{good}]}}"#, format!("{good},").repeat(500 * KIB / good.len()));
    let gzip = |bytes: &[u8]| {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        writer.write_all(bytes).expect("packed");
        writer.finish().expect("packed")
    };
    let bomb = gzip(&vec![b' '; 200 << 20]);
    assert!(bomb.len() < 500 * KIB);
    let mut cut = gzip(many.as_bytes());
    cut.truncate(cut.len() / 2);
    let cases: Vec<(&str, Vec<u8>, u16, &str)> = vec![
        ("/v1/batch", b"".to_vec(), 400, "malformed_json"),
        ("/v1/batch", b"{".to_vec(), 400, "malformed_json"),
        ("/v1/batch", format!(r#"{{"batch":[{good},{{]}}"#).into(), 400, "malformed_json"),
        ("/v1/batch", format!(r#"{{"batch":[{good}]}} x"#).into(), 400, "malformed_json"),
        ("/v1/batch", [br#"{"batch":["#, good.as_bytes(), b",\"\xff\"]}"].concat(), 400, "malformed_json"),
        ("/v1/batch", "[".repeat(400 * KIB).into(), 400, "invalid_body"),
        ("/v1/batch", format!(r#"{{"batch":[{good}],"x":{}}}"#, "[".repeat(400 * KIB)).into(), 400, "malformed_json"),
        ("/v1/batch", b"[]".to_vec(), 400, "invalid_body"),
        ("/v1/batch", b"{}".to_vec(), 400, "invalid_body"),
        ("/v1/batch", br#"{"batch":{}}"#.to_vec(), 400, "invalid_body"),
        ("/v1/batch", br#"{"batch":null}"#.to_vec(), 400, "invalid_body"),
        ("/v1/batch", format!(r#"{{"batch":[{good}],"sentAt":"soon"}}"#).into(), 400, "invalid_body"),
        ("/v1/batch", format!(r#"{{"batch":[{good}],"sentAt":5}}"#).into(), 400, "invalid_body"),
        ("/v1/batch", format!(r#"{{"batch":[{good}],"context":5}}"#).into(), 400, "invalid_body"),
        ("/v1/batch", many.into(), 413, "too_large"),
        ("/v1/batch", large.into(), 413, "too_large"),
        ("/v1/batch", bomb, 413, "too_large"),
        ("/v1/batch", cut, 400, "invalid_gzip"),
        ("/v1/track", b"[]".to_vec(), 400, "not_an_object"),
        ("/v1/track", b"nonsense".to_vec(), 400, "malformed_json"),
        (
            "/v1/track",
            format!(r#"{{"userId":"u1","event":"E","p":"{}"}}"#, "x".repeat(33 * KIB)).into(),
            413,
            "too_large",
        ),
    ];
    for (path, body, status, code) in &cases {
        let answer = server.post(path, body);
        let shown = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
        assert_eq!((answer.status, &answer.json()["code"]), (*status, &json!(code)), "{shown}: {}", answer.text());
    }
    let named = server.post("/v1/batch", "{\"batch\":[\n1,\n}").json();
    assert_eq!((&named["line"], &named["column"]), (&json!(3), &json!(1)), "{named}");
    let source = server.source();
    assert_eq!(source["accepted"], 0);
    let refused = source["refused_requests"].as_object().expect("counts");
    assert!(refused["malformed_json"].as_u64() >= Some(6) && refused["too_large"].as_u64() >= Some(4), "{source}");
    assert_eq!(server.get("/api/profiles")["profiles"], json!([]));
}

#[test]
fn a_key_that_is_none_is_refused_with_a_code_and_a_message() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    let body = br#"{"batch":[{"type":"track","userId":"u1","event":"E"}]}"#;
    let with = |header: Option<&str>| {
        let request = Request::new("POST", "/v1/batch").body(body);
        let request = header.map_or_else(
            || Request::new("POST", "/v1/batch").body(body),
            |value| request.header("authorization", value),
        );
        request.send(server.address)
    };
    for (header, status, code) in [
        (None, 401, "no_key"),
        (Some("Bearer wrong"), 401, "unknown_key"),
        (Some("Basic d3Jvbmc6"), 401, "unknown_key"),
        (Some("Basic ***"), 400, "invalid_header"),
        (Some("Digest x"), 400, "invalid_header"),
        (Some(&*format!("Bearer {}", server.admin_key)), 403, "wrong_role"),
    ] {
        let answer = with(header);
        let problem = answer.json();
        assert_eq!((answer.status, &problem["code"]), (status, &json!(code)), "{header:?}");
        assert!(problem["message"].is_string());
    }
    assert_eq!(server.get("/api/sources")["refused_without_source"]["unknown_key"], 2);
    assert_eq!(server.get("/health/live")["head"], 2, "more than the two keys is in the journal");
}

#[test]
fn times_of_1901_and_2999_and_a_nul_in_a_property_are_taken_as_they_are() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    let body = r#"{"sentAt":"2026-05-04T08:00:10Z","batch":[
        {"type":"track","userId":"u1","event":"Old","messageId":"1","timestamp":"1901-01-01T00:00:00Z"},
        {"type":"track","userId":"u1","event":"Late","messageId":"2","timestamp":"2999-01-01T00:00:00Z"},
        {"type":"track","userId":"u1","event":"Odd","messageId":"3","sentAt":"2999-01-01T00:00:00Z","timestamp":"0001-01-01T00:00:00Z"},
        {"type":"track","userId":"u1","event":"Skewed","messageId":"4","timestamp":"2026-05-04T08:00:00Z","properties":{"a":"x\u0000y"}},
        {"type":"track","userId":"u1","event":"Bare","messageId":"5","sentAt":"2026-05-04T08:00:09Z"}
    ]}"#;
    assert_eq!(server.post("/v1/batch", body).status, 200);
    assert_eq!(server.source()["accepted"], 5);
    server.settle();
    let timeline = server.get("/api/profiles/user_id:u1/timeline");
    let of = |name: &str| {
        let events = timeline["events"].as_array().expect("events");
        events.iter().find(|event| event["name"] == name).unwrap_or_else(|| panic!("no {name} in {timeline}")).clone()
    };
    let number = |event: &Value, field: &str| event[field].as_i64().unwrap_or_else(|| panic!("{field} of {event}"));
    let old = of("Old");
    assert_eq!(number(&old, "original_at_ms"), -2_177_452_800_000);
    let skew = number(&old, "received_at_ms") - number(&old, "sent_at_ms");
    assert_eq!(number(&old, "at_ms"), -2_177_452_800_000 + skew);
    let late = of("Late");
    assert_eq!(number(&late, "at_ms"), number(&late, "received_at_ms"));
    assert_eq!(number(&late, "original_at_ms"), 32_472_144_000_000);
    assert_eq!(number(&of("Odd"), "at_ms"), -2_208_988_800_000);
    let skewed = of("Skewed");
    assert_eq!(number(&skewed, "received_at_ms") - number(&skewed, "at_ms"), 10_000);
    assert_eq!(skewed["properties"]["a"], "x\0y");
    let bare = of("Bare");
    assert_eq!(number(&bare, "at_ms"), number(&bare, "received_at_ms"));
    assert_eq!(bare["original_at_ms"], bare["sent_at_ms"]);
}

#[test]
fn control_requests_are_refused_by_name_too() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    let condition = r#"{"feature":{"name":"orders","op":">=","value":1}}"#;
    let segment = |extra: &str| format!(r#"{{"id":"s","name":"S","condition":{condition}{extra}}}"#);
    let nested = format!("{}{condition}{}", r#"{"not":"#.repeat(200), "}".repeat(200));
    let cases = [
        ("POST", "/api/segments", segment(r#","colour":1"#), 400, "invalid_body", "colour"),
        ("POST", "/api/segments", r#"{"id":"s","name":"S"}"#.into(), 400, "invalid_body", "condition"),
        ("POST", "/api/segments", segment("").replace("\"s\"", "\"Not An Id\""), 400, "invalid_body", "id"),
        ("POST", "/api/segments", segment("").replace("orders", "ordrs"), 400, "invalid_body", "ordrs"),
        ("POST", "/api/segments", segment("").replace("feature", "featur"), 400, "invalid_body", "featur"),
        ("POST", "/api/segments", "{".into(), 400, "malformed_json", "line 1"),
        ("POST", "/api/segments", format!(r#"{{"id":"s","name":"S","condition":{nested}}}"#), 400, "", "recursion"),
        ("POST", "/api/segments", format!(r#"{{"id":"{}"}}"#, "x".repeat(300 * KIB)), 413, "too_large", "262144"),
        ("POST", "/api/segments/preview", r#"{"condition":{"segment":"ghost"}}"#.into(), 400, "invalid_body", "ghost"),
        ("POST", "/api/goals", r#"{"id":"g","name":"G"}"#.into(), 400, "invalid_body", "metric"),
        ("POST", "/api/goals", r#"{"id":"g","name":"G","metric":"joy"}"#.into(), 400, "invalid_body", "joy"),
        ("POST", "/api/goals", r#"{"id":"g","name":"G","metric":"churn_risk","x":1}"#.into(), 400, "invalid_body", "x"),
        (
            "POST",
            "/api/goals",
            r#"{"id":"g","name":"G","metric":"churn_risk","threshold":1.5}"#.into(),
            400,
            "invalid_body",
            "above 0",
        ),
        ("POST", "/api/keys", r#"{"role":"king","name":"k"}"#.into(), 400, "invalid_body", "king"),
        ("POST", "/api/keys", r#"{"role":"viewer","name":"K k"}"#.into(), 400, "invalid_body", "name"),
        ("POST", "/api/keys", r#"{"role":"viewer","name":"k","secret":"x"}"#.into(), 400, "invalid_body", "secret"),
        ("GET", "/api/profiles?limit=0", String::new(), 400, "invalid_query", "limit"),
        ("GET", "/api/profiles?limit=1001", String::new(), 400, "invalid_query", "limit"),
        ("GET", "/api/profiles?cursor=x", String::new(), 400, "invalid_query", "cursor"),
        ("GET", "/api/profiles?page=1", String::new(), 400, "invalid_query", "page"),
        ("GET", "/api/profiles/anna", String::new(), 400, "invalid_path", "user_id:42"),
        ("GET", "/api/profiles/user_id:nobody", String::new(), 404, "not_found", "nobody"),
        ("GET", "/api/profiles/p_00000000000000ff", String::new(), 404, "not_found", "nobody"),
        ("GET", "/api/segments/none", String::new(), 404, "not_found", "none"),
        ("GET", "/api/segments/none/members?at=soon", String::new(), 400, "invalid_query", "soon"),
        ("DELETE", "/api/goals/none", String::new(), 404, "not_found", "none"),
        ("GET", "/api/agents/none", String::new(), 404, "not_found", "none"),
        ("GET", "/api/nothing", String::new(), 404, "not_found", "path"),
        ("PATCH", "/api/segments", String::new(), 405, "method_not_allowed", "method"),
        ("GET", "/v1/track", String::new(), 405, "method_not_allowed", "method"),
    ];
    for (method, path, body, status, code, names) in &cases {
        let answer = server.control(method, path, body);
        let problem = answer.json();
        assert_eq!(answer.status, *status, "{method} {path} {problem}");
        assert!(code.is_empty() || problem["code"] == *code, "{method} {path} {problem}");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(names)), "{method} {path} {problem}");
    }
    let allowed = server.control("PATCH", "/api/segments", "");
    assert_eq!(allowed.header("allow"), Some("GET, POST"));
    let long = Request::new("POST", "/api/goals").key(&server.admin_key).header("idempotency-key", "k".repeat(256));
    assert_eq!(
        long.body(br#"{"id":"g","name":"G","metric":"churn_risk"}"#).send(server.address).json()["code"],
        "invalid_header"
    );
    assert_eq!(server.get("/api/segments")["segments"], json!([]));
}

#[test]
fn a_nul_in_properties_and_traits_comes_through_profiles_segments_exports_and_import() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    let condition = json!({ "event": { "name": "Odd", "op": ">=", "value": 1,
        "where": [{ "property": "a", "op": "=", "value": "x\0y" }] } });
    let segment = json!({ "id": "odd", "name": "Odd", "condition": condition }).to_string();
    let defined = server.control("POST", "/api/segments", &segment);
    assert_eq!(defined.status, 201, "{}", defined.text());
    let body = r#"{"batch":[
        {"type":"identify","userId":"u1","messageId":"1","traits":{"plan":"\u0000pro","n\u0000":"v","deep":{"\u0000":["\u0000"]}}},
        {"type":"track","userId":"u1","event":"Odd","messageId":"2","properties":{"a":"x\u0000y"}},
        {"type":"group","userId":"u1","groupId":"g","messageId":"3","traits":{"na\u0000me":"\u0000"}}
    ]}"#;
    assert_eq!(server.post("/v1/batch", body).status, 200);
    server.settle();
    let source = server.source();
    assert_eq!((&source["accepted"], &source["rejected"]), (&json!(3), &json!(0)), "{source}");
    let person = server.get("/api/profiles/user_id:u1");
    assert_eq!(person["traits"]["plan"], "\0pro", "{person}");
    assert_eq!(server.get("/api/segments/odd")["size"], 1);
    server.stop();
    let export = |data: &std::path::Path, what: &str, format: &str| {
        let output = program(data).args(["export", what, "--format", format]).output().expect("the export runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    let events = export(&data, "events", "jsonl");
    // As JSON writes it: no line has the character itself, so no reader trips over it.
    assert!(!events.contains('\0') && events.contains(r"x\u0000y"), "{events}");
    for what in ["events", "profiles"] {
        let table = export(&data, what, "csv");
        assert!(!table.contains('\0') && table.contains(r"\u0000"), "{what}: {table}");
    }
    let (again, copy) = directory();
    let file = again.path().join("events.jsonl");
    std::fs::write(&file, &events).expect("a file");
    let imported = program(&copy).arg("import").arg(&file).output().expect("the import runs");
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
    let properties = |events: &str| {
        let lines = events.lines().map(|line| serde_json::from_str::<Value>(line).expect("an event"));
        lines
            .map(|event| (event["messageId"].clone(), event["properties"].clone(), event["traits"].clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(properties(&export(&copy, "events", "jsonl")), properties(&events));
}
