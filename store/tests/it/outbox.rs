//! Effects: in the outbox from the step that asks to the entry that answers, once.

use std::sync::Arc;

use bytes::Bytes;
use impresario_store::{Commit, EffectId, Journal, NameId, NewEffect, PendingEffect, StoreError, Writer};

use crate::support::{NOON, Owner, commit, in_memory, open, put, send};

fn id(index: u16) -> EffectId {
    EffectId { seq: 1, writer: 2, index }
}

fn asking(topic: NameId, indexes: &[u16]) -> Commit {
    let mut asking = commit(topic, ["asked"]);
    asking.effects = indexes
        .iter()
        .map(|index| NewEffect { id: id(*index), partition: 9, topic, body: Bytes::from(format!("do {index}")) })
        .collect();
    asking
}

fn answer(topic: NameId, index: u16) -> Commit {
    let mut answer = commit(topic, ["done"]);
    answer.settled.push(id(index));
    answer
}

fn pending(journal: &Journal) -> Vec<u16> {
    journal.pending_effects().expect("effects").into_iter().map(|effect| effect.id.index).collect()
}

#[test]
fn an_effect_is_pending_until_its_answer_is_in() {
    let (engine, journal) = in_memory();
    let topic = journal.name("mail").expect("a name");
    put(&journal, NOON, commit(topic, ["cause"]));
    let (_, effects) = journal.commit_one(NOON, asking(topic, &[0, 1, 2])).expect("a receipt");
    let expected = PendingEffect { id: id(1), partition: 9, topic, body: Bytes::from("do 1") };
    assert_eq!(effects[1], expected);
    assert_eq!(expected.id.to_string(), "1-2-1");
    put(&journal, NOON, answer(topic, 1));
    assert_eq!(pending(&journal), [0, 2]);
    let journal = open(Arc::new(engine.fork()));
    assert_eq!(pending(&journal), [0, 2]);
    assert_eq!(
        journal.pending_effects().expect("effects")[1],
        PendingEffect { id: id(2), body: Bytes::from("do 2"), ..expected }
    );
    put(&journal, NOON, answer(topic, 0));
    put(&journal, NOON, answer(topic, 2));
    assert_eq!(pending(&journal), []);
}

#[test]
fn an_effect_is_answered_once() {
    let (engine, journal) = in_memory();
    let topic = journal.name("mail").expect("a name");
    put(&journal, NOON, commit(topic, ["cause"]));
    put(&journal, NOON, asking(topic, &[0]));
    assert!(matches!(journal.commit_one(NOON, asking(topic, &[0])), Err(StoreError::Conflict { .. })), "asked twice");
    let (answers, _) = journal.commit(NOON, vec![answer(topic, 0), answer(topic, 0)]).expect("a group");
    assert!(answers[0].is_ok() && matches!(answers[1], Err(StoreError::Conflict { .. })));
    journal.sync().expect("a sync");
    let journal = open(Arc::new(engine.fork()));
    assert!(journal.commit_one(NOON, answer(topic, 0)).is_err(), "also after a crash");
    assert_eq!(journal.head(), 3);
}

#[test]
fn effects_are_handed_on_once_they_are_durable() {
    let (engine, journal) = in_memory();
    let topic = journal.name("mail").expect("a name");
    put(&journal, NOON, commit(topic, ["cause"]));
    let owner = Owner::default();
    let writer = Writer::start(Arc::clone(&journal), owner.clone()).expect("a writer");
    let mut step = asking(topic, &[3]);
    step.durability = impresario_store::Durability::Written;
    send(&writer, step).recv().expect("an answer").expect("a receipt");
    writer.close();
    let told: Vec<_> = owner.0.effects.lock().iter().map(|effect| effect.id).collect();
    assert_eq!(told, [id(3)]);
    assert_eq!(pending(&open(Arc::new(engine.fork()))), [3], "an effect waits for the disk, whoever asks");
}
