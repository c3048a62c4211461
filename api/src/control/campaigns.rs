//! `/api/campaigns`: what runs, what it has spent, what it has learned.

use std::sync::Arc;

use axum::{Json, extract::State};
use impresario_agents::{
    campaigns::{Campaign, Campaigns, Plan, Tally},
    vocabulary::{Arm, DecisionMade},
};
use impresario_runtime::{
    AgentError, Topic,
    store::{Journal, Seq},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    goals::state,
    page::{IdPage, Limit, limit_default, page_of},
};
use crate::{
    app::App,
    http::{PathText, Query},
    problem::Problem,
};

/// Campaigns listed.
const CAMPAIGNS_MAX: usize = 10_000;
/// Entries of the journal looked at for one page of decisions.
const ENTRIES_MAX: u64 = 100_000;

/// What an arm does.
#[derive(Serialize, ToSchema)]
pub(super) struct ArmView {
    /// Its number in the plan; 0 is nothing.
    pub(super) arm: u16,
    /// The template.
    #[serde(skip_serializing_if = "Option::is_none")]
    template: Option<Box<str>>,
    /// The offer.
    #[serde(skip_serializing_if = "Option::is_none")]
    offer: Option<Box<str>>,
    /// By which channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'static str>,
    /// From which hour of the person's day on; none for at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    hour: Option<u8>,
}

/// The arm of this number.
pub(super) fn arm_view(plan: Option<&Plan>, number: u16) -> ArmView {
    let arm: Option<&Arm> = usize::from(number).checked_sub(1).and_then(|place| plan?.arms.get(place));
    ArmView {
        arm: number,
        template: arm.map(|arm| arm.template.clone()),
        offer: arm.and_then(|arm| arm.offer.clone()),
        channel: arm.map(|arm| arm.channel.name()),
        hour: arm.and_then(|arm| arm.hour),
    }
}

/// Decisions and what they came to.
#[derive(Serialize, ToSchema)]
struct TallyView {
    /// How often it was decided.
    decided: u64,
    /// How often nothing was done though something was chosen, or might have been.
    withheld: u64,
    /// Decisions whose attribution window is over.
    rewarded: u64,
    /// Of these, with a message that went out.
    sent: u64,
    /// Conversions.
    conversions: u64,
    /// Clicks.
    clicked: u64,
    /// Unsubscriptions.
    unsubscribed: u64,
    /// Complaints.
    complained: u64,
    /// What was paid, millionths of the currency.
    revenue_micros: i64,
    /// The mean reward; none of fewer than two.
    #[serde(skip_serializing_if = "Option::is_none")]
    mean: Option<f64>,
    /// Its standard error.
    #[serde(skip_serializing_if = "Option::is_none")]
    standard_error: Option<f64>,
}

fn tally_view(tally: &Tally) -> TallyView {
    let mean = tally.mean();
    TallyView {
        decided: tally.decided,
        withheld: tally.withheld,
        rewarded: tally.rewarded,
        sent: tally.sent,
        conversions: tally.conversions,
        clicked: tally.clicked,
        unsubscribed: tally.unsubscribed,
        complained: tally.complained,
        revenue_micros: tally.revenue_micros,
        mean: mean.map(|(mean, _)| mean),
        standard_error: mean.map(|(_, error)| error),
    }
}

/// One arm.
#[derive(Serialize, ToSchema)]
struct ArmStanding {
    #[serde(flatten)]
    arm: ArmView,
    #[serde(flatten)]
    tally: TallyView,
    /// What is believed of it for the average person it was chosen for: the expected reward.
    #[serde(skip_serializing_if = "Option::is_none")]
    posterior_mean: Option<f64>,
    /// The belief's standard deviation.
    #[serde(skip_serializing_if = "Option::is_none")]
    posterior_sd: Option<f64>,
}

/// One group.
#[derive(Serialize, ToSchema)]
struct GroupView {
    /// `policy`, `random` or `holdout`.
    group: &'static str,
    #[serde(flatten)]
    tally: TallyView,
}

/// What the policy chose on one day.
#[derive(Serialize, ToSchema)]
struct AllocationDay {
    /// UTC day since 1970.
    day: i32,
    /// How often each arm was chosen, by number.
    arms: std::collections::BTreeMap<u16, u32>,
}

/// What may still be spent; none where there is no limit.
#[derive(Serialize, ToSchema)]
struct Left {
    /// People it may still reach for the first time.
    people: u64,
    /// Messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<u64>,
    /// What sending may cost, millionths.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_micros: Option<i64>,
    /// What may be given away, millionths.
    #[serde(skip_serializing_if = "Option::is_none")]
    discount_micros: Option<i64>,
    /// Messages set aside that are neither sent nor refused yet.
    on_the_way: u64,
}

/// One campaign, in short.
#[derive(Serialize, ToSchema)]
struct CampaignLine {
    /// Its id, the goal's.
    id: String,
    /// `running`, `stopped` or `ended`.
    status: &'static str,
    /// Arms of its plan.
    arms: usize,
    /// Decisions made.
    decided: u64,
    /// Messages sent.
    sent: u64,
}

/// All campaigns.
#[derive(Serialize, ToSchema)]
struct CampaignList {
    /// The campaigns, by id.
    campaigns: Vec<CampaignLine>,
    /// Where the next page begins; none on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// One campaign.
#[derive(Serialize, ToSchema)]
struct CampaignView {
    #[serde(flatten)]
    line: CampaignLine,
    /// Why it is stopped, or has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<Box<str>>,
    /// The place of the entry that started its plan.
    plan_seq: u64,
    /// The plan in force.
    #[schema(value_type = Object)]
    plan: Value,
    /// What may still be spent.
    left: Left,
    /// All arms, nothing first.
    arms: Vec<ArmStanding>,
    /// The policy, chance and the holdout, side by side.
    groups: Vec<GroupView>,
    /// What the policy chose, by day: how the allocation moves.
    allocation: Vec<AllocationDay>,
    /// What was given up so far, as far as is known: for each decision of the policy, the expected reward of the
    /// arm believed best for the average person, less that of the chosen one.
    #[serde(skip_serializing_if = "Option::is_none")]
    regret: Option<f64>,
    /// Rewards it has learned from.
    learned: u64,
    /// The hash of what it has learned.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
}

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(one)).routes(routes!(decisions))
}

fn line(id: &str, campaign: &Campaign) -> Option<CampaignLine> {
    let plan = campaign.plan.as_ref()?;
    let status = match (&campaign.ended, &campaign.stopped) {
        (Some(_), _) => "ended",
        (None, Some(_)) => "stopped",
        (None, None) => "running",
    };
    let decided = campaign.groups.iter().map(|tally| tally.decided).sum();
    Some(CampaignLine { id: id.to_owned(), status, arms: plan.arms.len(), decided, sent: campaign.sent })
}

fn view(id: &str, campaign: &Campaign) -> Option<CampaignView> {
    let (line, plan) = (line(id, campaign)?, campaign.plan.as_ref()?);
    let taken = &campaign.bounds.taken;
    let budget = &plan.budget;
    let left = Left {
        people: plan.blast_radius.saturating_sub(taken.people),
        messages: budget.messages.map(|most| most.saturating_sub(taken.messages)),
        cost_micros: budget.cost_micros.map(|most| most.saturating_sub(taken.cost_micros).max(0)),
        discount_micros: budget.discount_micros.map(|most| most.saturating_sub(taken.discount_micros).max(0)),
        on_the_way: campaign.bounds.on_the_way,
    };
    let posterior = |arm: u16| campaign.policy.as_ref().and_then(|policy| policy.posterior(arm));
    let arms: Vec<_> = campaign
        .arms
        .iter()
        .zip(0_u16..)
        .map(|(tally, number)| ArmStanding {
            arm: arm_view(Some(plan), number),
            tally: tally_view(tally),
            posterior_mean: posterior(number).map(|posterior| posterior.mean),
            posterior_sd: posterior(number).map(|posterior| posterior.sd),
        })
        .collect();
    let best = arms.iter().filter_map(|arm| arm.posterior_mean).reduce(f64::max);
    let chosen = campaign.days.values().flatten();
    let regret = best.map(|best| {
        let given_up = |arm: u16| posterior(arm).map_or(0.0, |posterior| best - posterior.mean);
        chosen.map(|(arm, times)| given_up(*arm) * f64::from(*times)).sum()
    });
    let groups = ["policy", "random", "holdout"].into_iter().zip(&campaign.groups);
    Some(CampaignView {
        line,
        why: campaign.ended.clone().or_else(|| campaign.stopped.as_ref().map(|stop| stop.why.clone())),
        plan_seq: campaign.plan_seq,
        plan: serde_json::to_value(plan).unwrap_or_default(),
        left,
        arms,
        groups: groups.map(|(group, tally)| GroupView { group, tally: tally_view(tally) }).collect(),
        allocation: campaign.days.iter().map(|(day, arms)| AllocationDay { day: *day, arms: arms.clone() }).collect(),
        regret,
        learned: campaign.policy.as_ref().map_or(0, impresario_agents::models::policy::Policy::learned),
        model: campaign.policy.as_ref().map(impresario_agents::models::policy::Policy::hash),
    })
}

/// All campaigns there are and were.
#[utoipa::path(
    get, path = "/api/campaigns", tag = "campaigns", params(IdPage),
    responses(
        (status = 200, description = "A page of campaigns", body = CampaignList),
        (status = 400, description = "Not a page that can be", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn list(State(app): State<Arc<App>>, Query(page): Query<IdPage>) -> Result<Json<CampaignList>, Problem> {
    let read = app.host.read_worker::<Campaigns, _>(0, |reading| {
        let mut found = Vec::new();
        for id in reading.keys_from(&[], CAMPAIGNS_MAX)? {
            found.extend(reading.get(&id)?.and_then(|campaign| line(&id, campaign)));
        }
        Ok::<_, AgentError>(found)
    });
    let (campaigns, next) = page_of(read.await??, &page, |line| &line.id);
    Ok(Json(CampaignList { campaigns, next }))
}

/// One campaign: its arms, what is believed of each, how the allocation moves, what is left of its bounds.
#[utoipa::path(
    get, path = "/api/campaigns/{id}", tag = "campaigns",
    params(("id" = String, Path, description = "The campaign's id, the goal's")),
    responses(
        (status = 200, description = "The campaign", body = CampaignView),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 404, description = "There is no such campaign", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn one(State(app): State<Arc<App>>, PathText(id): PathText) -> Result<Json<CampaignView>, Problem> {
    let key = id.clone();
    let read = app.host.read::<Campaigns, _>(&id, move |reading| {
        Ok::<_, AgentError>(reading.get(&key)?.and_then(|campaign| view(&key, campaign)))
    });
    let found = read.await??;
    Ok(Json(found.ok_or_else(|| Problem::not_found(format!("there is no campaign `{id}`")))?))
}

/// A page of decisions, the newest first.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct DecisionsPage {
    /// Where the page begins: `next` of the page before.
    cursor: Option<u64>,
    /// At most so many.
    #[serde(default = "limit_default")]
    #[param(value_type = usize, minimum = 1, maximum = 1000, default = 100)]
    limit: Limit,
}

/// One decision, in short.
#[derive(Serialize, ToSchema)]
struct DecisionLine {
    /// Its id.
    id: String,
    /// Whom it is about.
    profile: String,
    /// When it was made, milliseconds since 1970 UTC.
    at_ms: i64,
    /// `policy`, `random` or `holdout`.
    group: Value,
    /// The chosen arm's number; 0 is nothing.
    chosen: u16,
    /// How likely it was chosen.
    propensity: f32,
    /// The guard because of which nothing was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    withheld: Option<Box<str>>,
}

/// A page of decisions.
#[derive(Serialize, ToSchema)]
struct DecisionPage {
    /// The newest first; a page may hold fewer than asked for, or none, and have a next one.
    decisions: Vec<DecisionLine>,
    /// Where the next page begins; none once all of the past was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
}

/// A campaign's decisions, the newest first, out of the journal.
#[utoipa::path(
    get, path = "/api/campaigns/{id}/decisions", tag = "campaigns",
    params(("id" = String, Path, description = "The campaign's id, the goal's"), DecisionsPage),
    responses(
        (status = 200, description = "A page of decisions", body = DecisionPage),
        (status = 400, description = "Not a page that can be", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 404, description = "There is no such campaign", body = Problem),
        (status = 503, description = "The journal can't be read now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn decisions(
    State(app): State<Arc<App>>,
    PathText(id): PathText,
    Query(page): Query<DecisionsPage>,
) -> Result<Json<DecisionPage>, Problem> {
    is_known(&app, &id).await?;
    let journal = app.host.journal();
    let from = page.cursor.map_or(journal.head(), |cursor| cursor.min(journal.head()));
    Ok(Json(look_back(journal, &id, from, page.limit.get())?))
}

/// Whether there is, or was, a campaign: one whose plan has not started yet has no decisions.
async fn is_known(app: &App, id: &str) -> Result<(), Problem> {
    let (campaign, key) = (id.to_owned(), id.to_owned());
    let read = app.host.read::<Campaigns, _>(&campaign, move |reading| {
        Ok::<_, AgentError>(reading.get(&key)?.is_some_and(|campaign| campaign.plan.is_some()))
    });
    if read.await?? || state(app, id).await?.is_some_and(|state| state.is_known()) {
        return Ok(());
    }
    Err(Problem::not_found(format!("there is no campaign `{id}`")))
}

fn look_back(journal: &Journal, campaign: &str, from: Seq, limit: usize) -> Result<DecisionPage, Problem> {
    let topic = journal.known_name(DecisionMade::NAME);
    let (mut at, mut decisions) = (from, Vec::new());
    let until = from.saturating_sub(ENTRIES_MAX);
    while at > until && topic.is_some() {
        let Some(chunk) = journal.chunk(at)? else { break };
        for entry in chunk.entries.iter().rev().filter(|entry| entry.seq <= at) {
            if Some(entry.topic) != topic || entry.erased.is_some() {
                continue;
            }
            let made = entry.decode::<DecisionMade>(DecisionMade::VERSION)?;
            if *made.campaign != *campaign {
                continue;
            }
            if decisions.len() == limit {
                return Ok(DecisionPage { decisions, next: Some(entry.seq) });
            }
            decisions.push(DecisionLine {
                id: made.id.to_string(),
                profile: made.profile.to_string(),
                at_ms: entry.at_ms,
                group: serde_json::to_value(made.group).unwrap_or_default(),
                chosen: made.chosen,
                propensity: made.propensity,
                withheld: made.withheld.as_ref().map(|withheld| withheld.guard.clone()),
            });
        }
        at = chunk.first().saturating_sub(1);
    }
    Ok(DecisionPage { decisions, next: Some(at).filter(|at| *at > 0 && topic.is_some()) })
}
