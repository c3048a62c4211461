//! The same inputs give the same entries and states: twice, on other stores, in other orders.

use std::sync::Arc;

use impresario_runtime::{Driver, RuntimeLimits, journal_digest, store::*};
use proptest::prelude::*;

use crate::{
    crash::{Input, inputs, play},
    support::*,
    toys,
};

fn run(engine: impl Engine, inputs: &[Input], limits: RuntimeLimits, rotate: usize) -> Driver {
    let mut driver = Driver::start(open(Arc::new(engine)), toys::troupe(3).limits(limits), SEED, 0).unwrap();
    driver.rotate(rotate);
    play(&mut driver, inputs);
    driver
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn twice_and_on_sled_gives_the_same_digest(inputs in inputs(5..60)) {
        let mut first = run(MemoryEngine::new(), &inputs, RuntimeLimits::default(), 0);
        let digest = first.digest().unwrap();
        let mut again = run(MemoryEngine::new(), &inputs, RuntimeLimits::default(), 0);
        prop_assert_eq!(again.digest().unwrap(), digest);
        let directory = tempfile::tempdir().unwrap();
        let sled = SledEngine::open(directory.path(), &SledOptions { free_min_percent: 0, ..SledOptions::default() });
        let mut on_sled = run(sled.unwrap(), &inputs, RuntimeLimits::default(), 0);
        prop_assert_eq!(on_sled.digest().unwrap(), digest);
        prop_assert_eq!(on_sled.digest().unwrap().to_string().len(), 64);
    }

    #[test]
    fn the_order_of_workers_and_the_limits_change_no_state(inputs in inputs(5..60), rotate in 1_usize..13) {
        let expected = people(&mut run(MemoryEngine::new(), &inputs, RuntimeLimits::default(), 0));
        prop_assert_eq!(&people(&mut run(MemoryEngine::new(), &inputs, RuntimeLimits::default(), rotate)), &expected);
        prop_assert_eq!(&people(&mut run(MemoryEngine::new(), &inputs, tiny(), rotate)), &expected);
    }
}

#[test]
fn the_digest_sees_every_entry_and_every_state_and_no_number_of_a_name() {
    let inputs = [Input::Deposit { account: 1, amount: 60 }, Input::Rate(2)];
    let digest = |inputs: &[Input], engine| run(engine, inputs, RuntimeLimits::default(), 0).digest().unwrap();
    let plain = digest(&inputs, MemoryEngine::new());
    let other = digest(&[Input::Deposit { account: 1, amount: 61 }, Input::Rate(2)], MemoryEngine::new());
    assert_ne!((plain.journal, plain.states), (other.journal, other.states));
    assert_ne!(plain.whole(), other.whole());
    // The same in a directory whose names have other numbers: timers carry them, so states differ there
    // unless the agents have theirs from the troupe; the entries never do.
    let engine = MemoryEngine::new();
    let journal = Journal::open(Arc::new(engine.snapshot()), JournalLimits::default()).unwrap();
    drop(journal);
    let engine = Arc::new(engine);
    let journal = open(Arc::<MemoryEngine>::clone(&engine));
    journal.name("a name of an older program").unwrap();
    let mut driver = Driver::start(journal, toys::troupe(3), SEED, 0).unwrap();
    play(&mut driver, &inputs);
    assert_eq!(journal_digest(driver.journal()).unwrap(), plain.journal);
}

#[test]
fn a_restart_in_between_changes_no_digest() {
    let inputs: Vec<_> = (1..30_u64)
        .flat_map(|n| [Input::Deposit { account: n % 5 + 1, amount: (n * 7 % 90) as i64 }, Input::Wait(n as i64 * 100)])
        .collect();
    let expected = run(MemoryEngine::new(), &inputs, RuntimeLimits::default(), 0).digest().unwrap();
    let engine = Arc::new(MemoryEngine::new());
    for end in [10, 31, inputs.len()] {
        let journal = open(Arc::<MemoryEngine>::clone(&engine));
        let mut driver = Driver::start(journal, toys::troupe(3), SEED, 0).unwrap();
        play(&mut driver, &inputs[..end]);
        if end == inputs.len() {
            assert_eq!(driver.digest().unwrap(), expected);
        }
        driver.stop().unwrap();
    }
}
