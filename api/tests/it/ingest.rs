//! The ingest door, as Segment's clients use it.

use std::io::Write;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;

use crate::{
    http::Request,
    server::{Server, directory},
};

const SUCCESS: (u16, &str) = (200, r#"{"success":true}"#);

#[test]
fn every_path_takes_its_call() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    let calls = [
        (["identify", "i"], r#""userId":"u1","traits":{"plan":"pro"}"#, "identify"),
        (["track", "t"], r#""userId":"u1","event":"Seen""#, "track"),
        (["page", "p"], r#""userId":"u1","name":"Home""#, "page"),
        (["screen", "s"], r#""userId":"u1","name":"Start""#, "screen"),
        (["group", "g"], r#""userId":"u1","groupId":"g1","traits":{"size":3}"#, "group"),
        (["alias", "a"], r#""userId":"u1","previousId":"u0""#, "alias"),
    ];
    let mut sent = 0;
    for (paths, fields, kind) in calls {
        for path in paths {
            for slash in ["", "/"] {
                sent += 1;
                // What the body says of its type is not asked: the path says it.
                let body = format!(r#"{{{fields},"type":"track","messageId":"{sent}"}}"#);
                let answer = server.post(&format!("/v1/{path}{slash}"), &body);
                assert_eq!((answer.status, answer.text().as_str()), SUCCESS, "{path}{slash}");
            }
        }
        server.settle();
        let timeline = server.get("/api/profiles/user_id:u1/timeline?limit=4");
        let events = timeline["events"].as_array().expect("events");
        assert!(events.iter().all(|event| event["type"] == kind), "{kind}: {timeline}");
    }
    for path in ["batch", "import", "b", "b/"] {
        sent += 1;
        let body = format!(r#"{{"batch":[{{"type":"track","userId":"u1","event":"E","messageId":"{sent}"}}]}}"#);
        assert_eq!(server.post(&format!("/v1/{path}"), &body).status, 200, "{path}");
    }
    let source = server.source();
    assert_eq!((&source["accepted"], &source["duplicates"], &source["rejected"]), (&json!(sent), &json!(0), &json!(0)));
    server.settle();
    assert_eq!(server.get("/api/profiles/user_id:u1")["features"]["events"], sent);
}

#[test]
fn a_key_comes_by_basic_by_bearer_or_in_the_body_and_headers_are_not_trusted() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    let key = &server.write_key;
    let basic = STANDARD.encode(format!("{key}:"));
    let event = r#"{"type":"track","userId":"u1","event":"E"}"#;
    let plain = format!(r#"{{"batch":[{event}]}}"#).into_bytes();
    let keyed = format!(r#"{{"writeKey":"{key}","batch":[{event}]}}"#).into_bytes();
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(&plain).expect("packed");
    let packed = packer.finish().expect("packed");
    let cases = [
        ("basic", vec![("authorization", format!("Basic {basic}"))], plain.as_slice()),
        ("bearer", vec![("authorization", format!("Bearer {key}"))], &plain),
        ("body", vec![], &keyed),
        ("text", vec![("content-type", "text/plain".into())], &keyed),
        ("form", vec![("content-type", "application/x-www-form-urlencoded".into())], &keyed),
        ("gzip", vec![("authorization", format!("Basic {basic}")), ("content-encoding", "gzip".into())], &packed),
        ("unsaid gzip", vec![("authorization", format!("Basic {basic}"))], &packed),
        ("said but plain", vec![("content-encoding", "gzip".into())], &keyed),
    ];
    for (name, headers, body) in &cases {
        let mut request = Request::new("POST", "/v1/batch").body(body);
        request.headers.extend(headers.iter().cloned());
        let answer = request.send(server.address);
        assert_eq!((answer.status, answer.text().as_str()), SUCCESS, "{name}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
    assert_eq!(server.source()["accepted"], cases.len());
}

#[test]
fn browsers_are_let_in_from_any_page() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    let asked = Request::new("OPTIONS", "/v1/t")
        .header("origin", "https://shop.test")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,content-type")
        .send(server.address);
    assert_eq!(asked.status, 204);
    assert!(asked.header("access-control-allow-headers").is_some_and(|headers| headers.contains("authorization")));
    let body = format!(r#"{{"writeKey":"{}","anonymousId":"a1","event":"E"}}"#, server.write_key);
    let answers = [
        asked,
        Request::new("POST", "/v1/t").header("content-type", "text/plain").body(body.as_bytes()).send(server.address),
        Request::new("POST", "/v1/t").body(b"{").send(server.address),
        Request::new("POST", "/v1/m").body(br#"{"series":[]}"#).send(server.address),
        Request::new("GET", "/v1/projects/anything/settings").send(server.address),
    ];
    assert_eq!(answers.each_ref().map(|answer| answer.status), [204, 200, 400, 200, 200]);
    assert!(answers.iter().all(|answer| answer.header("access-control-allow-origin") == Some("*")));
    assert!(answers.iter().all(|answer| answer.header("access-control-expose-headers") == Some("retry-after")));
    assert_eq!(answers[4].header("cache-control"), Some("no-store"));
    let own = json!({ "apiKey": "anything", "apiHost": "test/v1", "protocol": "http" });
    assert_eq!(answers[4].json()["integrations"], json!({ "Segment.io": own }));
    assert_eq!(answers[4].json()["metrics"], json!({ "sampleRate": 0 }));
    let behind_tls = Request::new("GET", "/v1/projects/%22%3C/settings").header("x-forwarded-proto", "https");
    let own = json!({ "apiKey": "\"<", "apiHost": "test/v1", "protocol": "https" });
    assert_eq!(behind_tls.send(server.address).json()["integrations"], json!({ "Segment.io": own }));
    let control = Request::new("GET", "/health/live").send(server.address);
    assert_eq!(control.header("access-control-allow-origin"), None);
}

#[test]
fn a_repeated_message_is_taken_once_and_one_without_an_id_each_time() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    let body = r#"{"batch":[
        {"type":"track","userId":"u1","event":"E","messageId":"same"},
        {"type":"track","userId":"u1","event":"E","messageId":"same"},
        {"type":"track","userId":"u1","event":"E"},
        {"type":"track","userId":"u1","event":"E"},
        {"type":"track","userId":"u1","event":"E","messageId":""}
    ]}"#;
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| assert_eq!(server.post("/v1/batch", body).status, 200));
        }
    });
    server.settle();
    assert_eq!(server.get("/api/profiles/user_id:u1")["features"]["events"], 1 + 3 * 16);
    let source = server.source();
    assert_eq!((&source["accepted"], &source["duplicates"]), (&json!(49), &json!(31)));
    let timeline = server.get("/api/profiles/user_id:u1/timeline");
    let events = timeline["events"].as_array().expect("events");
    let ids: std::collections::BTreeSet<_> = events.iter().map(|event| event["message_id"].to_string()).collect();
    assert_eq!(ids.len(), 49, "made ids differ");
}

#[test]
fn what_a_batch_says_for_all_is_said_of_each() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    let body = r#"{"context":{"locale":"pl-PL","app":{"name":"shop"}},"integrations":{"All":true},
        "sentAt":"2026-05-04T08:00:00Z","batch":[
        {"type":"track","userId":"u1","event":"Bare","originalTimestamp":"2026-05-04T07:00:00Z","timestamp":"1999-01-01T00:00:00Z"},
        {"type":"track","userId":"u1","event":"Own","context":{"locale":"de-DE"},"timestamp":"2026-05-04T07:59:59.5+00:00"},
        {"type":"identify","userId":"u1","context":{"traits":{"email":"Anna@Example.test"}},"integrations":{}}
    ]}"#;
    assert_eq!(server.post("/v1/batch", body).status, 200);
    server.settle();
    let timeline = server.get("/api/profiles/email:anna%40example.test/timeline");
    let events = timeline["events"].as_array().expect("events");
    let of =
        |name: &str| events.iter().find(|event| event["name"] == name || event["type"] == name).expect("it is there");
    assert_eq!(of("Bare")["context"], json!({ "locale": "pl-PL", "app": { "name": "shop" } }));
    assert_eq!(of("Own")["context"], json!({ "locale": "de-DE", "app": { "name": "shop" } }));
    assert_eq!(of("identify")["properties"], json!({ "email": "Anna@Example.test" }));
    let ago =
        |name: &str| of(name)["received_at_ms"].as_i64().zip(of(name)["at_ms"].as_i64()).map(|(then, at)| then - at);
    assert_eq!((ago("Bare"), ago("Own"), ago("identify")), (Some(3_600_000), Some(500), Some(0)));
    let person = server.get("/api/profiles/user_id:u1");
    assert_eq!(person["traits"]["email"], "Anna@Example.test");
    assert!(server.get("/api/profiles")["profiles"].as_array().is_some_and(|all| all.len() == 1));
}

#[test]
fn a_directory_on_its_datas_clock_moves_with_the_data_alone() {
    let (_directory, data) = directory();
    let server = Server::start_with(&data, &[("IMPRESARIO_CLOCK", "1997-01-01T00:00:00Z")]);
    let at = |time: &str| format!(r#"{{"userId":"u1","event":"Order Completed","timestamp":"{time}"}}"#);
    let now = || server.get("/health/live")["now_ms"].as_i64().expect("an instant");
    assert_eq!(now(), 852_076_800_000);
    assert_eq!(server.post("/v1/track", at("1997-03-01T00:00:00Z")).status, 200);
    assert_eq!(now(), 857_174_400_000);
    // Late data does not move it back; data of the future not past the real present.
    assert_eq!(server.post("/v1/track", at("1997-02-01T00:00:00Z")).status, 200);
    assert_eq!(now(), 857_174_400_000);
    server.settle();
    let timeline = server.get("/api/profiles/user_id:u1/timeline");
    let times: Vec<_> =
        timeline["events"].as_array().expect("events").iter().map(|event| event["at_ms"].clone()).collect();
    assert_eq!(times, [json!(857_174_400_000_i64), json!(854_755_200_000_i64)]);
    let keys = server.keys();
    server.stop();
    let again = Server::start_with(&data, &[("IMPRESARIO_CLOCK", "data")]);
    let live = Request::new("GET", "/health/live").send(again.address).json();
    assert_eq!(live["now_ms"], 857_174_400_000_i64);
    let body = br#"{"userId":"u1","event":"E","timestamp":"2999-01-01T00:00:00Z"}"#;
    assert_eq!(Request::new("POST", "/v1/track").key(&keys.0).body(body).send(again.address).status, 200);
    let live = Request::new("GET", "/health/live").send(again.address).json();
    assert!(live["now_ms"].as_i64().is_some_and(|now| now < 32_472_144_000_000), "{live}");
}
