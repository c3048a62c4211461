//! Any commits, in any order, with crashes in between, against a model of a few lines.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use impresario_store::{
    Commit, CursorMove, Durability, EffectId, Engine, Journal, JournalLimits, MemoryEngine, NameId, NewEffect, Receipt,
    TimerKey, TimerOp,
};
use proptest::{prelude::*, test_runner::Config};

use crate::support::{NOON, each, entry, sled};

#[derive(Clone, Debug)]
enum Act {
    Commit(Step),
    Sync,
    /// Only what was synced is left.
    PowerCut,
    /// All that was committed is left.
    Kill,
    /// Closed and opened again.
    Reopen,
}

#[derive(Clone, Debug)]
struct Step {
    after_ms: i64,
    /// Message id and length of each entry.
    entries: Vec<(u64, usize)>,
    cursor: Option<(u64, u64)>,
    timer: Option<(i64, u16)>,
    cancel: Option<u16>,
    effect: Option<u16>,
    settle: Option<u16>,
    request: Option<u8>,
    state: Option<(u8, usize)>,
    synced: bool,
}

/// What a journal should hold, said as simply as can be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Model {
    entries: Vec<(i64, u64, Bytes)>,
    /// When each was set, and its body.
    timers: BTreeMap<TimerKey, (i64, Bytes)>,
    ids: BTreeSet<u64>,
    cursor: u64,
    outbox: BTreeSet<EffectId>,
    requests: BTreeMap<u8, u64>,
    states: BTreeMap<u8, (u64, usize)>,
    clock: i64,
}

const WORKER: NameId = NameId(2);

fn body(number: u64, length: usize) -> Bytes {
    Bytes::from(crate::support::noise(number, length))
}

impl Model {
    fn pass(&mut self, now_ms: i64) {
        while let Some((key, (set, body))) = self.timers.first_key_value().map(|(key, body)| (*key, body.clone()))
            && key.due_ms <= now_ms
        {
            self.timers.remove(&key);
            self.entries.push((key.due_ms.max(set), key.seq, body));
        }
        self.clock = self.clock.max(now_ms);
    }

    fn effect(&self, index: u16) -> EffectId {
        EffectId { seq: 0, writer: 1, index }
    }

    fn commit(&mut self, step: &Step) -> Option<Receipt> {
        self.pass(self.clock + step.after_ms);
        let receipt = Receipt { at_ms: self.clock, ..Receipt::default() };
        let head = self.entries.len() as u64;
        if let Some(seq) = step.request.and_then(|request| self.requests.get(&request)) {
            return Some(Receipt { repeated: Some(*seq), ..receipt });
        }
        let (cursor, effect, settle) = (step.cursor, step.effect, step.settle);
        let refused = cursor.is_some_and(|(expect, to)| expect != self.cursor || to < expect || to > head)
            || effect.is_some_and(|index| self.outbox.contains(&self.effect(index)))
            || settle.is_some_and(|index| !self.outbox.contains(&self.effect(index)));
        if refused {
            return None;
        }
        let mut receipt = receipt;
        for (id, length) in &step.entries {
            if *id != 0 && !self.ids.insert(*id) {
                receipt.duplicates += 1;
                continue;
            }
            self.entries.push((self.clock, 0, body(*id, *length)));
            receipt.last = self.entries.len() as u64;
            receipt.first = if receipt.first == 0 { receipt.last } else { receipt.first };
        }
        self.cursor = cursor.map_or(self.cursor, |(_, to)| to);
        if let Some((due, index)) = step.timer {
            self.timers.insert(timer(self.clock + due, index), (self.clock, body(index.into(), 9)));
        }
        if let Some(index) = step.cancel {
            self.timers.remove(&timer(self.clock, index));
        }
        self.outbox.extend(effect.map(|index| EffectId { seq: 0, writer: 1, index }));
        settle.map(|index| self.outbox.remove(&EffectId { seq: 0, writer: 1, index }));
        if let Some((key, length)) = step.state {
            self.states.insert(key, (head, length));
        }
        if let Some(request) = step.request {
            self.requests.insert(request, receipt.first);
        }
        Some(receipt)
    }
}

fn timer(due_ms: i64, index: u16) -> TimerKey {
    TimerKey { due_ms, seq: 0, writer: 1, index }
}

/// The same step as a commit, at the same instant.
fn commit_of(step: &Step, model: &Model) -> (i64, Commit) {
    let now_ms = model.clock + step.after_ms;
    let mut passed = model.clone();
    passed.pass(now_ms);
    let topic = NameId(1);
    let mut commit = Commit::new(topic);
    commit.durability = if step.synced { Durability::Synced } else { Durability::Written };
    commit.entries = step.entries.iter().map(|(id, length)| entry(topic, body(*id, *length))).collect();
    commit.entries.iter_mut().zip(&step.entries).for_each(|(entry, (id, _))| entry.dedup = *id);
    commit.cursor = step.cursor.map(|(expect, to)| CursorMove { worker: WORKER, expect, to });
    commit.timers.extend(step.timer.map(|(due, index)| TimerOp::Set {
        key: timer(passed.clock + due, index),
        partition: 1,
        topic,
        body: body(index.into(), 9),
    }));
    commit.timers.extend(step.cancel.map(|index| TimerOp::Cancel(timer(passed.clock, index))));
    commit.effects.extend(step.effect.map(|index| NewEffect {
        id: model.effect(index),
        partition: 1,
        topic,
        body: Bytes::from_static(b"do"),
    }));
    commit.settled.extend(step.settle.map(|index| model.effect(index)));
    let head = passed.entries.len() as u64;
    commit
        .writes
        .extend(step.state.map(|(key, length)| Journal::state_write(WORKER, &[key], head, &body(head, length))));
    commit.request = step.request.map(|request| [request; 16]);
    (now_ms, commit)
}

fn check(journal: &Journal, model: &Model) {
    assert_eq!(each(journal, |entry| (entry.at_ms, entry.cause, entry.body.clone())), model.entries);
    assert_eq!(journal.cursor(WORKER), model.cursor);
    let timers: Vec<_> = journal.timers().into_iter().map(|(key, _)| key).collect();
    assert_eq!(timers, model.timers.keys().copied().collect::<Vec<_>>());
    let effects = journal.pending_effects().expect("effects").into_iter().map(|effect| effect.id);
    assert_eq!(effects.collect::<BTreeSet<_>>(), model.outbox);
    let states = journal.states(WORKER, &[], usize::MAX).expect("states").into_iter();
    let states: Vec<_> = states.map(|row| (row.key.to_vec(), row.seq, row.body)).collect();
    let expected = model.states.iter().map(|(key, (seq, length))| (vec![*key], *seq, body(*seq, *length)));
    assert_eq!(states, expected.collect::<Vec<_>>());
}

fn open(engine: Arc<dyn Engine>) -> Arc<Journal> {
    let limits = JournalLimits {
        tail_entries_max: 7,
        block_raw_bytes: 500,
        timers_per_group_max: 3,
        ..JournalLimits::default()
    };
    let journal = Journal::open(engine, limits).expect("a journal");
    journal.name("topic").expect("a name");
    journal.name("worker").expect("a name");
    journal
}

fn run(journal: &Journal, model: &mut Model, step: &Step) {
    let (now_ms, commit) = commit_of(step, model);
    let answer = journal.commit_one(now_ms, commit).map(|(receipt, _)| receipt);
    assert_eq!(answer.ok(), model.commit(step));
}

fn in_memory(acts: &[Act], held_max: usize) {
    let mut engine = Arc::new(MemoryEngine::new());
    let mut journal = open(Arc::<MemoryEngine>::clone(&engine));
    journal.hold_back(held_max);
    let mut model = Model { clock: NOON, ..Model::default() };
    let mut durable = model.clone();
    for act in acts {
        match act {
            Act::Commit(step) => {
                run(&journal, &mut model, step);
                durable = if step.synced { model.clone() } else { durable };
            }
            Act::Sync => {
                journal.sync().expect("a sync");
                durable = model.clone();
            }
            crash => {
                engine = Arc::new(match crash {
                    Act::PowerCut => engine.fork(),
                    // What is held back in memory goes with the process.
                    _ if held_max > 0 => engine.fork(),
                    _ => engine.snapshot(),
                });
                if held_max > 0 || matches!(crash, Act::PowerCut) {
                    // The clock runs on over a power cut.
                    model = Model { clock: model.clock, ..durable.clone() };
                }
                journal = open(Arc::<MemoryEngine>::clone(&engine));
                journal.hold_back(held_max);
            }
        }
        check(&journal, &model);
    }
    assert_eq!(journal.verify(|_| {}).expect("a report").damage, Vec::new());
}

fn on_sled(acts: &[Act]) {
    let _alone = crate::support::MUCH_WRITING.lock();
    let directory = tempfile::tempdir().expect("a directory");
    let mut journal = Some(open(Arc::new(sled(directory.path()))));
    let mut model = Model { clock: NOON, ..Model::default() };
    for act in acts {
        let opened = journal.take().unwrap_or_else(|| open(Arc::new(sled(directory.path()))));
        check(&opened, &model);
        match act {
            Act::Commit(step) => run(&opened, &mut model, step),
            Act::Sync => opened.sync().expect("a sync"),
            _ => {
                opened.close().expect("a close");
                continue;
            }
        }
        journal = Some(opened);
    }
    drop(journal);
    let journal = open(Arc::new(sled(directory.path())));
    check(&journal, &model);
    assert_eq!(journal.verify(|_| {}).expect("a report").damage, Vec::new());
}

fn step() -> impl Strategy<Value = Step> {
    let some = prop::option::weighted::<std::ops::Range<u16>>;
    let length = prop_oneof![8 => 0..120_usize, 1 => 8_000..20_000_usize];
    let entries = prop::collection::vec((0..40_u64, length), 0..6);
    let states = prop::option::weighted(0.3, (0..4_u8, prop_oneof![4 => 0..60_usize, 1 => 8_100..20_000_usize]));
    let when = prop_oneof![4 => 0..30_i64, 1 => 50..300_i64];
    (
        (when, entries, prop::option::weighted(0.4, (0..6_u64, 0..8_u64)), states, any::<bool>()),
        (
            prop::option::weighted(0.5, (-5..100_i64, 0..9_u16)),
            some(0.2, 0..9),
            some(0.3, 0..4),
            some(0.3, 0..4),
            prop::option::weighted(0.2, 0..4_u8),
        ),
    )
        .prop_map(|((after_ms, entries, cursor, state, synced), (timer, cancel, effect, settle, request))| Step {
            after_ms,
            entries,
            cursor,
            timer,
            cancel,
            effect,
            settle,
            request,
            state,
            synced,
        })
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        12 => step().prop_map(Act::Commit),
        2 => Just(Act::Sync),
        2 => Just(Act::PowerCut),
        1 => Just(Act::Kill),
        1 => Just(Act::Reopen),
    ];
    prop::collection::vec(act, 1..60)
}

/// A failing case is printed whole, at its smallest; `PROPTEST_CASES` asks for more of them.
fn config(cases: u32) -> Config {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(cases);
    Config { cases, failure_persistence: None, ..Config::default() }
}

proptest! {
    #![proptest_config(config(128))]
    #[test]
    fn any_history_with_crashes_is_as_the_model_says(acts in acts()) {
        in_memory(&acts, 0);
    }

    #[test]
    fn the_same_where_commits_wait_for_others(acts in acts(), held_max in 1..40_usize) {
        in_memory(&acts, held_max);
    }
}

proptest! {
    #![proptest_config(config(12))]
    #[test]
    fn sled_does_as_the_model_says(acts in acts()) {
        on_sled(&acts);
    }
}
