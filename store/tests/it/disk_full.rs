//! A full disk: refused with its name, no trace, and on again once there is room.

use std::{
    fs::File,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use impresario_store::{
    Commit, CursorMove, Disk, EffectId, Journal, JournalLimits, NewEffect, SledEngine, SledOptions, StoreError, Writer,
    compact_with, free_needed_bytes,
};

use crate::support::{NOON, Owner, bodies, commit, in_memory, open, put, send, sled_options};

#[derive(Debug, Default)]
struct Small {
    free: AtomicU64,
    broken: AtomicBool,
}

impl Disk for Small {
    fn sync_data(&self, file: &File) -> std::io::Result<()> {
        if self.broken.load(Ordering::Acquire) {
            return Err(std::io::Error::other("the disk is gone"));
        }
        file.sync_data()
    }

    fn space(&self, _: &Path) -> std::io::Result<(u64, u64)> {
        Ok((self.free.load(Ordering::Acquire), 1_000))
    }
}

fn small_disk() -> (tempfile::TempDir, Arc<Small>, Arc<Journal>) {
    let directory = tempfile::tempdir().expect("a directory");
    let small = Arc::new(Small { free: AtomicU64::new(500), ..Small::default() });
    let disk: Arc<dyn Disk> = Arc::<Small>::clone(&small);
    let options = SledOptions { disk, free_min_percent: 15, ..sled_options() };
    let engine = SledEngine::open(directory.path(), &options).expect("an engine");
    (directory, small, open(Arc::new(engine)))
}

#[test]
fn writing_stops_below_fifteen_percent_and_goes_on_after() {
    let (_directory, small, journal) = small_disk();
    let topic = journal.name("t").expect("a name");
    put(&journal, NOON, commit(topic, [b"one"]));
    small.free.store(150, Ordering::Release);
    put(&journal, NOON, commit(topic, [b"two"]));
    small.free.store(149, Ordering::Release);
    let refused = journal.commit_one(NOON, commit(topic, [b"three"])).expect_err("a refusal");
    assert!(matches!(refused, StoreError::DiskFull { free_bytes: 149, needed_bytes: 150 }), "{refused}");
    assert!(matches!(journal.name("new"), Err(StoreError::DiskFull { .. })));
    assert_eq!(bodies(&journal), ["one", "two"], "reading goes on");
    small.free.store(500, Ordering::Release);
    assert_eq!(put(&journal, NOON, commit(topic, [b"four"])).first, 3);
    assert_eq!(bodies(&journal), ["one", "two", "four"]);
    assert_eq!(SledOptions::default().free_min_percent, 15);
}

#[test]
fn on_a_large_disk_four_gibibytes_are_enough() {
    const GIB: u64 = 1 << 30;
    assert_eq!(free_needed_bytes(1_000, 15), 150);
    assert_eq!(free_needed_bytes(8_000 * GIB, 15), 4 * GIB);
}

#[test]
fn a_refusal_leaves_no_trace_in_memory_either() {
    let (engine, journal) = in_memory();
    let topic = journal.name("t").expect("a name");
    let dedup = || {
        let mut commit = commit(topic, [b"one"]);
        commit.entries[0].dedup = 7;
        commit.request = Some([1; 16]);
        commit.cursor = Some(CursorMove { worker: topic, expect: 0, to: 0 });
        commit
    };
    engine.pretend_full(true);
    assert!(journal.commit_one(NOON, dedup()).is_err());
    engine.pretend_full(false);
    let receipt = put(&journal, NOON, dedup());
    assert_eq!((receipt.first, receipt.duplicates, receipt.repeated), (1, 0, None));
}

#[test]
fn the_writer_refuses_the_door_holds_agents_back_and_goes_on() {
    let (engine, journal) = in_memory();
    let topic = journal.name("t").expect("a name");
    let worker = journal.name("w/0").expect("a name");
    let owner = Owner::default();
    let writer = Writer::start(Arc::clone(&journal), owner.clone()).expect("a writer");
    send(&writer, commit(topic, [b"one"])).recv().expect("an answer").expect("a receipt");
    engine.pretend_full(true);
    let step = |expect, to, body: &'static [u8]| {
        let mut step = commit(topic, [body]);
        step.cursor = Some(CursorMove { worker, expect, to });
        step
    };
    let mut first = step(0, 1, b"step one");
    let id = EffectId { seq: 1, writer: 1, index: 0 };
    first.effects.push(NewEffect { id, partition: 0, topic, body: b"e".as_slice().into() });
    let held = [send(&writer, first), send(&writer, step(1, 1, b"step two"))];
    let barrier = send(&writer, Commit::new(worker));
    let refused = send(&writer, commit(topic, [b"door"])).recv().expect("an answer");
    assert!(matches!(refused, Err(StoreError::DiskFull { .. })), "{refused:?}");
    assert!(held.iter().all(|answer| answer.try_recv().is_err()), "agents wait");
    assert!(barrier.try_recv().is_err(), "and who waits for them");
    assert!(owner.0.effects.lock().is_empty());
    engine.pretend_full(false);
    for answer in held {
        answer.recv().expect("an answer").expect("a receipt");
    }
    barrier.recv().expect("an answer").expect("all is in");
    send(&writer, commit(topic, [b"two"])).recv().expect("an answer").expect("a receipt");
    assert_eq!(bodies(&journal), ["one", "step one", "step two", "two"]);
    assert_eq!(journal.cursor(worker), 1);
    assert_eq!(owner.0.effects.lock().len(), 1);
    assert_eq!(*owner.0.failed.lock(), None);
}

#[test]
fn a_writer_closed_on_a_full_disk_tells_those_it_held_back() {
    let (engine, journal) = in_memory();
    let topic = journal.name("t").expect("a name");
    let writer = Writer::start(Arc::clone(&journal), Owner::default()).expect("a writer");
    engine.pretend_full(true);
    let mut step = commit(topic, [b"step"]);
    step.cursor = Some(CursorMove { worker: topic, expect: 0, to: 0 });
    let answer = send(&writer, step);
    writer.close();
    assert!(matches!(answer.recv().expect("an answer"), Err(StoreError::Closed)));
    assert_eq!(journal.head(), 0);
}

#[test]
fn a_disk_that_fails_stops_the_journal_for_good() {
    let (directory, small, journal) = small_disk();
    let topic = journal.name("t").expect("a name");
    let owner = Owner::default();
    let writer = Writer::start(Arc::clone(&journal), owner.clone()).expect("a writer");
    send(&writer, commit(topic, [b"one"])).recv().expect("an answer").expect("a receipt");
    small.broken.store(true, Ordering::Release);
    let refused = send(&writer, commit(topic, [b"two"])).recv().expect("an answer");
    assert!(
        matches!(&refused, Err(StoreError::Stopped { first }) if first.contains("the disk is gone")),
        "{refused:?}"
    );
    small.broken.store(false, Ordering::Release);
    writer.close();
    assert!(matches!(journal.commit_one(NOON, commit(topic, [b"three"])), Err(StoreError::Stopped { .. })));
    assert!(matches!(journal.sync(), Err(StoreError::Stopped { .. })), "what the disk holds nobody knows");
    assert!(owner.0.failed.lock().as_ref().is_some_and(|error| error.contains("the disk is gone")));
    drop((writer, journal, owner));
    let engine = SledEngine::open(directory.path(), &sled_options()).expect("an engine");
    let journal = Journal::open(Arc::new(engine), JournalLimits::default()).expect("a journal");
    assert_eq!(bodies(&journal)[0], "one");
}

#[test]
fn without_room_for_a_copy_nothing_is_compacted() {
    let (directory, small, journal) = small_disk();
    let topic = journal.name("t").expect("a name");
    put(&journal, NOON, commit(topic, [b"kept"]));
    journal.close().expect("a close");
    drop(journal);
    let disk: Arc<dyn Disk> = Arc::<Small>::clone(&small);
    let options = SledOptions { disk, ..sled_options() };
    let refused = compact_with(directory.path(), &options).expect_err("a refusal");
    assert!(matches!(refused, StoreError::NoRoom { free_bytes: 500, .. }), "{refused}");
    assert!(!directory.path().join("sled.compacting").exists());
    small.free.store(1 << 30, Ordering::Release);
    compact_with(directory.path(), &options).expect("a compaction");
    let engine = SledEngine::open(directory.path(), &sled_options()).expect("an engine");
    assert_eq!(bodies(&open(Arc::new(engine))), ["kept"]);
}
