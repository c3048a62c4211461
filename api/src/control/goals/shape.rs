//! How goals look: as they are set, and as they stand.

use std::collections::BTreeMap;

use impresario_agents::goals::{Goal, GoalState, GoalStopped, Paused, target_note, target_value};
use serde::{Deserialize, Deserializer, Serialize, de::Error};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{
    control::{condition::ConditionSchema, proposals::proposal_id},
    http::json::from_value,
};

/// A goal to be set under an id.
pub(super) struct NewGoal {
    pub(super) id: Box<str>,
    pub(super) goal: Goal,
}

impl<'de> Deserialize<'de> for NewGoal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Map::deserialize(deserializer)?;
        let id = fields.remove("id");
        // A field nobody knows is told before one that is missing.
        let goal = from_value(Value::Object(fields)).map_err(D::Error::custom)?;
        let id = match id {
            Some(Value::String(id)) => id.into(),
            Some(_) => return Err(D::Error::custom("`id`: a text")),
            None => return Err(D::Error::missing_field("id")),
        };
        Ok(Self { id, goal })
    }
}

/// What a goal is to be from now on: as when it is set, without its id.
pub(super) struct ChangedGoal(pub(super) Goal);

impl<'de> Deserialize<'de> for ChangedGoal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Goal::deserialize(deserializer).map(Self)
    }
}

/// A goal to be set.
#[derive(ToSchema)]
#[schema(as = NewGoal)]
#[expect(dead_code, reason = "the shape of a body in the document; `NewGoal` and `ChangedGoal` read it")]
pub(super) struct GoalSchema {
    /// Its id: lowercase letters, digits, `-` and `_`, at most 64. The segment that serves it has the same. Not
    /// where a goal is changed: the path tells it.
    id: Option<String>,
    /// Its name for people, 1 to 200 characters.
    name: String,
    /// `churn_risk`, `orders`, `revenue`, `margin`, `churn`, `retention`, `engagement`, `conversion` or
    /// `lifetime_value`.
    metric: String,
    /// Of `churn_risk`: from which risk on a customer counts as slipping away; 0.9 unless said.
    threshold: Option<f64>,
    /// Whom it is about; everybody unless said.
    #[schema(value_type = Option<ConditionSchema>)]
    audience: Option<Value>,
    /// `increase` or `decrease`; the better way unless said.
    direction: Option<String>,
    /// `{"absolute": 0.2}` or `{"relative": 0.1}`, of the frozen baseline.
    #[schema(value_type = Option<Object>)]
    target: Option<Value>,
    /// The horizon, e.g. `30d`.
    within: Option<String>,
    /// The event of `conversion`.
    event: Option<String>,
    /// Three letters (ISO 4217); missing where the metric is money.
    currency: Option<String>,
    /// The kind of situation that makes a person due: `purchase_intent`, `cart_left`, or one that an agent of your
    /// own tells, with a dot in its name; being in the audience unless said.
    situation: Option<String>,
    /// `email`, `sms`, `push`. A goal with neither channels nor templates nor a journey makes its segment alone.
    channels: Option<Vec<String>>,
    /// The templates it may use.
    templates: Option<Vec<String>>,
    /// The offers it may make, `none` for making none.
    offers: Option<Vec<String>>,
    /// Hours of a person's day at which it may begin to send; at once unless said.
    hours: Option<Vec<u8>>,
    /// The topic of consent its messages belong to.
    topic: Option<String>,
    /// The journey a person begins when due.
    journey: Option<String>,
    /// `{"messages": 1000, "cost_micros": 5000000, "discount_micros": 9000000}`; each none for no limit.
    #[schema(value_type = Option<Object>)]
    budget: Option<Value>,
    /// People it may ever send to.
    blast_radius: Option<u64>,
    /// `unsubscribe_rate_max`, `complaint_rate_max`, `bounce_rate_max`: a campaign that breaks one stops at once.
    #[schema(value_type = Option<Object>)]
    guardrails: Option<Value>,
    /// The share left alone to measure against; 0.1 unless said.
    holdout: Option<f64>,
    /// The share for whom chance decides; 0.05 unless said.
    random_control: Option<f64>,
    /// `observe`, `recommend` (unless said) or `autonomous`.
    autonomy: Option<String>,
    /// `learn` (unless said), `uniform`, `{"fixed": 1}` or `{"ab_then_commit": {"rewards": 200}}`.
    #[schema(value_type = Option<Object>)]
    strategy: Option<Value>,
    /// How long after a decision what happens is put down to it; `3d` unless said.
    attribution: Option<String>,
    /// How long from one decision about a person to the next; `7d` unless said.
    every: Option<String>,
    /// The least likelihood of every arm that may be chosen.
    exploration: Option<f64>,
    /// What one message costs, by channel, in the goal's currency.
    costs: Option<BTreeMap<String, f64>>,
    /// What an offer gives away at most, by offer, in the goal's currency.
    discounts: Option<BTreeMap<String, f64>>,
}

/// Why something is done.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Why {
    /// In words, 1 to 500 characters.
    pub(super) why: String,
}

/// Sending for a goal is stopped.
#[derive(Serialize, ToSchema)]
struct PausedView {
    /// Who stopped it: a key's id, or an agent.
    by: Box<str>,
    /// Why.
    why: Box<str>,
    /// When, milliseconds since 1970 UTC.
    at_ms: i64,
}

/// How a goal's campaign stands.
#[derive(Serialize, ToSchema)]
struct CampaignStanding {
    /// `filling` (its audience is being looked for), `proposed`, `running`, `paused`, `ended` or `waiting`.
    status: &'static str,
    /// The proposal that waits for an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    proposal: Option<String>,
    /// Since when its plan is in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    since_ms: Option<i64>,
    /// The proposal that was approved; none where it started by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    approved: Option<String>,
    /// Most people the audience may have before it must be approved again.
    #[serde(skip_serializing_if = "Option::is_none")]
    audience_max: Option<u64>,
    /// Why nothing is sent though a plan is in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    paused: Option<PausedView>,
    /// Why its last campaign ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_why: Option<Box<str>>,
    /// The metric when the campaign began, frozen.
    #[serde(skip_serializing_if = "Option::is_none")]
    baseline: Option<f64>,
    /// The metric as last measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<f64>,
    /// The value at which the goal is reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    target_value: Option<f64>,
    /// Why the target can't be measured, or may turn out not to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    target_note: Option<&'static str>,
    /// By how much it is better than in the holdout, with an interval: least, likely, most.
    #[serde(skip_serializing_if = "Option::is_none")]
    lift: Option<[f64; 3]>,
    /// Whether the measured metric has reached the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    reached: Option<bool>,
}

/// One goal.
#[derive(Serialize, ToSchema)]
pub(super) struct GoalView {
    /// Its id.
    pub(super) id: String,
    /// What is wanted, as it was set.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    goal: Map<String, Value>,
    /// When it was set, milliseconds since 1970 UTC.
    set_at_ms: i64,
    /// The segment that serves it.
    segment: String,
    /// Members of that segment now.
    size: u64,
    /// Of a goal that acts: how its campaign stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    campaign: Option<CampaignStanding>,
}

/// What only a goal that acts has a use for.
const OF_ACTING: [&str; 5] = ["holdout", "random_control", "autonomy", "attribution", "every"];

pub(super) fn view(id: String, state: &GoalState, size: u64) -> Option<GoalView> {
    let goal = state.goal.as_ref()?;
    let Ok(Value::Object(mut fields)) = serde_json::to_value(goal) else { return None };
    let campaign = goal.acts().then(|| standing(&id, goal, state));
    if campaign.is_none() {
        OF_ACTING.iter().for_each(|field| drop(fields.remove(*field)));
    }
    Some(GoalView { segment: id.clone(), id, goal: fields, set_at_ms: state.set_at_ms, size, campaign })
}

fn standing(id: &str, goal: &Goal, state: &GoalState) -> CampaignStanding {
    let running = state.running.as_ref();
    let proposal = state.open_proposal().map(|open| proposal_id(id, open.proposed.number));
    let status = match running {
        Some(_) if state.paused.is_some() => "paused",
        Some(_) => "running",
        None if !state.is_filled() => "filling",
        None if proposal.is_some() => "proposed",
        None if state.campaign_ended.is_some() => "ended",
        None => "waiting",
    };
    let baseline = state.baseline.as_ref().map(|baseline| baseline.value);
    let progress = state.progress.as_ref();
    let paused = |paused: &Paused| PausedView { by: paused.by.clone(), why: paused.why.clone(), at_ms: paused.at_ms };
    CampaignStanding {
        status,
        proposal,
        since_ms: running.map(|running| running.since_ms),
        approved: running.and_then(|running| running.proposal).map(|number| proposal_id(id, number)),
        audience_max: running.and_then(|running| running.audience_max),
        paused: state.paused.as_ref().filter(|_| running.is_some()).map(paused),
        ended_why: state.campaign_ended.as_ref().map(|(why, _)| why.clone()),
        baseline,
        value: progress.map(|progress| progress.value),
        target_value: baseline.and_then(|baseline| target_value(goal, baseline)),
        target_note: target_note(goal, baseline),
        lift: progress.and_then(|progress| progress.lift),
        reached: progress.map(|progress| progress.reached),
    }
}

/// A goal's campaign is to end.
pub(super) fn stopped(id: &str, by: &str, why: String) -> GoalStopped {
    GoalStopped { id: id.into(), by: by.into(), why: why.into() }
}
