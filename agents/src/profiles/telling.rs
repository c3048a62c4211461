//! What a template may say of a person.

use impresario_runtime::{AgentError, Event, Keys, OnMany, Step};
use serde_json::{Map, Value};

use super::{Profile, Profiles, json::weight};
use crate::vocabulary::{PersonTold, RenderAsked};

/// Traits told at most.
const TRAITS_MAX: usize = 64;
/// Bytes of one trait that is told at most.
const TRAIT_BYTES_MAX: usize = 2_048;
/// Bytes of all of them at most.
const TRAITS_BYTES_MAX: usize = 16_384;

impl Profile {
    /// Those of the wanted traits that are known and small enough.
    pub fn told_traits(&self, wanted: &[Box<str>]) -> Map<String, Value> {
        let mut told = Map::new();
        let mut bytes = 0;
        for name in wanted.iter().take(TRAITS_MAX) {
            let Some(write) = self.traits.get(name).filter(|write| !write.value.is_null()) else { continue };
            let more = name.len() + weight(&write.value);
            if more <= TRAIT_BYTES_MAX && bytes + more <= TRAITS_BYTES_MAX {
                bytes += more;
                told.insert(name.to_string(), write.value.clone());
            }
        }
        told
    }
}

impl OnMany<RenderAsked> for Profiles {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, RenderAsked>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let mut profile = event.profile;
        while let Some(next) = keys.moved_to(&profile)? {
            if !keys.owns(&next) {
                step.publish(RenderAsked { profile: next, ..event.body.clone() });
                return Ok(());
            }
            profile = next;
        }
        // Of somebody unknown nothing is told, but told it is: the message must not wait for ever.
        let (traits, features) = match keys.get(&profile)? {
            Some(known) => (known.told_traits(&event.traits), known.features()),
            None => (Map::new(), Vec::new()),
        };
        let traits = if traits.is_empty() { Value::Null } else { Value::Object(traits) };
        step.publish(PersonTold { message: event.message, profile: event.asker, traits, features });
        Ok(())
    }
}
