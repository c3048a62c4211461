//! A backup holds what the engine held at one commit, whatever is written while it is taken.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock, Weak},
};

use bytes::Bytes;
use impresario_store::{
    BackupProgress, BackupSummary, CursorMove, Durability, EffectId, Engine, Journal, MemoryEngine, NewEffect,
    SledEngine, StoreError, TimerKey, TimerOp, Usage, WriteBatch, backup_summary, restore,
};
use parking_lot::Mutex;

use crate::support::{NOON, bodies, commit, entry, in_memory, noise, on_sled, open, put, sled, sled_options};

type Hook = Box<dyn FnMut(&Journal) + Send>;

/// An engine that lets a test write before and after each of its scans.
#[derive(Default)]
struct Busy {
    engine: MemoryEngine,
    journal: OnceLock<Weak<Journal>>,
    hook: Mutex<Option<Hook>>,
}

impl Busy {
    fn meanwhile(&self) {
        let Some(journal) = self.journal.get().and_then(Weak::upgrade) else { return };
        let Some(mut hook) = self.hook.lock().take() else { return };
        hook(&journal);
        self.hook.lock().get_or_insert(hook);
    }
}

impl Engine for Busy {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.engine.get(key)
    }
    fn scan(&self, from: &[u8], to: Option<&[u8]>, limit: usize) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        self.meanwhile();
        let found = self.engine.scan(from, to, limit);
        self.meanwhile();
        found
    }
    fn last(&self, from: &[u8], to: Option<&[u8]>) -> Result<Option<(Bytes, Bytes)>, StoreError> {
        self.engine.last(from, to)
    }
    fn room(&self) -> Result<(), StoreError> {
        self.engine.room()
    }
    fn commit(&self, batch: WriteBatch, durability: Durability) -> Result<(), StoreError> {
        self.engine.commit(batch, durability)
    }
    fn sync(&self) -> Result<(), StoreError> {
        self.engine.sync()
    }
    fn note_synced(&self, mark: u64) -> Result<(), StoreError> {
        self.engine.note_synced(mark)
    }
    fn noted(&self) -> Result<Option<u64>, StoreError> {
        self.engine.noted()
    }
    fn usage(&self) -> Result<Usage, StoreError> {
        self.engine.usage()
    }
    fn close(&self) -> Result<(), StoreError> {
        self.engine.close()
    }
}

fn busy() -> (Arc<Busy>, Arc<Journal>) {
    let engine = Arc::new(Busy::default());
    let journal = open(Arc::<Busy>::clone(&engine));
    assert!(engine.journal.set(Arc::downgrade(&journal)).is_ok());
    (engine, journal)
}

/// The `number`th of commits that touch every space: rows that come, change, and go.
fn nth(journal: &Journal, number: u64) {
    let topic = journal.name("t").expect("a name");
    let worker = journal.name("w/0").expect("a name");
    let mut step = commit(topic, [noise(number, 200)]);
    step.entries.push(entry(topic, noise(number, 3_000)));
    step.entries[0].dedup = number + 1;
    step.request = Some(u128::from(number).to_be_bytes());
    let head = journal.head();
    step.cursor = Some(CursorMove { worker, expect: journal.cursor(worker), to: head });
    let timer =
        |number: u64| TimerKey { due_ms: NOON * 2 + (number % 7) as i64, seq: head, writer: 1, index: number as u16 };
    step.timers = vec![TimerOp::Set { key: timer(number), partition: 1, topic, body: Bytes::from(noise(number, 30)) }];
    if number > 3 {
        let gone = TimerKey { seq: head - 6, ..timer(number - 3) };
        step.timers.push(TimerOp::Cancel(gone));
    }
    let effect = |number: u64| EffectId { seq: number * 2, writer: 1, index: 0 };
    step.effects = vec![NewEffect { id: effect(number), partition: 1, topic, body: "mail".into() }];
    if number > 5 {
        step.settled = vec![effect(number - 5)];
    }
    step.writes = vec![
        Journal::meta_write("last", &number.to_be_bytes()),
        Journal::meta_write(&format!("hot/{}", number * 7_919 % 200), &noise(number, 100)),
        Journal::mark_write(worker, head, &noise(number, 50)),
    ];
    put(journal, NOON + number as i64, step);
    if number.is_multiple_of(50) {
        journal.name(&format!("name {number}")).expect("a name");
    }
}

fn rows(engine: &dyn Engine) -> Vec<(Bytes, Bytes)> {
    engine.scan(b"", None, usize::MAX).expect("rows")
}

fn place(directory: &Path) -> PathBuf {
    directory.join("a.backup")
}

fn back_up(journal: &Journal, to: &Path) -> BackupSummary {
    journal.back_up(to, &BackupProgress::default()).expect("a backup")
}

fn restored(backup: &Path, to: &Path) -> Result<BackupSummary, StoreError> {
    restore(backup, to, &sled_options(), &BackupProgress::default())
}

#[test]
fn a_backup_taken_while_others_write_is_what_was_there_at_one_commit() {
    let directory = tempfile::tempdir().expect("a directory");
    let (engine, journal) = busy();
    (0..400).for_each(|number| nth(&journal, number));
    let mut number = 400;
    *engine.hook.lock() = Some(Box::new(move |journal| {
        for _ in 0..3 {
            nth(journal, number);
            number += 1;
        }
    }));
    let summary = back_up(&journal, &place(directory.path()));
    engine.hook.lock().take();
    let written = summary.head / 2;
    assert!(written > 450 && written < 1_000_000, "{written}: it was written meanwhile");
    nth(&journal, written);
    let to = directory.path().join("restored");
    assert_eq!(restored(&place(directory.path()), &to).expect("a restore"), summary);
    assert_eq!(backup_summary(&place(directory.path())).expect("a summary"), summary);
    // The same commits again, and no backup.
    let (twin, again) = in_memory();
    (0..written).for_each(|number| nth(&again, number));
    assert_eq!(again.verify(|_| {}).expect("a report").head_hash, summary.head_hash);
    assert_eq!(rows(&sled(&to)), rows(twin.as_ref()));
    let journal = on_sled(&to);
    nth(&journal, written);
    assert_eq!(journal.verify(|_| {}).expect("a report").damage, Vec::new());
}

#[test]
fn what_is_erased_while_it_is_taken_is_not_in_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let (engine, journal) = busy();
    let topic = journal.name("t").expect("a name");
    for number in 0..200 {
        put(&journal, NOON, commit(topic, [format!("secret-{number}-of-somebody")]));
    }
    let mut scans = 0;
    *engine.hook.lock() = Some(Box::new(move |journal| {
        scans += 1;
        if scans == 4 {
            journal.erase(&BTreeSet::from([1, 7])).expect("an erasure");
        }
    }));
    let summary = back_up(&journal, &place(directory.path()));
    engine.hook.lock().take();
    assert_eq!(summary.head, 200);
    let to = directory.path().join("restored");
    restored(&place(directory.path()), &to).expect("a restore");
    let found = bodies(&on_sled(&to));
    assert_eq!((found[0].len(), found[6].len(), &found[7][..]), (0, 0, &b"secret-7-of-somebody"[..]));
    let erased = summary.rows;
    assert!(erased <= 203, "the first attempt is not in it: {erased} rows");
}

#[test]
fn one_that_ends_early_leaves_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let (engine, journal) = busy();
    (0..300).for_each(|number| nth(&journal, number));
    let progress = Arc::new(BackupProgress::default());
    let (cancel, other) = (Arc::clone(&progress), directory.path().join("other.backup"));
    *engine.hook.lock() = Some(Box::new(move |journal| {
        let second = journal.back_up(&other, &BackupProgress::default()).expect_err("one at a time");
        assert!(second.to_string().contains("another backup is under way"), "{second}");
        cancel.cancel();
    }));
    let ended = journal.back_up(&place(directory.path()), &progress).expect_err("it was cancelled");
    assert!(ended.to_string().contains("cancelled"), "{ended}");
    engine.hook.lock().take();
    assert_eq!(fs::read_dir(directory.path()).expect("files").count(), 0);
    back_up(&journal, &place(directory.path()));
    let taken = journal.back_up(&place(directory.path()), &BackupProgress::default());
    assert!(matches!(taken, Err(StoreError::Invalid(_))), "a backup is never written over");
    let nowhere = directory.path().join("no/such/place");
    assert!(matches!(journal.back_up(&nowhere, &BackupProgress::default()), Err(StoreError::Io { .. })));
}

#[test]
fn what_is_not_a_whole_backup_is_refused_and_leaves_no_data() {
    let directory = tempfile::tempdir().expect("a directory");
    let (_, journal) = in_memory();
    (0..60).for_each(|number| nth(&journal, number));
    let backup = place(directory.path());
    back_up(&journal, &backup);
    let whole = fs::read(&backup).expect("a file");
    let to = directory.path().join("restored");
    let refused = |bytes: &[u8], how: &str| {
        fs::write(&backup, bytes).expect("a write");
        let error = restored(&backup, &to).err().unwrap_or_else(|| panic!("{how} was taken for a backup"));
        assert!(!to.join("sled").exists() && !to.join("sled.restoring").exists(), "{how}");
        error
    };
    // Killed half-way, anywhere.
    for part in (0..whole.len()).step_by(whole.len() / 25).chain(whole.len() - 30..whole.len()) {
        let error = refused(&whole[..part], &format!("{part} bytes of {}", whole.len()));
        assert!(error.to_string().contains("never whole"), "{error}");
    }
    // One bit, anywhere.
    for at in (0..whole.len()).step_by(whole.len() / 40).chain(whole.len() - 20..whole.len()) {
        let mut changed = whole.clone();
        changed[at] ^= 1 << (at % 8);
        refused(&changed, &format!("a changed bit at {at} of {}", whole.len()));
    }
    let mut newer = whole.clone();
    newer[21] = 9;
    assert!(matches!(refused(&newer, "a newer format"), StoreError::UnknownFormat { found: 9, known: 1, .. }));
    assert!(refused(b"a text that somebody has put here", "a text").to_string().contains("no backup"));
    fs::write(&backup, &whole).expect("a write");
    restored(&backup, &to).expect("a restore");
    assert_eq!(on_sled(&to).head(), 120);
}

#[test]
fn only_an_empty_directory_is_restored_into() {
    let directory = tempfile::tempdir().expect("a directory");
    let backup = place(directory.path());
    let (_, journal) = in_memory();
    nth(&journal, 0);
    back_up(&journal, &backup);
    let to = directory.path().join("restored");
    fs::create_dir(&to).expect("a directory");
    fs::write(to.join("notes"), "mine").expect("a write");
    let refused = restored(&backup, &to).expect_err("a refusal");
    assert!(refused.to_string().contains("is not empty: it holds notes"), "{refused}");
    fs::remove_file(to.join("notes")).expect("a removal");
    restored(&backup, &to).expect("a restore");
    let refused = restored(&backup, &to).expect_err("a refusal");
    assert!(refused.to_string().contains("is not empty"), "{refused}");
    let held = sled(&to);
    assert!(restored(&backup, &to).is_err());
    drop(held);
    assert_eq!(on_sled(&to).head(), 2);
}

#[test]
fn a_restore_cut_short_is_not_opened_and_can_be_done_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let backup = place(directory.path());
    let (_, journal) = in_memory();
    nth(&journal, 0);
    back_up(&journal, &backup);
    let to = directory.path().join("restored");
    restored(&backup, &to).expect("a restore");
    fs::rename(to.join("sled"), to.join("sled.restoring")).expect("a rename");
    let refused = SledEngine::open(&to, &sled_options()).err().expect("a refusal");
    assert!(refused.to_string().contains("a restore into it was cut short"), "{refused}");
    restored(&backup, &to).expect("a second restore");
    let journal = on_sled(&to);
    assert_eq!(journal.head(), 2);
    nth(&journal, 1);
    journal.sync().expect("a sync");
    // What a restored directory has acknowledged is missed when it is gone, as anywhere.
    drop(journal);
    assert_eq!(sled(&to).noted().expect("a mark"), Some(4));
}

#[test]
fn an_empty_journal_has_an_empty_backup() {
    let directory = tempfile::tempdir().expect("a directory");
    let (_, journal) = in_memory();
    let summary = back_up(&journal, &place(directory.path()));
    assert_eq!((summary.head, summary.at_ms, summary.rows), (0, None, 0));
    let to = directory.path().join("restored");
    restored(&place(directory.path()), &to).expect("a restore");
    assert_eq!(on_sled(&to).head(), 0);
}
