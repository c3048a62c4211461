//! The agent: goals are set, answered, measured, stopped.

use impresario_runtime::{Agent, AgentError, Event, Keys, On, OnMany, OnShared, Routes, Step};

use super::{
    compile::compile,
    guard::Tripwires,
    state::{GoalState, Paused, Running},
    topics::{
        BudgetSpent, GoalBaseline, GoalEnded, GoalProgress, GoalSet, GoalStopped, HorizonReached, ProposalAnswered,
        ProposalLapses, ProposalOutcome,
    },
};
use crate::{
    campaigns::{Autonomy, CampaignEnded, CampaignStarted, Plan},
    content::{Catalog, OfferDefined, OfferRemoved, TemplateDefined, TemplateRemoved},
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
    const STATE_VERSION: u8 = 2;

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
    }
}

impl GoalState {
    /// Puts a plan in force.
    fn start(&mut self, id: &str, plan: Plan, proposal: Option<u32>, audience_max: Option<u64>, step: &mut Step<'_>) {
        if let Some(horizon) = self.running.take().and_then(|running| running.horizon) {
            step.cancel(horizon);
        }
        let within = self.goal.as_ref().and_then(|goal| goal.within);
        let over = HorizonReached { goal: id.into(), version: self.version };
        let horizon = within.map(|within| step.schedule(step.now_ms().saturating_add(within.ms()), &over));
        let (version, since_ms) = (self.version, step.now_ms());
        self.running = Some(Running { plan: plan.clone(), version, proposal, audience_max, since_ms, horizon });
        if self.campaign_ended.take().is_some() {
            self.tripwires = Tripwires::default();
        }
        (self.baseline, self.progress) = (None, None);
        step.publish(CampaignStarted { campaign: id.into(), plan });
        if self.paused.take().is_some() {
            step.publish(SendingResumed { scope: StopScope::Campaign(id.into()), by: Goals::NAME.into() });
        }
    }

    /// Ends the campaign, if one runs.
    fn end(&mut self, id: &str, why: &str, step: &mut Step<'_>) {
        let Some(running) = self.running.take() else { return };
        running.horizon.into_iter().for_each(|horizon| step.cancel(horizon));
        self.campaign_ended = Some((why.into(), step.now_ms()));
        step.publish(CampaignEnded { campaign: id.into(), why: why.into() });
    }

    /// Stops sending at once; somebody must resume it.
    fn pause(&mut self, id: &str, why: &str, step: &mut Step<'_>) {
        if self.paused.is_some() || self.running.is_none() {
            return;
        }
        self.paused = Some(Paused { by: Goals::NAME.into(), why: why.into(), at_ms: step.now_ms() });
        let scope = StopScope::Campaign(id.into());
        step.publish(SendingStopped { scope, by: Goals::NAME.into(), why: why.into() });
    }

    /// The audience is known: what the goal compiles to is proposed, or starts.
    fn ready(&mut self, id: &str, step: &mut Step<'_>) -> Result<(), AgentError> {
        let Some(goal) = &self.goal else { return Ok(()) };
        let Some(plan) = compile(id, goal, self.audience, step.shared::<Catalog>()?) else {
            self.end(id, "the goal does not act any more", step);
            return Ok(());
        };
        if self.running.as_ref().is_some_and(|running| running.plan == plan && running.version == self.version) {
            return Ok(());
        }
        match plan.autonomy {
            Autonomy::Recommend => self.propose(id, plan, "the goal was set", step),
            Autonomy::Observe | Autonomy::Autonomous => self.start(id, plan, None, None, step),
        }
        Ok(())
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
        let Some(goal) = &state.goal else {
            step.unchanged();
            return Ok(());
        };
        state.audience += 1;
        let most = state.running.as_ref().and_then(|running| running.audience_max);
        if let Some(most) = most.filter(|most| state.audience > *most && state.paused.is_none()) {
            let why = format!("the audience has grown to {} people; {most} were approved", state.audience);
            let plan = compile(&event.segment, goal, state.audience, step.shared::<Catalog>()?);
            state.pause(&event.segment, &why, step);
            if let Some(plan) = plan {
                state.propose(&event.segment, plan, &why, step);
            }
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
        let Some((outcome, why)) = state.answer(event.body, step.now_ms()) else {
            // Answered before, expired, or void: what was decided then stands.
            step.unchanged();
            return Ok(());
        };
        let open = state.open_proposal().map(|open| (open.proposed.plan.clone(), open.audience_max()));
        let by: &str = if outcome == ProposalOutcome::Void { Self::NAME } else { &event.by };
        state.close_open(&event.goal, outcome, by, &why, step);
        if let Some((plan, most)) = open.filter(|_| outcome == ProposalOutcome::Approved) {
            state.start(&event.goal, plan, Some(event.number), Some(most), step);
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
            state.end(&event.goal, "the horizon is over", step);
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
                state.end(&event.goal, "the goal is reached", step);
            }
        }
        Ok(())
    }
}

impl On<BudgetSpent> for Goals {
    fn on(&self, state: &mut GoalState, event: &Event<'_, BudgetSpent>, step: &mut Step<'_>) -> Result<(), AgentError> {
        state.end(&event.campaign, &format!("the budget of {} is spent", event.of), step);
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
            state.pause(id, &why, step);
        }
        Ok(())
    }
}

impl On<SendingStopped> for Goals {
    fn on(&self, state: &mut GoalState, event: &Event<'_, SendingStopped>, _: &mut Step<'_>) -> Result<(), AgentError> {
        if state.goal.is_some() && state.paused.is_none() {
            state.paused = Some(Paused { by: event.by.clone(), why: event.why.clone(), at_ms: event.at_ms });
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
        let most = state.running.as_ref().and_then(|running| running.audience_max);
        if let (Some(most), StopScope::Campaign(id)) = (most.filter(|most| state.audience > *most), &event.scope) {
            // Whoever resumes it does not approve it.
            let why = format!("the audience has {} people; {most} were approved", state.audience);
            state.pause(id, &why, step);
        }
        Ok(())
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
                                || running.plan.arms.iter().any(|arm| arm.channel == *channel)
                        })
                };
                if keys.get(id)?.is_some_and(uses) {
                    let why = format!("{} on {}: {}", event.kind, channel.name(), event.because);
                    keys.change(id, |state| {
                        state.pause(id, &why, step);
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

macro_rules! keeps {
    ($topic:ty, $fold:ident) => {
        impl OnShared<$topic> for Goals {
            type Shared = Catalog;

            fn on_shared(
                &self,
                catalog: &mut Catalog,
                event: &Event<'_, $topic>,
                _: &mut Step<'_>,
            ) -> Result<(), AgentError> {
                // What can't stand is told by the library, whose business it is; here it is no template.
                let _ = catalog.$fold(event.body, event.seq, event.at_ms);
                Ok(())
            }
        }
    };
}

keeps!(TemplateDefined, define_template);
keeps!(TemplateRemoved, remove_template);
keeps!(OfferDefined, define_offer);
keeps!(OfferRemoved, remove_offer);
