//! `/api/offers`: defined, looked at, removed.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use impresario_agents::content::{CatalogOffer, Library, Offer, OfferDefined, OfferRemoved};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{catalog, schema::OfferSchema};
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

/// One offer.
#[derive(Serialize, ToSchema)]
struct OfferView {
    /// Its id.
    id: String,
    /// The version: the place of the entry that defined it.
    version: u64,
    /// When that was, milliseconds since 1970 UTC.
    defined_at_ms: i64,
    /// What it gives.
    #[schema(value_type = OfferSchema)]
    offer: Offer,
}

/// All offers.
#[derive(Serialize, ToSchema)]
struct OfferList {
    /// The offers, by id.
    offers: Vec<OfferView>,
    /// Where the next page begins; none on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(one, put, remove))
}

/// All offers.
#[utoipa::path(
    get, path = "/api/offers", tag = "content", params(IdPage),
    responses(
        (status = 200, description = "A page of offers", body = OfferList),
        (status = 400, description = "Not a page that can be", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn list(State(app): State<Arc<App>>, Query(page): Query<IdPage>) -> Result<Json<OfferList>, Problem> {
    let all = catalog(&app, |catalog| catalog.offers().map(|(id, known)| view(id, known)).collect());
    let (offers, next) = page_of(all.await?, &page, |offer: &OfferView| &offer.id);
    Ok(Json(OfferList { offers, next }))
}

/// One offer.
#[utoipa::path(
    get, path = "/api/offers/{id}", tag = "content",
    params(("id" = String, Path, description = "The offer's id")),
    responses(
        (status = 200, description = "The offer", body = OfferView),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 404, description = "There is no such offer", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn one(State(app): State<Arc<App>>, PathText(id): PathText) -> Result<Json<OfferView>, Problem> {
    Ok(Json(known(&app, &id).await?))
}

/// Defines an offer, or defines it anew. What is as it was changes nothing.
#[utoipa::path(
    put, path = "/api/offers/{id}", tag = "content", request_body = OfferSchema,
    params(
        ("id" = String, Path, description = "The offer's id: lowercase letters, digits, `-` and `_`, at most 64"),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated one changes nothing"),
    ),
    responses(
        (status = 200, description = "It stands", body = OfferView),
        (status = 400, description = "Not an offer that can be, and which field", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 409, description = "There are too many", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn put(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    PathText(id): PathText,
    JsonBody(offer): JsonBody<Offer>,
) -> Result<Json<OfferView>, Problem> {
    let request = idempotency_key(&headers, &caller, &format!("PUT /api/offers/{id}"))?;
    let _one_at_a_time = app.defining.lock().await;
    if is_repeated(&app, request) {
        return Ok(Json(known(&app, &id).await?));
    }
    let defined = OfferDefined { id: id.as_str().into(), offer };
    let trial = defined.clone();
    let stands = catalog(&app, move |catalog| {
        if catalog.offer(&trial.id).is_some_and(|known| known.offer == trial.offer) {
            return Ok(true);
        }
        catalog.may_define_offer(&trial.id, &trial.offer).map(|()| false)
    });
    if !stands.await?? {
        let seq = say(&app, defined, request).await?;
        taken_in::<Library>(&app, seq).await?;
        tracing::info!(offer = id, seq, by = caller.key.id, "an offer was defined");
    }
    Ok(Json(known(&app, &id).await?))
}

/// Removes an offer: a message with it is refused.
#[utoipa::path(
    delete, path = "/api/offers/{id}", tag = "content",
    params(
        ("id" = String, Path, description = "The offer's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated one changes nothing"),
    ),
    responses(
        (status = 204, description = "It is no more"),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 404, description = "There is no such offer", body = Problem),
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
    let request = idempotency_key(&headers, &caller, &format!("DELETE /api/offers/{id}"))?;
    let _one_at_a_time = app.defining.lock().await;
    if is_repeated(&app, request) {
        return Ok(StatusCode::NO_CONTENT);
    }
    known(&app, &id).await?;
    is_unused(&app, Thing::Offer(id.clone())).await?;
    let seq = say(&app, OfferRemoved { id: id.as_str().into() }, request).await?;
    taken_in::<Library>(&app, seq).await?;
    tracing::info!(offer = id, by = caller.key.id, "an offer was removed");
    Ok(StatusCode::NO_CONTENT)
}

async fn known(app: &App, id: &str) -> Result<OfferView, Problem> {
    let wanted = id.to_owned();
    let found = catalog(app, move |catalog| catalog.offer(&wanted).map(|known| view(&wanted, known)));
    found.await?.ok_or_else(|| Problem::not_found(format!("there is no offer `{id}`")))
}

fn view(id: &str, known: &CatalogOffer) -> OfferView {
    let CatalogOffer { offer, version, defined_at_ms, .. } = known.clone();
    OfferView { id: id.to_owned(), version, defined_at_ms, offer }
}
