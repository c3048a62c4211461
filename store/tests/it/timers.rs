//! Timers: durable, in the order of (instant, entry), before whatever comes later.

use std::sync::Arc;

use bytes::Bytes;
use impresario_store::{Commit, Engine, Journal, JournalLimits, MemoryEngine, NameId, TimerKey, TimerOp};

use crate::support::{NOON, bodies, commit, each, in_memory, open, put};

fn key(due_ms: i64, seq: u64, index: u16) -> TimerKey {
    TimerKey { due_ms, seq, writer: 1, index }
}

fn set(topic: NameId, key: TimerKey, body: &str) -> TimerOp {
    TimerOp::Set { key, partition: 5, topic, body: Bytes::copy_from_slice(body.as_bytes()) }
}

fn start(journal: &Journal) -> NameId {
    let topic = journal.name("t").expect("a name");
    put(journal, NOON, commit(topic, ["first", "second"]));
    topic
}

fn set_all(journal: &Journal, topic: NameId) {
    let mut setting = commit(topic, ["set"]);
    setting.timers = vec![
        set(topic, key(NOON + 20, 2, 0), "20 of 2"),
        set(topic, key(NOON + 10, 2, 1), "10 of 2, second"),
        set(topic, key(NOON + 10, 2, 0), "10 of 2"),
        set(topic, key(NOON + 10, 1, 7), "10 of 1"),
        set(topic, key(NOON - 9, 2, 0), "overdue"),
        set(topic, key(NOON + 15, 1, 0), "cancelled"),
        TimerOp::Cancel(key(NOON + 15, 1, 0)),
        TimerOp::Cancel(key(NOON + 15, 1, 99)),
    ];
    put(journal, NOON, setting);
}

#[test]
fn timers_fire_in_order_before_later_entries() {
    let (engine, journal) = in_memory();
    let topic = start(&journal);
    set_all(&journal, topic);
    for journal in [open(Arc::new(engine.fork())), journal] {
        assert_eq!((journal.timers_len(), journal.next_due()), (5, Some(NOON - 9)));
        let order: Vec<_> =
            journal.timers().into_iter().map(|(key, _)| (key.due_ms - NOON, key.seq, key.index)).collect();
        assert_eq!(order, [(-9, 2, 0), (10, 1, 7), (10, 2, 0), (10, 2, 1), (20, 2, 0)]);
        let receipt = put(&journal, NOON + 12, commit(topic, ["at 12"]));
        assert_eq!((receipt.first, receipt.at_ms), (8, NOON + 12));
        put(&journal, NOON + 30, commit(topic, ["at 30"]));
        let seen = each(&journal, |entry| (entry.at_ms - NOON, entry.cause, entry.partition));
        assert_eq!(seen[3..], [(0, 2, 5), (10, 1, 5), (10, 2, 5), (10, 2, 5), (12, 0, 3), (20, 2, 5), (30, 0, 3)]);
        let order = ["overdue", "10 of 1", "10 of 2", "10 of 2, second", "at 12", "20 of 2", "at 30"];
        assert_eq!(bodies(&journal)[3..], order);
        assert_eq!((journal.timers_len(), journal.next_due()), (0, None));
        assert_eq!(journal.verify(|_| {}).expect("a report").damage, Vec::new());
    }
}

#[test]
fn a_fired_or_cancelled_timer_never_comes_back() {
    let (engine, journal) = in_memory();
    let topic = start(&journal);
    set_all(&journal, topic);
    journal.commit(NOON + 10, Vec::new()).expect("time passes");
    journal.sync().expect("a sync");
    let again = Arc::new(engine.fork());
    assert_eq!(again.scan(b"t", Some(b"u"), 99).expect("a scan").len(), 1, "their rows are gone");
    let journal = open(again);
    assert_eq!(journal.timers_len(), 1);
    let mut cancel = Commit::new(topic);
    cancel.timers.push(TimerOp::Cancel(key(NOON + 20, 2, 0)));
    put(&journal, NOON + 11, cancel);
    put(&journal, NOON + 99, commit(topic, ["end"]));
    assert_eq!(bodies(&journal)[3..], ["overdue", "10 of 1", "10 of 2", "10 of 2, second", "end"]);
}

#[test]
fn a_timer_set_again_counts_once() {
    let (_, journal) = in_memory();
    let topic = start(&journal);
    for body in ["old", "new"] {
        let mut setting = Commit::new(topic);
        setting.timers.push(set(topic, key(NOON + 5, 1, 0), body));
        put(&journal, NOON, setting);
    }
    put(&journal, NOON + 5, commit(topic, ["end"]));
    assert_eq!(bodies(&journal)[2..], ["new", "end"]);
}

/// A clock that jumps by years: many groups, one order, and the entry that brought it comes last.
#[test]
fn a_jump_of_the_clock_fires_everything_in_bounded_groups() {
    let limits = JournalLimits { timers_per_group_max: 100, ..JournalLimits::default() };
    let engine = Arc::new(MemoryEngine::new());
    let journal = Journal::open(Arc::<MemoryEngine>::clone(&engine), limits).expect("a journal");
    let topic = start(&journal);
    let mut setting = Commit::new(topic);
    for index in 0..1_050_u16 {
        let due = NOON + 86_400_000 * i64::from(index % 700);
        setting.timers.push(set(topic, key(due, 1, index), &index.to_string()));
    }
    put(&journal, NOON - 1, setting);
    put(&journal, NOON + 86_400_000 * 10_000, commit(topic, ["the day after"]));
    assert_eq!(bodies(&journal).last().expect("entries"), "the day after");
    let fired = each(&journal, |entry| (entry.at_ms, entry.cause));
    assert!(fired.is_sorted_by_key(|(at_ms, _)| *at_ms));
    assert_eq!(fired.iter().filter(|(_, cause)| *cause == 1).count(), 1_050);
    let mut next = 3;
    while next < journal.head() {
        let chunk = journal.chunk(next).expect("a look").expect("a chunk");
        assert!(chunk.entries.len() <= 100, "{} in one group", chunk.entries.len());
        next = chunk.last() + 1;
    }
    assert_eq!(engine.scan(b"t", Some(b"u"), 9_999).expect("a scan").len(), 0);
}

/// What was overdue when it was set fires at that instant, whether there was a crash in between or not.
#[test]
fn an_overdue_timer_has_the_same_instant_after_a_crash() {
    let (engine, journal) = in_memory();
    let topic = start(&journal);
    let mut setting = Commit::new(topic);
    setting.durability = impresario_store::Durability::Synced;
    setting.timers.push(set(topic, key(NOON + 5, 1, 0), "overdue"));
    put(&journal, NOON + 50, setting);
    for journal in [open(Arc::new(engine.fork())), journal] {
        put(&journal, NOON + 90, commit(topic, ["end"]));
        assert_eq!(each(&journal, |entry| entry.at_ms - NOON), [0, 0, 50, 90]);
    }
}
