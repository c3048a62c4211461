//! Requests in the log and in traces: an id, the route, how it was answered and how fast.
//!
//! The route is the pattern, never the path as it came: paths name people.

use std::{future::Future, sync::LazyLock};

use axum::{
    http::{HeaderValue, Method},
    response::Response,
};
use tokio::time::Instant;
use tracing::{Instrument, Span, field::Empty};

/// The target of everything said of requests.
pub(crate) const REQUESTS: &str = "impresario::requests";

/// Tells this process's requests from those of others.
static PROCESS: LazyLock<u32> = LazyLock::new(|| getrandom::u32().unwrap_or_else(|_| std::process::id()));

/// A request under way.
pub(crate) struct Watched {
    id: String,
    span: Span,
    start: Instant,
}

impl Watched {
    /// Of the control API: few, and what goes wrong in one is found by its id.
    pub(crate) fn control(number: u64, method: &Method, route: &str) -> Self {
        let id = id(number);
        let span = tracing::info_span!(target: REQUESTS, "request", id, %method, route, status = Empty);
        Self { id, span, start: Instant::now() }
    }

    /// With events.
    pub(crate) fn events(number: u64, method: &Method, route: &str) -> Self {
        let id = id(number);
        let span = tracing::debug_span!(target: REQUESTS, "request", id, %method, route, status = Empty);
        Self { id, span, start: Instant::now() }
    }

    pub(crate) fn span(&self) -> &Span {
        &self.span
    }

    /// Answers within the span; the answer bears the id.
    pub(crate) async fn over(self, answering: impl Future<Output = Response>) -> Response {
        let Self { id, span, start } = self;
        let mut response = answering.instrument(span.clone()).await;
        let status = response.status().as_u16();
        span.record("status", status);
        let micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        span.in_scope(|| tracing::debug!(target: REQUESTS, status, micros, "answered"));
        if let Ok(id) = HeaderValue::try_from(id) {
            response.headers_mut().insert("x-request-id", id);
        }
        response
    }
}

fn id(number: u64) -> String {
    format!("{:08x}-{number:x}", *PROCESS)
}
