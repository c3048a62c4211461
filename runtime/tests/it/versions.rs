//! A program whose agent keeps its states in another shape than the one that wrote them.

use std::sync::Arc;

use impresario_runtime::{
    Agent, AgentError, Driver, Event, On, Routes, RuntimeError, Step, SubjectId, Topic, Troupe, store::*,
};
use serde::{Deserialize, Serialize};

use crate::support::*;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Spent(u64, i64);
impl Topic for Spent {
    const NAME: &'static str = "spent";
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Warned(u64);
impl Topic for Warned {
    const NAME: &'static str = "warned";
}

/// As it was: a sum.
struct Before;
impl Agent for Before {
    const NAME: &'static str = "budget";
    type Key = u64;
    type State = i64;
    fn routes(routes: &mut Routes<Self>) {
        routes.on::<Spent>(|spent| spent.0);
    }
}
impl On<Spent> for Before {
    fn on(&self, sum: &mut i64, event: &Event<'_, Spent>, step: &mut Step<'_>) -> Result<(), AgentError> {
        *sum += event.1;
        step.publish(Warned(event.0));
        Ok(())
    }
}

/// As it is now: every amount, which an old sum can't be read as.
struct After;
impl Agent for After {
    const NAME: &'static str = "budget";
    type Key = u64;
    type State = Vec<i64>;
    const STATE_VERSION: u8 = 2;
    fn routes(routes: &mut Routes<Self>) {
        routes.on::<Spent>(|spent| spent.0);
    }
}
impl On<Spent> for After {
    fn on(&self, all: &mut Vec<i64>, event: &Event<'_, Spent>, step: &mut Step<'_>) -> Result<(), AgentError> {
        all.push(event.1);
        step.publish(Warned(event.0));
        Ok(())
    }
}

fn start(engine: &MemoryEngine, troupe: Troupe) -> Result<Driver, RuntimeError> {
    let mut driver = Driver::start(open(Arc::new(engine.fork())), troupe, [7; 32], 0)?;
    driver.settle()?;
    Ok(driver)
}

#[test]
fn states_of_an_older_version_are_folded_again_and_nothing_is_said_twice() {
    let engine = Arc::new(MemoryEngine::new());
    let mut driver = Driver::start(
        open(Arc::<MemoryEngine>::clone(&engine)),
        Troupe::new().agent_with_workers(Before, 2),
        [7; 32],
        0,
    )
    .unwrap();
    for number in 0..50_u64 {
        driver.say(Spent(number % 5, number as i64)).unwrap();
    }
    driver.settle().unwrap();
    let said = all::<Warned>(driver.journal()).len();
    driver.stop().unwrap();
    let mut driver = start(&engine, Troupe::new().agent_with_workers(After, 2)).unwrap();
    let all_of = |driver: &mut Driver, key: u64| {
        driver.read::<After, _>(&key, |reading| reading.get(&key).unwrap().cloned()).unwrap().unwrap()
    };
    assert_eq!(all_of(&mut driver, 3), [3, 8, 13, 18, 23, 28, 33, 38, 43, 48]);
    assert_eq!(all::<Warned>(driver.journal()).len(), said);
    driver.say(Spent(3, 7)).unwrap();
    driver.settle().unwrap();
    assert_eq!(all_of(&mut driver, 3).last(), Some(&7));
    assert_eq!(all::<Warned>(driver.journal()).len(), said + 1);
}

#[test]
fn states_of_a_newer_version_are_refused_with_both_numbers() {
    let engine = Arc::new(MemoryEngine::new());
    let mut driver =
        Driver::start(open(Arc::<MemoryEngine>::clone(&engine)), Troupe::new().agent(After), [7; 32], 0).unwrap();
    driver.say(Spent(1, 1)).unwrap();
    driver.settle().unwrap();
    driver.stop().unwrap();
    let refused = start(&engine, Troupe::new().agent(Before)).err().expect("a refusal").to_string();
    assert!(refused.contains("`budget` have version 2, this program knows up to 1"), "{refused}");
    let mut again = start(&engine, Troupe::new().agent(After)).unwrap();
    let kept = again.read::<After, _>(&1, |reading| reading.get(&1).unwrap().cloned()).unwrap();
    assert_eq!(kept, Some(vec![1]), "a refusal changes nothing");
}

const DAY_MS: i64 = 24 * 3_600_000;

impl Spent {
    fn of(number: u64) -> Self {
        Self(number % 5, number as i64)
    }
}

/// Whose it is makes it go with age.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Paid(u64);
impl Topic for Paid {
    const NAME: &'static str = "paid";
    fn subject(&self) -> Option<SubjectId> {
        Some(SubjectId(self.0))
    }
}

#[test]
fn where_part_of_the_past_is_forgotten_an_older_version_is_refused_unless_it_is_asked_for() {
    let engine = Arc::new(MemoryEngine::new());
    let troupe = Troupe::new().agent(Before).topic::<Paid>().retention_days(Some(30));
    let mut driver = Driver::start(open(Arc::<MemoryEngine>::clone(&engine)), troupe, [7; 32], 0).unwrap();
    for number in 0..100 {
        driver.advance_to(number as i64 * DAY_MS).unwrap();
        driver.say(Spent::of(number)).unwrap();
        driver.say(Paid(number)).unwrap();
        driver.settle().unwrap();
    }
    let status = driver.retention().unwrap();
    assert!(status.forgotten > 50 && status.waiting == 0, "{status:?}");
    assert_eq!(all_whole::<Paid>(driver.journal()).len() + status.forgotten as usize, 100);
    assert_eq!(all_whole::<Spent>(driver.journal()).len(), 100, "it is nobody's");
    driver.stop().unwrap();
    let refused = start(&engine, Troupe::new().agent(After)).err().expect("a refusal").to_string();
    for named in ["`budget` have version 1", "forgotten with age", "storage.refold"] {
        assert!(refused.contains(named), "{refused}");
    }
    assert!(start(&engine, Troupe::new().agent(Before)).is_ok(), "a refusal changes nothing");
    let mut again = start(&engine, Troupe::new().agent(After).refold_from_kept(true)).unwrap();
    let kept = again.read::<After, _>(&3, |reading| reading.get(&3).unwrap().cloned()).unwrap();
    assert_eq!(kept.map(|all| all.len()), Some(20), "what is nobody's is kept");
    // A new agent starts from what is there.
    assert!(start(&engine, Troupe::new().agent(Before).agent(Newcomer)).is_ok());
}

/// The places of entries of a topic that are neither erased nor forgotten.
fn all_whole<T: Topic>(journal: &Journal) -> Vec<Seq> {
    let topic = journal.known_name(T::NAME).unwrap();
    let mut found = Vec::new();
    impresario_runtime::each_entry::<StoreError>(journal, 1, |entry| {
        found.extend((entry.topic == topic && entry.erased.is_none()).then_some(entry.seq));
        Ok(())
    })
    .unwrap();
    found
}

struct Newcomer;
impl Agent for Newcomer {
    const NAME: &'static str = "newcomer";
    type Key = u64;
    type State = i64;
    fn routes(routes: &mut Routes<Self>) {
        routes.on::<Paid>(|paid| paid.0);
    }
}
impl On<Paid> for Newcomer {
    fn on(&self, count: &mut i64, _: &Event<'_, Paid>, _: &mut Step<'_>) -> Result<(), AgentError> {
        *count += 1;
        Ok(())
    }
}
