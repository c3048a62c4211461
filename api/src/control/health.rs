//! `/health`: is it alive, and may it be sent events.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{app::App, problem::Problem};

/// How the server fares.
#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    /// `ok`.
    status: &'static str,
    /// Entries in the journal.
    head: u64,
    /// Entries the slowest worker is behind.
    lag: u64,
    /// Whether the agents have come to rest: everything folded, nothing on its way.
    at_rest: bool,
    /// The present by the directory's clock, milliseconds since 1970 UTC.
    now_ms: i64,
}

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(live)).routes(routes!(ready))
}

/// The process answers.
#[utoipa::path(
    get, path = "/health/live", tag = "operations",
    responses((status = 200, description = "It answers", body = Health)),
)]
async fn live(State(app): State<Arc<App>>) -> Json<Health> {
    Json(health(&app).await)
}

/// Events can be taken in.
#[utoipa::path(
    get, path = "/health/ready", tag = "operations",
    responses(
        (status = 200, description = "Events can be taken in", body = Health),
        (status = 503, description = "Not now, and why", body = Problem),
        (status = 507, description = "The disk is too full", body = Problem),
    ),
)]
async fn ready(State(app): State<Arc<App>>) -> Result<Json<Health>, Problem> {
    app.admit()?;
    Ok(Json(health(&app).await))
}

async fn health(app: &App) -> Health {
    Health {
        status: "ok",
        head: app.host.journal().head(),
        lag: app.host.lag(),
        at_rest: app.host.settled(Duration::ZERO).await.is_ok(),
        now_ms: app.clock.now_ms(),
    }
}
