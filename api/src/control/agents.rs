//! `/api/agents`: the troupe at work.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use impresario_runtime::{AgentStatus, Condition, KeyState, WorkerStatus};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::App,
    http::{PathPair, PathText, access::Caller, idempotency_key},
    problem::Problem,
};

/// All agents.
#[derive(Serialize, ToSchema)]
struct AgentList {
    /// The agents, in the order they were put together.
    agents: Vec<AgentView>,
    /// The journal's last entry.
    head: u64,
}

/// What can be seen of one agent.
#[derive(Serialize, ToSchema)]
struct AgentView {
    /// Its name.
    agent: String,
    /// The topics it listens to.
    topics: Vec<String>,
    /// Its workers.
    workers: Vec<WorkerView>,
}

/// What can be seen of one worker.
#[derive(Serialize, ToSchema)]
struct WorkerView {
    /// Which of the agent's workers.
    worker: usize,
    /// `starting`, `running`, `restarting`, `suspended` or `paused`.
    condition: &'static str,
    /// The last entry it has folded.
    cursor: u64,
    /// How many entries it is behind the journal.
    lag: u64,
    /// Entries folded since the process started.
    folded: u64,
    /// Entries said since the process started.
    said: u64,
    /// Steps taken since the process started.
    steps: u64,
    /// Keys in memory.
    keys: u64,
    /// Changed keys not yet written behind.
    unwritten: u64,
    /// Entries passed over since the last start, because their key's state has gone to another key.
    passed_over: u64,
    /// Entries folded again at the last start.
    refolded: u64,
    /// Microseconds spent in steps since the process started.
    busy_micros: u64,
    /// Restarts since the process started.
    restarts: u64,
    /// Entries set aside that wait to be retried or dropped.
    dead_letters: u64,
    /// The last failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
}

/// The state of one key of an agent.
#[derive(Serialize, ToSchema)]
struct StateView {
    /// The key.
    key: String,
    /// The last entry folded into it.
    seq: u64,
    /// The state, as the agent keeps it; none where it has gone to another key.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<Value>,
    /// Whose it has become.
    #[serde(skip_serializing_if = "Option::is_none")]
    moved_to: Option<String>,
}

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(one))
        .routes(routes!(state))
        .routes(routes!(pause))
        .routes(routes!(resume))
}

/// All agents with their workers: how far, how fast, how well.
#[utoipa::path(
    get, path = "/api/agents", tag = "agents",
    responses(
        (status = 200, description = "All agents", body = AgentList),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn list(State(app): State<Arc<App>>) -> Json<AgentList> {
    let agents = app.host.status().into_iter().map(view).collect();
    Json(AgentList { agents, head: app.host.journal().head() })
}

/// One agent.
#[utoipa::path(
    get, path = "/api/agents/{name}", tag = "agents",
    params(("name" = String, Path, description = "The agent's name")),
    responses(
        (status = 200, description = "The agent", body = AgentView),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 404, description = "There is no such agent", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn one(State(app): State<Arc<App>>, PathText(name): PathText) -> Result<Json<AgentView>, Problem> {
    Ok(Json(view(status(&app, &name)?)))
}

/// What an agent keeps under a key, for whoever looks into it.
#[utoipa::path(
    get, path = "/api/agents/{name}/states/{key}", tag = "agents",
    params(
        ("name" = String, Path, description = "The agent's name"),
        ("key" = String, Path, description = "The key as a text, e.g. a profile's id or a segment's"),
    ),
    responses(
        (status = 200, description = "The state", body = StateView),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 404, description = "There is no such agent, or nothing under this key", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn state(State(app): State<Arc<App>>, PathPair(name, key): PathPair) -> Result<Json<StateView>, Problem> {
    let found = app.host.state_json(&name, &key).await?;
    let found = found.ok_or_else(|| Problem::not_found(format!("there is nothing under this key of `{name}`")))?;
    let KeyState { key, seq, state, moved_to } = found;
    Ok(Json(StateView { key, seq, state, moved_to }))
}

/// Holds an agent: it folds nothing until it is resumed, in this process or a later one.
#[utoipa::path(
    post, path = "/api/agents/{name}/pause", tag = "agents",
    params(
        ("name" = String, Path, description = "The agent's name"),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated one changes nothing"),
    ),
    responses(
        (status = 204, description = "It is held"),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 404, description = "There is no such agent", body = Problem),
        (status = 503, description = "It can't be put on record now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn pause(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    PathText(name): PathText,
) -> Result<StatusCode, Problem> {
    let request = idempotency_key(&headers, &caller, &format!("POST /api/agents/{name}/pause"))?;
    app.host.pause(&name, &caller.key.id, request).await?;
    tracing::info!(agent = name, by = caller.key.id, "an agent is held");
    Ok(StatusCode::NO_CONTENT)
}

/// Lets an agent go on, also one that was suspended for its failures.
#[utoipa::path(
    post, path = "/api/agents/{name}/resume", tag = "agents",
    params(
        ("name" = String, Path, description = "The agent's name"),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated one changes nothing"),
    ),
    responses(
        (status = 204, description = "It goes on"),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 404, description = "There is no such agent", body = Problem),
        (status = 503, description = "It can't be put on record now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn resume(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    PathText(name): PathText,
) -> Result<StatusCode, Problem> {
    let request = idempotency_key(&headers, &caller, &format!("POST /api/agents/{name}/resume"))?;
    app.host.resume(&name, &caller.key.id, request).await?;
    tracing::info!(agent = name, by = caller.key.id, "an agent is resumed");
    Ok(StatusCode::NO_CONTENT)
}

fn status(app: &App, name: &str) -> Result<AgentStatus, Problem> {
    let found = app.host.status().into_iter().find(|status| status.agent == name);
    found.ok_or_else(|| Problem::not_found(format!("there is no agent `{name}`")))
}

fn view(status: AgentStatus) -> AgentView {
    let AgentStatus { agent, topics, workers } = status;
    AgentView { agent, topics, workers: workers.into_iter().map(worker_view).collect() }
}

fn worker_view(status: WorkerStatus) -> WorkerView {
    WorkerView {
        worker: status.worker,
        condition: condition(status.condition),
        cursor: status.cursor,
        lag: status.lag,
        folded: status.folded,
        said: status.said,
        steps: status.steps,
        keys: status.keys,
        unwritten: status.unwritten,
        passed_over: status.passed_over,
        refolded: status.refolded,
        busy_micros: status.busy_micros,
        restarts: status.restarts,
        dead_letters: status.dead_letters,
        last_error: status.last_error,
    }
}

pub(super) fn condition(condition: Condition) -> &'static str {
    match condition {
        Condition::Starting => "starting",
        Condition::Running => "running",
        Condition::Restarting => "restarting",
        Condition::Suspended => "suspended",
        Condition::Paused => "paused",
    }
}
