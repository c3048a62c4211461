//! People who become one, and people who become several.

use impresario_runtime::{AgentError, Event, Keys, On, OnMany, Step};

use super::{
    Definitions, Segmentation, Trigger,
    standing::{leave_all, look_again},
};
use crate::vocabulary::{ProfileMerged, ProfileParted, ProfileSettled};

impl OnMany<ProfileMerged> for Segmentation {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, ProfileMerged>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let ProfileMerged { loser, winner, decided } = *event.body;
        // The two were parted again before the news of their merge came.
        let overtaken = keys.get(&loser)?.is_some_and(|person| person.decided > decided);
        if !overtaken {
            keys.hand_over(&loser, &winner, step)?;
        }
        Ok(())
    }
}

impl OnMany<ProfileParted> for Segmentation {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, ProfileParted>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let profile = event.profile;
        if let Some(heir) = event.heir {
            if let Some(mut old) = keys.point_anew(&profile, &heir)? {
                leave_all(
                    &mut old,
                    step.shared::<Definitions>()?,
                    Trigger::Merge,
                    "the profile has become another one",
                    step,
                );
            }
        } else if let Some(old) = keys.begin_anew(&profile)? {
            keys.change(&profile, |person| {
                person.begin_again(old, event.body, event.seq);
                Ok(())
            })?;
        }
        Ok(())
    }
}

impl On<ProfileSettled> for Segmentation {
    fn on(
        &self,
        person: &mut super::Person,
        _: &Event<'_, ProfileSettled>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        if !std::mem::take(&mut person.settling) {
            step.unchanged();
            return Ok(());
        }
        let definitions = step.shared::<Definitions>()?;
        if person.is_nobody() {
            leave_all(person, definitions, Trigger::Merge, "nothing of what was done is theirs", step);
            person.profile = None;
            return Ok(());
        }
        let all: Vec<_> = definitions.places().collect();
        look_again(person, definitions, &all, Trigger::Merge, step);
        Ok(())
    }
}
