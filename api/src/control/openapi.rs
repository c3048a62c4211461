//! `/api/openapi.json`: the routes and shapes of this very program, out of its code.

use std::sync::Arc;

use axum::{
    Router,
    http::{HeaderValue, header},
    response::IntoResponse,
    routing::get,
};
use bytes::Bytes;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        self,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};
use utoipa_axum::router::OpenApiRouter;

use super::{
    accounts, agents, backups, campaigns, content, crm, decisions, erasures, goals, health, identities, journeys, keys,
    letters, metrics, profiles, proposals, reports, retention, segments, situations, sources,
};
use crate::{app::App, ingest::handlers};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Impresario",
        description = "Events come in over Segment's tracking API (`/v1`); segments, goals, profiles and \
                       agents are seen and steered over `/api`. Errors are RFC 9457 problem documents with \
                       a stable `code`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    paths(document),
    modifiers(&Keys),
    tags(
        (name = "ingest", description = "Events in, as Segment's clients send them"),
        (name = "profiles", description = "Customers, by any identifier"),
        (name = "accounts", description = "Companies, households, teams: what `group` calls name"),
        (name = "segments", description = "Who is in which segment, exactly, at every instant"),
        (name = "goals", description = "What is wanted, and what is proposed for it"),
        (name = "campaigns", description = "What runs, what it learned, and why it decided so"),
        (name = "reports", description = "What campaigns came to, against what would have been"),
        (name = "content", description = "What is said to people: templates in Liquid, and offers"),
        (name = "journeys", description = "What is done with people over days, waiting for what they do"),
        (name = "situations", description = "Significant changes as they happen"),
        (name = "crm", description = "Leads, deals, and tasks for people"),
        (name = "agents", description = "The troupe at work"),
        (name = "sources", description = "What came of each source's events"),
        (name = "keys", description = "Who may do what"),
        (name = "operations", description = "Health, metrics, this document"),
    ),
)]
struct Document;

struct Keys;

impl Modify for Keys {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        for (name, scheme) in [("bearer", HttpAuthScheme::Bearer), ("basic", HttpAuthScheme::Basic)] {
            let scheme = SecurityScheme::Http(HttpBuilder::new().scheme(scheme).build());
            components.add_security_scheme(name, scheme);
        }
    }
}

/// Every route with its part of the document.
pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(Document::openapi())
        .merge(handlers::router())
        .merge(profiles::router())
        .merge(erasures::router())
        .merge(retention::router())
        .merge(identities::router())
        .merge(accounts::router())
        .merge(segments::router())
        .merge(goals::router())
        .merge(proposals::router())
        .merge(campaigns::router())
        .merge(reports::router())
        .merge(decisions::router())
        .merge(content::router())
        .merge(super::sending::router())
        .merge(super::messaging::router())
        .merge(journeys::router())
        .merge(situations::router())
        .merge(crm::router())
        .merge(agents::router())
        .merge(letters::router())
        .merge(sources::router())
        .merge(keys::router())
        .merge(backups::router())
        .merge(health::router())
        .merge(metrics::router())
}

/// The route of the document itself, which is complete only once all others are known.
pub(super) fn serve(document: &openapi::OpenApi) -> Router<Arc<App>> {
    // All answers share it: however many clients read slowly, it is there once.
    let text = Bytes::from(document.to_json().unwrap_or_default());
    let answer = move || {
        let text = text.clone();
        async move { ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], text).into_response() }
    };
    Router::new().route("/api/openapi.json", get(answer))
}

/// This document.
#[utoipa::path(
    get, path = "/api/openapi.json", tag = "operations",
    responses((status = 200, description = "OpenAPI 3.1", body = Object)),
)]
#[expect(dead_code, reason = "the document's own row in the document; `serve` answers")]
fn document() {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::http::access::ACCESS;

    #[test]
    fn every_route_has_a_row_of_access_and_every_row_a_route() {
        let (_, document) = routes().split_for_parts();
        let document = serde_json::to_value(&document).expect("JSON");
        let paths = document["paths"].as_object().expect("paths");
        let described: BTreeSet<_> = paths
            .iter()
            .flat_map(|(path, item)| {
                let methods = item.as_object().expect("methods").keys();
                methods.map(move |method| (method.to_uppercase(), path.clone()))
            })
            .collect();
        let rows: BTreeSet<_> = ACCESS.iter().map(|row| (row.0.to_owned(), row.1.to_owned())).collect();
        assert_eq!(rows.len(), ACCESS.len(), "a route has two rows");
        assert_eq!(described, rows);
    }
}
