//! A request repeated under its key changes nothing.

use std::{sync::Arc, time::Duration};

use impresario_store::{Commit, Journal, JournalLimits, MemoryEngine, OUTSIDE};

use crate::support::{NOON, bodies, commit, in_memory, open, put};

fn asked(journal: &Journal, key: u8, body: &str) -> Commit {
    let topic = journal.name("t").expect("a name");
    let mut commit = commit(topic, [body]);
    commit.request = Some([key; 16]);
    commit
}

#[test]
fn the_second_of_two_equal_requests_is_told_where_the_first_went() {
    let (engine, journal) = in_memory();
    put(&journal, NOON, asked(&journal, 9, "other"));
    let group = vec![asked(&journal, 1, "first"), asked(&journal, 1, "in the same group")];
    let (answers, _) = journal.commit(NOON, group).expect("a group");
    let answers: Vec<_> = answers.into_iter().map(|answer| answer.expect("a receipt").repeated).collect();
    assert_eq!(answers, [None, Some(2)]);
    assert_eq!(put(&journal, NOON, asked(&journal, 1, "later")).repeated, Some(2));
    let journal = open(Arc::new(engine.fork()));
    assert_eq!(put(&journal, NOON, asked(&journal, 1, "after a crash")).repeated, Some(2));
    assert_eq!(bodies(&journal), ["other", "first"]);
}

#[test]
fn requests_are_forgotten_by_age_and_by_number() {
    let hour_ms = 3_600_000;
    let limits =
        JournalLimits { request_horizon: Duration::from_secs(3_600), requests_max: 3, ..JournalLimits::default() };
    let engine = Arc::new(MemoryEngine::new());
    let reopened = |engine: &MemoryEngine| Journal::open(Arc::new(engine.fork()), limits.clone()).expect("a journal");
    let journal = Journal::open(Arc::<MemoryEngine>::clone(&engine), limits.clone()).expect("a journal");
    // Requests that append nothing, all in one instant: each is remembered by itself.
    for key in 1..=4 {
        let mut empty = Commit::new(OUTSIDE);
        empty.request = Some([key; 16]);
        put(&journal, NOON, empty);
    }
    put(&journal, NOON, asked(&journal, 5, "sync"));
    let known = |journal: &Journal, now_ms, key| put(journal, now_ms, asked(journal, key, "x")).repeated.is_some();
    assert!(known(&reopened(&engine), NOON + hour_ms, 4));
    assert!(!known(&reopened(&engine), NOON, 1), "three at most");
    // Age is looked at when a new one comes.
    put(&journal, NOON + hour_ms + 1, asked(&journal, 6, "sync"));
    assert!(!known(&reopened(&engine), NOON + hour_ms + 1, 4), "an hour at most");
    assert!(known(&reopened(&engine), NOON + hour_ms + 1, 6));
}
