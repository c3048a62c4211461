//! What every route needs: who asks, the body within its limits, the answer's form.

pub(crate) mod access;
mod body;
mod client;
mod extract;
pub(crate) mod json;
mod watch;

pub use client::{Client, ClientError};

pub(crate) use body::{Bodies, BodyRules, pour_away, read_body};
pub(crate) use client::{head_of, number_in};
pub(crate) use extract::{JsonBody, PathPair, PathText, Query, idempotency_key};
