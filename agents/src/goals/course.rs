//! The course of one goal's campaign: its plan starts, is changed, is paused, ends.

use impresario_runtime::{Agent, AgentError, Step};

use super::{
    Goals, Known,
    compile::compile,
    content::renumber,
    guard::Tripwires,
    proposal::CHANGED,
    state::{GoalState, Paused, Running},
    topics::HorizonReached,
};
use crate::{
    campaigns::{Autonomy, CampaignEnded, CampaignStarted, Plan},
    vocabulary::{SendingResumed, SendingStopped, StopScope},
};

/// Whether two plans do the same, however their arms are numbered.
fn same(running: &Plan, plan: &Plan) -> bool {
    let mut numbered = plan.clone();
    renumber(&mut numbered, running) && numbered == *running
}

impl GoalState {
    /// Puts a plan in force. That of a campaign which runs takes the place of its plan: what was measured, spent
    /// and learned goes on, and so does a pause, unless it waited for just this approval.
    pub(super) fn start(
        &mut self,
        id: &str,
        mut plan: Plan,
        proposal: Option<u32>,
        audience_max: Option<u64>,
        step: &mut Step<'_>,
    ) {
        let before = self.running.take();
        let measured = self.goal.as_ref().map(|goal| (goal.metric, goal.within));
        let revises = before.as_ref().is_some_and(|before| {
            before.measured == measured && before.plan.reward == plan.reward && renumber(&mut plan, &before.plan)
        });
        let since_ms = before.as_ref().filter(|_| revises).map_or(step.now_ms(), |before| before.since_ms);
        if !revises {
            (self.baseline, self.progress) = (None, None);
        }
        if self.campaign_ended.take().is_some() {
            self.tripwires = Tripwires::default();
        }
        let version = self.version;
        let horizon = before.and_then(|before| before.horizon);
        self.running =
            Some(Running { plan: plan.clone(), version, proposal, audience_max, since_ms, measured, horizon });
        self.set_horizon(id, step);
        step.publish(CampaignStarted { campaign: id.into(), plan, revises });
        if proposal.is_some() && self.paused.as_ref().is_some_and(|paused| paused.outgrown) {
            self.paused = None;
            step.publish(SendingResumed { scope: StopScope::Campaign(id.into()), by: Goals::NAME.into() });
        }
    }

    /// The timer of the horizon, as the goal that stands says it.
    fn set_horizon(&mut self, id: &str, step: &mut Step<'_>) {
        let Some(running) = &mut self.running else { return };
        running.horizon.take().into_iter().for_each(|horizon| step.cancel(horizon));
        let over = HorizonReached { goal: id.into(), version: running.version };
        let within = self.goal.as_ref().and_then(|goal| goal.within);
        running.horizon = within.map(|within| step.schedule(running.since_ms.saturating_add(within.ms()), &over));
    }

    /// Ends the campaign, if one runs, at once: nothing of it goes out any more.
    pub(super) fn end(&mut self, id: &str, why: &str, step: &mut Step<'_>) {
        self.over(id, why, false, step);
    }

    /// The campaign has come to its end by itself: what was let through before may still go out.
    pub(super) fn finish(&mut self, id: &str, why: &str, step: &mut Step<'_>) {
        self.over(id, why, true, step);
    }

    fn over(&mut self, id: &str, why: &str, finished: bool, step: &mut Step<'_>) {
        let Some(running) = self.running.take() else { return };
        running.horizon.into_iter().for_each(|horizon| step.cancel(horizon));
        self.campaign_ended = Some((why.into(), step.now_ms()));
        step.publish(CampaignEnded { campaign: id.into(), why: why.into(), finished });
    }

    /// Stops sending at once; somebody must resume it, or approve what it is now where it has outgrown what was.
    pub(super) fn pause(&mut self, id: &str, why: &str, outgrown: bool, step: &mut Step<'_>) {
        if self.paused.is_some() || self.running.is_none() {
            return;
        }
        self.paused = Some(Paused { by: Goals::NAME.into(), why: why.into(), at_ms: step.now_ms(), outgrown });
        let scope = StopScope::Campaign(id.into());
        step.publish(SendingStopped { scope, by: Goals::NAME.into(), why: why.into() });
    }

    /// The audience is known: what the goal compiles to is proposed, or starts.
    pub(super) fn ready(&mut self, id: &str, step: &mut Step<'_>) -> Result<(), AgentError> {
        let Some(plan) = self.plan(id, step)? else {
            self.end(id, "the goal does not act any more", step);
            return Ok(());
        };
        let measured = self.goal.as_ref().map(|goal| (goal.metric, goal.within));
        let same = |running: &&mut Running| running.measured == measured && same(&running.plan, &plan);
        if let Some(running) = self.running.as_mut().filter(same) {
            // What is done does not change: the campaign runs on for the goal as it stands.
            running.version = self.version;
            self.set_horizon(id, step);
            return self.hold_to_approval(id, step);
        }
        match plan.autonomy {
            Autonomy::Recommend => self.propose(id, plan, "the goal was set", step),
            Autonomy::Observe | Autonomy::Autonomous => self.start(id, plan, None, None, step),
        }
        Ok(())
    }

    /// What the goal that stands compiles to; none where it does not act.
    pub(super) fn plan(&self, id: &str, step: &Step<'_>) -> Result<Option<Plan>, AgentError> {
        let known = step.shared::<Known>()?;
        Ok(self.goal.as_ref().and_then(|goal| compile(id, goal, self.audience, known)))
    }

    /// Why what runs by an approval is not what was approved any more.
    fn outgrown(&self, known: &Known) -> Option<String> {
        let running = self.running.as_ref()?;
        // Only what was approved has a bound of its own on its audience.
        let most = running.audience_max?;
        if !known.stands(&running.plan) {
            return Some(CHANGED.into());
        }
        let now = self.audience;
        (now > most).then(|| format!("the audience has grown to {now} people; {most} were approved"))
    }

    /// Stops sending where what runs is not what was approved any more, whoever has resumed or set what meanwhile, and
    /// proposes what it has become.
    pub(super) fn hold_to_approval(&mut self, id: &str, step: &mut Step<'_>) -> Result<(), AgentError> {
        let Some(why) = self.outgrown(step.shared::<Known>()?) else { return Ok(()) };
        self.pause(id, &why, true, step);
        let stands = |known: &Known| self.open_proposal().is_some_and(|open| known.stands(&open.proposed.plan));
        if self.is_filled()
            && !stands(step.shared::<Known>()?)
            && let Some(plan) = self.plan(id, step)?
        {
            self.propose(id, plan, &why, step);
        }
        Ok(())
    }

    /// A template, an offer or a journey has changed: nothing was approved but what would have been sent then.
    pub(super) fn review(&mut self, id: &str, step: &mut Step<'_>) -> Result<(), AgentError> {
        let known = step.shared::<Known>()?;
        let open_differs = self.open_proposal().is_some_and(|open| !known.stands(&open.proposed.plan));
        let runs_differs = self.running.as_ref().is_some_and(|running| !known.stands(&running.plan));
        if !(open_differs || runs_differs) || !self.is_filled() {
            step.unchanged();
            return Ok(());
        }
        self.hold_to_approval(id, step)?;
        let Some(plan) = self.plan(id, step)? else { return Ok(()) };
        match plan.autonomy {
            Autonomy::Recommend if open_differs && self.outgrown(step.shared::<Known>()?).is_none() => {
                self.propose(id, plan, CHANGED, step);
            }
            Autonomy::Recommend => {}
            Autonomy::Observe | Autonomy::Autonomous => self.start(id, plan, None, None, step),
        }
        Ok(())
    }
}
