//! Which definitions look at what: kept beside the definitions, and mended one definition at a time, so that a
//! new one costs the same among a thousand as among ten.

use std::collections::BTreeMap;

use super::{
    measure::{Measure, MeasureSpec},
    plan::Plan,
};
use crate::vocabulary::{EventKind, Feature};

/// Compiled definitions, and what leads to them.
#[derive(Default)]
pub(super) struct Index {
    by_id: BTreeMap<Box<str>, u32>,
    plans: Vec<Option<Plan>>,
    /// In slots, which are used again; by number through `slots`.
    measures: Vec<Option<Used>>,
    slots: BTreeMap<u32, usize>,
    free: Vec<usize>,
    by_event: BTreeMap<EventKind, ByName>,
    by_feature: BTreeMap<Feature, Vec<u32>>,
    by_trait: BTreeMap<Box<str>, Vec<u32>>,
    by_segment: BTreeMap<u32, Vec<u32>>,
    by_rhythm: Vec<u32>,
    /// How many segments a segment stands on, one upon the other.
    ranks: Vec<u32>,
}

/// A measure that definitions ask for.
pub(super) struct Used {
    pub(super) number: u32,
    pub(super) measure: Measure,
    /// The segments that do, by their places.
    pub(super) by: Vec<u32>,
}

/// Slots of the measures of one kind of call.
#[derive(Default)]
struct ByName {
    any: Vec<usize>,
    named: BTreeMap<Box<str>, Vec<usize>>,
}

impl Index {
    pub(super) fn place_of(&self, id: &str) -> Option<u32> {
        self.by_id.get(id).copied()
    }

    pub(super) fn plan(&self, place: u32) -> Option<&Plan> {
        self.plans.get(place as usize).and_then(Option::as_ref)
    }

    pub(super) fn measure(&self, number: u32) -> Option<&Used> {
        self.slots.get(&number).and_then(|slot| self.at_slot(*slot))
    }

    fn at_slot(&self, slot: usize) -> Option<&Used> {
        self.measures.get(slot).and_then(Option::as_ref)
    }

    /// The measures that an event of this kind and name may concern.
    pub(super) fn measures_of(&self, kind: EventKind, name: &str) -> impl Iterator<Item = &Used> {
        let by_name = self.by_event.get(&kind);
        let any = by_name.map(|by_name| by_name.any.as_slice()).unwrap_or_default();
        let named = by_name.and_then(|by_name| by_name.named.get(name)).map(Vec::as_slice).unwrap_or_default();
        any.iter().chain(named).filter_map(|slot| self.at_slot(*slot))
    }

    /// The measures of events selected as `spec` selects them by kind and name.
    pub(super) fn measures_like(&self, spec: &MeasureSpec) -> impl Iterator<Item = &Used> {
        let by_name = self.by_event.get(&spec.selector.kind);
        let found = by_name.and_then(|by_name| match &spec.selector.name {
            Some(name) => by_name.named.get(name),
            None => Some(&by_name.any),
        });
        found.into_iter().flatten().filter_map(|slot| self.at_slot(*slot))
    }

    pub(super) fn has_measures(&self) -> bool {
        !self.by_event.is_empty()
    }

    pub(super) fn rank(&self, place: u32) -> u32 {
        self.ranks.get(place as usize).copied().unwrap_or_default()
    }

    pub(super) fn by_segment(&self, place: u32) -> &[u32] {
        self.by_segment.get(&place).map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) fn by_feature(&self, feature: Feature) -> &[u32] {
        self.by_feature.get(&feature).map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) fn by_trait(&self, name: &str) -> &[u32] {
        self.by_trait.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) fn by_rhythm(&self) -> &[u32] {
        &self.by_rhythm
    }

    /// Makes an id known before its definition is.
    pub(super) fn know(&mut self, id: &str, place: u32) {
        self.by_id.entry(id.into()).or_insert(place);
    }

    /// Puts a definition in place of the one that was there; `None` for one that is no more. The numbers of
    /// measures that nobody asks for any longer go to `unused`.
    pub(super) fn put(
        &mut self,
        place: u32,
        id: &str,
        plan: Option<Plan>,
        spec_of: impl Fn(u32) -> Option<MeasureSpec>,
        unused: &mut Vec<u32>,
    ) {
        let before = self.plans.get_mut(place as usize).and_then(Option::take);
        if let Some(plan) = &before {
            self.unlink(place, plan);
        }
        self.know(id, place);
        if let Some(plan) = &plan {
            self.link(place, plan, spec_of);
        }
        for number in before.iter().flat_map(|plan| &plan.measures) {
            self.forget_unused(*number, unused);
        }
        let place = place as usize;
        if self.plans.len() <= place {
            self.plans.resize_with(place + 1, || None);
        }
        let stood_on = before.is_some_and(|plan| !plan.segments.is_empty());
        let stands_on = plan.as_ref().is_some_and(|plan| !plan.segments.is_empty());
        if let Some(known) = self.plans.get_mut(place) {
            *known = plan;
        }
        if stood_on || stands_on || !self.by_segment(place as u32).is_empty() {
            self.rank_all();
        }
    }

    fn link(&mut self, place: u32, plan: &Plan, spec_of: impl Fn(u32) -> Option<MeasureSpec>) {
        for feature in &plan.features {
            insert(self.by_feature.entry(*feature).or_default(), place);
        }
        for name in &plan.traits {
            insert(self.by_trait.entry(name.clone()).or_default(), place);
        }
        for other in plan.segments.iter().filter_map(|id| self.by_id.get(id)) {
            insert(self.by_segment.entry(*other).or_default(), place);
        }
        if plan.looks_at_rhythm {
            insert(&mut self.by_rhythm, place);
        }
        for number in &plan.measures {
            if let Some(used) = self.measure_mut(*number) {
                insert(&mut used.by, place);
                continue;
            }
            // What was compiled once can be compiled again.
            let Some(measure) = spec_of(*number).and_then(|spec| Measure::new(spec).ok()) else { continue };
            let slot = self.free.pop().unwrap_or(self.measures.len());
            let by_name = self.by_event.entry(measure.spec.selector.kind).or_default();
            let same = match &measure.spec.selector.name {
                Some(name) => by_name.named.entry(name.clone()).or_default(),
                None => &mut by_name.any,
            };
            insert(same, slot);
            self.slots.insert(*number, slot);
            let used = Some(Used { number: *number, measure, by: vec![place] });
            match self.measures.get_mut(slot) {
                Some(known) => *known = used,
                None => self.measures.push(used),
            }
        }
    }

    fn measure_mut(&mut self, number: u32) -> Option<&mut Used> {
        self.slots.get(&number).and_then(|slot| self.measures.get_mut(*slot)?.as_mut())
    }

    fn unlink(&mut self, place: u32, plan: &Plan) {
        for feature in &plan.features {
            remove_from(&mut self.by_feature, feature, &place);
        }
        for name in &plan.traits {
            remove_from(&mut self.by_trait, name, &place);
        }
        for other in plan.segments.iter().filter_map(|id| self.by_id.get(id)) {
            remove_from(&mut self.by_segment, other, &place);
        }
        remove(&mut self.by_rhythm, &place);
        for number in &plan.measures {
            if let Some(used) = self.measure_mut(*number) {
                remove(&mut used.by, &place);
            }
        }
    }

    fn forget_unused(&mut self, number: u32, unused: &mut Vec<u32>) {
        if self.measure(number).is_none_or(|used| !used.by.is_empty()) {
            return;
        }
        let Some(slot) = self.slots.remove(&number) else { return };
        let Some(Used { measure, .. }) = self.measures.get_mut(slot).and_then(Option::take) else { return };
        self.free.push(slot);
        unused.push(number);
        let selector = &measure.spec.selector;
        let Some(by_name) = self.by_event.get_mut(&selector.kind) else { return };
        match &selector.name {
            Some(name) => remove_from(&mut by_name.named, name, &slot),
            None => remove(&mut by_name.any, &slot),
        }
        if by_name.any.is_empty() && by_name.named.is_empty() {
            self.by_event.remove(&selector.kind);
        }
    }

    /// A segment's rank is above those of all segments it looks at; there are no circles, by
    /// [`check`](super::check).
    fn rank_all(&mut self) {
        self.ranks.clear();
        self.ranks.resize(self.plans.len(), 0);
        for _ in 0..self.plans.len() {
            let mut settled = true;
            for (place, plan) in self.plans.iter().enumerate() {
                let below = plan.iter().flat_map(|plan| &plan.segments).filter_map(|id| self.by_id.get(id));
                let below = below.filter_map(|other| self.ranks.get(*other as usize)).max();
                let rank = below.map_or(0, |below: &u32| below + 1);
                if let Some(known) = self.ranks.get_mut(place).filter(|known| **known != rank) {
                    *known = rank;
                    settled = false;
                }
            }
            if settled {
                break;
            }
        }
    }
}

/// Puts `item` into an ordered list, once.
fn insert<T: Ord>(list: &mut Vec<T>, item: T) {
    if let Err(at) = list.binary_search(&item) {
        list.insert(at, item);
    }
}

fn remove<T: Ord>(list: &mut Vec<T>, item: &T) {
    if let Ok(at) = list.binary_search(item) {
        list.remove(at);
    }
}

/// Takes `item` off the list under `key`; a list with nothing left goes, too.
fn remove_from<K: Ord, T: Ord>(lists: &mut BTreeMap<K, Vec<T>>, key: &K, item: &T) {
    if let Some(list) = lists.get_mut(key) {
        remove(list, item);
        if list.is_empty() {
            lists.remove(key);
        }
    }
}
