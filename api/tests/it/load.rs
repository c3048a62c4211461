//! Under load: one person who is very busy, and many hours' worth of events. Only in full size: on a machine
//! that does other things as well they measure those.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use impresario_api::bench::{Bodies, Client, Whom, definitions, percentile};

use crate::server::{Server, directory};

const TIMESTAMP: &str = "2026-05-04T08:00:00.000Z";

/// Batches sent at an even pace until it is told to end.
struct Pace {
    connections: u64,
    /// Events in one batch, and people they are of.
    batch: usize,
    people: u64,
    events_per_s: u64,
}

impl Pace {
    /// Sends on its connections; how many events were acknowledged.
    fn run(&self, server: &Server, first: u64, ended: &AtomicBool) -> u64 {
        let sent = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for connection in 0..self.connections {
                let sent = &sent;
                scope.spawn(move || {
                    let mut bodies = Bodies::new(first + connection, self.batch, Whom::Anybody(self.people), TIMESTAMP);
                    let mut client = Client::connect(server.address, &server.write_key).expect("connected");
                    let every = Duration::from_secs_f64(
                        self.batch as f64 * self.connections as f64 / self.events_per_s.max(1) as f64,
                    );
                    let begin = Instant::now();
                    let mut batches = 0_u32;
                    while !ended.load(Ordering::Acquire) {
                        let status = client.ask("POST", "/v1/batch", bodies.next_batch()).expect("an answer").0;
                        assert!([200, 429, 503].contains(&status), "{status}");
                        sent.fetch_add(if status == 200 { self.batch as u64 } else { 0 }, Ordering::Relaxed);
                        batches += 1;
                        std::thread::sleep((every * batches).saturating_sub(begin.elapsed()));
                    }
                });
            }
        });
        sent.into_inner()
    }
}

/// Sends single events of people of their own; microseconds until each is acknowledged and until the
/// person can be seen.
fn others(server: &Server, round: u64, lasts: Duration, ended: &AtomicBool) -> (Vec<u64>, Vec<u64>) {
    let mut door = Client::connect(server.address, &server.write_key).expect("connected");
    let mut looking = Client::connect(server.address, &server.admin_key).expect("connected");
    let (mut acknowledged, mut seen) = (Vec::new(), Vec::new());
    let begin = Instant::now();
    while begin.elapsed() < lasts {
        let name = format!("other-{round}-{}", seen.len());
        let body = format!("{{\"userId\":\"{name}\",\"event\":\"Seen\",\"messageId\":\"{name}\"}}");
        let start = Instant::now();
        assert_eq!(door.ask("POST", "/v1/track", body.as_bytes()).expect("an answer").0, 200);
        acknowledged.push(start.elapsed().as_micros() as u64);
        let path = format!("/api/profiles/user_id:{name}");
        while looking.ask("GET", &path, &[]).expect("an answer").0 != 200 {
            std::thread::sleep(Duration::from_micros(500));
        }
        seen.push(start.elapsed().as_micros() as u64);
        std::thread::sleep(Duration::from_millis(10));
    }
    ended.store(true, Ordering::Release);
    (acknowledged, seen)
}

fn define(server: &Server, count: usize) {
    for definition in definitions(count) {
        let answer = server.control("POST", "/api/segments", &definition.to_string());
        assert!(answer.status < 300, "{}", answer.text());
    }
}

#[test]
#[ignore = "full size: cargo full r14"]
fn r14_one_hot_person() {
    let lasts = Duration::from_secs(30);
    let measure = |round: u64, people: u64| {
        let (_directory, data) = directory();
        let server = Server::start(&data);
        define(&server, 20);
        server.settle();
        let ended = AtomicBool::new(false);
        let pace = Pace { connections: 4, batch: 100, people, events_per_s: 20_000 };
        let (sent, (mut acknowledged, mut seen)) = std::thread::scope(|scope| {
            let load = scope.spawn(|| pace.run(&server, 0, &ended));
            let others = others(&server, round, lasts, &ended);
            (load.join().expect("the load"), others)
        });
        let p99 = (percentile(&mut acknowledged, 99), percentile(&mut seen, 99));
        println!(
            "20,000 events/s of {people} people ({} sent): others acknowledged after {} us, seen after {} us (p99)",
            sent, p99.0, p99.1
        );
        p99
    };
    let spread = measure(1, 10_000);
    let hot = measure(2, 1);
    assert!(hot.0 <= 2 * spread.0.max(2_000) && hot.1 <= 2 * spread.1.max(5_000), "{hot:?} {spread:?}");
}

/// Resident memory in KiB and open descriptors of a process.
fn size_of(process: u32) -> (u64, usize) {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.split_ascii_whitespace().next()?.parse().ok()).unwrap_or_default();
    let descriptors = std::fs::read_dir(Path::new("/proc").join(process.to_string()).join("fd"));
    (kib, descriptors.map_or(0, Iterator::count))
}

/// Growth by the hour, in hundredths of the mean, by least squares.
fn slope_percent_per_hour(samples: &[(f64, f64)]) -> f64 {
    let count = samples.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| samples.iter().map(of).sum::<f64>() / count;
    let (time, size) = (mean(|sample| sample.0), mean(|sample| sample.1));
    let over: f64 = samples.iter().map(|(at, kib)| (at - time) * (kib - size)).sum();
    let under: f64 = samples.iter().map(|(at, _)| (at - time).powi(2)).sum();
    over / under * 3_600.0 / size * 100.0
}

/// Ten minutes, or as many as `IMPRESARIO_TEST_MINUTES` says. What grows with what is kept has its limits
/// set low enough to be reached before the measure begins: it is not what this is about.
#[test]
#[ignore = "full size: cargo full r19"]
fn r19_soak_at_half_load() {
    let minutes: u64 = std::env::var("IMPRESARIO_TEST_MINUTES").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    let (_directory, data) = directory();
    let server = Server::start_with(&data, &[("IMPRESARIO_STORAGE_MESSAGE_IDS_MAX", "1000000")]);
    define(&server, 100);
    server.settle();
    let flat_out = AtomicBool::new(false);
    let full = Pace { connections: 8, batch: 100, people: 20_000, events_per_s: 10_000_000 };
    let (most, took) = std::thread::scope(|scope| {
        let begin = Instant::now();
        let load = scope.spawn(|| full.run(&server, 0, &flat_out));
        std::thread::sleep(Duration::from_secs(10));
        flat_out.store(true, Ordering::Release);
        let most = load.join().expect("the load");
        server.settle();
        (most, begin.elapsed())
    });
    let events_per_s = (most as f64 / took.as_secs_f64() / 2.0) as u64;
    println!("half of the load: {events_per_s} events/s");
    let half = Pace { events_per_s, ..full };
    let ended = AtomicBool::new(false);
    let mut samples = Vec::new();
    std::thread::scope(|scope| {
        let load = scope.spawn(|| half.run(&server, 100, &ended));
        let begin = Instant::now();
        let lasts = Duration::from_secs(minutes * 60);
        while begin.elapsed() < lasts {
            std::thread::sleep(Duration::from_secs(5));
            let (kib, descriptors) = size_of(server.process());
            samples.push((begin.elapsed().as_secs_f64(), kib as f64, descriptors));
        }
        ended.store(true, Ordering::Release);
        println!("{} events", load.join().expect("the load"));
    });
    let later = samples.get(samples.len() * 2 / 5..).unwrap_or_default();
    let memory: Vec<_> = later.iter().map(|(at, kib, _)| (*at, *kib)).collect();
    let slope = slope_percent_per_hour(&memory);
    let descriptors: Vec<_> = later.iter().map(|(_, _, descriptors)| *descriptors).collect();
    let (least, most) = (descriptors.iter().min(), descriptors.iter().max());
    println!(
        "memory {} MiB, {slope:.2} % an hour; {least:?} to {most:?} descriptors",
        memory.last().map_or(0.0, |sample| sample.1 / 1_024.0)
    );
    assert!(most.zip(least).is_some_and(|(most, least)| most - least <= 4), "{descriptors:?}");
    assert!(slope < 1.0, "{slope} % an hour: {memory:?}");
}
