//! Measures 3 and 4: large values stay out of files that are never synced, and files stay in bounds.

use std::{fs, path::Path};

use bytes::Bytes;
use impresario_store::{AMPLIFICATION_ALARM, Durability, Engine, Op, SledEngine, Usage, WriteBatch, compact};

use crate::support::{NOON, Random, bodies, commit, noise, on_sled, put, sled};

fn write(engine: &SledEngine, ops: Vec<Op>, durability: Durability) {
    engine.commit(WriteBatch { expect: Vec::new(), ops }, durability).expect("a commit");
}

fn files(directory: &Path) -> Vec<String> {
    let files = fs::read_dir(directory).into_iter().flatten();
    let mut names: Vec<_> = files.map(|file| file.expect("a file").file_name().into_string().expect("text")).collect();
    names.sort();
    names
}

#[test]
fn no_value_goes_to_files_that_are_never_synced() {
    let _alone = crate::support::MUCH_WRITING.lock();
    let directory = tempfile::tempdir().expect("a directory");
    let engine = sled(directory.path());
    let mut random = Random(3);
    for number in 0..300_u64 {
        // Many of just under and just over a piece: sled writes whole pages of up to 17 of them.
        let length = [8_190, 8_191, 8_192, 8_193, 200_000, 100][random.below(6)];
        let key = (random.below(120) as u64).to_be_bytes().to_vec();
        write(&engine, vec![Op::Put(key, Bytes::from(noise(number, length)))], Durability::Written);
    }
    write(&engine, vec![Op::Put(b"last".to_vec(), Bytes::from(noise(1, 1 << 20)))], Durability::Synced);
    assert_eq!(files(&directory.path().join("sled/blobs")), Vec::<String>::new());
    drop(engine);
    assert_eq!(sled(directory.path()).get(b"last").expect("a read").map(|value| value.len()), Some(1 << 20));
    assert_eq!(files(&directory.path().join("sled/blobs")), Vec::<String>::new());
}

/// 200,000 updates of 5,000 hot records, coalesced as agents' states are: each round writes a record
/// once, however often it was touched.
#[test]
fn what_is_written_behind_keeps_the_file_small() {
    let _alone = crate::support::MUCH_WRITING.lock();
    let directory = tempfile::tempdir().expect("a directory");
    let engine = sled(directory.path());
    let mut random = Random(4);
    let mut file_bytes = u64::MAX;
    for round in 0..20 {
        let mut touched = std::collections::BTreeMap::new();
        for _ in 0..10_000 {
            touched.insert(random.below(5_000), random.next());
        }
        let ops = touched
            .into_iter()
            .map(|(key, seed)| Op::Put(format!("s{key:05}").into_bytes(), Bytes::from(noise(seed, 1_000))));
        let ops: Vec<_> = ops.collect();
        for some in ops.chunks(1_000) {
            write(&engine, some.to_vec(), Durability::Written);
        }
        engine.sync().expect("a sync");
        // sled makes room behind the writes, in its own time: what counts is what it comes back to.
        let now_bytes = engine.usage().expect("sizes").file_bytes;
        file_bytes = if round < 10 { u64::MAX } else { file_bytes.min(now_bytes) };
    }
    let live_bytes = engine.usage().expect("sizes").live_bytes;
    assert!((4_900 * 1_006..=5_000 * 1_006).contains(&live_bytes), "{live_bytes}");
    assert!(file_bytes < 6 * live_bytes, "{file_bytes} bytes for {live_bytes}");
}

#[test]
fn a_bloated_file_raises_the_alarm() {
    let usage = |file_mib: u64, live_mib: u64| Usage {
        file_bytes: file_mib << 20,
        live_bytes: live_mib << 20,
        free_bytes: 1 << 40,
        disk_bytes: 1 << 40,
    };
    assert!(!usage(600, 101).wants_compaction());
    assert!(usage(607, 101).wants_compaction());
    assert!(!usage(60, 1).wants_compaction(), "small files are let be");
    assert!(usage(100, 0).amplification() > AMPLIFICATION_ALARM);
}

#[test]
fn compaction_shrinks_the_files_and_keeps_everything() {
    let _alone = crate::support::MUCH_WRITING.lock();
    let directory = tempfile::tempdir().expect("a directory");
    let journal = on_sled(directory.path());
    let topic = journal.name("t").expect("a name");
    for number in 0..50_u64 {
        put(&journal, NOON, commit(topic, [noise(number, 30_000)]));
    }
    let whole = bodies(&journal);
    journal.close().expect("a close");
    drop(journal);
    let engine = sled(directory.path());
    for number in 0..4_000_u64 {
        let key = format!("s{}", number % 8).into_bytes();
        write(&engine, vec![Op::Put(key, Bytes::from(noise(number, 5_000)))], Durability::Written);
    }
    let rows = engine.scan(b"", None, usize::MAX).expect("a scan");
    let live = engine.usage().expect("sizes").live_bytes;
    engine.close().expect("a close");
    drop(engine);
    let compacted = compact(directory.path()).expect("a compaction");
    assert!(compacted.after_bytes < compacted.before_bytes, "{compacted:?}");
    assert_eq!(files(directory.path()), ["impresario.format", "impresario.lock", "impresario.synced", "sled"]);
    let engine = sled(directory.path());
    assert_eq!(engine.scan(b"", None, usize::MAX).expect("a scan"), rows);
    assert_eq!(engine.usage().expect("sizes").live_bytes, live);
    drop(engine);
    let journal = on_sled(directory.path());
    assert_eq!(bodies(&journal), whole);
    assert_eq!(journal.verify(|_| {}).expect("a report").damage, Vec::new());
}

#[test]
fn an_empty_directory_has_nothing_to_compact() {
    let directory = tempfile::tempdir().expect("a directory");
    assert_eq!(compact(directory.path()).expect("nothing to do"), Default::default());
    drop(sled(directory.path()));
    compact(directory.path()).expect("little to do");
    assert_eq!(sled(directory.path()).scan(b"", None, 9).expect("a scan").len(), 0);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for file in fs::read_dir(from).expect("files") {
        let file = file.expect("a file");
        if file.path().is_dir() {
            copy(&file.path(), &to.join(file.file_name()));
        } else {
            fs::copy(file.path(), to.join(file.file_name())).expect("a copy");
        }
    }
}

/// The directory as a crash at each step of a compaction leaves it.
#[test]
fn a_crash_in_a_compaction_leaves_old_or_new_data_whole() {
    let directory = tempfile::tempdir().expect("a directory");
    let journal = on_sled(directory.path());
    let topic = journal.name("t").expect("a name");
    put(&journal, NOON, commit(topic, (0..200).map(|number| noise(number, 1_000))));
    let whole = bodies(&journal);
    journal.close().expect("a close");
    drop(journal);
    let before = tempfile::tempdir().expect("a directory");
    copy(directory.path(), before.path());
    compact(directory.path()).expect("a compaction");
    let (old, new) = (before.path().join("sled"), directory.path().join("sled"));
    let none = Path::new("");
    // What lies at sled, sled.compacting, sled.before.
    let steps: [(&str, &Path, &Path, &Path); 5] = [
        ("while the new files are written", &old, &new, none),
        ("before the first rename", &old, &new, none),
        ("between the renames", none, &new, &old),
        ("between the renames, the new name lost by a power cut", none, none, &old),
        ("before the old files are removed", &new, none, &old),
    ];
    for (index, (step, at, fresh, aside)) in steps.into_iter().enumerate() {
        let crashed = tempfile::tempdir().expect("a directory");
        fs::write(crashed.path().join("impresario.format"), "1").expect("a write");
        for (from, name) in [(at, "sled"), (fresh, "sled.compacting"), (aside, "sled.before")] {
            if from != none {
                copy(from, &crashed.path().join(name));
            }
        }
        if index == 0 {
            let log = crashed.path().join("sled.compacting/db");
            let half = fs::metadata(&log).expect("the new log").len() / 2;
            fs::File::options().write(true).open(&log).and_then(|file| file.set_len(half)).expect("cut short");
        }
        let journal = on_sled(crashed.path());
        assert_eq!(bodies(&journal), whole, "{step}");
        assert_eq!(journal.verify(|_| {}).expect("a report").damage, Vec::new(), "{step}");
        assert!(!crashed.path().join("sled.compacting").exists() && !crashed.path().join("sled.before").exists());
    }
    let odd = tempfile::tempdir().expect("a directory");
    fs::write(odd.path().join("impresario.format"), "1").expect("a write");
    copy(&new, &odd.path().join("sled.compacting"));
    assert!(SledEngine::open(odd.path(), &Default::default()).is_err(), "perhaps half a copy, and nothing else");
    assert!(odd.path().join("sled.compacting").exists());
}

#[test]
fn a_damaged_journal_is_not_compacted_and_stays_as_it_was() {
    let directory = tempfile::tempdir().expect("a directory");
    let journal = on_sled(directory.path());
    let topic = journal.name("t").expect("a name");
    for number in 0..3 {
        put(&journal, NOON, commit(topic, [noise(number, 9_000)]));
    }
    journal.close().expect("a close");
    drop(journal);
    let engine = sled(directory.path());
    let second = engine.scan(b"j", Some(b"k"), 9).expect("a scan")[1].clone();
    let mut changed = second.1.to_vec();
    *changed.last_mut().expect("a byte") ^= 1;
    write(&engine, vec![Op::Put(second.0.to_vec(), changed.into())], Durability::Synced);
    let rows = engine.scan(b"", None, usize::MAX).expect("a scan");
    drop(engine);
    let refused = compact(directory.path()).expect_err("a refusal");
    assert!(refused.to_string().contains("journal entry 2 is damaged"), "{refused}");
    assert!(!directory.path().join("sled.compacting").exists());
    assert_eq!(sled(directory.path()).scan(b"", None, usize::MAX).expect("a scan"), rows);
}
