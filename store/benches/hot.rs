//! The store's hot functions with no disk below them: `cargo hot` runs them beside those of the other crates.

use std::sync::Arc;

use bytes::Bytes;
use divan::{Bencher, black_box, counter::ItemsCount};
use impresario_store::{
    Commit, Journal, JournalLimits, MemoryEngine, NameId, NewEntry, OUTSIDE, Page, StateRow, page_writes,
};

const ENTRIES: u64 = 100;

fn main() {
    divan::main();
}

fn body(number: u64) -> Bytes {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Bytes::from(format!(
        "\u{1}{{\"type\":\"track\",\"event\":\"Product Viewed\",\"userId\":\"customer-{}\",\"messageId\":\"{mixed:016x}{number:016x}\",\
         \"properties\":{{\"product_id\":\"SHOE-{}\",\"price\":{}.90,\"currency\":\"EUR\",\"category\":\"shoes\"}}}}",
        mixed % 100_000,
        mixed % 5_000,
        mixed % 200,
    ))
}

/// With no room in memory for what was written: every reading decodes a block.
fn journal() -> Arc<Journal> {
    let limits = JournalLimits { tail_entries_max: 1, tail_bytes_max: 1, ..JournalLimits::default() };
    Journal::open(Arc::new(MemoryEngine::new()), limits).unwrap_or_else(|error| panic!("{error}"))
}

fn commit(number: &mut u64) -> Commit {
    let mut commit = Commit::new(OUTSIDE);
    for _ in 0..ENTRIES {
        *number += 1;
        let (partition, body) = ((*number % 64) as u16, body(*number));
        commit.entries.push(NewEntry {
            partition,
            topic: OUTSIDE,
            cause: 0,
            dedup: *number,
            fingerprint: 0,
            body,
            decoded: None,
        });
    }
    commit
}

/// A hundred events into blocks: dedup, hash chain, compression.
#[divan::bench]
fn write_100_entries(bencher: Bencher<'_, '_>) {
    let (journal, mut number) = (journal(), 0);
    bencher
        .counter(ItemsCount::new(ENTRIES))
        .with_inputs(move || commit(&mut number))
        .bench_local_values(|commit| journal.commit_one(1, commit).map(|(receipt, _)| receipt));
}

/// A block out of the engine: decompressed, cut into entries.
#[divan::bench]
fn read_a_block(bencher: Bencher<'_, '_>) {
    let (journal, mut number) = (journal(), 0);
    for _ in 0..3 {
        journal.commit_one(1, commit(&mut number)).unwrap_or_else(|error| panic!("{error}"));
    }
    let entries = journal.chunk(1).ok().flatten().map_or(0, |chunk| chunk.entries.len());
    bencher.counter(ItemsCount::new(entries)).bench_local(|| journal.chunk(black_box(1)));
}

fn rows() -> Vec<StateRow> {
    let row =
        |key: u64| StateRow { key: Bytes::copy_from_slice(&(key << 40).to_be_bytes()), seq: key, body: body(key) };
    (1..=25).map(row).collect()
}

/// A page of 25 keys, written.
#[divan::bench]
fn write_a_page(bencher: Bencher<'_, '_>) {
    let rows = rows();
    bencher.counter(ItemsCount::new(rows.len())).bench_local(|| {
        let mut writes = Vec::new();
        page_writes(NameId(1), &[], black_box(&rows), &mut writes);
        writes
    });
}

/// One key out of a page of 25, and one that is not in it.
#[divan::bench(args = [3, 77])]
fn read_a_key_of_a_page(bencher: Bencher<'_, '_>, key: u64) {
    let mut writes = Vec::new();
    page_writes(NameId(1), &[], &rows(), &mut writes);
    let page = writes.first().and_then(Page::written).unwrap_or_else(|| panic!("a page"));
    let key = (key << 40).to_be_bytes();
    bencher.bench_local(|| page.row(black_box(&key)));
}
