//! Failing agents, under the driver: its held clock shows every delay.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use impresario_runtime::{Condition, DeadLetter, Driver, RuntimeError, RuntimeLimits, Troupe, store::MemoryEngine};
use proptest::prelude::*;

use crate::{
    fragile::{Fragile, How, Pairs, Setting, Settings, Touch, Touched},
    support::*,
    toys::{Deposit, Ledger},
};

fn touch(key: u64, how: How, note: u32) -> Touch {
    Touch { key, how, note }
}

fn notes(driver: &mut Driver, key: u64) -> Vec<u32> {
    driver.read::<Fragile, _>(&key, |reading| reading.get(&key).unwrap().cloned()).unwrap().unwrap_or_default()
}

fn fragile(broken: u32) -> (Driver, Arc<AtomicU32>) {
    let agent = Fragile::default();
    agent.broken.store(broken, Ordering::Release);
    let broken = Arc::clone(&agent.broken);
    (driver(Troupe::new().agent(agent).agent(Ledger)), broken)
}

#[test]
fn a_poison_entry_is_set_aside_after_three_tries_and_the_next_of_its_key_is_folded() {
    let (mut driver, _) = fragile(0);
    for (how, note) in [(How::Well, 1), (How::Panics, 2), (How::Well, 3)] {
        driver.say(touch(5, how, note)).unwrap();
    }
    driver.settle().unwrap();
    assert_eq!(notes(&mut driver, 5), [1, 3]);
    let said: Vec<_> = bodies::<Touched>(driver.journal()).into_iter().map(|touched| touched.0).collect();
    assert_eq!(said, [1, 3], "a failed handling says nothing");
    assert!((100..=120).contains(&driver.now_ms()), "one restart: {}", driver.now_ms());
    let letters = driver.dead_letters("fragile", 0, 10).unwrap();
    assert_eq!((letters.len(), letters[0].seq, letters[0].topic.as_str()), (1, 2, "touch"));
    assert!(letters[0].why.contains("told to"), "{letters:?}");
    assert_eq!(bodies::<DeadLetter>(driver.journal()).len(), 1);
    let status = &driver.status()[0].workers[0];
    assert_eq!((status.restarts, status.dead_letters, status.condition), (1, 1, Condition::Running));
    assert!(status.last_error.as_deref().unwrap().contains("entry 2"), "{status:?}");
}

#[test]
fn what_breaks_for_a_while_is_folded_in_the_end_and_nothing_is_lost() {
    for how in [How::PanicsWhileBroken, How::WaitsWhileBroken] {
        let (mut driver, _) = fragile(2);
        for note in 1..=3 {
            driver.say(touch(5, how, note)).unwrap();
        }
        driver.settle().unwrap();
        assert_eq!(notes(&mut driver, 5), [1, 2, 3]);
        assert_eq!(bodies::<Touched>(driver.journal()).len(), 3);
        assert!(driver.dead_letters("fragile", 0, 10).unwrap().is_empty());
    }
}

#[test]
fn who_asks_to_wait_may_wait_for_hours() {
    let (mut driver, _) = fragile(400);
    driver.say(touch(5, How::WaitsWhileBroken, 1)).unwrap();
    driver.settle().unwrap();
    assert_eq!(notes(&mut driver, 5), [1]);
    assert!(driver.now_ms() > 3 * 3_600_000, "{}", driver.now_ms());
}

#[test]
fn a_refused_entry_is_set_aside_at_once() {
    let (mut driver, _) = fragile(0);
    for note in 0..20 {
        driver.say(touch(5, if note % 2 == 0 { How::Refuses } else { How::Well }, note)).unwrap();
    }
    driver.settle().unwrap();
    assert_eq!(driver.now_ms(), 0, "with no delay");
    assert_eq!(notes(&mut driver, 5), (0..20).filter(|note| note % 2 == 1).collect::<Vec<_>>());
    assert_eq!(driver.dead_letters("fragile", 0, 100).unwrap().len(), 10);
    let page = driver.dead_letters("fragile", 5, 2).unwrap();
    assert_eq!(page.iter().map(|letter| letter.seq).collect::<Vec<_>>().len(), 2);
    assert!(page.iter().all(|letter| letter.seq > 5));
}

#[test]
fn an_agent_that_breaks_at_everything_is_suspended_alone_until_it_is_resumed() {
    let (mut driver, broken) = fragile(1_000_000);
    for note in 0..40 {
        driver.say(touch(note.into(), How::PanicsWhileBroken, note)).unwrap();
        driver.say(Deposit { account: 1, amount: 1, note }).unwrap();
    }
    let error = driver.settle().unwrap_err();
    assert!(matches!(&error, RuntimeError::Suspended { agent, worker: 0, .. } if agent == "fragile"), "{error}");
    assert!(error.to_string().contains("broken"), "{error}");
    let status = driver.status();
    assert_eq!(status[0].workers[0].condition, Condition::Suspended);
    assert_eq!((status[1].workers[0].condition, status[1].workers[0].lag), (Condition::Running, 0), "others go on");
    let letters = driver.dead_letters("fragile", 0, 100).unwrap().len();
    assert!(letters < 16, "the entries are not to blame: {letters}");
    broken.store(0, Ordering::Release);
    driver.resume("fragile").unwrap();
    driver.settle().unwrap();
    assert_eq!(driver.status()[0].workers[0].condition, Condition::Running);
    let folded = (0..40).filter(|note| notes(&mut driver, *note) == [*note as u32]).count();
    assert_eq!(folded + letters, 40, "nothing is lost");
}

/// One person whose every event breaks says nothing of the others.
#[test]
fn much_poison_of_one_key_in_a_row_never_suspends() {
    let (mut driver, _) = fragile(0);
    for note in 0..100 {
        driver.say(touch(5, How::Panics, note)).unwrap();
    }
    driver.say(touch(6, How::Well, 1)).unwrap();
    driver.settle().unwrap();
    assert_eq!(driver.dead_letters("fragile", 0, 1_000).unwrap().len(), 100);
    assert_eq!(notes(&mut driver, 6), [1]);
}

#[test]
fn poison_among_much_else_never_suspends() {
    let (mut driver, _) = fragile(0);
    for note in 0..300 {
        driver.say(touch(u64::from(note % 7), if note % 10 == 3 { How::Panics } else { How::Well }, note)).unwrap();
    }
    driver.settle().unwrap();
    assert_eq!(driver.dead_letters("fragile", 0, 1_000).unwrap().len(), 30);
    let folded: usize = (0..7).map(|key| notes(&mut driver, key).len()).sum();
    assert_eq!(folded, 270);
}

#[test]
fn a_dead_letter_is_retried_or_dropped_and_stays_so_after_a_crash() {
    let engine = Arc::new(MemoryEngine::new());
    let agent = Fragile::default();
    let broken = Arc::clone(&agent.broken);
    broken.store(9, Ordering::Release);
    let troupe = Troupe::new().agent(agent).agent(Ledger);
    let mut driver = Driver::start(open(Arc::<MemoryEngine>::clone(&engine)), troupe, SEED, 0).unwrap();
    driver.say(touch(5, How::Well, 1)).unwrap();
    for note in 2..=4 {
        driver.say(touch(5, How::PanicsWhileBroken, note)).unwrap();
    }
    driver.say(touch(5, How::Well, 5)).unwrap();
    driver.settle().unwrap();
    assert_eq!(notes(&mut driver, 5), [1, 5]);
    let letters: Vec<_> = driver.dead_letters("fragile", 0, 10).unwrap().iter().map(|letter| letter.seq).collect();
    assert_eq!(letters, [2, 3, 4]);

    // Still broken: the letter waits on, with no letter about the letter.
    broken.store(3, Ordering::Release);
    driver.retry_letter("fragile", 2).unwrap();
    driver.settle().unwrap();
    assert_eq!(driver.dead_letters("fragile", 0, 10).unwrap().len(), 3);

    driver.retry_letter("fragile", 2).unwrap();
    driver.drop_letter("fragile", 3).unwrap();
    driver.settle().unwrap();
    driver.say(touch(5, How::Well, 6)).unwrap();
    driver.settle().unwrap();
    assert_eq!(notes(&mut driver, 5), [1, 5, 2, 6], "folded where it was retried");
    let left: Vec<_> = driver.dead_letters("fragile", 0, 10).unwrap().iter().map(|letter| letter.seq).collect();
    assert_eq!(left, [4]);
    for seq in [1, 2, 3, 77] {
        let error = driver.retry_letter("fragile", seq).unwrap_err();
        assert!(matches!(error, RuntimeError::UnknownLetter { .. }), "{error}");
    }
    assert_eq!(driver.status()[0].workers[0].dead_letters, 1);

    let digest = driver.states_digest().unwrap();
    let troupe = driver.abandon();
    let mut driver = Driver::start(open(Arc::new(engine.snapshot())), troupe, SEED, 0).unwrap();
    assert_eq!(
        driver.status()[0].workers[0].refolded,
        driver.journal().cursor(driver.journal().name("fragile/0").unwrap())
    );
    driver.settle().unwrap();
    assert_eq!(driver.states_digest().unwrap(), digest);
    assert_eq!(notes(&mut driver, 5), [1, 5, 2, 6]);
    driver.retry_letter("fragile", 4).unwrap();
    driver.settle().unwrap();
    assert_eq!(notes(&mut driver, 5), [1, 5, 2, 6, 4]);
    // After a clean stop nothing is folded again, and settled letters are forgotten.
    let troupe = driver.stop().unwrap();
    let mut driver = Driver::start(open(Arc::new(engine.snapshot())), troupe, SEED, 0).unwrap();
    driver.settle().unwrap();
}

#[test]
fn what_keys_share_is_never_kept_spoilt() {
    let engine = Arc::new(MemoryEngine::new());
    let troupe = Troupe::new().agent(Fragile::default());
    let mut driver = Driver::start(open(Arc::<MemoryEngine>::clone(&engine)), troupe, SEED, 0).unwrap();
    let mut commit = said(driver.journal(), Setting(1));
    for setting in [2, -3, 4] {
        commit.entries.extend(said(driver.journal(), Setting(setting)).entries);
    }
    driver.submit(commit).unwrap();
    driver.settle().unwrap();
    let settings = |driver: &mut Driver| {
        driver.read_worker::<Fragile, _>(0, |reading| reading.shared::<Settings>().unwrap().0.clone()).unwrap()
    };
    assert_eq!(settings(&mut driver), [1, 2, 4]);
    let troupe = driver.abandon();
    let mut driver = Driver::start(open(Arc::new(engine.snapshot())), troupe, SEED, 0).unwrap();
    assert_eq!(settings(&mut driver), [1, 2, 4]);
}

#[test]
fn a_worker_that_cannot_start_is_suspended_and_says_why() {
    let engine = Arc::new(MemoryEngine::new());
    let journal = open(Arc::<MemoryEngine>::clone(&engine));
    let mut driver = Driver::start(journal, Troupe::new().agent(Ledger), SEED, 0).unwrap();
    driver.say(Deposit { account: 1, amount: 1, note: 1 }).unwrap();
    driver.settle().unwrap();
    let worker = driver.journal().name("ledger/0").unwrap();
    driver.stop().unwrap();
    // The state of account 1 is not what this program can read.
    let journal = open(engine);
    let mut commit = impresario_runtime::store::Commit::new(impresario_runtime::store::OUTSIDE);
    let key = 1_u64.to_be_bytes().to_vec().into();
    let row = impresario_runtime::store::StateRow { key, seq: 1, body: vec![1, 0xc1].into() };
    impresario_runtime::store::page_writes(worker, &[], &[row], &mut commit.writes);
    journal.commit_one(0, commit).unwrap();
    let mut driver = Driver::start(journal, Troupe::new().agent(Ledger), SEED, 0).unwrap();
    driver.say(Deposit { account: 1, amount: 1, note: 2 }).unwrap();
    let error = driver.settle().unwrap_err();
    assert!(matches!(error, RuntimeError::Suspended { .. }), "{error}");
    assert!(error.to_string().contains("damaged"), "{error}");
    assert!(driver.dead_letters("ledger", 0, 10).unwrap().is_empty(), "the entry is not to blame");
    assert!(driver.now_ms() < 60_000);
}

/// The states of a troupe after `touches`, from the store and folded from the journal alone.
fn states_after(touches: &[(u64, How, u32)], limits: &RuntimeLimits) -> (People, u64) {
    let engine = Arc::new(MemoryEngine::new());
    let troupe = || Troupe::new().agent(Pairs).agent(Fragile::default()).limits(limits.clone());
    let mut driver = Driver::start(open(Arc::<MemoryEngine>::clone(&engine)), troupe(), SEED, 0).unwrap();
    for chunk in touches.chunks(7) {
        for (key, how, note) in chunk {
            if note % 17 == 5 {
                // What all keys share breaks too, and is as it was.
                driver.say(Setting(if *how == How::Well { i64::from(*note) } else { -1 })).unwrap();
            }
            driver.say(touch(*key, *how, *note)).unwrap();
        }
        driver.settle().unwrap();
    }
    let (states, restarts) = (people(&mut driver), driver.status().iter().map(|a| a.workers[0].restarts).max());
    let digest = driver.states_digest().unwrap();
    drop(driver);
    let mut again = Driver::start(open(Arc::new(engine.snapshot())), troupe(), SEED, 0).unwrap();
    again.settle().unwrap();
    assert_eq!(again.states_digest().unwrap(), digest, "after a crash");
    (states, restarts.unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// A failed entry leaves nothing behind, and a worker that has failed once needs no second restart.
    #[test]
    fn what_breaks_is_as_if_it_had_never_come(
        keys in prop::collection::vec((1_u64..6, 0_u8..12), 5..120), small in any::<bool>(),
    ) {
        let how = |what| match what { 0 => How::Panics, 1 => How::Refuses, _ => How::Well };
        // Never so many in a row that the agent itself is to blame.
        let all: Vec<_> = keys.iter().enumerate().flat_map(|(note, (key, what))| {
            let note = 2 * note as u32;
            [(*key, how(*what), note), (*key, How::Well, note + 1)]
        }).collect();
        let well: Vec<_> = all.iter().filter(|(_, how, _)| *how == How::Well).copied().collect();
        let limits = if small { tiny() } else { RuntimeLimits::default() };
        let (expected, _) = states_after(&well, &limits);
        let (found, restarts) = states_after(&all, &limits);
        prop_assert_eq!(found, expected);
        prop_assert!(restarts <= 1, "{} restarts", restarts);
    }
}
