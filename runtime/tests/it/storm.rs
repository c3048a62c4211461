//! Much at once, live: a storm of panics, and a restart into very many timers.
#![expect(clippy::disallowed_methods, reason = "real time is what is measured")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use impresario_runtime::{
    Agent, AgentError, Clock, Condition, Event, Host, On, Routes, RuntimeLimits, Step, Topic, Troupe, WallClock,
    store::*,
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::{
    fragile::{Fragile, How, Touch, Touched},
    host::LONG,
    support::*,
    toys::partition,
};

/// Somebody waits until an instant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Waits(u64, i64);

impl Topic for Waits {
    const NAME: &'static str = "waits";

    fn partition(&self) -> Option<u16> {
        Some(partition(self.0))
    }
}

/// The instant has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Waited(u64);

impl Topic for Waited {
    const NAME: &'static str = "waited";

    fn partition(&self) -> Option<u16> {
        Some(partition(self.0))
    }
}

/// Keeps for each key the instants at which its waiting ended.
struct Waiting;

impl Agent for Waiting {
    const NAME: &'static str = "waiting";
    type Key = u64;
    type State = Vec<i64>;

    fn routes(routes: &mut Routes<Self>) {
        routes.on::<Waits>(|waits| waits.0);
        routes.on::<Waited>(|waited| waited.0);
    }
}

impl On<Waits> for Waiting {
    fn on(&self, _: &mut Vec<i64>, event: &Event<'_, Waits>, step: &mut Step<'_>) -> Result<(), AgentError> {
        step.schedule(event.1, &Waited(event.0));
        Ok(())
    }
}

impl On<Waited> for Waiting {
    fn on(&self, ends: &mut Vec<i64>, _: &Event<'_, Waited>, step: &mut Step<'_>) -> Result<(), AgentError> {
        ends.push(step.now_ms());
        Ok(())
    }
}

struct SetClock(AtomicI64);

impl Clock for SetClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::Acquire)
    }
}

fn on_sled(directory: &std::path::Path) -> Arc<Journal> {
    let options = SledOptions { free_min_percent: 0, ..SledOptions::default() };
    open(Arc::new(SledEngine::open(directory, &options).unwrap()))
}

/// `overdue` of `all` timers come due while the process is down. Milliseconds to open the journal and to
/// have fired what was overdue.
async fn restart_into_timers(all: u64, overdue: u64) -> (u128, u128) {
    const DOWN_MS: i64 = 3_600_000;
    const DAY_MS: i64 = 24 * DOWN_MS;
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(SetClock(AtomicI64::new(0)));
    let troupe = || Troupe::new().agent_with_workers(Waiting, 2);
    let due = |key: u64| match key < overdue {
        true => 1 + (key as i64).wrapping_mul(7_919).rem_euclid(DOWN_MS - 1),
        false => DOWN_MS + 1 + (key as i64).wrapping_mul(104_729).rem_euclid(DAY_MS),
    };
    let host = Host::start(on_sled(directory.path()), troupe(), SEED, Arc::<SetClock>::clone(&clock), 2).unwrap();
    for first in (0..all).step_by(1_000) {
        let mut commit = Commit::new(OUTSIDE);
        for key in first..all.min(first + 1_000) {
            commit.entries.push(impresario_runtime::new_entry(host.journal(), 0, Waits(key, due(key))).unwrap());
        }
        host.submit(commit).await.unwrap();
        let _ = host.pace().await;
    }
    host.settled(Duration::from_secs(600)).await.unwrap();
    assert_eq!(host.journal().timers_len() as u64, all);
    host.stop(LONG).await.unwrap();
    host.journal().close().unwrap();
    drop(host);

    clock.0.store(DOWN_MS, Ordering::Release);
    let start = Instant::now();
    let journal = on_sled(directory.path());
    let opened_ms = start.elapsed().as_millis();
    let host = Host::start(journal, troupe(), SEED, Arc::<SetClock>::clone(&clock), 2).unwrap();
    let left = all - overdue;
    let waiting = async {
        while host.journal().timers_len() as u64 > left {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(900), waiting).await.expect("what was overdue came");
    host.settled(LONG).await.unwrap();
    let fired_ms = start.elapsed().as_millis();
    let mut ended = 0;
    for (_, _, at_ms, waited) in crate::support::all::<Waited>(host.journal()) {
        assert!(waited.0 < overdue);
        let late_ms = at_ms - due(waited.0);
        assert!((0..=RuntimeLimits::default().timers_late_ms_max.max(DOWN_MS / 1_000)).contains(&late_ms), "{late_ms}");
        ended += 1;
    }
    assert_eq!(ended, overdue, "each once");
    for key in (0..all).step_by((all / 50) as usize) {
        let ends =
            host.read::<Waiting, _>(&key, move |reading| reading.get(&key).unwrap().map_or(0, Vec::len)).await.unwrap();
        assert_eq!(ends, usize::from(key < overdue), "{key}");
    }
    host.stop(LONG).await.unwrap();
    (opened_ms, fired_ms)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overdue_timers_come_once_after_a_restart_and_others_wait_on() {
    restart_into_timers(5_000, 500).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "full size: cargo full r15"]
async fn r15_a_restart_into_a_million_timers() {
    let (opened_ms, fired_ms) = restart_into_timers(1_000_000, 100_000).await;
    say(&format!("1,000,000 timers armed after {opened_ms} ms, 100,000 overdue ones fired after {fired_ms} ms"));
    assert!(opened_ms <= 5_000, "{opened_ms} ms");
}

/// Figures of a full run.
fn say(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// How a storm blows.
struct Storm {
    people: u64,
    /// Events of well people, and of those whose every event breaks the agent, by the second.
    well_per_s: u64,
    bad_per_s: u64,
    lasts: Duration,
}

/// What came of it: times from submitting an event to its effect on a well person, milliseconds.
struct Blown {
    p99_ms: u128,
    well: u64,
    bad: u64,
    letters: usize,
    rss_kib: (u64, u64),
    last_error: Option<String>,
}

fn rss_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.split_ascii_whitespace().next()?.parse().ok()).unwrap_or_default()
}

async fn blow(storm: &Storm) -> Blown {
    const TICK: Duration = Duration::from_millis(10);
    let directory = tempfile::tempdir().unwrap();
    let troupe = Troupe::new().agent_with_workers(Fragile::default(), 2);
    let host = Arc::new(Host::start(on_sled(directory.path()), troupe, SEED, Arc::new(WallClock), 2).unwrap());
    let bad_people = (storm.people / 100).max(1);
    let (well, bad, ended) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let times = Mutex::new(Vec::new());
    let mut rss = (0, 0);
    let load = async {
        let begin = Instant::now();
        let mut note = 0_u32;
        while begin.elapsed() < storm.lasts {
            let due_ms = begin.elapsed().as_millis() as u64;
            let mut commit = Commit::new(OUTSIDE);
            let mut push = |key: u64, how: How| {
                note += 1;
                commit
                    .entries
                    .push(impresario_runtime::new_entry(host.journal(), 0, Touch { key, how, note }).unwrap());
            };
            while well.load(Ordering::Relaxed) < due_ms * storm.well_per_s / 1_000 {
                let number = well.fetch_add(1, Ordering::Relaxed);
                push(bad_people + number % (storm.people - bad_people), How::Well);
            }
            while bad.load(Ordering::Relaxed) < due_ms * storm.bad_per_s / 1_000 {
                let number = bad.fetch_add(1, Ordering::Relaxed);
                push(number % bad_people, How::Panics);
            }
            if !commit.entries.is_empty() {
                host.submit(commit).await.unwrap();
            }
            if rss.0 == 0 && begin.elapsed() > storm.lasts / 5 {
                rss.0 = rss_kib();
            }
            tokio::time::sleep(TICK).await;
        }
        rss.1 = rss_kib();
        ended.store(true, Ordering::Release);
    };
    let probes = async {
        let mut number = 0;
        while !ended.load(Ordering::Acquire) {
            // A person of their own, so that the answer can be looked for.
            number += 1;
            let key = 1_000_000 + number;
            let start = Instant::now();
            let probe = Touch { key, how: How::Well, note: 0 };
            host.submit(said(host.journal(), probe)).await.unwrap();
            let is_there = || async {
                let look = host.read::<Fragile, _>(&key, move |reading| reading.get(&key).unwrap().is_some());
                look.await.unwrap_or(false)
            };
            while !is_there().await {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            times.lock().push(start.elapsed().as_millis());
            tokio::time::sleep(TICK).await;
        }
    };
    tokio::join!(load, probes);
    host.settled(Duration::from_secs(120)).await.unwrap();
    let mut times = times.into_inner();
    times.sort_unstable();
    let p99_ms = times[times.len() * 99 / 100];
    let mut letters = 0;
    let mut after = 0;
    loop {
        let page = host.dead_letters("fragile", after, 1_000).unwrap();
        let Some(last) = page.last() else { break };
        letters += page.len();
        after = last.seq;
    }
    let said = all::<Touched>(host.journal()).len() as u64;
    let (well, bad) = (well.into_inner(), bad.into_inner());
    assert_eq!(said, well + times.len() as u64, "every event of the well was folded, once");
    let status = host.status().remove(0).workers;
    assert!(status.iter().all(|worker| worker.condition == Condition::Running), "{status:?}");
    if bad > 0 {
        assert!(status.iter().map(|worker| worker.restarts).sum::<u64>() >= 1, "the first failure costs a restart");
    }
    let last_error = status.iter().find_map(|worker| worker.last_error.clone());
    host.stop(LONG).await.unwrap();
    Blown { p99_ms, well, bad, letters, rss_kib: rss, last_error }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_panics_over_some_parks_their_events_and_folds_all_others() {
    let storm = Storm { people: 1_000, well_per_s: 2_000, bad_per_s: 200, lasts: Duration::from_secs(2) };
    let blown = blow(&storm).await;
    assert_eq!(blown.letters as u64, blown.bad, "0 lost");
    assert!(blown.bad > 50 && blown.well > 500, "{} {}", blown.bad, blown.well);
    assert!(blown.last_error.unwrap().contains("told to"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "full size: cargo full r6"]
async fn r6_a_thousand_panics_a_second_for_a_minute() {
    std::panic::set_hook(Box::new(|_| {}));
    let lasts = Duration::from_secs(60);
    let calm = blow(&Storm { people: 10_000, well_per_s: 10_000, bad_per_s: 0, lasts: lasts / 3 }).await;
    let storm = blow(&Storm { people: 10_000, well_per_s: 10_000, bad_per_s: 1_000, lasts }).await;
    say(&format!(
        "well people's p99: {} ms in calm, {} ms in the storm; {} events folded, {} parked of {}; {} KiB of memory \
         after a fifth, {} at the end",
        calm.p99_ms, storm.p99_ms, storm.well, storm.letters, storm.bad, storm.rss_kib.0, storm.rss_kib.1
    ));
    assert_eq!(storm.letters as u64, storm.bad, "0 lost");
    assert!(storm.p99_ms <= 2 * calm.p99_ms.max(5), "{} ms", storm.p99_ms);
}
