//! The words every agent shares: customer events, identifiers, instants, raw JSON.

mod event;
mod ids;
mod json;

pub use event::{EventKind, Tracked};
pub use ids::ProfileId;
pub use json::RawJson;

/// Milliseconds since 1970-01-01T00:00:00Z.
pub type Millis = i64;

/// Milliseconds of one day of 24 hours.
pub const DAY_MS: Millis = 86_400_000;
