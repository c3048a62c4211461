//! Crashes: whatever is lost, wherever it happens, what comes of it is what would have come without.

use std::sync::Arc;

use impresario_runtime::{Driver, RuntimeLimits, Troupe, new_entry, store::*};
use proptest::prelude::*;

use crate::{
    support::*,
    toys::{self, *},
};

/// What is done to the troupe, in order.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    Deposit {
        account: u64,
        amount: i64,
    },
    Join {
        loser: u64,
        winner: u64,
    },
    Rate(i64),
    Claim {
        node: u64,
        owner: u64,
    },
    Link {
        one: u64,
        other: u64,
    },
    /// So long nothing else happens.
    Wait(i64),
    /// Everything so far reaches the disk.
    Sync,
}

pub(crate) fn inputs(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Input>> {
    let key = 1_u64..9;
    let input = prop_oneof![
        5 => (key.clone(), -20_i64..100).prop_map(|(account, amount)| Input::Deposit { account, amount }),
        2 => (key.clone(), key.clone()).prop_filter("a key is not merged into itself", |(a, b)| a != b)
            .prop_map(|(a, b)| Input::Join { loser: a.max(b), winner: a.min(b) }),
        1 => (1_i64..5).prop_map(Input::Rate),
        3 => (key.clone(), key.clone()).prop_map(|(node, owner)| Input::Claim { node, owner }),
        2 => (key.clone(), key).prop_map(|(one, other)| Input::Link { one, other }),
        2 => (1_i64..1_500).prop_map(Input::Wait),
        1 => Just(Input::Sync),
    ];
    prop::collection::vec(input, count)
}

/// Does all inputs from the first: each has an id, so that one that is in the journal is dropped.
pub(crate) fn play(driver: &mut Driver, inputs: &[Input]) {
    let mut now_ms = 0;
    driver.settle().unwrap();
    for (index, input) in inputs.iter().enumerate() {
        let (dedup, journal) = (index as u64 + 1, Arc::clone(driver.journal()));
        let entry = match *input {
            Input::Deposit { account, amount } => {
                new_entry(&journal, dedup, Deposit { account, amount, note: index as u32 })
            }
            Input::Join { loser, winner } => new_entry(&journal, dedup, Joined { loser, winner }),
            Input::Rate(rate) => new_entry(&journal, dedup, RateSet { rate }),
            Input::Claim { node, owner } => new_entry(&journal, dedup, Claimed { node, owner, claim: index as u32 }),
            Input::Link { one, other } => new_entry(&journal, dedup, Linked { one, other }),
            Input::Wait(wait_ms) => {
                now_ms += wait_ms;
                driver.advance_to(now_ms).unwrap();
                continue;
            }
            Input::Sync => {
                journal.sync().unwrap();
                continue;
            }
        };
        let mut commit = Commit::new(OUTSIDE);
        commit.entries.push(entry.unwrap());
        driver.submit(commit).unwrap();
        driver.settle().unwrap();
    }
}

fn start(engine: impl Engine, troupe: Troupe) -> Driver {
    let limits = JournalLimits { tail_entries_max: 4, ..JournalLimits::default() };
    Driver::start(Journal::open(Arc::new(engine), limits).unwrap(), troupe, SEED, 0).unwrap()
}

fn never_crashed(inputs: &[Input], limits: &RuntimeLimits, workers: usize) -> People {
    let mut driver = start(MemoryEngine::new(), toys::troupe(workers).limits(limits.clone()));
    play(&mut driver, inputs);
    let people = people(&mut driver);
    for ((agent, _), state) in &people {
        assert!(agent != "watcher" || !state.contains(":2"), "a note was said twice: {state}");
    }
    people
}

/// Leaves of an image what the journal itself holds: states and marks are to be made anew from it.
fn journal_alone(image: &MemoryEngine) -> MemoryEngine {
    let image = image.snapshot();
    let rows = image.scan(&[], None, usize::MAX).unwrap();
    let caches = rows.into_iter().map(|(key, _)| key).filter(|key| matches!(key.first(), Some(b'p' | b's' | b'v')));
    let ops = caches.map(|key| Op::Delete(key.to_vec())).collect();
    image.commit(WriteBatch { expect: Vec::new(), ops }, Durability::Synced).unwrap();
    image
}

/// Crashes after every `every`th commit, starting with the `from`th.
fn crashes(
    inputs: &[Input],
    limits: &RuntimeLimits,
    workers: usize,
    (from, every): (usize, usize),
    take: fn(&MemoryEngine) -> MemoryEngine,
) -> Result<(), TestCaseError> {
    let expected = never_crashed(inputs, limits, workers);
    let filmed = Arc::new(Filmed::new(MemoryEngine::new(), take));
    let journal = Journal::open(Arc::<Filmed>::clone(&filmed), JournalLimits::default()).unwrap();
    let mut driver = Driver::start(journal, toys::troupe(workers).limits(limits.clone()), SEED, 0).unwrap();
    play(&mut driver, inputs);
    drop(driver);
    let images = std::mem::take(&mut *filmed.images.lock());
    for (index, image) in images.into_iter().enumerate().skip(from).step_by(every) {
        // What is written behind is a cache: with it and without it the same state comes back.
        let mut cached = start(image.snapshot(), toys::troupe(workers).limits(limits.clone()));
        let mut folded = start(journal_alone(&image), toys::troupe(workers).limits(limits.clone()));
        let (cached_digest, folded_digest) = (cached.states_digest().unwrap(), folded.states_digest().unwrap());
        prop_assert_eq!(cached_digest, folded_digest, "after commit {}", index);

        // It goes on, crashes again on the way, goes on, and comes out where it would have.
        let second = Arc::new(Filmed::once(image, MemoryEngine::snapshot, index * 7 % 20));
        let mut driver =
            Driver::start(open(Arc::<Filmed>::clone(&second)), toys::troupe(workers).limits(limits.clone()), SEED, 0)
                .unwrap();
        play(&mut driver, inputs);
        prop_assert_eq!(&people(&mut driver), &expected, "crashed after commit {}", index);
        drop(driver);
        let again = second.images.lock().pop();
        if let Some(image) = again {
            let mut driver = start(image, toys::troupe(workers).limits(limits.clone()));
            play(&mut driver, inputs);
            prop_assert_eq!(&people(&mut driver), &expected, "crashed after commit {} and again", index);
        }
    }
    Ok(())
}

fn some_limits(which: usize) -> RuntimeLimits {
    match which {
        0 => RuntimeLimits::default(),
        1 => tiny(),
        // The key that waited longest is written alone, however new its last entry.
        4 => RuntimeLimits {
            unwritten_keys_max: 2,
            unwritten_entries_max: 100_000,
            unwritten_ms_max: i64::MAX,
            ..tiny()
        },
        5 => RuntimeLimits { step_entries_max: 10, ..some_limits(4) },
        2 => RuntimeLimits { write_keys_max: 2, unwritten_entries_max: 3, ..tiny() },
        _ => RuntimeLimits { unwritten_entries_max: 0, step_entries_max: 100, ..tiny() },
    }
}

/// One worker alone, in large batches: then even the journal must be the same, entry by entry.
fn crashes_of_one(groups: &[Vec<(u64, u64)>], limits: &RuntimeLimits, every: usize) -> Result<(), TestCaseError> {
    let troupe = || Troupe::new().agent(Nodes).limits(limits.clone());
    let play = |driver: &mut Driver| {
        let mut claim = 0;
        for group in groups {
            let mut commit = Commit::new(OUTSIDE);
            for &(node, owner) in group {
                claim += 1;
                let claimed = Claimed { node, owner, claim };
                commit.entries.push(new_entry(driver.journal(), u64::from(claim), claimed).unwrap());
            }
            driver.submit(commit).unwrap();
            driver.settle().unwrap();
        }
        driver.digest().unwrap()
    };
    let expected = play(&mut start(MemoryEngine::new(), troupe()));
    for take in [MemoryEngine::snapshot, MemoryEngine::fork] {
        let filmed = Arc::new(Filmed::new(MemoryEngine::new(), take));
        let mut driver = Driver::start(open(Arc::<Filmed>::clone(&filmed)), troupe(), SEED, 0).unwrap();
        play(&mut driver);
        let images = std::mem::take(&mut *filmed.images.lock());
        for (index, image) in images.into_iter().enumerate().step_by(every) {
            let cached = start(image.snapshot(), troupe()).states_digest().unwrap();
            let folded = start(journal_alone(&image), troupe()).states_digest().unwrap();
            prop_assert_eq!(cached, folded, "after commit {}", index);
            prop_assert_eq!(play(&mut start(image, troupe())), expected, "crashed after commit {}", index);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn pointers_that_stand_later_than_an_entry_are_not_followed_for_it(
        groups in prop::collection::vec(prop::collection::vec((1_u64..6, 1_u64..6), 1..20), 1..6),
        which in 0_usize..6, every in 1_usize..4,
    ) {
        crashes_of_one(&groups, &some_limits(which), every)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_killed_process_comes_out_where_it_would_have(
        inputs in inputs(5..40), which in 0_usize..5, workers in 1_usize..4, from in 0_usize..7,
    ) {
        crashes(&inputs, &some_limits(which), workers, (from, 7), MemoryEngine::snapshot)?;
    }

    #[test]
    fn a_power_cut_comes_out_where_it_would_have(
        inputs in inputs(5..40), which in 0_usize..5, workers in 1_usize..4, from in 0_usize..9,
    ) {
        crashes(&inputs, &some_limits(which), workers, (from, 9), MemoryEngine::fork)?;
    }
}

/// Pointers, chains and late claims, every single commit, with three workers.
#[test]
fn merges_in_chains_survive_a_crash_after_every_commit() {
    let deposit = |account| Input::Deposit { account, amount: 60 };
    let join = |loser, winner| Input::Join { loser, winner };
    let claim = |node, owner| Input::Claim { node, owner };
    let story = [
        deposit(7),
        deposit(6),
        deposit(5),
        claim(7, 6),
        claim(6, 5),
        deposit(7),
        join(7, 6),
        deposit(6),
        Input::Wait(1_200),
        join(6, 5),
        deposit(7),
        deposit(5),
        claim(7, 3),
        claim(8, 7),
        Input::Rate(3),
        join(5, 2),
        join(8, 2),
        Input::Wait(900),
        deposit(2),
        claim(5, 1),
        Input::Sync,
        deposit(8),
        claim(8, 1),
        join(2, 1),
        Input::Rate(2),
        deposit(1),
        Input::Wait(5_000),
        Input::Link { one: 1, other: 2 },
        Input::Link { one: 3, other: 4 },
        Input::Link { one: 4, other: 2 },
    ];
    crashes(&story, &some_limits(4), 3, (0, 2), MemoryEngine::snapshot).unwrap();
    for which in [0, 2, 3, 4] {
        crashes(&story, &some_limits(which), 3, (which, 7), MemoryEngine::snapshot).unwrap();
        crashes(&story, &some_limits(which), 3, (which, 7), MemoryEngine::fork).unwrap();
    }
    let people = never_crashed(&story, &tiny(), 3);
    let ledgers: Vec<_> = people.keys().filter(|(agent, _)| agent == "ledger").collect();
    assert_eq!(ledgers.len(), 1, "all accounts have become one: {people:?}");
}
