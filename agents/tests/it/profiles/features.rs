//! What is kept count of, by the examples of Segment's specification.

use std::collections::BTreeMap;

use impresario_agents::{
    profiles::{Currency, Profile},
    vocabulary::{DAY_MS, EventKind, Millis, ProfileChanged, RhythmDelta, Tracked},
};
use serde_json::{Value, json};

use crate::support::{START, With, event, profiles, said, send, track, user};

const HOUR_MS: Millis = 3_600_000;

/// Anna's profile after her events.
fn anna(events: impl IntoIterator<Item = Tracked>) -> Profile {
    let mut driver = profiles(1);
    send(&mut driver, events);
    user(&mut driver, "anna")
}

fn tracked(name: &str, at_ms: Millis, properties: &Value) -> Tracked {
    track(name, "anna", &format!("{name}{at_ms}{properties}"), at_ms, properties)
}

fn features(profile: &Profile) -> BTreeMap<String, i64> {
    profile.features().into_iter().map(|(feature, number)| (feature.to_string(), number)).collect()
}

fn check(profile: &Profile, expect: &[(&str, i64)]) {
    let features = features(profile);
    for (name, number) in expect {
        assert_eq!(features.get(*name).copied().unwrap_or(0), *number, "{name} of {features:?}");
    }
}

fn oddities(profile: &Profile) -> Vec<String> {
    profile.oddities.iter().map(|(oddity, times)| format!("{oddity:?} {times}")).collect()
}

/// "Order Completed" as Segment's specification of e-commerce events (version 2) shows it.
fn order_of_the_specification() -> Value {
    json!({
        "checkout_id": "fksdjfsdjfisjf9sdfjsd9f", "order_id": "50314b8e9bcf000000000000",
        "affiliation": "Google Store", "total": 27.50, "subtotal": 22.50, "revenue": 25.00, "shipping": 3, "tax": 2,
        "discount": 2.5, "coupon": "hasbros", "currency": "USD",
        "products": [
            { "product_id": "507f1f77bcf86cd799439011", "sku": "45790-32", "name": "Monopoly: 3rd Edition", "price": 19,
              "quantity": 1, "category": "Games" },
            { "product_id": "505bd76785ebb509fc183733", "sku": "46493-32", "name": "Uno Card Game", "price": 3,
              "quantity": 2, "category": "Games" },
        ],
    })
}

#[test]
fn an_order_of_the_specification_is_understood() {
    let anna = anna([tracked("Order Completed", START, &order_of_the_specification())]);
    check(
        &anna,
        &[
            ("orders", 1),
            ("order_days", 1),
            ("first_order_at", START),
            ("last_order_at", START),
            ("value.USD", 25_000_000),
            ("events", 1),
        ],
    );
    let shop = anna.shop.unwrap();
    let bought: Vec<_> = shop.products().iter().map(|product| (product.id, product.bought)).collect();
    assert_eq!(bought, [("505bd76785ebb509fc183733", 2), ("507f1f77bcf86cd799439011", 1)]);
}

#[test]
fn value_is_revenue_else_total_else_value_less_refunds() {
    let order = |at, properties: &Value| tracked("Order Completed", START + at, properties);
    let anna = anna([
        order(0, &json!({ "total": "27.50", "value": 1 })),
        order(1, &json!({ "value": 10, "currency": "eur" })),
        order(2, &json!({ "revenue": null, "total": 2 })),
        order(3, &json!({})),
        tracked("Order Refunded", START + 4, &json!({ "order_id": "1", "total": 7.25 })),
        tracked("order_refunded", START + 5, &json!({ "value": -10, "currency": "EUR" })),
    ]);
    check(&anna, &[("value.USD", 22_250_000), ("value.EUR", 0), ("orders", 4), ("refunds", 2)]);
    assert!(anna.oddities.is_empty());
}

#[test]
fn an_order_with_an_impossible_value_counts_but_adds_none() {
    let order = |at, properties: &Value| tracked("Order Completed", START + at, properties);
    let anna = anna([
        order(0, &json!({ "revenue": -5 })),
        order(1, &json!({ "revenue": "NaN" })),
        order(2, &json!({ "revenue": 1e12 })),
        order(3, &json!({ "revenue": 5, "currency": "EURO" })),
        order(4, &json!({ "revenue": 5, "currency": 7 })),
        order(5, &json!({ "revenue": { "amount": 5 }, "products": "none" })),
    ]);
    check(&anna, &[("orders", 6), ("value.USD", 0)]);
    assert_eq!(oddities(&anna), ["WrongType 1", "Amount 3", "NegativeAmount 1", "Currency 2"]);
}

#[test]
fn the_rhythm_is_told_as_it_changes() {
    let mut driver = profiles(1);
    let order =
        |day: Millis, hour: Millis| tracked("Order Completed", START + day * DAY_MS + hour * HOUR_MS, &json!({}));
    for event in [order(10, 0), order(10, 5), order(20, 0), order(3, 0), order(12, 0)] {
        send(&mut driver, [event]);
    }
    let told: Vec<_> = said::<ProfileChanged>(&driver).into_iter().map(|changed| changed.rhythm).collect();
    let delta = |gaps, hours: Millis| Some(RhythmDelta { gaps, gaps_ms: hours * HOUR_MS });
    assert_eq!(told, [None, delta(0, 5), delta(1, 235), delta(1, 168), delta(1, 0)]);
    assert_eq!(user(&mut driver, "anna").gaps(), RhythmDelta { gaps: 3, gaps_ms: 17 * DAY_MS });
}

#[test]
fn recency_and_frequency_follow_event_time() {
    let page = |at_ms| event(EventKind::Page, &format!("p{at_ms}"), at_ms).user("anna");
    let screen = event(EventKind::Screen, "s", START + 50).user("anna");
    let anna = anna([page(START + 20), page(START + 10), screen, page(START + 30)]);
    check(
        &anna,
        &[("first_seen_at", START + 10), ("last_seen_at", START + 50), ("events", 4), ("pages", 3), ("screens", 1)],
    );
}

#[test]
fn rolling_sums_are_read_at_any_instant() {
    let order = |day: Millis| tracked("Order Completed", START + day * DAY_MS, &json!({ "revenue": 10 }));
    let anna = anna([order(0), order(5), order(29), order(30)]);
    let at = |days, day: Millis| {
        let rolling = anna.days.rolling(days, START + day * DAY_MS + 1);
        (rolling.orders, rolling.value.get(Currency::DEFAULT).map_or(0, |sum| sum.number() / 1_000_000))
    };
    assert_eq!(at(30, 30), (3, 30));
    assert_eq!(at(30, 29), (3, 30));
    assert_eq!(at(31, 30), (4, 40));
    assert_eq!(at(1, 31), (0, 0));
}

#[test]
fn products_viewed_and_bought_are_kept_by_id() {
    let view = |id: &str, at| tracked("Product Viewed", START + at, &json!({ "product_id": id, "price": 5 }));
    let order = json!({ "products": [{ "sku": "b", "quantity": "3" }, { "id": 7 }, { "name": "what" }] });
    let anna = anna([view("a", 1), view("b", 2), view("a", 9), tracked("Completed Order", START + 5, &order)]);
    check(&anna, &[("product_views", 3), ("last_product_view_at", START + 9)]);
    let shop = anna.shop.as_ref().unwrap();
    let products: Vec<_> = shop.products().iter().map(|product| (product.id, product.views, product.bought)).collect();
    assert_eq!(products, [("a", 2, 0), ("b", 1, 3), ("7", 0, 1)]);
    assert_eq!(oddities(&anna), ["NoProduct 1"]);
}

#[test]
fn the_cart_is_what_was_added_and_not_taken_out_since_the_last_order() {
    let add = |id: &str, quantity: i64, at| {
        tracked("Product Added", START + at, &json!({ "product_id": id, "quantity": quantity }))
    };
    let remove = |id: &str, quantity: i64, at| {
        tracked("Product Removed", START + at, &json!({ "product_id": id, "quantity": quantity }))
    };
    let mut driver = profiles(1);
    send(&mut driver, [add("a", 2, 1), add("b", 1, 2), remove("a", 1, 3), remove("c", 5, 4), add("c", 1, 5)]);
    let cart = |profile: &Profile| {
        let shop = profile.shop.as_ref().unwrap();
        shop.cart().into_iter().map(|(id, held)| (id.to_owned(), held)).collect::<Vec<_>>()
    };
    let now = user(&mut driver, "anna");
    assert_eq!(cart(&now), [("a".to_owned(), 1), ("b".to_owned(), 1), ("c".to_owned(), 1)]);
    check(&now, &[("cart_items", 3), ("cart_adds", 3)]);
    send(&mut driver, [add("d", 4, 20), tracked("Order Completed", START + 10, &json!({})), add("e", 1, 7)]);
    let now = user(&mut driver, "anna");
    assert_eq!(cart(&now), [("d".to_owned(), 4)]);
    check(&now, &[("cart_items", 4), ("cart_adds", 5)]);
    send(&mut driver, [tracked("Order Completed", START + 30, &json!({ "x": 1 }))]);
    check(&user(&mut driver, "anna"), &[("cart_items", 0)]);
    let told = said::<ProfileChanged>(&driver).pop().unwrap();
    assert!(told.features.iter().any(|(feature, number)| feature.to_string() == "cart_items" && *number == 0));
}

#[test]
fn a_subscription_stands_as_last_said() {
    let say = |name: &str, at, id: &str| tracked(name, START + at, &json!({ "subscription_id": id }));
    let mut driver = profiles(1);
    let mut active_after = |event| {
        send(&mut driver, [event]);
        user(&mut driver, "anna").shop.is_some_and(|shop| shop.subscription_active())
    };
    assert!(!active_after(say("Trial Started", 1, "s1")));
    assert!(active_after(say("Subscription Started", 10, "s1")));
    assert!(active_after(say("Trial Ended", 11, "s1")));
    assert!(active_after(say("Subscription Cancelled", 5, "s1")), "an earlier one that came late");
    assert!(!active_after(say("Subscription Paused", 20, "s1")));
    assert!(active_after(say("Subscription Resumed", 21, "s1")));
    assert!(active_after(say("Subscription Renewed", 30, "s2")));
    assert!(active_after(say("subscription_canceled", 40, "s1")));
    assert!(!active_after(say("Subscription Expired", 50, "s2")));
    let anna = user(&mut driver, "anna");
    let shop = anna.shop.as_ref().unwrap();
    let states: Vec<_> = shop.subscriptions().map(|known| (known.id, known.trial, known.state)).collect();
    assert_eq!(states, [("s1", false, "ended"), ("s2", false, "ended"), ("s1", true, "ended")]);
}

#[test]
fn engagement_is_kept_by_channel() {
    let say = |name: &str, at| tracked(name, START + at, &json!({}));
    let anna = anna([
        say("Email Delivered", 1),
        say("Email Opened", 9),
        say("Email Opened", 5),
        say("Email Link Clicked", 6),
        say("Email Bounced", 7),
        say("Email Marked as Spam", 8),
        say("Unsubscribed", 9),
        say("Push Notification Received", 10),
        say("Push Notification Tapped", 11),
        say("SMS Delivered", 12),
        say("SMS Link Clicked", 13),
    ]);
    check(
        &anna,
        &[
            ("email.delivered", 1),
            ("email.opened", 2),
            ("email.last_opened_at", START + 9),
            ("email.clicked", 1),
            ("email.last_clicked_at", START + 6),
            ("email.bounced", 1),
            ("email.complained", 1),
            ("email.unsubscribed", 1),
            ("push.delivered", 1),
            ("push.opened", 1),
            ("push.clicked", 1),
            ("sms.delivered", 1),
            ("sms.clicked", 1),
            ("sms.opened", 0),
        ],
    );
}

#[test]
fn traits_are_as_last_written_by_event_time_with_their_types() {
    let identify = |message: &str, at, traits: &Value| {
        event(EventKind::Identify, message, START + at).user("anna").properties(traits)
    };
    let from_crm = Tracked {
        source: "crm".into(),
        ..identify("m3", 30, &json!({ "plan": "gold", "address": { "city": "Gdynia" }, "a.b": [1, 2.5, true] }))
    };
    let mut driver = profiles(1);
    send(
        &mut driver,
        [
            identify("m2", 20, &json!({ "plan": "silver", "age": 34, "old": null })),
            identify("m1", 10, &json!({ "plan": "none", "age": null, "old": "x", "name": "Anna" })),
            from_crm,
        ],
    );
    let anna = user(&mut driver, "anna");
    let live = anna.traits.iter().filter(|write| !write.value.is_null());
    let live: BTreeMap<_, _> =
        live.map(|write| (write.name.as_ref(), (write.value.clone(), write.source.as_ref()))).collect();
    let expect = [
        ("a.b", (json!([1, 2.5, true]), "crm")),
        ("address", (json!({ "city": "Gdynia" }), "crm")),
        ("age", (json!(34), "test")),
        ("name", (json!("Anna"), "test")),
        ("plan", (json!("gold"), "crm")),
    ];
    assert_eq!(live, expect.into_iter().collect());
    let told: Vec<_> = said::<ProfileChanged>(&driver).into_iter().map(|changed| changed.traits).collect();
    let names = |place: usize| told[place].keys().map(AsRef::as_ref).collect::<Vec<_>>();
    assert_eq!((names(0), names(1), names(2)), (vec!["age", "plan"], vec!["name"], vec!["a.b", "address", "plan"]));
}

#[test]
fn traits_in_the_context_of_an_identify_are_traits() {
    let context = json!({ "traits": { "plan": "gold", "email": "anna@example.test" } });
    let anna = anna([
        event(EventKind::Identify, "m1", START).user("anna").context(&context),
        tracked("Signed In", START + 5, &json!({})).context(&json!({ "traits": { "plan": "what the client holds" } })),
    ]);
    assert_eq!(anna.traits.get("plan").map(|write| &write.value), Some(&json!("gold")));
    assert!(anna.identifiers.iter().any(|known| &*known.value == "anna@example.test"));
}

#[test]
fn groups_are_kept_with_what_is_said_of_them() {
    let group = |message: &str, id: &str, at, traits: &Value| {
        let made = event(EventKind::Group, message, START + at).user("anna").properties(traits);
        Tracked { group_id: Some(id.into()), ..made }
    };
    let anna = anna([
        group("m1", "acme", 10, &json!({ "plan": "big", "seats": 5 })),
        group("m2", "acme", 5, &json!({ "plan": "small", "city": "Gdynia" })),
        group("m3", "club", 1, &json!({})),
    ]);
    let groups = anna.groups();
    let ids: Vec<_> = groups.iter().map(|group| (group.id, group.at_ms - START)).collect();
    assert_eq!(ids, [("acme", 10), ("club", 1)]);
    let traits: Vec<_> = groups[0].traits.iter().map(|(name, write)| (*name, write.value.clone())).collect();
    assert_eq!(traits, [("city", json!("Gdynia")), ("plan", json!("big")), ("seats", json!(5))]);
}

#[test]
fn hours_are_those_of_the_persons_own_clock() {
    let at_nine = |zone: &str, hour: Millis| {
        tracked("Signed In", START + hour * HOUR_MS, &json!({})).context(&json!({ "timezone": zone }))
    };
    let anna = anna([at_nine("Europe/Warsaw", 7), at_nine("America/New_York", 13), tracked("A", START, &json!({}))]);
    assert_eq!(anna.hours.zone(), Some("America/New_York"));
    // Monday nine o'clock twice, and an event of midnight UTC: Sunday at 20:00 in New York.
    assert_eq!(anna.hours.by_hour(START).iter().copied().collect::<Vec<_>>(), [(9, 2), (164, 1)]);
}

#[test]
fn first_and_last_touch_tell_where_a_person_came_from() {
    let page = |at: Millis, url: &str, referrer: &str, context: &Value| {
        let properties = json!({ "url": url, "referrer": referrer });
        event(EventKind::Page, &format!("p{at}"), START + at).user("anna").properties(&properties).context(context)
    };
    let campaign = json!({ "campaign": { "name": "spring", "source": "newsletter", "medium": "email" } });
    let anna = anna([
        page(5, "https://s.test/a", "https://s.test/b", &json!({})),
        page(3, "https://s.test/b", "https://search.test/", &json!({})),
        page(9, "https://s.test/c", "", &campaign),
        page(1, "https://s.test/d", "", &json!({})),
    ]);
    let touches = anna.touches.unwrap();
    let (first, last) = (touches.first.unwrap(), touches.last.unwrap());
    assert_eq!((first.at_ms(), first.url.as_deref()), (START + 1, Some("https://s.test/d")));
    assert_eq!((last.at_ms(), last.campaign.as_deref()), (START + 9, Some("spring")));
    assert_eq!((last.source.as_deref(), last.medium.as_deref()), (Some("newsletter"), Some("email")));
}

#[test]
fn the_timeline_holds_the_newest_hundred_events() {
    let mut driver = profiles(1);
    send(&mut driver, (0..150).rev().map(|at| tracked("A", START + at, &json!({}))));
    let anna = user(&mut driver, "anna");
    let times: Vec<_> = anna.timeline().map(|(at_ms, _)| at_ms - START).collect();
    assert_eq!(times, (50..150).rev().collect::<Vec<_>>());
}

#[test]
fn an_order_told_twice_is_one_order_and_the_last_told_counts() {
    let order = |message: &str, at: i64, id: &str, total: i64| {
        let products = json!([{ "product_id": format!("p{total}"), "quantity": 1 }]);
        let said = json!({ "order_id": id, "total": total, "currency": "EUR", "products": products });
        track("Order Completed", "anna", message, START + at, &said)
    };
    let refund = |message: &str, at: i64, total: i64| {
        let said = json!({ "order_id": "A", "total": total, "currency": "EUR" });
        track("Order Refunded", "anna", message, START + at, &said)
    };
    let events = [
        order("m1", 0, "A", 10),
        order("m2", 1, "A", 12),
        order("m3", 2, "B", 5),
        refund("m4", 3, 2),
        refund("m5", 4, 3),
    ];
    for backwards in [false, true] {
        let mut driver = profiles(1);
        let mut events = events.to_vec();
        if backwards {
            events.reverse();
        }
        send(&mut driver, events);
        let anna = user(&mut driver, "anna");
        let feature = |name: &str| {
            anna.features().into_iter().find(|(feature, _)| feature.to_string() == name).map(|(_, number)| number)
        };
        assert_eq!((feature("orders"), feature("refunds")), (Some(2), Some(1)));
        assert_eq!(feature("value.EUR"), Some(14_000_000));
        let rolling = anna.days.rolling(1, START + 5);
        assert_eq!(rolling.orders, 2);
        let shop = anna.shop.as_ref().unwrap();
        assert_eq!(shop.bought.iter().map(|touch| &*touch.product).collect::<Vec<_>>(), ["p12", "p5"]);
    }
}

#[test]
fn the_strictest_consent_of_a_persons_identifiers_counts() {
    let said = |name: &str, message: &str, at: i64| track(name, "anna", message, START + at, &json!({}));
    let identify = |message: &str, at: i64, traits: &serde_json::Value| {
        event(EventKind::Identify, message, START + at).properties(traits)
    };
    let consents = |events: Vec<Tracked>| {
        let mut driver = profiles(3);
        send(&mut driver, events);
        let anna = user(&mut driver, "anna");
        anna.consents.iter().map(|consent| (consent.of.to_owned(), consent.granted)).collect::<Vec<_>>()
    };
    let email = |granted| vec![("email".to_owned(), granted)];
    // The last word of one node counts.
    assert_eq!(consents(vec![said("Unsubscribed", "m1", 1), said("Email Subscribed", "m2", 2)]), email(true));
    assert_eq!(consents(vec![said("Email Subscribed", "m2", 2), said("Unsubscribed", "m3", 3)]), email(false));
    assert_eq!(consents(vec![identify("m1", 1, &json!({ "unsubscribed": true })).user("anna")]), email(false));
    assert_eq!(consents(vec![identify("m1", 1, &json!({ "email_consent": true })).user("anna")]), email(true));
    // A device that refused before it was hers, and a later word of hers: the merge loosens nothing, in any order.
    let refused = identify("m1", 1, &json!({ "unsubscribed": true })).anonymous("phone");
    let granted = identify("m2", 9, &json!({ "email_opt_in": true })).user("anna");
    let merge = identify("m3", 5, &json!({})).user("anna").anonymous("phone");
    assert_eq!(consents(vec![refused.clone(), granted.clone(), merge.clone()]), email(false));
    assert_eq!(consents(vec![merge, granted, refused]), email(false));
    let context =
        json!({ "consent": { "categoryPreferences": { "Advertising": false }, "channels": { "sms": true } } });
    let listed = identify("m1", 1, &json!({ "consent": ["push"] })).user("anna").context(&context);
    let expect = [("category:Advertising", false), ("email", false), ("push", true), ("sms", false)];
    let told = consents(vec![listed]);
    // The list refuses what it does not name; of one event that says both, the refusal counts.
    assert_eq!(told, expect.map(|(of, granted)| (of.to_owned(), granted)));
}
