//! What changes in a profile, gathered while it changes.

use std::collections::BTreeMap;

use impresario_runtime::store::Seq;
use serde_json::Value;

use super::{
    contact::is_told,
    newest::{LastWrites, Write, Written},
    oddity::{Bound, Bounds},
};
use crate::vocabulary::{Feature, ProfileChanged, ProfileId, RhythmDelta};

/// What changes while an event is folded.
#[derive(Default)]
pub(super) struct Changes {
    features: Vec<(Feature, i64)>,
    pub(super) traits: BTreeMap<Box<str>, Value>,
    pub(super) rhythm: RhythmDelta,
    /// Whether it may concern how the person can be reached.
    pub(super) contact: bool,
}

impl Changes {
    /// A feature has a new value; of several values of one feature the last counts.
    pub(super) fn feature(&mut self, feature: Feature, number: i64) {
        match self.features.iter_mut().find(|(known, _)| *known == feature) {
            Some((_, known)) => *known = number,
            None => self.features.push((feature, number)),
        }
    }

    pub(super) fn into_changed(mut self, profile: ProfileId, event: Seq) -> ProfileChanged {
        self.features.sort_unstable_by_key(|(feature, _)| *feature);
        let rhythm = Some(self.rhythm).filter(|rhythm| *rhythm != RhythmDelta::default());
        ProfileChanged { profile, event, features: self.features, traits: self.traits, rhythm }
    }
}

/// Takes a trait's new value in, the last by event time; of more than `MAX`, one goes.
pub(super) fn write_trait<const MAX: usize>(
    traits: &mut LastWrites<MAX>,
    write: Write,
    bounds: &mut Bounds,
    changes: &mut Changes,
) {
    if let Written::New(write) = traits.set(write) {
        changes.contact |= is_told(&write.name);
        changes.traits.insert(write.name.clone(), write.value.clone());
    }
    if let Some(gone) = traits.take_surplus() {
        bounds.note(Bound::Traits, false);
        if !gone.value.is_null() {
            changes.traits.insert(gone.name, Value::Null);
        }
    }
}
