//! `/api/segments`: definitions, who is in them, and how they grew and shrank.

mod define;
mod members;

mod view;

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State};
use impresario_agents::segmentation::{
    Condition, DefinitionError, Definitions, Instant, Segment, Segmentation, preview,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) use self::{
    define::conditions,
    view::{SegmentView, sizes},
};
use super::{
    condition::ConditionSchema,
    page::{IdPage, page_of},
    profiles::ProfileIdText,
};
use crate::{
    app::App,
    http::{JsonBody, PathText, Query},
    problem::Problem,
};

/// People shown with a preview at most.
const SAMPLE_MAX: usize = 20;

/// All segments.
#[derive(Serialize, ToSchema)]
struct SegmentList {
    /// The segments, by id.
    segments: Vec<SegmentView>,
    /// Where the next page begins; none on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// A definition to be tried.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Trial {
    /// Who would be in it.
    #[schema(value_type = ConditionSchema)]
    condition: Condition,
    /// At which instant (RFC 3339, or a date); the present unless said.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    at: Option<Instant>,
}

/// What a definition would come to.
#[derive(Serialize, ToSchema)]
struct PreviewView {
    /// How many people would be in it.
    size: u64,
    /// Of how many.
    people: u64,
    /// Some of them.
    #[schema(value_type = Vec<String>)]
    sample: Vec<ProfileIdText>,
    /// The journal's last entry that was looked at.
    seq: u64,
}

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(try_out))
        .routes(routes!(one))
        .merge(define::router())
        .merge(members::router())
}

/// All segments with their sizes.
#[utoipa::path(
    get, path = "/api/segments", tag = "segments", params(IdPage),
    responses(
        (status = 200, description = "A page of segments", body = SegmentList),
        (status = 400, description = "Not a page that can be", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn list(State(app): State<Arc<App>>, Query(page): Query<IdPage>) -> Result<Json<SegmentList>, Problem> {
    let mut all = standing(&app).await?.segments;
    all.sort_unstable_by(|one, other| one.defined.id.cmp(&other.defined.id));
    let (found, next) = page_of(all, &page, |segment| &segment.defined.id);
    let ids = found.iter().map(|segment| segment.defined.id.to_string()).collect();
    let sizes = sizes(&app, ids).await?;
    let segments =
        found.iter().zip(&sizes).map(|(segment, size)| view::view(app.host.journal(), segment, size)).collect();
    Ok(Json(SegmentList { segments, next }))
}

/// One segment with its size.
#[utoipa::path(
    get, path = "/api/segments/{id}", tag = "segments",
    params(("id" = String, Path, description = "The segment's id")),
    responses(
        (status = 200, description = "The segment", body = SegmentView),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 404, description = "There is no such segment", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn one(State(app): State<Arc<App>>, PathText(id): PathText) -> Result<Json<SegmentView>, Problem> {
    let segment = segment(&app, &id).await?;
    Ok(Json(view::with_size(&app, &segment).await?))
}

/// How many people a definition would take in, and some of them, before it is saved.
#[utoipa::path(
    post, path = "/api/segments/preview", tag = "segments", request_body = Trial,
    responses(
        (status = 200, description = "What it would come to", body = PreviewView),
        (status = 400, description = "Not a definition that can be", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 429, description = "Too many such questions at once", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn try_out(State(app): State<Arc<App>>, JsonBody(trial): JsonBody<Trial>) -> Result<Json<PreviewView>, Problem> {
    let standing = standing(&app).await?;
    let now_ms = trial.at.map_or_else(|| app.clock.now_ms(), Instant::ms);
    let journal = Arc::clone(app.host.journal());
    let found = app.aside(move || preview(&journal, &standing.conditions(), &trial.condition, now_ms, SAMPLE_MAX));
    let found = found.await???;
    let sample = found.sample.into_iter().map(ProfileIdText).collect();
    Ok(Json(PreviewView { size: found.size, people: found.people, sample, seq: found.seq }))
}

/// The definitions that stand, as the agent knows them.
struct Standing {
    segments: Vec<Segment>,
}

impl Standing {
    fn conditions(&self) -> BTreeMap<Box<str>, Condition> {
        let segments = self.segments.iter();
        segments.map(|segment| (segment.defined.id.clone(), segment.defined.condition.clone())).collect()
    }

    fn get(&self, id: &str) -> Option<&Segment> {
        self.segments.iter().find(|segment| *segment.defined.id == *id)
    }
}

async fn standing(app: &App) -> Result<Standing, Problem> {
    let read = app.host.read_worker::<Segmentation, _>(0, |reading| {
        let definitions = reading.shared::<Definitions>();
        Standing { segments: definitions.map(|all| all.segments().cloned().collect()).unwrap_or_default() }
    });
    Ok(read.await?)
}

async fn segment(app: &App, id: &str) -> Result<Segment, Problem> {
    let wanted = id.to_owned();
    let read = app.host.read_worker::<Segmentation, _>(0, move |reading| {
        reading.shared::<Definitions>().and_then(|definitions| definitions.get(&wanted).cloned())
    });
    read.await?.ok_or_else(|| Problem::not_found(format!("there is no segment `{id}`")))
}

impl From<DefinitionError> for Problem {
    fn from(error: DefinitionError) -> Self {
        match error {
            DefinitionError::TooMany => Self::limit_reached(error.to_string()),
            _ => Self::invalid_body(error.to_string()),
        }
    }
}
