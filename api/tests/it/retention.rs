//! What people did long ago is forgotten by a server that runs, and every command says so.

use std::fmt::Write as _;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::server::{Server, directory, program};

const DAYS: (&str, &str) = ("IMPRESARIO_STORAGE_RETENTION_DAYS", "30");

/// Ann's visits, at first as nobody, and orders of three people, over a year.
fn calls() -> String {
    let mut lines = String::new();
    let mut line = |call: Value| writeln!(lines, "{call}").expect("memory");
    let at = |day: usize| format!("1997-{:02}-{:02}T08:00:00Z", day / 28 + 1, day % 28 + 1);
    line(
        json!({ "type": "page", "anonymousId": "laptop", "messageId": "p", "timestamp": at(0), "name": "canary-page" }),
    );
    line(json!({ "type": "identify", "userId": "ann", "anonymousId": "laptop", "messageId": "i", "timestamp": at(1) }));
    for day in 2..330 {
        let (who, id) = (["ann", "bob", "carl"][day % 3], format!("o{day}"));
        let properties = json!({ "total": 10, "currency": "EUR", "order_id": id, "note": format!("canary-{day}") });
        line(json!({ "type": "track", "userId": who, "event": "Order Completed", "messageId": id,
                     "timestamp": at(day), "properties": properties }));
    }
    line(
        json!({ "type": "identify", "userId": "dora", "anonymousId": "phone", "messageId": "d", "timestamp": at(329) }),
    );
    lines
}

#[test]
fn a_server_forgets_what_is_old_and_every_command_says_so() {
    let (_directory, data) = directory();
    let file = data.with_extension("jsonl");
    std::fs::write(&file, calls()).expect("a file");
    let run = |arguments: &[&str]| {
        let output = program(&data).args(arguments).output().expect("it runs");
        let told = if output.stdout.is_empty() { &output.stderr } else { &output.stdout };
        let text = String::from_utf8_lossy(told).into_owned();
        (output.status.success(), serde_json::from_str(&text).unwrap_or(Value::Null), text)
    };
    let import = ["import", file.to_str().expect("a path"), "--clock", "data"];
    assert!(run(&import).0);
    let (_, kept, _) = run(&["export", "profiles"]);
    let (whole, before, _) = run(&["replay"]);
    assert!(whole, "{before}");

    let settings = [("IMPRESARIO_CLOCK", "data"), DAYS];
    let server = Server::start_with(&data, &settings);
    let forgotten = server.wait_for("/api/retention", |retention| {
        retention["kept_since_ms"].is_i64() && retention["waiting"] == 0 && retention["forgotten"].as_u64() > Some(100)
    });
    assert_eq!((&forgotten["days"], forgotten.get("waits_for")), (&json!(30), None), "{forgotten}");
    let metrics = server.control("GET", "/metrics", "").text();
    let since = forgotten["kept_since_ms"].as_i64().expect("an instant") / 1_000;
    assert!(metrics.contains(&format!("impresario_retention_kept_since_seconds {since}")), "{metrics}");
    // A segment says since when it knows; what was ever counted of a person is as it was.
    let condition = json!({ "event": { "name": "Order Completed", "op": ">=", "value": 100 } });
    let body = json!({ "id": "many", "name": "Many", "condition": condition }).to_string();
    assert_eq!(server.control("POST", "/api/segments", &body).status, 201);
    let many = server.wait_for("/api/segments/many", |segment| segment["ready"] == true);
    assert_eq!((&many["size"], &many["past_since_ms"]), (&json!(0), &forgotten["kept_since_ms"]), "{many}");
    assert_eq!(server.get("/api/profiles/user_id:ann")["features"]["orders"], 109);
    // Who was several long ago can't be taken apart; who came of late can.
    let unmerge = |who: &str, what: &str| {
        let body = json!({ "identifier": format!("anonymous_id:{what}") }).to_string();
        server.control("POST", &format!("/api/profiles/user_id:{who}/unmerge"), &body)
    };
    let refused = unmerge("ann", "laptop");
    assert!(refused.status == 409 && refused.text().contains("forgotten with age"), "{}", refused.text());
    assert_eq!(server.get("/api/profiles/user_id:ann")["features"]["orders"], 109);
    assert_eq!(unmerge("dora", "phone").status, 202);
    server.settle();
    server.signal(Signal::KILL);
    let _ = server.ended();

    let (verified, report, _) = run(&["verify"]);
    assert!(verified && report["forgotten"].as_u64() > Some(100), "{report}");
    let (compared, _, text) = run(&["replay"]);
    assert!(!compared && text.contains("forgotten with age"), "{text}");
    let events = data.with_extension("events");
    let (exported, report, _) = run(&["export", "events", "--output", events.to_str().expect("a path")]);
    assert!(exported && report["forgotten_before"].as_str().is_some_and(|at| at.starts_with("1997-")), "{report}");
    let written = report["written"].as_u64().expect("a number");
    assert!((30..70).contains(&written), "{report}");
    assert!(run(&["compact"]).0 && run(&["verify"]).0);
    let holds = |word: &str| super::erasure::files(&data).windows(word.len()).any(|window| window == word.as_bytes());
    assert!(!holds("canary-page") && !holds("canary-20\"") && holds("canary-329"), "the look finds what is there");
    let _ = kept;
}

#[test]
fn fewer_days_than_may_be_are_refused() {
    let (_directory, data) = directory();
    for (days, refused) in [("29", true), ("-1", true), ("36501", true), ("0", false), ("30", false)] {
        let output = program(&data).arg("config").env(DAYS.0, days).output().expect("it runs");
        assert_eq!(output.status.code() != Some(0), refused, "{days}: {output:?}");
    }
}
