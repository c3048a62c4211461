//! What every route needs: who asks, the body within its limits, the answer's form.

pub(crate) mod access;
mod body;
mod extract;

pub(crate) use body::{Bodies, BodyRules, read_body};
pub(crate) use extract::{JsonBody, PathPair, PathText, Query, idempotency_key};
