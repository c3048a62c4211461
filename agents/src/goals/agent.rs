//! The agent: goals are set, answered, measured, stopped.

use impresario_runtime::{Agent, AgentError, Event, Keys, On, OnMany, Routes, Step};

use super::{
    Known,
    state::{GoalState, Paused},
    topics::{
        BudgetSpent, ContentReviewed, GoalBaseline, GoalEnded, GoalProgress, GoalSet, GoalStopped, HorizonReached,
        ProposalAnswered, ProposalLapses, ProposalOutcome,
    },
};
use crate::{
    content::{OfferDefined, OfferRemoved, TemplateDefined, TemplateRemoved},
    journeys::{JourneyDefined, JourneyRemoved},
    segmentation::{SegmentDefined, SegmentEntered, SegmentLeft, SegmentRemoved, SweepDone},
    vocabulary::{
        MessageReturned, MessageSent, ReceiptCame, ReceiptKind, SendingResumed, SendingStopped, SituationDetected,
        SituationOf, StopScope,
    },
};

/// The agent.
pub struct Goals;

/// Goals looked at where something concerns them all.
const GOALS_PAGE: usize = 256;

/// Situations of a channel that take a campaign's autonomy away.
const SURGES: [&str; 2] = ["bounce_surge", "complaint_surge"];

fn campaign(scope: &StopScope) -> Option<String> {
    match scope {
        StopScope::Campaign(id) => Some(id.to_string()),
        _ => None,
    }
}

impl Agent for Goals {
    const NAME: &'static str = "goals";
    type Key = String;
    type State = GoalState;
    const STATE_VERSION: u8 = 3;

    fn routes(routes: &mut Routes<Self>) {
        routes.on(|set: &GoalSet| set.id.to_string());
        routes.on(|ended: &GoalEnded| ended.id.to_string());
        routes.on(|stopped: &GoalStopped| stopped.id.to_string());
        routes.on_some(|defined: &SegmentDefined| defined.goal.as_ref().map(|_| defined.id.to_string()));
        routes.on(|entered: &SegmentEntered| entered.segment.to_string());
        routes.on(|left: &SegmentLeft| left.segment.to_string());
        routes.on_many::<SweepDone>();
        routes.on(|answered: &ProposalAnswered| answered.goal.to_string());
        routes.on(|lapses: &ProposalLapses| lapses.goal.to_string());
        routes.on(|over: &HorizonReached| over.goal.to_string());
        routes.on(|baseline: &GoalBaseline| baseline.goal.to_string());
        routes.on(|progress: &GoalProgress| progress.goal.to_string());
        routes.on(|spent: &BudgetSpent| spent.campaign.to_string());
        routes.on_some(|sent: &MessageSent| sent.campaign.as_ref().map(ToString::to_string));
        routes.on_some(|returned: &MessageReturned| returned.campaign.as_ref().map(ToString::to_string));
        routes.on_some(|receipt: &ReceiptCame| receipt.campaign.as_ref().map(ToString::to_string));
        routes.on_some(|stopped: &SendingStopped| campaign(&stopped.scope));
        routes.on_some(|resumed: &SendingResumed| campaign(&resumed.scope));
        routes.on_many::<SituationDetected>();
        routes.on_shared::<TemplateDefined>();
        routes.on_shared::<TemplateRemoved>();
        routes.on_shared::<OfferDefined>();
        routes.on_shared::<OfferRemoved>();
        routes.on_shared::<JourneyDefined>();
        routes.on_shared::<JourneyRemoved>();
        routes.on_many::<ContentReviewed>();
    }
}

impl On<GoalSet> for Goals {
    fn on(&self, state: &mut GoalState, event: &Event<'_, GoalSet>, step: &mut Step<'_>) -> Result<(), AgentError> {
        state.close_open(&event.id, ProposalOutcome::Void, Self::NAME, "the goal was changed", step);
        // What runs was approved for who and what it was: another audience, or less autonomy, is not it.
        let other = state.goal.as_ref().is_some_and(|old| {
            old.condition() != event.goal.condition() || event.goal.autonomy < old.autonomy || !event.goal.acts()
        });
        if other {
            state.end(&event.id, "the goal was changed", step);
        }
        step.publish(event.goal.segment(&event.id));
        state.goal = Some(event.goal.clone());
        (state.set_at_ms, state.ended_at_ms, state.version) = (event.at_ms, None, event.seq);
        state.filling = Some((0, Default::default()));
        Ok(())
    }
}

impl On<SegmentDefined> for Goals {
    fn on(&self, state: &mut GoalState, event: &Event<'_, SegmentDefined>, _: &mut Step<'_>) -> Result<(), AgentError> {
        state.filling = state.goal.as_ref().map(|_| (event.seq, Default::default()));
        Ok(())
    }
}

impl OnMany<SweepDone> for Goals {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, SweepDone>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        for (id, version) in &event.completes {
            let id = id.to_string();
            let waits = |state: &GoalState| state.filling.as_ref().is_some_and(|(waited, _)| waited == version);
            if !keys.get(&id)?.is_some_and(waits) {
                continue;
            }
            keys.change(&id, |state| {
                let Some((waited, done)) = &mut state.filling else { return Ok(()) };
                if waited == version {
                    done.insert(event.worker);
                    if done.len() >= usize::from(event.workers) {
                        state.filling = None;
                        state.ready(&id, step)?;
                    }
                }
                Ok(())
            })?;
        }
        Ok(())
    }
}

impl On<SegmentEntered> for Goals {
    fn on(
        &self,
        state: &mut GoalState,
        event: &Event<'_, SegmentEntered>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        if state.goal.is_none() {
            step.unchanged();
            return Ok(());
        }
        state.audience += 1;
        let most = state.running.as_ref().and_then(|running| running.audience_max);
        if most.is_some_and(|most| state.audience > most && state.paused.is_none()) {
            state.hold_to_approval(&event.segment, step)?;
        }
        Ok(())
    }
}

impl On<SegmentLeft> for Goals {
    fn on(&self, state: &mut GoalState, _: &Event<'_, SegmentLeft>, step: &mut Step<'_>) -> Result<(), AgentError> {
        if state.goal.is_none() && state.audience == 0 {
            step.unchanged();
        }
        state.audience = state.audience.saturating_sub(1);
        Ok(())
    }
}

impl On<ProposalAnswered> for Goals {
    fn on(
        &self,
        state: &mut GoalState,
        event: &Event<'_, ProposalAnswered>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let Some((outcome, why)) = state.answer(event.body, step.shared::<Known>()?, step.now_ms()) else {
            // Answered before, expired, or void: what was decided then stands.
            step.unchanged();
            return Ok(());
        };
        let open = state.open_proposal().map(|open| (open.proposed.plan.clone(), open.audience_max()));
        let by: &str = if outcome == ProposalOutcome::Void { Self::NAME } else { &event.by };
        state.close_open(&event.goal, outcome, by, &why, step);
        match outcome {
            ProposalOutcome::Approved => {
                if let Some((plan, most)) = open {
                    state.start(&event.goal, plan, Some(event.number), Some(most), step);
                }
            }
            // What it has become is put to them in its stead.
            ProposalOutcome::Void if state.is_filled() => {
                if let Some(plan) = state.plan(&event.goal, step)? {
                    state.propose(&event.goal, plan, &why, step);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl On<ProposalLapses> for Goals {
    fn on(
        &self,
        state: &mut GoalState,
        event: &Event<'_, ProposalLapses>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        if state.open_proposal().is_some_and(|open| open.proposed.number == event.number) {
            state.close_open(&event.goal, ProposalOutcome::Expired, Self::NAME, "nobody answered in time", step);
        } else {
            step.unchanged();
        }
        Ok(())
    }
}

impl On<GoalEnded> for Goals {
    fn on(&self, state: &mut GoalState, event: &Event<'_, GoalEnded>, step: &mut Step<'_>) -> Result<(), AgentError> {
        if state.goal.is_none() {
            return Err(AgentError::Reject(format!("there is no goal `{}`", event.id)));
        }
        state.close_open(&event.id, ProposalOutcome::Void, Self::NAME, "the goal has ended", step);
        state.end(&event.id, "the goal has ended", step);
        state.goal = None;
        state.filling = None;
        state.ended_at_ms = Some(event.at_ms);
        step.publish(SegmentRemoved { id: event.id.clone() });
        if state.paused.take().is_some() {
            // There is nothing left to be stopped; a goal set anew under this id begins anew.
            step.publish(SendingResumed { scope: StopScope::Campaign(event.id.clone()), by: Self::NAME.into() });
        }
        Ok(())
    }
}

impl On<GoalStopped> for Goals {
    fn on(&self, state: &mut GoalState, event: &Event<'_, GoalStopped>, step: &mut Step<'_>) -> Result<(), AgentError> {
        state.close_open(&event.id, ProposalOutcome::Void, Self::NAME, "the goal was stopped", step);
        state.end(&event.id, &format!("stopped by {}: {}", event.by, event.why), step);
        Ok(())
    }
}

impl On<HorizonReached> for Goals {
    fn on(
        &self,
        state: &mut GoalState,
        event: &Event<'_, HorizonReached>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        if state.running.as_ref().is_some_and(|running| running.version == event.version) {
            state.finish(&event.goal, "the horizon is over", step);
        }
        Ok(())
    }
}

impl On<GoalBaseline> for Goals {
    fn on(&self, state: &mut GoalState, event: &Event<'_, GoalBaseline>, _: &mut Step<'_>) -> Result<(), AgentError> {
        // It is frozen: the first one of a campaign stands.
        if state.running.is_some() && state.baseline.is_none() {
            state.baseline = Some(event.body.clone());
        }
        Ok(())
    }
}

impl On<GoalProgress> for Goals {
    fn on(
        &self,
        state: &mut GoalState,
        event: &Event<'_, GoalProgress>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        if state.goal.is_some() {
            state.progress = Some(event.body.clone());
            if event.reached {
                state.finish(&event.goal, "the goal is reached", step);
            }
        }
        Ok(())
    }
}

impl On<BudgetSpent> for Goals {
    fn on(&self, state: &mut GoalState, event: &Event<'_, BudgetSpent>, step: &mut Step<'_>) -> Result<(), AgentError> {
        state.finish(&event.campaign, &format!("the budget of {} is spent", event.of), step);
        Ok(())
    }
}

impl On<MessageSent> for Goals {
    fn on(&self, state: &mut GoalState, _: &Event<'_, MessageSent>, step: &mut Step<'_>) -> Result<(), AgentError> {
        if state.running.is_none() {
            step.unchanged();
            return Ok(());
        }
        state.tripwires.sent += 1;
        Ok(())
    }
}

impl On<MessageReturned> for Goals {
    fn on(&self, state: &mut GoalState, _: &Event<'_, MessageReturned>, _: &mut Step<'_>) -> Result<(), AgentError> {
        state.tripwires.sent = state.tripwires.sent.saturating_sub(1);
        Ok(())
    }
}

impl On<ReceiptCame> for Goals {
    fn on(&self, state: &mut GoalState, event: &Event<'_, ReceiptCame>, step: &mut Step<'_>) -> Result<(), AgentError> {
        let looked_at =
            matches!(event.kind, ReceiptKind::Unsubscribed | ReceiptKind::Complained | ReceiptKind::Bounced);
        let (Some(goal), Some(id), true) = (&state.goal, &event.campaign, looked_at && state.running.is_some()) else {
            step.unchanged();
            return Ok(());
        };
        state.tripwires.count(event.kind);
        if let Some(why) = state.tripwires.broken(&goal.guardrails) {
            state.pause(id, &why, false, step);
        }
        Ok(())
    }
}

impl On<SendingStopped> for Goals {
    fn on(&self, state: &mut GoalState, event: &Event<'_, SendingStopped>, _: &mut Step<'_>) -> Result<(), AgentError> {
        if state.goal.is_some() && state.paused.is_none() {
            let (by, why) = (event.by.clone(), event.why.clone());
            state.paused = Some(Paused { by, why, at_ms: event.at_ms, outgrown: false });
        }
        Ok(())
    }
}

impl On<SendingResumed> for Goals {
    fn on(
        &self,
        state: &mut GoalState,
        event: &Event<'_, SendingResumed>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        state.paused = None;
        match &event.scope {
            // Whoever resumes it does not approve it.
            StopScope::Campaign(id) => state.hold_to_approval(id, step),
            StopScope::Everything | StopScope::Channel(_) => Ok(()),
        }
    }
}

impl OnMany<SituationDetected> for Goals {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, SituationDetected>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let SituationOf::Channel(channel) = &event.of else { return Ok(()) };
        if !SURGES.contains(&&*event.kind) {
            return Ok(());
        }
        let mut after = None;
        loop {
            let page = keys.after(after.as_ref(), GOALS_PAGE)?;
            for id in &page {
                let uses = |state: &GoalState| {
                    state.paused.is_none()
                        && state.running.as_ref().is_some_and(|running| {
                            running.plan.journey.is_some()
                                || running.plan.standing_arms().any(|(_, arm)| arm.channel == *channel)
                        })
                };
                if keys.get(id)?.is_some_and(uses) {
                    let why = format!("{} on {}: {}", event.kind, channel.name(), event.because);
                    keys.change(id, |state| {
                        state.pause(id, &why, false, step);
                        Ok(())
                    })?;
                }
            }
            if page.len() < GOALS_PAGE {
                return Ok(());
            }
            after = page.last().cloned();
        }
    }
}
