//! What segmentation keeps of one person.

use std::collections::BTreeMap;

use impresario_runtime::store::{Seq, TimerKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::measure::Measured;
use crate::{
    packing::{Packed, put_count, put_number, take_count, take_number},
    vocabulary::{Feature, Millis, ProfileChanged, ProfileId, ProfileParted},
};

/// One person, as far as segments look at them. Changed by entries of the journal alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Person {
    /// Who it is; `None` until something is known.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub(super) profile: Option<ProfileId>,
    #[serde(rename = "f", default, skip_serializing_if = "Vec::is_empty")]
    features: Vec<(Feature, i64)>,
    #[serde(rename = "t", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) traits: BTreeMap<Box<str>, Value>,
    #[serde(rename = "m", default, skip_serializing_if = "Vec::is_empty")]
    measures: Vec<(u32, Measured)>,
    #[serde(rename = "s", default, skip_serializing_if = "Vec::is_empty", with = "crate::packing")]
    pub(super) standings: Vec<Standing>,
    /// The timer that looks again; never later than any standing's `until`.
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    pub(super) wake: Option<TimerKey>,
    /// The decision that last began it anew; 0 for none.
    #[serde(rename = "b", default, skip_serializing_if = "is_never")]
    pub(super) decided: Seq,
    /// It was begun anew, and its events are still being told again.
    #[serde(rename = "a", default, skip_serializing_if = "is_false")]
    pub(super) settling: bool,
    /// What was said of these profiles before the entry is void: it was told again.
    #[serde(rename = "v", default, skip_serializing_if = "Vec::is_empty")]
    void: Vec<(ProfileId, Seq)>,
}

fn is_never(seq: &Seq) -> bool {
    *seq == 0
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// How a person stands to one segment; a person who is outside for good has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Standing {
    #[serde(rename = "g")]
    pub(super) segment: u32,
    /// Since when they have been in it.
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<Millis>,
    /// When time alone may change it.
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    pub(super) until: Option<Millis>,
}

impl Packed for Standing {
    fn put(&self, before: Option<&Self>, out: &mut Vec<u8>) {
        let given = u64::from(self.since.is_some()) | u64::from(self.until.is_some()) << 1;
        let step = self.segment.wrapping_sub(before.map_or(0, |before| before.segment));
        put_count(out, u64::from(step) << 2 | given);
        // Instants are told by their distance from those before, which are often the same.
        for (own, before) in
            [(self.since, before.and_then(|before| before.since)), (self.until, before.and_then(|before| before.until))]
        {
            if let Some(own) = own {
                put_number(out, own.wrapping_sub(before.unwrap_or_default()));
            }
        }
    }

    fn take(before: Option<&Self>, bytes: &mut &[u8]) -> Option<Self> {
        let head = take_count(bytes)?;
        let segment = before.map_or(0, |before| before.segment).wrapping_add(u32::try_from(head >> 2).ok()?);
        let mut instant = |given: bool, before: Option<Millis>| match given {
            true => take_number(bytes).map(|distance| Some(before.unwrap_or_default().wrapping_add(distance))),
            false => Some(None),
        };
        let since = instant(head & 1 != 0, before.and_then(|before| before.since))?;
        let until = instant(head & 2 != 0, before.and_then(|before| before.until))?;
        Some(Self { segment, since, until })
    }
}

impl Person {
    /// Their profile.
    pub fn profile(&self) -> Option<ProfileId> {
        self.profile
    }

    /// Reads a little of all that looking at the person needs (see [`impresario_runtime::Agent::touch`]).
    pub(super) fn touch(&self) -> usize {
        let features = self.features.get(self.features.len() / 2).map_or(0, |(_, value)| *value as usize);
        let measures = self.measures.iter().fold(0, |read: usize, (_, measured)| read.wrapping_add(measured.touch()));
        // A line of memory holds two standings or so.
        let standings = self.standings.iter().step_by(2).fold(0, |read: u32, one| read.wrapping_add(one.segment));
        features.wrapping_add(measures).wrapping_add(standings as usize)
    }

    pub(super) fn feature(&self, feature: Feature) -> Option<i64> {
        let place = self.features.binary_search_by_key(&feature, |(known, _)| *known).ok()?;
        self.features.get(place).map(|(_, value)| *value)
    }

    /// The value of a trait; dots go into nested objects.
    pub(super) fn trait_value(&self, name: &str) -> Option<&Value> {
        if let Some(found) = self.traits.get(name) {
            return Some(found);
        }
        let (outer, rest) = name.split_once('.')?;
        self.traits.get(outer)?.as_object().and_then(|inner| super::truth::lookup(inner, rest))
    }

    /// Takes over what a change says of features and traits.
    pub(super) fn apply(&mut self, changed: &ProfileChanged) {
        self.profile = Some(changed.profile);
        for (feature, value) in &changed.features {
            match self.features.binary_search_by_key(feature, |(known, _)| *known) {
                Ok(place) => {
                    if let Some(entry) = self.features.get_mut(place) {
                        entry.1 = *value;
                    }
                }
                Err(place) => self.features.insert(place, (*feature, *value)),
            }
        }
        for (name, value) in &changed.traits {
            if value.is_null() {
                self.traits.remove(name);
            } else {
                self.traits.insert(name.clone(), value.clone());
            }
        }
    }

    /// Whether no event of theirs is known.
    pub(super) fn is_nobody(&self) -> bool {
        self.feature(Feature::EVENTS).is_none()
    }

    pub(super) fn measured(&self, measure: u32) -> Option<&Measured> {
        let place = self.measures.binary_search_by_key(&measure, |(known, _)| *known).ok()?;
        self.measures.get(place).map(|(_, measured)| measured)
    }

    /// What is measured under `measure`, made by `empty` where there is nothing yet.
    pub(super) fn measured_mut(&mut self, measure: u32, empty: impl FnOnce() -> Measured) -> Option<&mut Measured> {
        let place = match self.measures.binary_search_by_key(&measure, |(known, _)| *known) {
            Ok(place) => place,
            Err(place) => {
                self.measures.insert(place, (measure, empty()));
                place
            }
        };
        self.measures.get_mut(place).map(|(_, measured)| measured)
    }

    /// Forgets measures that no definition asks for any more.
    pub(super) fn keep_measures(&mut self, is_kept: impl Fn(u32) -> bool) {
        self.measures.retain(|(measure, _)| is_kept(*measure));
    }

    /// Whether all its measures are still asked for.
    pub(super) fn has_only(&self, is_kept: impl Fn(u32) -> bool) -> bool {
        self.measures.iter().all(|(measure, _)| is_kept(*measure))
    }

    pub(super) fn standing(&self, segment: u32) -> Option<&Standing> {
        let place = self.standings.binary_search_by_key(&segment, |standing| standing.segment).ok()?;
        self.standings.get(place)
    }

    /// Since when the person has been in a segment.
    pub(super) fn member_since(&self, segment: u32) -> Option<Millis> {
        self.standing(segment).and_then(|standing| standing.since)
    }

    pub(super) fn set_standing(&mut self, standing: Standing) {
        let gone = standing.since.is_none() && standing.until.is_none();
        match self.standings.binary_search_by_key(&standing.segment, |known| known.segment) {
            Ok(place) if gone => drop(self.standings.remove(place)),
            Ok(place) => {
                if let Some(known) = self.standings.get_mut(place) {
                    *known = standing;
                }
            }
            Err(_) if gone => {}
            Err(place) => self.standings.insert(place, standing),
        }
    }

    /// Begins anew, with the entry at `seq`: nothing is known, but what it stood in stands for now.
    pub(super) fn begin_again(&mut self, old: Self, parted: &ProfileParted, seq: Seq) {
        let Self { standings, wake, profile, void, .. } = old;
        *self = Self { standings, wake, profile, void, decided: parted.decided, settling: true, ..Self::default() };
        for id in parted.held.iter().chain([&parted.profile]) {
            self.void.retain(|(known, _)| known != id);
            self.void.push((*id, seq));
        }
    }

    /// Whether what the entry at `seq` says of `profile` has been told again since.
    pub(super) fn is_void(&self, profile: ProfileId, seq: Seq) -> bool {
        self.void.iter().any(|(known, since)| *known == profile && seq < *since)
    }

    /// Takes in the measures of somebody who turned out to be this person. Features and traits come
    /// with the profile's own change; memberships are looked at anew.
    pub(super) fn merge_measures(&mut self, other: &mut Self) {
        self.settling |= other.settling;
        for (id, seq) in std::mem::take(&mut other.void) {
            match self.void.iter_mut().find(|(known, _)| *known == id) {
                // Who was a person of their own knows best what was said of them.
                Some((_, since)) => *since = if other.profile == Some(id) { seq } else { seq.max(*since) },
                None => self.void.push((id, seq)),
            }
        }
        for (measure, measured) in std::mem::take(&mut other.measures) {
            match self.measures.binary_search_by_key(&measure, |(known, _)| *known) {
                Ok(place) => {
                    if let Some((_, known)) = self.measures.get_mut(place) {
                        known.merge(measured);
                    }
                }
                Err(place) => self.measures.insert(place, (measure, measured)),
            }
        }
    }
}
