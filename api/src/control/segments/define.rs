//! Segments are defined, defined anew, and removed.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use impresario_agents::segmentation::{Condition, SegmentDefined, SegmentRemoved, Segmentation, check};
use impresario_runtime::store::RequestKey;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{SegmentView, segment, standing, view};
use crate::{
    app::App,
    control::{
        condition::ConditionSchema,
        say::{Conditions, is_repeated, may_be_id, say, segment_is, taken_in, told_again},
        uses::{Thing, is_unused},
    },
    http::{JsonBody, PathText, access::Caller, idempotency_key},
    problem::Problem,
};

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
    if let Some((seq, first)) = told_again::<SegmentDefined>(&app, request)? {
        if first != defined {
            return Err(Problem::conflict("this `Idempotency-Key` belongs to another definition"));
        }
        taken_in::<Segmentation>(&app, seq).await?;
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
    params(
        ("id" = String, Path, description = "The segment's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated one changes nothing"),
    ),
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
    headers: HeaderMap,
    PathText(id): PathText,
    JsonBody(changed): JsonBody<ChangedSegment>,
) -> Result<Json<SegmentView>, Problem> {
    let ChangedSegment { name, condition } = changed;
    let request = idempotency_key(&headers, &caller, &format!("PUT /api/segments/{id}"))?;
    let defined = SegmentDefined { id: id.into(), name, condition, goal: None };
    let _one_at_a_time = app.defining.lock().await;
    if let Some((seq, first)) = told_again::<SegmentDefined>(&app, request)? {
        if first != defined {
            return Err(Problem::conflict("this `Idempotency-Key` belongs to another definition"));
        }
        taken_in::<Segmentation>(&app, seq).await?;
        return Ok(Json(view::with_size(&app, &segment(&app, &first.id).await?).await?));
    }
    let standing = standing(&app).await?;
    if let Some(known) = standing.get(&defined.id) {
        not_of_a_goal(&known.defined)?;
        if known.defined == defined {
            return Ok(Json(view::with_size(&app, known).await?));
        }
    }
    check(&defined, &standing.conditions())?;
    Ok(Json(define(&app, defined, request, &caller).await?))
}

/// Removes a segment; its members leave it.
#[utoipa::path(
    delete, path = "/api/segments/{id}", tag = "segments",
    params(
        ("id" = String, Path, description = "The segment's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated one changes nothing"),
    ),
    responses(
        (status = 204, description = "It is no more"),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 404, description = "There is no such segment", body = Problem),
        (status = 409, description = "It belongs to a goal, or is in use, and who uses it", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn remove(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    PathText(id): PathText,
) -> Result<StatusCode, Problem> {
    let request = idempotency_key(&headers, &caller, &format!("DELETE /api/segments/{id}"))?;
    let _one_at_a_time = app.defining.lock().await;
    if is_repeated(&app, request) {
        return Ok(StatusCode::NO_CONTENT);
    }
    let segment = segment(&app, &id).await?;
    not_of_a_goal(&segment.defined)?;
    is_unused(&app, Thing::Segment(id.clone())).await?;
    say(&app, SegmentRemoved { id: id.as_str().into() }, request).await?;
    segment_is(&app, &id, |version| version.is_none()).await?;
    tracing::info!(segment = id, by = caller.key.id, "a segment was removed");
    Ok(StatusCode::NO_CONTENT)
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
    segment_is(app, &id, |version| version.is_some_and(|version| version >= seq)).await?;
    tracing::info!(segment = id, seq, by = caller.key.id, "a segment was defined");
    let segment = segment(app, &id).await?;
    view::with_size(app, &segment).await
}

/// The conditions of all segments, by id.
pub(in crate::control) async fn conditions(app: &App) -> Result<Conditions, Problem> {
    Ok(standing(app).await?.conditions())
}
