//! Merges that are undone, and identifiers that glue too much.

use impresario_agents::{
    identity::{Cap, IdentifierQuarantined, IdentifierReleased, UnmergeAsked, limits},
    profiles::{PartPage, Profile},
    vocabulary::{EventKind, IdentifierKind, ProfileSettled, Tracked},
};
use serde_json::json;

use super::history::without_places;
use crate::support::{START, With, event, node, person, profile, profiles, said, send, track, user};

fn page(message_id: &str, minute: i64) -> Tracked {
    event(EventKind::Page, message_id, START + minute * 60_000)
}

/// What a profile would be of these events alone.
fn alone(events: &[Tracked]) -> (Profile, Vec<i64>) {
    let mut profile = Profile::default();
    let id = events[0].node();
    events.iter().for_each(|event| drop(profile.fold(id, event.node(), event, 1)));
    without_places(&profile)
}

#[test]
fn an_unmerge_restores_both_and_the_same_words_do_not_glue_them_again() {
    for (workers, orders) in [(1, 3), (3, 3), (1, 150), (3, 150)] {
        let mut driver = profiles(workers);
        let order = |who: &str, place: i64| {
            let at = START + place * 1_000;
            track("Order Completed", who, &format!("{who}{place}"), at, &json!({ "revenue": place, "currency": "EUR" }))
        };
        let (anna, bob): (Vec<_>, Vec<_>) =
            (0..orders).map(|place| (order("anna", place), order("bob", place))).unzip();
        let alias = |message: &str| event(EventKind::Alias, message, START + 500_000).user("anna").previous("bob");
        send(&mut driver, anna.clone().into_iter().chain(bob.clone()));
        send(&mut driver, [alias("x1")]);
        assert_eq!(user(&mut driver, "anna"), user(&mut driver, "bob"));
        assert_eq!(user(&mut driver, "anna").events, 2 * orders as u32 + 1);
        driver.say(UnmergeAsked { node: node(IdentifierKind::UserId, "bob") }).unwrap();
        driver.settle().unwrap();
        assert_eq!(without_places(&user(&mut driver, "bob")), alone(&bob));
        let with_alias: Vec<_> = anna.iter().cloned().chain([alias("x1")]).collect();
        assert_eq!(without_places(&user(&mut driver, "anna")), alone(&with_alias));
        assert_eq!(said::<ProfileSettled>(&driver).len(), 2);
        assert_eq!(said::<PartPage>(&driver).is_empty(), orders == 3, "a hundred places are known");
        send(&mut driver, [alias("x2"), order("bob", 900)]);
        assert_ne!(user(&mut driver, "anna").id, user(&mut driver, "bob").id);
        assert_eq!(user(&mut driver, "bob").events, orders as u32 + 1);
    }
}

#[test]
fn a_device_that_was_parted_stays_parted() {
    for workers in [1, 3] {
        let mut driver = profiles(workers);
        let sign_in = |message: &str, minute| page(message, minute).user("anna").anonymous("tablet");
        send(&mut driver, [page("m1", 0).anonymous("tablet"), sign_in("m2", 1), page("m3", 2).anonymous("tablet")]);
        assert_eq!(user(&mut driver, "anna").events, 3);
        let tablet = node(IdentifierKind::AnonymousId, "tablet");
        driver.say(UnmergeAsked { node: tablet }).unwrap();
        driver.settle().unwrap();
        assert_eq!(user(&mut driver, "anna").events, 1);
        send(&mut driver, [sign_in("m4", 3), page("m5", 4).anonymous("tablet")]);
        assert_eq!(profile(&mut driver, tablet).unwrap().events, 3);
        assert_eq!(user(&mut driver, "anna").events, 2);
        assert_eq!(person(&mut driver, tablet), tablet);
    }
}

#[test]
fn what_too_many_share_glues_the_first_and_nobody_else_until_it_is_released() {
    let max = limits::claimants_max(impresario_agents::identity::Sort::Email);
    let count = max + 20;
    let address = json!({ "email": "Office@example.test" });
    let from = |place: usize| {
        let at = START + place as i64 * 1_000;
        event(EventKind::Identify, &format!("m{place}"), at).anonymous(&format!("desk-{place}")).properties(&address)
    };
    for (workers, backwards) in [(1, false), (3, true)] {
        let mut driver = profiles(workers);
        let mut events: Vec<_> = (0..count).map(from).collect();
        if backwards {
            events.reverse();
        }
        for event in events {
            send(&mut driver, [event]);
        }
        let office = node(IdentifierKind::Email, "office@example.test");
        assert_eq!(profile(&mut driver, office).unwrap().events as usize, max);
        for place in max..count {
            let desk = node(IdentifierKind::AnonymousId, &format!("desk-{place}"));
            assert_eq!(profile(&mut driver, desk).unwrap().events, 1, "desk {place}");
        }
        let told = said::<IdentifierQuarantined>(&driver);
        assert_eq!(told.iter().map(|told| (told.node, told.cap)).collect::<Vec<_>>(), [(office, Cap::Claimants)]);
        driver.say(IdentifierReleased { node: office }).unwrap();
        driver.settle().unwrap();
        assert_eq!(profile(&mut driver, office).unwrap().events as usize, count);
    }
}

#[test]
fn nobody_has_identifiers_without_end() {
    let mut driver = profiles(3);
    let max = limits::identifiers_max(impresario_agents::identity::Sort::Email);
    for place in 0..max + 5 {
        let traits = json!({ "email": format!("customer-{place}@example.test") });
        let at = START + place as i64 * 1_000;
        send(&mut driver, [event(EventKind::Identify, &format!("m{place}"), at).user("desk").properties(&traits)]);
    }
    let desk = node(IdentifierKind::UserId, "desk");
    for place in 0..max + 5 {
        let address = node(IdentifierKind::Email, &format!("customer-{place}@example.test"));
        assert_eq!(person(&mut driver, address) == desk, place < max, "address {place}");
    }
    let told = said::<IdentifierQuarantined>(&driver);
    assert_eq!(told.len(), 5);
    assert!(told.iter().all(|told| told.cap == Cap::Identifiers));
}
