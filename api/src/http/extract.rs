//! Parts of a control request, each refused with a problem that names what is wrong.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{FromRequest, FromRequestParts, Path, Request},
    http::{HeaderMap, request::Parts},
};
use impresario_runtime::store::RequestKey;
use serde::de::DeserializeOwned;

use super::{BodyRules, json, read_body};
use crate::{app::App, http::access::Caller, problem::Problem};

/// Characters of an `Idempotency-Key` at most.
const REQUEST_KEY_CHARS_MAX: usize = 255;

/// A JSON body of a type that knows all its fields.
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        let server = &app.config.server;
        let rules = BodyRules {
            bodies: &app.bodies,
            bytes_max: server.control_body_bytes_max,
            within: Duration::from_millis(server.body_ms_max),
        };
        let (parts, body) = request.into_parts();
        let (bytes, _hold) = read_body(body, &parts.headers, &rules).await?;
        json::from_slice(&bytes).map(Self)
    }
}

/// The query, as a type that knows all its parameters.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<Arc<App>> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Problem> {
        let query = axum::extract::Query::<T>::try_from_uri(&parts.uri);
        query.map(|query| Self(query.0)).map_err(|error| Problem::invalid_query(error.body_text()))
    }
}

/// The one text in the path, percent-decoded.
pub(crate) struct PathText(pub(crate) String);

impl FromRequestParts<Arc<App>> for PathText {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, app).await;
        path.map(|path| Self(path.0)).map_err(|error| Problem::invalid_path(error.body_text()))
    }
}

/// The two texts in the path, percent-decoded.
pub(crate) struct PathPair(pub(crate) String, pub(crate) String);

impl FromRequestParts<Arc<App>> for PathPair {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let path = Path::<(String, String)>::from_request_parts(parts, app).await;
        path.map(|Path((first, second))| Self(first, second)).map_err(|error| Problem::invalid_path(error.body_text()))
    }
}

/// The request's `Idempotency-Key`, made one with who asks and what for.
pub(crate) fn idempotency_key(headers: &HeaderMap, caller: &Caller, what: &str) -> Result<Option<RequestKey>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    if text.is_empty() || text.len() > REQUEST_KEY_CHARS_MAX {
        let detail = format!("`Idempotency-Key` has 1 to {REQUEST_KEY_CHARS_MAX} ASCII characters");
        return Err(Problem::invalid_header(detail));
    }
    let mut hasher = blake3::Hasher::new_derive_key("impresario idempotency key");
    for part in [&caller.key.id, what, text] {
        hasher.update(part.as_bytes());
        hasher.update(&[0]);
    }
    let mut key = RequestKey::default();
    hasher.finalize_xof().fill(&mut key);
    Ok(Some(key))
}
