//! What a channel gives back because it came too late: it is checked again from the beginning, and goes once.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicI64, Ordering},
};

use impresario_agents::{
    analytics::Analytics,
    campaigns::{DecisionSettled, Decisions},
    gate::{LATE_MAX_MS, is_late},
    messaging::{Fate, Messaging},
    segmentation::{Reason, SegmentEntered, Trigger},
    troupe,
    vocabulary::{
        Arm, Channel, DecisionId, DecisionMade, Deliver, Delivered, EventKind, Group, HeldBack, IdentifierKind,
        MessageId, MessageRefused, MessageReturned, MessageSent, Millis, Outcome, ProfileId, Refusal, Reserved,
        RewardObserved,
    },
};
use impresario_runtime::{
    Driver, EffectCall, Troupe,
    store::{Journal, Seq},
};
use serde_json::Value;

use super::stage::{HOUR_MS, NOON, anna, hello, identify, on, plan, request};
use crate::support::{With, event, journal, node, said};

const SEED: [u8; 32] = [7; 32];

/// The channel of a shop whose server has been down: its present is later than the journal's.
#[derive(Clone, Default)]
pub(super) struct Post {
    present_ms: Arc<AtomicI64>,
    /// The gate, asked once more, refuses everything for good.
    refuses: Arc<AtomicBool>,
    out: Arc<Mutex<Vec<(Millis, MessageId)>>>,
}

impl Post {
    pub(super) fn troupe(&self, journal: &Arc<Journal>) -> Troupe {
        let (post, journal) = (self.clone(), Arc::clone(journal));
        troupe(2).effect(move |deliver: Deliver, call: EffectCall| {
            let Deliver { id, profile, campaign, channel, class, .. } = deliver;
            let chunk = journal.chunk(call.id.seq).unwrap().unwrap();
            let let_through_ms = chunk.get(call.id.seq).unwrap().at_ms;
            let present_ms = post.present_ms.load(Ordering::Relaxed);
            let by = Refusal { guard: "late".into(), why: "test".into() };
            let late = is_late(class, let_through_ms, present_ms);
            let for_good = post.refuses.load(Ordering::Relaxed);
            let held = (late || for_good).then_some(HeldBack { until_ms: present_ms, by, for_good });
            if held.is_none() {
                post.out.lock().unwrap().push((let_through_ms, id));
            }
            async move { Ok(Delivered { id, profile, campaign, channel, failed: None, held }) }
        })
    }

    pub(super) fn set_present(&self, now_ms: Millis) {
        self.present_ms.store(now_ms, Ordering::Relaxed);
    }

    /// What is out: when it was let through, and which.
    pub(super) fn out(&self) -> Vec<(Millis, MessageId)> {
        self.out.lock().unwrap().clone()
    }

    /// The server was down until now.
    pub(super) fn up(&self, journal: &Arc<Journal>, now_ms: Millis) -> Driver {
        self.present_ms.store(now_ms, Ordering::Relaxed);
        let mut driver = Driver::start(Arc::clone(journal), self.troupe(journal), SEED, now_ms).unwrap();
        driver.settle().unwrap();
        driver
    }

    pub(super) fn hours(&self) -> Vec<Millis> {
        self.out.lock().unwrap().iter().map(|(at_ms, _)| (at_ms - NOON) / HOUR_MS).collect()
    }
}

fn decision(profile: ProfileId, plan: Seq, at_ms: Millis) -> DecisionMade {
    let arm = Arm { template: "hello".into(), offer: None, channel: Channel::Sms, hour: None };
    DecisionMade {
        // Beside those that the campaign makes itself.
        id: DecisionId::of(profile, "win-back", 77),
        campaign: "win-back".into(),
        profile,
        group: Group::Policy,
        arm: Some(arm),
        withheld: None,
        chosen: 1,
        propensity: 1.0,
        candidates: vec![(1, 1.0)],
        features: Vec::new(),
        model: "".into(),
        explored: false,
        plan,
        at_ms,
        context: Value::Null,
        reserved: Reserved { messages: 1, people: 1, cost_micros: 5, discount_micros: 0 },
    }
}

fn outcome(driver: &Driver, id: DecisionId) -> Outcome {
    said::<RewardObserved>(driver).into_iter().find(|observed| observed.id == id).unwrap().outcome
}

#[test]
fn what_is_overdue_is_held_to_the_same_rules_at_the_present_and_goes_once() {
    let journal = journal();
    let mut driver = on(&journal, NOON);
    let profile = anna(&mut driver);
    for (name, hour) in [("one", 0), ("two", 1), ("three", 2)] {
        driver.say(request(profile, name, Channel::Sms, NOON + hour * HOUR_MS)).unwrap();
    }
    driver.settle().unwrap();
    driver.stop().unwrap();
    // Up again at half past nine in the evening: as of then both were let through, and quiet hours have begun.
    let post = Post::default();
    let mut driver = post.up(&journal, NOON + 9 * HOUR_MS + HOUR_MS / 2);
    assert_eq!((post.hours(), said::<MessageReturned>(&driver).len()), (vec![], 2));
    driver.advance_to(NOON + 48 * HOUR_MS).unwrap();
    // Two a day are the cap: the one at noon counts, none counts itself, and the third waits.
    post.present_ms.store(0, Ordering::Relaxed);
    assert_eq!(post.hours(), [20, 24]);
    let of = |name: &str| {
        let id = MessageId::of(name.as_bytes(), 0);
        (
            said::<MessageSent>(&driver).into_iter().filter(|sent| sent.id == id).count(),
            said::<MessageReturned>(&driver).into_iter().filter(|returned| returned.id == id).count(),
        )
    };
    assert_eq!([of("one"), of("two"), of("three")], [(1, 0), (2, 1), (2, 1)]);
    assert_eq!(said::<MessageRefused>(&driver), []);
    let kept = driver.read::<Messaging, _>(&profile, |reading| reading.get(&profile).unwrap().cloned());
    let kept = kept.unwrap().unwrap();
    assert_eq!((kept.sent.len(), kept.pending.len()), (3, 0));
    let letter = kept.letters.iter().find(|letter| letter.id == MessageId::of(b"two", 0)).unwrap();
    assert_eq!(letter.sent_ms(), Some(NOON + 20 * HOUR_MS));
    assert!(letter.fates.iter().any(|(_, fate)| matches!(fate, Fate::Held { by, .. } if &*by.guard == "late")));
}

#[test]
fn a_little_late_is_not_overdue() {
    let journal = journal();
    let mut driver = on(&journal, NOON);
    let profile = anna(&mut driver);
    driver.say(request(profile, "one", Channel::Sms, NOON + HOUR_MS)).unwrap();
    driver.settle().unwrap();
    driver.stop().unwrap();
    let post = Post::default();
    let driver = post.up(&journal, NOON + HOUR_MS + LATE_MAX_MS);
    assert_eq!((post.hours(), said::<MessageReturned>(&driver)), (vec![1], vec![]));
}

#[test]
fn overdue_beyond_its_time_it_is_refused_as_late_and_everybody_who_counted_it_takes_it_back() {
    let journal = journal();
    let mut driver = on(&journal, NOON);
    let profile = anna(&mut driver);
    let started = driver.say(plan("win-back", 0.0, &hello())).unwrap();
    let reason = Reason { by: Trigger::Event, because: "".into() };
    driver.say(SegmentEntered { segment: "win-back".into(), profile, reason }).unwrap();
    driver.settle().unwrap();
    let made = decision(profile, started.first, NOON + HOUR_MS);
    driver.say(made.clone()).unwrap();
    driver.settle().unwrap();
    driver.stop().unwrap();
    let post = Post::default();
    let mut driver = post.up(&journal, NOON + 9 * 24 * HOUR_MS);
    assert_eq!((post.hours(), said::<MessageSent>(&driver).len()), (vec![], 1));
    let refused = said::<MessageRefused>(&driver);
    assert_eq!(refused.iter().map(|refused| &*refused.by.guard).collect::<Vec<_>>(), ["late"]);
    let settled: Vec<_> = said::<DecisionSettled>(&driver)
        .into_iter()
        .map(|settled| (settled.sent, settled.returned, settled.reserved.messages, settled.reserved.people))
        .collect();
    // Whoever was counted among its people stays counted.
    assert_eq!(settled, [(true, false, 1, 1), (false, true, 1, 1), (false, false, 1, 0)]);
    let record = driver.read::<Decisions, _>(&made.id, |reading| reading.get(&made.id).unwrap().cloned());
    assert!(!record.unwrap().unwrap().sent);
    assert!(!outcome(&driver, made.id).sent);
    let key = "win-back".to_owned();
    let report = driver.read::<Analytics, _>(&key, |reading| reading.get(&key).unwrap().cloned()).unwrap().unwrap();
    let row = report.channels.iter().find(|row| row.channel == Channel::Sms).unwrap();
    assert_eq!((row.sent, row.returned, row.delivered, row.refused.get("late")), (0, 1, 0, Some(&1)));
}

#[test]
fn a_campaign_counts_what_went_late_as_one() {
    let journal = journal();
    let mut driver = on(&journal, NOON);
    let profile = anna(&mut driver);
    let started = driver.say(plan("win-back", 0.0, &hello())).unwrap();
    let reason = Reason { by: Trigger::Event, because: "".into() };
    driver.say(SegmentEntered { segment: "win-back".into(), profile, reason }).unwrap();
    driver.settle().unwrap();
    driver.say(decision(profile, started.first, NOON + HOUR_MS)).unwrap();
    driver.settle().unwrap();
    driver.stop().unwrap();
    let post = Post::default();
    let mut driver = post.up(&journal, NOON + 4 * HOUR_MS);
    assert_eq!(post.hours(), [4]);
    driver.advance_to(NOON + 48 * HOUR_MS).unwrap();
    let settled: Vec<_> = said::<DecisionSettled>(&driver).into_iter().map(|settled| settled.sent).collect();
    assert_eq!(settled, [true, false, true]);
    assert!(outcome(&driver, DecisionId::of(profile, "win-back", 77)).sent);
    let key = "win-back".to_owned();
    let report = driver.read::<Analytics, _>(&key, |reading| reading.get(&key).unwrap().cloned()).unwrap().unwrap();
    let row = report.channels.iter().find(|row| row.channel == Channel::Sms).unwrap();
    assert_eq!((row.sent, row.returned, row.delivered), (1, 1, 1));
}

#[test]
fn what_the_gate_stops_at_the_last_moment_was_never_sent() {
    let journal = journal();
    let post = Post::default();
    post.refuses.store(true, Ordering::Relaxed);
    let mut driver = on(&journal, NOON);
    let profile = anna(&mut driver);
    driver.stop().unwrap();
    let mut driver = post.up(&journal, NOON);
    let started = driver.say(plan("win-back", 0.0, &hello())).unwrap();
    driver.settle().unwrap();
    let made = decision(profile, started.first, NOON);
    let id = made.id;
    driver.say(made).unwrap();
    driver.settle().unwrap();
    assert!(post.out().is_empty());
    // It gives back what it had taken, no cap counts it, and it is no failure of the channel.
    let settled: Vec<_> = said::<DecisionSettled>(&driver).into_iter().filter(|settled| settled.id == id).collect();
    assert_eq!(
        settled.iter().map(|settled| (settled.sent, settled.returned)).collect::<Vec<_>>(),
        [(true, false), (false, true), (false, false)]
    );
    let person = driver.read::<Messaging, _>(&profile, |reading| reading.get(&profile).unwrap().cloned()).unwrap();
    assert!(person.unwrap().sent.is_empty());
    assert_eq!(said::<MessageRefused>(&driver).len(), 1);
    assert!(said::<Delivered>(&driver).iter().all(|delivered| delivered.failed.is_none()));
}

#[test]
fn two_accounts_that_turn_out_to_be_one_get_one_message_of_a_campaign() {
    for together in [false, true] {
        let journal = journal();
        let post = Post::default();
        let mut driver = on(&journal, NOON);
        let one = anna(&mut driver);
        let traits = serde_json::json!({ "phone": "+48 600 100 201", "consent": ["sms"] });
        driver.say(identify("annie", NOON, &traits)).unwrap();
        driver.settle().unwrap();
        driver.stop().unwrap();
        let mut driver = post.up(&journal, NOON);
        let started = driver.say(plan("win-back", 0.0, &hello())).unwrap();
        let other = node(IdentifierKind::UserId, "annie");
        for (number, profile) in [(1, one), (2, other)] {
            let id = DecisionId::of(profile, "win-back", number);
            driver.say(DecisionMade { id, ..decision(profile, started.first, NOON + HOUR_MS) }).unwrap();
        }
        if together {
            let alias = event(EventKind::Alias, "alias", NOON).user("anna").previous("annie");
            driver.say(alias).unwrap();
        }
        post.set_present(NOON + HOUR_MS);
        driver.advance_to(NOON + 2 * HOUR_MS).unwrap();
        let refused: Vec<_> = said::<MessageRefused>(&driver).into_iter().map(|refused| refused.by.guard).collect();
        assert_eq!((post.out().len(), refused.len()), if together { (1, 1) } else { (2, 0) }, "{refused:?}");
        assert!(!together || *refused[0] == *"merge");
    }
}

#[test]
fn what_waits_for_somebody_who_is_erased_gives_back_what_was_set_aside() {
    let journal = journal();
    let post = Post::default();
    let mut driver = on(&journal, NOON);
    let profile = anna(&mut driver);
    driver.stop().unwrap();
    let mut driver = post.up(&journal, NOON);
    let started = driver.say(plan("win-back", 0.0, &hello())).unwrap();
    driver.say(decision(profile, started.first, NOON + HOUR_MS)).unwrap();
    driver.settle().unwrap();
    assert!(said::<DecisionSettled>(&driver).is_empty());
    driver.erase(profile.into()).unwrap();
    driver.settle().unwrap();
    driver.advance_to(NOON + 2 * HOUR_MS).unwrap();
    assert!(post.out().is_empty());
    let settled = said::<DecisionSettled>(&driver);
    assert_eq!(settled.iter().map(|settled| settled.sent).collect::<Vec<_>>(), [false]);
}
