//! All definitions, as every worker of the agent knows them, and which of them look at what.

use std::collections::{BTreeMap, BTreeSet};

use impresario_runtime::{Shared, store::Seq};
use serde::{Deserialize, Serialize};

use super::{
    Condition, SegmentDefined,
    check::{self, DefinitionError},
    measure::{Look, Measure, MeasureSpec},
    person::Person,
    plan::{Plan, compile},
};
use crate::{
    rhythm::RhythmFitted,
    vocabulary::{EventKind, Feature, Millis},
};

/// One segment as it is defined now.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Segment {
    /// What it is.
    pub defined: SegmentDefined,
    /// The place of the entry that defined it.
    pub version: Seq,
    /// When that was.
    pub defined_at_ms: Millis,
    /// Whether it is no more.
    pub removed: bool,
    /// Whether all of the past is in it.
    pub ready: bool,
    /// Its measures, in the order the plan meets them.
    measures: Vec<u32>,
    /// Those of them that are new, and filled from the past.
    fresh: Vec<u32>,
    /// Workers whose share of the past is in.
    filled_by: BTreeSet<u16>,
}

/// All definitions; the value that the segmentation workers share.
#[derive(Default, Serialize, Deserialize)]
pub struct Definitions {
    segments: Vec<Segment>,
    measures: Vec<MeasureSpec>,
    rhythm: Option<RhythmFitted>,
    #[serde(skip)]
    ready: Index,
}

/// What is rebuilt from the definitions at every change.
#[derive(Default)]
struct Index {
    by_id: BTreeMap<Box<str>, u32>,
    plans: Vec<Option<Plan>>,
    measures: Vec<Option<Measure>>,
    by_event: BTreeMap<EventKind, ByName>,
    by_measure: Vec<Vec<u32>>,
    by_feature: BTreeMap<Feature, Vec<u32>>,
    by_trait: BTreeMap<Box<str>, Vec<u32>>,
    by_segment: BTreeMap<u32, Vec<u32>>,
    by_rhythm: Vec<u32>,
    /// How many segments a segment stands on, one upon the other.
    ranks: Vec<u32>,
}

/// Measures of one kind of call.
#[derive(Default)]
struct ByName {
    any: Vec<u32>,
    named: BTreeMap<Box<str>, Vec<u32>>,
}

impl Shared for Definitions {
    fn restored(&mut self) {
        self.index();
    }
}

impl Definitions {
    /// The segments that are not removed.
    pub fn segments(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter().filter(|segment| !segment.removed)
    }

    /// A segment by its id.
    pub fn get(&self, id: &str) -> Option<&Segment> {
        self.place_of(id).and_then(|place| self.at(place)).filter(|segment| !segment.removed)
    }

    /// Everybody's purchase rhythm, as last fitted.
    pub fn rhythm(&self) -> Option<&RhythmFitted> {
        self.rhythm.as_ref()
    }

    pub(super) fn set_rhythm(&mut self, rhythm: RhythmFitted) {
        self.rhythm = Some(rhythm);
    }

    /// The conditions of all segments, by id.
    pub fn conditions(&self) -> BTreeMap<Box<str>, Condition> {
        self.segments().map(|segment| (segment.defined.id.clone(), segment.defined.condition.clone())).collect()
    }

    pub(super) fn place_of(&self, id: &str) -> Option<u32> {
        self.ready.by_id.get(id).copied()
    }

    pub(super) fn at(&self, place: u32) -> Option<&Segment> {
        self.segments.get(place as usize)
    }

    pub(super) fn plan(&self, place: u32) -> Option<&Plan> {
        self.ready.plans.get(place as usize).and_then(Option::as_ref)
    }

    pub(super) fn measure(&self, measure: u32) -> Option<&Measure> {
        self.ready.measures.get(measure as usize).and_then(Option::as_ref)
    }

    /// Whether all of the past is in a segment, and in those it looks at.
    pub(super) fn is_settled(&self, place: u32) -> bool {
        let is_ready = self.at(place).is_some_and(|segment| segment.ready);
        let mut below = self.plan(place).into_iter().flat_map(|plan| &plan.segments).filter_map(|id| self.place_of(id));
        // There are no circles, by [`check`].
        is_ready && below.all(|other| self.is_settled(other))
    }

    /// A segment and all that look at it, or at one that does.
    pub(super) fn with_all_above(&self, place: u32) -> Vec<u32> {
        let mut found = vec![place];
        let mut next = 0;
        while let Some(place) = found.get(next).copied() {
            let above = self.looking_at_segment(place).iter().copied();
            let new: Vec<u32> = above.filter(|above| !found.contains(above)).collect();
            found.extend(new);
            next += 1;
        }
        found
    }

    pub(super) fn rank(&self, place: u32) -> u32 {
        self.ready.ranks.get(place as usize).copied().unwrap_or_default()
    }

    /// Segments that look at the membership of this one.
    pub(super) fn looking_at_segment(&self, place: u32) -> &[u32] {
        self.ready.by_segment.get(&place).map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) fn looking_at_feature(&self, feature: Feature) -> &[u32] {
        self.ready.by_feature.get(&feature).map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) fn looking_at_trait(&self, name: &str) -> &[u32] {
        self.ready.by_trait.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) fn looking_at_rhythm(&self) -> &[u32] {
        &self.ready.by_rhythm
    }

    /// All places, also of segments that are removed.
    pub(super) fn places(&self) -> impl Iterator<Item = u32> {
        0..self.segments.len() as u32
    }

    /// Whether any definition asks for events.
    pub(super) fn looks_at_events(&self) -> bool {
        !self.ready.by_event.is_empty()
    }

    /// Folds an event into every measure it concerns; the segments that look at those.
    pub(super) fn fold_event(&self, person: &mut Person, look: &mut Look<'_>, now: Millis, touched: &mut Vec<u32>) {
        let Some(by_name) = self.ready.by_event.get(&look.kind()) else { return };
        let named = by_name.named.get(look.name()).map(Vec::as_slice).unwrap_or_default();
        for number in by_name.any.iter().chain(named) {
            if self.fold_into(person, *number, look, now) {
                touched.extend(self.ready.by_measure.get(*number as usize).into_iter().flatten());
            }
        }
    }

    /// Folds an event of the past into the measures that are new with a segment.
    pub(super) fn fold_past(&self, place: u32, person: &mut Person, look: &mut Look<'_>, now: Millis) -> bool {
        let fresh = self.at(place).map(|segment| segment.fresh.as_slice()).unwrap_or_default();
        let mut changed = false;
        for number in fresh {
            // A log that another one stands for is kept no more; the other has this event from its own past.
            let wants = self.keeps_measure(*number)
                && self.measure(*number).is_some_and(|measure| {
                    let selector = &measure.spec.selector;
                    selector.kind == look.kind() && selector.name.as_deref().is_none_or(|name| name == look.name())
                });
            changed |= wants && self.fold_into(person, *number, look, now);
        }
        changed
    }

    fn fold_into(&self, person: &mut Person, number: u32, look: &mut Look<'_>, now: Millis) -> bool {
        let Some(measure) = self.measure(number) else { return false };
        let Some(addition) = measure.addition(look, now) else { return false };
        person.measured_mut(number, || measure.empty()).is_some_and(|measured| measured.add(addition))
    }

    /// Whether some definition asks for a measure.
    pub(super) fn keeps_measure(&self, measure: u32) -> bool {
        self.ready.by_measure.get(measure as usize).is_some_and(|segments| !segments.is_empty())
    }

    /// Takes in a definition; its place, and whether the past must be looked at for it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn define(
        &mut self,
        defined: SegmentDefined,
        version: Seq,
        now: Millis,
    ) -> Result<(u32, bool), DefinitionError> {
        check::check(&defined, &self.conditions())?;
        self.put(defined, version, now)
    }

    /// Takes in a definition that was checked, for somebody who folds all of the past into it; its place.
    pub(super) fn define_ready(&mut self, defined: SegmentDefined) -> Result<u32, DefinitionError> {
        let (place, _) = self.put(defined, 0, 0)?;
        if let Some(segment) = self.segments.get_mut(place as usize) {
            segment.ready = true;
        }
        Ok(place)
    }

    fn put(&mut self, defined: SegmentDefined, version: Seq, now: Millis) -> Result<(u32, bool), DefinitionError> {
        // Measures whose past is in already are shared; one still being filled is not.
        let complete: BTreeSet<u32> = self.segments().filter(|s| s.ready).flat_map(|s| s.measures.clone()).collect();
        let mut fresh = Vec::new();
        let specs = &mut self.measures;
        let compiled = compile(&defined.condition, &mut |spec| {
            let known = specs.iter().enumerate().find(|(number, known)| {
                let number = *number as u32;
                (**known == spec || known.covers(&spec)) && (complete.contains(&number) || fresh.contains(&number))
            });
            if let Some((number, _)) = known {
                return number as u32;
            }
            let number = specs.len() as u32;
            specs.push(spec);
            fresh.push(number);
            number
        });
        let plan = compiled.map_err(DefinitionError::Condition)?;
        let must_fill = !fresh.is_empty();
        let segment = Segment {
            version,
            defined_at_ms: now,
            removed: false,
            ready: !must_fill,
            measures: plan.measures.clone(),
            fresh,
            filled_by: BTreeSet::new(),
            defined,
        };
        let place = match self.place_of(&segment.defined.id) {
            Some(place) => {
                if let Some(known) = self.segments.get_mut(place as usize) {
                    *known = segment;
                }
                place
            }
            None => {
                self.segments.push(segment);
                (self.segments.len() - 1) as u32
            }
        };
        self.index();
        Ok((place, must_fill))
    }

    pub(super) fn remove(&mut self, id: &str) -> Option<u32> {
        let place = self.place_of(id)?;
        let segment = self.segments.get_mut(place as usize).filter(|segment| !segment.removed)?;
        segment.removed = true;
        segment.ready = true;
        segment.measures.clear();
        segment.fresh.clear();
        self.index();
        Some(place)
    }

    /// One worker has all of the past for a definition; its place, once all of `workers` have.
    pub(super) fn filled(&mut self, id: &str, version: Seq, worker: u16, workers: usize) -> Option<u32> {
        let place = self.place_of(id)?;
        let segment = self.segments.get_mut(place as usize)?;
        if segment.version != version || segment.ready {
            return None;
        }
        segment.filled_by.insert(worker);
        if segment.filled_by.len() < workers {
            return None;
        }
        segment.ready = true;
        let fresh = segment.fresh.clone();
        self.share(&fresh);
        Some(place)
    }

    /// Lets logs whose past is in stand for those that keep the same for a shorter while.
    fn share(&mut self, logs: &[u32]) {
        let mut any = false;
        for log in logs {
            let Some(spec) = self.measures.get(*log as usize) else { continue };
            let numbers = self.segments.iter_mut().filter(|segment| segment.ready).flat_map(|s| &mut s.measures);
            for number in numbers {
                if self.measures.get(*number as usize).is_some_and(|other| spec.covers(other)) {
                    *number = *log;
                    any = true;
                }
            }
        }
        if any {
            self.index();
        }
    }

    fn index(&mut self) {
        let mut index = Index { by_measure: vec![Vec::new(); self.measures.len()], ..Index::default() };
        for (place, segment) in self.segments.iter().enumerate() {
            let place = place as u32;
            index.by_id.insert(segment.defined.id.clone(), place);
            let mut numbers = segment.measures.iter();
            let plan = (!segment.removed).then(|| {
                compile(&segment.defined.condition, &mut |_| numbers.next().copied().unwrap_or(u32::MAX)).ok()
            });
            index.plans.push(plan.flatten());
        }
        index.measures = self.measures.iter().map(|spec| Measure::new(spec.clone()).ok()).collect();
        for (place, plan) in index.plans.iter().enumerate() {
            let Some(plan) = plan else { continue };
            let place = place as u32;
            for feature in &plan.features {
                index.by_feature.entry(*feature).or_default().push(place);
            }
            for name in &plan.traits {
                index.by_trait.entry(name.clone()).or_default().push(place);
            }
            for id in &plan.segments {
                if let Some(other) = index.by_id.get(id) {
                    index.by_segment.entry(*other).or_default().push(place);
                }
            }
            if plan.looks_at_rhythm {
                index.by_rhythm.push(place);
            }
            for number in &plan.measures {
                let users = index.by_measure.get_mut(*number as usize);
                if let Some(users) = users.filter(|users| !users.contains(&place)) {
                    users.push(place);
                }
            }
        }
        for (number, measure) in index.measures.iter().enumerate() {
            let Some(measure) =
                measure.as_ref().filter(|_| index.by_measure.get(number).is_some_and(|u| !u.is_empty()))
            else {
                continue;
            };
            let by_name = index.by_event.entry(measure.spec.selector.kind).or_default();
            match &measure.spec.selector.name {
                Some(name) => by_name.named.entry(name.clone()).or_default().push(number as u32),
                None => by_name.any.push(number as u32),
            }
        }
        index.ranks = ranks(&index);
        self.ready = index;
    }
}

/// A segment's rank is above those of all segments it looks at; there are no circles, by [`check`].
fn ranks(index: &Index) -> Vec<u32> {
    let mut ranks = vec![0; index.plans.len()];
    for _ in 0..index.plans.len() {
        let mut settled = true;
        for (place, plan) in index.plans.iter().enumerate() {
            let below = plan.iter().flat_map(|plan| &plan.segments).filter_map(|id| index.by_id.get(id));
            let rank = below.filter_map(|other| ranks.get(*other as usize)).max().map_or(0, |below: &u32| below + 1);
            if let Some(known) = ranks.get_mut(place).filter(|known| **known != rank) {
                *known = rank;
                settled = false;
            }
        }
        if settled {
            break;
        }
    }
    ranks
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn define(definitions: &mut Definitions, id: &str, condition: serde_json::Value, version: Seq) {
        let condition = serde_json::from_value(condition).expect("a condition");
        let defined = SegmentDefined { id: id.into(), name: id.into(), condition, goal: None };
        let (_, must_fill) = definitions.define(defined, version, 0).expect("it may stand");
        if must_fill {
            assert!(definitions.filled(id, version, 0, 1).is_some());
        }
    }

    #[test]
    fn one_log_serves_all_windows_over_the_same_events() {
        let mut definitions = Definitions::default();
        let bought = |days: u32| {
            let window = json!({ "last": format!("{days}d") });
            json!({ "event": { "name": "Order Completed", "window": window, "op": ">=", "value": 1 } })
        };
        for (version, days) in [7, 1, 30, 14].into_iter().enumerate() {
            define(&mut definitions, &format!("d{days}"), bought(days), version as Seq + 1);
        }
        let kept = (0..definitions.measures.len() as u32).filter(|number| definitions.keeps_measure(*number));
        let kept: Vec<_> = kept.collect();
        assert_eq!(kept.len(), 1, "{kept:?}");
        let log = kept[0];
        assert!(definitions.segments().all(|segment| segment.measures == [log]));
        let thirty = 30 * 86_400_000;
        assert_eq!(
            definitions.measures[log as usize].keep,
            crate::segmentation::measure::Keep::Log { horizon: Some(thirty) }
        );
    }
}
