//! Proposals of one goal: made, answered once, expired, void.

use impresario_runtime::{Step, store::TimerKey};
use serde::{Deserialize, Serialize};

use super::{
    Known,
    compile::audience_max,
    content::renumber,
    estimate::{blast_radius, difference, expected},
    state::GoalState,
    topics::{PlanProposed, ProposalAnswered, ProposalClosed, ProposalLapses, ProposalOutcome},
};
use crate::{
    campaigns::Plan,
    vocabulary::{DAY_MS, Millis},
};

/// How long a proposal may be answered.
pub const PROPOSAL_LASTS_MS: Millis = 7 * DAY_MS;
/// Why a plan is not what it was.
pub(super) const CHANGED: &str = "a template, an offer or the journey it would send was changed since";
/// Proposals kept of one goal, the newest.
pub const PROPOSALS_MAX: usize = 50;

/// One proposal and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proposal {
    /// What was proposed.
    pub proposed: PlanProposed,
    /// When.
    pub at_ms: Millis,
    /// What became of it.
    pub outcome: ProposalOutcome,
    /// When it was closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at_ms: Option<Millis>,
    /// Who closed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Box<str>>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<Box<str>>,
    pub(super) timer: TimerKey,
}

impl Proposal {
    /// Whether it waits for an answer.
    pub fn is_open(&self) -> bool {
        self.outcome == ProposalOutcome::Open
    }

    /// Most people the audience may have for it to be approved, and to run on.
    pub fn audience_max(&self) -> u64 {
        audience_max(self.proposed.audience)
    }
}

impl GoalState {
    /// Proposes `plan`; what was proposed before and not answered is void.
    pub(super) fn propose(&mut self, id: &str, mut plan: Plan, because: &str, step: &mut Step<'_>) {
        let Some(goal) = &self.goal else { return };
        if let Some(running) = &self.running {
            renumber(&mut plan, &running.plan);
        }
        let baseline = self.progress.as_ref().map(|progress| progress.value);
        let baseline = baseline.or(self.baseline.as_ref().map(|baseline| baseline.value));
        let proposed = PlanProposed {
            goal: id.into(),
            number: self.numbers.saturating_add(1),
            version: self.version,
            diff: difference(self.running.as_ref().map(|running| &running.plan), &plan),
            blast_radius: blast_radius(&plan),
            audience: self.audience,
            expected: expected(goal, &plan, self.audience, baseline),
            expires_at_ms: step.now_ms().saturating_add(PROPOSAL_LASTS_MS),
            because: because.into(),
            plan,
        };
        let why = format!("another plan was proposed: {because}");
        self.close_open(id, ProposalOutcome::Void, "goals", &why, step);
        self.numbers = proposed.number;
        let lapses = ProposalLapses { goal: id.into(), number: proposed.number };
        let timer = step.schedule(proposed.expires_at_ms, &lapses);
        self.proposals.push(Proposal {
            proposed: proposed.clone(),
            at_ms: step.now_ms(),
            outcome: ProposalOutcome::Open,
            closed_at_ms: None,
            by: None,
            why: None,
            timer,
        });
        let surplus = self.proposals.len().saturating_sub(PROPOSALS_MAX);
        self.proposals.drain(..surplus);
        step.publish(proposed);
    }

    /// Closes the proposal that waits, if one does.
    pub(super) fn close_open(&mut self, id: &str, outcome: ProposalOutcome, by: &str, why: &str, step: &mut Step<'_>) {
        if let Some(proposal) = self.proposals.iter_mut().rev().find(|proposal| proposal.is_open()) {
            proposal.outcome = outcome;
            proposal.closed_at_ms = Some(step.now_ms());
            proposal.by = Some(by.into());
            proposal.why = Some(why.into());
            step.cancel(proposal.timer);
            let number = proposal.proposed.number;
            step.publish(ProposalClosed { goal: id.into(), number, outcome, by: by.into(), why: why.into() });
        }
    }

    /// What an answer comes to. `None` where the proposal it answers does not wait: the first answer counts.
    pub(super) fn answer(
        &self,
        answer: &ProposalAnswered,
        known: &Known,
        now_ms: Millis,
    ) -> Option<(ProposalOutcome, Box<str>)> {
        let open = self.open_proposal().filter(|open| open.proposed.number == answer.number)?;
        if !answer.approved {
            return Some((ProposalOutcome::Rejected, answer.reason.clone()));
        }
        let void = |why: String| Some((ProposalOutcome::Void, why.into()));
        if now_ms >= open.proposed.expires_at_ms {
            return Some((ProposalOutcome::Expired, "nobody answered in time".into()));
        }
        if open.proposed.version != self.version || self.goal.is_none() {
            return void("the goal was changed since".into());
        }
        if !known.stands(&open.proposed.plan) {
            return void(CHANGED.into());
        }
        if self.audience > open.audience_max() {
            let (now, then) = (self.audience, open.proposed.audience);
            return void(format!("the audience has grown from {then} to {now} people since"));
        }
        Some((ProposalOutcome::Approved, answer.reason.clone()))
    }
}
