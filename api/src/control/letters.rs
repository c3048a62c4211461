//! `/api/agents/{name}/dead-letters`: entries an agent could not fold, set aside until somebody looks.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use impresario_runtime::{WaitingLetter, store::Seq};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    page::{Limit, limit_default},
    say::is_repeated,
};
use crate::{
    app::App,
    http::{PathPair, PathText, Query, access::Caller, idempotency_key},
    problem::Problem,
};

/// A page of entries set aside.
#[derive(Serialize, ToSchema)]
struct DeadLetterList {
    /// The letters, by place.
    dead_letters: Vec<DeadLetterView>,
    /// Where the next page begins; none on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// An entry an agent could not fold.
#[derive(Serialize, ToSchema)]
struct DeadLetterView {
    /// The entry's place in the journal.
    seq: Seq,
    /// Which of the agent's workers.
    worker: usize,
    /// What it is.
    topic: String,
    /// Journal time of the entry, milliseconds since 1970 UTC.
    at_ms: i64,
    /// Why it was set aside.
    why: String,
}

/// An entry an agent could not fold, and what it says.
#[derive(Serialize, ToSchema)]
struct InspectedLetter {
    #[serde(flatten)]
    letter: DeadLetterView,
    /// What the entry says, as the journal keeps it; null where that is erased.
    entry: Value,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct PageQuery {
    /// Where the page begins: `next` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<Seq>,
    /// At most so many.
    #[serde(default = "limit_default")]
    #[param(value_type = usize, minimum = 1, maximum = 1000, default = 100)]
    limit: Limit,
}

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(one, discard)).routes(routes!(retry))
}

/// The entries an agent could not fold, that wait to be retried or dropped.
#[utoipa::path(
    get, path = "/api/agents/{name}/dead-letters", tag = "agents",
    params(("name" = String, Path, description = "The agent's name"), PageQuery),
    responses(
        (status = 200, description = "A page of entries", body = DeadLetterList),
        (status = 400, description = "Not a page that can be", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 404, description = "There is no such agent", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn list(
    State(app): State<Arc<App>>,
    PathText(name): PathText,
    Query(query): Query<PageQuery>,
) -> Result<Json<DeadLetterList>, Problem> {
    let limit = query.limit.get();
    let letters = app.host.dead_letters(&name, query.cursor.unwrap_or_default(), limit)?;
    let next = letters.last().filter(|_| letters.len() == limit).map(|last| last.seq.to_string());
    Ok(Json(DeadLetterList { dead_letters: letters.into_iter().map(view).collect(), next }))
}

fn view(letter: WaitingLetter) -> DeadLetterView {
    let WaitingLetter { seq, worker, topic, at_ms, why } = letter;
    DeadLetterView { seq, worker, topic, at_ms, why }
}

/// One entry an agent could not fold, with what it says: it may be about a person.
#[utoipa::path(
    get, path = "/api/agents/{name}/dead-letters/{seq}", tag = "agents",
    params(
        ("name" = String, Path, description = "The agent's name"),
        ("seq" = u64, Path, description = "The entry's place"),
    ),
    responses(
        (status = 200, description = "The entry", body = InspectedLetter),
        (status = 400, description = "Not a place", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 404, description = "There is no such agent or letter", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn one(State(app): State<Arc<App>>, PathPair(name, seq): PathPair) -> Result<Json<InspectedLetter>, Problem> {
    let (letter, entry) = app.host.dead_letter(&name, place(&seq)?)?;
    Ok(Json(InspectedLetter { letter: view(letter), entry }))
}

/// Has an entry folded after all, at the journal's end.
#[utoipa::path(
    post, path = "/api/agents/{name}/dead-letters/{seq}/retry", tag = "agents",
    params(
        ("name" = String, Path, description = "The agent's name"),
        ("seq" = u64, Path, description = "The entry's place"),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated one changes nothing"),
    ),
    responses(
        (status = 202, description = "It comes again"),
        (status = 400, description = "Not a place", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 404, description = "There is no such agent or letter", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn retry(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    PathPair(name, seq): PathPair,
) -> Result<StatusCode, Problem> {
    let seq = place(&seq)?;
    let request = idempotency_key(&headers, &caller, &format!("POST /api/agents/{name}/dead-letters/{seq}/retry"))?;
    if is_repeated(&app, request) {
        return Ok(StatusCode::ACCEPTED);
    }
    app.host.retry_letter(&name, seq, request).await?;
    tracing::info!(agent = name, seq, by = caller.key.id, "a dead letter comes again");
    Ok(StatusCode::ACCEPTED)
}

/// Drops an entry for good.
#[utoipa::path(
    delete, path = "/api/agents/{name}/dead-letters/{seq}", tag = "agents",
    params(
        ("name" = String, Path, description = "The agent's name"),
        ("seq" = u64, Path, description = "The entry's place"),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated one changes nothing"),
    ),
    responses(
        (status = 204, description = "It is not folded any more"),
        (status = 400, description = "Not a place", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 404, description = "There is no such agent or letter", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn discard(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    PathPair(name, seq): PathPair,
) -> Result<StatusCode, Problem> {
    let seq = place(&seq)?;
    let request = idempotency_key(&headers, &caller, &format!("DELETE /api/agents/{name}/dead-letters/{seq}"))?;
    if is_repeated(&app, request) {
        return Ok(StatusCode::NO_CONTENT);
    }
    app.host.drop_letter(&name, seq, request).await?;
    tracing::info!(agent = name, seq, by = caller.key.id, "a dead letter was dropped");
    Ok(StatusCode::NO_CONTENT)
}

fn place(text: &str) -> Result<Seq, Problem> {
    text.parse().map_err(|_| Problem::invalid_path("an entry's place is a whole number"))
}
