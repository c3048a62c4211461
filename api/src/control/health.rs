//! `/health`: is it alive, and may it be sent events.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State};
use impresario_runtime::{AgentStatus, Condition};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{app::App, problem::Problem};

/// How the server fares.
#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    /// `ok`, or `degraded`: events are taken in, and something needs an operator.
    status: &'static str,
    /// What is wrong, in words.
    problems: Vec<String>,
    /// Entries in the journal.
    head: u64,
    /// Entries the slowest worker at work is behind.
    lag: u64,
    /// Entries the slowest worker is behind, those that are paused or suspended among them.
    lag_of_all: u64,
    /// Whether the agents have come to rest: everything folded, nothing on its way.
    at_rest: bool,
    /// The store's file is more than six times its data: a restart or `impresario compact` makes it small.
    wants_compaction: bool,
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
    ),
)]
async fn ready(State(app): State<Arc<App>>) -> Result<Json<Health>, Problem> {
    app.admit().map_err(Problem::of_readiness)?;
    Ok(Json(health(&app).await))
}

async fn health(app: &App) -> Health {
    let agents = app.host.status();
    let problems: Vec<_> = agents.iter().filter_map(problem).collect();
    let lags = agents.iter().flat_map(|agent| &agent.workers).map(|worker| worker.lag);
    Health {
        status: if problems.is_empty() { "ok" } else { "degraded" },
        problems,
        head: app.host.journal().head(),
        lag: app.host.lag(),
        lag_of_all: lags.max().unwrap_or_default(),
        at_rest: app.host.settled(Duration::ZERO).await.is_ok(),
        wants_compaction: app.usage().wants_compaction(),
        now_ms: app.clock.now_ms(),
    }
}

/// What is wrong with an agent; errors are not told here, where everybody may ask.
fn problem(status: &AgentStatus) -> Option<String> {
    let AgentStatus { agent, workers, .. } = status;
    let worst = workers.iter().filter(|worker| !matches!(worker.condition, Condition::Running | Condition::Starting));
    let worst = worst.max_by_key(|worker| (worker.condition == Condition::Suspended, worker.lag));
    let words = worst.map(|worker| {
        let what = match worker.condition {
            Condition::Paused => "is paused by an operator",
            Condition::Suspended => "failed too often and is suspended until it is resumed",
            _ => "has failed and starts again",
        };
        format!("agent {agent} {what}: {} entries behind", worker.lag)
    });
    let letters: u64 = workers.iter().map(|worker| worker.dead_letters).sum();
    let letters = (letters > 0).then(|| format!("agent {agent} has set {letters} entries aside as dead letters"));
    match (words, letters) {
        (Some(words), Some(letters)) => Some(format!("{words}; {letters}")),
        (words, letters) => words.or(letters),
    }
}
