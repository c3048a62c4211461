//! What every engine must do, asked of both.

use std::sync::Arc;

use bytes::Bytes;
use impresario_store::{Durability, Engine, KEY_BYTES_MAX, MemoryEngine, Op, StoreError, VALUE_BYTES_MAX, WriteBatch};

use crate::support::{noise, sled};

/// Runs a check on each engine.
fn on_both(check: fn(&dyn Engine)) {
    check(&MemoryEngine::new());
    let directory = tempfile::tempdir().expect("a directory");
    check(&sled(directory.path()));
}

fn put(key: &[u8], value: &[u8]) -> Op {
    Op::Put(key.to_vec(), Bytes::copy_from_slice(value))
}

fn new(key: &[u8], value: &[u8]) -> Op {
    Op::PutNew(key.to_vec(), Bytes::copy_from_slice(value))
}

fn delete(key: &[u8]) -> Op {
    Op::Delete(key.to_vec())
}

fn write(engine: &dyn Engine, ops: Vec<Op>) {
    engine.commit(WriteBatch { expect: Vec::new(), ops }, Durability::Written).expect("a commit");
}

fn get(engine: &dyn Engine, key: &[u8]) -> Option<Vec<u8>> {
    engine.get(key).expect("a read").map(|value| value.to_vec())
}

fn keys(engine: &dyn Engine, from: &[u8], to: Option<&[u8]>, limit: usize) -> Vec<Vec<u8>> {
    engine.scan(from, to, limit).expect("a scan").into_iter().map(|(key, _)| key.to_vec()).collect()
}

#[test]
fn values_come_back() {
    on_both(|engine| {
        assert_eq!(get(engine, b"a"), None);
        write(engine, vec![put(b"a", b"1"), new(b"b", b""), put(b"c", b"3")]);
        assert_eq!(get(engine, b"a"), Some(b"1".to_vec()));
        assert_eq!(get(engine, b"b"), Some(Vec::new()));
        write(engine, vec![put(b"a", b"one"), delete(b"c"), delete(b"never there")]);
        assert_eq!(get(engine, b"a"), Some(b"one".to_vec()));
        assert_eq!(get(engine, b"c"), None);
    });
}

#[test]
fn of_two_writes_on_one_key_the_later_counts() {
    on_both(|engine| {
        let large = noise(1, 30_000);
        write(engine, vec![put(b"a", &large), put(b"a", b"small"), put(b"b", b"1"), delete(b"b")]);
        assert_eq!(get(engine, b"a"), Some(b"small".to_vec()));
        assert_eq!(get(engine, b"b"), None);
        write(engine, vec![delete(b"a"), new(b"a", &large)]);
        assert_eq!(get(engine, b"a"), Some(large));
        write(engine, vec![delete(b"a"), new(b"a", b"small again")]);
        assert_eq!(get(engine, b"a"), Some(b"small again".to_vec()));
        assert_eq!(engine.usage().expect("sizes").live_bytes, 12);
    });
}

#[test]
fn scans_keep_the_order_and_their_bounds() {
    on_both(|engine| {
        write(engine, [&b"b1"[..], b"a", b"b2", b"b", b"c", b"b0"].map(|key| put(key, b"-")).into());
        assert_eq!(keys(engine, b"b", Some(b"c"), 9), [&b"b"[..], b"b0", b"b1", b"b2"]);
        assert_eq!(keys(engine, b"b0", None, 2), [&b"b0"[..], b"b1"]);
        assert_eq!(keys(engine, b"", None, 9).len(), 6);
        assert_eq!(keys(engine, b"", None, 0).len(), 0);
        assert_eq!(keys(engine, b"c", Some(b"b"), 9).len(), 0);
        assert_eq!(keys(engine, b"b", Some(b"b"), 9).len(), 0);
        let last = |from: &[u8], to| engine.last(from, to).expect("a scan").map(|(key, _)| key.to_vec());
        assert_eq!(last(b"b", Some(b"c")), Some(b"b2".to_vec()));
        assert_eq!(last(b"", None), Some(b"c".to_vec()));
        assert_eq!(last(b"b3", Some(b"c")), None);
        assert_eq!(last(b"c", Some(b"a")), None);
    });
}

#[test]
fn a_batch_goes_in_only_where_all_is_as_expected() {
    on_both(|engine| {
        write(engine, vec![put(b"a", b"1")]);
        let batch = |expect: Vec<(&[u8], Option<&[u8]>)>| WriteBatch {
            expect: expect.into_iter().map(|(key, value)| (key.to_vec(), value.map(Bytes::copy_from_slice))).collect(),
            ops: vec![put(b"a", b"2"), put(b"b", b"2")],
        };
        for wrong in
            [vec![(&b"a"[..], Some(&b"0"[..]))], vec![(b"a", Some(b"1")), (b"b", Some(b"1"))], vec![(b"a", None)]]
        {
            let refused = engine.commit(batch(wrong), Durability::Synced);
            assert!(matches!(refused, Err(StoreError::Conflict { .. })), "{refused:?}");
            assert_eq!((get(engine, b"a"), get(engine, b"b")), (Some(b"1".to_vec()), None));
        }
        engine.commit(batch(vec![(b"a", Some(b"1")), (b"b", None)]), Durability::Synced).expect("as expected");
        assert_eq!((get(engine, b"a"), get(engine, b"b")), (Some(b"2".to_vec()), Some(b"2".to_vec())));
    });
}

#[test]
fn large_values_are_whole_and_leave_nothing_behind() {
    on_both(|engine| {
        for length in [8_191, 8_192, 8_193, 16_384, 100_000, 1 << 20] {
            let value = noise(length as u64, length);
            write(engine, vec![put(b"large", &value), put(b"largf", b"neighbour")]);
            assert_eq!(get(engine, b"large"), Some(value.clone()));
            let (key, last) = engine.last(b"", Some(b"largf")).expect("a scan").expect("a row");
            assert_eq!((key.as_ref(), last.as_ref()), (&b"large"[..], value.as_slice()));
            let rows = engine.scan(b"", None, 9).expect("a scan");
            assert_eq!(rows.len(), 2);
            assert_eq!(rows[0].1, value);
            assert_eq!(engine.usage().expect("sizes").live_bytes, (length + 5 + 5 + 9) as u64);
        }
        write(engine, vec![put(b"large", &noise(3, 20_000))]);
        assert_eq!(get(engine, b"large"), Some(noise(3, 20_000)));
        write(engine, vec![put(b"large", b"small now")]);
        assert_eq!(get(engine, b"large"), Some(b"small now".to_vec()));
        write(engine, vec![put(b"large", &noise(4, 20_000)), delete(b"largf")]);
        write(engine, vec![delete(b"large")]);
        assert_eq!(get(engine, b"large"), None);
        assert_eq!(engine.usage().expect("sizes").live_bytes, 0);
        assert_eq!(keys(engine, b"", None, 9).len(), 0);
    });
}

#[test]
fn a_large_value_is_read_whole_while_it_is_written_anew() {
    let _alone = crate::support::MUCH_WRITING.lock();
    let directory = tempfile::tempdir().expect("a directory");
    let engines: [Arc<dyn Engine>; 2] = [Arc::new(MemoryEngine::new()), Arc::new(sled(directory.path()))];
    for engine in engines {
        write(engine.as_ref(), vec![put(b"k", &[0; 40_000])]);
        let reading = Arc::clone(&engine);
        let reader = std::thread::spawn(move || {
            for _ in 0..400 {
                let rows = reading.scan(b"", None, 9).expect("a scan");
                for value in [reading.get(b"k").expect("a read").expect("a value"), rows[0].1.clone()] {
                    assert!(value.iter().all(|byte| *byte == value[0]), "a mix of two values");
                    assert_eq!(value.len(), 40_000 + usize::from(value[0]) * 100);
                }
            }
        });
        let mut round = 0_u8;
        while !reader.is_finished() {
            round = (round + 1) % 200;
            // Synced: sled hangs where much is written without a flush.
            let ops = vec![put(b"k", &vec![round; 40_000 + usize::from(round) * 100])];
            let batch = WriteBatch { expect: Vec::new(), ops };
            engine.commit(batch, Durability::Synced).expect("a commit");
        }
        reader.join().expect("only whole values");
    }
}

#[test]
fn keys_and_values_have_bounds() {
    on_both(|engine| {
        let refused = |key: Vec<u8>| {
            let ops = vec![put(b"good", b"1"), Op::Put(key, Bytes::new())];
            engine.commit(WriteBatch { expect: Vec::new(), ops }, Durability::Written)
        };
        assert!(matches!(refused(vec![1; KEY_BYTES_MAX + 1]), Err(StoreError::TooLarge { .. })));
        assert!(matches!(refused(Vec::new()), Err(StoreError::Invalid(_))));
        assert!(matches!(refused(vec![0xff, 1]), Err(StoreError::Invalid(_))));
        assert!(matches!(refused(vec![0xf0]), Err(StoreError::Invalid(_))));
        let value = Bytes::from(vec![0; VALUE_BYTES_MAX + 1]);
        let batch = WriteBatch { expect: Vec::new(), ops: vec![Op::Put(b"k".to_vec(), value)] };
        assert!(matches!(engine.commit(batch, Durability::Written), Err(StoreError::TooLarge { .. })));
        assert_eq!(get(engine, b"good"), None);
        write(engine, vec![put(&[0xef; KEY_BYTES_MAX], b"the last")]);
        assert_eq!(get(engine, &[0xef; KEY_BYTES_MAX]), Some(b"the last".to_vec()));
    });
}

#[test]
fn a_closed_engine_takes_nothing_more() {
    on_both(|engine| {
        write(engine, vec![put(b"a", b"1")]);
        engine.close().expect("a close");
        engine.close().expect("a second close does nothing");
        let batch = WriteBatch { expect: Vec::new(), ops: vec![put(b"a", b"2")] };
        assert!(matches!(engine.commit(batch, Durability::Written), Err(StoreError::Closed)));
        assert!(matches!(engine.sync(), Err(StoreError::Closed)));
        assert_eq!(get(engine, b"a"), Some(b"1".to_vec()));
    });
}

#[test]
fn the_mark_of_what_was_synced_comes_back() {
    on_both(|engine| {
        assert_eq!(engine.noted().expect("a read"), None);
        for mark in [0, 7, 8, u64::MAX] {
            engine.note_synced(mark).expect("a note");
            assert_eq!(engine.noted().expect("a read"), Some(mark));
        }
    });
}

#[test]
fn a_reopened_sled_holds_everything() {
    let directory = tempfile::tempdir().expect("a directory");
    let value = noise(9, 500_000);
    for round in 0..3_u8 {
        let engine = sled(directory.path());
        for before in 0..round {
            assert_eq!(get(&engine, &[before]), Some(value.clone()));
        }
        assert_eq!(
            engine.usage().expect("sizes").live_bytes,
            u64::from(round) * 4 * 500_001,
            "the count of living bytes"
        );
        for part in 0..4 {
            write(&engine, vec![put(&[round + part * 10], &value)]);
        }
        engine.note_synced(u64::from(round)).expect("a note");
        engine.close().expect("a close");
        drop(engine);
    }
    assert_eq!(sled(directory.path()).noted().expect("a mark"), Some(2));
}

#[test]
fn a_fork_holds_what_was_synced_and_a_snapshot_what_was_committed() {
    let engine = MemoryEngine::new();
    let batch = |key: &[u8], durability| {
        engine.commit(WriteBatch { expect: Vec::new(), ops: vec![put(key, b"1")] }, durability).expect("a commit");
    };
    batch(b"a", Durability::Synced);
    batch(b"b", Durability::Written);
    let (fork, snapshot) = (engine.fork(), engine.snapshot());
    assert_eq!(keys(&fork, b"", None, 9), [b"a"]);
    assert_eq!(keys(&snapshot, b"", None, 9), [b"a", b"b"]);
    assert_eq!(keys(&snapshot.fork(), b"", None, 9), [b"a"]);
    engine.sync().expect("a sync");
    assert_eq!(keys(&engine.fork(), b"", None, 9), [b"a", b"b"]);
    assert_eq!(keys(&fork, b"", None, 9), [b"a"], "a fork goes its own way");
}
