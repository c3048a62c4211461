//! `/api/templates`: defined, defined anew, looked at in any version, and removed.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use impresario_agents::{
    content::{
        CatalogTemplate, Library, Template, TemplateDefined, TemplateRemoved, Warning, check_renders, check_template,
    },
    vocabulary::Channel,
};
use impresario_runtime::{Topic, store::Seq};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{catalog, schema::TemplateSchema};
use crate::{
    app::App,
    control::{
        page::{IdPage, page_of},
        say::{is_repeated, say, taken_in},
        uses::{Thing, is_unused},
    },
    http::{JsonBody, PathText, Query, access::Caller, idempotency_key},
    problem::Problem,
};

/// One template.
#[derive(Serialize, ToSchema)]
struct TemplateView {
    /// Its id.
    id: String,
    /// The version: the place of the entry that defined it.
    version: u64,
    /// The versions there have been, newest first; the newest hundred.
    versions: Vec<VersionView>,
    /// What a plan may name of it: itself, then each variant as `template#variant`.
    levels: Vec<String>,
    /// What it says.
    #[schema(value_type = TemplateSchema)]
    template: Template,
    /// What may stand, and may not be what was meant.
    warnings: Vec<WarningView>,
}

/// One version of a template.
#[derive(Serialize, ToSchema)]
struct VersionView {
    /// The place of the entry that defined it.
    version: u64,
    /// When that was, milliseconds since 1970 UTC.
    at_ms: i64,
}

/// Something that may not be what was meant.
#[derive(Serialize, ToSchema)]
pub(super) struct WarningView {
    /// The path of the text, e.g. `email.subject`.
    field: String,
    /// In which line of it; 0 where it is about all of it.
    line: u32,
    /// At which character of the line.
    column: u32,
    /// What was seen.
    what: String,
}

/// All templates.
#[derive(Serialize, ToSchema)]
struct TemplateList {
    /// The templates, by id.
    templates: Vec<TemplateRow>,
    /// Where the next page begins; none on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// One template in the list.
#[derive(Serialize, ToSchema)]
struct TemplateRow {
    /// Its id.
    id: String,
    /// Its name for people.
    name: String,
    /// The version: the place of the entry that defined it.
    version: u64,
    /// The channels it has a part for.
    channels: Vec<&'static str>,
    /// What a plan may name of it.
    levels: Vec<String>,
    /// Whether it is a draft, sent to nobody.
    test: bool,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct WhichVersion {
    /// The version wanted; the one that stands unless said.
    version: Option<u64>,
}

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(one, put, remove))
}

/// All templates.
#[utoipa::path(
    get, path = "/api/templates", tag = "content", params(IdPage),
    responses(
        (status = 200, description = "A page of templates", body = TemplateList),
        (status = 400, description = "Not a page that can be", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn list(State(app): State<Arc<App>>, Query(page): Query<IdPage>) -> Result<Json<TemplateList>, Problem> {
    let rows = catalog(&app, |catalog| {
        let row = |(id, known): (&str, &CatalogTemplate)| TemplateRow {
            id: id.to_owned(),
            name: known.template.name.to_string(),
            version: known.version(),
            channels: known.template.channels().into_iter().map(Channel::name).collect(),
            levels: catalog.levels(id).into_iter().map(String::from).collect(),
            test: known.template.test,
        };
        catalog.templates().map(row).collect()
    });
    let (templates, next) = page_of(rows.await?, &page, |row: &TemplateRow| &row.id);
    Ok(Json(TemplateList { templates, next }))
}

/// One template, in the version that stands or in an earlier one.
#[utoipa::path(
    get, path = "/api/templates/{id}", tag = "content",
    params(("id" = String, Path, description = "The template's id"), WhichVersion),
    responses(
        (status = 200, description = "The template", body = TemplateView),
        (status = 400, description = "Not a version", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 404, description = "There is no such template, or no such version of it", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn one(
    State(app): State<Arc<App>>,
    PathText(id): PathText,
    Query(which): Query<WhichVersion>,
) -> Result<Json<TemplateView>, Problem> {
    let mut view = view(&app, &id).await?;
    if let Some(version) = which.version.filter(|version| *version != view.version) {
        view.template = earlier(&app, &view, version)?;
        view.version = version;
        view.warnings = warnings(&view.template)?;
    }
    Ok(Json(view))
}

/// Defines a template, or a new version of it. What is as it was changes nothing.
#[utoipa::path(
    put, path = "/api/templates/{id}", tag = "content", request_body = TemplateSchema,
    params(
        ("id" = String, Path, description = "The template's id: lowercase letters, digits, `-` and `_`, at most 64"),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated one changes nothing"),
    ),
    responses(
        (status = 200, description = "It stands", body = TemplateView),
        (status = 400, description = "Not a template that can be: which field, and where in its text", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 409, description = "There are too many", body = Problem),
        (status = 429, description = "Too many are tried out at once", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn put(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    PathText(id): PathText,
    JsonBody(template): JsonBody<Template>,
) -> Result<Json<TemplateView>, Problem> {
    let request = idempotency_key(&headers, &caller, &format!("PUT /api/templates/{id}"))?;
    let _one_at_a_time = app.defining.lock().await;
    if is_repeated(&app, request) {
        return Ok(Json(view(&app, &id).await?));
    }
    let defined = TemplateDefined { id: id.as_str().into(), template };
    let trial = defined.clone();
    let stands = catalog(&app, move |catalog| {
        if catalog.template(&trial.id).is_some_and(|known| known.template == trial.template) {
            return Ok(true);
        }
        catalog.may_define(&trial.id, &trial.template).map(|()| false)
    });
    if !stands.await?? {
        let trial = defined.template.clone();
        app.aside(move || check_renders(&trial)).await??;
        let seq = say(&app, defined, request).await?;
        taken_in::<Library>(&app, seq).await?;
        tracing::info!(template = id, seq, by = caller.key.id, "a template was defined");
    }
    Ok(Json(view(&app, &id).await?))
}

/// Removes a template: what would be rendered of it is refused.
#[utoipa::path(
    delete, path = "/api/templates/{id}", tag = "content",
    params(
        ("id" = String, Path, description = "The template's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated one changes nothing"),
    ),
    responses(
        (status = 204, description = "It is no more"),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 404, description = "There is no such template", body = Problem),
        (status = 409, description = "It is in use, and who uses it", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn remove(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    PathText(id): PathText,
) -> Result<StatusCode, Problem> {
    let request = idempotency_key(&headers, &caller, &format!("DELETE /api/templates/{id}"))?;
    let _one_at_a_time = app.defining.lock().await;
    if is_repeated(&app, request) {
        return Ok(StatusCode::NO_CONTENT);
    }
    view(&app, &id).await?;
    is_unused(&app, Thing::Template(id.clone())).await?;
    let seq = say(&app, TemplateRemoved { id: id.as_str().into() }, request).await?;
    taken_in::<Library>(&app, seq).await?;
    tracing::info!(template = id, by = caller.key.id, "a template was removed");
    Ok(StatusCode::NO_CONTENT)
}

async fn view(app: &App, id: &str) -> Result<TemplateView, Problem> {
    let wanted = id.to_owned();
    let found = catalog(app, move |catalog| Some((catalog.template(&wanted)?.clone(), catalog.levels(&wanted))));
    let (known, levels) = found.await?.ok_or_else(|| Problem::not_found(format!("there is no template `{id}`")))?;
    Ok(TemplateView {
        id: id.to_owned(),
        version: known.version(),
        versions: known
            .versions
            .iter()
            .map(|(version, at_ms)| VersionView { version: *version, at_ms: *at_ms })
            .collect(),
        levels: levels.into_iter().map(String::from).collect(),
        warnings: warnings(&known.template)?,
        template: known.template,
    })
}

/// What of a template may not be what was meant.
pub(super) fn warnings(template: &Template) -> Result<Vec<WarningView>, Problem> {
    Ok(check_template(template)?.into_iter().map(WarningView::from).collect())
}

impl From<Warning> for WarningView {
    fn from(Warning { field, line, column, what }: Warning) -> Self {
        Self { field, line, column, what }
    }
}

/// A version that was listed, as the journal has it.
fn earlier(app: &App, view: &TemplateView, version: Seq) -> Result<Template, Problem> {
    let missing = || Problem::not_found(format!("template `{}` has no version {version}", view.id));
    if !view.versions.iter().any(|known| known.version == version) {
        return Err(missing());
    }
    let chunk = app.host.journal().chunk(version)?.ok_or_else(missing)?;
    let entry = chunk.get(version).ok_or_else(missing)?;
    let defined = entry.decode::<TemplateDefined>(TemplateDefined::VERSION)?;
    Ok(defined.template.clone())
}
