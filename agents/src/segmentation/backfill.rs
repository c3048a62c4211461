//! A new definition's measures, filled from the journal's past while events go on.
//!
//! What a measure measures does not depend on the order of events, so the past (entries up to the
//! definition's own) and the present (entries after it) are folded side by side.

use std::collections::BTreeMap;

use impresario_runtime::{AgentError, Event, Keys, OnMany, Step, store::Seq};

use super::{
    BackfillDone, BackfillPage, Segmentation, Trigger, definitions::Definitions, measure::Look, standing::look_again,
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
        let mut by_profile: BTreeMap<ProfileId, Vec<Seq>> = BTreeMap::new();
        let next = step.look_back(event.next, event.version, PAGE_ENTRIES, |past| {
            if past.is_own()
                && let Some(changed) = past.get::<ProfileChanged>()?
                && changed.event != 0
            {
                by_profile.entry(changed.profile).or_default().push(changed.event);
            }
            Ok(())
        })?;
        for (profile, events) in by_profile {
            fold_events(keys, definitions, place, profile, &event.segment, event.version, events, step)?;
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
        let BackfillForwarded { segment: id, version, profile, events } = event.body;
        fold_events(keys, definitions, place, *profile, id, *version, events.clone(), step)?;
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

/// Folds events of the past into a person, or sends them on to the person they have become.
#[expect(clippy::too_many_arguments, reason = "what a page is about, told to its two handlers alike")]
fn fold_events(
    keys: &mut Keys<'_, Segmentation>,
    definitions: &Definitions,
    place: u32,
    profile: ProfileId,
    segment: &str,
    version: Seq,
    events: Vec<Seq>,
    step: &mut Step<'_>,
) -> Result<(), AgentError> {
    if let Some(profile) = keys.moved_to(&profile)? {
        step.publish(BackfillForwarded { segment: segment.into(), version, profile, events });
        return Ok(());
    }
    let now = step.now_ms();
    keys.change(&profile, |person| {
        for seq in events {
            let tracked = step.entry::<Tracked>(seq)?;
            definitions.fold_past(place, person, &mut Look::new(tracked.body()?), now);
        }
        Ok(())
    })?;
    Ok(())
}
