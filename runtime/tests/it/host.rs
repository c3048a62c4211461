//! The troupe live, on real actors.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use impresario_runtime::{
    Agent, AgentError, Condition, Driver, EffectError, EffectFailed, Event, HeldClock, Host, On, Routes, RuntimeError,
    RuntimeLimits, Step, Troupe, WallClock, store::*,
};
use parking_lot::Mutex;

use crate::{
    effects::{Order, Seller, Send, Sent},
    fragile::{Fragile, How, Setting, Touch},
    support::*,
    toys::{self, *},
};

pub(crate) const LONG: Duration = Duration::from_secs(30);

pub(crate) fn host(engine: Arc<dyn Engine>, troupe: Troupe) -> Host {
    Host::start(open(engine), troupe, SEED, Arc::new(WallClock), 2).unwrap()
}

/// Limits with which failures cost no time.
fn hasty() -> RuntimeLimits {
    RuntimeLimits { backoff_ms_min: 1, backoff_ms_max: 4, ..RuntimeLimits::default() }
}

pub(crate) async fn say<T: impresario_runtime::Topic>(host: &Host, event: T) -> Receipt {
    host.submit(said(host.journal(), event)).await.unwrap()
}

pub(crate) fn status(host: &Host, agent: &str) -> Vec<impresario_runtime::WorkerStatus> {
    host.status().into_iter().find(|status| status.agent == agent).unwrap().workers
}

/// Waits for what has no event of its own; the test's own time-out ends it if it never comes.
async fn until(what: &str, done: impl Fn() -> bool) {
    let waiting = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(LONG, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

async fn host_people(host: &Host) -> People {
    let mut people = People::new();
    for agent in host.status() {
        for worker in 0..agent.workers.len() {
            for key in host.key_texts(&agent.agent, worker, None, usize::MAX).await.unwrap() {
                let mut state = host.state_json(&agent.agent, &key).await.unwrap().unwrap().state.unwrap();
                if let Some(fields) = state.as_object_mut() {
                    fields.remove("timer");
                }
                people.insert((agent.agent.clone(), key), state.to_string());
            }
        }
    }
    people
}

/// Inputs for every agent, in two waves: an account is joined only once all before is folded.
fn waves(journal: &Journal) -> Vec<Vec<Commit>> {
    let mut first: Vec<_> = vec![said(journal, RateSet { rate: 3 })];
    for note in 0..400_u32 {
        first.push(said(journal, Deposit { account: u64::from(note % 40), amount: i64::from(note % 50), note }));
        first.push(said(journal, Linked { one: u64::from(note % 17), other: u64::from(note % 23) }));
    }
    let joins = (20..40).map(|loser| said(journal, Joined { loser, winner: loser - 20 })).collect();
    let last =
        (400..600_u32).map(|note| said(journal, Deposit { account: u64::from(note % 20), amount: 7, note })).collect();
    vec![first, joins, last]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_and_driven_come_to_the_same_people() {
    let limits =
        RuntimeLimits { step_entries_max: 16, write_keys_max: 2, unwritten_keys_max: 5, state_keys_max: 4, ..hasty() };
    let engine = Arc::new(MemoryEngine::new());
    let host = host(Arc::<MemoryEngine>::clone(&engine), toys::troupe(3).limits(limits.clone()));
    for wave in waves(host.journal()) {
        for commit in wave {
            host.submit(commit).await.unwrap();
        }
        host.settled(LONG).await.unwrap();
    }
    let live = host_people(&host).await;
    let mut driver = driver(toys::troupe(3).limits(limits.clone()));
    for wave in waves(driver.journal()) {
        for commit in wave {
            driver.submit(commit).unwrap();
        }
        driver.settle().unwrap();
    }
    assert_eq!(live, people(&mut driver));
    assert!(host.metrics().agents.iter().all(|agent| agent.restarts == 0 && agent.dead_letters == 0));

    // Stopped and started, killed and started, folded from the journal alone: the same.
    let killed = engine.snapshot();
    host.stop(LONG).await.unwrap();
    drop(host);
    for engine in [engine.fork(), killed] {
        let host = self::host(Arc::new(engine), toys::troupe(3).limits(limits.clone()));
        host.settled(LONG).await.unwrap();
        assert_eq!(host_people(&host).await, live);
    }
}

/// Remembers in which order the notes of a key came.
pub(crate) struct Orderly;

impl Agent for Orderly {
    const NAME: &'static str = "orderly";
    type Key = u64;
    type State = Vec<u32>;

    fn routes(routes: &mut Routes<Self>) {
        routes.on::<Deposit>(|deposit| deposit.account);
    }
}

impl On<Deposit> for Orderly {
    fn on(&self, notes: &mut Vec<u32>, event: &Event<'_, Deposit>, _: &mut Step<'_>) -> Result<(), AgentError> {
        notes.push(event.note);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_workers_keep_the_order_of_each_key_while_keys_come_and_go_from_memory() {
    let limits =
        RuntimeLimits { step_entries_max: 5, write_keys_max: 1, unwritten_keys_max: 2, state_keys_max: 1, ..hasty() };
    let host = host(Arc::new(MemoryEngine::new()), Troupe::new().agent_with_workers(Orderly, 4).limits(limits));
    for note in 0..3_000_u32 {
        say(&host, Deposit { account: u64::from(note % 13), amount: 1, note }).await;
    }
    host.settled(LONG).await.unwrap();
    let folding: Vec<_> = status(&host, "orderly").iter().map(|worker| worker.folded).collect();
    assert!(folding.iter().filter(|folded| **folded > 0).count() > 1, "several share the work: {folding:?}");
    for account in 0..13_u64 {
        let notes = host.read::<Orderly, _>(&account, move |reading| reading.get(&account).unwrap().cloned()).await;
        let expected: Vec<_> = (0..3_000).filter(|note| u64::from(note % 13) == account).collect();
        assert_eq!(notes.unwrap().unwrap(), expected, "account {account}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_rings_make_few_steps_and_none_is_lost() {
    let host = Arc::new(host(Arc::new(MemoryEngine::new()), Troupe::new().agent(Orderly)));
    host.pause("orderly", "tester", None).await.unwrap();
    for note in 0..2_000 {
        say(&host, Deposit { account: 1, amount: 1, note }).await;
    }
    assert_eq!(status(&host, "orderly")[0].condition, Condition::Paused);
    let before = status(&host, "orderly")[0].steps;
    host.resume("orderly", "tester", None).await.unwrap();
    host.settled(LONG).await.unwrap();
    let steps = status(&host, "orderly")[0].steps - before;
    assert!(steps <= 8, "{steps} steps for 2,000 entries that waited");
    // One at a time, each waited for by its own place: a lost ring would hang here.
    for note in 0..3_000 {
        let receipt = say(&host, Deposit { account: 1, amount: 1, note }).await;
        host.folded("orderly", receipt.last, LONG).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_agent_folds_nothing_and_closes_no_door() {
    let limits = RuntimeLimits { lag_entries_max: 5, ..hasty() };
    let host = host(Arc::new(MemoryEngine::new()), Troupe::new().agent(Orderly).agent(Ledger).limits(limits));
    say(&host, Deposit { account: 1, amount: 1, note: 0 }).await;
    host.settled(LONG).await.unwrap();
    host.pause("orderly", "tester", None).await.unwrap();
    let mut last = 0;
    for note in 1..50 {
        last = say(&host, Deposit { account: 1, amount: 1, note }).await.last;
    }
    host.folded("ledger", last, LONG).await.unwrap();
    assert!(status(&host, "orderly")[0].lag >= 49);
    let found = host.read::<Orderly, _>(&1, |reading| reading.get(&1).unwrap().map(Vec::len)).await.unwrap();
    assert_eq!(found, Some(1), "it can still be asked");
    host.folded("ledger", host.journal().head(), LONG).await.unwrap();
    assert!(!host.is_overloaded(), "who is held does not close the door for all");
    let error = host.settled(Duration::from_millis(30)).await.unwrap_err();
    assert!(matches!(&error, RuntimeError::Busy { behind, .. } if behind.contains("orderly/0")), "{error}");
    host.resume("orderly", "tester", None).await.unwrap();
    host.settled(LONG).await.unwrap();
    assert!(host.pause("nobody", "tester", None).await.is_err() && host.folded("nobody", 1, LONG).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_has_a_time_limit_and_a_bad_one_hurts_nobody() {
    let limits = RuntimeLimits { query_ms_max: 400, ..hasty() };
    let host = Arc::new(host(Arc::new(MemoryEngine::new()), Troupe::new().agent(Ledger).agent(Orderly).limits(limits)));
    say(&host, Deposit { account: 1, amount: 1, note: 1 }).await;
    host.settled(LONG).await.unwrap();
    let (held, asked) = (Arc::new(AtomicBool::new(true)), Arc::clone(&host));
    let hold = Arc::clone(&held);
    let slow = asked.read::<Ledger, _>(&1, move |_| {
        while hold.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
    });
    let error = slow.await.unwrap_err();
    assert!(error.to_string().contains("too long"), "{error}");
    let other = host.read::<Orderly, _>(&1, |reading| reading.seq).await;
    assert!(other.is_ok(), "another agent answers meanwhile");
    held.store(false, Ordering::Release);
    let error = host.read::<Ledger, ()>(&1, |_| panic!("a bad question")).await.unwrap_err();
    assert!(error.to_string().contains("fell"), "{error}");
    let found = host.state_json("ledger", "1").await.unwrap().unwrap();
    assert_eq!(found.state.unwrap()["balance"], 1);
    assert_eq!(status(&host, "ledger")[0].restarts, 0);
    assert!(matches!(host.state_json("ledger", "one").await.unwrap_err(), RuntimeError::UnknownKey { .. }));
    assert_eq!(host.state_json("ledger", "77").await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_host_has_drained_and_takes_nothing_more() {
    let engine = Arc::new(MemoryEngine::new());
    let host = host(Arc::<MemoryEngine>::clone(&engine), toys::troupe(2));
    for note in 0..500 {
        say(&host, Deposit { account: note % 7, amount: 1, note: note as u32 }).await;
    }
    host.stop(LONG).await.unwrap();
    let error = host.submit(said(host.journal(), RateSet { rate: 1 })).await.unwrap_err();
    assert!(matches!(error, RuntimeError::Store(StoreError::Closed)), "{error}");
    host.stop(LONG).await.unwrap();
    let journal = open(Arc::new(engine.fork()));
    assert_eq!(bodies::<Deposited>(&journal).len(), 500, "drained, and on disk");
    let mut driver = Driver::start(journal, toys::troupe(2), SEED, 0).unwrap();
    assert!(driver.status().iter().all(|status| status.workers.iter().all(|worker| worker.refolded == 0)));
    assert_eq!(driver.read::<Ledger, _>(&3, |reading| reading.get(&3).unwrap().unwrap().notes.len()).unwrap(), 71);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_host_lets_go_of_its_directory() {
    let directory = tempfile::tempdir().unwrap();
    let options = SledOptions { free_min_percent: 0, ..SledOptions::default() };
    for round in 0..3 {
        let engine = SledEngine::open(directory.path(), &options).unwrap();
        let host = host(Arc::new(engine), toys::troupe(2));
        let mut commit = said(host.journal(), Deposit { account: 1, amount: 1, note: round });
        commit.durability = Durability::Synced;
        host.submit(commit).await.unwrap();
        drop(host);
    }
    let host = host(Arc::new(SledEngine::open(directory.path(), &options).unwrap()), toys::troupe(2));
    host.settled(LONG).await.unwrap();
    let notes = host.read::<Ledger, _>(&1, |reading| reading.get(&1).unwrap().cloned()).await.unwrap().unwrap().notes;
    assert_eq!(notes, [0, 1, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_failures_are_mended_one_for_one() {
    let agent = Fragile::default();
    let (broken, only) = (Arc::clone(&agent.broken), Arc::clone(&agent.only));
    let troupe = Troupe::new().agent_with_workers(agent, 2).agent(Orderly).limits(hasty());
    let host = host(Arc::new(MemoryEngine::new()), troupe);
    let touch = |key, how, note| Touch { key, how, note };
    broken.store(2, Ordering::Release);
    say(&host, touch(1, How::PanicsWhileBroken, 1)).await;
    host.settled(LONG).await.unwrap();
    // For the next note alone: what was folded once is to be folded again at each restart.
    only.store(2, Ordering::Release);
    broken.store(7, Ordering::Release);
    say(&host, touch(1, How::WaitsWhileBroken, 2)).await;
    host.settled(LONG).await.unwrap();
    let poison = say(&host, touch(1, How::Panics, 3)).await;
    say(&host, touch(1, How::Refuses, 4)).await;
    say(&host, touch(1, How::Well, 5)).await;
    host.settled(LONG).await.unwrap();
    let notes = host.read::<Fragile, _>(&1, |reading| reading.get(&1).unwrap().cloned()).await.unwrap().unwrap();
    assert_eq!(notes, [1, 2, 5]);
    let letters = host.dead_letters("fragile", 0, 10).unwrap();
    assert_eq!(letters.iter().map(|letter| letter.topic.as_str()).collect::<Vec<_>>(), ["touch", "touch"]);
    assert_eq!(letters[0].seq, poison.first);

    // What all workers must know, and all refuse: each has its letter.
    say(&host, Setting(-1)).await;
    host.settled(LONG).await.unwrap();
    assert_eq!(host.dead_letters("fragile", letters[1].seq, 10).unwrap().len(), 2);
    host.drop_letter("fragile", poison.first, None).await.unwrap();
    host.settled(LONG).await.unwrap();
    assert_eq!(host.dead_letters("fragile", 0, 10).unwrap().len(), 3);

    // Killed from outside, again and again, in the midst of work.
    for note in 10..13 {
        let restarts = status(&host, "fragile")[1].restarts;
        host.kill("fragile", 1).unwrap();
        until("the killed worker is back", || {
            let worker = &status(&host, "fragile")[1];
            worker.restarts == restarts + 1 && worker.condition == Condition::Running
        })
        .await;
        say(&host, touch(1, How::Well, note)).await;
        say(&host, touch(2, How::Well, note)).await;
        host.settled(LONG).await.unwrap();
    }
    for key in [1, 2] {
        let notes = host.read::<Fragile, _>(&key, move |reading| reading.get(&key).unwrap().cloned()).await;
        assert!(notes.unwrap().unwrap().ends_with(&[10, 11, 12]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_failures_suspend_one_agent_alone_until_it_is_resumed() {
    let agent = Fragile::default();
    let broken = Arc::clone(&agent.broken);
    broken.store(u32::MAX, Ordering::Release);
    let troupe = Troupe::new().agent(agent).agent(Orderly).limits(hasty());
    let host = host(Arc::new(MemoryEngine::new()), troupe);
    for note in 0..60 {
        say(&host, Touch { key: note, how: How::PanicsWhileBroken, note: note as u32 }).await;
        say(&host, Deposit { account: 1, amount: 1, note: note as u32 }).await;
    }
    until("it is suspended", || status(&host, "fragile")[0].condition == Condition::Suspended).await;
    let worker = &status(&host, "fragile")[0];
    assert!(worker.last_error.as_deref().unwrap().contains("broken") && worker.lag > 0, "{worker:?}");
    assert_eq!(host.metrics().agents[0].suspended, 1);
    host.folded("orderly", host.journal().head(), LONG).await.unwrap();
    let error = host.read::<Fragile, _>(&1, |_| ()).await.unwrap_err();
    assert!(matches!(error, RuntimeError::Unavailable { .. }), "{error}");
    broken.store(0, Ordering::Release);
    host.resume("fragile", "tester", None).await.unwrap();
    host.settled(LONG).await.unwrap();
    let letters = host.dead_letters("fragile", 0, 100).unwrap();
    let folded: usize = host.key_texts("fragile", 0, None, 100).await.unwrap().len();
    assert_eq!(folded + letters.len(), 60);
    for letter in &letters {
        let (inspected, said) = host.dead_letter("fragile", letter.seq).unwrap();
        assert_eq!((&inspected, said["how"].as_str()), (letter, Some("PanicsWhileBroken")), "{said}");
        host.retry_letter("fragile", letter.seq, None).await.unwrap();
    }
    host.settled(LONG).await.unwrap();
    assert_eq!(host.key_texts("fragile", 0, None, 100).await.unwrap().len(), 60, "and none is lost in the end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_panics_loses_nothing() {
    let host = host(
        Arc::new(MemoryEngine::new()),
        Troupe::new().agent_with_workers(Fragile::default(), 2).agent(Orderly).limits(hasty()),
    );
    for note in 0..600_u32 {
        let how = if note % 20 == 7 { How::Panics } else { How::Well };
        say(&host, Touch { key: u64::from(note % 31), how, note }).await;
        say(&host, Deposit { account: 1, amount: 1, note }).await;
    }
    host.settled(LONG).await.unwrap();
    assert_eq!(host.dead_letters("fragile", 0, 100).unwrap().len(), 30);
    let mut notes = 0;
    for key in 0..31_u64 {
        let found =
            host.read::<Fragile, _>(&key, move |reading| reading.get(&key).unwrap().map(Vec::len)).await.unwrap();
        notes += found.unwrap_or_default();
    }
    assert_eq!(notes, 570);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn effects_live_are_tried_again_given_up_and_taken_up_after_a_restart() {
    let engine = Arc::new(MemoryEngine::new());
    let tries = Arc::new(Mutex::new(Vec::new()));
    let down = Arc::new(AtomicBool::new(true));
    let troupe = || {
        let (tries, down) = (Arc::clone(&tries), Arc::clone(&down));
        let limits = RuntimeLimits { effect_attempts_max: 4, effects_at_once_max: 1, ..hasty() };
        Troupe::new().agent(Seller).limits(limits).effect(move |send: Send, call| {
            tries.lock().push((send.0, call.attempt));
            let down = Arc::clone(&down);
            async move {
                match (send.0, call.attempt) {
                    (1, 1 | 2) | (3, _) => Err(EffectError::Retry { why: "later".into(), after_ms: Some(1) }),
                    (5, _) => panic!("broke"),
                    (7, _) if down.load(Ordering::Acquire) => {
                        Err(EffectError::Retry { why: "down".into(), after_ms: Some(60_000) })
                    }
                    _ => Ok(Sent(send.0)),
                }
            }
        })
    };
    let limits_of_wait = hasty().backoff_ms_max;
    assert_eq!(limits_of_wait, 4, "a provider's wish to wait is bounded by our own");
    let host = host(Arc::<MemoryEngine>::clone(&engine), troupe());
    for number in [1, 3, 5, 9] {
        say(&host, Order(number)).await;
    }
    host.settled(LONG).await.unwrap();
    let mut sent: Vec<_> = bodies::<Sent>(host.journal()).iter().map(|sent| sent.0).collect();
    sent.sort_unstable();
    assert_eq!(sent, [1, 9]);
    let mut failed: Vec<_> = bodies::<EffectFailed>(host.journal()).into_iter().map(|f| (f.why, f.attempts)).collect();
    failed.sort();
    assert_eq!(failed, [("later".to_owned(), 4), ("panicked: broke".to_owned(), 1)]);
    let metrics = host.metrics();
    assert_eq!((metrics.effects_answered, metrics.effects_failed, metrics.effects_pending), (2, 2, 0));
    let gone = engine.snapshot();
    drop(host);

    // Asked for, and the process is killed before anybody performs it.
    let journal = open(Arc::new(gone.snapshot()));
    let mut asking = Driver::start(journal, Troupe::new().agent(Seller), SEED, 0).unwrap();
    asking.say(Order(7)).unwrap();
    drop(asking);
    let host = self::host(Arc::new(gone), troupe());
    down.store(false, Ordering::Release);
    say(&host, Order(7)).await;
    host.settled(LONG).await.unwrap();
    assert_eq!(bodies::<Sent>(host.journal()).iter().filter(|sent| sent.0 == 7).count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_effect_in_the_outbox_at_the_start_is_performed_once() {
    let engine = Arc::new(MemoryEngine::new());
    let journal = open(Arc::<MemoryEngine>::clone(&engine));
    let filmed = Arc::new(Filmed::new(MemoryEngine::new(), MemoryEngine::snapshot));
    drop(journal);
    let count = Arc::new(AtomicU32::new(0));
    let troupe = |count: &Arc<AtomicU32>| {
        let count = Arc::clone(count);
        Troupe::new().agent(Seller).effect(move |send: Send, _| {
            count.fetch_add(1, Ordering::AcqRel);
            async move { Ok(Sent(send.0)) }
        })
    };
    let mut driver = Driver::start(open(Arc::<Filmed>::clone(&filmed)), troupe(&count), SEED, 0).unwrap();
    driver.say(Order(1)).unwrap();
    driver.settle().unwrap();
    let images = std::mem::take(&mut *filmed.images.lock());
    let pending =
        images.into_iter().find(|image| !open(Arc::new(image.snapshot())).pending_effects().unwrap().is_empty());
    count.store(0, Ordering::Release);
    let host = host(Arc::new(pending.expect("an image with the effect asked for")), troupe(&count));
    host.settled(LONG).await.unwrap();
    assert_eq!((count.load(Ordering::Acquire), bodies::<Sent>(host.journal()).len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timers_come_by_the_clock_of_the_host() {
    let clock = Arc::new(HeldClock::at(0));
    let journal = memory();
    let host = Host::start(journal, toys::troupe(2), SEED, Arc::<HeldClock>::clone(&clock), 2).unwrap();
    say(&host, Deposit { account: 1, amount: 90, note: 1 }).await;
    host.settled(LONG).await.unwrap();
    assert!(all::<Reminder>(host.journal()).is_empty());
    for step in 1..=3 {
        clock.advance_to(step * 1_000);
        until("the reminder", || all::<Reminder>(host.journal()).len() == step as usize).await;
        host.settled(LONG).await.unwrap();
    }
    let instants: Vec<_> = all::<Reminder>(host.journal()).into_iter().map(|(_, _, at_ms, _)| at_ms).collect();
    assert_eq!(instants, [1_000, 2_000, 3_000]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_keys_are_written_by_their_age() {
    let limits = RuntimeLimits { unwritten_ms_max: 0, ..hasty() };
    let host = host(Arc::new(MemoryEngine::new()), Troupe::new().agent(Orderly).limits(limits));
    say(&host, Deposit { account: 1, amount: 1, note: 1 }).await;
    host.settled(LONG).await.unwrap();
    let worker = host.journal().name("orderly/0").unwrap();
    until("the state is written though nothing happens any more", || {
        host.journal().paged_state(worker, &1_u64.to_be_bytes()).unwrap().is_some()
    })
    .await;
}
