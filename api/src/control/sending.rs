//! `/api/sending`: what sending is stopped of; the kill switch.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Extension, Json, extract::State, http::HeaderMap};
use impresario_agents::{
    messaging::{Common, Messaging},
    vocabulary::{Channel, SendingResumed, SendingStopped, StopScope},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    goals::{is_outgrown, state},
    journeys::is_campaign_of_some,
    say::{is_repeated, say, taken_in},
};
use crate::{
    app::App,
    http::{JsonBody, access::Caller, idempotency_key},
    problem::Problem,
};

/// Longest reason, in bytes.
const WHY_MAX: usize = 500;
/// Longest id of a campaign, in bytes.
const CAMPAIGN_MAX: usize = 128;

/// What is stopped or resumed: everything, unless a channel or a campaign is named.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Scope {
    /// One channel: `email`, `sms`, `push`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    channel: Option<Channel>,
    /// One campaign.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    campaign: Option<Box<str>>,
    /// Why, in words; needed to stop.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    why: Option<Box<str>>,
}

/// What is stopped.
#[derive(Serialize, ToSchema)]
struct Sending {
    /// Why, by what is stopped: `everything`, `channel:sms`, `campaign:win-back`.
    #[schema(value_type = BTreeMap<String, String>)]
    stopped: BTreeMap<String, Box<str>>,
}

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(look)).routes(routes!(stop)).routes(routes!(resume))
}

fn scope_of(scope: &Scope) -> Result<StopScope, Problem> {
    match (scope.channel, &scope.campaign) {
        (None, None) => Ok(StopScope::Everything),
        (Some(channel), None) => Ok(StopScope::Channel(channel)),
        (None, Some(campaign)) if !campaign.is_empty() && campaign.len() <= CAMPAIGN_MAX => {
            Ok(StopScope::Campaign(campaign.clone()))
        }
        (None, Some(_)) => Err(Problem::invalid_body(format!("`campaign`: 1 to {CAMPAIGN_MAX} bytes"))),
        (Some(_), Some(_)) => Err(Problem::invalid_body("`channel` and `campaign`: name one of the two, or neither")),
    }
}

/// What is to be stopped or resumed is there: a typo in an emergency would stop nothing.
async fn is_there(app: &App, scope: &StopScope) -> Result<(), Problem> {
    let StopScope::Campaign(campaign) = scope else { return Ok(()) };
    // Where an agent can't answer now, what is to be stopped is stopped all the same.
    let is_goal = state(app, campaign).await.map(|state| state.is_some_and(|state| state.is_known()));
    let is_known = is_goal.unwrap_or(true)
        || is_campaign_of_some(app, campaign).await.unwrap_or(true)
        || stops(app).await.is_ok_and(|stops| stops.contains_key(scope));
    if is_known {
        return Ok(());
    }
    Err(Problem::not_found(format!("there is no campaign `{campaign}`; nothing was changed")))
}

async fn stops(app: &App) -> Result<BTreeMap<StopScope, Box<str>>, Problem> {
    let stopped = app.host.read_worker::<Messaging, _>(0, |reading| {
        reading.shared::<Common>().map(|common| common.house.stops.clone()).unwrap_or_default()
    });
    Ok(stopped.await?)
}

async fn standing(app: &App) -> Result<Json<Sending>, Problem> {
    let name = |scope| match scope {
        StopScope::Everything => "everything".to_owned(),
        StopScope::Channel(channel) => format!("channel:{}", channel.name()),
        StopScope::Campaign(campaign) => format!("campaign:{campaign}"),
    };
    Ok(Json(Sending { stopped: stops(app).await?.into_iter().map(|(scope, why)| (name(scope), why)).collect() }))
}

/// What sending is stopped of.
#[utoipa::path(
    get, path = "/api/sending", tag = "content",
    responses(
        (status = 200, description = "What is stopped, and why", body = Sending),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn look(State(app): State<Arc<App>>) -> Result<Json<Sending>, Problem> {
    standing(&app).await
}

/// Stops sending, at once. What waits is held, and checked again when sending is resumed.
#[utoipa::path(
    post, path = "/api/sending/stop", tag = "content", request_body = Scope,
    params(("Idempotency-Key" = Option<String>, Header, description = "A repeated one changes nothing")),
    responses(
        (status = 200, description = "It is stopped", body = Sending),
        (status = 400, description = "Not a scope that can be, or no reason", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 404, description = "There is no such campaign", body = Problem),
        (status = 409, description = "This `Idempotency-Key` belongs to another request", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn stop(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    JsonBody(body): JsonBody<Scope>,
) -> Result<Json<Sending>, Problem> {
    let request = idempotency_key(&headers, &caller, "POST /api/sending/stop")?;
    let scope = scope_of(&body)?;
    let why = body.why.filter(|why| !why.trim().is_empty() && why.len() <= WHY_MAX);
    let why = why.ok_or_else(|| Problem::invalid_body(format!("`why`: say why, in 1 to {WHY_MAX} bytes")))?;
    if !is_repeated(&app, request) {
        is_there(&app, &scope).await?;
    }
    let by = caller.key.id.to_string().into();
    let seq = say(&app, SendingStopped { scope, by, why }, request).await?;
    taken_in::<Messaging>(&app, seq).await?;
    tracing::warn!(by = caller.key.id, "sending was stopped");
    standing(&app).await
}

/// Sending goes on: what was held is checked from the beginning.
#[utoipa::path(
    post, path = "/api/sending/resume", tag = "content", request_body = Scope,
    params(("Idempotency-Key" = Option<String>, Header, description = "A repeated one changes nothing")),
    responses(
        (status = 200, description = "It goes on", body = Sending),
        (status = 400, description = "Not a scope that can be", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 404, description = "There is no such campaign", body = Problem),
        (status = 409, description = "The campaign's audience has outgrown what was approved, or this `Idempotency-Key` \
                                      belongs to another request", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn resume(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    JsonBody(body): JsonBody<Scope>,
) -> Result<Json<Sending>, Problem> {
    let request = idempotency_key(&headers, &caller, "POST /api/sending/resume")?;
    let scope = scope_of(&body)?;
    if !is_repeated(&app, request) {
        is_there(&app, &scope).await?;
        if let StopScope::Campaign(campaign) = &scope {
            is_outgrown(&app, campaign).await?;
        }
    }
    let by = caller.key.id.to_string().into();
    let seq = say(&app, SendingResumed { scope, by }, request).await?;
    taken_in::<Messaging>(&app, seq).await?;
    tracing::info!(by = caller.key.id, "sending was resumed");
    standing(&app).await
}
