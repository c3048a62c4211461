//! A person as decisions look at them, told when one is due.

use impresario_runtime::{AgentError, Event, Keys, OnMany, Step};

use super::{Profile, Profiles};
use crate::{
    campaigns::{
        enrolment::{StandingAsked, StandingTold},
        features::{describe, standing},
    },
    vocabulary::{DecisionDue, PersonDescribed, ProfileId},
};

/// Where a profile is now: its state here, or who it has become on another worker.
pub(super) fn found<R>(
    keys: &mut Keys<'_, Profiles>,
    profile: ProfileId,
    look: impl FnOnce(ProfileId, &Profile) -> R,
) -> Result<Result<Option<R>, ProfileId>, AgentError> {
    let mut at = profile;
    while let Some(next) = keys.moved_to(&at)? {
        if !keys.owns(&next) {
            return Ok(Err(next));
        }
        at = next;
    }
    Ok(Ok(keys.get(&at)?.map(|state| look(at, state))))
}

impl OnMany<DecisionDue> for Profiles {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, DecisionDue>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let now_ms = step.now_ms();
        let look = |profile, state: &Profile| {
            let (features, standing) = (describe(state, now_ms), standing(state));
            PersonDescribed { due: event.body.clone(), profile, features, standing }
        };
        match found(keys, event.profile, look)? {
            Ok(Some(described)) => step.publish(described),
            // Erased in between: nothing is to be decided about them.
            Ok(None) => {}
            Err(profile) => step.publish(DecisionDue { profile, ..event.body.clone() }),
        }
        Ok(())
    }
}

impl OnMany<StandingAsked> for Profiles {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, StandingAsked>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        match found(keys, event.profile, |profile, state| StandingTold { profile, standing: standing(state) })? {
            Ok(Some(told)) => step.publish(told),
            Ok(None) => {}
            Err(profile) => step.publish(StandingAsked { profile }),
        }
        Ok(())
    }
}
