//! What a step does: folding, publishing, causes, timers, looks back.

use impresario_runtime::{
    Agent, AgentError, Event, FailureKind, On, OnMany, Routes, RuntimeError, Step, Topic, Troupe, store::*,
};
use rand_chacha::rand_core::Rng;
use serde::{Deserialize, Serialize};

use crate::{
    support::*,
    toys::{self, *},
};

fn deposit(account: u64, amount: i64, note: u32) -> Deposit {
    Deposit { account, amount, note }
}

#[test]
fn an_entry_is_folded_and_what_comes_of_it_names_its_cause() {
    let mut driver = driver(toys::troupe(3));
    let receipt = driver.say(deposit(7, 10, 1)).unwrap();
    driver.settle().unwrap();
    let account = driver.read::<Ledger, _>(&7, |reading| reading.get(&7).unwrap().cloned()).unwrap().unwrap();
    assert_eq!((account.balance, account.notes), (10, vec![1]));
    let said = all::<Deposited>(driver.journal());
    assert_eq!(said.len(), 1);
    assert_eq!(said[0].1, receipt.first, "the cause");
    assert_eq!(said[0].3, Deposited { account: 7, note: 1, amount: 10 });
    let writer = driver.journal().chunk(said[0].0).unwrap().unwrap().get(said[0].0).unwrap().writer;
    assert_eq!(driver.journal().name_of(writer), "ledger");
}

#[test]
fn what_changed_nothing_makes_no_state() {
    let mut driver = driver(toys::troupe(2));
    driver.say(deposit(7, 0, 1)).unwrap();
    driver.settle().unwrap();
    let account = driver.read::<Ledger, _>(&7, |reading| reading.get(&7).unwrap().cloned()).unwrap();
    assert_eq!(account, None);
    assert_eq!(driver.read::<Ledger, _>(&7, |reading| reading.keys_from(&[], 10).unwrap()).unwrap(), Vec::<u64>::new());
}

#[test]
fn a_timer_set_by_a_timer_comes_at_its_own_instant() {
    let mut driver = driver(toys::troupe(2));
    driver.say(deposit(1, 90, 1)).unwrap();
    driver.advance_to(100_000).unwrap();
    let instants: Vec<_> = all::<Reminder>(driver.journal()).into_iter().map(|(_, _, at_ms, _)| at_ms).collect();
    assert_eq!(instants, [1_000, 2_000, 3_000]);
    let account = driver.read::<Ledger, _>(&1, |reading| reading.get(&1).unwrap().cloned()).unwrap().unwrap();
    assert_eq!(account.reminded_ms, [1_000, 2_000, 3_000], "seen at the instant, not when the clock came by");
    assert_eq!(driver.now_ms(), 100_000);
}

#[test]
fn a_cancelled_timer_never_comes_and_one_that_came_is_let_be() {
    let mut driver = driver(toys::troupe(2));
    driver.say(deposit(1, 90, 1)).unwrap();
    driver.advance_to(1_500).unwrap();
    driver.say(deposit(1, 10, 2)).unwrap();
    driver.advance_to(100_000).unwrap();
    assert_eq!(all::<Reminder>(driver.journal()).len(), 1);
    assert_eq!(driver.journal().timers_len(), 0);
}

#[test]
fn two_changes_of_one_key_in_one_entry_both_count() {
    let mut driver = driver(toys::troupe(1));
    driver.say(Claimed { node: 3, owner: 3, claim: 1 }).unwrap();
    driver.settle().unwrap();
    let claims = driver.read::<Nodes, _>(&3, |reading| reading.get(&3).unwrap().cloned()).unwrap();
    assert_eq!(claims, Some(vec![1, 500_001]));
}

#[test]
fn a_merged_key_is_a_pointer_and_its_state_is_the_winners() {
    let mut driver = driver(toys::troupe(3));
    for (account, note) in [(5, 1), (6, 2), (7, 3)] {
        driver.say(deposit(account, 90, note)).unwrap();
    }
    for (loser, winner) in [(7, 6), (6, 5), (9, 5)] {
        driver.say(Joined { loser, winner }).unwrap();
    }
    driver.settle().unwrap();
    let account = driver.read::<Ledger, _>(&5, |reading| reading.get(&5).unwrap().cloned()).unwrap().unwrap();
    assert_eq!((account.balance, account.notes), (270, vec![1, 2, 3]));
    assert_eq!(driver.read::<Ledger, _>(&7, |reading| reading.moved_to(&7).unwrap()).unwrap(), Some(6));
    assert_eq!(driver.read::<Ledger, _>(&9, |reading| reading.moved_to(&9).unwrap()).unwrap(), Some(5));
    assert_eq!(driver.journal().timers_len(), 1, "the losers' timers were taken back");
    let seen = driver.state_json("ledger", "7").unwrap().unwrap();
    assert_eq!((seen.key.as_str(), seen.state.unwrap()["balance"].as_i64()), ("5", Some(270)), "pointers are followed");
    driver.say(deposit(7, 1, 9)).unwrap();
    driver.settle().unwrap();
    let passed: u64 = driver.status()[0].workers.iter().map(|worker| worker.passed_over).sum();
    assert_eq!(passed, 1, "an entry for a key that has become another one is counted");
}

#[test]
fn keys_that_become_each_other_end_as_a_dead_letter_not_in_an_endless_round() {
    let mut driver = driver(toys::troupe(2));
    driver.say(deposit(1, 5, 1)).unwrap();
    driver.say(deposit(2, 5, 2)).unwrap();
    driver.settle().unwrap();
    driver.say(Joined { loser: 1, winner: 2 }).unwrap();
    driver.say(Joined { loser: 2, winner: 1 }).unwrap();
    driver.say(Joined { loser: 3, winner: 3 }).unwrap();
    driver.settle().unwrap();
    let letters = driver.dead_letters("ledger", 0, 10).unwrap();
    assert!(letters.iter().any(|letter| letter.why.contains("circle")), "{letters:?}");
    assert!(letters.iter().any(|letter| letter.why.contains("become itself")), "{letters:?}");
}

/// Says what the past holds when it is asked.
struct Historian;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Asked {
    about: u64,
    from: u64,
}

impl Topic for Asked {
    const NAME: &'static str = "asked";
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Told {
    notes: Vec<u32>,
    next: u64,
    chance: u64,
}

impl Topic for Told {
    const NAME: &'static str = "told";
}

impl Agent for Historian {
    const NAME: &'static str = "historian";
    type Key = ();
    type State = ();

    fn routes(routes: &mut Routes<Self>) {
        routes.on::<Asked>(|_| ());
    }
}

impl On<Asked> for Historian {
    fn on(&self, (): &mut (), event: &Event<'_, Asked>, step: &mut Step<'_>) -> Result<(), AgentError> {
        let mut notes = Vec::new();
        let next = step.look_back(event.from, u64::MAX, 3, |past| {
            if let Some(deposit) = past.get::<Deposit>()? {
                notes.push(deposit.note);
            }
            Ok(())
        })?;
        if event.about > 0 {
            let held = step.entry::<Deposit>(event.about)?;
            notes.push(held.body()?.note);
        }
        let chance = step.rng().next_u64();
        step.publish(Told { notes, next, chance });
        Ok(())
    }
}

#[test]
fn the_past_can_be_looked_at_and_the_future_can_not() {
    let mut driver = driver(Troupe::new().agent(Historian));
    for note in 1..=4 {
        driver.say(deposit(note.into(), 1, note)).unwrap();
    }
    driver.say(Asked { about: 4, from: 2 }).unwrap();
    // Said before the historian comes to the first question: a later entry is there already.
    driver.say(deposit(9, 1, 9)).unwrap();
    driver.say(Asked { about: 0, from: 4 }).unwrap();
    driver.say(Asked { about: 20, from: 1 }).unwrap();
    driver.settle().unwrap();
    let told = bodies::<Told>(driver.journal());
    assert_eq!((told[0].notes.clone(), told[0].next), (vec![2, 3, 4, 4], 5));
    assert_eq!((told[1].notes.clone(), told[1].next), (vec![4, 9], 7));
    assert_ne!(told[0].chance, told[1].chance, "each entry has its own chance");
    let letters = driver.dead_letters("historian", 0, 10).unwrap();
    assert_eq!(letters.len(), 1);
    assert!(letters[0].why.contains("not in the past"), "{letters:?}");
}

#[test]
fn a_look_back_ends_at_the_entry_itself() {
    let mut driver = driver(Troupe::new().agent(Historian));
    let mut commit = said(driver.journal(), Asked { about: 0, from: 1 });
    commit.entries.extend(said(driver.journal(), deposit(1, 1, 1)).entries);
    driver.submit(commit).unwrap();
    driver.settle().unwrap();
    assert_eq!(bodies::<Told>(driver.journal())[0].notes, Vec::<u32>::new());
}

/// Says what it must not.
struct Loud;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Shout {
    bytes: usize,
    times: usize,
    partition: u16,
}

impl Topic for Shout {
    const NAME: &'static str = "shout";
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Noise(String);

impl Topic for Noise {
    const NAME: &'static str = "noise";
}

impl Agent for Loud {
    const NAME: &'static str = "loud";
    type Key = String;
    type State = u32;

    fn routes(routes: &mut Routes<Self>) {
        routes.on_many::<Shout>();
    }
}

impl OnMany<Shout> for Loud {
    fn on_many(
        &self,
        keys: &mut impresario_runtime::Keys<'_, Self>,
        event: &Event<'_, Shout>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        keys.change(&"x".repeat(if event.bytes == 1_999 { 1_999 } else { event.bytes.min(9) }), |count| {
            *count += 1;
            Ok(())
        })?;
        for _ in 0..event.times {
            step.publish_to(event.partition, Noise("x".repeat(event.bytes)));
        }
        Ok(())
    }
}

#[test]
fn what_the_journal_would_refuse_is_refused_at_its_entry_and_the_agent_goes_on() {
    let mut driver = driver(Troupe::new().agent(Loud));
    let shouts =
        [(2 << 20, 1, 0, "larger"), (1, 1, 64, "partition"), (1, 70_000, 0, "more entries"), (1_999, 0, 0, "longer")];
    for (bytes, times, partition, _) in shouts {
        driver.say(Shout { bytes, times, partition }).unwrap();
    }
    driver.say(Shout { bytes: 5, times: 2, partition: 63 }).unwrap();
    driver.settle().unwrap();
    let letters = driver.dead_letters("loud", 0, 10).unwrap();
    for (letter, (_, _, _, why)) in letters.iter().zip(shouts) {
        assert!(letter.why.contains(why), "{letter:?} for {why}");
    }
    assert_eq!((letters.len(), bodies::<Noise>(driver.journal()).len()), (4, 2));
    assert_eq!(driver.key_texts("loud", 0, None, 10).unwrap(), ["xxxxx"]);
}

#[test]
fn an_entry_that_cannot_be_read_is_set_aside_without_a_restart() {
    let mut driver = driver(toys::troupe(1));
    let mut commit = said(driver.journal(), deposit(1, 5, 1));
    commit.entries[0].body = codec::encode(1, "not a deposit").unwrap();
    commit.entries[0].decoded = None;
    driver.submit(commit).unwrap();
    driver.say(deposit(1, 5, 2)).unwrap();
    driver.settle().unwrap();
    let status = driver.status();
    assert_eq!((status[0].workers[0].restarts, status[0].workers[0].dead_letters), (0, 1));
    let account = driver.read::<Ledger, _>(&1, |reading| reading.get(&1).unwrap().cloned()).unwrap().unwrap();
    assert_eq!(account.notes, [2]);
}

#[test]
fn a_key_of_another_worker_is_not_touched() {
    struct Reaching;
    impl Agent for Reaching {
        const NAME: &'static str = "reaching";
        type Key = u64;
        type State = u32;
        fn routes(routes: &mut Routes<Self>) {
            routes.on_many::<Claimed>();
        }
    }
    impl OnMany<Claimed> for Reaching {
        fn on_many(
            &self,
            keys: &mut impresario_runtime::Keys<'_, Self>,
            event: &Event<'_, Claimed>,
            _: &mut Step<'_>,
        ) -> Result<(), AgentError> {
            keys.change(&event.owner, |count| {
                *count += 1;
                Ok(())
            })?;
            Ok(())
        }
    }
    let other = (2..).find(|key| partition(*key) % 2 != partition(1) % 2).unwrap();
    let mut driver = driver(Troupe::new().agent_with_workers(Reaching, 2));
    driver.say(Claimed { node: 1, owner: other, claim: 1 }).unwrap();
    driver.settle().unwrap();
    let letters = driver.dead_letters("reaching", 0, 10).unwrap();
    assert!(letters[0].why.contains("another worker"), "{letters:?}");
}

#[test]
fn a_troupe_put_together_wrongly_does_not_start() {
    let twice = Troupe::new().agent(Ledger).agent(Ledger);
    let error = impresario_runtime::Driver::start(memory(), twice, SEED, 0).err().unwrap();
    assert!(matches!(error, RuntimeError::Setup(_)), "{error}");
    assert_ne!(FailureKind::Entry, FailureKind::Worker);
}
