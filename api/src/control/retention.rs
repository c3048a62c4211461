//! `/api/retention`: what is forgotten with age, and how far that is.

use std::sync::Arc;

use axum::{Json, extract::State};
use impresario_runtime::RetentionStatus;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{app::App, problem::Problem};

/// How retention by age stands.
#[derive(Serialize, ToSchema)]
struct RetentionView {
    /// After how many days what people have done is forgotten; none for never.
    #[serde(skip_serializing_if = "Option::is_none")]
    days: Option<u32>,
    /// What people did before this is forgotten, milliseconds since 1970 UTC; none where all is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept_since_ms: Option<i64>,
    /// The first journal entry that is kept whatever it is.
    kept_from: u64,
    /// Entries forgotten since the start.
    forgotten: u64,
    /// Entries that are still to be looked at.
    waiting: u64,
    /// Workers of agents that are waited for: an agent that is paused or suspended holds it up.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    waits_for: Vec<String>,
}

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(retention))
}

/// What is forgotten with age, and how far that is.
#[utoipa::path(
    get, path = "/api/retention", tag = "operations",
    responses(
        (status = 200, description = "How it stands", body = RetentionView),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn retention(State(app): State<Arc<App>>) -> Result<Json<RetentionView>, Problem> {
    let RetentionStatus { days, kept_since_ms, kept_from, forgotten, waiting, held_by } = app.host.retention()?;
    Ok(Json(RetentionView { days, kept_since_ms, kept_from, forgotten, waiting, waits_for: held_by }))
}
