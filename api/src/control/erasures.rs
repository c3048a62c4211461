//! `/api/erasures`: people who are being erased, and who were. What stays of them is a number.

use std::sync::Arc;

use axum::{Json, extract::State};
use impresario_agents::vocabulary::ProfileId;
use impresario_runtime::{ErasureStatus, SubjectId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::page::{Limit, limit_default};
use crate::{
    app::App,
    http::{PathText, Query},
    problem::Problem,
};

/// A page of erasures.
#[derive(Serialize, ToSchema)]
struct ErasureList {
    /// The erasures, by profile id.
    erasures: Vec<ErasureView>,
    /// Where the next page begins; none on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// How an erasure stands.
#[derive(Serialize, ToSchema)]
pub(super) struct ErasureView {
    /// The id of the profile that is no more.
    profile: String,
    /// Where to ask how it stands.
    job: String,
    /// `under_way` or `done`.
    status: &'static str,
    /// When it was asked for, milliseconds since 1970 UTC.
    asked_at_ms: i64,
    /// When it was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    done_at_ms: Option<i64>,
    /// Journal entries erased, with those of people erased in the same go.
    #[serde(skip_serializing_if = "Option::is_none")]
    entries_erased: Option<u64>,
    /// Workers of agents that are waited for: an agent that is paused or suspended holds it up.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    waits_for: Vec<String>,
    /// What is forgotten, where it was asked for just now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) forgets: Option<ForgetsView>,
}

/// What is held of somebody, in numbers.
#[derive(Serialize, ToSchema)]
pub(super) struct ForgetsView {
    /// Identifiers.
    pub(super) identifiers: usize,
    /// Traits.
    pub(super) traits: usize,
    /// Events.
    pub(super) events: u32,
    /// Segments they leave.
    pub(super) segments: usize,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct PageQuery {
    /// Where the page begins: `next` of the page before.
    cursor: Option<String>,
    /// At most so many.
    #[serde(default = "limit_default")]
    #[param(value_type = usize, minimum = 1, maximum = 1000, default = 100)]
    limit: Limit,
}

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(one))
}

pub(super) fn view(app: &App, status: &ErasureStatus) -> ErasureView {
    let profile = ProfileId(status.person.0).to_string();
    let under_way = status.done_ms.is_none();
    ErasureView {
        job: format!("/api/erasures/{profile}"),
        profile,
        status: if under_way { "under_way" } else { "done" },
        asked_at_ms: status.asked_ms,
        done_at_ms: status.done_ms,
        entries_erased: status.entries,
        waits_for: if under_way { app.host.behind() } else { Vec::new() },
        forgets: None,
    }
}

/// People who are being erased, and who were.
#[utoipa::path(
    get, path = "/api/erasures", tag = "profiles", params(PageQuery),
    responses(
        (status = 200, description = "A page of erasures", body = ErasureList),
        (status = 400, description = "Not a page that can be", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn list(State(app): State<Arc<App>>, Query(query): Query<PageQuery>) -> Result<Json<ErasureList>, Problem> {
    let wrong = |_| Problem::invalid_query("`cursor` is the `next` of the page before");
    let after = query.cursor.as_deref().map(str::parse::<ProfileId>).transpose().map_err(wrong)?;
    let limit = query.limit.get();
    let found = app.host.erasures(after.map(SubjectId::from), limit)?;
    let next = found.last().filter(|_| found.len() == limit).map(|last| ProfileId(last.person.0).to_string());
    Ok(Json(ErasureList { erasures: found.iter().map(|status| view(&app, status)).collect(), next }))
}

/// How the erasure of one customer stands.
#[utoipa::path(
    get, path = "/api/erasures/{profile}", tag = "profiles",
    params(("profile" = String, Path, description = "The id of the profile: `p_` and sixteen digits")),
    responses(
        (status = 200, description = "How it stands", body = ErasureView),
        (status = 400, description = "Not a profile id", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 404, description = "Nobody asked for that", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn one(State(app): State<Arc<App>>, PathText(profile): PathText) -> Result<Json<ErasureView>, Problem> {
    let wrong = |_| Problem::invalid_path("a profile id is `p_` and sixteen hexadecimal digits");
    let profile: ProfileId = profile.parse().map_err(wrong)?;
    let status = app.host.erasure(profile.into())?;
    let status = status.ok_or_else(|| Problem::not_found("nobody asked for the erasure of this profile"))?;
    Ok(Json(view(&app, &status)))
}
