//! The log: lines for machines that tell requests apart and name nobody.

use serde_json::Value;

use crate::{
    http::Request,
    server::{Server, directory},
};

/// Whoever finds one of these in a log has found a person.
const CANARIES: [&str; 4] = ["canary@example.test", "canary%40example.test", "canary-user", "+48600000001"];

#[test]
fn log_lines_are_json_with_the_requests_id_and_route_and_name_nobody() {
    let (_directory, data) = directory();
    let settings = [("IMPRESARIO_LOG_FORMAT", "json"), ("IMPRESARIO_LOG_LEVEL", "debug")];
    let server = Server::start_with(&data, &settings);
    let event = r#"{"userId":"canary-user","traits":{"email":"canary@example.test","phone":"+48600000001"}}"#;
    let taken = server.post("/v1/identify", event);
    assert_eq!(taken.status, 200);
    let bad = r#"{"userId":["canary@example.test"],"event":"+48600000001"}"#;
    assert_eq!(server.post("/v1/track", bad).status, 400);
    server.settle();
    let by_email = Request::new("GET", "/api/profiles/email:canary%40example.test").key(&server.admin_key);
    let found = by_email.send(server.address);
    assert_eq!(found.status, 200);
    let id = found.header("x-request-id").expect("an id").to_owned();
    let nobody = server.control("GET", "/api/profiles/user_id:canary-user-2", "");
    assert_eq!(nobody.status, 404);
    assert_ne!(nobody.header("x-request-id"), Some(id.as_str()));
    let write_key = server.write_key.clone();
    let log = server.stop();
    let lines: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect();
    for canary in CANARIES.into_iter().chain([write_key.as_str()]) {
        assert!(!log.contains(canary), "{canary} is in the log");
    }
    let answered = |id: &str| {
        let of_id = lines.iter().filter(|line| line["message"] == "answered" && line["span"]["id"] == id);
        of_id.map(|line| (line["span"]["route"].clone(), line["status"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(answered(&id), [("/api/profiles/{id}".into(), 200.into())]);
    assert_eq!(answered(taken.header("x-request-id").expect("an id")), [("/v1/identify".into(), 200.into())]);
}

#[test]
fn as_it_is_set_first_the_log_does_not_speak_of_events() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    let taken = server.post("/v1/track", r#"{"userId":"u1","event":"E"}"#);
    assert_eq!((taken.status, taken.header("x-request-id")), (200, None));
    let log = server.stop();
    assert!(!log.contains("answered") && !log.contains("/v1/track"), "{log}");
}
