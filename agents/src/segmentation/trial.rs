//! Definitions tried on one person, apart from any journal.

use super::{
    SegmentDefined,
    check::DefinitionError,
    definitions::Definitions,
    evaluate::View,
    measure::Look,
    person::{Person, Standing},
};
use crate::vocabulary::{Millis, ProfileChanged, Tracked};

/// One person beside definitions that know all of their past.
#[derive(Default)]
pub struct Trial {
    definitions: Definitions,
    person: Person,
}

impl Trial {
    /// Nobody yet, beside these definitions; one that looks at another comes after it.
    ///
    /// # Errors
    /// What is wrong with one of them.
    pub fn new(definitions: impl IntoIterator<Item = SegmentDefined>) -> Result<Self, DefinitionError> {
        let mut trial = Self::default();
        for defined in definitions {
            trial.definitions.define_ready(defined)?;
        }
        Ok(trial)
    }

    /// Folds an event and the change it made; how many definitions are to be looked at for it.
    pub fn fold(&mut self, changed: &ProfileChanged, event: &Tracked, now: Millis) -> usize {
        let mut touched = Vec::new();
        self.person.apply(changed);
        super::standing::touched_by(changed, &self.definitions, &mut touched);
        self.definitions.fold_event(&mut self.person, &mut Look::new(event), now, &mut touched);
        touched.sort_unstable();
        touched.dedup();
        touched.len()
    }

    /// Looks at every definition at `now`; how many segments the person is in.
    pub fn judge(&mut self, now: Millis) -> usize {
        let Self { definitions, person } = self;
        let mut members = 0;
        for place in definitions.places() {
            let Some(plan) = definitions.plan(place) else { continue };
            let holds = plan.root.truth(View { person, definitions, now }).holds;
            members += usize::from(holds);
            person.set_standing(Standing { segment: place, since: holds.then_some(now), until: None });
        }
        members
    }
}
