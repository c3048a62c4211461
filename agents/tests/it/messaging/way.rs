//! The way of one message, from the wish to its channel.

use impresario_agents::{
    campaigns::CampaignStarted,
    content::TemplateDefined,
    messaging::Messaging,
    vocabulary::{
        Arm, Channel, DecisionId, DecisionMade, Delivered, Feature, Group, MessageHeld, MessageId, MessageRefused,
        MessageRequested, MessageSent, MessageWithdrawn, Millis, ProfileId, ReceiptCame, ReceiptKind, RenderAsked,
        Reserved, SendingResumed, SendingStopped, StopScope,
    },
};
use impresario_runtime::Driver;
use serde_json::{Value, json};

use super::stage::{HOUR_MS, NOON, anna, at_noon, hello, identify, plan, request, sms_only, ten};
use crate::support::{With, said};

fn refused(driver: &Driver) -> Vec<String> {
    said::<MessageRefused>(driver).into_iter().map(|refused| refused.by.guard.into()).collect()
}

fn held(driver: &Driver) -> Vec<(String, i64)> {
    said::<MessageHeld>(driver).into_iter().map(|held| (held.by.guard.into(), held.until_ms)).collect()
}

fn sent(driver: &Driver) -> usize {
    said::<MessageSent>(driver).len()
}

#[test]
fn a_decision_becomes_a_message_that_is_delivered() {
    let mut driver = at_noon();
    let profile = anna(&mut driver);
    let started = driver.say(plan("win-back", 0.0, &hello())).unwrap();
    driver.settle().unwrap();
    let id = DecisionId::of(profile, "win-back", 1);
    let arm = Arm { template: "hello".into(), offer: Some("ten".into()), channel: Channel::Sms, hour: None };
    let decision = |id, plan| DecisionMade {
        id,
        campaign: "win-back".into(),
        profile,
        group: Group::Policy,
        arm: Some(arm.clone()),
        withheld: None,
        chosen: 1,
        propensity: 1.0,
        candidates: vec![(1, 1.0)],
        features: Vec::new(),
        model: "".into(),
        explored: false,
        plan,
        at_ms: NOON,
        context: Value::Null,
        reserved: Reserved::default(),
    };
    driver.say(decision(id, started.first)).unwrap();
    driver.settle().unwrap();
    let sent = said::<MessageSent>(&driver);
    assert_eq!(sent.len(), 1, "{:?}", said::<MessageRefused>(&driver));
    assert_eq!((sent[0].id, sent[0].decision), (MessageId::of_decision(id), Some(id)));
    assert_eq!(said::<Delivered>(&driver).len(), 1);
    assert_eq!(
        said::<RenderAsked>(&driver)[0].traits,
        ["firstName", "first_name"].map(Box::from),
        "no more is told than is needed"
    );
    // The plan it was decided by is not in force any more.
    driver.say(decision(DecisionId::of(profile, "win-back", 2), started.first + 1)).unwrap();
    driver.settle().unwrap();
    assert_eq!(refused(&driver), ["autonomy"]);
}

/// One decision of a plan, for an SMS with the offer, a minute from now.
fn decided(profile: ProfileId, number: u32, plan: u64, at_ms: Millis) -> DecisionMade {
    DecisionMade {
        id: DecisionId::of(profile, "win-back", number),
        campaign: "win-back".into(),
        profile,
        group: Group::Policy,
        arm: Some(Arm { template: "hello".into(), offer: Some("ten".into()), channel: Channel::Sms, hour: None }),
        withheld: None,
        chosen: 1,
        propensity: 1.0,
        candidates: vec![(1, 1.0)],
        features: Vec::new(),
        model: "".into(),
        explored: false,
        plan,
        at_ms: at_ms + 60_000,
        context: Value::Null,
        reserved: Reserved::default(),
    }
}

#[test]
fn what_was_decided_is_sent_as_it_was_then_or_not_at_all() {
    let mut driver = at_noon();
    let profile = anna(&mut driver);
    let first = driver.say(plan("win-back", 0.0, &hello())).unwrap().first;
    driver.settle().unwrap();
    let minute = |driver: &mut Driver| driver.advance_to(driver.now_ms() + 60_000).unwrap();
    // Another plan takes its place that would send the same, and more.
    driver.say(decided(profile, 1, first, NOON)).unwrap();
    let mut wider = plan("win-back", 0.0, &hello());
    wider.plan.blast_radius += 1;
    let second = driver.say(CampaignStarted { revises: true, ..wider.clone() }).unwrap().first;
    minute(&mut driver);
    assert_eq!((sent(&driver), refused(&driver)), (1, Vec::new()));
    // The offer gives away more than was decided on: not even under the very plan that stands.
    driver.say(decided(profile, 2, second, driver.now_ms())).unwrap();
    let mut twenty = ten();
    twenty.offer.percent = Some(20.0);
    driver.say(twenty).unwrap();
    minute(&mut driver);
    assert_eq!((sent(&driver), refused(&driver)), (1, vec!["autonomy".into()]));
    // It is as it was again, but the arm is in the plan no more.
    driver.say(ten()).unwrap();
    driver.say(decided(profile, 3, second, driver.now_ms())).unwrap();
    let retired = (1_u16..).zip(&wider.plan.arms).filter(|(_, arm)| arm.channel == Channel::Sms);
    wider.plan.retired = retired.map(|(number, _)| number).collect();
    driver.say(CampaignStarted { revises: true, ..wider.clone() }).unwrap();
    minute(&mut driver);
    assert_eq!((sent(&driver), refused(&driver).len()), (1, 2));
    // A campaign that begins anew has decided nothing yet.
    wider.plan.retired.clear();
    let third = driver.say(CampaignStarted { revises: false, ..wider }).unwrap().first;
    driver.say(decided(profile, 4, second, driver.now_ms())).unwrap();
    driver.say(decided(profile, 5, third, driver.now_ms())).unwrap();
    minute(&mut driver);
    assert_eq!((sent(&driver), refused(&driver).len()), (2, 3));
}

#[test]
fn quiet_hours_hold_to_the_edge_and_caps_until_the_window_rolls() {
    let mut driver = at_noon();
    let profile = anna(&mut driver);
    for (name, hour) in [("one", 0), ("two", 10), ("three", 11)] {
        driver.say(request(profile, name, Channel::Sms, NOON + hour * HOUR_MS)).unwrap();
    }
    driver.advance_to(NOON + 48 * HOUR_MS).unwrap();
    let morning = NOON + 20 * HOUR_MS;
    // At the edge everything is checked again: the third is one too many of the day.
    assert_eq!(
        held(&driver),
        [("quiet_hours".into(), morning), ("quiet_hours".into(), morning), ("cap".into(), NOON + 24 * HOUR_MS)]
    );
    let sent = driver.said::<MessageSent>().unwrap();
    let at: Vec<_> = sent.iter().map(|(at_ms, _)| (at_ms - NOON) / HOUR_MS).collect();
    assert_eq!(at, [0, 20, 24]);
}

#[test]
fn nothing_without_consent_an_address_or_a_template() {
    let mut driver = at_noon();
    let profile = anna(&mut driver);
    driver.say(identify("anna", NOON + 1, &json!({ "sms_opt_out": true }))).unwrap();
    driver.say(sms_only()).unwrap();
    driver.settle().unwrap();
    driver.say(request(profile, "one", Channel::Sms, NOON)).unwrap();
    let by_mail = request(profile, "two", Channel::Email, NOON);
    driver
        .say(impresario_agents::vocabulary::MessageRequested { template: "short".into(), ..by_mail.clone() })
        .unwrap();
    driver
        .say(impresario_agents::vocabulary::MessageRequested { id: MessageId(9), template: "no".into(), ..by_mail })
        .unwrap();
    driver.say(request(impresario_agents::vocabulary::ProfileId(77), "four", Channel::Email, NOON)).unwrap();
    driver.settle().unwrap();
    assert_eq!(refused(&driver), ["consent", "template", "template", "address"]);
    assert_eq!(sent(&driver), 0);
}

#[test]
fn an_unsubscription_a_bounce_and_a_complaint_act_at_once() {
    let mut driver = at_noon();
    let profile = anna(&mut driver);
    let mut number = 0;
    let mut send = |driver: &mut Driver, channel| {
        number += 1;
        let asked = request(profile, &format!("message {number}"), channel, NOON);
        driver.say(asked.clone()).unwrap();
        driver.settle().unwrap();
        asked.id
    };
    for (channel, kind, guard) in [
        (Channel::Email, ReceiptKind::Unsubscribed, "consent"),
        (Channel::Sms, ReceiptKind::Bounced, "suppression"),
        (Channel::Push, ReceiptKind::Bounced, "address"),
    ] {
        let id = send(&mut driver, channel);
        driver.say(ReceiptCame { id, profile, campaign: None, channel, kind, machine: false }).unwrap();
        driver.settle().unwrap();
        send(&mut driver, channel);
        assert_eq!(refused(&driver).last().map(String::as_str), Some(guard));
    }
    assert_eq!(sent(&driver), 3);
    // A later grant takes an unsubscription back; what was known before does not.
    driver.say(identify("anna", NOON - HOUR_MS, &json!({ "email_consent": true }))).unwrap();
    driver.settle().unwrap();
    send(&mut driver, Channel::Email);
    assert_eq!(sent(&driver), 3);
    driver.advance_to(NOON + 25 * HOUR_MS).unwrap();
    driver.say(identify("anna", NOON + HOUR_MS, &json!({ "email_consent": true }))).unwrap();
    driver.settle().unwrap();
    send(&mut driver, Channel::Email);
    assert_eq!(sent(&driver), 4);
}

#[test]
fn a_stop_holds_what_waits_and_it_is_checked_again_when_sending_goes_on() {
    let mut driver = at_noon();
    let profile = anna(&mut driver);
    let stopped = |scope| SendingStopped { scope, by: "test".into(), why: "wrong prices".into() };
    driver.say(stopped(StopScope::Everything)).unwrap();
    driver.say(stopped(StopScope::Channel(Channel::Sms))).unwrap();
    driver.settle().unwrap();
    for channel in Channel::ALL {
        driver.say(request(profile, channel.name(), channel, NOON)).unwrap();
    }
    driver.settle().unwrap();
    assert_eq!((sent(&driver), held(&driver).len()), (0, 3));
    driver.say(MessageWithdrawn { id: MessageId::of(b"push", 0), profile, because: "stopped".into() }).unwrap();
    driver.say(SendingResumed { scope: StopScope::Everything, by: "test".into() }).unwrap();
    driver.settle().unwrap();
    assert_eq!(sent(&driver), 1, "the text message is stopped yet, the notification was taken back");
    driver.advance_to(NOON + 8 * 24 * HOUR_MS).unwrap();
    assert_eq!((sent(&driver), refused(&driver)), (1, vec!["late".to_owned()]));
}

#[test]
fn asked_twice_is_once_also_where_two_people_become_one() {
    let mut driver = at_noon();
    let anna = anna(&mut driver);
    driver.say(identify("bob", NOON, &json!({ "phone": "+48600999000", "sms_consent": true }))).unwrap();
    driver.settle().unwrap();
    let bob = crate::support::node(impresario_agents::vocabulary::IdentifierKind::UserId, "bob");
    let later = NOON + HOUR_MS;
    driver.say(request(anna, "same", Channel::Sms, NOON)).unwrap();
    driver.say(request(anna, "same", Channel::Sms, NOON)).unwrap();
    driver.say(request(bob, "other", Channel::Sms, NOON)).unwrap();
    driver.say(request(bob, "waits", Channel::Sms, later)).unwrap();
    driver.say(request(anna, "waits", Channel::Sms, later)).unwrap();
    driver.settle().unwrap();
    assert_eq!(sent(&driver), 2);
    let alias = crate::support::event(impresario_agents::vocabulary::EventKind::Alias, "alias", NOON);
    driver.say(alias.user("anna").previous("bob")).unwrap();
    driver.settle().unwrap();
    let winner = crate::support::person(&mut driver, bob);
    let person =
        driver.read::<Messaging, _>(&winner, |reading| reading.get(&winner).unwrap().cloned()).unwrap().unwrap();
    assert_eq!((person.sent.len(), person.pending.len()), (2, 1));
    driver.advance_to(later + 48 * HOUR_MS).unwrap();
    assert_eq!(sent(&driver), 3, "what waited for either is one message");
    // What is said of the other one still is said of the one they are.
    driver.say(request(bob, "late", Channel::Push, later)).unwrap();
    driver.say(request(anna, "late", Channel::Push, later)).unwrap();
    driver.settle().unwrap();
    assert_eq!((sent(&driver), refused(&driver)), (4, Vec::<String>::new()));
}

#[test]
fn whoever_of_two_had_unsubscribed_only_a_grant_after_they_are_one_takes_it_back() {
    let mut driver = at_noon();
    let anna = anna(&mut driver);
    let phone = json!({ "phone": "+48600999000", "sms_consent": true });
    driver.say(identify("bob", NOON - HOUR_MS, &phone)).unwrap();
    driver.settle().unwrap();
    let bob = crate::support::node(impresario_agents::vocabulary::IdentifierKind::UserId, "bob");
    let unsubscribed = ReceiptCame {
        id: MessageId(1),
        profile: bob,
        campaign: None,
        channel: Channel::Sms,
        kind: ReceiptKind::Unsubscribed,
        machine: false,
    };
    driver.say(unsubscribed).unwrap();
    driver.advance_to(NOON + HOUR_MS).unwrap();
    // She agrees anew, as another person yet.
    driver.say(identify("anna", NOON + HOUR_MS, &json!({ "sms_consent": true }))).unwrap();
    driver.settle().unwrap();
    driver.advance_to(NOON + 2 * HOUR_MS).unwrap();
    let alias = crate::support::event(impresario_agents::vocabulary::EventKind::Alias, "alias", NOON + 2 * HOUR_MS);
    driver.say(alias.user("anna").previous("bob")).unwrap();
    driver.settle().unwrap();
    driver.say(request(anna, "one", Channel::Sms, NOON)).unwrap();
    driver.say(request(bob, "two", Channel::Sms, NOON)).unwrap();
    driver.settle().unwrap();
    assert_eq!((sent(&driver), refused(&driver)), (0, vec!["consent".to_owned(); 2]));
    // Whoever had refused agrees.
    driver.say(identify("bob", NOON + 3 * HOUR_MS, &json!({ "sms_consent": true }))).unwrap();
    driver.advance_to(NOON + 3 * HOUR_MS).unwrap();
    driver.say(request(bob, "three", Channel::Sms, NOON)).unwrap();
    driver.settle().unwrap();
    assert_eq!(sent(&driver), 1);
}

#[test]
fn a_draft_goes_to_the_people_of_its_test_list_and_to_nobody_else() {
    let mut driver = at_noon();
    let anna = anna(&mut driver);
    driver.say(identify("bob", NOON, &json!({ "phone": "+48600999000", "sms_consent": true }))).unwrap();
    driver.settle().unwrap();
    let bob = crate::support::node(impresario_agents::vocabulary::IdentifierKind::UserId, "bob");
    let draft = |people: &[String]| {
        let template = json!({ "name": "Draft", "test": true, "test_people": people, "sms": { "text": "Hello" } });
        TemplateDefined { id: "draft".into(), template: serde_json::from_value(template).unwrap() }
    };
    let mut number = 0;
    let mut ask = |driver: &mut Driver, profile| {
        number += 1;
        let asked = request(profile, &format!("draft {number}"), Channel::Sms, NOON);
        driver.say(MessageRequested { template: "draft".into(), ..asked }).unwrap();
        driver.settle().unwrap();
    };
    driver.say(draft(&[anna.to_string()])).unwrap();
    driver.settle().unwrap();
    ask(&mut driver, anna);
    ask(&mut driver, bob);
    let to: Vec<_> = said::<MessageSent>(&driver).into_iter().map(|sent| sent.profile).collect();
    assert_eq!((to, refused(&driver)), (vec![anna], vec!["template".to_owned()]));
    driver.say(draft(&[])).unwrap();
    driver.settle().unwrap();
    ask(&mut driver, anna);
    assert_eq!((sent(&driver), refused(&driver).len()), (1, 2));
}

#[test]
fn whoever_unsubscribes_has_refused_for_their_profile_too_until_they_agree_again() {
    let mut driver = at_noon();
    let anna = anna(&mut driver);
    let came =
        |id, kind| ReceiptCame { id, profile: anna, campaign: None, channel: Channel::Email, kind, machine: false };
    driver.say(came(MessageId(1), ReceiptKind::Opened)).unwrap();
    driver.settle().unwrap();
    let refused = |driver: &mut Driver| {
        let profile = crate::support::user(driver, "anna");
        (profile.events, profile.consents.iter().find(|consent| consent.of == "email").unwrap().granted)
    };
    assert_eq!(refused(&mut driver), (1, true));
    driver.say(came(MessageId(1), ReceiptKind::Unsubscribed)).unwrap();
    driver.settle().unwrap();
    driver.say(came(MessageId(1), ReceiptKind::Complained)).unwrap();
    driver.settle().unwrap();
    assert_eq!(refused(&mut driver), (2, false), "said twice, it is heard once");
    let changed = said::<impresario_agents::vocabulary::ProfileChanged>(&driver).pop().unwrap();
    assert!(changed.features.contains(&(Feature::refused(Channel::Email), 1)), "{changed:?}");
    driver.advance_to(NOON + HOUR_MS).unwrap();
    driver.say(identify("anna", NOON + HOUR_MS, &json!({ "email_consent": true }))).unwrap();
    driver.settle().unwrap();
    assert_eq!(refused(&mut driver), (3, true));
}
