//! What is a situation, and what is none.

use impresario_agents::{
    situation::{Settings, Situations, SituationsSet},
    troupe,
    vocabulary::{
        Channel, IdentifierKind, MessageClass, MessageId, MessageSent, Millis, ProfileId, ReceiptCame, ReceiptKind,
        SendingResumed, SendingStopped, SituationDetected, SituationOf, SituationResolved, StopScope, Tracked,
    },
};
use impresario_runtime::Driver;
use proptest::prelude::*;
use serde_json::json;

use crate::support::{START, driver, journal, node, said, send, track};

const HOUR: Millis = 3_600_000;

fn viewed(number: u32, at_ms: Millis) -> Tracked {
    let properties = json!({"product_id": "SHOE-42", "name": "Shoe", "price": 80.5, "category": "shoes"});
    track("Product Viewed", "anna", &format!("view-{number}"), at_ms, &properties)
}

fn ordered(at_ms: Millis) -> Tracked {
    track("Order Completed", "anna", &format!("order-{at_ms}"), at_ms, &json!({"total": 10}))
}

fn anna() -> ProfileId {
    node(IdentifierKind::UserId, "anna")
}

/// Sends each event when it comes in, the clock going on to there.
fn play(driver: &mut Driver, events: impl IntoIterator<Item = (Millis, Tracked)>) {
    for (at_ms, event) in events {
        driver.advance_to(at_ms).unwrap();
        send(driver, [event]);
    }
}

fn detected(driver: &Driver, kind: &str) -> Vec<SituationDetected> {
    said::<SituationDetected>(driver).into_iter().filter(|found| &*found.kind == kind).collect()
}

fn views(instants: &[Millis]) -> Vec<(Millis, Tracked)> {
    let numbered = instants.iter().enumerate();
    numbered.map(|(number, hours)| (START + hours * HOUR, viewed(number as u32, START + hours * HOUR))).collect()
}

#[test]
fn three_views_within_a_day_are_intent_and_an_order_ends_it() {
    let mut driver = driver(&journal(), troupe(2));
    play(&mut driver, views(&[1, 3, 5, 6]));
    let found = detected(&driver, "purchase_intent");
    assert_eq!(found.len(), 1, "a fourth view makes no second one");
    let SituationDetected { of, since_ms, context, because, .. } = &found[0];
    assert_eq!((of, *since_ms), (&SituationOf::Person(anna()), START + HOUR));
    assert_eq!(context, &json!({"product_id": "SHOE-42", "name": "Shoe", "price": 80.5, "category": "shoes"}));
    assert_eq!(&**because, "3 views within 1d, no order");
    play(&mut driver, [(START + 7 * HOUR, ordered(START + 7 * HOUR))]);
    let resolved = said::<SituationResolved>(&driver);
    assert_eq!(
        resolved.iter().map(|over| (&*over.id, &*over.because)).collect::<Vec<_>>(),
        [(&*found[0].id, "ordered")]
    );
    // It begins anew after the order.
    let again = [8, 9, 10].map(|hour| (START + hour * HOUR, viewed(100 + hour as u32, START + hour * HOUR)));
    play(&mut driver, again);
    assert_eq!(detected(&driver, "purchase_intent").len(), 2);
}

#[test]
fn it_is_over_by_time_and_views_too_far_apart_are_none() {
    let mut driver = driver(&journal(), troupe(1));
    play(&mut driver, views(&[1, 13, 25]));
    assert_eq!(detected(&driver, "purchase_intent"), [], "the first and the third are a day apart");
    play(&mut driver, [(START + 36 * HOUR, viewed(9, START + 36 * HOUR))]);
    assert_eq!(detected(&driver, "purchase_intent").len(), 1);
    driver.advance_to(START + 36 * HOUR + 72 * HOUR - 1).unwrap();
    assert_eq!(said::<SituationResolved>(&driver), []);
    driver.advance_to(START + 36 * HOUR + 72 * HOUR).unwrap();
    assert_eq!(&*said::<SituationResolved>(&driver)[0].because, "time");
}

#[test]
fn an_order_between_the_views_makes_none_even_if_it_is_told_first() {
    let mut driver = driver(&journal(), troupe(1));
    let at = |hour: Millis| START + hour * HOUR;
    // The order of hour 4 is there before the views of hours 1 and 3 come in.
    let events =
        [(at(5), ordered(at(4))), (at(5), viewed(1, at(1))), (at(5), viewed(2, at(3))), (at(6), viewed(3, at(6)))];
    play(&mut driver, events);
    assert_eq!(detected(&driver, "purchase_intent"), []);
    // Views that come in days later are no intent of today's.
    let late = [20, 21, 22].map(|hour| (at(100), viewed(hour as u32, at(hour))));
    play(&mut driver, late);
    assert_eq!(detected(&driver, "purchase_intent"), []);
}

#[test]
fn views_of_a_category_are_intent_for_it_and_settings_are_obeyed() {
    let mut driver = driver(&journal(), troupe(1));
    let of = |number: i64, hour: Millis| {
        let properties = json!({"product_id": format!("shoe-{number}"), "category": "shoes"});
        let at_ms = START + hour * HOUR;
        (at_ms, track("Product Viewed", "anna", &format!("v{number}"), at_ms, &properties))
    };
    play(&mut driver, (0..6).map(|number| of(number, number + 1)));
    let found = detected(&driver, "purchase_intent");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].context["category"], "shoes");
    let mut settings = Settings { learn: false, ..Settings::default() };
    settings.product_views.views = 2;
    driver.say(SituationsSet { settings, by: "test".into() }).unwrap();
    play(
        &mut driver,
        [of(50, 100), (START + 101 * HOUR, of(50, 101).1)]
            .map(|(at_ms, event)| (at_ms, Tracked { message_id: format!("x{at_ms}").into(), ..event })),
    );
    assert_eq!(detected(&driver, "purchase_intent").len(), 2);
}

#[test]
fn a_cart_is_left_after_two_hours_exactly_once() {
    let mut driver = driver(&journal(), troupe(1));
    let add = |number: u32, at_ms| {
        let properties = json!({"product_id": "SHOE-42", "quantity": 2, "price": 80});
        track("Product Added", "anna", &format!("add-{number}"), at_ms, &properties)
    };
    play(&mut driver, [(START, add(1, START)), (START + HOUR, add(2, START + HOUR))]);
    driver.advance_to(START + 3 * HOUR - 1).unwrap();
    assert_eq!(detected(&driver, "cart_left"), []);
    driver.advance_to(START + 50 * HOUR).unwrap();
    let found = detected(&driver, "cart_left");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].context, json!({"product_id": "SHOE-42", "price": 80, "items": 4}));
    play(&mut driver, [(START + 51 * HOUR, ordered(START + 51 * HOUR))]);
    assert_eq!(&*said::<SituationResolved>(&driver)[0].because, "ordered");
    // An order in time leaves no cart.
    play(
        &mut driver,
        [(START + 60 * HOUR, add(3, START + 60 * HOUR)), (START + 61 * HOUR, ordered(START + 61 * HOUR))],
    );
    driver.advance_to(START + 100 * HOUR).unwrap();
    assert_eq!(detected(&driver, "cart_left").len(), 1);
}

#[test]
fn two_who_turn_out_to_be_one_have_one_intent_together() {
    let mut driver = driver(&journal(), troupe(2));
    let mut of = views(&[1, 2, 3]);
    for (number, (_, event)) in of.iter_mut().enumerate().take(2) {
        event.user_id = None;
        event.anonymous_id = Some(format!("device-{number}").into());
    }
    play(&mut driver, of);
    assert_eq!(detected(&driver, "purchase_intent"), []);
    let at_ms = START + 4 * HOUR;
    let identify = |device: &str| {
        let event = crate::support::event(impresario_agents::vocabulary::EventKind::Identify, device, at_ms);
        Tracked { user_id: Some("anna".into()), anonymous_id: Some(device.into()), ..event }
    };
    play(&mut driver, [(at_ms, identify("device-0")), (at_ms, identify("device-1"))]);
    let kept = driver.read::<Situations, _>(&anna(), |reading| reading.get(&anna()).unwrap().cloned()).unwrap();
    assert!(kept.is_some());
    // The next view makes it, of all four.
    play(&mut driver, [(START + 5 * HOUR, viewed(9, START + 5 * HOUR))]);
    let found = detected(&driver, "purchase_intent");
    assert_eq!(found.iter().map(|found| found.since_ms).collect::<Vec<_>>(), [START + 2 * HOUR]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever order they come in, and however often: views and orders of one past make the same one intent
    /// at most once, and none where an order lies between.
    #[test]
    fn late_and_repeated_events_never_make_a_situation_twice(
        instants in proptest::collection::vec(0_i64..20, 1..8),
        order in proptest::option::of(0_i64..20),
        shuffle in proptest::collection::vec(any::<u32>(), 20),
        workers in 1_usize..3,
    ) {
        let mut events: Vec<Tracked> = views(&instants).into_iter().map(|(_, event)| event).collect();
        events.extend(order.map(|hour| ordered(START + hour * HOUR)));
        let twice = events.clone();
        events.extend(twice);
        let mut keyed: Vec<_> = events.into_iter().zip(shuffle.iter().cycle()).collect();
        keyed.sort_by_key(|(_, key)| **key);
        let mut driver = driver(&journal(), troupe(workers));
        driver.advance_to(START + 21 * HOUR).unwrap();
        keyed.into_iter().for_each(|(event, _)| send(&mut driver, [event]));
        driver.settle().unwrap();
        let found = detected(&driver, "purchase_intent");
        let mut ids: Vec<_> = found.iter().map(|found| &found.id).collect();
        ids.dedup();
        prop_assert_eq!(ids.len(), found.len());
        prop_assert!(found.len() <= 1 + usize::from(order.is_some()));
        let last = order.unwrap_or(-1);
        let after = instants.iter().filter(|hour| **hour > last).count();
        let stands = found.len() - said::<SituationResolved>(&driver).len();
        // What stands in the end is what the whole past says.
        prop_assert_eq!(stands > 0, after >= 3, "instants {:?}, order {:?}", instants, order);
    }
}

/// So many text messages are sent, and so many complained of.
fn texts(driver: &mut Driver, sent: u64, complained: u64) {
    for number in 0..sent {
        driver
            .say(MessageSent {
                id: MessageId(number + 1),
                profile: anna(),
                class: MessageClass::Marketing,
                campaign: None,
                decision: None,
                arm: None,
                channel: Channel::Sms,
                template: ("hello".into(), 1),
                offer: None,
                guards: Vec::new(),
                reached_before: false,
                because: "test".into(),
            })
            .unwrap();
    }
    for number in 0..complained {
        let (id, profile, kind) = (MessageId(number + 1), anna(), ReceiptKind::Complained);
        driver.say(ReceiptCame { id, profile, campaign: None, channel: Channel::Sms, kind, machine: false }).unwrap();
    }
    driver.settle().unwrap();
}

#[test]
fn a_surge_of_complaints_stops_its_channel_and_counts_anew_once_sending_is_resumed() {
    let mut driver = driver(&journal(), troupe(2));
    texts(&mut driver, 200, 2);
    assert!(said::<SendingStopped>(&driver).is_empty(), "two may be chance");
    texts(&mut driver, 0, 2);
    let stopped = said::<SendingStopped>(&driver);
    assert_eq!(stopped.iter().map(|stop| &stop.scope).collect::<Vec<_>>(), [&StopScope::Channel(Channel::Sms)]);
    assert_eq!(&*stopped[0].why, "3 of 200 complained within the last hour, the limit is 0.30%");
    let resumed = SendingResumed { scope: StopScope::Channel(Channel::Sms), by: "test".into() };
    driver.say(resumed).unwrap();
    // Late complaints of what was sent before come in at once.
    texts(&mut driver, 0, 20);
    assert!(driver.dead_letters("channel-watch", 0, 10).unwrap().is_empty());
    assert_eq!(said::<SendingStopped>(&driver).len(), 1);
    let now_ms = driver.now_ms();
    driver.advance_to(now_ms + HOUR / 12).unwrap();
    texts(&mut driver, 200, 4);
    assert_eq!(detected(&driver, "complaint_surge").len(), 2);
    assert_eq!(said::<SendingStopped>(&driver).len(), 2);
}
