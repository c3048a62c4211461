//! A restart into messages that wait, many of them overdue: each goes once, no faster than caps let it.

use std::{collections::BTreeMap, sync::Arc};

use impresario_agents::{
    content::TemplateDefined,
    messaging::Messaging,
    vocabulary::{Channel, IdentifierKind, MessageId, Millis, ProfileId},
};
use impresario_runtime::{
    Driver, new_entry,
    store::{Commit, Journal, JournalLimits, OUTSIDE, SledEngine, SledOptions},
};
use serde_json::json;

use super::{
    oracle::SEED,
    returned::Post,
    stage::{HOUR_MS, NOON, identify, on, request},
};
use crate::support::node;

const DAY_MS: Millis = 24 * HOUR_MS;
/// Messages of each person: so many overdue, of so many that wait.
const OVERDUE: u64 = 5;
const WAITING: u64 = 50;
/// What the gate lets through within a day where nobody says otherwise.
const CAP: usize = 2;

fn user(number: u64) -> String {
    format!("reader-{number}")
}

fn of(number: u64) -> ProfileId {
    node(IdentifierKind::UserId, &user(number))
}

fn open(directory: &std::path::Path) -> Arc<Journal> {
    let options = SledOptions { free_min_percent: 0, ..SledOptions::default() };
    let engine = SledEngine::open(directory, &options).unwrap();
    Journal::open(Arc::new(engine), JournalLimits::default()).unwrap()
}

/// Fills a directory with `people` for whom messages wait.
fn fill(directory: &std::path::Path, people: u64) {
    let journal = open(directory);
    let mut driver = on(&journal, NOON);
    let template = json!({ "name": "Hello", "sms": { "text": "Hello" } });
    let template = serde_json::from_value(template).unwrap();
    driver.say(TemplateDefined { id: "hello".into(), template }).unwrap();
    for number in 0..people {
        let mut commit = Commit::new(OUTSIDE);
        let traits = json!({ "phone": format!("+4860{number:07}"), "consent": ["sms"] });
        commit.entries.push(new_entry(&journal, 0, identify(&user(number), NOON, &traits)).unwrap());
        for wait in 0..WAITING {
            let own = wait as Millis * 60_000;
            let at_ms = if wait < OVERDUE { NOON + HOUR_MS + own } else { NOON + 30 * DAY_MS + own };
            let mut asked = request(of(number), &format!("{number} {wait}"), Channel::Sms, at_ms);
            asked.offer = None;
            commit.entries.push(new_entry(&journal, 0, asked).unwrap());
        }
        driver.submit(commit).unwrap();
        if number % 200 == 199 {
            driver.settle().unwrap();
        }
    }
    driver.settle().unwrap();
    assert_eq!(journal.timers_len() as u64, people * WAITING);
    driver.stop().unwrap();
    journal.close().unwrap();
}

fn restart_into_messages(people: u64) {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path(), people);
    let started = super::stage::clock_ms();
    let journal = open(directory.path());
    let post = Post::default();
    let up_ms = NOON + 6 * HOUR_MS;
    post.set_present(up_ms);
    let mut driver = Driver::start(Arc::clone(&journal), post.troupe(&journal), SEED, up_ms).unwrap();
    let armed_ms = super::stage::clock_ms() - started;
    assert_eq!(journal.timers_len() as u64, people * WAITING, "all are armed");
    driver.settle().unwrap();
    let settled_ms = super::stage::clock_ms() - started;
    let mut went = 0;
    for day in 0..3 {
        driver.advance_to(up_ms + day * DAY_MS).unwrap();
        let out = post.out();
        went = out.len();
        let most = (CAP as u64 * (day as u64 + 1)).min(OVERDUE);
        assert_eq!(out.len() as u64, people * most, "after {day} days");
    }
    let mut by_id = BTreeMap::<MessageId, usize>::new();
    post.out().iter().for_each(|(_, id)| *by_id.entry(*id).or_default() += 1);
    assert!(by_id.values().all(|times| *times == 1), "each once");
    let overdue = (0..people).flat_map(|number| (0..OVERDUE).map(move |wait| format!("{number} {wait}")));
    assert!(overdue.map(|name| MessageId::of(name.as_bytes(), 0)).all(|id| by_id.contains_key(&id)));
    // The last one in its time: two a day of each person, however late they were.
    let (first, last) = (of(0), of(people - 1));
    for profile in [first, last] {
        let kept = driver.read::<Messaging, _>(&profile, |reading| reading.get(&profile).unwrap().cloned());
        let kept = kept.unwrap().unwrap();
        let mut at: Vec<_> = kept.sent.iter().map(|sent| sent.at_ms).collect();
        at.sort_unstable();
        assert!(at.windows(CAP + 1).all(|window| window[CAP] - window[0] >= DAY_MS), "{at:?}");
        assert_eq!(kept.pending.len() as u64, WAITING - OVERDUE, "the others wait on");
    }
    super::stage::tell(&format!(
        "{} messages wait, {} of them overdue: armed after {armed_ms} ms, the first {} gone after {settled_ms} ms; {went} \
         went, each once, {CAP} a day of each person at most",
        people * WAITING,
        people * OVERDUE,
        people * CAP as u64,
    ));
    driver.stop().unwrap();
}

#[test]
fn overdue_messages_go_once_after_a_restart_and_caps_count() {
    restart_into_messages(20);
}

#[test]
#[ignore = "a million messages that wait: cargo full r15"]
fn r15_a_restart_into_a_million_messages() {
    restart_into_messages(20_000);
}
