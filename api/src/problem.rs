//! What went wrong, as an RFC 9457 problem document with a stable code.
//!
//! `code` and `message` stand beside the standard members: tracking clients look for those two.

use std::borrow::Cow;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use impresario_runtime::{AgentError, RuntimeError, store::StoreError};
use serde::Serialize;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};

/// What went wrong, on its way to being a [`Document`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    status: StatusCode,
    pub(crate) code: &'static str,
    title: &'static str,
    detail: Cow<'static, str>,
    line: Option<u32>,
    column: Option<u32>,
    retry_after_s: Option<u32>,
}

/// A problem document (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
struct Document<'a> {
    /// A name of the kind of problem: `urn:impresario:problem:` and the code.
    #[serde(rename = "type")]
    kind: String,
    /// What kind of problem it is, for people.
    title: &'a str,
    /// The HTTP status.
    status: u16,
    /// The stable code, for programs.
    code: &'a str,
    /// What is wrong in this case.
    detail: &'a str,
    /// The same as `detail`, for tracking clients.
    message: &'a str,
    /// Line of the body where it is wrong, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
    /// Column of the body where it is wrong, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<u32>,
    /// Seconds after which it is worth trying again.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_s: Option<u32>,
}

impl PartialSchema for Problem {
    fn schema() -> RefOr<Schema> {
        Document::schema()
    }
}

impl ToSchema for Problem {
    fn name() -> Cow<'static, str> {
        Document::name()
    }
}

macro_rules! problems {
    ($($(#[$doc:meta])* $name:ident = $status:ident $code:literal $title:literal;)*) => {
        impl Problem {
            $($(#[$doc])* pub(crate) fn $name(detail: impl Into<Cow<'static, str>>) -> Self {
                Self::new(StatusCode::$status, $code, $title, detail.into())
            })*
        }
    };
}

problems! {
    /// The body is not JSON.
    malformed_json = BAD_REQUEST "malformed_json" "The body is not valid JSON";
    /// The body is JSON, but not what is asked for.
    invalid_body = BAD_REQUEST "invalid_body" "The body is not what is asked for";
    /// The query is not what is asked for.
    invalid_query = BAD_REQUEST "invalid_query" "The query is not what is asked for";
    /// A part of the path is not what it should be.
    invalid_path = BAD_REQUEST "invalid_path" "A part of the path is not what it should be";
    /// A header is not what it should be.
    invalid_header = BAD_REQUEST "invalid_header" "A header is not what it should be";
    /// The body says gzip and is none.
    invalid_gzip = BAD_REQUEST "invalid_gzip" "The body can't be unpacked";
    /// The body broke off.
    body_cut = BAD_REQUEST "body_cut" "The body broke off";
    /// There is no key.
    no_key = UNAUTHORIZED "no_key" "There is no key";
    /// The key is not known, or revoked.
    unknown_key = UNAUTHORIZED "unknown_key" "The key is not known";
    /// The key's role is not enough.
    wrong_role = FORBIDDEN "wrong_role" "The key's role is not enough";
    /// Nothing is there.
    not_found = NOT_FOUND "not_found" "There is no such thing";
    /// The path does not take this method.
    method_not_allowed = METHOD_NOT_ALLOWED "method_not_allowed" "This path does not take this method";
    /// The body took too long.
    body_timeout = REQUEST_TIMEOUT "body_timeout" "The body took too long";
    /// It is not as the request takes it to be.
    conflict = CONFLICT "conflict" "It is not as the request takes it to be";
    /// The body is too large.
    too_large = PAYLOAD_TOO_LARGE "too_large" "The body is too large";
    /// There are too many already.
    limit_reached = CONFLICT "limit_reached" "There are too many already";
    /// Too much waits; try again.
    busy = TOO_MANY_REQUESTS "busy" "Too much waits already";
    /// The agents are too far behind; try again.
    overloaded = TOO_MANY_REQUESTS "overloaded" "The agents are too far behind";
    /// The server is stopping, or something it needs is down.
    unavailable = SERVICE_UNAVAILABLE "unavailable" "Not at this moment";
    /// The disk is too full to write.
    disk_full = INSUFFICIENT_STORAGE "disk_full" "The disk is too full";
    /// A defect of this program.
    internal = INTERNAL_SERVER_ERROR "internal" "Something is broken";
}

impl Problem {
    pub(crate) fn new(
        status: StatusCode,
        code: &'static str,
        title: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { status, code, title, detail: detail.into(), line: None, column: None, retry_after_s: None }
    }

    /// Says after how many seconds it is worth trying again.
    #[must_use]
    pub(crate) fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// Says where in the text at fault.
    #[must_use]
    pub(crate) fn at(mut self, line: u32, column: u32) -> Self {
        (self.line, self.column) = (Some(line), Some(column));
        self
    }

    /// Whether the same request may be taken in a little later.
    pub(crate) fn is_busy(&self) -> bool {
        self.status == StatusCode::TOO_MANY_REQUESTS
    }

    /// The same where a load balancer asks: it is to send events elsewhere, whatever the reason.
    pub(crate) fn of_readiness(self) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, ..self }
    }

    /// What is wrong with a body, with its place.
    pub(crate) fn of_json(error: &serde_json::Error) -> Self {
        Self::of_json_told(error, error.to_string())
    }

    /// What is wrong with a body, with its place and in these words.
    pub(crate) fn of_json_told(error: &serde_json::Error, what: String) -> Self {
        let problem = if error.is_data() { Self::invalid_body(what) } else { Self::malformed_json(what) };
        let place = |place: usize| u32::try_from(place).ok().filter(|place| *place > 0);
        Self { line: place(error.line()), column: place(error.column()), ..problem }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy => Self::busy("too much waits to be written; nothing was accepted").retry_after(1),
            StoreError::DiskFull { free_bytes, needed_bytes } => {
                Self::disk_full(format!("{free_bytes} bytes are free, {needed_bytes} must be; nothing was accepted"))
                    .retry_after(30)
            }
            StoreError::Closed => Self::unavailable("the server is stopping; nothing was accepted").retry_after(5),
            StoreError::Stopped { .. } => {
                Self::unavailable("the journal has stopped on an error; see the server's log").retry_after(30)
            }
            StoreError::TooLarge { what, bytes, max } => {
                Self::too_large(format!("{what} of {bytes} bytes is larger than {max}"))
            }
            other => {
                tracing::error!(error = %other, "the store failed");
                Self::internal("the store failed; see the server's log")
            }
        }
    }
}

impl From<RuntimeError> for Problem {
    fn from(error: RuntimeError) -> Self {
        match error {
            RuntimeError::Store(error) => error.into(),
            RuntimeError::UnknownAgent(agent) => Self::not_found(format!("there is no agent `{agent}`")),
            RuntimeError::UnknownLetter { .. } | RuntimeError::UnknownKey { .. } => Self::not_found(error.to_string()),
            RuntimeError::Unavailable { .. } | RuntimeError::Suspended { .. } | RuntimeError::Busy { .. } => {
                Self::unavailable(error.to_string()).retry_after(1)
            }
            other @ RuntimeError::Setup(_) => {
                tracing::error!(error = %other, "the runtime failed");
                Self::internal("the runtime failed; see the server's log")
            }
        }
    }
}

impl From<AgentError> for Problem {
    /// What an agent could not look up of its own state.
    fn from(error: AgentError) -> Self {
        tracing::error!(%error, "an agent could not answer");
        Self::unavailable("the agent can't read its state; see the server's log").retry_after(5)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let document = Document {
            kind: format!("urn:impresario:problem:{}", self.code),
            title: self.title,
            status: self.status.as_u16(),
            code: self.code,
            detail: &self.detail,
            message: &self.detail,
            line: self.line,
            column: self.column,
            retry_after_s: self.retry_after_s,
        };
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
