//! Clocks that jump: downtime, steps forward and back. Every timer comes once, at its own instant.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use impresario_runtime::{Clock, Driver, HeldClock, Host, RuntimeLimits, Troupe, store::*};

use crate::{
    host::{LONG, say},
    support::*,
    toys::{self, Deposit, Ledger, Reminder},
};

const HOUR: i64 = 3_600_000;

/// A machine's clock that somebody sets.
struct SetClock(AtomicI64);

impl SetClock {
    fn set(&self, now_ms: i64) {
        self.0.store(now_ms, Ordering::Release);
    }
}

impl Clock for SetClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::Acquire)
    }
}

fn deposit(account: u64, note: u32) -> Deposit {
    Deposit { account, amount: 90, note }
}

/// When each account was reminded by the entries, in order.
fn reminded(journal: &Journal) -> Vec<(i64, u64)> {
    all::<Reminder>(journal).into_iter().map(|(_, _, at_ms, reminder)| (at_ms, reminder.account)).collect()
}

/// Each big deposit is followed by three reminders, each set by the one before.
fn expected(deposits: &[(i64, u64)]) -> Vec<(i64, u64)> {
    let mut expected: Vec<_> = deposits
        .iter()
        .flat_map(|(at_ms, account)| (1..=3).map(move |step| (at_ms + step * 1_000, *account)))
        .collect();
    expected.sort_unstable();
    expected
}

async fn host_at(journal: Arc<Journal>, clock: Arc<dyn Clock>) -> Host {
    let host = Host::start(journal, toys::troupe(2), SEED, clock, 2).unwrap();
    host.settled(LONG).await.unwrap();
    host
}

async fn until_reminded(host: &Host, count: usize) {
    let waiting = async {
        while reminded(host.journal()).len() < count {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(LONG, waiting).await.unwrap_or_else(|_| panic!("{:?}", reminded(host.journal())));
    host.settled(LONG).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_after_a_jump_comes_after_all_that_was_due_before_it() {
    let clock = Arc::new(HeldClock::at(0));
    let host = host_at(memory(), Arc::<HeldClock>::clone(&clock)).await;
    for (account, at_ms) in [(1, 0), (2, 400), (3, 1_700)] {
        clock.advance_to(at_ms);
        say(&host, deposit(account, 1)).await;
        host.settled(LONG).await.unwrap();
    }
    clock.advance_to(HOUR);
    // Nobody waits for the timers here: the entry itself has to.
    let receipt = say(&host, deposit(9, 1)).await;
    assert_eq!(receipt.at_ms, HOUR);
    let last = all::<Reminder>(host.journal()).into_iter().map(|(seq, ..)| seq).max();
    assert!(last < Some(receipt.first), "all that was due came before");
    assert_eq!(reminded(host.journal()), expected(&[(0, 1), (400, 2), (1_700, 3)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn downtime_is_lived_through_instant_by_instant() {
    let engine = Arc::new(MemoryEngine::new());
    let clock = Arc::new(HeldClock::at(0));
    let host = host_at(open(Arc::<MemoryEngine>::clone(&engine)), Arc::<HeldClock>::clone(&clock)).await;
    for account in 1..=20 {
        clock.advance_to(account as i64 * 37);
        say(&host, deposit(account, 1)).await;
    }
    host.settled(LONG).await.unwrap();
    let killed = engine.snapshot();
    host.stop(LONG).await.unwrap();
    let deposits: Vec<_> = (1..=20).map(|account| (account as i64 * 37, account)).collect();
    for engine in [engine.fork(), killed.snapshot()] {
        let clock: Arc<dyn Clock> = Arc::new(SetClock(AtomicI64::new(100 * HOUR)));
        let host = host_at(open(Arc::new(engine)), clock).await;
        assert_eq!(say(&host, deposit(99, 1)).await.at_ms, 100 * HOUR);
        until_reminded(&host, 60).await;
        assert_eq!(reminded(host.journal()), expected(&deposits));
    }
    let mut driver = Driver::start(open(Arc::new(killed)), toys::troupe(2), SEED, 100 * HOUR).unwrap();
    assert_eq!(driver.say(deposit(99, 1)).unwrap().at_ms, 100 * HOUR);
    assert_eq!(reminded(driver.journal()), expected(&deposits));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_set_forward_and_back_doubles_and_misses_nothing() {
    let start = 1_000 * HOUR;
    let clock = Arc::new(SetClock(AtomicI64::new(start)));
    let host = host_at(memory(), Arc::<SetClock>::clone(&clock)).await;
    say(&host, deposit(1, 1)).await;
    host.settled(LONG).await.unwrap();
    // An hour forward in mid-wait.
    clock.set(start + HOUR);
    until_reminded(&host, 3).await;
    let second = say(&host, deposit(2, 2)).await.at_ms;
    host.settled(LONG).await.unwrap();
    assert_eq!(second, start + HOUR);
    // Two hours back in mid-wait: journal time stands, and goes on when the clock comes by again.
    clock.set(start - HOUR);
    let third = say(&host, deposit(3, 3)).await.at_ms;
    assert_eq!(third, second, "time stands");
    host.settled(LONG).await.unwrap();
    assert_eq!(reminded(host.journal()).len(), 3);
    clock.set(start + HOUR + 10_000);
    until_reminded(&host, 9).await;
    assert_eq!(reminded(host.journal()), expected(&[(start, 1), (second, 2), (third, 3)]));
    let instants: Vec<_> = {
        let mut instants = Vec::new();
        impresario_runtime::each_entry(host.journal(), 1, |entry| {
            instants.push(entry.at_ms);
            Ok::<(), StoreError>(())
        })
        .unwrap();
        instants
    };
    assert!(instants.is_sorted(), "{instants:?}");
}

/// A worker that is down for good must not hold time for the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_or_paused_agent_holds_no_timer_of_another() {
    let clock = Arc::new(HeldClock::at(0));
    let troupe = Troupe::new().agent_with_workers(Ledger, 2).agent(toys::Watcher).limits(RuntimeLimits::default());
    let host = Host::start(memory(), troupe, SEED, Arc::<HeldClock>::clone(&clock), 2).unwrap();
    say(&host, deposit(1, 1)).await;
    host.settled(LONG).await.unwrap();
    host.pause("watcher", "tester", None).await.unwrap();
    clock.advance_to(HOUR);
    let receipt = say(&host, deposit(2, 1)).await;
    assert_eq!(receipt.at_ms, HOUR);
    assert_eq!(reminded(host.journal()), expected(&[(0, 1)]));
}
