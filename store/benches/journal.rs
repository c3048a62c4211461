//! Entries a second through the group-committing writer on sled, every acknowledgement synced, and
//! read back; in the same run, as a yardstick, the same bodies appended to a file that is synced as
//! often. Prints one JSON object.
//!
//! `cargo bench -p impresario-store --bench journal [-- ENTRIES [THREADS [AHEAD [DIRECTORY]]]]`

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use bytes::Bytes;
use impresario_store::{
    Commit, Durability, Engine, Journal, JournalLimits, NewEntry, OUTSIDE, PendingEffect, SledEngine, SledOptions,
    StoreError, Writer, WriterEvents,
};

const BODY_BYTES: usize = 282;
const COMMIT_ENTRIES: usize = 100;

struct Quiet;

impl WriterEvents for Quiet {
    fn now_ms(&self) -> i64 {
        1_777_881_600_000
    }
    fn appended(&self) {}
    fn effects_asked(&self, _: usize) {}

    fn effects(&self, _: Vec<PendingEffect>) {}
    fn failed(&self, error: &StoreError) {
        panic!("the journal has stopped: {error}");
    }
}

/// A `Product Viewed` of a shop: what repeats in it and what does not is as in real ones.
fn body(number: u64) -> Bytes {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut text = format!(
        "\u{1}{{\"type\":\"track\",\"event\":\"Product Viewed\",\"userId\":\"customer-{}\",\"messageId\":\"{mixed:016x}{number:016x}\",\
         \"timestamp\":\"2026-05-04T08:{:02}:{:02}.{:03}Z\",\"properties\":{{\"product_id\":\"SHOE-{}\",\"price\":{}.{:02},\
         \"currency\":\"EUR\",\"category\":\"shoes\",\"path\":\"/shoes/",
        mixed % 100_000,
        number % 60,
        mixed % 60,
        mixed % 1000,
        mixed % 5_000,
        mixed % 200,
        mixed % 100
    );
    let mut random = mixed | 1;
    while text.len() < BODY_BYTES - 3 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        text.push(char::from(b'a' + (random % 26) as u8));
    }
    text.push_str("\"}}");
    Bytes::from(text)
}

#[expect(clippy::disallowed_methods, reason = "a bench measures")]
fn now() -> Instant {
    Instant::now()
}

/// Appends as many bodies to a file, synced after each group; how long it took.
fn append_file(directory: &Path, entries: u64, groups: u64) -> Duration {
    let mut file = File::create(directory.join("appended")).expect("a file");
    let bodies: Vec<Bytes> = (0..10_000).map(body).collect();
    let start = now();
    let mut group = Vec::new();
    for number in 1..=entries {
        group.extend_from_slice(&bodies[(number % 10_000) as usize]);
        if number % (entries / groups.max(1)).max(1) == 0 || number == entries {
            file.write_all(&group).and_then(|()| file.sync_data()).expect("a synced file");
            group.clear();
        }
    }
    start.elapsed()
}

#[expect(clippy::print_stdout, reason = "the bench's one line of output")]
fn main() {
    let mut args = std::env::args().skip(1).filter(|arg| !arg.starts_with("--"));
    let mut number = |usual: usize| args.next().and_then(|arg| arg.parse().ok()).unwrap_or(usual);
    // Without `--bench` this is a test that it runs at all.
    let usual = if std::env::args().any(|arg| arg == "--bench") { 2_000_000 } else { 10_000 };
    let (entries, threads, ahead) = (number(usual), number(8), number(4));
    let directory = args.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = tempfile::tempdir_in(directory).expect("a directory");
    let options = SledOptions { free_min_percent: 0, ..SledOptions::default() };
    let engine = Arc::new(SledEngine::open(directory.path(), &options).expect("an engine"));
    let journal = Journal::open(Arc::<SledEngine>::clone(&engine), JournalLimits::default()).expect("a journal");
    let topic = journal.name("event.tracked").expect("a name");
    let commits = entries / COMMIT_ENTRIES / threads;
    let prepared: Vec<Vec<Vec<Bytes>>> = (0..threads)
        .map(|thread| {
            let first = thread * commits * COMMIT_ENTRIES + 1;
            let bodies =
                (first..first + commits * COMMIT_ENTRIES).map(|number| body(number as u64)).collect::<Vec<_>>();
            bodies.chunks(COMMIT_ENTRIES).map(<[Bytes]>::to_vec).collect()
        })
        .collect();
    let writer = Arc::new(Writer::start(Arc::clone(&journal), Quiet).expect("a writer"));
    let start = now();
    let workers: Vec<_> = prepared
        .into_iter()
        .enumerate()
        .map(|(thread, commits)| {
            let writer = Arc::clone(&writer);
            std::thread::spawn(move || {
                let (reply, answers) = mpsc::channel();
                let mut took = Vec::with_capacity(commits.len());
                let mut waiting = 0;
                let mut take = || {
                    let answer: Duration = answers.recv().expect("an answer");
                    took.push(answer);
                };
                let mut id = (thread as u64) << 40;
                for bodies in commits {
                    let mut commit = Commit::new(OUTSIDE);
                    commit.durability = Durability::Synced;
                    commit.entries = bodies
                        .into_iter()
                        .map(|body| {
                            id += 1;
                            let dedup = id.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
                            NewEntry {
                                partition: (id % 64) as u16,
                                topic,
                                cause: 0,
                                dedup,
                                fingerprint: 0,
                                body,
                                decoded: None,
                            }
                        })
                        .collect();
                    let reply = reply.clone();
                    let sent = now();
                    let answered = Box::new(move |outcome: Result<_, StoreError>| {
                        outcome.expect("a receipt");
                        let _ = reply.send(sent.elapsed());
                    });
                    writer.send(commit, Some(answered)).expect("a place in the queue");
                    waiting += 1;
                    if waiting == ahead {
                        take();
                        waiting -= 1;
                    }
                }
                (0..waiting).for_each(|_| take());
                took
            })
        })
        .collect();
    let mut took: Vec<Duration> = workers.into_iter().flat_map(|worker| worker.join().expect("a thread")).collect();
    let wrote = start.elapsed();
    let (groups, sync_micros) = writer.counters();
    writer.close();
    took.sort_unstable();
    let at = |percent: usize| took.get(took.len() * percent / 100).map_or(0.0, Duration::as_secs_f64) * 1e3;
    let head = journal.head();
    let usage = journal.usage().expect("sizes");
    journal.close().expect("a close");
    drop((writer, journal, engine));
    let appended = append_file(directory.path(), head, groups);

    let engine: Arc<dyn Engine> = Arc::new(SledEngine::open(directory.path(), &options).expect("an engine"));
    let opening = now();
    let journal = Journal::open(engine, JournalLimits::default()).expect("a journal");
    let opened = opening.elapsed();
    let start = now();
    let mut next = 1;
    let mut bytes = 0;
    while let Some(chunk) = journal.chunk(next).expect("a chunk") {
        bytes += chunk.entries.iter().map(|entry| entry.body.len()).sum::<usize>();
        next = chunk.last() + 1;
    }
    let read = start.elapsed();
    assert_eq!(next - 1, head, "all is read back");
    assert_eq!(bytes as u64, head * BODY_BYTES as u64);
    let start = now();
    let report = journal.verify(|_| {}).expect("a report");
    let verified = start.elapsed();
    assert!(report.damage.is_empty());
    let per_s = |time: Duration| (head as f64 / time.as_secs_f64()).round();
    println!(
        "{{\"entries\":{head},\"threads\":{threads},\"ahead\":{ahead},\"commit_entries\":{COMMIT_ENTRIES},\
         \"written_per_s\":{},\"ack_ms_p50\":{:.2},\"ack_ms_p99\":{:.2},\"groups\":{groups},\"sync_s\":{:.2},\
         \"total_s\":{:.2},\"append_file_per_s\":{},\"file_per_body_bytes\":{:.2},\"live_per_body_bytes\":{:.2},\"opened_ms\":{:.1},\"read_per_s\":{},\"verified_per_s\":{}}}",
        per_s(wrote),
        at(50),
        at(99),
        sync_micros as f64 / 1e6,
        wrote.as_secs_f64(),
        per_s(appended),
        usage.file_bytes as f64 / bytes as f64,
        usage.live_bytes as f64 / bytes as f64,
        opened.as_secs_f64() * 1e3,
        per_s(read),
        per_s(verified)
    );
}
