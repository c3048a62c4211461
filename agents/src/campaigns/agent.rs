//! The agent that decides: one state a campaign, so its bounds are exact.

use impresario_runtime::{Agent, AgentError, Event, On, Routes, Step, store::Seq};

use super::{
    CampaignEnded, CampaignStarted, DecisionSettled, SpendAnswered, SpendAsked, SpendSettled,
    bounds::wanted,
    decide::decide,
    state::{Campaign, Stop},
};
use crate::{
    goals::BudgetSpent,
    vocabulary::{DecisionRequested, Refusal, Reserved, RewardObserved, SendingResumed, SendingStopped, StopScope},
};

/// The agent.
pub struct Campaigns;

fn campaign(scope: &StopScope) -> Option<String> {
    match scope {
        StopScope::Campaign(id) => Some(id.to_string()),
        _ => None,
    }
}

impl Agent for Campaigns {
    const NAME: &'static str = "campaigns";
    type Key = String;
    type State = Campaign;

    fn routes(routes: &mut Routes<Self>) {
        routes.on(|started: &CampaignStarted| started.campaign.to_string());
        routes.on(|ended: &CampaignEnded| ended.campaign.to_string());
        routes.on_some(|stopped: &SendingStopped| campaign(&stopped.scope));
        routes.on_some(|resumed: &SendingResumed| campaign(&resumed.scope));
        routes.on(|requested: &DecisionRequested| requested.campaign.to_string());
        routes.on(|settled: &DecisionSettled| settled.campaign.to_string());
        routes.on(|asked: &SpendAsked| asked.campaign.to_string());
        routes.on(|settled: &SpendSettled| settled.campaign.to_string());
        routes.on(|observed: &RewardObserved| observed.campaign.to_string());
    }
}

impl On<CampaignStarted> for Campaigns {
    fn on(&self, state: &mut Campaign, event: &Event<'_, CampaignStarted>, _: &mut Step<'_>) -> Result<(), AgentError> {
        state.start(event.plan.clone(), event.seq);
        Ok(())
    }
}

impl On<CampaignEnded> for Campaigns {
    fn on(&self, state: &mut Campaign, event: &Event<'_, CampaignEnded>, _: &mut Step<'_>) -> Result<(), AgentError> {
        state.ended = Some(event.why.clone());
        Ok(())
    }
}

impl On<SendingStopped> for Campaigns {
    fn on(&self, state: &mut Campaign, event: &Event<'_, SendingStopped>, _: &mut Step<'_>) -> Result<(), AgentError> {
        state.stopped = Some(Stop { by: event.by.clone(), why: event.why.clone() });
        Ok(())
    }
}

impl On<SendingResumed> for Campaigns {
    fn on(&self, state: &mut Campaign, _: &Event<'_, SendingResumed>, _: &mut Step<'_>) -> Result<(), AgentError> {
        state.stopped = None;
        Ok(())
    }
}

impl On<DecisionRequested> for Campaigns {
    fn on(
        &self,
        state: &mut Campaign,
        event: &Event<'_, DecisionRequested>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        state.learn_before(step.now_ms());
        let made = decide(state, event.body, step.now_ms(), step.seed());
        state.count_decision(&made, step.now_ms());
        step.publish(made);
        Ok(())
    }
}

impl On<DecisionSettled> for Campaigns {
    fn on(
        &self,
        state: &mut Campaign,
        event: &Event<'_, DecisionSettled>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        settle(state, &event.campaign, (event.plan, event.sent, event.returned), &event.reserved, step);
        Ok(())
    }
}

/// What was set aside is spent, on its way again, or given back.
fn settle(
    state: &mut Campaign,
    campaign: &str,
    (plan, sent, returned): (Seq, bool, bool),
    reserved: &Reserved,
    step: &mut Step<'_>,
) {
    if returned {
        state.bounds.returned(plan);
        state.sent = state.sent.saturating_sub(1);
    } else if sent {
        state.bounds.sent(plan);
        state.sent += 1;
    } else {
        state.bounds.give_back(plan, reserved);
    }
    if let Some(of) = state.is_spent() {
        step.publish(BudgetSpent { campaign: campaign.into(), plan: state.plan_seq, of: of.into() });
    }
}

impl On<SpendAsked> for Campaigns {
    fn on(&self, state: &mut Campaign, event: &Event<'_, SpendAsked>, step: &mut Step<'_>) -> Result<(), AgentError> {
        let SpendAsked { message, campaign, profile, channel, offer, reached_before } = event.body.clone();
        let wanted = state.running().map(|plan| {
            let wanted = wanted(plan, channel, offer.as_deref(), reached_before);
            state.bounds.fits(plan, &wanted).map(|()| wanted)
        });
        let plan = state.plan_seq;
        let (reserved, refused) = match wanted {
            Some(Ok(wanted)) => {
                state.bounds.take(&wanted);
                (wanted, None)
            }
            Some(Err(bound)) => (Reserved::default(), Some(bound)),
            None => {
                let why = "the campaign does not run".into();
                (Reserved::default(), Some(Refusal { guard: "autonomy".into(), why }))
            }
        };
        step.publish(SpendAnswered { message, campaign, profile, plan, reserved, refused });
        Ok(())
    }
}

impl On<SpendSettled> for Campaigns {
    fn on(&self, state: &mut Campaign, event: &Event<'_, SpendSettled>, step: &mut Step<'_>) -> Result<(), AgentError> {
        settle(state, &event.campaign, (event.plan, event.sent, event.returned), &event.reserved, step);
        Ok(())
    }
}

impl On<RewardObserved> for Campaigns {
    fn on(
        &self,
        state: &mut Campaign,
        event: &Event<'_, RewardObserved>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        state.observe(event.body, step.now_ms());
        Ok(())
    }
}
