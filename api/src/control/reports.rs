//! `/api/reports`: each campaign's funnel and how its goal stands against what would have been.

use std::sync::Arc;

use axum::{Json, extract::State};
use impresario_agents::{
    analytics::{Analytics, ArmRow, ChannelRow, GroupRow, Measured, Report},
    goals::target_note,
};
use impresario_runtime::AgentError;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{app::App, http::PathText, problem::Problem};

/// One campaign, since its plan began.
#[derive(Serialize, ToSchema)]
struct ReportView {
    /// The campaign, which has its goal's id.
    id: String,
    /// Since when it is counted, milliseconds since 1970 UTC.
    since_ms: i64,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_ms: Option<i64>,
    /// Decisions and what they came to, by group and arm; arm 0 is nothing.
    #[schema(value_type = Vec<Object>)]
    arms: Vec<ArmRow>,
    /// What the gate said and what became of messages, by channel.
    #[schema(value_type = Vec<Object>)]
    channels: Vec<ChannelRow>,
    /// Decisions that were withheld, by the guard that did.
    withheld: std::collections::BTreeMap<Box<str>, u64>,
    /// People and what they did, by group.
    #[schema(value_type = Vec<Object>)]
    groups: Vec<GroupRow>,
    /// The metric before the campaign began, frozen.
    #[serde(skip_serializing_if = "Option::is_none")]
    baseline: Option<f64>,
    /// Why the target can't be measured, or may turn out not to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    target_note: Option<&'static str>,
    /// The metric now, and by how much the policy's people are better than the holdout's and than those for whom
    /// chance decides, each with an interval that may be looked at at any time; none before anybody counts.
    #[schema(value_type = Option<Object>)]
    measured: Option<Measured>,
}

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(one))
}

/// Looks at a campaign's funnel and its goal's progress. Everything in it sums to the journal.
#[utoipa::path(
    get, path = "/api/reports/{id}", tag = "reports",
    params(("id" = String, Path, description = "The campaign's id, which is its goal's")),
    responses(
        (status = 200, description = "The report", body = ReportView),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 404, description = "There is no such campaign", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn one(State(app): State<Arc<App>>, PathText(id): PathText) -> Result<Json<ReportView>, Problem> {
    let key = id.clone();
    let read = app.host.read::<Analytics, _>(&id, move |reading| Ok::<_, AgentError>(reading.get(&key)?.cloned()));
    let report = read.await??.filter(|report: &Report| report.plan.is_some());
    let report = report.ok_or_else(|| Problem::not_found(format!("there is no campaign `{id}`")))?;
    let (groups, measured) = (report.groups(), report.measured());
    let Report { since_ms, ended_ms, arms, channels, withheld, baseline, goal, .. } = report;
    let baseline = baseline.map(|baseline| baseline.value);
    let target_note = goal.and_then(|goal| target_note(&goal, baseline));
    Ok(Json(ReportView { id, since_ms, ended_ms, arms, channels, withheld, groups, baseline, target_note, measured }))
}
