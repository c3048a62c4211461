//! Acknowledged means on disk: kills, stops, second processes.

use std::{
    io::Write,
    process::Stdio,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::json;

use crate::{
    http::{Request, connect, read_answer},
    server::{Server, directory, program},
};

/// Writers in the test of kills, and how many acknowledgements come before each kill.
const WRITERS: usize = 8;
const KILLS: usize = 3;
const ACKNOWLEDGED_BEFORE_KILL: usize = 120;

#[test]
fn what_was_acknowledged_is_there_once_after_kills() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    let keys = server.keys();
    let mut server = Some(server);
    // Of each writer: how many batches of three it has tried, and how many were acknowledged.
    let tried: Vec<AtomicUsize> = (0..WRITERS).map(|_| AtomicUsize::new(0)).collect();
    let mut acknowledged = 0;
    for _ in 0..KILLS {
        let running = server.take().unwrap_or_else(|| Server::start_again(&data, &keys));
        let done = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for (writer, tried) in tried.iter().enumerate() {
                let (done, running) = (&done, &running);
                scope.spawn(move || {
                    loop {
                        let number = tried.load(Ordering::Relaxed);
                        let sent = Request::new("POST", "/v1/batch")
                            .key(&running.write_key)
                            .body(batch(writer, number).as_bytes())
                            .try_send(running.address);
                        match sent {
                            Ok(answer) if answer.status == 200 => {}
                            _ => return,
                        }
                        tried.fetch_add(1, Ordering::Relaxed);
                        if done.fetch_add(1, Ordering::Relaxed) + 1 == ACKNOWLEDGED_BEFORE_KILL {
                            running.signal(Signal::KILL);
                        }
                    }
                });
            }
        });
        acknowledged += done.load(Ordering::Relaxed);
    }
    assert!(acknowledged >= KILLS * ACKNOWLEDGED_BEFORE_KILL);
    let server = Server::start_again(&data, &keys);
    server.settle();
    for (writer, tried) in tried.iter().enumerate() {
        let count = tried.load(Ordering::Relaxed);
        let path = format!("/api/profiles/user_id:w{writer}");
        let events = server.get(&path)["features"]["events"].as_u64().expect("a count") as usize;
        // The batch under way at a kill may be in as well, whole; it was tried again with the next start.
        assert!(events == count * 3 || events == count * 3 + 3, "{writer}: {events} events of {count} batches");
        // A client that heard nothing sends all of it again.
        for number in 0..=count {
            assert_eq!(server.post("/v1/batch", batch(writer, number)).status, 200);
        }
        server.settle();
        assert_eq!(server.get(&path)["features"]["events"], (count + 1) * 3, "{writer}");
    }
}

fn batch(writer: usize, number: usize) -> String {
    let event = |part: usize| json!({ "type": "track", "userId": format!("w{writer}"), "event": "E", "messageId": format!("{writer}-{number}-{part}") });
    json!({ "batch": [event(0), event(1), event(2)] }).to_string()
}

#[test]
fn a_stop_lets_requests_under_way_end_and_keeps_everything() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    let keys = server.keys();
    let body = br#"{"userId":"u1","event":"E","messageId":"half"}"#;
    let request = Request::new("POST", "/v1/track").key(&server.write_key).body(body);
    let mut slow = connect(server.address).expect("connected");
    slow.write_all(request.head().as_bytes()).expect("sent");
    slow.write_all(&body[..10]).expect("sent");
    assert_eq!(server.post("/v1/track", br#"{"userId":"u1","event":"E","messageId":"before"}"#).status, 200);
    server.signal(Signal::TERM);
    // The door closes: nobody new is let in.
    let start = Instant::now();
    while connect(server.address).is_ok() {
        assert!(start.elapsed() < Duration::from_secs(10), "the door stays open");
        std::thread::sleep(Duration::from_millis(5));
    }
    slow.write_all(&body[10..]).expect("sent");
    let answer = read_answer(&mut slow).expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let (status, log) = server.ended();
    assert!(status.success(), "{status}: {log}");
    assert!(log.contains("stopped"), "{log}");
    let again = Server::start_again(&data, &keys);
    again.settle();
    assert_eq!(again.get("/api/profiles/user_id:u1")["features"]["events"], 2);
}

#[test]
fn a_second_signal_ends_at_once() {
    let (_directory, data) = directory();
    let server = Server::start_with(&data, &[("IMPRESARIO_SERVER_DRAIN_MS_MAX", "600000")]);
    let request = Request::new("POST", "/v1/track").key(&server.write_key).body(b"{\"userId\":\"u1\"");
    let mut slow = connect(server.address).expect("connected");
    slow.write_all(request.head().as_bytes()).expect("sent");
    // The head is read once the server has asked for the body, which an answer to another shows.
    assert_eq!(server.post("/v1/track", br#"{"userId":"u1","event":"E"}"#).status, 200);
    server.signal(Signal::TERM);
    let start = Instant::now();
    while connect(server.address).is_ok() {
        assert!(start.elapsed() < Duration::from_secs(10), "the door stays open");
        std::thread::sleep(Duration::from_millis(5));
    }
    server.signal(Signal::INT);
    let (status, _) = server.ended();
    assert_eq!(status.code(), Some(130));
}

#[test]
fn a_second_process_on_the_directory_is_refused() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    let events = data.join("events.jsonl");
    std::fs::write(&events, "{\"type\":\"track\",\"userId\":\"u1\",\"event\":\"E\"}\n").expect("a file");
    let events = events.display().to_string();
    for arguments in [
        vec!["serve", "--port", "0"],
        vec!["keys", "list"],
        vec!["keys", "replace", "admin"],
        vec!["import", &events],
        vec!["export", "events"],
        vec!["export", "profiles"],
        vec!["export", "members", "any"],
        vec!["verify"],
        vec!["replay"],
        vec!["compact"],
        vec!["backup", "--to", "/nowhere"],
    ] {
        let second =
            program(&data).args(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).output().expect("it runs");
        let said = String::from_utf8_lossy(&second.stderr).into_owned();
        assert_eq!(second.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.contains("in use by process") && second.stdout.is_empty(), "{arguments:?}: {said}");
    }
    assert_eq!(server.get("/health/ready")["status"], "ok");
}

#[test]
fn keys_are_shown_at_the_first_start_and_can_be_replaced_by_whoever_is_locked_out() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    assert!(server.write_key.starts_with("ingest_") && server.admin_key.starts_with("admin_"));
    let keys = server.keys();
    server.stop();
    let again = Server::start_again(&data, &keys);
    assert!(again.started["keys"].is_null(), "{}", again.started);
    assert_eq!(again.get("/api/keys")["keys"].as_array().map(Vec::len), Some(2));
    again.stop();
    let replaced = program(&data).args(["keys", "replace", "admin"]).output().expect("it runs");
    assert!(replaced.status.success(), "{}", String::from_utf8_lossy(&replaced.stderr));
    let made: serde_json::Value = serde_json::from_slice(&replaced.stdout).expect("JSON");
    let fresh = (keys.0.clone(), made["key"].as_str().expect("a key").to_owned());
    let server = Server::start_again(&data, &fresh);
    assert_eq!(server.get("/api/keys")["keys"].as_array().map(Vec::len), Some(2));
    assert_eq!(Request::new("GET", "/api/keys").key(&keys.1).send(server.address).status, 401);
}

#[test]
fn with_wrong_settings_it_does_not_start_and_says_which() {
    let (_directory, data) = directory();
    for (name, value, said) in [
        ("IMPRESARIO_SERVER_LISSTEN", "127.0.0.1:0", "IMPRESARIO_SERVER_LISSTEN"),
        ("IMPRESARIO_INGEST_DEPTH_MAX", "1000000", "IMPRESARIO_INGEST_DEPTH_MAX: 1000000"),
        ("IMPRESARIO_CLOCK", "tomorrow", "is not `wall`"),
        ("IMPRESARIO_CLOCK", "data", "has no time yet"),
        ("IMPRESARIO_CONFIG", "/nowhere/impresario.toml", "/nowhere/impresario.toml"),
    ] {
        let refused = program(&data).args(["serve", "--port", "0"]).env(name, value).output().expect("it runs");
        assert_eq!(refused.status.code(), Some(2), "{name}");
        let error = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(error.contains(said), "{name}: {error}");
    }
}
