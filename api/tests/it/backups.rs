//! Backups of a server at work, and directories made of them; files that are made small again.

use std::{
    path::Path,
    process::Output,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use impresario_runtime::store::{
    AMPLIFICATION_ALARM, Durability, Engine, Op, SledEngine, SledOptions, Usage, WriteBatch,
};
use serde_json::{Value, json};

use crate::{
    http::Request,
    server::{Server, directory, program},
};

/// Events acknowledged before the backup and while it is taken.
const BEFORE: usize = 2_000;
const MEANWHILE: usize = 400;

fn run(data: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    program(data).args(arguments).envs(variables.iter().copied()).output().expect("it runs")
}

/// What a command that succeeds says.
fn told(data: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Value {
    let output = run(data, arguments, variables);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {error}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{arguments:?}: {error}"))
}

fn refused(data: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let output = run(data, arguments, variables);
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn batch(number: usize) -> String {
    let event = |place: usize| {
        let id = number * 10 + place;
        json!({
            "type": "track", "event": "Order Completed", "userId": format!("u{}", id % 300),
            "messageId": format!("m{id}"), "properties": { "revenue": id, "currency": "EUR" },
        })
    };
    json!({ "batch": (0..10).map(event).collect::<Vec<_>>() }).to_string()
}

#[test]
fn a_backup_taken_under_load_is_restored_to_what_the_journal_says() {
    let (directory, data) = directory();
    let place = directory.path().join("backups");
    let to = place.display().to_string();
    let server = Server::start_with(&data, &[("IMPRESARIO_STORAGE_BACKUPS", &to)]);
    let goal = r#"{"id":"slipping","name":"Who is slipping away?","metric":"churn_risk"}"#;
    assert_eq!(server.control("POST", "/api/goals", goal).status, 201);
    let (sent, ended) = (AtomicUsize::new(0), AtomicBool::new(false));
    let address = server.address.to_string();
    let backup = std::thread::scope(|scope| {
        for writer in 0..4 {
            let (server, sent, ended) = (&server, &sent, &ended);
            scope.spawn(move || {
                let mut number = writer;
                while !ended.load(Ordering::Acquire) {
                    assert_eq!(server.post("/v1/batch", batch(number)).status, 200);
                    sent.fetch_add(10, Ordering::AcqRel);
                    number += 4;
                }
            });
        }
        let reached = |count| {
            while sent.load(Ordering::Acquire) < count {
                std::thread::yield_now();
            }
        };
        reached(BEFORE);
        let key = [("IMPRESARIO_ADMIN_KEY", server.admin_key.as_str())];
        let backup = told(&data, &["backup", "--to", &to, "--server", &address], &key);
        reached(sent.load(Ordering::Acquire) + MEANWHILE);
        ended.store(true, Ordering::Release);
        backup
    });
    let head = backup["head"].as_u64().expect("a place");
    server.settle();
    assert!(server.get("/health/live")["head"].as_u64() > Some(head), "it was written meanwhile");
    let list = server.get("/api/backups");
    assert_eq!(list["backups"][0]["head"], backup["head"]);
    assert_eq!((&list["backups"][0]["state"], &list["running"]), (&json!("whole"), &Value::Null));
    let metrics = server.control("GET", "/metrics", "").text();
    assert!(metrics.contains("impresario_backups_taken_total 1\n"), "{metrics}");
    let keys = server.keys();
    server.stop();
    let file = backup["backup"].as_str().expect("a file");
    let restored = directory.path().join("restored");
    assert_eq!(told(&restored, &["restore", file], &[])["head_hash"], backup["head_hash"]);
    let (whole, again) = (told(&restored, &["verify"], &[]), told(&restored, &["replay"], &[]));
    assert_eq!((&whole["whole"], &whole["head_hash"]), (&json!(true), &backup["head_hash"]));
    // What agents had yet to say at that point is said as they go on from there.
    assert!(again["same"] == true && again["entries"].as_u64() >= Some(head), "{again}");
    // At rest, both are the same to the last state.
    let last = told(&data, &["backup", "--to", &to], &[]);
    let file = last["backup"].as_str().expect("a file");
    let second = directory.path().join("second");
    told(&second, &["restore", file], &[]);
    assert_eq!(told(&second, &["replay"], &[])["states"], told(&data, &["replay"], &[])["states"]);
    let (status, error) = refused(&second, &["restore", file], &[]);
    assert!(status == Some(1) && error.contains("is not empty"), "{error}");
    // And it goes on from there, with its keys.
    let server = Server::start_again(&restored, &keys);
    let known = server.source()["duplicates"].as_u64().unwrap_or_default();
    assert_eq!(server.post("/v1/batch", batch(0)).status, 200);
    assert_eq!(server.source()["duplicates"].as_u64(), Some(known + 10), "what is in it is known");
    assert_eq!(server.post("/v1/batch", batch(10_000_000)).status, 200);
    server.settle();
    server.stop();
}

#[test]
fn backups_go_to_the_configured_directory_alone() {
    let (directory, data) = directory();
    let server = Server::start(&data);
    let address = server.address.to_string();
    assert_eq!(server.control("POST", "/api/backups", "").json()["code"], "conflict");
    assert_eq!(server.get("/api/backups")["backups"], json!([]));
    let key = [("IMPRESARIO_ADMIN_KEY", server.admin_key.as_str())];
    let elsewhere = directory.path().join("elsewhere").display().to_string();
    let arguments = ["backup", "--to", &elsewhere, "--server", &address];
    let (status, error) = refused(&data, &arguments, &[]);
    assert!(status == Some(1) && error.contains("IMPRESARIO_ADMIN_KEY"), "{error}");
    let (status, error) = refused(&data, &arguments, &key);
    assert!(status == Some(1) && error.contains("storage.backups"), "{error}");
    let keys = server.keys();
    server.stop();
    let place = directory.path().join("backups").display().to_string();
    let server = Server::start_with(&data, &[("IMPRESARIO_STORAGE_BACKUPS", &place)]);
    let address = server.address.to_string();
    let key = [("IMPRESARIO_ADMIN_KEY", keys.1.as_str())];
    let (status, error) = refused(&data, &["backup", "--to", &elsewhere, "--server", &address], &key);
    assert!(status == Some(2) && error.contains(&place), "{error}");
    assert!(!Path::new(&elsewhere).exists());
    for odd in ["..%2F..%2Fetc%2Fpasswd", "impresario.format", "impresario-x.backup"] {
        let asked = Request::new("GET", &format!("/api/backups/{odd}")).key(&keys.1).send(server.address);
        assert_eq!(asked.status, 404, "{odd}");
    }
    server.stop();
}

/// A directory whose file is many times its data.
fn bloat(data: &Path) -> Usage {
    let options = SledOptions { free_min_percent: 0, ..SledOptions::default() };
    let engine = SledEngine::open(data, &options).expect("an engine");
    let mut random = 1_u64;
    for round in 0..90_u64 {
        let noise = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 56) as u8
        };
        let value: Vec<u8> = std::iter::repeat_with(noise).take(1 << 20).collect();
        // Kept to the end, so that the engine can't give room back of itself.
        let ops = vec![Op::Put(format!("mbloat/{round}").into_bytes(), value.into())];
        engine.commit(WriteBatch { expect: Vec::new(), ops }, Durability::Written).expect("a commit");
    }
    let ops = (0..90).map(|round| Op::Delete(format!("mbloat/{round}").into_bytes())).collect();
    engine.commit(WriteBatch { expect: Vec::new(), ops }, Durability::Synced).expect("a commit");
    let usage = engine.usage().expect("sizes");
    engine.close().expect("a close");
    usage
}

#[test]
fn a_directory_that_has_outgrown_its_data_is_told_of_and_made_small() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    assert_eq!(server.post("/v1/track", br#"{"userId":"u1","event":"E"}"#).status, 200);
    assert_eq!(server.get("/health/ready")["wants_compaction"], false);
    server.settle();
    let keys = server.keys();
    server.stop();
    let usage = bloat(&data);
    assert!(usage.wants_compaction(), "{} times: {usage:?}", usage.amplification());
    assert!(usage.amplification() > AMPLIFICATION_ALARM);
    let server = Server::start_with(&data, &[("IMPRESARIO_STORAGE_COMPACT_AT_START", "never")]);
    server.wait_for("/health/ready", |health| health["wants_compaction"] == true);
    let metrics = Request::new("GET", "/metrics").key(&keys.1).send(server.address).text();
    assert!(metrics.contains("impresario_store_wants_compaction 1\n"), "{metrics}");
    server.stop();
    let server = Server::start_again(&data, &keys);
    assert_eq!(server.get("/health/ready")["wants_compaction"], false);
    assert_eq!(server.get("/api/profiles/user_id:u1")["features"]["events"], 1);
    server.stop();
    let compacted = told(&data, &["compact"], &[]);
    assert!(compacted["before_bytes"].as_u64().is_some_and(|bytes| bytes < 32 << 20), "{compacted}");
    assert_eq!(told(&data, &["verify"], &[])["whole"], true);
}
