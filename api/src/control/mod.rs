//! The control API: one file a resource, each with its shapes beside its handlers.

mod accounts;
mod agents;
mod backups;
mod campaigns;
mod condition;
mod content;
mod crm;
mod decisions;
mod erasures;
mod goals;
mod health;
mod identities;
mod journeys;
mod keys;
mod letters;
mod messaging;
mod metrics;
mod openapi;
mod page;
mod people;
mod profiles;
mod proposals;
mod reports;
mod retention;
mod say;
mod segments;
mod sending;
mod situations;
mod sources;
mod uses;

use std::sync::Arc;

use axum::{Router, middleware};

pub(crate) use self::profiles::{Membership, person_view};

use crate::{app::App, http::access, problem::Problem};

/// All routes behind the guard.
pub(crate) fn router(app: Arc<App>) -> Router {
    let (router, document) = openapi::routes().split_for_parts();
    router
        .merge(openapi::serve(&document))
        .fallback(async || Problem::not_found("no route has this path"))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&app), access::guard))
        .with_state(app)
}
