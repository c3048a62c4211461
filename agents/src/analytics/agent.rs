//! The agent that keeps the sums of each campaign.

use impresario_runtime::{Agent, AgentError, Event, On, Routes, Step};

use super::{
    report::Report,
    topics::{BaselineWanted, OutcomeCounted, ProgressDue},
};
use crate::{
    campaigns::{CampaignEnded, CampaignStarted, Plan},
    goals::{GoalBaseline, GoalProgress, GoalSet, Metric},
    segmentation::Span,
    vocabulary::{
        DAY_MS, DecisionMade, DecisionRequested, Delivered, MessageRefused, MessageReturned, MessageSent, Millis,
        ReceiptCame, RewardObserved,
    },
};

/// How often a goal is measured at most.
const PROGRESS_EVERY_MS: Millis = 3_600_000;
/// How far back a baseline looks where the goal has no horizon.
const BASELINE_MS: Millis = 30 * DAY_MS;

/// The agent; its keys are campaigns.
pub struct Analytics;

impl Agent for Analytics {
    const NAME: &'static str = "analytics";
    type Key = String;
    type State = Report;
    /// 2: messages are counted by arm when they are sent, not when their attribution window is over.
    const STATE_VERSION: u8 = 2;

    fn routes(routes: &mut Routes<Self>) {
        let of = |campaign: &Option<Box<str>>| campaign.as_ref().map(ToString::to_string);
        routes.on(|set: &GoalSet| set.id.to_string());
        routes.on(|started: &CampaignStarted| started.campaign.to_string());
        routes.on(|ended: &CampaignEnded| ended.campaign.to_string());
        routes.on(|asked: &DecisionRequested| asked.campaign.to_string());
        routes.on(|made: &DecisionMade| made.campaign.to_string());
        routes.on_some(move |sent: &MessageSent| of(&sent.campaign));
        routes.on_some(move |refused: &MessageRefused| of(&refused.campaign));
        routes.on_some(move |returned: &MessageReturned| of(&returned.campaign));
        routes.on_some(move |delivered: &Delivered| of(&delivered.campaign));
        routes.on_some(move |came: &ReceiptCame| of(&came.campaign));
        routes.on(|reward: &RewardObserved| reward.campaign.to_string());
        routes.on(|counted: &OutcomeCounted| counted.campaign.to_string());
        routes.on(|baseline: &GoalBaseline| baseline.goal.to_string());
        routes.on(|due: &ProgressDue| due.campaign.to_string());
    }
}

/// Something has changed: the goal is measured again, not at once.
fn changed(report: &mut Report, campaign: &str, step: &mut Step<'_>) {
    report.changed = true;
    if !std::mem::replace(&mut report.due, true) {
        step.schedule(step.now_ms() + PROGRESS_EVERY_MS, &ProgressDue { campaign: campaign.into() });
    }
}

fn add(counts: &mut std::collections::BTreeMap<Box<str>, u64>, name: &str) {
    if let Some(count) = counts.get_mut(name) {
        *count += 1;
    } else {
        counts.insert(name.into(), 1);
    }
}

impl On<GoalSet> for Analytics {
    fn on(&self, report: &mut Report, event: &Event<'_, GoalSet>, _: &mut Step<'_>) -> Result<(), AgentError> {
        report.goal = Some(event.goal.clone());
        Ok(())
    }
}

impl On<CampaignStarted> for Analytics {
    fn on(
        &self,
        report: &mut Report,
        event: &Event<'_, CampaignStarted>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let numbers_stay = |(_, plan): &(_, Plan)| event.plan.arms.starts_with(&plan.arms);
        if event.revises && report.plan.as_ref().is_some_and(numbers_stay) {
            // The campaign runs on, and so does what is measured of it.
            report.plan = Some((event.seq, event.plan.clone()));
            return Ok(());
        }
        let goal = report.goal.take();
        let horizon = goal.as_ref().and_then(|goal| goal.within).map_or(BASELINE_MS, Span::ms);
        let metric = goal.as_ref().map_or(Metric::Orders, |goal| goal.metric);
        let plan = &event.plan;
        step.offload(&BaselineWanted {
            campaign: event.campaign.clone(),
            plan: event.seq,
            audience: plan.audience.clone(),
            from_ms: event.at_ms.saturating_sub(horizon),
            until_ms: event.at_ms,
            currency: plan.reward.currency.clone(),
            event: plan.reward.event.clone(),
            metric,
        });
        // A timer that is set may come all the same.
        let due = report.due;
        let (plan, began, since_ms) = (Some((event.seq, plan.clone())), event.seq, event.at_ms);
        *report = Report { goal, plan, began, since_ms, due, ..Report::default() };
        Ok(())
    }
}

impl On<CampaignEnded> for Analytics {
    fn on(&self, report: &mut Report, event: &Event<'_, CampaignEnded>, _: &mut Step<'_>) -> Result<(), AgentError> {
        report.ended_ms = Some(event.at_ms);
        Ok(())
    }
}

impl On<DecisionRequested> for Analytics {
    fn on(
        &self,
        report: &mut Report,
        event: &Event<'_, DecisionRequested>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let mut any = false;
        for verdict in &event.channels {
            if let Some(by) = &verdict.refused {
                add(&mut report.channel(verdict.channel).refused_before, &by.guard);
                any = true;
            }
        }
        if !any {
            step.unchanged();
        }
        Ok(())
    }
}

impl On<DecisionMade> for Analytics {
    fn on(&self, report: &mut Report, event: &Event<'_, DecisionMade>, step: &mut Step<'_>) -> Result<(), AgentError> {
        if event.plan < report.began {
            // Of a campaign before this one.
            step.unchanged();
            return Ok(());
        }
        let row = report.arm(event.group, event.chosen);
        row.decisions += 1;
        row.explored += u64::from(event.explored);
        if let Some(by) = &event.withheld {
            add(&mut report.withheld, &by.guard);
        }
        Ok(())
    }
}

impl On<MessageSent> for Analytics {
    fn on(&self, report: &mut Report, event: &Event<'_, MessageSent>, _: &mut Step<'_>) -> Result<(), AgentError> {
        let row = report.channel(event.channel);
        row.sent += 1;
        match event.arm {
            Some((group, arm)) => report.arm(group, arm).sent += 1,
            None => row.of_journeys += 1,
        }
        Ok(())
    }
}

impl On<MessageReturned> for Analytics {
    fn on(&self, report: &mut Report, event: &Event<'_, MessageReturned>, _: &mut Step<'_>) -> Result<(), AgentError> {
        let row = report.channel(event.channel);
        row.sent = row.sent.saturating_sub(1);
        row.returned += 1;
        let apart = match event.arm {
            Some((group, arm)) => &mut report.arm(group, arm).sent,
            None => &mut row.of_journeys,
        };
        *apart = apart.saturating_sub(1);
        Ok(())
    }
}

impl On<MessageRefused> for Analytics {
    fn on(&self, report: &mut Report, event: &Event<'_, MessageRefused>, _: &mut Step<'_>) -> Result<(), AgentError> {
        add(&mut report.channel(event.channel).refused, &event.by.guard);
        Ok(())
    }
}

impl On<Delivered> for Analytics {
    fn on(&self, report: &mut Report, event: &Event<'_, Delivered>, step: &mut Step<'_>) -> Result<(), AgentError> {
        if event.held.is_some() {
            // That it goes back is said by whoever takes it back.
            step.unchanged();
            return Ok(());
        }
        let row = report.channel(event.channel);
        match event.failed {
            Some(_) => row.failed += 1,
            None => row.delivered += 1,
        }
        Ok(())
    }
}

impl On<ReceiptCame> for Analytics {
    fn on(&self, report: &mut Report, event: &Event<'_, ReceiptCame>, _: &mut Step<'_>) -> Result<(), AgentError> {
        let what = format!("{:?}", event.kind).to_lowercase();
        let what = if event.machine { format!("machine_{what}") } else { what };
        add(&mut report.channel(event.channel).receipts, &what);
        Ok(())
    }
}

impl On<RewardObserved> for Analytics {
    fn on(
        &self,
        report: &mut Report,
        event: &Event<'_, RewardObserved>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        if event.plan < report.began {
            step.unchanged();
            return Ok(());
        }
        let outcome = &event.outcome;
        let row = report.arm(event.group, event.chosen);
        row.rewarded += 1;
        row.opened += u64::from(outcome.opened);
        row.clicked += u64::from(outcome.clicked);
        row.converted += u64::from(outcome.conversions > 0);
        row.unsubscribed += u64::from(outcome.unsubscribed);
        row.complained += u64::from(outcome.complained);
        row.revenue_micros += outcome.revenue_micros;
        row.discount_micros += outcome.discount_micros;
        row.cost_micros += outcome.cost_micros;
        row.reward_micros += (f64::from(event.reward) * 1e6).round() as i64;
        Ok(())
    }
}

impl On<OutcomeCounted> for Analytics {
    fn on(
        &self,
        report: &mut Report,
        event: &Event<'_, OutcomeCounted>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        if report.plan.is_none() || report.began != event.plan {
            // Of a campaign before this one.
            step.unchanged();
            return Ok(());
        }
        report.count(event.cell, event.people, &event.did);
        changed(report, &event.campaign, step);
        Ok(())
    }
}

impl On<GoalBaseline> for Analytics {
    fn on(&self, report: &mut Report, event: &Event<'_, GoalBaseline>, step: &mut Step<'_>) -> Result<(), AgentError> {
        let own = report.plan.is_some() && report.began == event.plan;
        if own && report.baseline.is_none() {
            report.baseline = Some(event.body.clone());
        } else {
            step.unchanged();
        }
        Ok(())
    }
}

impl On<ProgressDue> for Analytics {
    fn on(&self, report: &mut Report, event: &Event<'_, ProgressDue>, step: &mut Step<'_>) -> Result<(), AgentError> {
        report.due = false;
        let (Some((plan, _)), Some(baseline)) = (&report.plan, &report.baseline) else {
            // The baseline is still being looked for.
            changed(report, &event.campaign, step);
            return Ok(());
        };
        if report.ended_ms.is_some() || !report.changed {
            return Ok(());
        }
        if let Some(measured) = report.measured() {
            step.publish(GoalProgress {
                goal: event.campaign.clone(),
                plan: *plan,
                value: measured.value,
                baseline: baseline.value,
                people: measured.people,
                lift: measured.over_holdout.map(|lift| [lift.value, lift.low, lift.high]),
                reached: measured.reached,
            });
        }
        report.changed = false;
        Ok(())
    }
}
