//! `/api/backups`: backups of the running server, into the configured directory.

use std::{path::Path, sync::Arc};

use axum::{Extension, Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::page::{Limit, limit_default};
use crate::{
    app::App,
    backups::{self, NotBegun, Standing},
    http::{PathText, Query, access::Caller},
    problem::Problem,
};

/// Backups.
#[derive(Serialize, ToSchema)]
struct BackupList {
    /// The directory they go to; none is configured where it is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    directory: Option<String>,
    /// Those in the directory, oldest first.
    backups: Vec<BackupView>,
    /// The one under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    running: Option<BackupView>,
    /// The last one that failed since the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_failure: Option<BackupView>,
    /// Where the next page begins; none on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// A backup.
#[derive(Serialize, ToSchema)]
struct BackupView {
    /// Its file's name.
    name: String,
    /// `running`, `whole` or `failed`.
    state: &'static str,
    /// Bytes of rows in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    row_bytes: Option<u64>,
    /// Bytes of its file.
    #[serde(skip_serializing_if = "Option::is_none")]
    file_bytes: Option<u64>,
    /// The last entry in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<u64>,
    /// Journal time of that entry, milliseconds since 1970 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    at_ms: Option<i64>,
    /// Hash of the chain up to that entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    head_hash: Option<String>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct PageQuery {
    /// Where the page begins: `next` of the page before.
    #[serde(default)]
    cursor: String,
    /// At most so many.
    #[serde(default = "limit_default")]
    #[param(value_type = usize, minimum = 1, maximum = 1000, default = 100)]
    limit: Limit,
}

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list, begin)).routes(routes!(one))
}

/// The backups in the configured directory, and the one under way.
#[utoipa::path(
    get, path = "/api/backups", tag = "operations", params(PageQuery),
    responses(
        (status = 200, description = "A page of backups", body = BackupList),
        (status = 400, description = "Not a page that can be", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn list(State(app): State<Arc<App>>, Query(query): Query<PageQuery>) -> Result<Json<BackupList>, Problem> {
    let limit = query.limit.get();
    let (running, last_failure) = (app.backups.running().map(view), app.backups.last_failure().map(view));
    let mut page = BackupList { directory: None, backups: Vec::new(), running, last_failure, next: None };
    if !app.config.storage.backups.is_empty() {
        let place = app.config.storage.backups.clone();
        page.directory = Some(place.clone());
        let found = app.aside(move || {
            let names = backups::names(Path::new(&place), &query.cursor, limit)?;
            let stands = |name: String| backups::standing(Path::new(&place), &name).map(|standing| (name, standing));
            Ok::<_, impresario_runtime::store::StoreError>((
                names.len(),
                names.into_iter().filter_map(stands).collect::<Vec<_>>(),
            ))
        });
        let (count, found) = found.await??;
        page.next = found.last().filter(|_| count == limit).map(|(name, _)| name.clone());
        page.backups = found.into_iter().map(view).collect();
    }
    Ok(Json(page))
}

/// Begins a backup, which is taken while all goes on. Its name is where to ask for it.
#[utoipa::path(
    post, path = "/api/backups", tag = "operations",
    responses(
        (status = 202, description = "It is being taken", body = BackupView),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 409, description = "No directory is configured, or one is under way", body = Problem),
        (status = 503, description = "The server is stopping, or the directory can't be used", body = Problem),
        (status = 507, description = "The disk has no room for it", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn begin(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
) -> Result<(StatusCode, Json<BackupView>), Problem> {
    let storage = &app.config.storage;
    if storage.backups.is_empty() {
        let detail = "no directory for backups is configured: set storage.backups and start again";
        return Err(Problem::conflict(detail));
    }
    if app.is_closing() {
        return Err(Problem::unavailable("the server is stopping").retry_after(5));
    }
    let begun = app.backups.begin(app.host.journal(), Path::new(&storage.backups), storage.free_min_percent);
    let name = begun.map_err(|error| match error {
        NotBegun::Running(name) => Problem::conflict(format!("the backup {name} is under way")),
        NotBegun::NoRoom(error) => Problem::disk_full(error.to_string()).retry_after(60),
        NotBegun::Failed(error) => {
            tracing::error!(%error, "a backup could not begin");
            Problem::unavailable(error.to_string())
        }
    })?;
    tracing::info!(name, by = caller.key.id, "a backup was begun");
    Ok((StatusCode::ACCEPTED, Json(view((name, Standing::Running { row_bytes: 0 })))))
}

/// One backup: under way, whole, or failed.
#[utoipa::path(
    get, path = "/api/backups/{name}", tag = "operations",
    params(("name" = String, Path, description = "The backup's name")),
    responses(
        (status = 200, description = "The backup", body = BackupView),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 404, description = "There is no such backup", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn one(State(app): State<Arc<App>>, PathText(name): PathText) -> Result<Json<BackupView>, Problem> {
    let recent = [app.backups.running(), app.backups.last_failure()];
    if let Some(found) = recent.into_iter().flatten().find(|(known, _)| *known == name) {
        return Ok(Json(view(found)));
    }
    let missing = || Problem::not_found("there is no such backup");
    let place = app.config.storage.backups.clone();
    if place.is_empty() {
        return Err(missing());
    }
    let standing = app.aside(move || backups::standing(Path::new(&place), &name).map(|standing| (name, standing)));
    standing.await?.map(|found| Json(view(found))).ok_or_else(missing)
}

fn view((name, standing): (String, Standing)) -> BackupView {
    let empty = BackupView {
        name,
        state: "failed",
        row_bytes: None,
        file_bytes: None,
        head: None,
        at_ms: None,
        head_hash: None,
        why: None,
    };
    match standing {
        Standing::Running { row_bytes } => BackupView { state: "running", row_bytes: Some(row_bytes), ..empty },
        Standing::Whole { summary, file_bytes } => BackupView {
            state: "whole",
            row_bytes: Some(summary.row_bytes),
            file_bytes: Some(file_bytes),
            head: Some(summary.head),
            at_ms: summary.at_ms,
            head_hash: Some(summary.head_hash),
            ..empty
        },
        Standing::Failed { why } => BackupView { why: Some(why), ..empty },
    }
}
