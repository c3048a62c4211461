//! Pages of agents' state: written, split, found, and what is said of a damaged one.

use std::sync::Arc;

use impresario_store::{
    Commit, Durability, Engine, Journal, MemoryEngine, NameId, OUTSIDE, Op, PAGE_RAW_BYTES, StateRow, WriteBatch,
    page_writes,
};

use crate::support::{NOON, open};

const WORKER: NameId = NameId(7);

fn row(key: u32, body: &[u8]) -> StateRow {
    StateRow { key: key.to_be_bytes().to_vec().into(), seq: u64::from(key) + 1, body: body.to_vec().into() }
}

fn write(journal: &Journal, writes: Vec<Op>) {
    let mut commit = Commit::new(OUTSIDE);
    commit.writes = writes;
    journal.commit_one(NOON, commit).expect("a commit");
}

fn pages(journal: &Journal) -> Vec<Vec<StateRow>> {
    let mut found = Vec::new();
    let mut page = journal.page(WORKER, &[]).expect("a read");
    while let Some(here) = page {
        found.push(here.rows().expect("rows"));
        page = journal.page_after(WORKER, &here.low).expect("a read");
    }
    found
}

#[test]
fn rows_are_found_again_whole_and_one_by_one() {
    let journal = open(Arc::new(MemoryEngine::new()));
    assert!(journal.page(WORKER, b"any").expect("a read").is_none());
    // Bodies that don't compress, so that the pages' limits are seen.
    let body = |key: u32| noise(key, 40 + key as usize % 300);
    let rows: Vec<_> = (0..500).map(|key| row(key * 2, &body(key))).collect();
    let mut writes = Vec::new();
    page_writes(WORKER, &[], &rows, &mut writes);
    page_writes(NameId(6), &[], &[row(1, b"of another")], &mut writes);
    page_writes(NameId(8), &[], &[row(3, b"of another")], &mut writes);
    write(&journal, writes);
    let found = pages(&journal);
    assert!(found.len() > 5);
    for page in &found {
        let bytes: usize = page.iter().map(|row| row.key.len() + row.body.len()).sum();
        assert!((1..=PAGE_RAW_BYTES).contains(&bytes), "{bytes} bytes in a page");
    }
    let flat: Vec<_> = found.into_iter().flatten().collect();
    assert_eq!(flat.len(), 500);
    for (key, (there, was)) in flat.iter().zip(&rows).enumerate() {
        assert_eq!((&there.key, there.seq, &there.body), (&was.key, was.seq, &was.body));
        let alone = journal.paged_state(WORKER, &was.key).expect("a read").expect("a row");
        assert_eq!((alone.seq, alone.body), (was.seq, was.body.clone()));
        let between = (key as u32 * 2 + 1).to_be_bytes();
        assert!(journal.paged_state(WORKER, &between).expect("a read").is_none());
    }
}

#[test]
fn a_page_may_be_empty_or_hold_one_large_row() {
    let journal = open(Arc::new(MemoryEngine::new()));
    let mut writes = Vec::new();
    page_writes(WORKER, &[], &[row(1, b"small"), row(2, &[7; 300_000]), row(3, b"small")], &mut writes);
    write(&journal, writes);
    assert_eq!(pages(&journal).iter().flatten().map(|row| row.body.len()).collect::<Vec<_>>(), [5, 300_000, 5]);
    let mut writes = Vec::new();
    page_writes(WORKER, &[], &[], &mut writes);
    write(&journal, writes);
    assert!(journal.paged_state(WORKER, &1_u32.to_be_bytes()).expect("a read").is_none());
    assert!(pages(&journal).first().is_some_and(Vec::is_empty));
}

#[test]
fn a_damaged_page_is_said_to_be() {
    let engine = Arc::new(MemoryEngine::new());
    let journal = open(Arc::<MemoryEngine>::clone(&engine));
    let mut writes = Vec::new();
    page_writes(WORKER, &[], &(0..20).map(|key| row(key, b"the same again")).collect::<Vec<_>>(), &mut writes);
    let Some(Op::Put(key, value)) = writes.first().cloned() else { panic!("a page is put") };
    write(&journal, writes);
    let mut told = 0;
    for bit in 0..value.len() * 8 {
        let mut bent = value.to_vec();
        bent[bit / 8] ^= 1 << (bit % 8);
        let ops = vec![Op::Put(key.clone(), bent.into())];
        engine.commit(WriteBatch { expect: Vec::new(), ops }, Durability::Written).expect("a commit");
        // Never a panic; rows that are read may differ, since sled's own checksum guards the bytes.
        told += u32::from(journal.page(WORKER, &[]).expect("a read").expect("a page").rows().is_err());
        let _ = journal.paged_state(WORKER, &3_u32.to_be_bytes());
    }
    assert!(told > 50, "{told} of {} flips are told", value.len() * 8);
}

/// Bytes with no pattern.
fn noise(seed: u32, length: usize) -> Vec<u8> {
    let mut state = u64::from(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    })
    .take(length)
    .collect()
}
