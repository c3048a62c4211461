//! Who is due, and when.

use impresario_runtime::{AgentError, Event, Keys, OnMany, Step};
use serde_json::Value;

use super::{Enrolment, Home, Person, Plans, home, outcome, plans::Standing, topics::EnrolmentDue};
use crate::{
    campaigns::{Autonomy, DecisionWanted, PlanTrigger},
    journeys::JourneyAsked,
    segmentation::{SegmentEntered, SegmentLeft},
    vocabulary::{DecisionDue, DecisionId, Millis, ProfileId, SituationDetected, SituationOf},
};

/// Sets the person's timer to the next instant at which anything is to be done.
pub(super) fn wake(person: &mut Person, profile: ProfileId, plans: &Plans, step: &mut Step<'_>) {
    let at_ms = person.wakes_at(plans);
    if person.timer.map(|timer| timer.due_ms) == at_ms {
        return;
    }
    person.timer.take().into_iter().for_each(|timer| step.cancel(timer));
    person.timer = at_ms.map(|at_ms| step.schedule(at_ms, &EnrolmentDue { profile }));
}

/// Makes a person due for a campaign that runs: a decision, or its journey.
fn make_due(
    person: &mut Person,
    profile: ProfileId,
    (id, standing): (&str, &Standing),
    (context, because): (&Value, &str),
    step: &mut Step<'_>,
) {
    match &standing.plan.journey {
        // Who only observes begins no journey: a journey sends.
        Some(journey) if standing.plan.autonomy != Autonomy::Observe => step.publish(JourneyAsked {
            journey: journey.clone(),
            profile,
            campaign: Some(id.into()),
            context: context.clone(),
            because: because.into(),
        }),
        _ => decide(person, profile, id, context, step),
    }
}

/// Asks for the person's next decision.
fn decide(person: &mut Person, profile: ProfileId, id: &str, context: &Value, step: &mut Step<'_>) {
    let begun = person.begun;
    let enrolled = person.campaigns.entry(id.into()).or_default();
    enrolled.decisions = enrolled.decisions.max(begun).wrapping_add(1);
    step.publish(DecisionDue {
        id: DecisionId::of(profile, id, enrolled.decisions),
        campaign: id.into(),
        profile,
        context: context.clone(),
        reached_before: enrolled.reached,
    });
}

/// Does what is to be done by now: decisions that are due, attribution windows that are over.
pub(super) fn time_has_come(
    person: &mut Person,
    profile: ProfileId,
    plans: &Plans,
    step: &mut Step<'_>,
) -> Result<(), AgentError> {
    let now_ms = step.now_ms();
    outcome::close(person, plans, step, |open| open.until_ms <= now_ms)?;
    let due: Vec<Box<str>> = person
        .campaigns
        .iter()
        .filter(|(id, enrolled)| is_due(id, enrolled, plans, now_ms))
        .map(|(id, _)| id.clone())
        .collect();
    for id in due {
        let Some(standing) = plans.active(&id) else { continue };
        if let Some(enrolled) = person.campaigns.get_mut(&id) {
            enrolled.last_due_ms = Some(now_ms);
        }
        make_due(person, profile, (&id, standing), (&Value::Null, "audience"), step);
    }
    wake(person, profile, plans, step);
    Ok(())
}

/// Whether a member of an audience is due by now.
fn is_due(id: &str, enrolled: &super::Enrolled, plans: &Plans, now_ms: Millis) -> bool {
    let Some(standing) = plans.active(id).filter(|_| enrolled.member) else { return false };
    match standing.plan.trigger {
        PlanTrigger::Audience { every_ms } => {
            enrolled.last_due_ms.is_none_or(|last| last.saturating_add(every_ms) <= now_ms)
        }
        PlanTrigger::Situation { .. } => false,
    }
}

impl OnMany<SegmentEntered> for Enrolment {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, SegmentEntered>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let plans = step.shared::<Plans>()?;
        if !plans.watched.contains(&event.segment) {
            return Ok(());
        }
        keys.change(&event.profile, |person| {
            person.campaigns.entry(event.segment.clone()).or_default().member = true;
            time_has_come(person, event.profile, plans, step)
        })?;
        Ok(())
    }
}

impl OnMany<SegmentLeft> for Enrolment {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, SegmentLeft>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let known = |person: &Person| person.campaigns.contains_key(&event.segment);
        if !keys.get(&event.profile)?.is_some_and(known) {
            return Ok(());
        }
        let plans = step.shared::<Plans>()?;
        keys.change(&event.profile, |person| {
            if let Some(enrolled) = person.campaigns.get_mut(&event.segment) {
                enrolled.member = false;
                let nothing = enrolled.decisions == 0;
                if nothing {
                    person.campaigns.remove(&event.segment);
                }
            }
            wake(person, event.profile, plans, step);
            Ok(())
        })?;
        Ok(())
    }
}

impl OnMany<SituationDetected> for Enrolment {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, SituationDetected>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let SituationOf::Person(profile) = event.of else { return Ok(()) };
        let plans = step.shared::<Plans>()?;
        let Home::Here(profile) = home(keys, profile)? else { return Ok(()) };
        for (id, standing) in plans.of_situation(&event.kind) {
            let member = |person: &Person| person.campaigns.get(id).is_some_and(|enrolled| enrolled.member);
            if !keys.get(&profile)?.is_some_and(member) {
                continue;
            }
            keys.change(&profile, |person| {
                make_due(person, profile, (id, standing), (&event.context, &event.kind), step);
                Ok(())
            })?;
        }
        Ok(())
    }
}

impl OnMany<DecisionWanted> for Enrolment {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, DecisionWanted>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        match home(keys, event.profile)? {
            Home::Here(profile) => {
                keys.change(&profile, |person| {
                    decide(person, profile, &event.campaign, &event.context, step);
                    Ok(())
                })?;
            }
            Home::Elsewhere(profile) => step.publish(DecisionWanted { profile, ..event.body.clone() }),
        }
        Ok(())
    }
}

impl OnMany<EnrolmentDue> for Enrolment {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, EnrolmentDue>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        // A profile that has become another one has handed its timer over with all else.
        if keys.get(&event.profile)?.is_none() {
            return Ok(());
        }
        let plans = step.shared::<Plans>()?;
        keys.change(&event.profile, |person| {
            person.timer = None;
            time_has_come(person, event.profile, plans, step)
        })?;
        Ok(())
    }
}
