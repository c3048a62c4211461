//! `/api/keys`: who may do what. A new key is shown once, in the answer to its making.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    page::{IdPage, page_of},
    say::is_repeated,
};
use crate::{
    app::App,
    http::{JsonBody, PathText, Query, access::Caller, idempotency_key},
    keys::{KeyError, KeyRecord, Role},
    problem::Problem,
};

/// A key to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewKey {
    /// What it may do.
    role: Role,
    /// 1 to 64 characters out of a-z, 0-9, `-`, `_`, `.`. The name of an ingest key is the source of
    /// its events: two keys of one name are one source, so that a key can be rotated.
    name: String,
}

/// What can be seen of a key.
#[derive(Serialize, ToSchema)]
struct KeyView {
    /// Names the key.
    id: String,
    /// What it may do.
    role: Role,
    /// Its name; of an ingest key, the source of its events.
    name: String,
    /// How it begins.
    prefix: String,
    /// When it was made, milliseconds since 1970 UTC.
    created_at_ms: i64,
}

/// A key just made.
#[derive(Serialize, ToSchema)]
struct MadeKey {
    #[serde(flatten)]
    view: KeyView,
    /// The key itself. It is shown this once.
    key: String,
}

/// All keys.
#[derive(Serialize, ToSchema)]
struct KeyList {
    /// The keys, by id.
    keys: Vec<KeyView>,
    /// Where the next page begins; none on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(revoke))
}

/// All keys, without what is secret of them.
#[utoipa::path(
    get, path = "/api/keys", tag = "keys", params(IdPage),
    responses(
        (status = 200, description = "A page of keys", body = KeyList),
        (status = 400, description = "Not a page that can be", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn list(State(app): State<Arc<App>>, Query(page): Query<IdPage>) -> Json<KeyList> {
    let mut keys: Vec<_> = app.keys.ring().records().iter().map(view).collect();
    keys.sort_unstable_by(|one, other| one.id.cmp(&other.id));
    let (keys, next) = page_of(keys, &page, |key| &key.id);
    Json(KeyList { keys, next })
}

/// Makes a key. To rotate one, make another of the same role and name, then revoke the first.
#[utoipa::path(
    post, path = "/api/keys", tag = "keys", request_body = NewKey,
    params(("Idempotency-Key" = Option<String>, Header, description = "A repeated one makes no second key")),
    responses(
        (status = 201, description = "The key, shown this once", body = MadeKey),
        (status = 400, description = "Not a key that can be", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 409, description = "Too many, or this request has made its key already", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn create(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    JsonBody(wanted): JsonBody<NewKey>,
) -> Result<(StatusCode, Json<MadeKey>), Problem> {
    let request = idempotency_key(&headers, &caller, "POST /api/keys")?;
    let _one_at_a_time = app.keys.changing.lock().await;
    let mut ring = (*app.keys.ring()).clone();
    let (secret, record) = ring.issue(wanted.role, &wanted.name, app.clock.now_ms())?;
    let mut commit = ring.commit(app.host.journal(), &[&record], &[])?;
    commit.request = request;
    if app.submit(commit).await?.repeated.is_some() {
        let detail = "this request has made its key already, and a key is shown once; revoke it and make another";
        return Err(Problem::conflict(detail));
    }
    app.keys.replace(ring);
    tracing::info!(key = record.id, role = record.role.name(), by = caller.key.id, "a key was made");
    let made = MadeKey { view: view(&record), key: secret.reveal().to_owned() };
    Ok((StatusCode::CREATED, Json(made)))
}

/// Revokes a key, at once.
#[utoipa::path(
    delete, path = "/api/keys/{id}", tag = "keys",
    params(
        ("id" = String, Path, description = "The key's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated one changes nothing"),
    ),
    responses(
        (status = 204, description = "It opens nothing any more"),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 404, description = "There is no such key", body = Problem),
        (status = 409, description = "It is the last admin key", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn revoke(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    PathText(id): PathText,
) -> Result<StatusCode, Problem> {
    let request = idempotency_key(&headers, &caller, &format!("DELETE /api/keys/{id}"))?;
    let _one_at_a_time = app.keys.changing.lock().await;
    if is_repeated(&app, request) {
        return Ok(StatusCode::NO_CONTENT);
    }
    let mut ring = (*app.keys.ring()).clone();
    let record = ring.revoke(&id)?;
    let mut commit = ring.commit(app.host.journal(), &[], &[&record])?;
    commit.request = request;
    app.submit(commit).await?;
    app.keys.replace(ring);
    tracing::info!(key = record.id, role = record.role.name(), by = caller.key.id, "a key was revoked");
    Ok(StatusCode::NO_CONTENT)
}

fn view(record: &KeyRecord) -> KeyView {
    KeyView {
        id: record.id.clone(),
        role: record.role,
        name: record.name.to_string(),
        prefix: record.prefix.clone(),
        created_at_ms: record.created_at_ms,
    }
}

impl From<KeyError> for Problem {
    fn from(error: KeyError) -> Self {
        let detail = error.to_string();
        match error {
            KeyError::TooMany => Self::limit_reached(detail),
            KeyError::Name => Self::invalid_body(detail),
            KeyError::Unknown(_) => Self::not_found(detail),
            KeyError::LastAdmin => Self::conflict(detail),
            KeyError::Chance(_) => Self::unavailable(detail),
        }
    }
}
