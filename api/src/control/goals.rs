//! `/api/goals`: what an operator wants, and the segments that serve it.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use impresario_agents::{
    goals::{Goal, GoalEnded, GoalSet, GoalState, Goals, Metric, check_goal_id},
    segmentation::{Condition, check},
};
use impresario_runtime::AgentError;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    condition::ConditionSchema,
    page::{IdPage, page_of},
    say::{is_repeated, may_be_id, say, segment_is, taken_in, told_again},
    segments::{conditions, sizes},
};
use crate::{
    app::App,
    http::{JsonBody, PathText, Query, access::Caller, idempotency_key},
    problem::Problem,
};

/// Goals listed at most; each has a segment, of which there are no more.
const GOALS_MAX: usize = 1_000;
/// Goals looked at for the list: those that have ended keep their record.
const RECORDS_MAX: usize = 10_000;

/// What a goal is measured by.
#[derive(Clone, Copy, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum MetricName {
    /// Who is slipping away: customers whose time since their last order is long for their own rhythm.
    ChurnRisk,
}

/// A goal to be set.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewGoal {
    /// Its id: lowercase letters, digits, `-` and `_`, at most 64. The segment that serves it has the same.
    #[schema(value_type = String)]
    id: Box<str>,
    /// Its name for people, 1 to 200 characters.
    #[schema(value_type = String)]
    name: Box<str>,
    /// What it is measured by.
    metric: MetricName,
    /// From which risk on a customer counts as slipping away, above 0 and below 1; 0.9 unless said.
    #[serde(default)]
    threshold: Option<f64>,
    /// Whom it is about; everybody unless said.
    #[serde(default)]
    #[schema(value_type = Option<ConditionSchema>)]
    audience: Option<Condition>,
}

/// One goal.
#[derive(Serialize, ToSchema)]
struct GoalView {
    /// Its id.
    id: String,
    /// Its name for people.
    name: String,
    /// What it is measured by.
    metric: MetricName,
    /// From which risk on a customer counts as slipping away.
    threshold: f64,
    /// Whom it is about; everybody where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<ConditionSchema>)]
    audience: Option<Condition>,
    /// When it was set, milliseconds since 1970 UTC.
    set_at_ms: i64,
    /// The segment that serves it.
    segment: String,
    /// Members of that segment now.
    size: u64,
}

/// All goals.
#[derive(Serialize, ToSchema)]
struct GoalList {
    /// The goals, by id.
    goals: Vec<GoalView>,
    /// Where the next page begins; none on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(one, end))
}

/// All goals that have not ended.
#[utoipa::path(
    get, path = "/api/goals", tag = "goals", params(IdPage),
    responses(
        (status = 200, description = "A page of goals", body = GoalList),
        (status = 400, description = "Not a page that can be", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn list(State(app): State<Arc<App>>, Query(page): Query<IdPage>) -> Result<Json<GoalList>, Problem> {
    let found = app.host.read_worker::<Goals, _>(0, |reading| {
        let mut found = Vec::new();
        for id in reading.keys_from(&[], RECORDS_MAX)? {
            let state = reading.get(&id)?.filter(|state| state.goal.is_some()).cloned();
            found.extend(state.map(|state| (id, state)));
            if found.len() == GOALS_MAX {
                break;
            }
        }
        Ok::<_, AgentError>(found)
    });
    let (found, next) = page_of(found.await??, &page, |(id, _)| id);
    let sizes = sizes(&app, found.iter().map(|(id, _)| id.clone()).collect()).await?;
    let goals = found.into_iter().zip(sizes).filter_map(|((id, state), size)| view(id, state, size.size));
    Ok(Json(GoalList { goals: goals.collect(), next }))
}

/// Sets a goal. It makes the segment that serves it.
#[utoipa::path(
    post, path = "/api/goals", tag = "goals", request_body = NewGoal,
    params(("Idempotency-Key" = Option<String>, Header, description = "A repeated one is answered as the first was")),
    responses(
        (status = 201, description = "It is set", body = GoalView),
        (status = 400, description = "Not a goal that can be, and what is missing", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 409, description = "There is a goal or segment of this id, or too many", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn create(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    JsonBody(new): JsonBody<NewGoal>,
) -> Result<(StatusCode, Json<GoalView>), Problem> {
    let request = idempotency_key(&headers, &caller, "POST /api/goals")?;
    let id = new.id.to_string();
    let set = goal_of(new);
    let _one_at_a_time = app.defining.lock().await;
    if let Some((seq, first)) = told_again::<GoalSet>(&app, request)? {
        if first != set {
            return Err(Problem::conflict("this `Idempotency-Key` belongs to another goal"));
        }
        taken_in::<Goals>(&app, seq).await?;
        return Ok((StatusCode::CREATED, Json(found(&app, id).await?)));
    }
    check_goal_id(&set.id)?;
    may_be_id(&set.id)?;
    let standing = conditions(&app).await?;
    check(&set.goal.segment(&set.id), &standing)?;
    if standing.contains_key(&set.id) {
        return Err(Problem::conflict(format!("there is a goal or segment `{id}` already")));
    }
    say(&app, set, request).await?;
    segment_is(&app, &id, |version| version.is_some()).await?;
    tracing::info!(goal = id, by = caller.key.id, "a goal was set");
    Ok((StatusCode::CREATED, Json(found(&app, id).await?)))
}

fn goal_of(new: NewGoal) -> GoalSet {
    let NewGoal { id, name, metric: MetricName::ChurnRisk, threshold, audience } = new;
    let threshold = threshold.unwrap_or_else(impresario_agents::goals::threshold);
    GoalSet { id, goal: Goal { threshold, audience, ..Goal::new(&name, Metric::ChurnRisk) } }
}

/// One goal.
#[utoipa::path(
    get, path = "/api/goals/{id}", tag = "goals",
    params(("id" = String, Path, description = "The goal's id")),
    responses(
        (status = 200, description = "The goal", body = GoalView),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 404, description = "There is no such goal", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn one(State(app): State<Arc<App>>, PathText(id): PathText) -> Result<Json<GoalView>, Problem> {
    Ok(Json(found(&app, id).await?))
}

/// Ends a goal; the segment that serves it goes with it.
#[utoipa::path(
    delete, path = "/api/goals/{id}", tag = "goals",
    params(
        ("id" = String, Path, description = "The goal's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated one changes nothing"),
    ),
    responses(
        (status = 204, description = "It has ended"),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 404, description = "There is no such goal", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn end(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    PathText(id): PathText,
) -> Result<StatusCode, Problem> {
    let request = idempotency_key(&headers, &caller, &format!("DELETE /api/goals/{id}"))?;
    let _one_at_a_time = app.defining.lock().await;
    if is_repeated(&app, request) {
        return Ok(StatusCode::NO_CONTENT);
    }
    found(&app, id.clone()).await?;
    say(&app, GoalEnded { id: id.as_str().into() }, request).await?;
    segment_is(&app, &id, |version| version.is_none()).await?;
    tracing::info!(goal = id, by = caller.key.id, "a goal was ended");
    Ok(StatusCode::NO_CONTENT)
}

async fn found(app: &App, id: String) -> Result<GoalView, Problem> {
    let key = id.clone();
    let state = app.host.read::<Goals, _>(&id, move |reading| Ok::<_, AgentError>(reading.get(&key)?.cloned()));
    let state = state.await??.unwrap_or_default();
    let size = sizes(app, vec![id.clone()]).await?.into_iter().next().unwrap_or_default();
    let missing = Problem::not_found(format!("there is no goal `{id}`"));
    view(id, state, size.size).ok_or(missing)
}

fn view(id: String, state: GoalState, size: u64) -> Option<GoalView> {
    let Goal { name, threshold, audience, .. } = state.goal?;
    let (name, metric) = (name.into(), MetricName::ChurnRisk);
    Some(GoalView { segment: id.clone(), id, name, metric, threshold, audience, set_at_ms: state.set_at_ms, size })
}
