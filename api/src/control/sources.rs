//! `/api/sources`: what came of the events of every source.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::page::{IdPage, page_of};
use crate::{
    app::App,
    http::Query,
    ingest::sources::{AcceptedView, SourceCounts},
    problem::Problem,
};

/// All sources.
#[derive(Serialize, ToSchema)]
struct SourceList {
    /// The sources, by name.
    sources: Vec<SourceView>,
    /// Where the next page begins; none on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
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
    /// The last few events taken in since the server started, oldest first; of a large batch, its last few.
    last_accepted: Vec<AcceptedView>,
}

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list))
}

/// What came of the events of every source: taken in, repeated, refused and why.
#[utoipa::path(
    get, path = "/api/sources", tag = "sources", params(IdPage),
    responses(
        (status = 200, description = "A page of sources", body = SourceList),
        (status = 400, description = "Not a page that can be", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn list(State(app): State<Arc<App>>, Query(page): Query<IdPage>) -> Json<SourceList> {
    let (by_source, refused_without_source) = app.sources.view();
    let (by_source, next) = page_of(by_source.into_iter().collect(), &page, |(source, _)| source);
    let view = |(source, counts): (String, SourceCounts)| {
        let last_accepted = app.sources.last_accepted(&source);
        SourceView { source, counts, last_accepted }
    };
    let sources = by_source.into_iter().map(view).collect();
    Json(SourceList { sources, next, refused_without_source })
}
