//! `/api/sources`: what came of the events of every source.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{app::App, ingest::sources::SourceCounts, problem::Problem};

/// All sources.
#[derive(Serialize, ToSchema)]
struct SourceList {
    /// The sources, by name.
    sources: Vec<SourceView>,
    /// Requests refused before it was clear whose they are, by the code of the problem.
    refused_without_source: BTreeMap<String, u64>,
}

/// One source: the events of one write key, or of several of the same name.
#[derive(Serialize, ToSchema)]
struct SourceView {
    /// Its name: the name of its write key.
    source: String,
    #[serde(flatten)]
    counts: SourceCounts,
}

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list))
}

/// What came of the events of every source: taken in, repeated, refused and why.
#[utoipa::path(
    get, path = "/api/sources", tag = "sources",
    responses(
        (status = 200, description = "All sources", body = SourceList),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn list(State(app): State<Arc<App>>) -> Json<SourceList> {
    let (by_source, refused_without_source) = app.sources.view();
    let sources = by_source.into_iter().map(|(source, counts)| SourceView { source, counts }).collect();
    Json(SourceList { sources, refused_without_source })
}
