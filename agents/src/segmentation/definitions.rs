//! All definitions, as every worker of the agent knows them, and which of them look at what.

use std::collections::{BTreeMap, BTreeSet};

use impresario_runtime::{Shared, store::Seq};
use serde::{Deserialize, Serialize};

use super::{
    Condition, SegmentDefined,
    check::{self, DefinitionError},
    index::{Index, Used},
    measure::{Addition, Look, Measure, MeasureSpec},
    person::Person,
    plan::{Plan, compile},
};
use crate::{
    rhythm::RhythmFitted,
    vocabulary::{Feature, Millis},
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
    /// Whether all of the past is in its measures; then everybody is looked at.
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
    /// Measures that definitions ask for, by number. A number is never given twice: what somebody still keeps
    /// under one that is gone must not be taken for something else.
    #[serde(default, rename = "kept")]
    measures: BTreeMap<u32, MeasureSpec>,
    #[serde(default)]
    next_measure: u32,
    /// As directories of earlier versions have them: each number's place in the list.
    #[serde(default, rename = "measures", skip_serializing)]
    listed: Vec<MeasureSpec>,
    rhythm: Option<RhythmFitted>,
    #[serde(skip)]
    ready: Index,
}

impl Shared for Definitions {
    fn restored(&mut self) {
        self.next_measure = self.next_measure.max(self.listed.len() as u32);
        self.measures.extend((0..).zip(std::mem::take(&mut self.listed)));
        self.ready = Index::default();
        // Ids first: a definition may look at one that comes after it.
        for (place, segment) in (0..).zip(&self.segments) {
            self.ready.know(&segment.defined.id, place);
        }
        for place in 0..self.segments.len() as u32 {
            self.index(place);
        }
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
        self.ready.place_of(id)
    }

    pub(super) fn at(&self, place: u32) -> Option<&Segment> {
        self.segments.get(place as usize)
    }

    pub(super) fn plan(&self, place: u32) -> Option<&Plan> {
        self.ready.plan(place)
    }

    pub(super) fn measure(&self, measure: u32) -> Option<&Measure> {
        self.ready.measure(measure).map(|used| &used.measure)
    }

    /// Whether all of the past is in a segment, and in those it looks at.
    pub(super) fn is_settled(&self, place: u32) -> bool {
        let is_ready = self.at(place).is_some_and(|segment| segment.ready);
        let mut below = self.plan(place).into_iter().flat_map(|plan| &plan.segments).filter_map(|id| self.place_of(id));
        // There are no circles, by [`check`].
        is_ready && below.all(|other| self.is_settled(other))
    }

    /// The id and version of a definition that all of the past is in.
    pub(super) fn settled_version(&self, place: u32) -> Option<(Box<str>, Seq)> {
        let segment = self.at(place).filter(|segment| !segment.removed && self.is_settled(place))?;
        Some((segment.defined.id.clone(), segment.version))
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
        self.ready.rank(place)
    }

    /// Segments that look at the membership of this one.
    pub(super) fn looking_at_segment(&self, place: u32) -> &[u32] {
        self.ready.by_segment(place)
    }

    pub(super) fn looking_at_feature(&self, feature: Feature) -> &[u32] {
        self.ready.by_feature(feature)
    }

    pub(super) fn looking_at_trait(&self, name: &str) -> &[u32] {
        self.ready.by_trait(name)
    }

    pub(super) fn looking_at_rhythm(&self) -> &[u32] {
        self.ready.by_rhythm()
    }

    /// All places, also of segments that are removed.
    pub(super) fn places(&self) -> impl Iterator<Item = u32> {
        0..self.segments.len() as u32
    }

    /// Whether any definition asks for events.
    pub(super) fn looks_at_events(&self) -> bool {
        self.ready.has_measures()
    }

    /// Folds an event into every measure it concerns; the segments that look at those.
    pub(super) fn fold_event(&self, person: &mut Person, look: &mut Look<'_>, now: Millis, touched: &mut Vec<u32>) {
        let concerned = self.ready.measures_of(look.kind(), look.name());
        for Used { number, measure, by } in concerned {
            if let Some(addition) = measure.addition(look, now)
                && add(person, *number, measure, addition)
            {
                touched.extend(by);
            }
        }
    }

    /// What an event of the past adds to the measures that are new with a segment.
    pub(super) fn additions(&self, place: u32, look: &mut Look<'_>, now: Millis) -> Vec<(u32, Addition)> {
        let fresh = self.at(place).map(|segment| segment.fresh.as_slice()).unwrap_or_default();
        let mut additions = Vec::new();
        for number in fresh {
            // A log that another one stands for is kept no more; the other has this event from its own past.
            let Some(measure) = self.measure(*number) else { continue };
            let selector = &measure.spec.selector;
            if selector.kind == look.kind() && selector.name.as_deref().is_none_or(|name| name == look.name()) {
                additions.extend(measure.addition(look, now).map(|addition| (*number, addition)));
            }
        }
        additions
    }

    /// Folds what an event of the past adds.
    pub(super) fn add_past(&self, person: &mut Person, additions: Vec<(u32, Addition)>) {
        for (number, addition) in additions {
            if let Some(measure) = self.measure(number) {
                add(person, number, measure, addition);
            }
        }
    }

    /// Whether some definition asks for a measure.
    pub(super) fn keeps_measure(&self, measure: u32) -> bool {
        self.ready.measure(measure).is_some()
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
        let count = self.segments.iter().filter(|segment| !segment.removed).count();
        check::check_among(&defined, count, &|id| self.get(id).map(|segment| &segment.defined.condition))?;
        if self.segments.len() >= check::limits::IDS_MAX && self.place_of(&defined.id).is_none() {
            return Err(DefinitionError::TooManyIds);
        }
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
        let (ready, segments) = (&self.ready, &self.segments);
        // Measures whose past is in already are shared; one still being filled is not.
        let is_complete = |used: &Used| {
            used.by.iter().any(|place| segments.get(*place as usize).is_some_and(|segment| segment.ready))
        };
        let mut fresh: Vec<(u32, MeasureSpec)> = Vec::new();
        let mut next = self.next_measure;
        let plan = compile(&defined.condition, &mut |spec| {
            let serves = |known: &MeasureSpec| *known == spec || known.covers(&spec);
            // The one with the lowest number, whatever became of the index's slots: every worker must choose the same.
            let known = ready.measures_like(&spec).filter(|used| serves(&used.measure.spec) && is_complete(used));
            let number = known.map(|used| used.number).min();
            let number = number.or_else(|| fresh.iter().find(|(_, known)| serves(known)).map(|(number, _)| *number));
            number.unwrap_or_else(|| {
                fresh.push((next, spec));
                next += 1;
                next - 1
            })
        });
        let plan = plan.map_err(DefinitionError::Condition)?;
        self.next_measure = next;
        let must_fill = !fresh.is_empty();
        let segment = Segment {
            version,
            defined_at_ms: now,
            removed: false,
            ready: !must_fill,
            measures: plan.measures.clone(),
            fresh: fresh.iter().map(|(number, _)| *number).collect(),
            filled_by: BTreeSet::new(),
            defined,
        };
        self.measures.extend(fresh);
        let place = self.place_of(&segment.defined.id).unwrap_or(self.segments.len() as u32);
        match self.segments.get_mut(place as usize) {
            Some(known) => *known = segment,
            None => self.segments.push(segment),
        }
        self.index(place);
        Ok((place, must_fill))
    }

    pub(super) fn remove(&mut self, id: &str) -> Option<u32> {
        let place = self.place_of(id)?;
        let segment = self.segments.get_mut(place as usize).filter(|segment| !segment.removed)?;
        segment.removed = true;
        segment.ready = true;
        segment.measures.clear();
        segment.fresh.clear();
        segment.filled_by.clear();
        // Of what is no more the id alone is needed, to tell who left it.
        segment.defined = SegmentDefined {
            id: segment.defined.id.clone(),
            name: Box::default(),
            condition: Condition::All(Vec::new()),
            goal: None,
        };
        self.index(place);
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
        let mut changed = BTreeSet::new();
        for log in logs {
            let Some(spec) = self.measures.get(log) else { continue };
            let served = self.ready.measures_like(spec).filter(|used| spec.covers(&used.measure.spec));
            let served: Vec<(u32, Vec<u32>)> = served.map(|used| (used.number, used.by.clone())).collect();
            for (number, by) in served {
                for place in by {
                    let Some(segment) = self.segments.get_mut(place as usize).filter(|segment| segment.ready) else {
                        continue;
                    };
                    segment.measures.iter_mut().filter(|known| **known == number).for_each(|known| *known = *log);
                    changed.insert(place);
                }
            }
        }
        for place in changed {
            self.index(place);
        }
    }

    /// Makes a definition ready for use, in place of the one that was there.
    fn index(&mut self, place: u32) {
        let Some(segment) = self.segments.get(place as usize) else { return };
        let mut numbers = segment.measures.iter();
        let plan = (!segment.removed)
            .then(|| compile(&segment.defined.condition, &mut |_| numbers.next().copied().unwrap_or(u32::MAX)).ok());
        let mut unused = Vec::new();
        let spec_of = |number| self.measures.get(&number).cloned();
        self.ready.put(place, &segment.defined.id, plan.flatten(), spec_of, &mut unused);
        for number in unused {
            self.measures.remove(&number);
        }
    }
}

/// Adds to what is measured of somebody; whether it counts.
fn add(person: &mut Person, number: u32, measure: &Measure, addition: Addition) -> bool {
    person.measured_mut(number, || measure.empty()).is_some_and(|measured| measured.add(addition))
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
        let kept: Vec<u32> = definitions.measures.keys().copied().collect();
        assert_eq!(kept.len(), 1, "{kept:?}");
        let log = kept[0];
        assert!(definitions.segments().all(|segment| segment.measures == [log]));
        let thirty = 30 * 86_400_000;
        assert_eq!(definitions.measures[&log].keep, crate::segmentation::measure::Keep::Log { horizon: Some(thirty) });
    }

    fn bought(days: usize) -> serde_json::Value {
        let window = json!({ "last": format!("{days}d") });
        json!({ "event": { "name": "Order Completed", "window": window, "op": ">=", "value": 1 } })
    }

    fn seen(definitions: &Definitions) -> Vec<String> {
        let names = ["Order Completed", "Tap 1", "Tap 2"];
        let measures = names.iter().flat_map(|name| {
            let of = definitions.ready.measures_of(crate::vocabulary::EventKind::Track, name);
            of.map(move |used| format!("{name}: {} by {:?}", used.number, used.by)).collect::<Vec<_>>()
        });
        let mut seen: Vec<String> = measures.collect();
        for place in definitions.places() {
            let looking = definitions.looking_at_segment(place);
            seen.push(format!("{place}: rank {}, seen by {looking:?}", definitions.rank(place)));
        }
        seen.push(format!("plan: {:?}", definitions.looking_at_trait("plan")));
        seen.sort();
        seen
    }

    #[test]
    fn what_nobody_asks_for_any_more_is_forgotten() {
        let mut definitions = Definitions::default();
        for round in 0..50_u64 {
            let version = round * 3 + 1;
            define(&mut definitions, "a", bought(round as usize + 1), version);
            let tap = json!({ "event": { "name": format!("Tap {round}"), "op": ">=", "value": 1 } });
            define(&mut definitions, "b", tap, version + 1);
            if round % 2 == 0 {
                definitions.remove("b");
            }
        }
        assert_eq!(definitions.measures.len(), 2, "{:?}", definitions.measures.keys());
        // Their numbers are not given again: somebody may still keep something under them.
        assert!(definitions.measures.keys().all(|number| *number >= 48), "{:?}", definitions.measures.keys());
    }

    #[test]
    fn what_is_mended_is_as_if_it_were_made_anew() {
        let mut definitions = Definitions::default();
        let mut random = 7_u64;
        let mut below = |limit: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % limit
        };
        for version in 1..300 {
            let place = below(8);
            let condition = match below(5) {
                0 => bought(below(4) as usize + 1),
                1 => json!({ "event": { "name": format!("Tap {}", below(3)), "op": ">=", "value": 1 } }),
                2 => json!({ "trait": { "name": "plan", "op": "=", "value": "pro" } }),
                // Looks at those of lower numbers alone, so there are no circles.
                3 if place > 0 && definitions.get(&format!("s{}", place - 1)).is_some() => {
                    json!({ "segment": format!("s{}", place - 1) })
                }
                _ => {
                    definitions.remove(&format!("s{place}"));
                    continue;
                }
            };
            define(&mut definitions, &format!("s{place}"), condition, version);
            let stored = serde_json::to_string(&definitions).expect("JSON");
            let mut anew: Definitions = serde_json::from_str(&stored).expect("definitions");
            anew.restored();
            assert_eq!(seen(&definitions), seen(&anew), "after definition {version}");
            let kept: Vec<_> = definitions.measures.keys().collect();
            let asked: BTreeSet<_> = definitions.segments().flat_map(|segment| &segment.measures).collect();
            assert_eq!(kept, asked.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn measures_of_earlier_versions_keep_their_numbers() {
        let mut definitions = Definitions::default();
        define(&mut definitions, "a", bought(7), 1);
        define(&mut definitions, "b", json!({ "event": { "name": "Tap 1", "op": ">=", "value": 1 } }), 2);
        let mut stored = serde_json::to_value(&definitions).expect("JSON");
        let fields = stored.as_object_mut().expect("an object");
        let kept = fields.remove("kept").expect("measures");
        fields.remove("next_measure");
        fields.insert("measures".into(), json!([kept["0"], kept["1"]]));
        let mut restored: Definitions = serde_json::from_value(stored).expect("definitions");
        restored.restored();
        assert_eq!(seen(&restored), seen(&definitions));
        define(&mut restored, "c", json!({ "event": { "name": "Tap 2", "op": ">=", "value": 1 } }), 3);
        assert_eq!(restored.measures.keys().copied().collect::<Vec<_>>(), [0, 1, 2]);
    }
}
