//! `/api/proposals`: plans that wait for somebody's approval, and what became of those that were.

use std::sync::Arc;

use axum::{Extension, Json, extract::State, http::HeaderMap};
use impresario_agents::goals::{Goals, Proposal, ProposalAnswered, ProposalOutcome};
use impresario_runtime::AgentError;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    goals::state,
    page::{IdPage, page_of},
    say::{is_repeated, say, taken_in},
};
use crate::{
    app::App,
    http::{JsonBody, PathText, Query, access::Caller, idempotency_key},
    problem::Problem,
};

/// Goals whose proposals are listed.
const GOALS_MAX: usize = 10_000;
/// Characters of a reason.
const REASON_CHARS_MAX: usize = 500;

/// The id of a goal's proposal.
pub(super) fn proposal_id(goal: &str, number: u32) -> String {
    format!("{goal}.{number}")
}

/// One proposal.
#[derive(Serialize, ToSchema)]
struct ProposalView {
    /// Its id: the goal's, a dot, its number.
    id: String,
    /// The goal.
    goal: String,
    /// `open`, `approved`, `rejected`, `expired` or `void`.
    #[schema(value_type = String)]
    outcome: ProposalOutcome,
    /// Why it was proposed.
    because: String,
    /// When, milliseconds since 1970 UTC.
    proposed_at_ms: i64,
    /// From when on it can't be approved any more.
    expires_at_ms: i64,
    /// When it was answered, or became void.
    #[serde(skip_serializing_if = "Option::is_none")]
    closed_at_ms: Option<i64>,
    /// Who answered: a key's id, or `goals`.
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<Box<str>>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<Box<str>>,
    /// People in the audience when it was proposed.
    audience: u64,
    /// Most people the audience may have for it to be approved, and to run on.
    audience_max: u64,
    /// What an approval lets happen, at most: `people`, `messages`, `cost_micros`, `discount_micros`.
    #[schema(value_type = Object)]
    blast_radius: Value,
    /// What is expected, and what that rests on.
    #[schema(value_type = Object)]
    expected: Value,
    /// What would change of what runs: `field`, `from`, `to`.
    #[schema(value_type = Vec<Object>)]
    diff: Value,
    /// What would be in force.
    #[schema(value_type = Object)]
    plan: Value,
}

/// A page of proposals.
#[derive(Serialize, ToSchema)]
struct ProposalList {
    /// The proposals, by id.
    proposals: Vec<ProposalView>,
    /// Where the next page begins; none on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Why a proposal is answered as it is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Reason {
    /// In words, 1 to 500 characters.
    reason: String,
}

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(one)).routes(routes!(approve)).routes(routes!(reject))
}

fn view(proposal: &Proposal) -> ProposalView {
    let proposed = &proposal.proposed;
    ProposalView {
        id: proposal_id(&proposed.goal, proposed.number),
        goal: proposed.goal.to_string(),
        outcome: proposal.outcome,
        because: proposed.because.to_string(),
        proposed_at_ms: proposal.at_ms,
        expires_at_ms: proposed.expires_at_ms,
        closed_at_ms: proposal.closed_at_ms,
        by: proposal.by.clone(),
        why: proposal.why.clone(),
        audience: proposed.audience,
        audience_max: proposal.audience_max(),
        blast_radius: serde_json::to_value(&proposed.blast_radius).unwrap_or_default(),
        expected: serde_json::to_value(&proposed.expected).unwrap_or_default(),
        diff: serde_json::to_value(&proposed.diff).unwrap_or_default(),
        plan: serde_json::to_value(&proposed.plan).unwrap_or_default(),
    }
}

/// All proposals: those that wait, and the newest fifty of each goal.
#[utoipa::path(
    get, path = "/api/proposals", tag = "goals", params(IdPage),
    responses(
        (status = 200, description = "A page of proposals", body = ProposalList),
        (status = 400, description = "Not a page that can be", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn list(State(app): State<Arc<App>>, Query(page): Query<IdPage>) -> Result<Json<ProposalList>, Problem> {
    let read = app.host.read_worker::<Goals, _>(0, |reading| {
        let mut found = Vec::new();
        for id in reading.keys_from(&[], GOALS_MAX)? {
            found.extend(reading.get(&id)?.iter().flat_map(|state| state.proposals.iter().map(view)));
        }
        Ok::<_, AgentError>(found)
    });
    let mut found = read.await??;
    found.sort_by(|one, other| one.id.cmp(&other.id));
    let (proposals, next) = page_of(found, &page, |proposal| &proposal.id);
    Ok(Json(ProposalList { proposals, next }))
}

/// One proposal: what would change, whom it may reach, what may be expected.
#[utoipa::path(
    get, path = "/api/proposals/{id}", tag = "goals",
    params(("id" = String, Path, description = "The proposal's id")),
    responses(
        (status = 200, description = "The proposal", body = ProposalView),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 404, description = "There is no such proposal", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn one(State(app): State<Arc<App>>, PathText(id): PathText) -> Result<Json<ProposalView>, Problem> {
    Ok(Json(view(&found(&app, &id).await?.2)))
}

async fn found(app: &App, id: &str) -> Result<(String, u32, Proposal), Problem> {
    let missing = || Problem::not_found(format!("there is no proposal `{id}`"));
    let (goal, number) = id.rsplit_once('.').ok_or_else(missing)?;
    let number: u32 = number.parse().map_err(|_| missing())?;
    let state = state(app, goal).await?.ok_or_else(missing)?;
    let proposal = state.proposals.into_iter().find(|proposal| proposal.proposed.number == number);
    Ok((goal.to_owned(), number, proposal.ok_or_else(missing)?))
}

/// Approves a proposal: its very plan starts, unless anything has changed since. The first answer counts.
#[utoipa::path(
    post, path = "/api/proposals/{id}/approve", tag = "goals", request_body = Reason,
    params(
        ("id" = String, Path, description = "The proposal's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated one changes nothing"),
    ),
    responses(
        (status = 200, description = "Its plan has started", body = ProposalView),
        (status = 400, description = "No reason", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 404, description = "There is no such proposal", body = Problem),
        (status = 409, description = "It was answered, has expired, or is void, and why", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn approve(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    PathText(id): PathText,
    JsonBody(Reason { reason }): JsonBody<Reason>,
) -> Result<Json<ProposalView>, Problem> {
    answer(&app, &caller, &headers, (id, true, reason)).await
}

/// Rejects a proposal. The first answer counts.
#[utoipa::path(
    post, path = "/api/proposals/{id}/reject", tag = "goals", request_body = Reason,
    params(
        ("id" = String, Path, description = "The proposal's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated one changes nothing"),
    ),
    responses(
        (status = 200, description = "Its plan will not start", body = ProposalView),
        (status = 400, description = "No reason", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 404, description = "There is no such proposal", body = Problem),
        (status = 409, description = "It was answered, has expired, or is void, and why", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn reject(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    PathText(id): PathText,
    JsonBody(Reason { reason }): JsonBody<Reason>,
) -> Result<Json<ProposalView>, Problem> {
    answer(&app, &caller, &headers, (id, false, reason)).await
}

async fn answer(
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    (id, approved, reason): (String, bool, String),
) -> Result<Json<ProposalView>, Problem> {
    if !(1..=REASON_CHARS_MAX).contains(&reason.chars().count()) {
        return Err(Problem::invalid_body(format!("`reason`: 1 to {REASON_CHARS_MAX} characters")));
    }
    let what = if approved { "approve" } else { "reject" };
    let request = idempotency_key(headers, caller, &format!("POST /api/proposals/{id}/{what}"))?;
    let _one_at_a_time = app.defining.lock().await;
    let (goal, number, proposal) = found(app, &id).await?;
    if !is_repeated(app, request) && !proposal.is_open() {
        return Err(closed(&proposal));
    }
    let by: Box<str> = caller.key.id.as_str().into();
    let answered = ProposalAnswered { goal: goal.into(), number, approved, by, reason: reason.into() };
    let seq = say(app, answered, request).await?;
    taken_in::<Goals>(app, seq).await?;
    let (_, _, proposal) = found(app, &id).await?;
    let wanted = if approved { ProposalOutcome::Approved } else { ProposalOutcome::Rejected };
    if proposal.outcome != wanted {
        return Err(closed(&proposal));
    }
    tracing::info!(proposal = id, by = caller.key.id, what, "a proposal was answered");
    Ok(Json(view(&proposal)))
}

fn closed(proposal: &Proposal) -> Problem {
    let outcome = serde_json::to_value(proposal.outcome).unwrap_or_default();
    let why = proposal.why.as_deref().unwrap_or_default();
    Problem::conflict(format!("it is {}: {why}", outcome.as_str().unwrap_or_default()))
}
