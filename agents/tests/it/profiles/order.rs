//! Whatever the order, the number of workers and the crashes: the same customers.

use std::{collections::BTreeMap, sync::Arc};

use impresario_agents::{
    profiles::Profile,
    vocabulary::{Feature, Millis, ProfileChanged, ProfileId, ProfileParted, RhythmDelta, Tracked},
};
use impresario_runtime::{
    Driver, RuntimeLimits, Topic, Troupe, each_entry,
    store::{Journal, StoreError},
};
use proptest::prelude::*;
use serde_json::Value;

use super::history::{histories, without_places};
use crate::support::{driver, journal, people as with_people, profile, said, send};

pub(super) type People = BTreeMap<ProfileId, (Profile, Vec<Millis>)>;

/// The customers behind all events' nodes.
pub(super) fn people(driver: &mut Driver, events: &[Tracked]) -> People {
    let found = events.iter().map(|event| profile(driver, event.node()).unwrap());
    found.map(|profile| (profile.id.unwrap(), without_places(&profile))).collect()
}

pub(super) fn deliver(driver: &mut Driver, order: &[(Tracked, bool)]) {
    let mut waiting = Vec::new();
    for (event, pause) in order {
        waiting.push(event.clone());
        if *pause {
            send(driver, waiting.drain(..));
        }
    }
    send(driver, waiting);
}

/// What those hold who listen to profile changes alone.
#[derive(Debug, Default, PartialEq)]
struct Told {
    features: BTreeMap<Feature, i64>,
    traits: BTreeMap<Box<str>, Value>,
}

enum Word {
    Changed(ProfileChanged),
    Parted(ProfileId),
}

/// What was said of profiles, in order.
fn words(driver: &Driver) -> Vec<Word> {
    let journal = driver.journal();
    let mut words = Vec::new();
    each_entry::<StoreError>(journal, 1, |entry| {
        let topic = journal.name_of(entry.topic);
        if topic == ProfileChanged::NAME {
            words.push(Word::Changed(entry.decode::<ProfileChanged>(ProfileChanged::VERSION)?.clone()));
        } else if topic == ProfileParted::NAME {
            words.push(Word::Parted(entry.decode::<ProfileParted>(ProfileParted::VERSION)?.profile));
        }
        Ok(())
    })
    .unwrap();
    words
}

pub(super) fn check_what_was_told(driver: &mut Driver, people: &People) {
    let mut told: BTreeMap<ProfileId, Told> = BTreeMap::new();
    let mut rhythm = RhythmDelta::default();
    for word in words(driver) {
        let changed = match word {
            Word::Parted(profile) => {
                told.remove(&profile);
                continue;
            }
            Word::Changed(changed) => changed,
        };
        let person = told.entry(changed.profile).or_default();
        person.features.extend(changed.features);
        person.traits.extend(changed.traits);
        let delta = changed.rhythm.unwrap_or_default();
        rhythm.gaps += delta.gaps;
        rhythm.gaps_ms += delta.gaps_ms;
    }
    let mut gaps = RhythmDelta::default();
    for (id, (profile, _)) in people {
        let mut person = told.remove(id).unwrap_or_default();
        person.features.retain(|_, number| *number != 0);
        person.traits.retain(|_, value| !value.is_null());
        let mut features: BTreeMap<_, _> = profile.features().into_iter().collect();
        features.retain(|_, number| *number != 0);
        let traits = profile.traits.iter().filter(|write| !write.value.is_null());
        let traits = traits.map(|write| (write.name.clone(), write.value.clone())).collect();
        assert_eq!(person, Told { features, traits }, "{id}");
        gaps.gaps += profile.gaps().gaps;
        gaps.gaps_ms += profile.gaps().gaps_ms;
    }
    assert_eq!(rhythm, gaps, "everybody's rhythm");
}

/// Each event is told once; again only where people were parted.
fn check_one_change_an_event(driver: &Driver, events: usize) {
    let parted = said::<ProfileParted>(driver);
    let changed = said::<ProfileChanged>(driver);
    let mut of: Vec<_> = changed.iter().map(|changed| changed.event).filter(|event| *event != 0).collect();
    of.sort_unstable();
    of.dedup();
    assert_eq!(of.len(), events);
    let told = changed.iter().filter(|changed| changed.event != 0).count();
    assert!(told == events || (told > events && !parted.is_empty()), "{told} of {events}");
}

pub(super) fn troupe(workers: usize, limits: RuntimeLimits) -> Troupe {
    with_people(Troupe::new().limits(limits), workers)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn any_order_and_any_workers_make_the_same_customers((events, shuffled) in histories(), turn in 0..3_usize) {
        let mut in_order = events.clone();
        in_order.sort_by_key(|event| event.at_ms);
        let mut plain = driver(&journal(), troupe(1, RuntimeLimits::default()));
        for event in in_order {
            send(&mut plain, [event]);
        }
        let expect = people(&mut plain, &events);
        check_what_was_told(&mut plain, &expect);
        for workers in [1, 3] {
            let mut other = driver(&journal(), troupe(workers, RuntimeLimits::default()));
            other.rotate(turn);
            deliver(&mut other, &shuffled);
            let got = people(&mut other, &events);
            prop_assert_eq!(&got, &expect);
            check_what_was_told(&mut other, &got);
            check_one_change_an_event(&other, events.len());
        }
    }

    #[test]
    fn a_crash_anywhere_changes_nothing((events, shuffled) in histories(), crashes in prop::collection::vec(0..40_usize, 1..4)) {
        let mut never_crashed = driver(&journal(), troupe(3, RuntimeLimits::default()));
        deliver(&mut never_crashed, &shuffled);
        let expect = people(&mut never_crashed, &events);
        // Little is written behind at a time, so that a crash finds states of different ages.
        let limits = RuntimeLimits { unwritten_keys_max: 2, write_keys_max: 1, step_entries_max: 3, ..RuntimeLimits::default() };
        let kept: Arc<Journal> = journal();
        let mut crashed = driver(&kept, troupe(3, limits));
        for (index, (event, pause)) in shuffled.iter().enumerate() {
            crashed.say(event.clone()).unwrap();
            if *pause {
                crashed.settle().unwrap();
            }
            if crashes.contains(&index) {
                crashed = driver(&kept, crashed.abandon());
            }
        }
        crashed.settle().unwrap();
        crashed = driver(&kept, crashed.abandon());
        crashed.settle().unwrap();
        prop_assert_eq!(people(&mut crashed, &events), expect);
        check_one_change_an_event(&crashed, events.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn people_who_share_a_device_stay_two((_, shuffled) in histories()) {
        let mut shop = driver(&journal(), troupe(3, RuntimeLimits::default()));
        let on_one_kiosk = |(event, pause): &(Tracked, bool)| {
            let anonymous_id = event.anonymous_id.as_ref().map(|_| "kiosk".into());
            (Tracked { anonymous_id, previous_id: None, ..event.clone() }, *pause)
        };
        let shuffled: Vec<_> = shuffled.iter().map(on_one_kiosk).collect();
        deliver(&mut shop, &shuffled);
        let events: Vec<_> = shuffled.into_iter().map(|(event, _)| event).collect();
        let found = people(&mut shop, &events);
        check_what_was_told(&mut shop, &found);
        let folded: u32 = found.values().map(|(profile, _)| profile.events).sum();
        prop_assert_eq!(folded as usize, events.len());
    }
}
