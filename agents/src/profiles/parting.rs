//! A person turns out to be several: their events go back to whom they belong.
//!
//! Nothing of a profile can be taken out of it again, but every event keeps the identifiers it came with. So
//! the profile begins anew, and the events that were folded into it are folded again, each into the
//! person its own identifiers lead to now. A profile knows the places of its events up to a hundred; those of
//! more are found by reading back what was said of it, page by page.

use std::collections::BTreeMap;

use impresario_runtime::{AgentError, AgentKey, Event, Keys, OnMany, Step, SubjectId, Topic, store::Seq};
use serde::{Deserialize, Serialize};

use super::{Profile, Profiles, routing::fold_back};
use crate::{
    identity::{NodeParted, PartDecided},
    vocabulary::{ProfileChanged, ProfileId, ProfileParted, ProfileSettled, RhythmDelta, Tracked},
};

/// Entries looked at in one page.
const PAGE_ENTRIES: usize = 8_192;
/// Events given back in one entry.
const EVENTS_MAX: usize = 512;

/// Nodes, each with the person it belongs to now.
type Homes = [(ProfileId, ProfileId)];

/// Events that belong to another profile than they were folded into.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventsReturned {
    /// Whose they are, or a pointer to it.
    pub profile: ProfileId,
    /// The places of the [`Tracked`] entries.
    pub events: Vec<Seq>,
    /// No more are to come of the profile that was parted.
    #[serde(default)]
    pub last: bool,
}

impl Topic for EventsReturned {
    const NAME: &'static str = "profile.events.returned";

    fn partition(&self) -> Option<u16> {
        Some(self.profile.partition())
    }

    fn subject(&self) -> Option<SubjectId> {
        Some(self.profile.into())
    }
}

/// A page of the journal is to be read back for the events of a profile that was parted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartPage {
    /// The profile.
    pub profile: ProfileId,
    /// What was said of which profiles because of entries after the one place and before the other.
    pub held: Vec<(ProfileId, Seq, Seq)>,
    /// Whose the events of which nodes are.
    pub homes: Vec<(ProfileId, ProfileId)>,
    /// The next entry to look at.
    pub next: Seq,
    /// The last one to look at; 0 for the page's own place.
    pub until: Seq,
}

impl Topic for PartPage {
    const NAME: &'static str = "profile.part.page";

    fn partition(&self) -> Option<u16> {
        Some(self.profile.partition())
    }

    fn subject(&self) -> Option<SubjectId> {
        Some(self.profile.into())
    }
}

/// A state comes for a profile that was begun anew after the state had left for it: its events are given back.
pub(super) fn give_back_late(late: Profile, step: &mut Step<'_>) -> Result<(), AgentError> {
    if let Some(profile) = late.id {
        take_back_gaps(&late, profile, step);
    }
    give_back(late, &[], step)
}

/// Everybody's rhythm hears of each gap once: those of events that are about to be folded again are taken back.
fn take_back_gaps(old: &Profile, profile: ProfileId, step: &mut Step<'_>) {
    let gaps = old.gaps();
    if gaps != RhythmDelta::default() {
        let rhythm = Some(RhythmDelta { gaps: -gaps.gaps, gaps_ms: -gaps.gaps_ms });
        step.publish(ProfileChanged { profile, event: 0, features: Vec::new(), traits: BTreeMap::new(), rhythm });
    }
}

/// Gives all events of `old` back to whose they are by `homes`, else to their own nodes.
fn give_back(old: Profile, homes: &Homes, step: &mut Step<'_>) -> Result<(), AgentError> {
    let Some(profile) = old.id.filter(|_| old.events > 0) else {
        settle_all(homes, step);
        return Ok(());
    };
    if let Some(places) = old.all_places() {
        return_events(&places, homes, step)?;
        settle_all(homes, step);
        return Ok(());
    }
    let mut held = old.held;
    held.push((profile, old.begun_at, step.seq()));
    let next = held.iter().map(|(_, from, _)| *from + 1).min().unwrap_or(1);
    step.publish(PartPage { profile, held, homes: homes.to_vec(), next, until: 0 });
    Ok(())
}

fn return_events(events: &[Seq], homes: &Homes, step: &mut Step<'_>) -> Result<(), AgentError> {
    let mut by_person: BTreeMap<ProfileId, Vec<Seq>> = BTreeMap::new();
    for event in events {
        let Some(tracked) = step.entry_if_kept::<Tracked>(*event)? else { continue };
        let node = tracked.body()?.node();
        let home = homes.iter().find(|(known, _)| *known == node);
        by_person.entry(home.map_or(node, |(_, person)| *person)).or_default().push(*event);
    }
    for (profile, mut events) in by_person {
        events.sort_unstable();
        for events in events.chunks(EVENTS_MAX) {
            step.publish(EventsReturned { profile, events: events.to_vec(), last: false });
        }
    }
    Ok(())
}

/// Tells the persons of `homes` that no more is to come.
fn settle_all(homes: &Homes, step: &mut Step<'_>) {
    let mut people: Vec<_> = homes.iter().map(|(_, person)| *person).collect();
    people.sort_unstable();
    people.dedup();
    people.into_iter().for_each(|profile| step.publish(EventsReturned { profile, events: Vec::new(), last: true }));
}

impl OnMany<PartDecided> for Profiles {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, PartDecided>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let (profile, decided) = (event.profile, event.seq);
        let Some(old) = keys.begin_anew(&profile)? else { return Ok(()) };
        keys.change(&profile, |state| {
            state.begun_at = decided;
            Ok(())
        })?;
        take_back_gaps(&old, profile, step);
        let own = event.homes.iter().filter(|(_, person)| *person == profile).map(|(node, _)| *node);
        let mut held: Vec<_> = old.held.iter().map(|(id, _, _)| *id).chain(own).collect();
        held.sort_unstable();
        held.dedup();
        step.publish(ProfileParted { profile, heir: None, held, decided });
        if !event.homes.iter().any(|(_, person)| *person == profile) {
            step.publish(ProfileSettled { profile });
        }
        give_back(old, &event.homes, step)
    }
}

impl OnMany<NodeParted> for Profiles {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, NodeParted>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let NodeParted { node, person, ref anchors } = *event.body;
        let existed = keys.moved_to(&node)?.is_some() || keys.get(&node)?.is_some();
        if !existed && anchors.is_empty() {
            // An address or the like, which never was a profile.
            return Ok(());
        }
        let heir = (node != person).then_some(person);
        match heir {
            Some(person) => drop(keys.point_anew(&node, &person)?),
            None => {
                keys.begin_anew(&node)?;
                keys.change(&node, |state| {
                    state.begun_at = event.seq;
                    Ok(())
                })?;
            }
        }
        step.publish(ProfileParted { profile: node, heir, held: anchors.clone(), decided: event.seq });
        if heir.is_none() && anchors.is_empty() {
            step.publish(ProfileSettled { profile: node });
        }
        Ok(())
    }
}

impl OnMany<PartPage> for Profiles {
    fn on_many(
        &self,
        _: &mut Keys<'_, Self>,
        event: &Event<'_, PartPage>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let page = event.body;
        let until = if page.until == 0 { event.seq } else { page.until };
        let mut events = Vec::new();
        let next = step.look_back(page.next, until, PAGE_ENTRIES, |past| {
            let Some(changed) = past.get::<ProfileChanged>()? else { return Ok(()) };
            let because = past.cause_seq();
            let is_held =
                |(id, from, to): &(ProfileId, Seq, Seq)| *id == changed.profile && *from < because && because < *to;
            if changed.event != 0 && page.held.iter().any(is_held) {
                events.push(changed.event);
            }
            Ok(())
        })?;
        return_events(&events, &page.homes, step)?;
        if next > until {
            settle_all(&page.homes, step);
            return Ok(());
        }
        step.publish(PartPage { next, until, ..page.clone() });
        Ok(())
    }
}

impl OnMany<EventsReturned> for Profiles {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, EventsReturned>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let EventsReturned { profile, events, last } = event.body;
        if event.cause < keys.begun_at(profile)? {
            // The person was parted again since: their nodes' workers know whose they are now.
            for place in events {
                let Some(tracked) = step.entry_if_kept::<Tracked>(*place)? else { continue };
                let anchor = tracked.body()?.node();
                if anchor == *profile {
                    fold_back(keys, *profile, &[*place], step)?;
                } else {
                    step.publish(EventsReturned { profile: anchor, events: vec![*place], last: false });
                }
            }
            return Ok(());
        }
        if let Some(next) = keys.moved_to(profile)? {
            step.publish(EventsReturned { profile: next, ..event.body.clone() });
            return Ok(());
        }
        fold_back(keys, *profile, events, step)?;
        if *last {
            step.publish(ProfileSettled { profile: *profile });
        }
        Ok(())
    }
}
