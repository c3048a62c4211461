//! Who is who depends on the events alone: any order of delivery, any batches, any number of workers.

use std::collections::{BTreeMap, BTreeSet};

use impresario_agents::{
    identity::{Sort, limits},
    profiles::{Profile, look_at},
    vocabulary::{EventKind, IdentifierKind, Millis, ProfileId, Tracked},
};
use impresario_runtime::RuntimeLimits;
use proptest::{collection::vec, option, prelude::*, sample::select, strategy::ValueTree};
use serde_json::json;

use super::{
    history::without_places,
    order::{check_what_was_told, deliver, people, troupe},
};
use crate::support::{START, With, driver, event, journal, node, person};

/// Few of everything, so that much is shared, and more user ids than a device may have claimants.
const USERS: u8 = 14;

fn shared_event() -> impl Strategy<Value = Made> {
    let who = (0..USERS, option::weighted(0.7, 0..USERS), option::weighted(0.7, 0..3_u8));
    let named = (option::weighted(0.3, 0..3_u8), option::weighted(0.03, 0..USERS));
    (who, named, 0..6_u8, 0..30_i64)
        .prop_map(|((any, user, device), (email, alias), phone, hour)| (any, user, device, email, alias, phone, hour))
}

/// Anybody's number, user, device, address, alias, phone, hour.
type Made = (u8, Option<u8>, Option<u8>, Option<u8>, Option<u8>, u8, i64);

fn made((any, user, device, email, alias, phone, hour): Made, index: usize) -> Tracked {
    let at_ms = START + hour * 3_600_000;
    let user_id = |place: u8| format!("user-{place}");
    let kind = if alias.is_some() { EventKind::Alias } else { EventKind::Identify };
    let made = event(kind, &format!("m{index}"), at_ms);
    let made = match (alias.is_some(), user, device) {
        (false, None, Some(device)) => made.anonymous(&format!("device-{device}")),
        (false, None, None) => made.anonymous(&format!("browser-{any}")),
        (_, user, None) => made.user(&user_id(user.unwrap_or(any))),
        (_, user, Some(device)) => made.user(&user_id(user.unwrap_or(any))).anonymous(&format!("device-{device}")),
    };
    if let Some(alias) = alias {
        return made.previous(&user_id(alias));
    }
    let mut traits = json!({ "plan": index });
    if let Some(email) = email {
        traits["email"] = json!(format!("Person{email}@example.test"));
    }
    if phone == 0 {
        traits["phone"] = json!("+48 600 000 001");
    }
    made.properties(&traits)
}

pub(crate) fn shared() -> impl Strategy<Value = (Vec<Tracked>, Vec<(Tracked, bool)>)> {
    let events =
        vec(shared_event(), 1..60).prop_map(|all| all.into_iter().enumerate().map(|(i, e)| made(e, i)).collect());
    events.prop_flat_map(|events: Vec<Tracked>| {
        let pauses = vec(select(vec![true, false, false, false]), events.len());
        let order = (Just(events.clone()).prop_shuffle(), pauses);
        (Just(events), order.prop_map(|(events, pauses)| events.into_iter().zip(pauses).collect()))
    })
}

/// When two nodes were first named together: event time, the message id's hash, the nodes.
type Named = (Millis, u32, ProfileId, ProfileId);

/// Who is who, by looking at all events at once; written from the rule alone.
pub(crate) fn who_is_who(events: &[Tracked]) -> BTreeMap<ProfileId, ProfileId> {
    let mut sorts = BTreeMap::new();
    let mut first: BTreeMap<(ProfileId, ProfileId), (Millis, u32)> = BTreeMap::new();
    let mut aliases = Vec::new();
    for event in events {
        let mut named = Vec::new();
        let mut know = |kind: IdentifierKind, sort: Sort, text: &str| {
            let id = node(kind, text);
            sorts.insert(id, sort);
            id
        };
        let user = event.user_id.as_ref().map(|id| know(IdentifierKind::UserId, Sort::UserId, id));
        let device = event.anonymous_id.as_ref().map(|id| know(IdentifierKind::AnonymousId, Sort::AnonymousId, id));
        let anchor = user.or(device).unwrap();
        named.extend(device);
        if let Some(previous) = event.previous_id.as_ref().filter(|previous| Some(*previous) != event.user_id.as_ref())
        {
            named.push(know(IdentifierKind::AnonymousId, Sort::AnonymousId, previous));
            aliases.push((anchor, know(IdentifierKind::UserId, Sort::UserId, previous)));
        }
        let traits = event.properties.parse();
        if let Some(email) = traits.get("email").and_then(|email| email.as_str()) {
            named.push(know(IdentifierKind::Email, Sort::Email, &email.to_lowercase()));
        }
        if traits.contains_key("phone") {
            named.push(know(IdentifierKind::Phone, Sort::Phone, "+48600000001"));
        }
        for other in named.into_iter().filter(|other| *other != anchor) {
            let at = (event.at_ms, event.tie());
            let pair = first.entry((anchor.min(other), anchor.max(other))).or_insert(at);
            *pair = at.min(*pair);
        }
    }
    let sort = |id: &ProfileId| sorts[id];
    let within = |own: &ProfileId, other: &ProfileId, at: &(Millis, u32)| {
        let anchors = |sort: Sort| matches!(sort, Sort::UserId | Sort::AnonymousId);
        let claims = |one: Sort| anchors(one) && !(sort(own) == Sort::UserId && one == Sort::AnonymousId);
        let alike = |one: Sort| if claims(sort(other)) { claims(one) } else { !claims(one) && one == sort(other) };
        let cap =
            if claims(sort(other)) { limits::claimants_max(sort(own)) } else { limits::identifiers_max(sort(other)) };
        let beside = first.iter().filter_map(|((low, high), at)| match () {
            () if low == own => Some((at, high)),
            () if high == own => Some((at, low)),
            () => None,
        });
        beside.filter(|(earlier, one)| alike(sort(one)) && (*earlier, *one) < (at, other)).count() < cap
    };
    let mut links: Vec<Named> = Vec::new();
    for ((low, high), at) in &first {
        if within(low, high, at) && within(high, low, at) {
            links.push((at.0, at.1, *low, *high));
        }
    }
    links.sort();
    let mut group: BTreeMap<ProfileId, usize> = sorts.keys().enumerate().map(|(place, id)| (*id, place)).collect();
    let has_user = |group: &BTreeMap<ProfileId, usize>, of: usize| {
        group.iter().any(|(id, place)| *place == of && sorts[id] == Sort::UserId)
    };
    let unite = |group: &mut BTreeMap<ProfileId, usize>, one: usize, other: usize| {
        group.values_mut().filter(|place| **place == one).for_each(|place| *place = other);
    };
    for (_, _, low, high) in links {
        let (one, other) = (group[&low], group[&high]);
        if one != other && !(has_user(&group, one) && has_user(&group, other)) {
            unite(&mut group, one, other);
        }
    }
    for (one, other) in aliases {
        let (one, other) = (group[&one], group[&other]);
        unite(&mut group, one, other);
    }
    let lowest = |of: usize| group.iter().filter(|(_, place)| **place == of).map(|(id, _)| *id).min().unwrap();
    group.iter().map(|(id, place)| (*id, lowest(*place))).collect()
}

/// Everybody, folded from their events in order.
fn expected(events: &[Tracked], who: &BTreeMap<ProfileId, ProfileId>) -> super::order::People {
    let mut profiles: BTreeMap<ProfileId, Profile> = BTreeMap::new();
    for event in events {
        let id = who[&event.node()];
        profiles.entry(id).or_default().fold(id, event.node(), event, 1);
    }
    profiles.into_iter().map(|(id, profile)| (id, without_places(&profile))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(64), max_shrink_iters: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn who_is_who_depends_on_the_events_alone((events, shuffled) in shared(), workers in select(vec![1, 2, 3, 5]), turn in 0..5_usize) {
        let who = who_is_who(&events);
        let mut shop = driver(&journal(), troupe(workers, RuntimeLimits::default()));
        shop.rotate(turn);
        deliver(&mut shop, &shuffled);
        for (node, wanted) in &who {
            prop_assert_eq!(person(&mut shop, *node), *wanted);
        }
        let found = people(&mut shop, &events);
        prop_assert_eq!(&found, &expected(&events, &who));
        check_what_was_told(&mut shop, &found);
        prop_assert_eq!(shop.status().iter().flat_map(|agent| &agent.workers).map(|worker| worker.dead_letters).sum::<u64>(), 0);
    }

    #[test]
    fn a_crash_while_people_are_parted_changes_nothing((events, shuffled) in shared(), crashes in vec(0..60_usize, 1..6)) {
        let who = who_is_who(&events);
        let limits = RuntimeLimits { unwritten_keys_max: 2, write_keys_max: 1, step_entries_max: 3, checkpoint_keys_max: 3, ..RuntimeLimits::default() };
        let kept = journal();
        let mut shop = driver(&kept, troupe(3, limits));
        for (index, (event, pause)) in shuffled.iter().enumerate() {
            shop.say(event.clone()).unwrap();
            if *pause {
                shop.settle().unwrap();
            }
            if crashes.contains(&index) {
                shop = driver(&kept, shop.abandon());
            }
        }
        shop.settle().unwrap();
        shop = driver(&kept, shop.abandon());
        shop.settle().unwrap();
        prop_assert_eq!(people(&mut shop, &events), expected(&events, &who));
    }
}

/// How many histories are played; more by `PROPTEST_CASES`.
pub(crate) fn cases(usual: u32) -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

#[test]
fn everybody_is_live_once() {
    let strategy = shared();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (events, shuffled) = strategy.new_tree(&mut runner).unwrap().current();
    let mut shop = driver(&journal(), troupe(3, RuntimeLimits::default()));
    deliver(&mut shop, &shuffled);
    let who = who_is_who(&events);
    let wanted: BTreeSet<_> = events.iter().map(|event| who[&event.node()]).collect();
    let mut live = BTreeSet::new();
    for worker in 0..3 {
        let found = shop.read_worker::<impresario_agents::profiles::Profiles, _>(worker, |reading| {
            let keys = reading.keys_from(&[], 10_000).unwrap();
            let is_live = |key: &ProfileId, reading: &mut _| {
                matches!(look_at(reading, *key, |_| ()), Ok(impresario_agents::profiles::Found::Live(())))
            };
            keys.into_iter().filter(|key| is_live(key, reading)).collect::<Vec<_>>()
        });
        live.extend(found.unwrap());
    }
    assert_eq!(live, wanted);
}
