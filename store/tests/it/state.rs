//! State written behind, marks and values of the directory.

use std::sync::Arc;

use impresario_store::{Commit, Journal, NameId, Op};

use crate::support::{NOON, in_memory, noise, on_sled, open, put};

fn write(journal: &Journal, writes: Vec<Op>) {
    let mut commit = Commit::new(journal.name("a").expect("a name"));
    commit.durability = impresario_store::Durability::Synced;
    commit.writes = writes;
    put(journal, NOON, commit);
}

fn rows(journal: &Journal, owner: NameId, from: &[u8], limit: usize) -> Vec<(Vec<u8>, u64, Vec<u8>)> {
    let rows = journal.states(owner, from, limit).expect("rows");
    rows.into_iter().map(|row| (row.key.to_vec(), row.seq, row.body.to_vec())).collect()
}

#[test]
fn states_marks_and_values_come_back() {
    let directory = tempfile::tempdir().expect("a directory");
    let large = noise(1, 50_000);
    let check = |journal: &Journal| {
        let (a, b) = (journal.name("a").expect("a name"), journal.name("b").expect("a name"));
        let state = journal.state(a, b"k2").expect("a read").expect("a row");
        assert_eq!((state.key.as_ref(), state.seq, state.body.as_ref()), (&b"k2"[..], 8, large.as_slice()));
        assert!(journal.state(a, b"k3").expect("a read").is_none());
        assert_eq!(rows(journal, a, b"", 9).len(), 2);
        assert_eq!(rows(journal, a, b"k2", 9), [(b"k2".to_vec(), 8, large.clone())]);
        assert_eq!(rows(journal, a, b"", 1), [(b"k1".to_vec(), 7, b"new".to_vec())]);
        assert_eq!(rows(journal, b, b"", 9), [(b"k1".to_vec(), 3, b"of b".to_vec())]);
        let mark = journal.mark(a).expect("a read").expect("a mark");
        assert_eq!((mark.floor, mark.shared.as_ref()), (6, &b"shared"[..]));
        assert!(journal.mark(b).expect("a read").is_none());
        assert_eq!(journal.meta("seed").expect("a read").as_deref(), Some(&b"42"[..]));
        assert_eq!(journal.meta("none").expect("a read"), None);
    };
    let fill = |journal: &Journal| {
        let (a, b) = (journal.name("a").expect("a name"), journal.name("b").expect("a name"));
        write(
            journal,
            vec![
                Journal::state_write(a, b"k1", 5, b"old"),
                Journal::state_write(a, b"k2", 8, &large),
                Journal::state_write(a, b"k3", 5, b"gone"),
                Journal::state_write(b, b"k1", 3, b"of b"),
                Journal::meta_write("seed", b"42"),
            ],
        );
        write(
            journal,
            vec![
                Journal::state_write(a, b"k1", 7, b"new"),
                Journal::state_delete(a, b"k3"),
                Journal::mark_write(a, 6, b"shared"),
            ],
        );
    };
    let (engine, journal) = in_memory();
    fill(&journal);
    check(&journal);
    check(&open(Arc::new(engine.fork())));
    let journal = on_sled(directory.path());
    fill(&journal);
    journal.close().expect("a close");
    drop(journal);
    check(&on_sled(directory.path()));
}

#[test]
fn state_goes_in_with_its_step_or_not_at_all() {
    let (engine, journal) = in_memory();
    let a = journal.name("a").expect("a name");
    let mut step = crate::support::commit(a, ["said"]);
    step.durability = impresario_store::Durability::Written;
    step.writes.push(Journal::state_write(a, b"k", 1, b"x"));
    put(&journal, NOON, step);
    let lost = open(Arc::new(engine.fork()));
    assert!(lost.head() == 0 && lost.state(a, b"k").expect("a read").is_none());
    journal.sync().expect("a sync");
    let kept = open(Arc::new(engine.fork()));
    assert!(kept.head() == 1 && kept.state(a, b"k").expect("a read").is_some());
}
