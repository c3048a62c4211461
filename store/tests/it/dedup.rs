//! Message ids: known for a day at least, in bounded memory, and not for ever on disk.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use impresario_store::{Engine, Journal, JournalLimits, MemoryEngine, Receipt};

use crate::support::{NOON, Random, bodies, commit, in_memory, on_sled, open, put};

const HOUR: i64 = 3_600_000;

fn say(journal: &Journal, now_ms: i64, ids: &[u64]) -> Receipt {
    let topic = journal.name("t").expect("a name");
    let mut commit = commit(topic, ids.iter().map(u64::to_string));
    commit.entries.iter_mut().zip(ids).for_each(|(entry, id)| entry.dedup = *id);
    put(journal, now_ms, commit)
}

#[test]
fn a_repeated_message_is_dropped_and_counted() {
    let (engine, journal) = in_memory();
    let receipt = say(&journal, NOON, &[1, 2, 1, 3]);
    assert_eq!((receipt.first, receipt.last, receipt.duplicates), (1, 3, 1));
    let receipt = say(&journal, NOON, &[2]);
    assert_eq!((receipt.first, receipt.last, receipt.duplicates), (0, 0, 1));
    let journal = open(Arc::new(engine.fork()));
    assert_eq!(say(&journal, NOON, &[4, 3]).duplicates, 1);
    assert_eq!(bodies(&journal), ["1", "2", "3", "4"]);
    assert_eq!(journal.dedup_len(), 4);
    assert_eq!(say(&journal, NOON, &[0, 0]).duplicates, 0, "0 is no id");
}

/// Said again after every time from nothing to the horizon, reopened or not: known.
#[test]
fn an_id_is_known_for_a_day_at_least_and_not_for_ever() {
    for reopen in [false, true] {
        for start in 0..30 {
            for later in [0, 1, 12, 23, 24] {
                let engine = Arc::new(MemoryEngine::new());
                let mut journal = open(engine.clone());
                // Other messages come each hour, so that generations turn in between.
                for (id, hour) in (100..).zip(0..=start + later) {
                    say(&journal, NOON + hour * HOUR, &[id]);
                    if hour == start {
                        assert_eq!(say(&journal, NOON + hour * HOUR, &[7]).duplicates, 0);
                    }
                    if reopen {
                        journal = open(Arc::new(engine.fork()));
                        journal.close().expect("a close");
                        journal = open(engine.clone());
                    }
                }
                // One millisecond inside of the horizon.
                let again = say(&journal, NOON + (start + later) * HOUR - i64::from(later > 0), &[7]);
                assert_eq!(again.duplicates, 1, "said at {start} h, again {later} h later, reopened: {reopen}");
                let much_later = NOON + (start + later + 48) * HOUR;
                say(&journal, much_later, &[1]);
                say(&journal, much_later + 24 * HOUR, &[2]);
                assert_eq!(say(&journal, much_later + 48 * HOUR, &[7]).duplicates, 0, "forgotten by then");
            }
        }
    }
}

#[test]
fn memory_and_disk_are_bounded() {
    let limits = JournalLimits {
        dedup_horizon: Duration::from_secs(3_600),
        dedup_ids_max: 1_000,
        expired_rows_per_group_max: 3,
        ..JournalLimits::default()
    };
    let engine = Arc::new(MemoryEngine::new());
    let journal = Journal::open(Arc::<MemoryEngine>::clone(&engine), limits.clone()).expect("a journal");
    let rows = |engine: &MemoryEngine| engine.scan(b"d", Some(b"e"), usize::MAX).expect("a scan").len();
    for round in 0..500_u64 {
        let ids: Vec<u64> = (1..=10).map(|id| round * 10 + id).collect();
        say(&journal, NOON + round as i64, &ids);
        assert!(journal.dedup_len() <= 1_010, "{}", journal.dedup_len());
    }
    assert!(rows(&engine) <= 110, "{} rows of ten ids", rows(&engine));
    assert_eq!(say(&journal, NOON + 500, &[4_999]).duplicates, 1);
    // By age, a few rows with each group.
    say(&journal, NOON + 2 * 3_600_000, &[100_000]);
    say(&journal, NOON + 4 * 3_600_000, &[100_001]);
    for _ in 0..60 {
        journal.commit(NOON + 4 * 3_600_000, Vec::new()).expect("time passes");
    }
    assert_eq!(rows(&engine), 2);
    assert_eq!(journal.dedup_len(), 2);
    let journal = Journal::open(Arc::new(engine.snapshot()), limits).expect("a journal");
    assert_eq!(say(&journal, NOON + 4 * 3_600_000, &[100_001, 4_999]).duplicates, 1);
}

#[test]
fn ids_outlive_a_restart_on_sled() {
    let directory = tempfile::tempdir().expect("a directory");
    let ids: Vec<u64> = (1..5_000).collect();
    for round in 0..2 {
        let journal = on_sled(directory.path());
        let receipt = say(&journal, NOON, &ids);
        assert_eq!(receipt.duplicates, if round == 0 { 0 } else { 4_999 });
    }
}

/// A generation of ids that ends while commits wait in memory takes with it only its own.
#[test]
fn ids_of_commits_that_wait_are_known_for_a_day_at_least() {
    let engine = Arc::new(MemoryEngine::new());
    let journal = open(Arc::<MemoryEngine>::clone(&engine));
    journal.hold_back(1_000_000);
    let written = |now_ms: i64, id: u64| {
        let topic = journal.name("t").expect("a name");
        let mut commit = commit(topic, [id.to_string()]);
        commit.entries[0].dedup = id;
        commit.durability = impresario_store::Durability::Written;
        put(&journal, now_ms, commit)
    };
    written(NOON, 1);
    written(NOON + 24 * HOUR, 2);
    written(NOON + 48 * HOUR - 1, 3);
    journal.sync().expect("a sync");
    // The next generation: the first goes, and its rows with it.
    written(NOON + 48 * HOUR, 4);
    journal.sync().expect("a sync");
    journal.commit(NOON + 48 * HOUR, Vec::new()).expect("time passes");
    journal.sync().expect("a sync");
    assert_eq!(say(&open(Arc::new(engine.fork())), NOON + 48 * HOUR, &[3, 2, 4]).duplicates, 3);
}

/// An id that comes again with another content is dropped as any, and told.
#[test]
fn another_content_under_a_known_id_is_told() {
    let (engine, journal) = in_memory();
    let topic = journal.name("t").expect("a name");
    let say = |journal: &Journal, id: u64, fingerprint: u32| {
        let mut commit = commit(topic, [id.to_string()]);
        (commit.entries[0].dedup, commit.entries[0].fingerprint) = (id, fingerprint);
        let receipt = put(journal, NOON, commit);
        (receipt.duplicates, receipt.changed)
    };
    assert_eq!(say(&journal, 1, 10), (0, 0));
    assert_eq!(say(&journal, 1, 10), (1, 0));
    assert_eq!(say(&journal, 1, 11), (1, 1));
    let journal = open(Arc::new(engine.fork()));
    assert_eq!((say(&journal, 1, 10), say(&journal, 1, 12)), ((1, 0), (1, 1)), "after a restart");
    assert_eq!(bodies(&journal), ["1"]);
}

/// Five in a hundred come again after anything up to 28 days, within a horizon of 28 days.
fn again_within_four_weeks(events: u64) {
    const DAYS: i64 = 28;
    let limits = JournalLimits {
        dedup_horizon: Duration::from_secs(DAYS as u64 * 86_400),
        dedup_ids_max: 100_000_000,
        ..JournalLimits::default()
    };
    let mut engine = Arc::new(MemoryEngine::new());
    let mut journal = Journal::open(engine.clone(), limits.clone()).expect("a journal");
    let mut random = Random(3);
    let step_ms = 90 * 24 * HOUR / events as i64;
    let mut again: BTreeSet<(i64, u64)> = BTreeSet::new();
    let (mut kept, mut copies) = (0, 0);
    for id in 1..=events {
        let now_ms = NOON + id as i64 * step_ms;
        if id % (events / 7) == 0 {
            engine = Arc::new(engine.snapshot());
            journal = Journal::open(engine.clone(), limits.clone()).expect("a journal");
        }
        while let Some((_, known)) = again.pop_first_if_due(now_ms) {
            assert_eq!(say(&journal, now_ms, &[known]).duplicates, 1, "{known}");
            copies += 1;
        }
        assert_eq!(say(&journal, now_ms, &[id]).duplicates, 0, "{id}");
        kept += 1;
        if random.below(20) == 0 {
            again.insert((now_ms + random.below((DAYS * 24 * HOUR) as usize) as i64, id));
        }
    }
    assert!(copies * 30 > events, "{copies}");
    assert_eq!(journal.head(), kept, "each was applied once");
}

trait PopDue {
    fn pop_first_if_due(&mut self, now_ms: i64) -> Option<(i64, u64)>;
}

impl PopDue for BTreeSet<(i64, u64)> {
    fn pop_first_if_due(&mut self, now_ms: i64) -> Option<(i64, u64)> {
        let due = self.first().copied().filter(|(due_ms, _)| *due_ms <= now_ms)?;
        self.pop_first();
        Some(due)
    }
}

#[test]
fn what_comes_again_within_four_weeks_is_known() {
    again_within_four_weeks(10_000);
}

#[test]
#[ignore = "full size: cargo full r8"]
fn r8_what_comes_again_within_four_weeks_is_known() {
    again_within_four_weeks(3_000_000);
}
