//! An erased entry keeps its place and its hash; its body is gone.

use std::{collections::BTreeSet, sync::Arc};

use impresario_store::{StoreError, codec, compact};

use crate::support::{NOON, bodies, commit, each, in_memory, on_sled, open, put};

#[test]
fn erased_entries_keep_their_place_and_the_chain() {
    let (engine, journal) = in_memory();
    let topic = journal.name("t").expect("a name");
    let encoded: Vec<_> =
        (0..300).map(|number| codec::encode(1, &format!("secret {number}")).expect("a body")).collect();
    for some in encoded.chunks(50) {
        put(&journal, NOON, commit(topic, some));
    }
    let hashes = each(&journal, impresario_store::Entry::body_hash);
    let head = journal.verify(|_| {}).expect("a report").head_hash;
    let gone = BTreeSet::from([0, 1, 2, 77, 150, 300, 301]);
    assert_eq!(journal.erase(&gone).expect("an erasure"), 5);
    assert_eq!(journal.erase(&gone).expect("again"), 0);
    assert_eq!(journal.erase(&BTreeSet::new()).expect("nothing"), 0);
    for journal in [open(Arc::new(engine.fork())), journal] {
        let report = journal.verify(|_| {}).expect("a report");
        assert_eq!(
            (report.damage, report.erased, report.entries, report.head_hash),
            (Vec::new(), 5, 300, head.clone())
        );
        assert_eq!(each(&journal, impresario_store::Entry::body_hash), hashes);
        for (seq, body) in (1..).zip(bodies(&journal)) {
            assert_eq!(body.is_empty(), gone.contains(&seq), "entry {seq}");
        }
        let refused = each(&journal, |entry| entry.decode::<String>(1).map(String::len));
        assert!(matches!(&refused[76], Err(StoreError::Codec(why)) if why.contains("entry 77 is erased")));
        assert_eq!(refused.iter().filter(|read| read.is_err()).count(), 5);
        put(&journal, NOON, commit(topic, ["goes on"]));
        assert_eq!(journal.verify(|_| {}).expect("a report").damage, Vec::new());
    }
    let _ = open(engine).erase(&gone).expect("an empty journal, or one with all of them");
}

#[test]
fn what_may_stay_of_an_erased_entry_stays_in_its_place() {
    let (engine, journal) = in_memory();
    let topic = journal.name("t").expect("a name");
    let encoded = ["anna 1", "bob 2", "anna 3"].map(|body| codec::encode(1, &body).expect("a body"));
    put(&journal, NOON, commit(topic, &encoded));
    let hashes = each(&journal, impresario_store::Entry::body_hash);
    let left = |entry: &impresario_store::Entry| {
        let number = entry.decode::<String>(1).expect("a text").rsplit(' ').next().map(str::to_owned);
        if entry.seq == 1 { codec::encode(1, &number.expect("a number")).expect("a body") } else { bytes::Bytes::new() }
    };
    assert_eq!(journal.erase_but(&BTreeSet::from([1, 3]), left).expect("an erasure"), 2);
    for journal in [open(Arc::new(engine.fork())), journal] {
        assert_eq!(each(&journal, impresario_store::Entry::body_hash), hashes);
        let read = each(&journal, |entry| entry.decode::<String>(1).ok().cloned());
        assert_eq!(read, [None, Some("bob 2".to_owned()), None]);
        let left = each(&journal, |entry| entry.remainder::<String>(1).expect("a remainder").cloned());
        assert_eq!(left, [Some("1".to_owned()), None, None]);
        let report = journal.verify(|_| {}).expect("a report");
        assert_eq!((report.damage, report.erased), (Vec::new(), 2));
    }
}

#[test]
fn an_empty_journal_has_nothing_to_erase() {
    let (_, journal) = in_memory();
    assert_eq!(journal.erase(&BTreeSet::from([1, 2])).expect("nothing"), 0);
}

#[test]
fn after_a_compaction_no_file_holds_an_erased_body() {
    let directory = tempfile::tempdir().expect("a directory");
    let journal = on_sled(directory.path());
    let topic = journal.name("t").expect("a name");
    put(&journal, NOON, commit(topic, ["somebody@example.test", "kept-by-law"]));
    put(&journal, NOON, commit(topic, ["later"]));
    let holds = |word: &str| {
        let files =
            std::fs::read_dir(directory.path().join("sled")).expect("files").map(|file| file.expect("a file").path());
        files.filter(|file| file.is_file()).any(|file| {
            let bytes = std::fs::read(file).expect("a file");
            bytes.windows(word.len()).any(|window| window == word.as_bytes())
        })
    };
    assert!(holds("somebody@example.test") && holds("kept-by-law"), "short bodies are stored as they are");
    journal.erase(&BTreeSet::from([1])).expect("an erasure");
    journal.close().expect("a close");
    drop(journal);
    compact(directory.path()).expect("a compaction");
    assert!(!holds("somebody@example.test"));
    assert!(holds("kept-by-law"));
    let journal = on_sled(directory.path());
    assert_eq!(bodies(&journal), ["", "kept-by-law", "later"]);
    assert_eq!(journal.verify(|_| {}).expect("a report").damage, Vec::new());
}
