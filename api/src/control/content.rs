//! `/api/templates` and `/api/offers`: what is said to people, as versioned data.

mod offers;
mod preview;
#[expect(dead_code, reason = "the shapes are there for the document alone")]
mod schema;
mod templates;

use std::sync::Arc;

use impresario_agents::content::{Catalog, ContentError, Library};
use utoipa_axum::router::OpenApiRouter;

use crate::{app::App, problem::Problem};

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().merge(templates::router()).merge(preview::router()).merge(offers::router())
}

/// Asks the catalog as it stands.
pub(super) async fn catalog<R: Send + 'static>(
    app: &App,
    look: impl FnOnce(&Catalog) -> R + Send + 'static,
) -> Result<R, Problem> {
    let read = app.host.read_worker::<Library, _>(0, |reading| match reading.shared::<Catalog>() {
        Some(catalog) => look(catalog),
        // Nothing was defined yet.
        None => look(&Catalog::default()),
    });
    Ok(read.await?)
}

impl From<ContentError> for Problem {
    fn from(error: ContentError) -> Self {
        match error {
            ContentError::TooMany(_) => Self::limit_reached(error.to_string()),
            ContentError::Unknown(_) => Self::not_found(error.to_string()),
            ContentError::Source { line, column, .. } => Self::invalid_body(error.to_string()).at(line, column),
            ContentError::Field { .. } => Self::invalid_body(error.to_string()),
        }
    }
}
