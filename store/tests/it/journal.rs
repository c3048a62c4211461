//! One order, whole commits, cursors, names.

use std::sync::Arc;

use bytes::Bytes;
use impresario_store::{
    Commit, CursorMove, Durability, EffectId, Journal, JournalLimits, KEY_BYTES_MAX, MemoryEngine, NameId, NewEffect,
    OUTSIDE, Op, PARTITIONS, StoreError, TimerKey, TimerOp,
};

use crate::support::{NOON, bodies, commit, each, entry, in_memory, noise, on_sled, open, put};

#[test]
fn entries_keep_their_order_and_their_fields() {
    let directory = tempfile::tempdir().expect("a directory");
    let long = noise(1, 1 << 20);
    let write = |journal: &Journal| {
        let (topic, agent) = (journal.name("topic").expect("a name"), journal.name("agent").expect("a name"));
        put(journal, NOON, commit(topic, ["one", "two"]));
        let mut third = Commit::new(agent);
        third.entries = vec![entry(topic, &long), entry(topic, "")];
        third.entries[0].cause = 2;
        third.entries[0].dedup = u64::MAX;
        third.entries[1].partition = PARTITIONS - 1;
        let receipt = put(journal, NOON - 5, third);
        assert_eq!((receipt.first, receipt.last, receipt.at_ms), (3, 4, NOON), "time never goes back");
        put(journal, NOON + 7, commit(topic, (0..300).map(|number| noise(number, 200))));
        (topic, agent)
    };
    let check = |journal: &Journal, (topic, agent): (NameId, NameId)| {
        let seen = each(journal, |entry| {
            (entry.seq, entry.at_ms, entry.partition, entry.topic, entry.writer, entry.cause, entry.dedup)
        });
        assert_eq!(seen[0], (1, NOON, 3, topic, OUTSIDE, 0, 0));
        assert_eq!(seen[2], (3, NOON, 3, topic, agent, 2, u64::MAX));
        assert_eq!(seen[3], (4, NOON, PARTITIONS - 1, topic, agent, 0, 0));
        assert_eq!(seen[303], (304, NOON + 7, 3, topic, OUTSIDE, 0, 0));
        let bodies = bodies(journal);
        assert!(bodies[2] == long && bodies[3].is_empty() && bodies[303] == noise(299, 200));
        assert_eq!((journal.head(), journal.last_at()), (304, Some(NOON + 7)));
        assert!(journal.chunk(0).expect("a look").is_none() && journal.chunk(305).expect("a look").is_none());
        assert_eq!(journal.verify(|_| {}).expect("a report").damage, Vec::new());
    };
    let (_, journal) = in_memory();
    let names = write(&journal);
    check(&journal, names);
    let journal = on_sled(directory.path());
    let names = write(&journal);
    check(&journal, names);
    journal.close().expect("a close");
    drop(journal);
    check(&on_sled(directory.path()), names);
}

#[test]
fn reading_far_behind_the_tail_gives_the_same() {
    let engine = Arc::new(MemoryEngine::new());
    let limits = JournalLimits { tail_entries_max: 10, tail_bytes_max: 500, ..JournalLimits::default() };
    let journal = Journal::open(engine, limits).expect("a journal");
    let topic = journal.name("t").expect("a name");
    for number in 0..200 {
        put(&journal, NOON, commit(topic, [noise(number, 100)]));
    }
    assert_eq!(bodies(&journal), (0..200).map(|number| noise(number, 100)).collect::<Vec<_>>());
}

#[test]
fn the_most_extreme_instants_can_be_told_apart() {
    let (engine, journal) = in_memory();
    let topic = journal.name("t").expect("a name");
    let mut first = commit(topic, ["1901"]);
    let key = TimerKey { due_ms: i64::MAX, seq: 0, writer: topic.0, index: 0 };
    first.timers.push(TimerOp::Set { key, partition: 0, topic, body: Bytes::from("the last instant") });
    put(&journal, i64::MIN + 1, first);
    put(&journal, i64::MAX, commit(topic, ["2999"]));
    for journal in [journal, open(Arc::new(engine.fork()))] {
        assert_eq!(each(&journal, |entry| entry.at_ms), [i64::MIN + 1, i64::MAX, i64::MAX]);
        assert_eq!(bodies(&journal), ["1901", "the last instant", "2999"]);
    }
}

/// Everything about a commit that is refused, refused alone, with no trace of it.
#[test]
fn a_refused_commit_leaves_no_trace() {
    let limits = || JournalLimits { body_bytes_max: 100, commit_entries_max: 3, ..JournalLimits::default() };
    let engine = Arc::new(MemoryEngine::new());
    let journal = Journal::open(Arc::<MemoryEngine>::clone(&engine), limits()).expect("a journal");
    let topic = journal.name("t").expect("a name");
    put(&journal, NOON, commit(topic, ["before"]));
    let id = |seq| EffectId { seq, writer: 1, index: 0 };
    let effect = |seq, length| NewEffect { id: id(seq), partition: 0, topic, body: vec![0; length].into() };
    let timer = |seq, partition, length| TimerOp::Set {
        key: TimerKey { due_ms: NOON + 5, seq, writer: 1, index: 0 },
        partition,
        topic,
        body: vec![0; length].into(),
    };
    let full = || {
        let mut full = commit(topic, ["first", "second"]);
        full.entries[0].dedup = 99;
        full.cursor = Some(CursorMove { worker: topic, expect: 0, to: 1 });
        full.timers.push(timer(1, 0, 1));
        full.effects.push(effect(1, 1));
        full.writes.push(Journal::state_write(topic, b"k", 1, b"state"));
        full.request = Some([7; 16]);
        full
    };
    type Spoil<'a> = (&'static str, Box<dyn Fn(&mut Commit) + 'a>);
    let spoils: Vec<Spoil<'_>> = vec![
        ("partition 64 of 64", Box::new(|c| c.entries[1].partition = PARTITIONS)),
        ("cause 9999 is not before", Box::new(|c| c.entries[1].cause = 9_999)),
        ("entry body of 101 bytes", Box::new(|c| c.entries[1].body = vec![0; 101].into())),
        ("number of entries of a commit of 4", Box::new(|c| c.entries.extend([entry(topic, ""), entry(topic, "")]))),
        (
            "cursor 0 of worker 1, expected 1",
            Box::new(|c| c.cursor = Some(CursorMove { worker: topic, expect: 1, to: 1 })),
        ),
        ("can't go from 0 to 9999", Box::new(|c| c.cursor = Some(CursorMove { worker: topic, expect: 0, to: 9_999 }))),
        ("a timer's cause 9999", Box::new(|c| c.timers.push(timer(9_999, 0, 1)))),
        ("partition 64 of 64", Box::new(|c| c.timers.push(timer(1, PARTITIONS, 1)))),
        ("timer body of 101 bytes", Box::new(|c| c.timers.push(timer(1, 0, 101)))),
        ("an effect's cause 9999", Box::new(|c| c.effects.push(effect(9_999, 1)))),
        ("effect body of 101 bytes", Box::new(|c| c.effects.push(effect(1, 101)))),
        ("effect 1-1-0 is not in the outbox", Box::new(|c| c.settled.push(id(1)))),
        ("outside of the space of states", Box::new(|c| c.writes.push(Op::Delete(b"j-block".to_vec())))),
        (
            "key of a state of 1028 bytes",
            Box::new(|c| c.writes.push(Journal::state_delete(topic, &[0; KEY_BYTES_MAX + 1]))),
        ),
    ];
    for (why, spoil) in spoils {
        let mut spoilt = full();
        spoil(&mut spoilt);
        let (mut answers, effects) =
            journal.commit(NOON, vec![commit(topic, ["left"]), spoilt, commit(topic, ["right"])]).expect("a group");
        assert!(answers.pop().expect("an answer").is_ok() && effects.is_empty());
        let refused = answers.pop().expect("an answer").expect_err(why).to_string();
        assert!(refused.contains(why), "{refused}");
        assert!(answers.pop().expect("an answer").is_ok());
        assert_eq!((journal.cursor(topic), journal.timers_len(), journal.dedup_len()), (0, 0, 0), "{why}");
        assert!(journal.state(topic, b"k").expect("a state").is_none(), "{why}");
    }
    journal.sync().expect("a sync");
    let (receipt, effects) = journal.commit_one(NOON, full()).expect("a receipt");
    assert_eq!((receipt.last - receipt.first, receipt.duplicates, receipt.repeated, effects.len()), (1, 0, None, 1));
    let after = Journal::open(Arc::new(engine.fork()), limits()).expect("a journal");
    let expected: Vec<&str> = [&["before"][..], &["left", "right"].repeat(14), &["first", "second"]].concat();
    assert_eq!(bodies(&after), expected);
    assert_eq!(after.verify(|_| {}).expect("a report").damage, Vec::new());
    assert_eq!((after.cursor(topic), after.timers_len(), after.pending_effects().expect("effects").len()), (1, 1, 1));
}

#[test]
fn of_two_steps_on_one_cursor_the_second_is_refused() {
    let (engine, journal) = in_memory();
    let (topic, worker) = (journal.name("t").expect("a name"), journal.name("w").expect("a name"));
    put(&journal, NOON, commit(topic, ["a", "b", "c"]));
    let step = |expect, to, body: &str| {
        let mut step = commit(topic, [body]);
        step.cursor = Some(CursorMove { worker, expect, to });
        step
    };
    let (answers, _) =
        journal.commit(NOON, vec![step(0, 2, "mine"), step(0, 2, "again"), step(2, 3, "on")]).expect("one");
    let kept: Vec<_> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(kept, [true, false, true]);
    assert!(matches!(answers[1], Err(StoreError::Conflict { .. })));
    journal.sync().expect("a sync");
    let journal = open(Arc::new(engine.fork()));
    assert_eq!(bodies(&journal), ["a", "b", "c", "mine", "on"]);
    assert_eq!(journal.cursor(worker), 3);
    assert!(journal.commit_one(NOON, step(2, 3, "late")).is_err());
}

#[test]
fn names_keep_their_numbers() {
    let (engine, journal) = in_memory();
    let names = ["one", "two", "three"].map(|name| journal.name(name).expect("a name"));
    assert_eq!(names, [NameId(1), NameId(2), NameId(3)]);
    assert_eq!(journal.name("two").expect("a name"), NameId(2));
    assert_eq!((journal.known_name("three"), journal.known_name("four")), (Some(NameId(3)), None));
    assert!(matches!(journal.name(&"n".repeat(257)), Err(StoreError::TooLarge { .. })));
    assert_eq!(open(Arc::new(engine.fork())).known_name("one"), None, "not synced, not used: lost");
    put(&journal, NOON, commit(names[2], ["x"]));
    let journal = open(Arc::new(engine.fork()));
    assert_eq!(journal.name_of(NameId(3)), "three");
    assert_eq!(journal.name_of(OUTSIDE), "outside");
    assert_eq!(journal.name("four").expect("a name"), NameId(4));
}

#[test]
fn written_entries_are_read_at_once_and_synced_ones_stay() {
    let (engine, journal) = in_memory();
    let topic = journal.name("t").expect("a name");
    put(&journal, NOON, commit(topic, ["synced"]));
    let mut written = commit(topic, ["written"]);
    written.durability = Durability::Written;
    put(&journal, NOON, written);
    assert_eq!(bodies(&journal), ["synced", "written"]);
    assert_eq!(bodies(&open(Arc::new(engine.fork()))), ["synced"], "a power cut");
    assert_eq!(bodies(&open(Arc::new(engine.snapshot()))), ["synced", "written"], "a kill");
    journal.close().expect("a close");
    assert_eq!(bodies(&open(Arc::new(engine.fork()))), ["synced", "written"]);
    assert!(matches!(journal.commit_one(NOON, commit(topic, ["x"])), Err(StoreError::Closed)));
}

/// Held back, commits are read as ever, a sync makes them durable, and little memory holds them.
#[test]
fn commits_that_wait_for_others_are_read_at_once() {
    let engine = Arc::new(MemoryEngine::new());
    let limits = JournalLimits { tail_bytes_max: 3_000, group_bytes_max: 2_000, ..JournalLimits::default() };
    let journal = Journal::open(Arc::<MemoryEngine>::clone(&engine), limits).expect("a journal");
    let topic = journal.name("t").expect("a name");
    journal.hold_back(1_000);
    for number in 0..100 {
        let mut written = commit(topic, [noise(number, 100)]);
        written.durability = Durability::Written;
        written.writes.push(Journal::meta_write(&format!("line/{number:03}"), b"read"));
        put(&journal, NOON, written);
        assert_eq!(bodies(&journal).len() as u64, number + 1, "nothing is out of the tail before the engine has it");
    }
    let mut seen = 0;
    let visited = journal.metas("line/", |_, _| {
        seen += 1;
        Ok::<_, StoreError>(())
    });
    visited.expect("values");
    assert_eq!((seen, journal.meta("line/099").expect("a value")), (100, Some(Bytes::from("read"))));
    assert_eq!(open(Arc::new(engine.fork())).head(), 0, "not synced");
    journal.sync().expect("a sync");
    let after = open(Arc::new(engine.fork()));
    assert_eq!(bodies(&after), (0..100).map(|number| noise(number, 100)).collect::<Vec<_>>());
    assert_eq!(after.verify(|_| {}).expect("a report").damage, Vec::new());
}
