//! The segmentation agent: who is in which segment, exactly, at every instant.
//!
//! It keeps for every person what the definitions ask of them ([`measure`]), looks at a segment again
//! only when something it looks at has changed, and knows for each standing until when time alone
//! can't change it: the earliest of those instants is a durable timer. A new definition is filled from the
//! journal's past in pages ([`backfill`]) while events go on; a second actor, [`SegmentSizes`], counts.
//!
//! [`measure`]: self
//! [`backfill`]: self

mod asked;
mod backfill;
mod check;
mod condition;
mod definitions;
mod evaluate;
mod index;
mod instant;
mod measure;
mod parting;
mod person;
mod plan;
mod preview;
mod score;
mod selected;
mod sizes;
mod span;
mod standing;
mod topics;
mod trial;
mod truth;

use impresario_runtime::{Agent, AgentError, Event, Keys, On, OnMany, OnShared, Routes, Step};

pub use asked::{ConditionsAnswered, ConditionsAsked, check_asked};
pub use check::{DefinitionError, check, check_condition, check_id, limits};
pub use condition::{
    AbsentCondition, Aggregate, Comparison, Condition, EventCondition, FeatureCondition, PropertyFilter,
    SampleCondition, ScoreCondition, ScoreModel, Selector, SequenceCondition, TraitCondition, Window,
};
pub use definitions::{Definitions, Segment};
pub use instant::{Instant, instant_of};
pub use person::Person;
pub use preview::{Members, Preview, members_at, preview};
pub use score::SHRINKAGE_GAPS;
pub use selected::check_selector;
pub(crate) use selected::is_selected;
pub use sizes::{Backfill, DayOfSegment, SegmentSize, SegmentSizes};
pub use span::Span;
pub use topics::{
    BackfillDone, BackfillPage, Reason, SegmentDefined, SegmentEntered, SegmentLeft, SegmentRemoved, SweepDone, Trigger,
};
pub use trial::Trial;

use self::{
    measure::Look,
    standing::{look_again, touched_by},
    topics::{BackfillForwarded, MembershipDue, SweepPage},
};
use crate::{
    rhythm::RhythmFitted,
    vocabulary::{ProfileChanged, ProfileId, ProfileMerged, ProfileParted, ProfileSettled, Tracked},
};

/// Persons looked at in one page of a sweep.
const SWEEP_PAGE_PERSONS: usize = 512;

/// The agent.
pub struct Segmentation;

impl Segmentation {
    /// Whether a person is in a segment, and since when.
    pub fn member_since(person: &Person, definitions: &Definitions, id: &str) -> Option<i64> {
        definitions.place_of(id).and_then(|place| person.member_since(place))
    }

    /// The segments a person is in, with since when.
    pub fn memberships(person: &Person, definitions: &Definitions) -> Vec<(Box<str>, i64)> {
        let member = |place: u32| Some((definitions.at(place)?.defined.id.clone(), person.member_since(place)?));
        definitions.places().filter_map(member).collect()
    }
}

impl Agent for Segmentation {
    const NAME: &'static str = "segmentation";
    type Key = ProfileId;
    type State = Person;

    fn routes(routes: &mut Routes<Self>) {
        routes.on(|changed: &ProfileChanged| changed.profile);
        routes.touches(|changed: &ProfileChanged| changed.profile);
        routes.on(|due: &MembershipDue| due.profile);
        routes.on(|asked: &ConditionsAsked| asked.profile);
        routes.on(|settled: &ProfileSettled| settled.profile);
        routes.on_many::<ProfileMerged>();
        routes.on_many::<ProfileParted>();
        routes.on_shared::<SegmentDefined>();
        routes.on_shared::<SegmentRemoved>();
        routes.on_shared::<RhythmFitted>();
        routes.on_shared::<BackfillDone>();
        routes.on_many::<BackfillPage>();
        routes.on_many::<BackfillForwarded>();
        routes.on_many::<SweepPage>();
    }

    fn touch(person: &Person) -> usize {
        person.touch()
    }

    fn merge(&self, winner: &mut Person, mut loser: Person, step: &mut Step<'_>) -> Result<(), AgentError> {
        let definitions = step.shared::<Definitions>()?;
        standing::leave_all(&mut loser, definitions, Trigger::Merge, "the profile has become another one", step);
        winner.merge_measures(&mut loser);
        let all: Vec<_> = definitions.places().collect();
        look_again(winner, definitions, &all, Trigger::Merge, step);
        Ok(())
    }

    fn forget(&self, _: &ProfileId, person: &mut Person, step: &mut Step<'_>) -> Result<(), AgentError> {
        let definitions = step.shared::<Definitions>()?;
        standing::leave_all(person, definitions, Trigger::Erasure, "the person was erased", step);
        Ok(())
    }
}

impl On<ProfileChanged> for Segmentation {
    fn on(
        &self,
        person: &mut Person,
        event: &Event<'_, ProfileChanged>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let definitions = step.shared::<Definitions>()?;
        // Of somebody new everything is to be looked at: some conditions hold for whoever has done nothing.
        let mut touched: Vec<u32> =
            if person.profile().is_none() { definitions.places().collect() } else { Vec::new() };
        person.apply(event.body);
        touched_by(event.body, definitions, &mut touched);
        if event.event != 0
            && definitions.looks_at_events()
            && let Some(tracked) = step.entry_if_kept::<Tracked>(event.event)?
        {
            definitions.fold_event(person, &mut Look::new(tracked.body()?), step.now_ms(), &mut touched);
        }
        let by = if event.event == 0 { Trigger::Merge } else { Trigger::Event };
        look_again(person, definitions, &touched, by, step);
        Ok(())
    }
}

impl On<MembershipDue> for Segmentation {
    fn on(&self, person: &mut Person, _: &Event<'_, MembershipDue>, step: &mut Step<'_>) -> Result<(), AgentError> {
        if person.profile().is_none() {
            // They were erased in the very instant.
            step.unchanged();
            return Ok(());
        }
        let definitions = step.shared::<Definitions>()?;
        standing::time_has_come(person, definitions, step);
        Ok(())
    }
}

impl OnShared<SegmentDefined> for Segmentation {
    type Shared = Definitions;

    fn on_shared(
        &self,
        definitions: &mut Definitions,
        event: &Event<'_, SegmentDefined>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let defined = definitions.define(event.body.clone(), event.seq, event.at_ms);
        let (place, must_fill) = defined.map_err(|why| AgentError::Reject(why.to_string()))?;
        if must_fill {
            let (worker, _) = step.worker();
            let page = BackfillPage { segment: event.id.clone(), version: event.seq, worker: worker as u16, next: 1 };
            step.publish_to(step.worker_partition(), page);
        } else {
            sweep(definitions, &[place], Trigger::Definition, step);
        }
        Ok(())
    }
}

impl OnShared<SegmentRemoved> for Segmentation {
    type Shared = Definitions;

    fn on_shared(
        &self,
        definitions: &mut Definitions,
        event: &Event<'_, SegmentRemoved>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let place = definitions.remove(&event.id);
        let place = place.ok_or_else(|| AgentError::Reject(format!("there is no segment `{}`", event.id)))?;
        sweep(definitions, &[place], Trigger::Definition, step);
        Ok(())
    }
}

impl OnShared<RhythmFitted> for Segmentation {
    type Shared = Definitions;

    fn on_shared(
        &self,
        definitions: &mut Definitions,
        event: &Event<'_, RhythmFitted>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        definitions.set_rhythm(event.body.clone());
        sweep(definitions, definitions.looking_at_rhythm(), Trigger::Rhythm, step);
        Ok(())
    }
}

impl OnShared<BackfillDone> for Segmentation {
    type Shared = Definitions;

    fn on_shared(
        &self,
        definitions: &mut Definitions,
        event: &Event<'_, BackfillDone>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let (_, workers) = step.worker();
        if let Some(place) = definitions.filled(&event.segment, event.version, event.worker, workers) {
            sweep(definitions, &definitions.with_all_above(place), Trigger::Definition, step);
        }
        Ok(())
    }
}

/// Begins to look at everybody of this worker again.
fn sweep(definitions: &Definitions, segments: &[u32], by: Trigger, step: &mut Step<'_>) {
    if segments.is_empty() {
        return;
    }
    let completes = match by {
        Trigger::Definition => segments.iter().filter_map(|place| definitions.settled_version(*place)).collect(),
        _ => Vec::new(),
    };
    let (worker, _) = step.worker();
    let page = SweepPage { segments: segments.to_vec(), by, after: None, worker: worker as u16, completes };
    step.publish_to(step.worker_partition(), page);
}

impl OnMany<SweepPage> for Segmentation {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, SweepPage>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let definitions = step.shared::<Definitions>()?;
        let page = keys.after(event.after.as_ref(), SWEEP_PAGE_PERSONS)?;
        for profile in &page {
            let changes = match keys.get(profile)? {
                Some(person) => {
                    !person.has_only(|measure| definitions.keeps_measure(measure))
                        || standing::would_change(person, definitions, &event.segments, step.now_ms())
                }
                None => false,
            };
            if changes {
                keys.change(profile, |person| {
                    person.keep_measures(|measure| definitions.keeps_measure(measure));
                    look_again(person, definitions, &event.segments, event.by, step);
                    Ok(())
                })?;
            }
        }
        if page.len() == SWEEP_PAGE_PERSONS {
            let next = SweepPage { after: page.last().copied(), ..event.body.clone() };
            step.publish_to(step.worker_partition(), next);
        } else if !event.completes.is_empty() {
            let (worker, workers) = step.worker();
            let completes = event.completes.clone();
            step.publish(SweepDone { completes, worker: worker as u16, workers: workers as u16 });
        }
        Ok(())
    }
}
