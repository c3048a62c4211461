//! A new definition's measures, filled from the journal's past while events go on.
//!
//! What a measure measures does not depend on the order of events, so the past (entries up to the
//! definition's own) and the present (entries after it) are folded side by side.

use std::collections::BTreeMap;

use impresario_runtime::{AgentError, Event, Keys, OnMany, Step, store::Seq};

use super::{
    BackfillDone, BackfillPage, Segmentation, Trigger,
    definitions::Definitions,
    measure::{Addition, Look},
    standing::look_again,
    topics::BackfillForwarded,
};
use crate::vocabulary::{ProfileChanged, ProfileId, Tracked};

/// Entries looked at in one page.
const PAGE_ENTRIES: usize = 8_192;

impl OnMany<BackfillPage> for Segmentation {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, BackfillPage>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let definitions = step.shared::<Definitions>()?;
        let Some((place, _)) = still_filling(definitions, &event.segment, event.version) else {
            step.unchanged();
            return Ok(());
        };
        let mut events: Vec<(Seq, Seq, ProfileId)> = Vec::new();
        let next = step.look_back(event.next, event.version, PAGE_ENTRIES, |past| {
            if past.is_own()
                && let Some(changed) = past.get::<ProfileChanged>()?
                && changed.event != 0
            {
                events.push((changed.event, past.seq(), changed.profile));
            }
            Ok(())
        })?;
        // In the order they lie in the journal: neighbours are read together.
        events.sort_unstable();
        let mut by_profile: BTreeMap<ProfileId, Vec<PastEvent>> = BTreeMap::new();
        for (event, said, profile) in events {
            let additions = additions(definitions, place, event, step)?;
            if !additions.is_empty() {
                by_profile.entry(profile).or_default().push(PastEvent { event, said, additions });
            }
        }
        for (of, events) in by_profile {
            if let Some(profile) = keys.moved_to(&of)? {
                let events = events.iter().map(|past| (past.said, past.event)).collect();
                let BackfillPage { segment, version, .. } = event.body.clone();
                step.publish(BackfillForwarded { segment, version, of, profile, events });
                continue;
            }
            fold_events(keys, definitions, of, &of, events)?;
        }
        if next > event.version {
            step.publish(BackfillDone { segment: event.segment.clone(), version: event.version, worker: event.worker });
        } else {
            step.publish_to(step.worker_partition(), BackfillPage { next, ..event.body.clone() });
        }
        Ok(())
    }
}

impl OnMany<BackfillForwarded> for Segmentation {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, BackfillForwarded>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let definitions = step.shared::<Definitions>()?;
        let place = definitions.place_of(&event.segment);
        let current = place.and_then(|place| definitions.at(place)).filter(|known| known.version == event.version);
        let (Some(place), Some(segment)) = (place, current) else {
            step.unchanged();
            return Ok(());
        };
        let profile = &event.profile;
        if let Some(profile) = keys.moved_to(profile)? {
            step.publish(BackfillForwarded { profile, ..event.body.clone() });
            return Ok(());
        }
        let mut events = Vec::new();
        for (said, place_of_event) in &event.events {
            let additions = additions(definitions, place, *place_of_event, step)?;
            events.push(PastEvent { event: *place_of_event, said: *said, additions });
        }
        fold_events(keys, definitions, event.of, profile, events)?;
        if segment.ready {
            keys.change(profile, |person| {
                look_again(person, definitions, &[place], Trigger::Definition, step);
                Ok(())
            })?;
        }
        Ok(())
    }
}

fn still_filling<'a>(definitions: &'a Definitions, id: &str, version: Seq) -> Option<(u32, &'a super::Segment)> {
    let place = definitions.place_of(id)?;
    let segment = definitions.at(place)?;
    (segment.version == version && !segment.ready && !segment.removed).then_some((place, segment))
}

/// An event of the past.
struct PastEvent {
    /// Its place.
    event: Seq,
    /// The place of what was said of it.
    said: Seq,
    /// What it adds to which measures.
    additions: Vec<(u32, Addition)>,
}

/// What the event at `seq` adds to the measures that are new with a segment.
fn additions(
    definitions: &Definitions,
    place: u32,
    seq: Seq,
    step: &Step<'_>,
) -> Result<Vec<(u32, Addition)>, AgentError> {
    let Some(tracked) = step.entry_if_kept::<Tracked>(seq)? else { return Ok(Vec::new()) };
    Ok(definitions.additions(place, &mut Look::new(tracked.body()?), step.now_ms()))
}

/// Folds what was said of `of`, which is `profile` now.
fn fold_events(
    keys: &mut Keys<'_, Segmentation>,
    definitions: &Definitions,
    of: ProfileId,
    profile: &ProfileId,
    mut events: Vec<PastEvent>,
) -> Result<(), AgentError> {
    let forgotten = keys.forgotten_at(profile)?;
    events.retain(|past| past.event > forgotten);
    if events.is_empty() {
        return Ok(());
    }
    keys.change(profile, |person| {
        for past in events {
            if !person.is_void(of, past.said) {
                definitions.add_past(person, past.additions);
            }
        }
        Ok(())
    })?;
    Ok(())
}
