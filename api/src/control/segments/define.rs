//! Segments are defined, defined anew, and removed.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use impresario_agents::segmentation::{Condition, Definitions, SegmentDefined, SegmentRemoved, Segmentation, check};
use impresario_runtime::{
    Agent, Topic, new_entry,
    store::{Commit, Durability, OUTSIDE, RequestKey, Seq},
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{SegmentView, segment, standing, view};
use crate::{
    app::App,
    control::condition::ConditionSchema,
    http::{JsonBody, PathText, access::Caller, idempotency_key},
    problem::Problem,
};

/// How long an answer waits for the agent to take in what was said.
const TAKEN_IN_WITHIN: Duration = Duration::from_secs(3);
/// How often it is asked.
const ASKED_EVERY: Duration = Duration::from_millis(5);

/// The conditions that stand, by segment.
pub(in crate::control) type Conditions = BTreeMap<Box<str>, Condition>;

/// A segment to be defined.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewSegment {
    /// Its id: lowercase letters, digits, `-` and `_`, at most 64.
    #[schema(value_type = String)]
    id: Box<str>,
    /// Its name for people, 1 to 200 characters.
    #[schema(value_type = String)]
    name: Box<str>,
    /// Who is in it.
    #[schema(value_type = ConditionSchema)]
    condition: Condition,
}

/// What a segment is to be from now on.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ChangedSegment {
    /// Its name for people, 1 to 200 characters.
    #[schema(value_type = String)]
    name: Box<str>,
    /// Who is in it.
    #[schema(value_type = ConditionSchema)]
    condition: Condition,
}

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(create)).routes(routes!(put, remove))
}

/// Defines a segment. Its past is looked at in the background; `progress` tells how far.
#[utoipa::path(
    post, path = "/api/segments", tag = "segments", request_body = NewSegment,
    params(("Idempotency-Key" = Option<String>, Header, description = "A repeated one is answered as the first was")),
    responses(
        (status = 201, description = "It stands", body = SegmentView),
        (status = 400, description = "Not a definition that can be, and where", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 409, description = "There is one of this id, or too many", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn create(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    JsonBody(new): JsonBody<NewSegment>,
) -> Result<(StatusCode, Json<SegmentView>), Problem> {
    let NewSegment { id, name, condition } = new;
    let defined = SegmentDefined { id, name, condition, goal: None };
    let request = idempotency_key(&headers, &caller, "POST /api/segments")?;
    let _one_at_a_time = app.defining.lock().await;
    if let Some(first) = told_again::<SegmentDefined>(&app, request)? {
        if first != defined {
            return Err(Problem::conflict("this `Idempotency-Key` belongs to another definition"));
        }
        let segment = segment(&app, &first.id).await?;
        return Ok((StatusCode::CREATED, Json(view::with_size(&app, &segment).await?)));
    }
    let standing = conditions(&app).await?;
    may_be_id(&defined.id)?;
    check(&defined, &standing)?;
    if standing.contains_key(&defined.id) {
        return Err(Problem::conflict(format!("there is a segment `{}` already; PUT changes it", defined.id)));
    }
    Ok((StatusCode::CREATED, Json(define(&app, defined, request, &caller).await?)))
}

/// Defines a segment anew, or for the first time. What is as it was changes nothing.
#[utoipa::path(
    put, path = "/api/segments/{id}", tag = "segments", request_body = ChangedSegment,
    params(("id" = String, Path, description = "The segment's id")),
    responses(
        (status = 200, description = "It stands", body = SegmentView),
        (status = 400, description = "Not a definition that can be, and where", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 409, description = "It belongs to a goal, or there are too many", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn put(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    PathText(id): PathText,
    JsonBody(changed): JsonBody<ChangedSegment>,
) -> Result<Json<SegmentView>, Problem> {
    let ChangedSegment { name, condition } = changed;
    let defined = SegmentDefined { id: id.into(), name, condition, goal: None };
    let _one_at_a_time = app.defining.lock().await;
    let standing = standing(&app).await?;
    if let Some(known) = standing.get(&defined.id) {
        not_of_a_goal(&known.defined)?;
        if known.defined == defined {
            return Ok(Json(view::with_size(&app, known).await?));
        }
    }
    check(&defined, &standing.conditions())?;
    Ok(Json(define(&app, defined, None, &caller).await?))
}

/// Removes a segment; its members leave it.
#[utoipa::path(
    delete, path = "/api/segments/{id}", tag = "segments",
    params(("id" = String, Path, description = "The segment's id")),
    responses(
        (status = 204, description = "It is no more"),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 404, description = "There is no such segment", body = Problem),
        (status = 409, description = "It belongs to a goal", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn remove(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    PathText(id): PathText,
) -> Result<StatusCode, Problem> {
    let _one_at_a_time = app.defining.lock().await;
    let segment = segment(&app, &id).await?;
    not_of_a_goal(&segment.defined)?;
    say(&app, SegmentRemoved { id: id.as_str().into() }, None).await?;
    wait_for(&app, &id, |version| version.is_none()).await?;
    tracing::info!(segment = id, by = caller.key.id, "a segment was removed");
    Ok(StatusCode::NO_CONTENT)
}

/// Whether a segment of this id can be reached: `/api/segments/preview` is another door.
pub(in crate::control) fn may_be_id(id: &str) -> Result<(), Problem> {
    if id == "preview" {
        Err(Problem::invalid_body("`id`: `preview` is none; it is a path of its own"))
    } else {
        Ok(())
    }
}

fn not_of_a_goal(defined: &SegmentDefined) -> Result<(), Problem> {
    match &defined.goal {
        Some(goal) => Err(Problem::conflict(format!("this segment serves the goal `{goal}`; end the goal instead"))),
        None => Ok(()),
    }
}

async fn define(
    app: &App,
    defined: SegmentDefined,
    request: Option<RequestKey>,
    caller: &Caller,
) -> Result<SegmentView, Problem> {
    let id = defined.id.to_string();
    let seq = say(app, defined, request).await?;
    wait_for(app, &id, |version| version.is_some_and(|version| version >= seq)).await?;
    tracing::info!(segment = id, seq, by = caller.key.id, "a segment was defined");
    let segment = segment(app, &id).await?;
    view::with_size(app, &segment).await
}

/// Says one thing, durably; its place.
async fn say<T: Topic>(app: &App, what: T, request: Option<RequestKey>) -> Result<Seq, Problem> {
    let mut commit = Commit::new(OUTSIDE);
    commit.durability = Durability::Synced;
    commit.request = request;
    commit.entries.push(new_entry(app.host.journal(), 0, what)?);
    let receipt = app.submit(commit).await?;
    Ok(receipt.repeated.unwrap_or(receipt.first))
}

/// What was said under this request before, if anything was.
pub(in crate::control) fn told_again<T: Topic + DeserializeOwned + Clone>(
    app: &App,
    request: Option<RequestKey>,
) -> Result<Option<T>, Problem> {
    let journal = app.host.journal();
    let Some(seq) = request.and_then(|key| journal.answered(&key)) else { return Ok(None) };
    let chunk = journal.chunk(seq)?;
    let entry = chunk.as_ref().and_then(|chunk| chunk.get(seq));
    Ok(entry.map(|entry| entry.decode::<T>(T::VERSION)).transpose()?.cloned())
}

/// The conditions of all segments, by id.
pub(in crate::control) async fn conditions(app: &App) -> Result<Conditions, Problem> {
    Ok(standing(app).await?.conditions())
}

/// Waits until the agent knows a segment in the version that is looked for, or no more.
pub(in crate::control) async fn wait_for(
    app: &App,
    id: &str,
    is_so: impl Fn(Option<Seq>) -> bool,
) -> Result<(), Problem> {
    let asking = async {
        loop {
            let id = id.to_owned();
            let known = app.host.read_worker::<Segmentation, _>(0, move |reading| {
                reading.shared::<Definitions>().and_then(|all| all.get(&id)).map(|segment| segment.version)
            });
            if is_so(known.await?) {
                return Ok(());
            }
            tokio::time::sleep(ASKED_EVERY).await;
        }
    };
    let asked: Result<Result<(), Problem>, _> = tokio::time::timeout(TAKEN_IN_WITHIN, asking).await;
    asked.unwrap_or_else(|_| {
        let detail = format!("it is on record, but agent `{}` has not taken it in yet; look again", Segmentation::NAME);
        Err(Problem::unavailable(detail).retry_after(2))
    })
}
