//! Forgetting by age: places stay, the chain goes on, what is left is guarded.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use impresario_store::{Durability, Engine, Entry, Horizon, Journal, JournalLimits, MemoryEngine, Op, WriteBatch};

use crate::support::{NOON, Random, commit, each, in_memory, noise, open, put};

const HOUR_MS: i64 = 3_600_000;
const ENTRIES: u64 = 2_000;
const KEPT: &str = "to be kept";

/// An hour between any two commits of ten entries, one of which is to be kept.
fn filled() -> (Arc<MemoryEngine>, Arc<Journal>) {
    let engine = Arc::new(MemoryEngine::new());
    // Nothing is read from memory that should come from its block.
    let limits = JournalLimits { tail_entries_max: 50, block_raw_bytes: 4_096, ..JournalLimits::default() };
    let journal = Journal::open(Arc::clone(&engine) as Arc<dyn Engine>, limits).expect("a journal");
    let topic = journal.name("t").expect("a name");
    for some in 0..ENTRIES / 10 {
        let body = |number: u64| if number == 3 { KEPT.as_bytes().to_vec() } else { noise(some * 10 + number, 100) };
        put(&journal, NOON + some as i64 * HOUR_MS, commit(topic, (0..10).map(body)));
    }
    (engine, journal)
}

fn is_kept(entry: &Entry) -> bool {
    &entry.body[..] == KEPT.as_bytes()
}

fn thin_all(journal: &Journal, blocks_max: usize) -> u64 {
    let (mut from, mut all) = (journal.thin_from().expect("a place"), 0);
    while let Some(thinned) = journal.thin(from, blocks_max, &mut is_kept).expect("a portion") {
        assert!(thinned.next > from);
        (from, all) = (thinned.next, all + thinned.entries);
    }
    journal.sync().expect("a sync");
    all
}

fn live_bytes(engine: &MemoryEngine) -> usize {
    engine.scan(b"j", Some(b"k"), usize::MAX).expect("rows").iter().map(|(_, value)| value.len()).sum()
}

/// All that can be seen of entries that are whole.
fn whole(journal: &Journal) -> Vec<(u64, i64, Bytes)> {
    let seen = each(journal, |entry| (!entry.is_forgotten()).then(|| (entry.seq, entry.at_ms, entry.body.clone())));
    seen.into_iter().flatten().collect()
}

#[test]
fn old_entries_go_and_everything_else_stays_as_it_was() {
    let (engine, journal) = filled();
    let before = live_bytes(&engine);
    let all = whole(&journal);
    let since_ms = NOON + 150 * HOUR_MS;
    let kept_from = journal.older_than(since_ms).expect("a place");
    let first_young = all.iter().find(|(_, at_ms, _)| *at_ms >= since_ms).expect("one").0;
    assert!(kept_from <= first_young && kept_from + 100 > first_young, "{kept_from} of {first_young}");
    let head_hash = journal.verify(|_| {}).expect("a report").head_hash;
    assert_eq!(journal.tell_horizon(ENTRIES - 1, kept_from, since_ms).expect("an answer"), None, "it has gone on");
    assert_eq!(journal.horizon(), None);
    assert_eq!(journal.thin(1, 10, &mut is_kept).expect("an answer"), None, "nothing goes that was not told of");
    let told = journal.tell_horizon(ENTRIES, kept_from, since_ms).expect("an answer").expect("a horizon");
    assert_eq!(told, Horizon { after: ENTRIES, before: kept_from, since_ms });
    assert_eq!((journal.horizon_at(ENTRIES), journal.horizon_at(ENTRIES + 1)), (None, Some(told)));
    assert_eq!(journal.tell_horizon(ENTRIES, kept_from + 1, since_ms).expect("an answer"), None, "once at a place");
    let gone = thin_all(&journal, 3);
    assert_eq!(gone, (kept_from - 1) - (1..kept_from).filter(|seq| (seq - 1) % 10 == 3).count() as u64);
    assert_eq!(thin_all(&journal, 3), 0, "nothing is left to go");
    for journal in [Arc::clone(&journal), open(Arc::new(engine.fork()))] {
        let expect: Vec<_> =
            all.iter().filter(|(seq, _, _)| *seq >= kept_from || (seq - 1) % 10 == 3).cloned().collect();
        assert_eq!(whole(&journal), expect);
        assert_eq!(each(&journal, |entry| entry.seq).len() as u64, ENTRIES);
        let report = journal.verify(|_| {}).expect("a report");
        assert_eq!((report.damage, report.entries, report.forgotten, report.erased), (Vec::new(), ENTRIES, gone, 0));
        assert_eq!(report.head_hash, head_hash, "the chain goes on from where it was");
        assert_eq!((journal.horizon(), journal.thinned_to().expect("a place")), (Some(told), kept_from));
    }
    assert!(live_bytes(&engine) * 2 < before, "{} of {before} bytes", live_bytes(&engine));
    // It goes on as if nothing were.
    let topic = journal.name("t").expect("a name");
    put(&journal, NOON + 200 * HOUR_MS, commit(topic, ["one more"]));
    // What is left of a block may still be erased.
    assert_eq!(journal.erase(&BTreeSet::from([4, 5])).expect("an erasure"), 1);
    assert_eq!(thin_all(&journal, 100), 0);
    let report = journal.verify(|_| {}).expect("a report");
    assert_eq!((report.damage, report.entries, report.forgotten, report.erased), (Vec::new(), ENTRIES + 1, gone, 1));
}

#[test]
fn what_was_kept_for_a_while_is_looked_at_again_for_the_next_horizon() {
    let (_, journal) = filled();
    let tell = |hours: i64| {
        let since_ms = NOON + hours * HOUR_MS;
        let kept_from = journal.older_than(since_ms).expect("a place");
        journal.tell_horizon(journal.head(), kept_from, since_ms).expect("an answer").expect("a horizon").before
    };
    let first = tell(100);
    thin_all(&journal, 5);
    journal.thin_again_from(Some(4)).expect("a note");
    assert_eq!((journal.thin_from().expect("a place"), journal.thinned_to().expect("a place")), (4, first));
    put(&journal, NOON + 200 * HOUR_MS, commit(journal.name("t").expect("a name"), ["one more"]));
    let second = tell(150);
    assert!(second > first);
    let (mut from, mut gone) = (journal.thin_from().expect("a place"), 0);
    while let Some(thinned) = journal.thin(from, 5, &mut |_| false).expect("a portion") {
        (from, gone) = (thinned.next, gone + thinned.entries);
    }
    assert!(gone > second - first, "those kept before among them");
    assert!(whole(&journal).iter().all(|(seq, _, _)| *seq >= second));
}

#[test]
fn a_change_of_what_is_left_is_found() {
    let (engine, journal) = filled();
    let kept_from = journal.older_than(NOON + 150 * HOUR_MS).expect("a place");
    journal.tell_horizon(ENTRIES, kept_from, NOON + 150 * HOUR_MS).expect("an answer").expect("a horizon");
    thin_all(&journal, 10);
    let left = whole(&journal);
    let blocks = engine.scan(b"j", Some(b"k"), usize::MAX).expect("rows");
    let thinned = blocks.iter().filter(|(key, _)| key[1..9] < kept_from.to_be_bytes()[..]).count();
    let mut random = Random(7);
    let (mut found, flips) = (0, 500);
    for flip in 0..flips {
        let (key, value) = &blocks[random.below(thinned)];
        let mut flipped = value.to_vec();
        let bit = random.below(flipped.len() * 8);
        flipped[bit / 8] ^= 1 << (bit % 8);
        let copy = engine.fork();
        let ops = vec![Op::Put(key.to_vec(), flipped.into())];
        copy.commit(WriteBatch { expect: Vec::new(), ops }, Durability::Synced).expect("a commit");
        let journal = open(Arc::new(copy));
        if journal.verify(|_| {}).expect("a report").damage.is_empty() {
            let same = whole(&journal)
                .iter()
                .map(|(seq, _, body)| (*seq, body.clone()))
                .eq(left.iter().map(|(seq, _, body)| (*seq, body.clone())));
            assert!(same, "flip {flip}: bit {bit}");
            continue;
        }
        found += 1;
    }
    assert!(found * 100 >= flips * 90, "{found} of {flips}");
}

#[test]
fn the_place_of_an_instant_is_found_wherever_it_is() {
    let (_, journal) = filled();
    for hours in -1..202 {
        let since_ms = NOON + hours * HOUR_MS;
        let place = journal.older_than(since_ms).expect("a place");
        let wrong = each(&journal, |entry| entry.seq < place && entry.at_ms >= since_ms).into_iter().any(|wrong| wrong);
        assert!(!wrong, "{hours} hours: {place}");
        assert!(hours < 50 || place > 300, "{hours} hours: {place}");
    }
    let (_, empty) = in_memory();
    assert_eq!(empty.older_than(NOON).expect("a place"), 1);
}
