//! `kill -9` under load, again and again: nothing that was acknowledged is lost, nothing is there twice.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use impresario_api::bench::Client;
use rustix::process::Signal;
use serde_json::json;

use crate::server::{Server, directory, program};

const WRITERS: usize = 64;
/// However busy the machine is with other things.
const SETTLED_WITHIN: Duration = Duration::from_secs(600);

/// How a series of kills goes.
struct Series {
    rounds: u64,
    /// Shortest and longest life, milliseconds.
    life_ms: (u64, u64),
    /// No round begins after so long.
    within: Duration,
    seed: u64,
}

/// What one writer has sent.
#[derive(Default)]
struct Writer {
    /// Batches acknowledged; the next one may be in as well.
    batches: AtomicU64,
    /// Events in them.
    events: AtomicU64,
}

/// How many events the batch of this number has.
fn size_of(number: u64) -> u64 {
    1 + number % 4
}

fn batch(writer: usize, number: u64) -> String {
    let event = |part: u64| {
        json!({
            "type": "track", "userId": format!("w{writer}"), "event": "Product Viewed",
            "messageId": format!("{writer}-{number}-{part}"), "properties": { "product_id": format!("P-{part}") },
        })
    };
    json!({ "batch": (0..size_of(number)).map(event).collect::<Vec<_>>() }).to_string()
}

/// Sends until the server is gone.
fn write(server: &Server, writer: usize, state: &Writer) {
    let Ok(mut client) = Client::connect(server.address, &server.write_key) else { return };
    loop {
        let number = state.batches.load(Ordering::Relaxed);
        match client.ask("POST", "/v1/batch", batch(writer, number).as_bytes()) {
            Ok((200, _)) => {
                state.batches.fetch_add(1, Ordering::Relaxed);
                state.events.fetch_add(size_of(number), Ordering::Relaxed);
            }
            Ok((429 | 503, _)) => {}
            _ => return,
        }
    }
}

fn kills(series: &Series) {
    let (_directory, data) = directory();
    let mut server = Server::start(&data);
    let keys = server.keys();
    let writers: Vec<Writer> = (0..WRITERS).map(|_| Writer::default()).collect();
    let mut random = series.seed;
    let begin = Instant::now();
    let (mut rounds, mut recovery_ms_max, mut settled_ms_max) = (0, 0, 0);
    while rounds < series.rounds && begin.elapsed() < series.within {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (from, to) = series.life_ms;
        let life = Duration::from_millis(from + (random >> 33) % (to - from));
        std::thread::scope(|scope| {
            for (writer, state) in writers.iter().enumerate() {
                let server = &server;
                scope.spawn(move || write(server, writer, state));
            }
            std::thread::sleep(life);
            server.signal(Signal::KILL);
        });
        drop(server);
        let start = Instant::now();
        server = Server::start_again(&data, &keys);
        recovery_ms_max = recovery_ms_max.max(start.elapsed().as_millis());
        server.settle_within(SETTLED_WITHIN);
        settled_ms_max = settled_ms_max.max(start.elapsed().as_millis());
        rounds += 1;
        check_counts(&server, &writers, rounds);
        if rounds % 25 == 0 {
            let events: u64 = writers.iter().map(|writer| writer.events.load(Ordering::Relaxed)).sum();
            let bytes = std::fs::metadata(data.join("sled/db")).map_or(0, |file| file.len());
            println!(
                "{rounds} kills: {events} events acknowledged, 0 lost, 0 doubled; listening again after at most \
                 {recovery_ms_max} ms, all folded after {settled_ms_max} ms; {} MiB on disk",
                bytes >> 20
            );
        }
    }
    assert!(rounds >= series.rounds.min(5), "only {rounds} rounds in time");
    // Whatever was not acknowledged is sent again, as a client would; then every event is there once.
    for (writer, state) in writers.iter().enumerate() {
        let number = state.batches.load(Ordering::Relaxed);
        assert_eq!(server.post("/v1/batch", batch(writer, number)).status, 200);
        state.batches.fetch_add(1, Ordering::Relaxed);
        state.events.fetch_add(size_of(number), Ordering::Relaxed);
    }
    server.settle();
    server.stop();
    check_ids(&data, &writers);
    let verified = program(&data).arg("verify").output().expect("it runs");
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    println!(
        "{rounds} kills: listening again after at most {recovery_ms_max} ms, all folded after {settled_ms_max} ms"
    );
}

/// Each writer's person has as many events as were acknowledged, or the batch under way as well, whole.
fn check_counts(server: &Server, writers: &[Writer], round: u64) {
    for (writer, state) in writers.iter().enumerate() {
        let (batches, events) = (state.batches.load(Ordering::Relaxed), state.events.load(Ordering::Relaxed));
        if events == 0 {
            continue;
        }
        let person = server.get(&format!("/api/profiles/user_id:w{writer}"));
        let found = person["features"]["events"].as_u64().expect("a count");
        let whole = [events, events + size_of(batches)];
        assert!(whole.contains(&found), "kill {round}, writer {writer}: {found} events, {whole:?} expected");
    }
}

/// The very ids, by what the directory exports: each once, none missing.
fn check_ids(data: &std::path::Path, writers: &[Writer]) {
    let exported = program(data).args(["export", "events"]).output().expect("it runs");
    assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));
    let mut found = BTreeSet::new();
    for line in exported.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let event: serde_json::Value = serde_json::from_slice(line).expect("JSON");
        let id = event["messageId"].as_str().expect("an id").to_owned();
        assert!(!found.contains(&id), "{id} is there twice");
        found.insert(id);
    }
    for (writer, state) in writers.iter().enumerate() {
        for number in 0..state.batches.load(Ordering::Relaxed) {
            for part in 0..size_of(number) {
                let id = format!("{writer}-{number}-{part}");
                assert!(found.remove(&id), "{id} was acknowledged and is gone");
            }
        }
    }
    assert!(found.is_empty(), "nobody sent {found:?}");
}

#[test]
fn what_was_acknowledged_is_there_once_after_twenty_kills_under_load() {
    kills(&Series { rounds: 20, life_ms: (50, 300), within: Duration::from_secs(30), seed: 1 });
}

#[test]
#[ignore = "full size: cargo full r1"]
fn r1_kills_under_load() {
    let rounds = std::env::var("IMPRESARIO_TEST_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(500);
    kills(&Series { rounds, life_ms: (200, 3_000), within: Duration::from_secs(4 * 3_600), seed: 2 });
}
