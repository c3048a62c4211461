//! `/api/goals`: what an operator wants, and the segments that serve it.

mod shape;

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use impresario_agents::{
    campaigns::Campaigns,
    content::Catalog,
    goals::{GoalEnded, GoalSet, GoalState, GoalStopped, Goals, Missing, check_goal_id, missing, missing_of, unusable},
    segmentation::check,
    vocabulary::{SendingResumed, SendingStopped, StopScope},
};
use impresario_runtime::{AgentError, Topic, store::Seq};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use self::shape::{ChangedGoal, GoalSchema, GoalView, NewGoal, Why, stopped, view};
use super::{
    content::catalog,
    journeys::is_journey,
    page::{IdPage, page_of},
    say::{Conditions, is_repeated, may_be_id, say, segment_is, taken_in, told_again},
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

/// Characters of a reason.
const WHY_CHARS_MAX: usize = 500;

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
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(one, change, end))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(stop))
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
    let goals = found.into_iter().zip(sizes).filter_map(|((id, state), size)| view(id, &state, size.size));
    Ok(Json(GoalList { goals: goals.collect(), next }))
}

/// Sets a goal. It makes the segment that serves it; one that says what may be done is compiled to a plan, which
/// is proposed, or starts, as its autonomy says.
#[utoipa::path(
    post, path = "/api/goals", tag = "goals", request_body = GoalSchema,
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
    let set = GoalSet { id: new.id, goal: new.goal };
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
    may_be(&app, &set, &standing).await?;
    if standing.contains_key(&set.id) {
        return Err(Problem::conflict(format!("there is a goal or segment `{id}` already")));
    }
    say(&app, set, request).await?;
    segment_is(&app, &id, |version| version.is_some()).await?;
    tracing::info!(goal = id, by = caller.key.id, "a goal was set");
    Ok((StatusCode::CREATED, Json(found(&app, id).await?)))
}

/// Whether a goal may stand: it can be measured and acted on, what it names is there, and its segment may stand.
async fn may_be(app: &App, set: &GoalSet, standing: &Conditions) -> Result<(), Problem> {
    let mut found = missing(&set.goal);
    let goal = set.goal.clone();
    let named =
        move |catalog: &Catalog| missing_of(&goal, catalog).into_iter().chain(unusable(&goal, catalog)).collect();
    let named: Vec<Missing> = catalog(app, named).await?;
    found.extend(named);
    if let Some(journey) = &set.goal.journey
        && !is_journey(app, journey).await?
    {
        found.push(Missing { field: "journey".into(), why: format!("there is no journey `{journey}`") });
    }
    if !found.is_empty() {
        let all: Vec<_> = found.iter().map(ToString::to_string).collect();
        return Err(Problem::invalid_body(all.join("; ")));
    }
    Ok(check(&set.goal.segment(&set.id), standing)?)
}

/// Sets a goal anew. What runs goes on until its new plan is approved, unless the audience has changed or its
/// autonomy was lowered: then it ends at once. A proposal that waits is void.
#[utoipa::path(
    put, path = "/api/goals/{id}", tag = "goals", request_body = GoalSchema,
    params(
        ("id" = String, Path, description = "The goal's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated one changes nothing"),
    ),
    responses(
        (status = 200, description = "It is set", body = GoalView),
        (status = 400, description = "Not a goal that can be, and what is missing", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 404, description = "There is no such goal", body = Problem),
        (status = 409, description = "The key belongs to another goal", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn change(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    PathText(id): PathText,
    JsonBody(ChangedGoal(goal)): JsonBody<ChangedGoal>,
) -> Result<Json<GoalView>, Problem> {
    let request = idempotency_key(&headers, &caller, &format!("PUT /api/goals/{id}"))?;
    let set = GoalSet { id: id.as_str().into(), goal };
    let _one_at_a_time = app.defining.lock().await;
    if let Some((seq, first)) = told_again::<GoalSet>(&app, request)? {
        if first != set {
            return Err(Problem::conflict("this `Idempotency-Key` belongs to another goal"));
        }
        taken_in::<Goals>(&app, seq).await?;
        return Ok(Json(found(&app, id).await?));
    }
    found(&app, id.clone()).await?;
    may_be(&app, &set, &conditions(&app).await?).await?;
    let seq = say(&app, set, request).await?;
    segment_is(&app, &id, |version| version.is_some_and(|version| version >= seq)).await?;
    tracing::info!(goal = id, by = caller.key.id, "a goal was changed");
    Ok(Json(found(&app, id).await?))
}

/// Stops sending for a goal, at once, until it is resumed. Decisions are recorded and nothing is sent.
#[utoipa::path(
    post, path = "/api/goals/{id}/pause", tag = "goals", request_body = Why,
    params(
        ("id" = String, Path, description = "The goal's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated one changes nothing"),
    ),
    responses(
        (status = 200, description = "Nothing is sent for it", body = GoalView),
        (status = 400, description = "No reason", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 404, description = "There is no such goal", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn pause(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    PathText(id): PathText,
    JsonBody(Why { why }): JsonBody<Why>,
) -> Result<Json<GoalView>, Problem> {
    check_why(&why)?;
    let scope = StopScope::Campaign(id.as_str().into());
    let stopped = SendingStopped { scope, by: caller.key.id.as_str().into(), why: why.into() };
    told(&app, &caller, &headers, ("pause", id), stopped).await
}

/// Lets sending for a goal go on. What was stopped because its audience outgrew what was approved is approved
/// again by its proposal, not by this.
#[utoipa::path(
    post, path = "/api/goals/{id}/resume", tag = "goals",
    params(
        ("id" = String, Path, description = "The goal's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated one changes nothing"),
    ),
    responses(
        (status = 200, description = "It may send again", body = GoalView),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 404, description = "There is no such goal", body = Problem),
        (status = 409, description = "Its audience has outgrown what was approved", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn resume(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    PathText(id): PathText,
) -> Result<Json<GoalView>, Problem> {
    is_outgrown(&app, &id).await?;
    let scope = StopScope::Campaign(id.as_str().into());
    let resumed = SendingResumed { scope, by: caller.key.id.as_str().into() };
    told(&app, &caller, &headers, ("resume", id), resumed).await
}

/// Ends a goal's campaign, at once and for good; the goal and its segment stay. Setting the goal anew proposes,
/// or starts, another one.
#[utoipa::path(
    post, path = "/api/goals/{id}/stop", tag = "goals", request_body = Why,
    params(
        ("id" = String, Path, description = "The goal's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated one changes nothing"),
    ),
    responses(
        (status = 200, description = "Its campaign has ended", body = GoalView),
        (status = 400, description = "No reason", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 404, description = "There is no such goal", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn stop(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    PathText(id): PathText,
    JsonBody(Why { why }): JsonBody<Why>,
) -> Result<Json<GoalView>, Problem> {
    check_why(&why)?;
    let stopped: GoalStopped = stopped(&id, &caller.key.id, why);
    told(&app, &caller, &headers, ("stop", id), stopped).await
}

fn check_why(why: &str) -> Result<(), Problem> {
    if (1..=WHY_CHARS_MAX).contains(&why.chars().count()) {
        return Ok(());
    }
    Err(Problem::invalid_body(format!("`why`: 1 to {WHY_CHARS_MAX} characters")))
}

/// Says what is to be done with a goal's campaign, and waits until those who must know have heard it.
async fn told<T: Topic>(
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    (what, id): (&'static str, String),
    topic: T,
) -> Result<Json<GoalView>, Problem> {
    let request = idempotency_key(headers, caller, &format!("POST /api/goals/{id}/{what}"))?;
    found(app, id.clone()).await?;
    let seq: Seq = say(app, topic, request).await?;
    taken_in::<Goals>(app, seq).await?;
    taken_in::<Campaigns>(app, seq).await?;
    tracing::info!(goal = id, by = caller.key.id, what, "a goal's campaign was steered");
    Ok(Json(found(app, id).await?))
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

/// A goal as it stands, ended or not.
pub(super) async fn state(app: &App, id: &str) -> Result<Option<GoalState>, Problem> {
    let (id, key) = (id.to_owned(), id.to_owned());
    let read = app.host.read::<Goals, _>(&id, move |reading| Ok::<_, AgentError>(reading.get(&key)?.cloned()));
    Ok(read.await??)
}

/// Refuses where a goal's audience has outgrown what was approved: whoever resumes it does not approve it.
pub(super) async fn is_outgrown(app: &App, id: &str) -> Result<(), Problem> {
    let most = state(app, id).await?.and_then(|state| {
        let most = state.running.as_ref()?.audience_max?;
        (state.audience > most).then_some((state.audience, most))
    });
    let Some((now, most)) = most else { return Ok(()) };
    let detail = format!("the audience has {now} people, {most} were approved; approve its proposal instead");
    Err(Problem::conflict(detail))
}

async fn found(app: &App, id: String) -> Result<GoalView, Problem> {
    let state = state(app, &id).await?.unwrap_or_default();
    let size = sizes(app, vec![id.clone()]).await?.into_iter().next().unwrap_or_default();
    let missing = Problem::not_found(format!("there is no goal `{id}`"));
    view(id, &state, size.size).ok_or(missing)
}
