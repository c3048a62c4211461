//! What was stored once is read for ever: files of every past format, and the rules of the codec.
//!
//! `IMPRESARIO_BLESS=1` writes the fixture of a format that has none yet; one that is there is never
//! written again.

use std::{collections::BTreeSet, fs, path::PathBuf, sync::Arc};

use bytes::Bytes;
use impresario_store::{
    Commit, CursorMove, Durability, EffectId, Engine, Journal, JournalLimits, MemoryEngine, NewEffect, Op, StoreError,
    TimerKey, TimerOp, WriteBatch, block, codec,
};
use serde::{Deserialize, Serialize};

use crate::support::{NOON, bodies, commit, each, entry, open, put};

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().map(|digit| digit.to_digit(16).expect("a hexadecimal digit") as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// The lines of a fixture; `make` where it is to be made.
fn lines(name: &str, make: impl FnOnce() -> Vec<String>) -> Vec<String> {
    let path = fixture(name);
    if !path.exists() && std::env::var_os("IMPRESARIO_BLESS").is_some() {
        fs::write(&path, make().join("\n") + "\n").expect("a write");
    }
    fs::read_to_string(&path).expect("a fixture").lines().map(str::to_owned).collect()
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Visit {
    page: String,
    seconds: u32,
    tags: Vec<String>,
}

fn visit() -> Visit {
    Visit { page: "/shoes/ł".into(), seconds: 70_000, tags: vec!["a".into(), String::new()] }
}

fn key(index: u16) -> TimerKey {
    TimerKey { due_ms: NOON + 86_400_000, seq: 2, writer: 2, index }
}

/// One of everything that is ever stored.
fn one_of_everything(journal: &Journal) {
    let (topic, agent) = (journal.name("page.visited").expect("a name"), journal.name("pacing").expect("a name"));
    let mut first = commit(topic, (0..40).map(|number| codec::encode(1, &(number, "a visit")).expect("a body")));
    first.entries.push(entry(topic, codec::encode(1, &visit()).expect("a body")));
    first.entries[1].dedup = 0x0102_0304_0506_0708;
    first.request = Some(*b"sixteen bytes ok");
    put(journal, NOON, first);
    let mut step = Commit::new(agent);
    step.durability = Durability::Synced;
    step.entries = vec![entry(topic, "said")];
    step.entries[0].cause = 2;
    step.cursor = Some(CursorMove { worker: agent, expect: 0, to: 41 });
    step.timers = vec![TimerOp::Set { key: key(0), partition: 63, topic, body: "later".into() }];
    let id = EffectId { seq: 41, writer: agent.0, index: 1 };
    step.effects = vec![NewEffect { id, partition: 7, topic, body: "mail".into() }];
    step.writes = vec![
        Journal::state_write(agent, b"key", 41, b"state"),
        Journal::mark_write(agent, 40, b"shared"),
        Journal::meta_write("seed", b"0123"),
    ];
    put(journal, NOON + 1_000, step);
    journal.erase(&BTreeSet::from([5])).expect("an erasure");
}

fn rows_of_format_1() -> Vec<String> {
    lines("journal-1.hex", || {
        let engine = Arc::new(MemoryEngine::new());
        one_of_everything(&open(Arc::<MemoryEngine>::clone(&engine)));
        let rows = engine.scan(b"", None, usize::MAX).expect("rows");
        rows.into_iter().map(|(key, value)| format!("{} {}", hex(&key), hex(&value))).collect()
    })
}

fn load(rows: &[String]) -> MemoryEngine {
    let engine = MemoryEngine::new();
    let ops = rows.iter().map(|row| {
        let (key, value) = row.split_once(' ').expect("key and value");
        Op::Put(unhex(key), unhex(value).into())
    });
    let ops = ops.collect();
    engine.commit(WriteBatch { expect: Vec::new(), ops }, Durability::Synced).expect("a commit");
    engine
}

#[test]
fn a_journal_of_format_1_is_read() {
    let journal = open(Arc::new(load(&rows_of_format_1())));
    let (topic, agent) =
        (journal.known_name("page.visited").expect("a name"), journal.known_name("pacing").expect("one"));
    let report = journal.verify(|_| {}).expect("a report");
    assert_eq!((report.damage, report.entries, report.erased), (Vec::new(), 42, 1));
    assert_eq!(report.head_hash, "92ca8171becb976254ae6aae2c7997abf6927718450e33b1739956632e16699a");
    let seen =
        each(&journal, |entry| (entry.at_ms, entry.partition, entry.topic, entry.writer, entry.cause, entry.dedup));
    assert_eq!(seen[1], (NOON, 3, topic, impresario_store::OUTSIDE, 0, 0x0102_0304_0506_0708));
    assert_eq!(seen[41], (NOON + 1_000, 3, topic, agent, 2, 0));
    let read = each(&journal, |entry| codec::decode::<(i32, String)>(1, &entry.body).ok());
    assert_eq!((read[7].clone(), read[4].clone()), (Some((7, "a visit".into())), None));
    assert_eq!(codec::decode::<Visit>(1, &bodies(&journal)[40]).expect("a visit"), visit());
    assert_eq!(journal.cursor(agent), 41);
    let effects = journal.pending_effects().expect("effects");
    assert_eq!(
        (effects[0].id.to_string(), effects[0].partition, effects[0].body.as_ref()),
        ("41-2-1".into(), 7, &b"mail"[..])
    );
    // Where each key's state had a value of its own, it is folded anew.
    assert!(journal.state(agent, b"key").expect("no state").is_none() && journal.mark(agent).expect("none").is_none());
    assert_eq!(journal.meta("seed").expect("a value"), Some(Bytes::from("0123")));
    assert_eq!(journal.timers(), [(key(0), topic)]);
    let mut known = commit(topic, ["known id", "new"]);
    known.entries[0].dedup = 0x0102_0304_0506_0708;
    assert_eq!(put(&journal, NOON + 2_000, known).duplicates, 1);
    let mut asked = commit(topic, ["asked before"]);
    asked.request = Some(*b"sixteen bytes ok");
    assert_eq!(put(&journal, NOON + 2_000, asked).repeated, Some(1));
    put(&journal, key(0).due_ms, commit(topic, ["end"]));
    assert_eq!(bodies(&journal)[42..], ["new", "later", "end"]);
    assert_eq!(journal.verify(|_| {}).expect("a report").damage, Vec::new());
}

#[test]
fn a_block_of_a_newer_format_is_refused_with_both_numbers() {
    for (byte, found) in [(0, 9_u8), (1, 7)] {
        let rows: Vec<_> = rows_of_format_1();
        let rows = rows.into_iter().map(|row| {
            let Some(value) = row.strip_prefix("6a").and_then(|row| row.split_once(' ')).map(|(_, value)| value) else {
                return row;
            };
            let mut value = unhex(value);
            value[byte] = found;
            format!("{} {}", row.split_once(' ').expect("a key").0, hex(&value))
        });
        let engine = Arc::new(load(&rows.collect::<Vec<_>>()));
        let refused = Journal::open(engine, JournalLimits::default()).err().expect("a refusal");
        let known = block::BLOCK_FORMAT;
        assert!(matches!(refused, StoreError::UnknownFormat { .. }), "{refused}");
        assert!(
            refused.to_string().contains(&format!("format {found}, this program knows up to {known}")),
            "{refused}"
        );
    }
}

#[test]
fn a_body_of_version_1_is_read() {
    let stored = lines("body-1.hex", || vec![hex(&codec::encode(1, &visit()).expect("a body"))]);
    let body = unhex(&stored[0]);
    assert_eq!(body[0], 1, "the version byte");
    assert_eq!(codec::decode::<Visit>(1, &body).expect("a visit"), visit());

    #[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
    struct WithMore {
        #[serde(default = "usual")]
        channel: String,
        page: String,
        #[serde(default)]
        seconds: u64,
        #[serde(default)]
        referrer: Option<String>,
    }
    fn usual() -> String {
        "web".into()
    }
    // A field added, one dropped, one made wider: the same version.
    let more = WithMore { channel: "web".into(), page: "/shoes/ł".into(), seconds: 70_000, referrer: None };
    assert_eq!(codec::decode::<WithMore>(1, &body).expect("an older body"), more);
    // And an older program reads what the newer one writes.
    let newer = codec::encode(1, &WithMore { referrer: Some("mail".into()), ..more }).expect("a body");
    assert!(codec::decode::<Visit>(1, &newer).is_err(), "a field without default must be there");
    assert_eq!(codec::decode::<WithMore>(2, &body).expect("a raised version reads older bodies").channel, "web");
}

#[test]
fn a_body_of_a_newer_version_is_refused_with_both_numbers() {
    let refused = |body: &[u8]| codec::decode::<Visit>(3, body).expect_err("a refusal").to_string();
    assert_eq!(
        refused(&codec::encode(4, &visit()).expect("a body")),
        "the body has version 4, this program knows up to 3"
    );
    assert_eq!(refused(b""), "an empty body");
    assert!(!refused(&codec::encode(3, &7).expect("a body")).is_empty(), "another type");
    let whole = codec::encode(3, &visit()).expect("a body");
    for length in 1..whole.len() {
        assert!(codec::decode::<Visit>(3, &whole[..length]).is_err(), "cut at {length}");
    }
}
