//! Damage is found, with its place; it is never a panic and never silent.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
};

use bytes::Bytes;
use impresario_store::{
    Durability, Engine, Journal, JournalLimits, MemoryEngine, Op, Seq, SledEngine, StoreError, VerifyReport, WriteBatch,
};

use crate::support::{NOON, Random, bodies, commit, in_memory, noise, on_sled, open, put, sled_options};

const ENTRIES: usize = 400;

/// A journal of several blocks, and its engine.
fn filled() -> (Arc<MemoryEngine>, Arc<Journal>) {
    let (engine, journal) = in_memory();
    let topic = journal.name("t").expect("a name");
    for some in 0..ENTRIES / 50 {
        put(&journal, NOON + some as i64, commit(topic, (0..50).map(|number| text(some * 50 + number))));
    }
    (engine, journal)
}

fn text(number: usize) -> Vec<u8> {
    format!("{{\"number\":{number},\"what\":\"something that repeats\",\"id\":\"{:x?}\"}}", noise(number as u64, 20))
        .into_bytes()
}

fn blocks(engine: &dyn Engine) -> Vec<(Bytes, Bytes)> {
    engine.scan(b"j", Some(b"k"), usize::MAX).expect("a scan")
}

fn first_seq(key: &[u8]) -> Seq {
    Seq::from_be_bytes(key[1..9].try_into().expect("a place"))
}

/// A copy with these writes done to it, opened.
fn with(engine: &MemoryEngine, ops: Vec<Op>) -> Result<Arc<Journal>, StoreError> {
    let copy = engine.fork();
    copy.commit(WriteBatch { expect: Vec::new(), ops }, Durability::Synced).expect("a commit");
    Journal::open(Arc::new(copy), JournalLimits::default())
}

fn report(journal: &Journal) -> VerifyReport {
    journal.verify(|_| {}).expect("a report")
}

#[test]
fn a_whole_journal_has_a_clean_report() {
    let (engine, journal) = filled();
    let mut told = Vec::new();
    let report = journal.verify(|seq| told.push(seq)).expect("a report");
    assert_eq!((report.damage, report.entries, report.erased), (Vec::new(), ENTRIES as u64, 0));
    assert_eq!(report.blocks as usize, blocks(engine.as_ref()).len());
    assert!(report.blocks > 6 && report.head_hash.len() == 64);
    assert_eq!(told.last(), Some(&(ENTRIES as u64)));
}

/// Each flipped bit is reported at its block, or changes nothing of what is read.
#[test]
fn a_flipped_bit_anywhere_in_a_block_is_found() {
    flip_blocks(2_000);
}

#[test]
#[ignore = "full size: cargo full r4"]
fn r4_flipped_bits_and_cut_files() {
    flip_blocks(10_000);
    flip_files(5_000);
    cut_logs(1_000);
}

fn flip_blocks(flips: usize) {
    let (engine, journal) = filled();
    let blocks = blocks(engine.as_ref());
    let whole = bodies(&journal);
    let mut random = Random(77);
    let mut found = 0;
    for flip in 0..flips {
        let (key, value) = &blocks[random.below(blocks.len())];
        let mut flipped = value.to_vec();
        let bit = random.below(flipped.len() * 8);
        flipped[bit / 8] ^= 1 << (bit % 8);
        let place = first_seq(key);
        let journal = match with(&engine, vec![Op::Put(key.to_vec(), flipped.into())]) {
            Ok(journal) => journal,
            Err(error) => {
                // The last block is read at opening.
                assert_eq!(key, &blocks.last().expect("blocks").0);
                let named = error.to_string();
                assert!(matches!(error, StoreError::Damaged { .. } | StoreError::UnknownFormat { .. }), "{named}");
                found += 1;
                continue;
            }
        };
        let report = report(&journal);
        if report.damage.is_empty() {
            assert_eq!(bodies(&journal), whole, "flip {flip}: bit {bit} of the block at {place}");
            continue;
        }
        found += 1;
        assert_eq!(report.damage[0].first_seq, place, "flip {flip}: bit {bit}: {:?}", report.damage);
    }
    assert!(found * 100 >= flips * 98, "{found} of {flips}");
}

#[test]
fn a_missing_a_swapped_and_a_changed_block_are_found() {
    let (engine, _) = filled();
    let blocks = blocks(engine.as_ref());
    for index in 0..blocks.len() - 1 {
        let (key, value) = &blocks[index];
        let (next_key, next_value) = &blocks[index + 1];
        let (place, next) = (first_seq(key), first_seq(next_key));
        let missing = report(&with(&engine, vec![Op::Delete(key.to_vec())]).expect("a journal"));
        assert_eq!(missing.damage[0].first_seq, next);
        assert_eq!(missing.damage[0].what, format!("entries {place} to {} are missing", next - 1));
        let swapped = vec![Op::Put(key.to_vec(), next_value.clone()), Op::Put(next_key.to_vec(), value.clone())];
        let Ok(swapped) = with(&engine, swapped) else { continue };
        assert_eq!(report(&swapped).damage[0].first_seq, place, "{:?}", report(&swapped).damage);
    }
    // A block of another journal: whole in itself, and its entries are not those of this one.
    let (other, journal) = in_memory();
    let topic = journal.name("t").expect("a name");
    for some in 0..ENTRIES / 50 {
        put(&journal, NOON + some as i64, commit(topic, (0..50).map(|number| text(some * 50 + number + 1))));
    }
    let other = self::blocks(other.as_ref());
    for (index, (key, value)) in other.iter().enumerate().take(4) {
        assert_eq!(key, &blocks[index].0);
        let changed = report(&with(&engine, vec![Op::Put(key.to_vec(), value.clone())]).expect("a journal"));
        // Nothing lies before the first block: it is the second that does not follow on it.
        let place = first_seq(&blocks[index.max(1)].0);
        assert_eq!(changed.damage[0].first_seq, place, "{:?}", changed.damage);
        assert!(changed.damage[0].what.contains("hash chain"), "{:?}", changed.damage);
    }
}

/// The end is the one thing a chain can't miss by itself: the mark of what was synced does.
#[test]
fn a_lost_end_is_refused_with_its_place() {
    let (engine, _) = filled();
    let blocks = blocks(engine.as_ref());
    let (key, _) = blocks.last().expect("blocks");
    let refused = with(&engine, vec![Op::Delete(key.to_vec())]).err().expect("a refusal");
    let from = first_seq(key);
    assert!(
        refused.to_string().contains(&format!("entries {from} to {ENTRIES} were acknowledged and are gone")),
        "{refused}"
    );
    assert!(refused.to_string().contains(&format!("after entry {}", from - 1)), "{refused}");
}

#[test]
fn damaged_rows_beside_the_blocks_are_refused() {
    let (engine, journal) = filled();
    journal.name("second").expect("a name");
    put(&journal, NOON + 100, commit(journal.name("t").expect("a name"), ["x"]));
    let bad = [
        (&b"n\0\x01"[..], None, "a name is missing"),
        (b"n\0\x01", Some(&b"\xff\xfe"[..]), "a name is not UTF-8"),
        (b"c\0\x01", Some(b"short"), "cursors"),
        (b"c\0", Some(b"12345678"), "cursors"),
        (b"d1234567\x01", Some(b"1234"), "known message ids"),
        (b"d1234567\x01", Some(b""), "known message ids"),
        (b"r123", Some(b"12345678"), "known requests"),
        (b"t123", Some(b"12345678"), "timers"),
        (b"t12345678901234567890", Some(b"12345678\xff"), "timers"),
        (b"o123456789012", Some(b"\xff"), "effects outbox"),
    ];
    for (key, value, what) in bad {
        let op = match value {
            Some(value) => Op::Put(key.to_vec(), Bytes::copy_from_slice(value)),
            None => Op::Delete(key.to_vec()),
        };
        let refused = with(&engine, vec![op]).err().expect(what).to_string();
        assert!(refused.contains(what), "{refused}");
    }
}

fn copy(from: &Path, to: &Path) {
    for folder in ["", "sled"] {
        fs::create_dir_all(to.join(folder)).expect("a directory");
        for file in fs::read_dir(from.join(folder)).expect("files").map(|file| file.expect("a file")) {
            if file.path().is_file() {
                fs::copy(file.path(), to.join(folder).join(file.file_name())).expect("a copy");
            }
        }
    }
}

/// What a damaged directory gives: everything, or an error that says so. Never less in silence.
fn open_damaged(directory: &Path, whole: &[Bytes], what: &str) -> bool {
    let opened = catch_unwind(AssertUnwindSafe(|| -> Result<Vec<Bytes>, StoreError> {
        let engine = SledEngine::open(directory, &sled_options())?;
        let journal = Journal::open(Arc::new(engine), JournalLimits::default())?;
        let mut found = Vec::new();
        let mut next = 1;
        while let Some(chunk) = journal.chunk(next)? {
            found.extend(chunk.entries.iter().map(|entry| entry.body.clone()));
            next = chunk.last() + 1;
        }
        let damage = journal.verify(|_| {})?.damage;
        match damage.first() {
            Some(damage) => Err(StoreError::Damaged { place: damage.first_seq.to_string(), what: damage.what.clone() }),
            None => Ok(found),
        }
    }));
    match opened.unwrap_or_else(|_| panic!("{what}: a panic")) {
        Ok(found) => {
            assert!(found == whole, "{what}: {} of {} entries, and nothing was said", found.len(), whole.len());
            true
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            false
        }
    }
}

fn filled_directory() -> (tempfile::TempDir, Vec<Bytes>) {
    let directory = tempfile::tempdir().expect("a directory");
    let journal = on_sled(directory.path());
    let topic = journal.name("t").expect("a name");
    for number in 0..60 {
        put(&journal, NOON, commit(topic, [text(number), noise(number as u64, 3_000 + number * 200)]));
    }
    let whole = bodies(&journal);
    journal.close().expect("a close");
    (directory, whole)
}

#[test]
fn a_log_cut_short_anywhere_is_whole_or_refused() {
    cut_logs(40);
}

fn cut_logs(cuts: usize) {
    let (directory, whole) = filled_directory();
    let log = fs::read(directory.path().join("sled/db")).expect("the log");
    let mut random = Random(6);
    let used = log.iter().rposition(|byte| *byte != 0).expect("data") + 1;
    let mut refused = 0;
    for cut in 0..cuts {
        let length = if cut < 6 { [0, 1, 19, 20, 21, used - 1][cut] } else { random.below(used) };
        let image = tempfile::tempdir().expect("a directory");
        copy(directory.path(), image.path());
        fs::write(image.path().join("sled/db"), &log[..length]).expect("a write");
        refused += usize::from(!open_damaged(image.path(), &whole, &format!("cut at {length} of {used}")));
    }
    assert!(refused * 4 >= cuts * 3, "{refused} of {cuts}");
}

#[test]
fn a_flipped_bit_in_any_file_is_whole_or_refused() {
    flip_files(30);
}

fn flip_files(flips: usize) {
    let _alone = crate::support::MUCH_WRITING.lock();
    let (directory, whole) = filled_directory();
    let mut random = Random(7);
    for file in ["db", "conf"] {
        let path = directory.path().join("sled").join(file);
        let bytes = fs::read(&path).expect("a file");
        let used = bytes.iter().rposition(|byte| *byte != 0).expect("data") + 1;
        for _ in 0..flips {
            let bit = random.below(used * 8);
            let image = tempfile::tempdir().expect("a directory");
            copy(directory.path(), image.path());
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            fs::write(image.path().join("sled").join(file), flipped).expect("a write");
            open_damaged(image.path(), &whole, &format!("bit {bit} of {file}"));
        }
    }
}

#[test]
fn a_spoilt_mark_promises_nothing() {
    let (directory, whole) = filled_directory();
    let mark = directory.path().join("impresario.synced");
    assert_eq!(fs::read(&mark).expect("a mark").len(), 16);
    for spoilt in [&b""[..], b"half", &[0; 16], &[7; 16]] {
        fs::write(&mark, spoilt).expect("a write");
        assert_eq!(bodies(&on_sled(directory.path())), whole);
    }
    let _ = open(Arc::new(MemoryEngine::new()));
}
