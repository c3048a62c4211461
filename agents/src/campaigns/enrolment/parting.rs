//! People who become one, and people who become several.

use impresario_runtime::{AgentError, Event, Keys, OnMany, Step};

use super::{Enrolment, Person, Plans, due, outcome, topics::StandingAsked};
use crate::vocabulary::{ProfileMerged, ProfileParted, ProfileSettled};

impl OnMany<ProfileMerged> for Enrolment {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, ProfileMerged>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let ProfileMerged { loser, winner, decided } = *event.body;
        // The two were parted again before the news of their merge came.
        if keys.begun_at(&loser)? <= decided {
            keys.hand_over(&loser, &winner, step)?;
        }
        Ok(())
    }
}

impl OnMany<ProfileParted> for Enrolment {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, ProfileParted>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let profile = event.profile;
        let plans = step.shared::<Plans>()?;
        if let Some(heir) = event.heir {
            if let Some(mut old) = keys.point_anew(&profile, &heir)? {
                // Its decisions were made for somebody there never was: what came of them so far is told.
                outcome::close(&mut old, plans, step, |_| true)?;
                old.timer.into_iter().for_each(|timer| step.cancel(timer));
            }
        } else if let Some(old) = keys.begin_anew(&profile)? {
            keys.change(&profile, |person| {
                *person = Person { settling: true, known: None, ..old };
                // No number is used twice, also by those who had been a part of another profile.
                let from = (event.decided as u32) | (1 << 31);
                for enrolled in person.campaigns.values_mut() {
                    enrolled.decisions = enrolled.decisions.max(from);
                }
                person.begun = from;
                Ok(())
            })?;
        }
        Ok(())
    }
}

impl OnMany<ProfileSettled> for Enrolment {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, ProfileSettled>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        if !keys.get(&event.profile)?.is_some_and(|person| person.settling) {
            return Ok(());
        }
        let plans = step.shared::<Plans>()?;
        keys.change(&event.profile, |person| {
            person.settling = false;
            if !person.open.is_empty() {
                step.publish(StandingAsked { profile: event.profile });
            }
            due::wake(person, event.profile, plans, step);
            Ok(())
        })?;
        Ok(())
    }
}
