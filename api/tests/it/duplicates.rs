//! Events that come again: applied once, and told where they say something else.

use serde_json::json;

use crate::{
    http::{Request, connect, read_answer},
    server::{Server, directory},
};

use std::{io::Write, sync::Barrier};

const CONNECTIONS: usize = 32;

#[test]
fn the_same_id_on_32_connections_at_once_is_applied_once() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    for round in 0..10 {
        let body = json!({ "userId": "u1", "event": "E", "messageId": format!("round {round}") }).to_string();
        let barrier = Barrier::new(CONNECTIONS);
        std::thread::scope(|scope| {
            for _ in 0..CONNECTIONS {
                scope.spawn(|| {
                    let mut stream = connect(server.address).expect("connected");
                    let request = Request::new("POST", "/v1/track").key(&server.write_key).body(body.as_bytes());
                    barrier.wait();
                    stream.write_all(request.head().as_bytes()).expect("sent");
                    stream.write_all(request.body).expect("sent");
                    assert_eq!(read_answer(&mut stream).expect("an answer").status, 200);
                });
            }
        });
    }
    server.settle();
    assert_eq!(server.get("/api/profiles/user_id:u1")["features"]["events"], 10);
    let source = server.source();
    assert_eq!(source["duplicates"], 10 * (CONNECTIONS - 1), "{source}");
    assert_eq!(source["duplicates_changed"], 0, "{source}");
}

#[test]
fn another_content_under_a_known_id_is_counted_and_shown_also_after_a_restart() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    let keys = server.keys();
    let say = |server: &Server, body: serde_json::Value| {
        assert_eq!(server.post("/v1/track", body.to_string()).status, 200);
    };
    let order = |total: u32, sent_at: &str| {
        json!({ "userId": "u1", "event": "Order Completed", "messageId": "m1", "sentAt": sent_at,
            "properties": { "total": total, "currency": "EUR" } })
    };
    say(&server, order(10, "2026-01-01T00:00:00Z"));
    say(&server, order(10, "2026-01-01T00:00:05Z"));
    assert_eq!(server.source()["duplicates_changed"], 0, "tried again, it is the same event");
    say(&server, order(20, "2026-01-01T00:00:06Z"));
    assert_eq!((&server.source()["duplicates"], &server.source()["duplicates_changed"]), (&json!(2), &json!(1)));
    server.stop();
    let server = Server::start_again(&data, &keys);
    say(&server, order(30, "2026-01-01T00:00:07Z"));
    say(&server, order(10, "2026-01-01T00:00:08Z"));
    server.settle();
    assert_eq!((&server.source()["duplicates"], &server.source()["duplicates_changed"]), (&json!(4), &json!(2)));
    let person = server.get("/api/profiles/user_id:u1");
    assert_eq!(person["features"]["value.EUR"], "10.00", "the first one counts");
    let metrics = server.control("GET", "/metrics", "").text();
    assert!(metrics.contains("impresario_events_duplicate_changed_total{source=\"default\"} 2"), "{metrics}");
}
