//! A campaign's bounds hold for messages that come of none of its decisions too, exactly.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use impresario_agents::{
    campaigns::{Bounds, Campaigns, SpendSettled},
    content::TemplateDefined,
    vocabulary::{
        Channel, IdentifierKind, MessageId, MessageRefused, MessageRequested, MessageReturned, MessageSent,
        MessageWithdrawn, ProfileId, SendingResumed, SendingStopped, StopScope,
    },
};
use impresario_runtime::Driver;
use proptest::{prelude::*, test_runner::TestRunner};
use serde_json::json;

use super::{
    oracle::SEED,
    random::{Outbox, giving_back},
    returned::Post,
    stage::{HOUR_MS, NOON, at_noon, hello, identify, on, plan, request},
};
use crate::support::{journal, node, said};

const PEOPLE: usize = 6;

fn reader(driver: &mut Driver, number: usize) -> ProfileId {
    let user = format!("reader-{number}");
    let traits = json!({ "phone": format!("+4860010030{number}"), "consent": ["sms"] });
    driver.say(identify(&user, driver.now_ms(), &traits)).unwrap();
    driver.settle().unwrap();
    node(IdentifierKind::UserId, &user)
}

fn start(driver: &mut Driver, messages: Option<u64>, people: u64) {
    let mut started = plan("win-back", 0.0, &hello());
    started.plan.budget.messages = messages;
    started.plan.blast_radius = people;
    started.plan.costs_micros = vec![(Channel::Sms, 50_000)];
    driver.say(started).unwrap();
    driver.settle().unwrap();
}

fn wanted(profile: ProfileId, name: &str, at_ms: i64) -> MessageRequested {
    MessageRequested { campaign: Some("win-back".into()), ..request(profile, name, Channel::Sms, at_ms) }
}

fn bounds(driver: &mut Driver) -> Bounds {
    let key = "win-back".to_owned();
    driver.read::<Campaigns, _>(&key, |reading| reading.get(&key).unwrap().unwrap().bounds).unwrap()
}

fn refused(driver: &Driver) -> Vec<String> {
    said::<MessageRefused>(driver).into_iter().map(|refused| refused.by.guard.into()).collect()
}

#[test]
fn no_more_messages_than_the_budget_whoever_asks_for_them() {
    let mut driver = at_noon();
    let people: Vec<_> = (0..5).map(|number| reader(&mut driver, number)).collect();
    start(&mut driver, Some(2), 1_000);
    for profile in people {
        driver.say(wanted(profile, &profile.to_string(), NOON)).unwrap();
    }
    driver.settle().unwrap();
    let sent = said::<MessageSent>(&driver);
    assert_eq!((sent.len(), refused(&driver)), (2, vec!["budget".to_owned(); 3]));
    assert!(sent[0].guards.contains(&"budget".into()), "{sent:?}");
    let bounds = bounds(&mut driver);
    assert_eq!((bounds.taken.messages, bounds.taken.people, bounds.taken.cost_micros), (2, 2, 100_000));
    assert_eq!(bounds.on_the_way, 0);
}

#[test]
fn no_more_people_than_the_blast_radius_and_each_counts_once() {
    let mut driver = at_noon();
    let (one, other) = (reader(&mut driver, 0), reader(&mut driver, 1));
    start(&mut driver, None, 1);
    for (profile, name) in [(one, "first"), (other, "second"), (one, "third")] {
        driver.say(wanted(profile, name, NOON)).unwrap();
        driver.settle().unwrap();
    }
    let to: Vec<_> = said::<MessageSent>(&driver).into_iter().map(|sent| (sent.profile, sent.reached_before)).collect();
    assert_eq!((to, refused(&driver)), (vec![(one, false), (one, true)], vec!["blast_radius".to_owned()]));
    assert_eq!(bounds(&mut driver).taken.people, 1);
}

#[test]
fn one_person_asked_for_twice_at_once_counts_as_one() {
    let mut driver = at_noon();
    let one = reader(&mut driver, 0);
    start(&mut driver, None, 5);
    driver.say(wanted(one, "first", NOON)).unwrap();
    driver.say(wanted(one, "second", NOON)).unwrap();
    driver.settle().unwrap();
    let bounds = bounds(&mut driver);
    assert_eq!((said::<MessageSent>(&driver).len(), bounds.taken.messages, bounds.taken.people), (2, 2, 1));
}

#[test]
fn what_never_went_is_given_back() {
    let journal = journal();
    let mut driver = on(&journal, NOON);
    let one = reader(&mut driver, 0);
    start(&mut driver, Some(1), 5);
    let mut late = wanted(one, "late", NOON + HOUR_MS);
    late.until_ms = Some(NOON + 2 * HOUR_MS);
    driver.say(late).unwrap();
    driver.settle().unwrap();
    driver.stop().unwrap();
    let post = Post::default();
    let mut driver = post.up(&journal, NOON + 4 * HOUR_MS);
    assert_eq!(refused(&driver), ["late"]);
    assert_eq!(bounds(&mut driver).taken.messages, 0);
    // So another one has room.
    driver.say(wanted(one, "next", NOON + 4 * HOUR_MS)).unwrap();
    driver.settle().unwrap();
    assert_eq!((post.hours(), bounds(&mut driver).taken.messages), (vec![4], 1));
    let told: Vec<_> = said::<SpendSettled>(&driver).into_iter().map(|told| (told.sent, told.returned)).collect();
    assert_eq!(told, [(true, false), (false, true), (false, false), (true, false)]);
}

/// What happens next.
#[derive(Clone, Debug)]
enum Next {
    Ask { who: usize, minutes: i64, wait_minutes: i64 },
    Withdraw { number: usize },
    Stop(bool),
    Start { messages: u64, people: u64 },
    Restart { killed: bool },
    Wait { minutes: i64 },
    Settle,
}

fn next() -> impl Strategy<Value = Next> {
    prop_oneof![
        8 => (0..PEOPLE, -10_i64..300, 0_i64..600)
            .prop_map(|(who, minutes, wait_minutes)| Next::Ask { who, minutes, wait_minutes }),
        2 => (0..60_usize).prop_map(|number| Next::Withdraw { number }),
        2 => any::<bool>().prop_map(Next::Stop),
        1 => (0_u64..12, 1_u64..6).prop_map(|(messages, people)| Next::Start { messages, people }),
        1 => any::<bool>().prop_map(|killed| Next::Restart { killed }),
        3 => (0_i64..240).prop_map(|minutes| Next::Wait { minutes }),
        2 => Just(Next::Settle),
    ]
}

fn play(workers: usize, steps: Vec<Next>) -> Result<(usize, usize), TestCaseError> {
    let outbox: Outbox = Arc::new(Mutex::default());
    let mut driver = Driver::start(journal(), giving_back(workers, &outbox), SEED, NOON).unwrap();
    let template = serde_json::from_value(json!({ "name": "Hello", "sms": { "text": "Hello" } })).unwrap();
    driver.say(TemplateDefined { id: "hello".into(), template }).unwrap();
    let people: Vec<_> = (0..PEOPLE).map(|number| reader(&mut driver, number)).collect();
    let (mut messages_max, mut people_max) = (4, 3);
    start(&mut driver, Some(messages_max), people_max);
    for (number, next) in (0..).zip(steps) {
        let now_ms = driver.now_ms();
        match next {
            Next::Ask { who, minutes, wait_minutes } => {
                let at_ms = now_ms + minutes * 60_000;
                let mut asked = wanted(people[who], &format!("message {number}"), at_ms);
                (asked.offer, asked.until_ms) = (None, Some(at_ms + wait_minutes * 60_000));
                driver.say(asked).unwrap();
            }
            Next::Withdraw { number } => {
                for profile in &people {
                    let id = MessageId::of(format!("message {number}").as_bytes(), 0);
                    driver.say(MessageWithdrawn { id, profile: *profile, because: "test".into() }).unwrap();
                }
            }
            Next::Stop(true) => {
                let scope = StopScope::Campaign("win-back".into());
                driver.say(SendingStopped { scope, by: "test".into(), why: "test".into() }).unwrap();
            }
            Next::Stop(false) => {
                let scope = StopScope::Campaign("win-back".into());
                driver.say(SendingResumed { scope, by: "test".into() }).unwrap();
            }
            Next::Start { messages, people } => {
                (messages_max, people_max) = (messages.max(messages_max), people.max(people_max));
                start(&mut driver, Some(messages), people);
            }
            Next::Restart { killed } => {
                let journal = Arc::clone(driver.journal());
                if killed {
                    driver.abandon();
                } else {
                    driver.stop().unwrap();
                }
                driver = Driver::start(journal, giving_back(workers, &outbox), SEED, now_ms).unwrap();
            }
            Next::Wait { minutes } => driver.advance_to(now_ms + minutes * 60_000).unwrap(),
            Next::Settle => driver.settle().unwrap(),
        }
    }
    driver.settle().unwrap();
    let scope = StopScope::Campaign("win-back".into());
    driver.say(SendingResumed { scope, by: "test".into() }).unwrap();
    driver.advance_to(driver.now_ms() + 14 * 24 * HOUR_MS).unwrap();
    let out = outbox.lock().unwrap().clone();
    let reached: BTreeSet<_> = out.iter().map(|deliver| deliver.profile).collect();
    let returned = said::<MessageReturned>(&driver).len();
    let bounds = bounds(&mut driver);
    let what = format!("{bounds:?} of {messages_max} and {people_max}, {} out, {returned} returned", out.len());
    prop_assert_eq!((bounds.taken.messages, bounds.on_the_way), (out.len() as u64, 0), "{}", &what);
    prop_assert_eq!(bounds.taken.cost_micros, out.len() as i64 * 50_000, "{}", &what);
    prop_assert!(out.len() as u64 <= messages_max && reached.len() as u64 <= people_max, "{}", &what);
    // Whoever a message was set aside for that was given back later stays counted; nobody else does.
    prop_assert!(reached.len() as u64 <= bounds.taken.people, "{}", &what);
    prop_assert!(returned > 0 || reached.len() as u64 == bounds.taken.people, "{}", &what);
    Ok((out.len(), returned))
}

#[test]
fn what_is_spent_is_what_went_out_in_any_history() {
    let mut runner = TestRunner::new(ProptestConfig { cases: 80, ..ProptestConfig::default() });
    let all = Mutex::new((0, 0));
    let ran = runner.run(&(1_usize..4, proptest::collection::vec(next(), 10..70)), |(workers, steps)| {
        let (out, returned) = play(workers, steps)?;
        let mut all = all.lock().unwrap();
        *all = (all.0 + out, all.1 + returned);
        Ok(())
    });
    ran.unwrap();
    let (out, returned) = *all.lock().unwrap();
    assert!(out > 50 && returned > 20, "{out} out, {returned} returned: little was tried");
}
