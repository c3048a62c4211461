//! What is said of goals and their proposals on the journal.

use impresario_runtime::{Topic, store::Seq};
use serde::{Deserialize, Serialize};

use super::Goal;
use crate::{campaigns::Plan, vocabulary::Millis};

/// A goal is set, or set anew under the same id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GoalSet {
    /// Its id, of the shape of a segment's; the segment that serves it has the same.
    pub id: Box<str>,
    /// What is wanted.
    pub goal: Goal,
}

impl Topic for GoalSet {
    const NAME: &'static str = "goal.set";
}

/// A goal is given up, its segment and its campaign with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GoalEnded {
    /// Its id.
    pub id: Box<str>,
}

impl Topic for GoalEnded {
    const NAME: &'static str = "goal.ended";
}

/// A goal's campaign is to end, at once; the goal and its segment stay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GoalStopped {
    /// Its id.
    pub id: Box<str>,
    /// Who stopped it: a key's name.
    pub by: Box<str>,
    /// Why.
    pub why: Box<str>,
}

impl Topic for GoalStopped {
    const NAME: &'static str = "goal.stopped";
}

/// A goal's metric as it was when its campaign began: frozen, to be measured against.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GoalBaseline {
    /// The goal.
    pub goal: Box<str>,
    /// The place of the [`CampaignStarted`](crate::campaigns::CampaignStarted) it belongs to.
    pub plan: Seq,
    /// The metric, in its unit: a share from 0 to 1, a number for a person, units of the currency for a person.
    pub value: f64,
    /// Over how many people.
    pub people: u64,
    /// The time it was measured over.
    pub from_ms: Millis,
    /// To here.
    pub until_ms: Millis,
}

impl Topic for GoalBaseline {
    const NAME: &'static str = "goal.baseline";
}

/// How a goal stands, measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GoalProgress {
    /// The goal.
    pub goal: Box<str>,
    /// The place of the [`CampaignStarted`](crate::campaigns::CampaignStarted) it belongs to.
    pub plan: Seq,
    /// The metric now, in the unit of its baseline.
    pub value: f64,
    /// The frozen baseline.
    pub baseline: f64,
    /// Over how many people.
    pub people: u64,
    /// By how much it is better than in the holdout, in the metric's unit, and an interval for that; none
    /// where too little is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lift: Option<[f64; 3]>,
    /// Whether the target is reached, by the measured metric alone.
    pub reached: bool,
}

impl Topic for GoalProgress {
    const NAME: &'static str = "goal.progress";
}

/// What an approval lets happen, at most.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlastRadius {
    /// People it may ever send to.
    pub people: u64,
    /// Messages; none for no limit.
    pub messages: Option<u64>,
    /// What sending may cost, millionths of the currency.
    pub cost_micros: Option<i64>,
    /// What may be given away, millionths.
    pub discount_micros: Option<i64>,
}

/// What is expected of a plan, and what that rests on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Expected {
    /// People to whom something may be sent: the audience without holdout.
    pub people: u64,
    /// Messages within the horizon, or within 30 days where there is none: a decision each time one is due.
    pub messages: u64,
    /// What they cost at most, millionths.
    pub cost_micros: i64,
    /// The smallest difference of a share between those who are sent to and the holdout that would be told
    /// from chance (80 % power at 5 %, base share one half: the worst case); none where one side is empty.
    pub detectable: Option<f64>,
    /// The frozen or last measured metric, where there is one.
    pub baseline: Option<f64>,
    /// What the numbers rest on, in words.
    pub rests_on: Box<str>,
}

/// One difference between what runs and what is proposed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The plan's field.
    pub field: Box<str>,
    /// As it runs; null where nothing runs.
    pub from: serde_json::Value,
    /// As it is proposed.
    pub to: serde_json::Value,
}

/// A plan waits for somebody's approval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanProposed {
    /// The goal.
    pub goal: Box<str>,
    /// Which of its proposals: 1, 2, ...
    pub number: u32,
    /// The place of the goal's [`GoalSet`] it was compiled from.
    pub version: Seq,
    /// What would be in force.
    pub plan: Plan,
    /// What would change.
    pub diff: Vec<Difference>,
    /// What an approval lets happen, at most.
    pub blast_radius: BlastRadius,
    /// People in the audience now.
    pub audience: u64,
    /// What is expected.
    pub expected: Expected,
    /// From when on it can't be approved any more.
    pub expires_at_ms: Millis,
    /// Why it is proposed, in words.
    pub because: Box<str>,
}

impl Topic for PlanProposed {
    const NAME: &'static str = "plan.proposed";
}

/// Somebody who may has answered a proposal. The first answer counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProposalAnswered {
    /// The goal.
    pub goal: Box<str>,
    /// Which of its proposals.
    pub number: u32,
    /// Whether the plan may start.
    pub approved: bool,
    /// Who answers: a key's name.
    pub by: Box<str>,
    /// Why.
    pub reason: Box<str>,
}

impl Topic for ProposalAnswered {
    const NAME: &'static str = "proposal.answered";
}

/// What became of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProposalOutcome {
    /// It waits.
    Open,
    /// Its plan started.
    Approved,
    /// It will not start.
    Rejected,
    /// Nobody answered in time.
    Expired,
    /// The plan, the goal or the audience has changed since.
    Void,
}

/// A proposal can't be answered any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProposalClosed {
    /// The goal.
    pub goal: Box<str>,
    /// Which of its proposals.
    pub number: u32,
    /// What became of it.
    pub outcome: ProposalOutcome,
    /// Who closed it: a key's name, or `goals`.
    pub by: Box<str>,
    /// Why.
    pub why: Box<str>,
}

impl Topic for ProposalClosed {
    const NAME: &'static str = "proposal.closed";
}

/// A proposal's time is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct ProposalLapses {
    pub(super) goal: Box<str>,
    pub(super) number: u32,
}

impl Topic for ProposalLapses {
    const NAME: &'static str = "proposal.lapses";
}

/// Something that may be sent was defined or removed: a page of the worker's goals is looked at for what sends it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ContentReviewed {
    pub(super) worker: u16,
    pub(super) after: Option<String>,
}

impl Topic for ContentReviewed {
    const NAME: &'static str = "goal.content.reviewed";
    const PERSONAL: bool = false;

    fn partition(&self) -> Option<u16> {
        Some(self.worker)
    }
}

/// A goal's horizon is reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct HorizonReached {
    pub(super) goal: Box<str>,
    pub(super) version: Seq,
}

impl Topic for HorizonReached {
    const NAME: &'static str = "goal.horizon";
}

/// Everything a campaign may spend is spent, and nothing of it is still on its way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BudgetSpent {
    /// The campaign.
    pub campaign: Box<str>,
    /// The place of the entry that started the plan.
    pub plan: Seq,
    /// Which budget: `messages`, `cost`, `discounts`, `blast_radius`.
    pub of: Box<str>,
}

impl Topic for BudgetSpent {
    const NAME: &'static str = "campaign.spent";
}
