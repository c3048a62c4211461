//! What the gate goes by, and what became of each message, over HTTP.

use serde_json::{Value, json};

use crate::server::{Server, directory};

fn put(server: &Server, path: &str, body: &Value) -> Value {
    let answer = server.control("PUT", path, &body.to_string());
    assert!(matches!(answer.status, 200 | 201), "{path}: {}", answer.text());
    answer.json()
}

#[test]
fn the_gates_policy_is_set_whole_and_what_is_wrong_is_named() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    let first = server.get("/api/messaging/policy");
    assert_eq!((&first["zone"], &first["quiet_hours"]["sms"]["from"]), (&json!("UTC"), &json!("21:00")));
    for (wrong, field) in [
        (json!({ "zone": "Mars/Olympus" }), "`zone`"),
        (json!({ "quiet_hours": { "sms": { "from": "25:00", "to": "08:00" } } }), "`quiet_hours.sms`"),
        (json!({ "caps": [{ "within_ms": 0, "at_most": 1 }] }), "`caps[0].within_ms`"),
        (json!({ "holdout_share": 2 }), "`holdout_share`"),
        (json!({ "quiet": true }), "`quiet`"),
    ] {
        let refused = server.control("PUT", "/api/messaging/policy", &wrong.to_string());
        assert_eq!((refused.status, &refused.json()["code"]), (400, &json!("invalid_body")), "{wrong}");
        assert!(refused.text().contains(field), "{}", refused.text());
    }
    assert_eq!(server.get("/api/messaging/policy"), first);
    let policy = json!({ "zone": "Europe/Warsaw", "quiet_hours": {}, "caps": [] });
    put(&server, "/api/messaging/policy", &policy);
    let standing = server.get("/api/messaging/policy");
    assert_eq!((&standing["zone"], &standing["caps"]), (&json!("Europe/Warsaw"), &json!([])));
}

#[test]
fn each_message_of_a_person_is_told_with_its_fate() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    put(
        &server,
        "/api/messaging/policy",
        &json!({ "quiet_hours": {}, "caps": [{ "within_ms": 86_400_000, "at_most": 1 }] }),
    );
    put(&server, "/api/templates/hello", &json!({ "name": "Hello", "sms": { "text": "Hello" } }));
    let send = |id: &str| json!({ "id": id, "send": { "template": "hello", "channels": ["sms"], "within": "1h" } });
    for event in ["One", "Two", "Three"] {
        let journey = json!({ "name": event, "entry": { "event": { "name": event } }, "steps": [send("hello")] });
        put(&server, &format!("/api/journeys/{}", event.to_lowercase()), &journey);
    }
    let say = |body: Value| {
        assert_eq!(server.post("/v1/batch", json!({ "batch": [body] }).to_string()).status, 200);
        server.settle();
    };
    let traits = json!({ "phone": "+48600100200", "consent": ["sms"] });
    say(json!({ "type": "identify", "userId": "anna", "messageId": "1", "traits": traits }));
    assert_eq!(server.get("/api/profiles/user_id:anna/messages")["messages"], json!([]));
    say(json!({ "type": "track", "userId": "anna", "messageId": "2", "event": "One" }));
    say(json!({ "type": "track", "userId": "anna", "messageId": "3", "event": "Two" }));
    say(json!({ "type": "identify", "userId": "anna", "messageId": "4", "traits": { "sms_consent": false } }));
    say(json!({ "type": "track", "userId": "anna", "messageId": "5", "event": "Three" }));
    let page = server.get("/api/profiles/user_id:anna/messages");
    let all = page["messages"].as_array().expect("messages");
    let told: Vec<_> = all.iter().map(|message| (&message["status"], &message["fates"])).collect();
    let [(third, why), (second, _), (first, delivered)] = told.as_slice() else { panic!("{page:#}") };
    assert_eq!((*third, *second, *first), (&json!("refused"), &json!("refused"), &json!("delivered")), "{page:#}");
    assert_eq!(why.as_array().and_then(|fates| fates.last()).expect("a verdict")["guard"], "consent");
    let guards = &delivered[1]["guards"];
    assert!(guards.as_array().is_some_and(|guards| guards.contains(&json!("consent"))), "{page:#}");
    let first_page = server.get("/api/profiles/user_id:anna/messages?limit=2");
    assert_eq!(first_page["messages"], json!(all[..2]));
    let next = first_page["next"].as_str().expect("a next page");
    let second_page = server.get(&format!("/api/profiles/user_id:anna/messages?limit=2&cursor={next}"));
    assert_eq!((&second_page["messages"], &second_page["next"]), (&json!(all[2..]), &Value::Null));
    assert_eq!(server.control("GET", "/api/profiles/user_id:nobody/messages", "").status, 404);
}
