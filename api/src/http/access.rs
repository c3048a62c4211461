//! Who may do what: one row a route. A route without a row lets nobody in.

use std::sync::Arc;

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderValue, Method, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{
    app::App,
    http::watch::{REQUESTS, Watched},
    keys::{KeyRecord, Role},
    problem::Problem,
};

/// Characters of a key that are looked at; a longer one is no key.
const KEY_CHARS_MAX: usize = 128;

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everybody.
    Open,
    /// Ingest keys alone; the key may also be in the body, so the handler asks for it.
    Ingest,
    /// Keys of this role or a higher one; ingest keys never.
    Role(Role),
}

const VIEWER: Access = Access::Role(Role::Viewer);
const OPERATOR: Access = Access::Role(Role::Operator);
const ADMIN: Access = Access::Role(Role::Admin);

/// Every route with who may use it.
pub(crate) const ACCESS: &[(&str, &str, Access)] = &[
    ("POST", "/v1/identify", Access::Ingest),
    ("POST", "/v1/track", Access::Ingest),
    ("POST", "/v1/page", Access::Ingest),
    ("POST", "/v1/screen", Access::Ingest),
    ("POST", "/v1/group", Access::Ingest),
    ("POST", "/v1/alias", Access::Ingest),
    ("POST", "/v1/batch", Access::Ingest),
    ("POST", "/v1/import", Access::Ingest),
    ("POST", "/v1/i", Access::Ingest),
    ("POST", "/v1/t", Access::Ingest),
    ("POST", "/v1/p", Access::Ingest),
    ("POST", "/v1/s", Access::Ingest),
    ("POST", "/v1/g", Access::Ingest),
    ("POST", "/v1/a", Access::Ingest),
    ("POST", "/v1/b", Access::Ingest),
    ("POST", "/v1/m", Access::Open),
    ("GET", "/v1/projects/{write_key}/settings", Access::Open),
    ("GET", "/health/live", Access::Open),
    ("GET", "/health/ready", Access::Open),
    ("GET", "/api/openapi.json", Access::Open),
    ("GET", "/metrics", VIEWER),
    ("GET", "/api/agents", VIEWER),
    ("GET", "/api/agents/{name}", VIEWER),
    ("GET", "/api/agents/{name}/states/{key}", VIEWER),
    ("GET", "/api/agents/{name}/dead-letters", VIEWER),
    ("GET", "/api/agents/{name}/dead-letters/{seq}", VIEWER),
    ("POST", "/api/agents/{name}/dead-letters/{seq}/retry", OPERATOR),
    ("DELETE", "/api/agents/{name}/dead-letters/{seq}", OPERATOR),
    ("POST", "/api/agents/{name}/pause", OPERATOR),
    ("POST", "/api/agents/{name}/resume", OPERATOR),
    ("GET", "/api/sources", VIEWER),
    ("GET", "/api/profiles", VIEWER),
    ("GET", "/api/profiles/{id}", VIEWER),
    ("DELETE", "/api/profiles/{id}", OPERATOR),
    ("GET", "/api/profiles/{id}/timeline", VIEWER),
    ("GET", "/api/profiles/{id}/messages", VIEWER),
    ("GET", "/api/profiles/{id}/export", OPERATOR),
    ("GET", "/api/retention", VIEWER),
    ("GET", "/api/erasures", VIEWER),
    ("GET", "/api/erasures/{profile}", VIEWER),
    ("POST", "/api/profiles/{id}/unmerge", OPERATOR),
    ("GET", "/api/identities/quarantined", VIEWER),
    ("GET", "/api/accounts", VIEWER),
    ("GET", "/api/accounts/{id}", VIEWER),
    ("GET", "/api/accounts/{id}/members", VIEWER),
    ("POST", "/api/identities/quarantined/{node}/release", OPERATOR),
    ("GET", "/api/segments", VIEWER),
    ("POST", "/api/segments", OPERATOR),
    ("POST", "/api/segments/preview", VIEWER),
    ("GET", "/api/segments/{id}", VIEWER),
    ("PUT", "/api/segments/{id}", OPERATOR),
    ("DELETE", "/api/segments/{id}", OPERATOR),
    ("GET", "/api/segments/{id}/members", VIEWER),
    ("GET", "/api/segments/{id}/history", VIEWER),
    ("GET", "/api/goals", VIEWER),
    ("POST", "/api/goals", OPERATOR),
    ("GET", "/api/goals/{id}", VIEWER),
    ("PUT", "/api/goals/{id}", OPERATOR),
    ("DELETE", "/api/goals/{id}", OPERATOR),
    ("POST", "/api/goals/{id}/pause", OPERATOR),
    ("POST", "/api/goals/{id}/resume", OPERATOR),
    ("POST", "/api/goals/{id}/stop", OPERATOR),
    ("GET", "/api/proposals", VIEWER),
    ("GET", "/api/proposals/{id}", VIEWER),
    ("POST", "/api/proposals/{id}/approve", OPERATOR),
    ("POST", "/api/proposals/{id}/reject", OPERATOR),
    ("GET", "/api/campaigns", VIEWER),
    ("GET", "/api/campaigns/{id}", VIEWER),
    ("GET", "/api/campaigns/{id}/decisions", VIEWER),
    ("GET", "/api/reports/{id}", VIEWER),
    ("GET", "/api/decisions/{id}", VIEWER),
    ("GET", "/api/templates", VIEWER),
    ("GET", "/api/templates/{id}", VIEWER),
    ("PUT", "/api/templates/{id}", OPERATOR),
    ("DELETE", "/api/templates/{id}", OPERATOR),
    ("POST", "/api/templates/{id}/preview", VIEWER),
    ("GET", "/api/offers", VIEWER),
    ("GET", "/api/offers/{id}", VIEWER),
    ("PUT", "/api/offers/{id}", OPERATOR),
    ("DELETE", "/api/offers/{id}", OPERATOR),
    ("GET", "/api/sending", VIEWER),
    ("POST", "/api/sending/stop", OPERATOR),
    ("POST", "/api/sending/resume", OPERATOR),
    ("GET", "/api/messaging/policy", VIEWER),
    ("PUT", "/api/messaging/policy", OPERATOR),
    ("GET", "/api/journeys", VIEWER),
    ("POST", "/api/journeys", OPERATOR),
    ("GET", "/api/journeys/stuck", VIEWER),
    ("GET", "/api/journeys/{id}", VIEWER),
    ("PUT", "/api/journeys/{id}", OPERATOR),
    ("DELETE", "/api/journeys/{id}", OPERATOR),
    ("GET", "/api/journeys/{id}/people", VIEWER),
    ("POST", "/api/journeys/{id}/people", OPERATOR),
    ("DELETE", "/api/journeys/{id}/people/{profile}", OPERATOR),
    ("GET", "/api/situations", VIEWER),
    ("GET", "/api/situations/settings", VIEWER),
    ("PUT", "/api/situations/settings", OPERATOR),
    ("GET", "/api/deals", VIEWER),
    ("POST", "/api/deals", OPERATOR),
    ("PUT", "/api/deals/{profile}/{deal}", OPERATOR),
    ("GET", "/api/leads", VIEWER),
    ("GET", "/api/leads/settings", VIEWER),
    ("PUT", "/api/leads/settings", OPERATOR),
    ("GET", "/api/tasks", VIEWER),
    ("POST", "/api/tasks/{profile}/{id}/done", OPERATOR),
    ("GET", "/api/keys", ADMIN),
    ("POST", "/api/keys", ADMIN),
    ("DELETE", "/api/keys/{id}", ADMIN),
    ("GET", "/api/backups", ADMIN),
    ("POST", "/api/backups", ADMIN),
    ("GET", "/api/backups/{name}", ADMIN),
];

/// Who may use a route; `None` where it has no row.
pub(crate) fn access(method: &Method, path: &str) -> Option<Access> {
    // Whoever may read may ask for the head alone.
    let method = if method == Method::HEAD { "GET" } else { method.as_str() };
    ACCESS.iter().find(|row| row.0 == method && row.1 == path).map(|row| row.2)
}

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) key: KeyRecord,
}

/// Lets through who may, before anything of the body is read.
pub(crate) async fn guard(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let needed = match access(request.method(), path) {
        None => return not_allowed(path),
        Some(Access::Open) => return next.run(request).await,
        Some(Access::Ingest) => return watched_event(&app, request, next).await,
        Some(Access::Role(role)) => role,
    };
    let watch = Watched::control(app.next_request(), request.method(), path);
    #[cfg(feature = "otlp")]
    crate::otlp::adopt(watch.span(), request.headers());
    let caller = watch.span().in_scope(|| caller(&app, request.headers(), needed));
    let answering = async {
        match caller {
            Ok(caller) => {
                request.extensions_mut().insert(caller);
                next.run(request).await
            }
            Err(problem) => problem.into_response(),
        }
    };
    watch.over(answering).await
}

/// A request with events. There are very many: they are only watched where the log is that fine.
async fn watched_event(app: &App, request: Request, next: Next) -> Response {
    if !tracing::enabled!(target: REQUESTS, tracing::Level::DEBUG) {
        return next.run(request).await;
    }
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let watch = Watched::events(app.next_request(), request.method(), path);
    #[cfg(feature = "otlp")]
    crate::otlp::adopt(watch.span(), request.headers());
    watch.over(next.run(request)).await
}

/// A method the path does not take; a path with no row at all takes none.
fn not_allowed(path: &str) -> Response {
    let methods: Vec<_> = ACCESS.iter().filter(|row| row.1 == path).map(|row| row.0).collect();
    let mut response = Problem::method_not_allowed("this path does not take this method").into_response();
    if let Ok(allow) = HeaderValue::from_str(&methods.join(", ")) {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
}

fn caller(app: &App, headers: &HeaderMap, needed: Role) -> Result<Caller, Problem> {
    let presented = presented_key(headers)?.ok_or_else(|| {
        Problem::no_key(format!("send a key of role {} as `Authorization: Bearer KEY`", needed.name()))
    })?;
    let key = app.keys.find(&presented).ok_or_else(unknown_key)?;
    // An ingest key lies in web pages and apps: it opens nothing else.
    if key.role == Role::Ingest || key.role < needed {
        let detail = format!("the key's role is {}, {} is needed", key.role.name(), needed.name());
        return Err(Problem::wrong_role(detail));
    }
    Ok(Caller { key })
}

pub(crate) fn unknown_key() -> Problem {
    Problem::unknown_key("the key is not known; it may have been revoked")
}

/// The key in the `Authorization` header: `Bearer KEY`, or `Basic` with the key as its user.
pub(crate) fn presented_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let wrong = || Problem::invalid_header("`Authorization` is neither `Bearer KEY` nor `Basic` with the key as user");
    let (scheme, rest) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(wrong)?;
    let key = if scheme.eq_ignore_ascii_case("bearer") {
        rest.trim().to_owned()
    } else if scheme.eq_ignore_ascii_case("basic") {
        let decoded = STANDARD.decode(rest.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let decoded = decoded.ok_or_else(wrong)?;
        decoded.split_once(':').map_or(decoded.as_str(), |(user, _)| user).to_owned()
    } else {
        return Err(wrong());
    };
    if key.is_empty() || key.len() > KEY_CHARS_MAX {
        return Err(unknown_key());
    }
    Ok(Some(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_as_bearer_or_basic() {
        let key = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().expect("a header"));
            presented_key(&headers).map_err(|problem| problem.code)
        };
        assert_eq!(key("Bearer abc"), Ok(Some("abc".into())));
        assert_eq!(key("basic YWJjOg=="), Ok(Some("abc".into())));
        assert_eq!(key("Basic YWJj"), Ok(Some("abc".into())));
        assert_eq!(key("Basic %%%"), Err("invalid_header"));
        assert_eq!(key("Digest x"), Err("invalid_header"));
        assert_eq!(key("Bearer "), Err("unknown_key"));
        assert_eq!(key(&format!("Bearer {}", "a".repeat(200))), Err("unknown_key"));
        assert_eq!(presented_key(&HeaderMap::new()).map_err(|problem| problem.code), Ok(None));
    }
}
